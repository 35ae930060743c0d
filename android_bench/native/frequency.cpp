#include "frequency.h"

#include "clock.h"
#include "small_files.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>

namespace pfd {
namespace {

constexpr std::int64_t kSpentPerTurnNs = 50'000;

}  // namespace

std::int32_t FrequencyReader::read() {
  if (turns_to_pass_ > 0) {
    --turns_to_pass_;
    return -1;
  }
  const std::int64_t begin = now_ns();
  const std::int32_t khz = read_cpu(sched_getcpu());
  cost_ns_ = std::min(cost_ns_, now_ns() - begin);
  turns_to_pass_ = cost_ns_ / kSpentPerTurnNs;
  return khz;
}

std::int32_t FrequencyReader::read_cpu(int cpu) {
  const auto [file, is_new] = files_.try_emplace(cpu, -1);
  if (is_new) {
    const std::string path = root_ + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                             "/cpufreq/scaling_cur_freq";
    file->second = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  }
  if (file->second < 0) return -1;
  char text[32];
  const auto length = pread(file->second, text, sizeof text, 0);
  const auto khz = number_in({text, static_cast<std::size_t>(length > 0 ? length : 0)});
  // Some drivers say 0 for "do not know".
  const bool is_known = khz && *khz > 0 && *khz <= std::numeric_limits<std::int32_t>::max();
  return is_known ? static_cast<std::int32_t>(*khz) : -1;
}

}  // namespace pfd
