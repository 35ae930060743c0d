// What the working process and its supervisor share: where the work stands, how it ended, and
// the samples that are not yet written. Lines go to stdout, each with one newline at its end.
#pragma once

#include "json.h"

#include <atomic>
#include <cstdint>
#include <string_view>

namespace pfd {

enum class Stage : int { kStart, kOpen, kLoad, kFirst, kVerify, kWarmup, kTime, kProfile, kEnd };
enum class Outcome : int { kNone, kDone, kMismatch, kRefused, kEnvironment, kCrashed, kTimeout, kKilled };

const char* stage_name(Stage stage);
const char* outcome_name(Outcome outcome);
int exit_status(Outcome outcome);

struct Sample {
  std::int64_t duration_ns;
  std::int64_t cpu;
};

// A power of two, and small enough to stay in a second-level cache: 128 KiB.
inline constexpr std::uint64_t kRing = 8192;

struct Shared {
  std::atomic<Stage> stage;
  std::atomic<Outcome> outcome;
  std::atomic<bool> is_writing;       // a line is partly out
  std::atomic<std::uint64_t> taken;   // samples measured
  std::atomic<std::uint64_t> flushed;  // samples whose line is out
  char message[2048];
  Sample samples[kRing];

  void say(std::string_view text);
};
static_assert(std::atomic<Stage>::is_always_lock_free);

class Channel {
 public:
  explicit Channel(Shared& shared) : shared_(shared) {}

  // Throws EngineError when nobody reads any more.
  void write(const Json& line);

  void enter(Stage stage) { shared_.stage.store(stage, std::memory_order_relaxed); }

  // Two stores into memory that is there already; no system call.
  void take(std::int64_t duration_ns, int cpu) {
    const auto n = shared_.taken.load(std::memory_order_relaxed);
    shared_.samples[n % kRing] = {duration_ns, cpu};
    shared_.taken.store(n + 1, std::memory_order_release);
  }
  bool is_full() const {
    return shared_.taken.load(std::memory_order_relaxed) -
               shared_.flushed.load(std::memory_order_relaxed) == kRing;
  }
  // Writes the samples taken since the last flush as one line.
  void flush();

  Shared& shared() { return shared_; }

 private:
  Shared& shared_;
};

}  // namespace pfd
