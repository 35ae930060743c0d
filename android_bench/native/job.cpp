#include "job.h"

#include "marks.h"
#include "modules.h"
#include "readings.h"
#include "schedule.h"
#include "session.h"

#include <algorithm>
#include <fstream>

namespace pfd {
namespace {

// Inferences between the reading of /sys, which cools caches, and the first sample.
constexpr std::int64_t kSettling = 2;

class Job {
 public:
  Job(const Options& options, const std::string& folder, Channel& channel)
      : options_(options),
        model_(options.models.front()),
        channel_(channel),
        session_(options, model_, folder, channel) {}

  Outcome run() {
    session_.greet();
    session_.tell_memory("start");
    session_.open();
    session_.load();
    session_.first_inference();
    if (!session_.verify("before", model_.verify_samples)) return Outcome::kMismatch;
    switch (options_.mode) {
      case Mode::kTime: time(); break;
      case Mode::kProfile: profile(); break;
      case Mode::kMemory: steady_memory(); break;
      case Mode::kCount: count(); break;
      case Mode::kVerify: session_.check_threads(); break;
      case Mode::kDescribe:
      case Mode::kHeat: break;
    }
    if (options_.mode == Mode::kTime && !session_.verify("after", 1)) return Outcome::kMismatch;
    channel_.enter(Stage::kEnd);
    return Outcome::kDone;
  }

 private:
  void time() {
    session_.tell_warmed(session_.warm(), kSettling);
    channel_.write(reading("before", options_.sys_root, {0}));
    for (std::int64_t i = 0; i < kSettling; ++i) timed_inference(session_.engine(), session_.input());
    channel_.enter(Stage::kTime);
    run_schedule(session_.engine(), session_.input(), options_.schedule, model_.handicap, channel_);
    channel_.write(reading("after", options_.sys_root, {0}));
    session_.tell_memory("end");
  }

  void profile() {
    session_.warm();
    channel_.enter(Stage::kProfile);
    Engine& engine = session_.engine();
    engine.take_events();
    const auto iterations = std::max<std::int64_t>(options_.schedule.iterations, 1);
    for (std::int64_t i = 0; i < iterations; ++i) {
      tell_operators(i, timed_inference(engine, session_.input()));
    }
    if (!options_.etdump.empty()) save_native_profile();
  }

  // The operators of the inference that was last.
  void tell_operators(std::int64_t inference, std::int64_t ns) {
    Json json = channel_.line("operators");
    json.field("inference", inference).field("inference_ns", ns).key("operators").begin_array();
    for (const auto& event : session_.engine().take_events()) {
      json.begin_object().field("name", event.name).field("kind", event.kind);
      json.field("delegate", event.delegate).field("ns", event.duration_ns).end_object();
    }
    channel_.write(json.end_array().end_object());
  }

  // Inferences between marks, for an emulator that counts; nothing is timed.
  void count() {
    session_.warm();
    channel_.enter(Stage::kCount);
    tell_files();
    Engine& engine = session_.engine();
    engine.take_events();
    for (std::int64_t i = 0; i < options_.schedule.iterations; ++i) {
      engine.set_inputs(session_.input());
      mark_begin();
      engine.invoke();
      mark_end();
      if (options_.with_operators) tell_operators(i, 0);
    }
  }

  // Where the addresses that an emulator tells belong.
  void tell_files() {
    Json json = channel_.line("files");
    json.key("files").begin_array();
    for (const auto& file : loaded_files()) {
      json.begin_object().field("name", file.name);
      json.field("base", file.base).field("end", file.end).end_object();
    }
    channel_.write(json.end_array().end_object());
  }

  void save_native_profile() {
    const auto content = session_.engine().native_profile();
    if (content.empty()) throw EngineError("engine " + model_.engine + " has no ETDump to write", true);
    std::ofstream file(options_.etdump, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
    file.close();
    if (!file) throw EngineError("cannot write " + options_.etdump, false);
    Json json = channel_.line("etdump");
    json.field("path", options_.etdump).field("size_bytes", static_cast<std::uint64_t>(content.size()));
    channel_.write(json.end_object());
  }

  void steady_memory() {
    session_.warm();
    session_.tell_memory("steady");
  }

  const Options& options_;
  const ModelOptions& model_;
  Channel& channel_;
  Session session_;
};

}  // namespace

Outcome run_job(const Options& options, const std::string& folder, Channel& channel) {
  // Never destroyed: the process ends with _exit, and tear-down of a runtime is not measured.
  return (new Job(options, folder, channel))->run();
}

}  // namespace pfd
