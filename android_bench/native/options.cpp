#include "options.h"

#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <string_view>

namespace pfd {
namespace {

constexpr double kMostSeconds = 1e6;  // keeps nanoseconds inside 64 bits

std::int64_t whole(std::string_view name, std::string_view text, std::int64_t least,
                   std::int64_t most) {
  std::int64_t number = 0;
  const auto end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  if (result.ec != std::errc() || result.ptr != end || number < least || number > most) {
    throw UsageError(std::string(name) + " is '" + std::string(text) + "': give a whole number from " +
                     std::to_string(least) + " to " + std::to_string(most));
  }
  return number;
}

double real(std::string_view name, std::string_view text, double most) {
  double number = 0;
  const auto end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  if (result.ec != std::errc() || result.ptr != end || !(number >= 0 && number <= most)) {
    throw UsageError(std::string(name) + " is '" + std::string(text) + "': give a number >= 0");
  }
  return number;
}

std::int64_t nanoseconds(std::string_view name, std::string_view text) {
  return std::llround(real(name, text, kMostSeconds) * 1e9);
}

std::string hex_mask(std::string_view name, std::string_view text) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  if (text.empty() || text.find_first_not_of("0123456789abcdefABCDEF") != text.npos ||
      text.find_first_not_of('0') == text.npos) {
    throw UsageError(std::string(name) + " is '" + std::string(text) +
                     "': give hexadecimal digits with at least one bit set, as f0");
  }
  return std::string(text);
}

bool either(std::string_view name, std::string_view text) {
  if (text != "both" && text != "either") {
    throw UsageError(std::string(name) + " is '" + std::string(text) + "': give both or either");
  }
  return text == "either";
}

void check(const Options& o) {
  if (o.mode == Mode::kDescribe) return;
  const auto need = [](bool given, const char* what) {
    if (!given) throw UsageError(std::string(what) + " is missing");
  };
  need(!o.engine.empty(), "--engine NAME");
  need(!o.model.empty(), "--model FILE");
  if (o.mode == Mode::kVerify) need(!o.expected.empty(), "--expected FILE, which --verify compares with,");
  if (!o.expected.empty()) need(!o.inputs.empty(), "--input FILE, which --expected belongs to,");
  const bool timed = o.schedule.iterations > 0 || o.schedule.duration_ns > 0;
  if (!timed) throw UsageError("nothing to do: --iterations and --seconds are both 0");
  if (o.engine.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos) {
    throw UsageError("--engine is '" + o.engine + "': give a name that --describe lists");
  }
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options o;
  bool has_mode = false;
  const auto set_mode = [&](Mode mode) {
    if (has_mode) throw UsageError("give one of --describe --time --verify --profile --memory");
    o.mode = mode;
    has_mode = true;
  };
  const std::map<std::string_view, Mode> modes = {
      {"--describe", Mode::kDescribe}, {"--time", Mode::kTime}, {"--verify", Mode::kVerify},
      {"--profile", Mode::kProfile}, {"--memory", Mode::kMemory}};

  using Set = std::function<void(std::string_view name, std::string_view text)>;
  constexpr std::int64_t kMany = 1'000'000'000;
  const std::map<std::string_view, Set> values = {
      {"--host-version", [&](auto, auto t) { o.host_version = t; }},
      {"--engine", [&](auto, auto t) { o.engine = t; }},
      {"--model", [&](auto, auto t) { o.model = t; }},
      {"--threads", [&](auto n, auto t) { o.threads = static_cast<int>(whole(n, t, 1, 1024)); }},
      {"--cpu-mask", [&](auto n, auto t) { o.cpu_mask = hex_mask(n, t); }},
      {"--input", [&](auto, auto t) { o.inputs.emplace_back(t); }},
      {"--expected", [&](auto, auto t) { o.expected.emplace_back(t); }},
      {"--limit", [&](auto n, auto t) { o.limit = real(n, t, 1e9); }},
      {"--verify-samples", [&](auto n, auto t) { o.verify_samples = whole(n, t, 0, kMany); }},
      {"--warmup-iterations", [&](auto n, auto t) { o.warmup_iterations = whole(n, t, 0, kMany); }},
      {"--warmup-seconds", [&](auto n, auto t) { o.warmup_ns = nanoseconds(n, t); }},
      {"--iterations", [&](auto n, auto t) { o.schedule.iterations = whole(n, t, 0, kMany); }},
      {"--seconds", [&](auto n, auto t) { o.schedule.duration_ns = nanoseconds(n, t); }},
      {"--stop", [&](auto n, auto t) { o.schedule.stop_at_either = either(n, t); }},
      {"--max-seconds", [&](auto n, auto t) { o.schedule.most_ns = nanoseconds(n, t); }},
      {"--gap-seconds", [&](auto n, auto t) { o.schedule.gap_ns = nanoseconds(n, t); }},
      {"--flush-seconds", [&](auto n, auto t) { o.schedule.flush_ns = nanoseconds(n, t); }},
      {"--handicap-ppm", [&](auto n, auto t) { o.handicap_ppm = whole(n, t, 0, 10'000'000); }},
      {"--timeout-seconds", [&](auto n, auto t) { o.timeout_ns = nanoseconds(n, t); }},
      {"--etdump", [&](auto, auto t) { o.etdump = t; }},
      {"--sys-root", [&](auto, auto t) { o.sys_root = t; }}};

  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (const auto mode = modes.find(name); mode != modes.end()) {
      set_mode(mode->second);
    } else if (const auto value = values.find(name); value != values.end()) {
      if (++i == argc) throw UsageError(std::string(name) + " needs a value");
      value->second(name, argv[i]);
    } else {
      throw UsageError("unknown option '" + std::string(name) + "'");
    }
  }
  check(o);
  return o;
}

const char* usage() {
  return "pfd_bench --describe | [--time|--verify|--profile|--memory] --engine NAME --model FILE ...";
}

const char* mode_name(Mode mode) {
  switch (mode) {
    case Mode::kDescribe: return "describe";
    case Mode::kTime: return "time";
    case Mode::kVerify: return "verify";
    case Mode::kProfile: return "profile";
    case Mode::kMemory: return "memory";
  }
  return "";
}

}  // namespace pfd
