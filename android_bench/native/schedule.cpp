#include "schedule.h"

#include "clock.h"

#include <time.h>

namespace pfd {
namespace {

void sleep_ns(std::int64_t ns) {
  timespec left{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  while (nanosleep(&left, &left) != 0) {}
}

bool is_over(const Schedule& schedule, std::int64_t count, std::int64_t elapsed_ns) {
  if (schedule.most_ns > 0 && elapsed_ns >= schedule.most_ns) return true;
  const bool count_met = count >= schedule.iterations;
  const bool time_met = elapsed_ns >= schedule.duration_ns;
  if (!schedule.stop_at_either) return count_met && time_met;
  return (schedule.iterations > 0 && count_met) || (schedule.duration_ns > 0 && time_met);
}

}  // namespace

void run_schedule(Engine& engine, const Tensors& inputs, const Schedule& schedule,
                  const Handicap& handicap, Channel& channel) {
  const std::int64_t start = now_ns();
  std::int64_t last_flush = start;
  for (std::int64_t count = 1;; ++count) {
    channel.take(take_sample(engine, inputs, handicap));
    const std::int64_t end = now_ns();
    if (is_over(schedule, count, end - start)) break;
    // Between two samples, never inside one. A block shorter than the period is not disturbed.
    if (end - last_flush >= schedule.flush_ns || channel.is_full()) {
      channel.flush();
      last_flush = now_ns();
    }
    if (schedule.gap_ns > 0) sleep_ns(schedule.gap_ns);
  }
  channel.flush();
}

}  // namespace pfd
