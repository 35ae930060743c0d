// What a supervisor sleeps on, all at once: its children, a signal that stops the run, a reader
// of the results that has left, a child that calls, and the time.
#pragma once

#include <csignal>
#include <cstdint>

namespace pfd {

class Watch {
 public:
  enum class Event { kChildEnded, kStopped, kReaderLeft, kCalled, kTimeUp };

  // Holds the signals back from here on. Throws EngineError when the kernel refuses.
  Watch();

  // Sleeps until something happens; until_ns of CLOCK_MONOTONIC at the latest. A child that ended
  // before is told only once.
  Event wait(std::int64_t until_ns);

  int signal() const { return signal_; }  // that stopped the run; 0 when none did

  // In a child: wakes the supervisor.
  void call() const;
  // In a child: gives the signals back, as they were.
  void release() const;

 private:
  sigset_t before_;
  int signals_ = -1, calls_ = -1;  // file descriptors
  int signal_ = 0;
};

}  // namespace pfd
