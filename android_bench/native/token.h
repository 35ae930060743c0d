// Whose turn it is. Whoever holds the token works; all others sleep in the kernel, so they can
// share a core with it. Each child has a word of its own: handing over wakes one process.
// Source: futex(2).
#pragma once

#include "clock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace pfd {

inline constexpr int kMostChildren = 64;

// Lies in memory that all processes see.
class Token {
 public:
  void pass(int child) {
    holder_.store(child, std::memory_order_relaxed);
    passed_ns_.store(now_ns(), std::memory_order_relaxed);
    auto& word = seats_[child].is_called;
    word.store(1, std::memory_order_release);
    syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }

  // Sleeps until the token is passed to this child.
  void wait(int child) {
    auto& word = seats_[child].is_called;
    while (word.exchange(0, std::memory_order_acquire) == 0) {
      syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0);
    }
  }

  int holder() const { return holder_.load(std::memory_order_relaxed); }
  std::int64_t passed_ns() const { return passed_ns_.load(std::memory_order_relaxed); }

 private:
  struct alignas(64) Seat {
    std::atomic<std::uint32_t> is_called;
  };
  static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

  std::atomic<int> holder_;
  std::atomic<std::int64_t> passed_ns_;
  Seat seats_[kMostChildren];
};

}  // namespace pfd
