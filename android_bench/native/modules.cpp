#include "modules.h"

#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

namespace pfd {
namespace {

constexpr std::string_view kPrefix = "pfd_engine_", kSuffix = ".so";

struct LeftOut {
  const char* name;
  const char* reason;
};
constexpr LeftOut kLeftOut[] = {PFD_ENGINES_LEFT_OUT{nullptr, nullptr}};

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* handle = opendir(folder.c_str());
  if (handle == nullptr) return names;
  while (const dirent* entry = readdir(handle)) {
    std::string_view file = entry->d_name;
    if (!file.starts_with(kPrefix) || !file.ends_with(kSuffix)) continue;
    file.remove_prefix(kPrefix.size());
    file.remove_suffix(kSuffix.size());
    names.emplace_back(file);
  }
  closedir(handle);
  std::sort(names.begin(), names.end());
  return names;
}

void raise(Thrown kind, const char* what) {
  if (kind == Thrown::kNoMemory) throw std::bad_alloc();
  if (kind == Thrown::kUnforeseen) throw std::runtime_error(what);
  throw EngineError(what, kind == Thrown::kInput);
}

}  // namespace

std::string program_folder(const char* argv0) {
  char path[PATH_MAX];
  if (argv0 != nullptr && std::string_view(argv0).find('/') != std::string_view::npos) {
    if (realpath(argv0, path) == nullptr) return ".";
  } else {
    const auto length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0) return ".";
    path[length] = '\0';
  }
  const std::string whole = path;
  return whole.substr(0, std::max<std::size_t>(whole.rfind('/'), 1));
}

std::unique_ptr<Engine> open_engine(const std::string& folder, const std::string& name) {
  for (const auto& left : kLeftOut) {
    if (left.name != nullptr && name == left.name) {
      throw EngineError("engine " + name + " was not built: " + left.reason, false);
    }
  }
  const auto names = names_in(folder);
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    std::string known;
    for (const auto& other : names) known += (known.empty() ? "" : ", ") + other;
    throw EngineError("unknown engine '" + name + "': choose one of " +
                      (known.empty() ? "none, as no engine lies beside pfd_bench" : known), true);
  }
  const std::string path = folder + "/" + std::string(kPrefix) + name + std::string(kSuffix);
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw EngineError(dlerror(), false);
  const auto make = reinterpret_cast<PfdMakeEngine>(dlsym(library, "pfd_make_engine"));
  if (make == nullptr) throw EngineError(path + " is no engine", false);
  return std::unique_ptr<Engine>(make(raise));
}

std::vector<LoadedFile> loaded_files() {
  std::vector<LoadedFile> found;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* list) {
        const std::string_view path = info->dlpi_name;
        std::uint64_t size = 0;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& part = info->dlpi_phdr[i];
          if (part.p_type == PT_LOAD) size = std::max<std::uint64_t>(size, part.p_vaddr + part.p_memsz);
        }
        static_cast<std::vector<LoadedFile>*>(list)->push_back(
            {std::string(path.substr(path.rfind('/') + 1)), info->dlpi_addr, info->dlpi_addr + size});
        return 0;
      },
      &found);
  return found;
}

std::vector<Description> describe_engines(const std::string& folder) {
  std::vector<Description> all;
  for (const auto& name : names_in(folder)) {
    try {
      all.push_back(open_engine(folder, name)->describe());
    } catch (const EngineError& error) {
      all.push_back({name, "", {}, {}, error.what()});
    }
  }
  for (const auto& left : kLeftOut) {
    if (left.name == nullptr) continue;
    all.push_back({left.name, "", {}, {}, std::string("not built: ") + left.reason});
  }
  return all;
}

}  // namespace pfd
