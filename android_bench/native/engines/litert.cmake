# libLiteRt.so is opened by name when the engine is used, so nothing is linked. The
# version and the folder are those of the wheel that the build was given.
if(NOT PFD_LITERT_DIR)
  set(PFD_ENGINE_MISSING "the ai-edge-litert wheel was not found")
  return()
endif()
set(PFD_ENGINE_VERSION "${PFD_LITERT_VERSION}")
set(PFD_ENGINE_LIBRARIES libLiteRt.so)
set(PFD_ENGINE_RPATH "${PFD_LITERT_DIR}")
set(PFD_ENGINE_LINK ${CMAKE_DL_LIBS})
