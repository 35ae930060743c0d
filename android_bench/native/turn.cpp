#include "turn.h"

#include "clock.h"
#include "frequency.h"
#include "session.h"

#include <sched.h>
#include <unistd.h>

#include <cstring>

namespace pfd {
namespace {

// Keeps a child's lines in shared memory; each says whose it is.
class KeptReport : public Report {
 public:
  KeptReport(ChildState& state, int number) : Report(state), state_(state), number_(number) {}

  Json line(const char* type) const override {
    Json json = Report::line(type);
    json.field("child", number_);
    return json;
  }

  void write(const Json& line) override {
    const std::size_t at = state_.text_bytes.load(std::memory_order_relaxed);
    const std::string text = line.text() + "\n";
    if (text.size() > ChildState::kTextBytes - at) {
      throw EngineError("the model has more to tell than there is room for", false);
    }
    std::memcpy(state_.text + at, text.data(), text.size());
    state_.text_bytes.store(at + text.size(), std::memory_order_release);
  }

 private:
  ChildState& state_;
  int number_;
};

class Child {
 public:
  Child(const Options& options, const std::string& folder, int number, HeatMemory& memory,
        const Watch& watch)
      : options_(options),
        model_(options.models[static_cast<std::size_t>(number)]),
        number_(number),
        memory_(memory),
        watch_(watch),
        report_(memory.child(number), number),
        session_(options, model_, folder, report_),
        frequency_(options.sys_root) {}

  Outcome run() {
    memory_.state().token.wait(number_);
    session_.greet();
    session_.open();
    session_.load();
    session_.first_inference();
    if (!session_.verify("before", model_.verify_samples)) return Outcome::kMismatch;
    session_.tell_warmed(session_.warm(), 0);
    // Turns are too short for the scheduler to notice that two threads of a child share a CPU, where
    // each was woken on the CPU it slept on: left alone, a child stays slow for a whole heat.
    session_.spread_threads();
    report_.enter(Stage::kTime);
    pass_on();
    take_turns();
    if (!session_.verify("after", 1)) return Outcome::kMismatch;
    session_.tell_memory("end");
    report_.enter(Stage::kEnd);
    pass_on();
    return Outcome::kDone;
  }

 private:
  // To the next child in the order of their numbers; from the last one to the supervisor.
  void pass_on() {
    if (number_ + 1 < static_cast<int>(options_.models.size())) {
      memory_.state().token.pass(number_ + 1);
    } else {
      watch_.call();
    }
  }

  void take_turns() {
    for (;;) {
      memory_.state().token.wait(number_);
      if (memory_.state().phase.load(std::memory_order_relaxed) == Phase::kFinish) return;
      // On one core the child that passed the token on is often put aside before it falls asleep,
      // and would go on in the middle of this turn.
      sched_yield();
      take_turn();
      const int next = memory_.next_child();
      next < 0 ? watch_.call() : memory_.state().token.pass(next);
    }
  }

  // From begin_ns to end_ns there is no output and no system call but the engine's own.
  void take_turn() {
    const std::uint64_t number = memory_.state().turns.load(std::memory_order_relaxed);
    const std::uint64_t first = memory_.first_sample(number), end = memory_.first_sample(number + 1);
    Turn& turn = memory_.turn(number);
    turn.child = number_;
    turn.freq_khz = frequency_.read();
    turn.begin_ns = now_ns();
    for (std::uint64_t i = first; i < end; ++i) {
      memory_.sample(i) = take_sample(session_.engine(), session_.input(), model_.handicap);
    }
    turn.end_ns = now_ns();
    memory_.state().turns.store(number + 1, std::memory_order_release);
  }

  const Options& options_;
  const ModelOptions& model_;
  const int number_;
  HeatMemory& memory_;
  const Watch& watch_;
  KeptReport report_;
  Session session_;
  FrequencyReader frequency_;
};

}  // namespace

Outcome run_child(const Options& options, const std::string& folder, int number, HeatMemory& memory,
                  const Watch& watch) {
  // An engine that prints must not do so between the lines of the protocol.
  dup2(STDERR_FILENO, STDOUT_FILENO);
  // Never destroyed: the process ends with _exit, and tear-down of a runtime is not measured.
  return (new Child(options, folder, number, memory, watch))->run();
}

}  // namespace pfd
