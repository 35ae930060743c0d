// What the working process of one model and its supervisor share: its progress, and the samples
// that are not yet written.
#pragma once

#include "progress.h"
#include "sample.h"

#include <atomic>
#include <cstdint>

namespace pfd {

// A power of two, and small enough to stay in a second-level cache: 128 KiB.
inline constexpr std::uint64_t kRing = 8192;

struct Shared : Progress {
  std::atomic<bool> is_writing;        // a line is partly out
  std::atomic<std::uint64_t> taken;    // samples measured
  std::atomic<std::uint64_t> flushed;  // samples whose line is out
  Sample samples[kRing];
};

class Channel : public Report {
 public:
  explicit Channel(Shared& shared) : Report(shared), shared_(shared) {}

  void write(const Json& line) override;

  // Two stores into memory that is there already; no system call.
  void take(const Sample& sample) {
    const auto n = shared_.taken.load(std::memory_order_relaxed);
    shared_.samples[n % kRing] = sample;
    shared_.taken.store(n + 1, std::memory_order_release);
  }
  bool is_full() const {
    return shared_.taken.load(std::memory_order_relaxed) -
               shared_.flushed.load(std::memory_order_relaxed) == kRing;
  }
  // Writes the samples taken since the last flush as one line.
  void flush();

 private:
  Shared& shared_;
};

}  // namespace pfd
