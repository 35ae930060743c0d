// Sources: proc(5); Linux kernel, Documentation/admin-guide/pm/cpufreq.rst,
// Documentation/driver-api/thermal, Documentation/hwmon/sysfs-interface.rst.

#include "readings.h"

#include "clock.h"
#include "small_files.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

namespace pfd {
namespace {

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

// CPU time that these processes have used; one that has ended counts nothing.
std::int64_t cpu_time_ns(const std::vector<pid_t>& processes) {
  std::int64_t sum = 0;
  for (const pid_t process : processes) {
    clockid_t clock;
    if (clock_getcpuclockid(process, &clock) == 0) sum += clock_ns(clock);
  }
  return sum;
}

}  // namespace

Json reading(const char* edge, const std::string& root, const std::vector<pid_t>& processes) {
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
  json.field("own_cpu_ns", cpu_time_ns(processes));
  json.end_object();
  return json;
}

Memory memory() {
  const std::string status = text_of("/proc/self/status");
  return {number_in(field_of(status, "VmRSS")), number_in(field_of(status, "VmHWM"))};
}

}  // namespace pfd
