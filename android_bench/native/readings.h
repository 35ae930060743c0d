// The state of the device, from /proc and /sys, as raw values: nothing is averaged here.
#pragma once

#include "json.h"

#include <sched.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pfd {

std::int64_t now_ns();  // CLOCK_MONOTONIC

// A line {"type":"reading","edge":...}. root: empty, or a folder that stands for /.
Json reading(const char* edge, const std::string& root);

struct Memory {
  std::optional<std::int64_t> rss_kib, hwm_kib;
};
Memory memory();  // VmRSS and VmHWM of this process

struct Task {
  std::int64_t tid;
  std::string name;
  std::string cpus_allowed;  // hexadecimal, no leading zeros
};
std::vector<Task> tasks();  // of this process

// Allows this process, and the threads it will make, only these CPUs, and reads the mask back.
// Throws EngineError when the kernel allows others.
void pin(const std::string& hex_mask);

std::string normal_mask(const std::string& hex_digits);  // lower case, no leading zeros or commas

}  // namespace pfd
