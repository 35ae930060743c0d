// The part of LiteRT's C interface that the engine calls. The wheel ships the library without
// headers, so what is called is declared here, with the header that each declaration is in:
// google-ai-edge/LiteRT, litert/c/, as of 2.3.0. C links any signature: the model functions
// took no environment up to 2.1 and answer 500 to the wrong form.
#pragma once

#include <cstddef>
#include <cstdint>

namespace litert {

// litert_common.h
using Status = int;
inline constexpr Status kOk = 0;
inline constexpr int kAcceleratorCpu = 1;
enum LockMode : int { kRead = 0, kWrite = 1 };
using Index = std::size_t;
using Environment = struct LiteRtEnvironmentT*;
using Model = struct LiteRtModelT*;
using Options = struct LiteRtOptionsT*;
using OpaqueOptions = struct LiteRtOpaqueOptionsT*;
using CompiledModel = struct LiteRtCompiledModelT*;
using Signature = struct LiteRtSignatureT*;
using Tensor = struct LiteRtTensorT*;
using TensorBuffer = struct LiteRtTensorBufferT*;
using Requirements = struct LiteRtTensorBufferRequirementsT*;
using Profiler = struct LiteRtProfilerT*;

// litert_layout.h, litert_model_types.h
struct RankedTensorType {
  int element_type;
  unsigned int rank : 7;
  bool has_strides : 1;
  std::int32_t dimensions[8];
  std::uint32_t strides[8];
};
static_assert(sizeof(RankedTensorType) == 72);

// litert_profiler_event.h; tflite/core/api/profiler.h for the types, tflite/profiling/memory_info.h
inline constexpr int kOperator = 1 << 1;           // a built-in kernel
inline constexpr int kDelegateOperator = 1 << 2;   // inside a delegate
inline constexpr int kDelegateProfiled = 1 << 3;   // inside a delegate, told by the delegate
struct ProfilerEvent {
  const char* tag;
  int event_type;
  std::uint64_t start_us;
  std::uint64_t elapsed_us;
  std::size_t memory[6];
  std::uint64_t metadata_1;
  std::uint64_t metadata_2;
  int source;
};
static_assert(sizeof(ProfilerEvent) == 104);

// name in the library, return type, parameters
#define PFD_LITERT_FUNCTIONS(F)                                                                  \
  /* litert_environment.h */                                                                     \
  F(CreateEnvironment, Status, (int, const void*, Environment*))                                 \
  /* litert_model.h */                                                                           \
  F(CreateModelFromBuffer, Status, (Environment, const void*, std::size_t, Model*))              \
  F(GetNumModelSignatures, Status, (Model, Index*))                                              \
  F(GetModelSignature, Status, (Model, Index, Signature*))                                       \
  F(GetNumSignatureInputs, Status, (Signature, Index*))                                          \
  F(GetNumSignatureOutputs, Status, (Signature, Index*))                                         \
  F(GetSignatureInputName, Status, (Signature, Index, const char**))                             \
  F(GetSignatureOutputName, Status, (Signature, Index, const char**))                            \
  F(GetSignatureInputTensorByIndex, Status, (Signature, Index, Tensor*))                         \
  F(GetSignatureOutputTensorByIndex, Status, (Signature, Index, Tensor*))                        \
  F(GetRankedTensorType, Status, (Tensor, RankedTensorType*))                                    \
  /* litert_options.h, litert_opaque_options.h */                                                \
  F(CreateOptions, Status, (Options*))                                                           \
  F(SetOptionsHardwareAccelerators, Status, (Options, int))                                      \
  F(CreateOpaqueOptions, Status, (const char*, void*, void (*)(void*), OpaqueOptions*))          \
  F(AddOpaqueOptions, Status, (Options, OpaqueOptions))                                          \
  /* litert_compiled_model.h */                                                                  \
  F(CreateCompiledModel, Status, (Environment, Model, Options, CompiledModel*))                  \
  F(GetCompiledModelInputBufferRequirements, Status, (CompiledModel, Index, Index, Requirements*)) \
  F(GetCompiledModelOutputBufferRequirements, Status, (CompiledModel, Index, Index, Requirements*)) \
  F(RunCompiledModel, Status, (CompiledModel, Index, std::size_t, TensorBuffer*, std::size_t, TensorBuffer*)) \
  F(CompiledModelGetProfiler, Status, (CompiledModel, Profiler*))                                \
  /* litert_tensor_buffer.h */                                                                   \
  F(CreateManagedTensorBufferFromRequirements, Status, (Environment, const RankedTensorType*, Requirements, TensorBuffer*)) \
  F(GetTensorBufferPackedSize, Status, (TensorBuffer, std::size_t*))                             \
  F(LockTensorBuffer, Status, (TensorBuffer, void**, LockMode))                                  \
  F(UnlockTensorBuffer, Status, (TensorBuffer))                                                  \
  /* litert_profiler.h */                                                                        \
  F(StartProfiler, Status, (Profiler))                                                           \
  F(StopProfiler, Status, (Profiler))                                                            \
  F(ResetProfiler, Status, (Profiler))                                                           \
  F(GetNumProfilerEvents, Status, (Profiler, int*))                                              \
  F(GetProfilerEvents, Status, (Profiler, int, ProfilerEvent*))

struct Api {
#define PFD_MEMBER(name, result, parameters) result(*name) parameters = nullptr;
  PFD_LITERT_FUNCTIONS(PFD_MEMBER)
#undef PFD_MEMBER
};

}  // namespace litert
