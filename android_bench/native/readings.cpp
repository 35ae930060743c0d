// Sources: proc(5); Linux kernel, Documentation/admin-guide/pm/cpufreq.rst,
// Documentation/driver-api/thermal, Documentation/hwmon/sysfs-interface.rst.

#include "readings.h"

#include "engine.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

namespace pfd {
namespace {

// Whole content of a small file, trimmed at the end; empty when it cannot be read.
std::string text_of(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  std::string text;
  char part[4096];
  for (;;) {
    const auto got = read(file, part, sizeof part);
    if (got <= 0) break;
    text.append(part, static_cast<std::size_t>(got));
  }
  close(file);
  while (!text.empty() && std::strchr(" \n\t\r", text.back()) != nullptr) text.pop_back();
  return text;
}

std::optional<std::int64_t> number_in(std::string_view text) {
  std::int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (result.ec != std::errc()) return std::nullopt;
  return number;
}

std::optional<std::int64_t> number_of(const std::string& path) { return number_in(text_of(path)); }

std::vector<std::string> entries(const std::string& folder, std::string_view prefix) {
  std::vector<std::string> names;
  DIR* handle = opendir(folder.c_str());
  if (handle == nullptr) return names;
  while (const dirent* entry = readdir(handle)) {
    if (std::string_view(entry->d_name).starts_with(prefix)) names.emplace_back(entry->d_name);
  }
  closedir(handle);
  std::sort(names.begin(), names.end());
  return names;
}

// "0-3,6" to 0 1 2 3 6.
std::vector<int> cpu_list(const std::string& text) {
  std::vector<int> cpus;
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const auto first = number_in(part);
    const auto dash = part.find('-');
    const auto last = dash == part.npos ? first : number_in(part.substr(dash + 1));
    if (!first || !last || *last - *first > 4096) continue;
    for (auto cpu = *first; cpu <= *last; ++cpu) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

std::int64_t clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

void frequencies(Json& json, const std::string& root, const std::vector<int>& cpus,
                 const char* key, const char* file) {
  json.key(key).begin_array();
  for (const int cpu : cpus) {
    const std::string folder = root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    auto khz = number_of(folder + "/cpufreq/" + file);
    if (khz && *khz <= 0) khz.reset();  // some drivers say 0 for "do not know"
    json.begin_array().value(cpu).value(khz).end_array();
  }
  json.end_array();
}

// [zone, thousandths of a degree or null] of every thermal zone and hardware monitor.
void temperatures(Json& json, const std::string& root) {
  json.key("temp_mc").begin_array();
  const auto add = [&](const std::string& name, const std::string& path) {
    json.begin_array().value(name).value(number_of(path)).end_array();
  };
  const std::string thermal = root + "/sys/class/thermal/";
  for (const auto& zone : entries(thermal, "thermal_zone")) {
    const std::string type = text_of(thermal + zone + "/type");
    add(type.empty() ? zone : type, thermal + zone + "/temp");
  }
  const std::string hwmon = root + "/sys/class/hwmon/";
  for (const auto& monitor : entries(hwmon, "hwmon")) {
    for (const auto& file : entries(hwmon + monitor, "temp")) {
      if (!file.ends_with("_input")) continue;
      const std::string stem = file.substr(0, file.size() - std::strlen("_input"));
      const std::string label = text_of(hwmon + monitor + "/" + stem + "_label");
      add(text_of(hwmon + monitor + "/name") + "/" + (label.empty() ? stem : label),
          hwmon + monitor + "/" + file);
    }
  }
  json.end_array();
}

// user nice system idle iowait irq softirq steal of all CPUs since boot, in clock ticks.
void cpu_times(Json& json, const std::string& root) {
  const std::string line = text_of(root + "/proc/stat");
  json.key("cpu_ticks").begin_array();
  std::string_view rest = std::string_view(line).substr(0, line.find('\n'));
  if (rest.starts_with("cpu ")) {
    rest.remove_prefix(3);
    for (int i = 0; i < 8; ++i) {
      rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
      const auto ticks = number_in(rest);
      if (!ticks) break;
      json.value(*ticks);
      rest.remove_prefix(std::min(rest.find(' '), rest.size()));
    }
  }
  json.end_array();
  json.field("ticks_per_second", static_cast<std::int64_t>(sysconf(_SC_CLK_TCK)));
}

std::int64_t own_cpu_ns() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ns = [](const timeval& t) {
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_usec * 1000;
  };
  return ns(usage.ru_utime) + ns(usage.ru_stime);
}

std::string field_of(const std::string& status, std::string_view name) {
  std::size_t begin = 0;
  while (begin < status.size()) {
    const std::size_t end = std::min(status.find('\n', begin), status.size());
    const std::string_view line(status.data() + begin, end - begin);
    if (line.starts_with(name)) {
      const auto value = line.find_first_not_of(": \t", name.size());
      return value == line.npos ? "" : std::string(line.substr(value));
    }
    begin = end + 1;
  }
  return "";
}

}  // namespace

std::int64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }

Json reading(const char* edge, const std::string& root) {
  Json json;
  json.begin_object().field("type", "reading").field("edge", edge);
  json.field("at_ns", now_ns()).field("boottime_ns", clock_ns(CLOCK_BOOTTIME));
  json.field("cpu", sched_getcpu());
  const auto online = cpu_list(text_of(root + "/sys/devices/system/cpu/online"));
  json.field("online_cpus", online);
  frequencies(json, root, online, "freq_khz", "scaling_cur_freq");
  frequencies(json, root, online, "freq_cap_khz", "scaling_max_freq");
  temperatures(json, root);
  const std::string load = text_of(root + "/proc/loadavg");
  double load_1min = 0;
  const auto parsed = std::from_chars(load.data(), load.data() + load.size(), load_1min);
  json.key("load_1min");
  parsed.ec == std::errc() ? json.value(load_1min) : json.null();
  cpu_times(json, root);
  json.field("own_cpu_ns", own_cpu_ns());
  json.end_object();
  return json;
}

Memory memory() {
  const std::string status = text_of("/proc/self/status");
  return {number_in(field_of(status, "VmRSS")), number_in(field_of(status, "VmHWM"))};
}

std::vector<Task> tasks() {
  std::vector<Task> found;
  for (const auto& tid : entries("/proc/self/task", "")) {
    const auto number = number_in(tid);
    const std::string status = text_of("/proc/self/task/" + tid + "/status");
    if (!number || status.empty()) continue;  // "." and "..", or a thread that just ended
    found.push_back({*number, field_of(status, "Name"),
                     normal_mask(field_of(status, "Cpus_allowed"))});
  }
  return found;
}

std::string normal_mask(const std::string& hex_digits) {
  std::string mask;
  for (const char c : hex_digits) {
    if (c != ',' && !(mask.empty() && c == '0')) mask += static_cast<char>(std::tolower(c));
  }
  return mask.empty() ? "0" : mask;
}

void pin(const std::string& hex_mask) {
  const std::string wanted = normal_mask(hex_mask);
  if (wanted.size() > CPU_SETSIZE / 4) throw EngineError("the CPU mask is longer than any machine", true);
  cpu_set_t set;
  CPU_ZERO(&set);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const char c = wanted[wanted.size() - 1 - i];
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    for (int bit = 0; bit < 4; ++bit) {
      if (digit >> bit & 1) CPU_SET(static_cast<int>(4 * i) + bit, &set);
    }
  }
  const std::string what = "cannot run on exactly the CPUs 0x" + wanted;
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    throw EngineError(what + ": " + std::strerror(errno), false);
  }
  cpu_set_t got;
  CPU_ZERO(&got);
  sched_getaffinity(0, sizeof got, &got);
  if (!CPU_EQUAL(&set, &got)) {
    throw EngineError(what + ": some are offline or not allowed to this process", false);
  }
}

}  // namespace pfd
