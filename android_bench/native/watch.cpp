// Sources: signalfd(2), eventfd(2), poll(2).

#include "watch.h"

#include "clock.h"
#include "engine.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace pfd {

Watch::Watch() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, &before_);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  calls_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signals_ < 0 || calls_ < 0) {
    throw EngineError(std::string("cannot watch a process: ") + std::strerror(errno), false);
  }
}

Watch::Event Watch::wait(std::int64_t until_ns) {
  for (;;) {
    signalfd_siginfo info;
    if (read(signals_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGCHLD) return Event::kChildEnded;
      signal_ = static_cast<int>(info.ssi_signo);
      return Event::kStopped;
    }
    std::uint64_t calls;
    if (read(calls_, &calls, sizeof calls) == sizeof calls) return Event::kCalled;
    const std::int64_t left = until_ns - now_ns();
    if (left <= 0) return Event::kTimeUp;
    // Of stdout nothing is asked: an error is told in any case, and a file never has one.
    pollfd files[] = {{signals_, POLLIN, 0}, {calls_, POLLIN, 0}, {STDOUT_FILENO, 0, 0}};
    const timespec patience{static_cast<time_t>(left / 1'000'000'000),
                            static_cast<long>(left % 1'000'000'000)};
    if (ppoll(files, 3, &patience, nullptr) > 0 && (files[2].revents & (POLLERR | POLLHUP)) != 0 &&
        ((files[0].revents | files[1].revents) & POLLIN) == 0) {
      return Event::kReaderLeft;
    }
  }
}

void Watch::call() const {
  const std::uint64_t one = 1;
  if (write(calls_, &one, sizeof one) != sizeof one) {
    throw EngineError(std::string("cannot wake the supervisor: ") + std::strerror(errno), false);
  }
}

void Watch::release() const { sigprocmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace pfd
