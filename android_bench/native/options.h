// The command line of pfd_bench as data. docs/harness-protocol.md is its description.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace pfd {

enum class Mode { kDescribe, kTime, kVerify, kProfile, kMemory };

struct Schedule {
  std::int64_t iterations = 50;
  std::int64_t duration_ns = 0;
  bool stop_at_either = false;    // else both count and time must be reached
  std::int64_t most_ns = 0;       // 0: no limit; ends the block in any case
  std::int64_t gap_ns = 0;        // pause between inferences
  std::int64_t flush_ns = 1'000'000'000;
};

struct Options {
  Mode mode = Mode::kTime;
  std::string host_version;  // empty: the caller does not mind
  std::string engine;
  std::string model;
  int threads = 1;
  std::string cpu_mask;  // hexadecimal, empty: not pinned
  std::vector<std::string> inputs, expected;
  double limit = 1e-4;             // relative L-infinity distance that is allowed
  std::int64_t verify_samples = 0;  // 0: all there are
  std::int64_t warmup_iterations = 10;
  std::int64_t warmup_ns = 500'000'000;
  Schedule schedule;
  std::int64_t handicap_ppm = 0;
  std::int64_t timeout_ns = 600'000'000'000;
  std::string etdump;        // where the engine's own profile goes
  std::string sys_root;      // for tests: a folder instead of / for readings
};

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws UsageError with one line.
Options parse_options(int argc, char** argv);

const char* usage();
const char* mode_name(Mode mode);

}  // namespace pfd
