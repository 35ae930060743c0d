#include "heat.h"

#include "clock.h"
#include "engine.h"
#include "heat_memory.h"
#include "hello.h"
#include "process.h"
#include "readings.h"
#include "turn.h"
#include "watch.h"

#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <optional>
#include <vector>

namespace pfd {
namespace {

constexpr std::uint64_t kTurnsInLine = 4096, kSamplesInLine = 8192;

class Heat {
 public:
  Heat(const Options& options, const std::string& folder)
      : options_(options), folder_(folder), children_(static_cast<int>(options.models.size())),
        memory_(options.heat, children_) {}

  Ending run() {
    Ending ending;
    try {
      start();
      ending = supervise();
    } catch (const EngineError& error) {
      message_.say(error.what());
      ending = {Outcome::kEnvironment};
    }
    for (const pid_t process : running_) {
      if (process > 0) kill_process(process);
    }
    return ending;
  }

  // All that is whole: also when the heat was ended in the middle of a turn.
  void tell(const Ending& ending) {
    for (int i = 0; i < children_; ++i) {
      const ChildState& child = memory_.child(i);
      write_text({child.text, child.text_bytes.load(std::memory_order_acquire)});
    }
    for (const auto& reading : readings_) write_line(reading);
    const std::uint64_t turns = memory_.state().turns.load(std::memory_order_acquire);
    const std::uint64_t samples = memory_.first_sample(turns);
    tell_turns(turns);
    for (std::uint64_t begin = 0; begin < samples; begin += kSamplesInLine) {
      write_line(samples_line(begin, std::min(samples, begin + kSamplesInLine),
                              [&](auto i) { return memory_.sample(i); }));
    }
    const ChildState& child = memory_.child(blamed_.value_or(memory_.state().token.holder()));
    const bool is_own = message_.message[0] != '\0' || !blamed_;
    const Stage stage = ending.outcome == Outcome::kDone ? Stage::kEnd : child.stage.load();
    Json json = end_line(ending, stage, is_own ? message_.message : child.message, samples);
    json.field("child", blamed_).field("turns", turns);
    json.field("memory_full", memory_.state().is_full.load());
    write_line(json.end_object());
  }

 private:
  void start() {
    for (int i = 0; i < children_; ++i) {
      pids_.push_back(start_process(watch_, memory_.child(i), [&, i] {
        return run_child(options_, folder_, i, memory_, watch_);
      }));
      running_.push_back(pids_.back());
    }
    memory_.state().token.pass(0);
  }

  Ending supervise() {
    const std::int64_t deadline = now_ns() + options_.timeout_ns;
    for (;;) {
      const auto event = watch_.wait(std::min(deadline, turn_deadline()));
      if (const auto ending = look_for_ended()) return *ending;
      if (event == Watch::Event::kChildEnded) continue;
      if (event == Watch::Event::kCalled) {
        next_phase();
      } else if (event != Watch::Event::kTimeUp) {
        return stopped_by(watch_, event, message_, options_.timeout_ns);
      } else if (now_ns() >= std::min(deadline, turn_deadline())) {
        return late(now_ns() >= deadline);
      }
    }
  }

  // When the turn that is being taken must be over; the children hand on without this process.
  std::int64_t turn_deadline() {
    if (memory_.state().phase.load() != Phase::kTurns) return std::numeric_limits<std::int64_t>::max();
    return memory_.state().token.passed_ns() + options_.heat.turn_timeout_ns;
  }

  Ending late(bool is_whole_heat) {
    blamed_ = memory_.state().token.holder();
    if (is_whole_heat) return stopped_by(watch_, Watch::Event::kTimeUp, message_, options_.timeout_ns);
    char text[128];
    std::snprintf(text, sizeof text, "turn %llu was not over after %g s",
                  static_cast<unsigned long long>(memory_.state().turns.load()),
                  static_cast<double>(options_.heat.turn_timeout_ns) / 1e9);
    message_.say(text);
    return {Outcome::kTimeout};
  }

  // The first child found that ended otherwise than it should, or done when all are.
  std::optional<Ending> look_for_ended() {
    for (int i = 0; i < children_; ++i) {
      pid_t& process = running_[static_cast<std::size_t>(i)];
      int status = 0;
      if (process <= 0 || waitpid(process, &status, WNOHANG) != process) continue;
      process = 0;
      const Ending ending = read_ending(status, memory_.child(i));
      if (ending.outcome == Outcome::kDone) continue;
      blamed_ = i;
      return ending;
    }
    const bool all_done = std::all_of(running_.begin(), running_.end(), [](pid_t p) { return p == 0; });
    return all_done ? std::optional(Ending{Outcome::kDone}) : std::nullopt;
  }

  void next_phase() {
    HeatState& state = memory_.state();
    switch (state.phase.load()) {
      case Phase::kPrepare:
        read("before");
        state.phase.store(Phase::kTurns);
        state.token.pass(memory_.next_child());
        break;
      case Phase::kTurns:
        read("after");
        state.phase.store(Phase::kFinish);
        state.token.pass(0);
        break;
      case Phase::kFinish: break;
    }
  }

  void read(const char* edge) {
    std::vector<pid_t> ours = pids_;
    ours.push_back(0);  // this process
    readings_.push_back(reading(edge, options_.sys_root, ours));
  }

  void tell_turns(std::uint64_t turns) {
    for (std::uint64_t begin = 0; begin < turns; begin += kTurnsInLine) {
      const std::uint64_t end = std::min(turns, begin + kTurnsInLine);
      Json json;
      json.begin_object().field("type", "turns").field("turn", begin);
      const auto column = [&](const char* name, auto value) {
        json.key(name).begin_array();
        for (std::uint64_t i = begin; i < end; ++i) json.value(value(i));
        json.end_array();
      };
      column("child", [&](auto i) { return memory_.turn(i).child; });
      column("first", [&](auto i) { return memory_.first_sample(i); });
      column("begin_ns", [&](auto i) { return memory_.turn(i).begin_ns; });
      column("end_ns", [&](auto i) { return memory_.turn(i).end_ns; });
      column("freq_khz", [&](auto i) { return memory_.turn(i).freq_khz; });
      write_line(json.end_object());
    }
  }

  const Options& options_;
  const std::string& folder_;
  const int children_;
  HeatMemory memory_;
  Watch watch_;
  std::vector<pid_t> pids_, running_;  // by child; running: 0 when it has ended
  std::vector<Json> readings_;
  std::optional<int> blamed_;  // the child that ended the heat
  Progress message_{};         // why, where that is not for a child to say
};

}  // namespace

int run_heat(const Options& options, const std::string& folder) {
  try {
    Json line;
    line.begin_object().field("type", "hello");
    write_line(hello(line, options.mode).end_object());
    std::optional<Heat> heat;
    try {
      heat.emplace(options, folder);
    } catch (const EngineError& error) {
      write_line(end_line({Outcome::kEnvironment}, Stage::kStart, error.what(), 0).end_object());
      return exit_status(Outcome::kEnvironment);
    }
    const Ending ending = heat->run();
    heat->tell(ending);
    return exit_status(ending.outcome);
  } catch (const EngineError&) {
    return exit_status(Outcome::kEnvironment);  // the reader is gone and with it the record
  }
}

}  // namespace pfd
