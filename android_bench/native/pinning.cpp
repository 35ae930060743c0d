// Sources: sched_setaffinity(2), proc(5).

#include "pinning.h"

#include "engine.h"
#include "small_files.h"

#include <sched.h>

#include <cctype>
#include <cerrno>
#include <cstring>

namespace pfd {
namespace {

// Ascending; `mask` as normal_mask writes it.
std::vector<int> cpus_in(const std::string& mask) {
  std::vector<int> cpus;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const char c = mask[mask.size() - 1 - i];
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    for (int bit = 0; bit < 4; ++bit) {
      if (digit >> bit & 1) cpus.push_back(static_cast<int>(4 * i) + bit);
    }
  }
  return cpus;
}

}  // namespace

std::vector<Task> tasks() {
  std::vector<Task> found;
  for (const auto& tid : entries("/proc/self/task", "")) {
    const auto number = number_in(tid);
    const std::string status = text_of("/proc/self/task/" + tid + "/status");
    if (!number || status.empty()) continue;  // "." and "..", or a thread that just ended
    found.push_back({*number, field_of(status, "Name"),
                     normal_mask(field_of(status, "Cpus_allowed"))});
  }
  return found;
}

bool spread(const std::vector<std::int64_t>& tids, const std::string& hex_mask) {
  const auto cpus = cpus_in(normal_mask(hex_mask));
  if (cpus.size() != tids.size()) return false;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpus[i], &set);
    if (sched_setaffinity(static_cast<pid_t>(tids[i]), sizeof set, &set) != 0) return false;
  }
  return true;
}

std::string normal_mask(const std::string& hex_digits) {
  std::string mask;
  for (const char c : hex_digits) {
    if (c != ',' && !(mask.empty() && c == '0')) mask += static_cast<char>(std::tolower(c));
  }
  return mask.empty() ? "0" : mask;
}

void pin(const std::string& hex_mask) {
  const std::string wanted = normal_mask(hex_mask);
  if (wanted.size() > CPU_SETSIZE / 4) throw EngineError("the CPU mask is longer than any machine", true);
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus_in(wanted)) CPU_SET(cpu, &set);
  const std::string what = "cannot run on exactly the CPUs 0x" + wanted;
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    throw EngineError(what + ": " + std::strerror(errno), false);
  }
  cpu_set_t got;
  CPU_ZERO(&got);
  sched_getaffinity(0, sizeof got, &got);
  if (!CPU_EQUAL(&set, &got)) {
    throw EngineError(what + ": some are offline or not allowed to this process", false);
  }
}

}  // namespace pfd
