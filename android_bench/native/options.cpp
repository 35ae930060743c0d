#include "options.h"

#include "token.h"

#include <algorithm>
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

// "0,1,1,0" to 0 1 1 0.
template <typename T>
std::vector<T> whole_list(std::string_view name, std::string_view text, std::int64_t least,
                          std::int64_t most) {
  std::vector<T> list;
  for (std::size_t begin = 0; begin <= text.size();) {
    const auto end = std::min(text.find(',', begin), text.size());
    list.push_back(static_cast<T>(whole(name, text.substr(begin, end - begin), least, most)));
    begin = end + 1;
  }
  return list;
}

void need(bool given, const std::string& what) {
  if (!given) throw UsageError(what + " is missing");
}

void check_model(const ModelOptions& m, bool must_expect) {
  need(!m.engine.empty(), "--engine NAME");
  need(!m.model.empty(), "--model FILE");
  need(m.threads != kMissing, "--threads N");
  need(m.limit != kMissing, "--limit X");
  if (must_expect) need(!m.expected.empty(), "--expected FILE, which --verify compares with,");
  if (!m.expected.empty()) need(!m.inputs.empty(), "--input FILE, which --expected belongs to,");
  if (m.engine.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos) {
    throw UsageError("--engine is '" + m.engine + "': give a name that --describe lists");
  }
}

void check_schedule(const Options& o) {
  need(o.schedule.iterations != kMissing, "--iterations N");
  if (o.mode != Mode::kTime) return;
  need(o.schedule.flush_ns != kMissing, "--flush-seconds S");
  const bool timed = o.schedule.iterations > 0 || o.schedule.duration_ns > 0;
  if (!timed) throw UsageError("nothing to do: --iterations and --seconds are both 0");
}

void check_heat(const HeatOptions& heat, std::size_t children) {
  need(!heat.bursts.empty(), "--burst LIST");
  need(heat.duration_ns != kMissing, "--heat-seconds S");
  need(heat.turn_timeout_ns != kMissing, "--turn-timeout-seconds S");
  need(!heat.order.empty(), "--order LIST");
  if (children > kMostChildren) throw UsageError("more than " + std::to_string(kMostChildren) + " --child");
  std::vector<bool> has_turn(children, false);
  for (const int child : heat.order) {
    if (static_cast<std::size_t>(child) >= children) {
      throw UsageError("--order names child " + std::to_string(child) + " and there are " +
                       std::to_string(children) + ", counted from 0");
    }
    has_turn[static_cast<std::size_t>(child)] = true;
  }
  for (std::size_t child = 0; child < children; ++child) {
    if (!has_turn[child]) throw UsageError("--order has no turn of child " + std::to_string(child));
  }
  if (heat.bursts.size() != 1 && heat.bursts.size() != children) {
    throw UsageError("--burst has " + std::to_string(heat.bursts.size()) +
                     " numbers: give one, or one for each of " + std::to_string(children) + " children");
  }
  if (heat.cycle() > kMostSamples) {
    throw UsageError("one cycle of --order has more than " + std::to_string(kMostSamples) +
                     " inferences: make --burst smaller");
  }
}

void check(const Options& o) {
  if (o.mode == Mode::kDescribe) return;
  need(o.warmup_iterations != kMissing, "--warmup-iterations N");
  need(o.warmup_ns != kMissing, "--warmup-seconds S");
  need(o.timeout_ns != kMissing, "--timeout-seconds S");
  need(!o.models.empty(), o.mode == Mode::kHeat ? "--child" : "--engine NAME");
  for (const auto& model : o.models) check_model(model, o.mode == Mode::kVerify);
  if (o.mode == Mode::kTime || o.mode == Mode::kProfile || o.mode == Mode::kCount) check_schedule(o);
  if (o.mode == Mode::kHeat) check_heat(o.heat, o.models.size());
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options o;
  bool has_mode = false, has_children = false;
  const auto set_mode = [&](Mode mode) {
    if (has_mode) throw UsageError("give one of --describe --time --verify --profile --memory --count --heat");
    o.mode = mode;
    has_mode = true;
  };
  const std::map<std::string_view, Mode> modes = {
      {"--describe", Mode::kDescribe}, {"--time", Mode::kTime}, {"--verify", Mode::kVerify},
      {"--profile", Mode::kProfile}, {"--memory", Mode::kMemory}, {"--count", Mode::kCount}, {"--heat", Mode::kHeat}};

  using Set = std::function<void(std::string_view name, std::string_view text)>;
  constexpr std::int64_t kMany = 1'000'000'000;
  // Of the child named last, or of the one file there is.
  const auto model = [&]() -> ModelOptions& {
    if (o.models.empty()) o.models.emplace_back();
    return o.models.back();
  };
  const std::map<std::string_view, Set> values = {
      {"--host-version", [&](auto, auto t) { o.host_version = t; }},
      {"--cpu-mask", [&](auto n, auto t) { o.cpu_mask = hex_mask(n, t); }},
      {"--warmup-iterations", [&](auto n, auto t) { o.warmup_iterations = whole(n, t, 0, kMany); }},
      {"--warmup-seconds", [&](auto n, auto t) { o.warmup_ns = nanoseconds(n, t); }},
      {"--iterations", [&](auto n, auto t) { o.schedule.iterations = whole(n, t, 0, kMany); }},
      {"--seconds", [&](auto n, auto t) { o.schedule.duration_ns = nanoseconds(n, t); }},
      {"--stop", [&](auto n, auto t) { o.schedule.stop_at_either = either(n, t); }},
      {"--max-seconds", [&](auto n, auto t) { o.schedule.most_ns = nanoseconds(n, t); }},
      {"--gap-seconds", [&](auto n, auto t) { o.schedule.gap_ns = nanoseconds(n, t); }},
      {"--flush-seconds", [&](auto n, auto t) { o.schedule.flush_ns = nanoseconds(n, t); }},
      {"--burst", [&](auto n, auto t) { o.heat.bursts = whole_list<std::int64_t>(n, t, 1, kMany); }},
      {"--heat-seconds", [&](auto n, auto t) { o.heat.duration_ns = nanoseconds(n, t); }},
      {"--turn-timeout-seconds", [&](auto n, auto t) { o.heat.turn_timeout_ns = nanoseconds(n, t); }},
      {"--order", [&](auto n, auto t) { o.heat.order = whole_list<int>(n, t, 0, kMostChildren - 1); }},
      {"--timeout-seconds", [&](auto n, auto t) { o.timeout_ns = nanoseconds(n, t); }},
      {"--operators", [&](auto n, auto t) { o.with_operators = whole(n, t, 0, 1) == 1; }},
      {"--etdump", [&](auto, auto t) { o.etdump = t; }},
      {"--sys-root", [&](auto, auto t) { o.sys_root = t; }},
      {"--engine", [&](auto, auto t) { model().engine = t; }},
      {"--model", [&](auto, auto t) { model().model = t; }},
      {"--threads", [&](auto n, auto t) { model().threads = static_cast<int>(whole(n, t, 1, 1024)); }},
      {"--input", [&](auto, auto t) { model().inputs.emplace_back(t); }},
      {"--expected", [&](auto, auto t) { model().expected.emplace_back(t); }},
      {"--batch", [&](auto n, auto t) { model().batch = whole(n, t, 1, kMany); }},
      {"--limit", [&](auto n, auto t) { model().limit = real(n, t, 1e9); }},
      {"--verify-samples", [&](auto n, auto t) { model().verify_samples = whole(n, t, 0, kMany); }},
      {"--handicap-ppm", [&](auto n, auto t) { model().handicap.ppm = whole(n, t, 0, 10'000'000); }},
      {"--pause-ppm", [&](auto n, auto t) { model().handicap.pause_ppm = whole(n, t, 0, 10'000'000); }}};

  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (const auto mode = modes.find(name); mode != modes.end()) {
      set_mode(mode->second);
    } else if (name == "--child") {
      if (!has_children && !o.models.empty()) throw UsageError("options of a file come after --child");
      o.models.emplace_back();
      has_children = true;
    } else if (const auto value = values.find(name); value != values.end()) {
      if (++i == argc) throw UsageError(std::string(name) + " needs a value");
      value->second(name, argv[i]);
    } else {
      throw UsageError("unknown option '" + std::string(name) + "'");
    }
  }
  if (has_children != (o.mode == Mode::kHeat)) throw UsageError("--heat and --child belong together");
  check(o);
  return o;
}

const char* usage() {
  return "pfd_bench --describe | [--time|--verify|--profile|--memory|--count] --engine NAME --model FILE ... | "
         "--heat ... --child --engine NAME --model FILE ... --child ...";
}

const char* mode_name(Mode mode) {
  switch (mode) {
    case Mode::kDescribe: return "describe";
    case Mode::kTime: return "time";
    case Mode::kVerify: return "verify";
    case Mode::kProfile: return "profile";
    case Mode::kMemory: return "memory";
    case Mode::kCount: return "count";
    case Mode::kHeat: return "heat";
  }
  return "";
}

}  // namespace pfd
