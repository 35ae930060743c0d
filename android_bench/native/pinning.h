// Which CPUs this process may use: asked for, read back, and checked thread by thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pfd {

// Allows this process, and the threads it will make, only these CPUs, and reads the mask back.
// Throws EngineError when the kernel allows others.
void pin(const std::string& hex_mask);

// Allows each of these threads one CPU, the first thread the lowest one, and says whether it did:
// not where there are more or fewer CPUs than threads, or where the kernel refuses.
bool spread(const std::vector<std::int64_t>& tids, const std::string& hex_mask);

std::string normal_mask(const std::string& hex_digits);  // lower case, no leading zeros or commas

struct Task {
  std::int64_t tid;
  std::string name;
  std::string cpus_allowed;  // hexadecimal, no leading zeros
};
std::vector<Task> tasks();  // of this process

}  // namespace pfd
