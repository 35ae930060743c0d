#include "supervisor.h"

#include "engine.h"
#include "readings.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <new>

namespace pfd {
namespace {

Shared* make_shared_memory() {
  // Filled in now: a page fault must not fall between two samples.
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  return memory == MAP_FAILED ? nullptr : new (memory) Shared{};
}

sigset_t supervised_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

Outcome guarded(Channel& channel, const std::function<Outcome(Channel&)>& work) {
  try {
    return work(channel);
  } catch (const EngineError& error) {
    channel.shared().say(error.what());
    return error.is_input() ? Outcome::kRefused : Outcome::kEnvironment;
  } catch (const std::bad_alloc&) {
    channel.shared().say("no memory left");
    return Outcome::kEnvironment;
  } catch (const std::exception& error) {  // the process's edge: recorded, not swallowed
    channel.shared().say(error.what());
    return Outcome::kCrashed;
  }
}

[[noreturn]] void be_child(pid_t parent, const sigset_t& before, Channel& channel,
                           const std::function<Outcome(Channel&)>& work) {
  sigprocmask(SIG_SETMASK, &before, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a reader that left is an error of write()
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // no work goes on when the supervisor is gone
  if (getppid() != parent) _exit(exit_status(Outcome::kKilled));
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const Outcome outcome = guarded(channel, work);
  channel.shared().outcome.store(outcome);
  _exit(exit_status(outcome));  // the runtimes' own tear-down is not our concern
}

struct Ending {
  Outcome outcome;
  int signal = 0;
};

Ending interpret(int status, Shared& shared) {
  if (WIFEXITED(status) && shared.outcome.load() != Outcome::kNone) return {shared.outcome.load()};
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    shared.say(std::string("the engine died of signal ") + std::to_string(signal) + " (" +
               strsignal(signal) + ")");
    return {Outcome::kCrashed, signal};
  }
  shared.say("the engine ended the process with status " + std::to_string(WEXITSTATUS(status)));
  return {Outcome::kCrashed};
}

Ending wait_for(pid_t child, std::int64_t timeout_ns, const sigset_t& signals, Shared& shared) {
  const std::int64_t deadline = now_ns() + timeout_ns;
  const auto stop = [&](Outcome why, int signal) {
    kill(child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return Ending{why, signal};
  };
  for (;;) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) return interpret(status, shared);
    const std::int64_t left = deadline - now_ns();
    if (left <= 0) {
      shared.say("not done after " + std::to_string(timeout_ns / 1'000'000'000) + " s");
      return stop(Outcome::kTimeout, 0);
    }
    const timespec patience{static_cast<time_t>(left / 1'000'000'000),
                            static_cast<long>(left % 1'000'000'000)};
    const int signal = sigtimedwait(&signals, nullptr, &patience);
    if (signal > 0 && signal != SIGCHLD) {
      shared.say(std::string("stopped by signal ") + std::to_string(signal) + " (" +
                 strsignal(signal) + ")");
      return stop(Outcome::kKilled, signal);
    }
  }
}

// Whatever the child could not write any more, then the last line.
void finish(Channel& channel, const Ending& ending) {
  Shared& shared = channel.shared();
  if (shared.is_writing.load()) {
    if (::write(STDOUT_FILENO, "\n", 1) < 0) return;  // nobody reads: nothing left to tell
  }
  channel.flush();
  Json json;
  json.begin_object().field("type", "end").field("status", outcome_name(ending.outcome));
  json.field("stage", stage_name(shared.stage.load()));
  json.field("message", std::string(shared.message)).field("signal", ending.signal);
  json.field("samples", shared.taken.load()).field("at_ns", now_ns()).end_object();
  channel.write(json);
}

}  // namespace

int supervise(std::int64_t timeout_ns, const std::function<Outcome(Channel&)>& work) {
  Shared* shared = make_shared_memory();
  if (shared == nullptr) return exit_status(Outcome::kEnvironment);
  Channel channel(*shared);
  const sigset_t signals = supervised_signals();
  sigset_t before;
  sigprocmask(SIG_BLOCK, &signals, &before);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) be_child(parent, before, channel, work);
  std::signal(SIGPIPE, SIG_IGN);
  Ending ending{Outcome::kEnvironment};
  if (child < 0) {
    shared->say(std::string("cannot start a process: ") + std::strerror(errno));
  } else {
    ending = wait_for(child, timeout_ns, signals, *shared);
  }
  try {
    finish(channel, ending);
  } catch (const EngineError&) {
    return exit_status(Outcome::kEnvironment);  // the reader is gone and with it the record
  }
  return exit_status(ending.outcome);
}

}  // namespace pfd
