#include "progress.h"

#include "clock.h"
#include "engine.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace pfd {

const char* stage_name(Stage stage) {
  switch (stage) {
    case Stage::kStart: return "start";
    case Stage::kOpen: return "open";
    case Stage::kLoad: return "load";
    case Stage::kFirst: return "first";
    case Stage::kVerify: return "verify";
    case Stage::kWarmup: return "warmup";
    case Stage::kTime: return "time";
    case Stage::kProfile: return "profile";
    case Stage::kCount: return "count";
    case Stage::kEnd: return "end";
  }
  return "";
}

const char* outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNone: break;
    case Outcome::kDone: return "done";
    case Outcome::kMismatch: return "mismatch";
    case Outcome::kRefused: return "refused";
    case Outcome::kEnvironment: return "environment";
    case Outcome::kCrashed: return "crashed";
    case Outcome::kTimeout: return "timeout";
    case Outcome::kKilled: return "killed";
  }
  return "";
}

int exit_status(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDone: return 0;
    case Outcome::kMismatch: return 1;
    case Outcome::kRefused: return 2;
    case Outcome::kNone:
    case Outcome::kEnvironment: return 3;
    case Outcome::kCrashed: return 4;
    case Outcome::kTimeout: return 5;
    case Outcome::kKilled: return 6;
  }
  return 3;
}

void Progress::say(std::string_view text) {
  const std::size_t length = std::min(text.size(), sizeof message - 1);
  std::memcpy(message, text.data(), length);
  message[length] = '\0';
}

Json end_line(const Ending& ending, Stage stage, std::string_view message, std::uint64_t samples) {
  Json json;
  json.begin_object().field("type", "end").field("status", outcome_name(ending.outcome));
  json.field("stage", stage_name(stage)).field("message", message);
  json.field("signal", ending.signal).field("samples", samples).field("at_ns", now_ns());
  return json;
}

void write_text(std::string_view lines) {
  std::size_t done = 0;
  while (done < lines.size()) {
    const auto wrote = ::write(STDOUT_FILENO, lines.data() + done, lines.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      throw EngineError(std::string("cannot write results: ") + std::strerror(errno), false);
    }
    done += static_cast<std::size_t>(wrote);
  }
}

Json Report::line(const char* type) const {
  Json json;
  json.begin_object().field("type", type);
  return json;
}

}  // namespace pfd
