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

// Where a program or library lies in this process.
struct LoadedFile {
  std::string name;  // without the folder; empty for the program itself
  std::uint64_t base, end;  // base: where its first byte lies
};
std::vector<LoadedFile> loaded_files();

// Every engine beside the program, and those that the build had to leave out.
std::vector<Description> describe_engines(const std::string& folder);

}  // namespace pfd
