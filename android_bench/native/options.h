// The command line of pfd_bench as data. docs/harness-protocol.md is its description.
// Numbers have no defaults here: the host always gives them, so that each stands in one place.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace pfd {

enum class Mode { kDescribe, kTime, kVerify, kProfile, kMemory, kCount, kHeat };

inline constexpr int kMissing = -1;  // not given

// A slow-down that is known: shares of each inference's own duration, in millionths, so that it holds
// whatever else slows the device.
struct Handicap {
  std::int64_t ppm = 0;  // spun inside the sample
  // From the end of an inference to the next: the handicap, and what is spun outside the sample. Both
  // sides of a comparison are given the same, as caches cool while somebody spins: an inference after
  // a spin is slower by more than the spin.
  std::int64_t pause_ppm = 0;
};

// One file and how it is run.
struct ModelOptions {
  std::string engine;
  std::string model;
  int threads = kMissing;
  std::vector<std::string> inputs, expected;
  std::int64_t batch = 0;           // of a .pte that leaves it open; 0: its largest
  double limit = kMissing;          // relative L-infinity distance that is allowed
  std::int64_t verify_samples = 0;  // 0: all there are
  Handicap handicap;
};

struct Schedule {
  std::int64_t iterations = kMissing;
  std::int64_t duration_ns = 0;
  bool stop_at_either = false;    // else both count and time must be reached
  std::int64_t most_ns = 0;       // 0: no limit; ends the block in any case
  std::int64_t gap_ns = 0;        // pause between inferences
  std::int64_t flush_ns = kMissing;
};

// Samples that a heat may hold at most: 16 MiB of them.
inline constexpr std::uint64_t kMostSamples = 1 << 20;

struct HeatOptions {
  std::vector<std::int64_t> bursts;         // inferences in a turn: of all children, or of each
  std::int64_t duration_ns = kMissing;      // ends with the cycle of the order that completes past it
  std::int64_t turn_timeout_ns = kMissing;  // a turn that takes longer hangs
  std::vector<int> order;                   // of the children's turns, repeated

  std::uint64_t burst_of(int child) const {
    return static_cast<std::uint64_t>(bursts[bursts.size() == 1 ? 0 : static_cast<std::size_t>(child)]);
  }
  // Inferences of one cycle of the order.
  std::uint64_t cycle() const {
    std::uint64_t sum = 0;
    for (const int child : order) sum += burst_of(child);
    return sum;
  }
};

struct Options {
  Mode mode = Mode::kTime;
  std::string host_version;  // empty: the caller does not mind
  std::vector<ModelOptions> models;  // one; of a heat, one for each child
  std::string cpu_mask;              // hexadecimal, empty: not pinned
  std::int64_t warmup_iterations = kMissing;
  std::int64_t warmup_ns = kMissing;
  Schedule schedule;
  HeatOptions heat;
  std::int64_t timeout_ns = kMissing;
  bool with_operators = false;  // of --count
  std::string etdump;    // where the engine's own profile goes
  std::string sys_root;  // for tests: a folder instead of / for readings
};

// Whether the runtime is asked to tell its operators, which slows every inference.
inline bool wants_operators(const Options& o) {
  return o.mode == Mode::kProfile || (o.mode == Mode::kCount && o.with_operators);
}

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws UsageError with one line.
Options parse_options(int argc, char** argv);

const char* usage();
const char* mode_name(Mode mode);

}  // namespace pfd
