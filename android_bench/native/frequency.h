// The current frequency of the CPU, read so that reading it does not cost much of a heat.
// Source: Linux kernel, Documentation/admin-guide/pm/cpufreq.rst.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>

namespace pfd {

class FrequencyReader {
 public:
  // root: empty, or a folder that stands for /.
  explicit FrequencyReader(const std::string& root)
      : root_(root), cost_ns_(std::numeric_limits<std::int64_t>::max()) {}

  // kHz of the CPU that the caller is on; -1 when it cannot be read, or not this time. Some
  // drivers ask the hardware and wait for it: where a reading takes n times what a turn may spend
  // on it, n turns without one follow.
  std::int32_t read();

 private:
  std::int32_t read_cpu(int cpu);

  std::string root_;
  std::map<int, int> files_;  // CPU to its open file, -1 where it has none
  std::int64_t cost_ns_;  // of the cheapest reading; others were interrupted
  std::int64_t turns_to_pass_ = 0;
};

}  // namespace pfd
