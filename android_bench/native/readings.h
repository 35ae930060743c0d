// The state of the device, from /proc and /sys, as raw values: nothing is averaged here.
#pragma once

#include "json.h"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pfd {

// A line {"type":"reading","edge":...}. root: empty, or a folder that stands for /.
// processes: those whose CPU time is our own, 0 for this one.
Json reading(const char* edge, const std::string& root, const std::vector<pid_t>& processes);

struct Memory {
  std::optional<std::int64_t> rss_kib, hwm_kib;
};
Memory memory();  // VmRSS and VmHWM of this process

}  // namespace pfd
