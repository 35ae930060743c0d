// Engines are libraries named pfd_engine_NAME.so beside the program, opened only when named:
// one engine's code, memory or crash never touches a run of another.
#pragma once

#include "engine.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pfd {

// Where the program lies. argv0 is right also under an explicit ld.so, where /proc/self/exe is not.
std::string program_folder(const char* argv0);

// Throws EngineError when there is no such engine or it does not load.
std::unique_ptr<Engine> open_engine(const std::string& folder, const std::string& name);

// Where the code of one file lies in this process.
struct LoadedCode {
  std::string file;  // its name, without the folder
  std::uint64_t base, begin, end;  // base: what addresses in the file are added to
};
std::vector<LoadedCode> loaded_code();

// Every engine beside the program, and those that the build had to leave out.
std::vector<Description> describe_engines(const std::string& folder);

}  // namespace pfd
