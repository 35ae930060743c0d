#include "process.h"

#include "engine.h"

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

Outcome guarded(Progress& progress, const std::function<Outcome()>& work) {
  try {
    return work();
  } catch (const EngineError& error) {
    progress.say(error.what());
    return error.is_input() ? Outcome::kRefused : Outcome::kEnvironment;
  } catch (const std::bad_alloc&) {
    progress.say("no memory left");
    return Outcome::kEnvironment;
  } catch (const std::exception& error) {  // the process's edge: recorded, not swallowed
    progress.say(error.what());
    return Outcome::kCrashed;
  }
}

}  // namespace

pid_t start_process(const Watch& watch, Progress& progress, const std::function<Outcome()>& work) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw EngineError(std::string("cannot start a process: ") + std::strerror(errno), false);
  if (child > 0) return child;
  watch.release();
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // no work goes on when the supervisor is gone
  if (getppid() != parent) _exit(exit_status(Outcome::kKilled));
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const Outcome outcome = guarded(progress, work);
  progress.outcome.store(outcome);
  _exit(exit_status(outcome));  // the runtimes' own tear-down is not our concern
}

Ending read_ending(int status, Progress& progress) {
  if (WIFEXITED(status) && progress.outcome.load() != Outcome::kNone) return {progress.outcome.load()};
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    // Nobody here sent it; the kernel does when memory runs out, and so does a phone's own daemon.
    const char* hint = signal == SIGKILL ? "; a system that runs out of memory does this" : "";
    progress.say(std::string("the engine died of signal ") + std::to_string(signal) + " (" +
                 strsignal(signal) + ")" + hint);
    return {Outcome::kCrashed, signal};
  }
  progress.say("the engine ended the process with status " + std::to_string(WEXITSTATUS(status)));
  return {Outcome::kCrashed};
}

void kill_process(pid_t process) {
  kill(process, SIGKILL);
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {}
}

Ending stopped_by(const Watch& watch, Watch::Event event, Progress& progress, std::int64_t timeout_ns) {
  if (event == Watch::Event::kStopped) {
    progress.say(std::string("stopped by signal ") + std::to_string(watch.signal()) + " (" +
                 strsignal(watch.signal()) + ")");
    return {Outcome::kKilled, watch.signal()};
  }
  if (event == Watch::Event::kReaderLeft) {
    progress.say("nobody reads the results any more");
    return {Outcome::kEnvironment};
  }
  progress.say("not done after " + std::to_string(timeout_ns / 1'000'000'000) + " s");
  return {Outcome::kTimeout};
}

void* shared_memory(std::size_t bytes, bool is_filled_in) {
  const int flags = MAP_SHARED | MAP_ANONYMOUS | (is_filled_in ? MAP_POPULATE : MAP_NORESERVE);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace pfd
