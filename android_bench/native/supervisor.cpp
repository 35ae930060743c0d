#include "supervisor.h"

#include "clock.h"
#include "engine.h"
#include "process.h"
#include "watch.h"

#include <sys/wait.h>
#include <unistd.h>

#include <new>

namespace pfd {
namespace {

Ending wait_for(pid_t child, std::int64_t timeout_ns, Watch& watch, Shared& shared) {
  const std::int64_t deadline = now_ns() + timeout_ns;
  for (;;) {
    const auto event = watch.wait(deadline);
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) return read_ending(status, shared);
    if (event == Watch::Event::kChildEnded) continue;
    kill_process(child);
    return stopped_by(watch, event, shared, timeout_ns);
  }
}

Ending run(std::int64_t timeout_ns, Channel& channel, Shared& shared,
           const std::function<Outcome(Channel&)>& work) {
  try {
    Watch watch;
    const pid_t child = start_process(watch, shared, [&] { return work(channel); });
    return wait_for(child, timeout_ns, watch, shared);
  } catch (const EngineError& error) {
    shared.say(error.what());
    return {Outcome::kEnvironment};
  }
}

// Whatever the child could not write any more, then the last line.
void finish(Channel& channel, const Shared& shared, const Ending& ending) {
  if (shared.is_writing.load()) {
    if (::write(STDOUT_FILENO, "\n", 1) < 0) return;  // nobody reads: nothing left to tell
  }
  channel.flush();
  Json json = end_line(ending, shared.stage.load(), shared.message, shared.taken.load());
  channel.write(json.end_object());
}

}  // namespace

int supervise(std::int64_t timeout_ns, const std::function<Outcome(Channel&)>& work) {
  void* memory = shared_memory(sizeof(Shared), true);
  if (memory == nullptr) return exit_status(Outcome::kEnvironment);
  Shared& shared = *new (memory) Shared{};
  Channel channel(shared);
  const Ending ending = run(timeout_ns, channel, shared, work);
  try {
    finish(channel, shared, ending);
  } catch (const EngineError&) {
    return exit_status(Outcome::kEnvironment);  // the reader is gone and with it the record
  }
  return exit_status(ending.outcome);
}

}  // namespace pfd
