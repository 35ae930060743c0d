// What a supervisor knows of a working process: how far it came, how it ended, and its lines.
#pragma once

#include "json.h"

#include <atomic>
#include <string_view>

namespace pfd {

enum class Stage : int { kStart, kOpen, kLoad, kFirst, kVerify, kWarmup, kTime, kProfile, kCount, kEnd };
enum class Outcome : int { kNone, kDone, kMismatch, kRefused, kEnvironment, kCrashed, kTimeout, kKilled };

const char* stage_name(Stage stage);
const char* outcome_name(Outcome outcome);
int exit_status(Outcome outcome);

// Lies in memory that both processes see.
struct Progress {
  std::atomic<Stage> stage;
  std::atomic<Outcome> outcome;
  char message[2048];  // why it did not end well, one sentence

  void say(std::string_view text);
};
static_assert(std::atomic<Stage>::is_always_lock_free);

// How a run ended.
struct Ending {
  Outcome outcome = Outcome::kNone;
  int signal = 0;
};

// A line {"type":"end", ...} that is still open for more fields.
Json end_line(const Ending& ending, Stage stage, std::string_view message, std::uint64_t samples);

// Writes whole lines to stdout. Throws EngineError when nobody reads any more.
void write_text(std::string_view lines);
inline void write_line(const Json& line) { write_text(line.text() + "\n"); }

// How a working process tells about itself.
class Report {
 public:
  explicit Report(Progress& progress) : progress_(progress) {}
  virtual ~Report() = default;

  // A line of this type, begun; the caller ends the object.
  virtual Json line(const char* type) const;
  virtual void write(const Json& line) = 0;

  void enter(Stage stage) { progress_.stage.store(stage, std::memory_order_relaxed); }
  void say(std::string_view text) { progress_.say(text); }

 private:
  Progress& progress_;
};

}  // namespace pfd
