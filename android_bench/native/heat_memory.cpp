#include "heat_memory.h"

#include "engine.h"
#include "process.h"

#include <algorithm>

namespace pfd {
namespace {

// Room is made for inferences that are no faster; faster ones fill it and end the heat early.
constexpr std::int64_t kFastInferenceNs = 5'000;

template <typename T>
T* shared_array(std::uint64_t count, bool is_filled_in) {
  void* memory = shared_memory(sizeof(T) * count, is_filled_in);
  if (memory == nullptr) throw EngineError("no memory left for what a heat records", false);
  return static_cast<T*>(memory);  // all of it zero, which is how each of them begins
}

// Whole cycles of the order that there is room for; at least one.
std::uint64_t most_cycles(const HeatOptions& heat) {
  const auto wanted = static_cast<std::uint64_t>(heat.duration_ns / kFastInferenceNs);
  return std::clamp(wanted, heat.cycle(), kMostSamples) / heat.cycle();
}

// The first sample of each turn of a cycle, and the number of all at the end.
std::vector<std::uint64_t> places(const HeatOptions& heat) {
  std::vector<std::uint64_t> first = {0};
  for (const int child : heat.order) first.push_back(first.back() + heat.burst_of(child));
  return first;
}

}  // namespace

HeatMemory::HeatMemory(const HeatOptions& heat, int children)
    : heat_(heat),
      first_(places(heat)),
      most_turns_(most_cycles(heat) * heat.order.size()),
      state_(shared_array<HeatState>(1, true)),
      children_(shared_array<ChildState>(static_cast<std::uint64_t>(children), false)),
      turns_(shared_array<Turn>(most_turns_, true)),
      samples_(shared_array<Sample>(most_cycles(heat) * heat.cycle(), true)) {}

int HeatMemory::next_child() {
  const std::uint64_t done = state_->turns.load(std::memory_order_relaxed);
  const std::uint64_t place = done % heat_.order.size();
  if (place == 0 && done > 0) {
    const bool in_time = turns_[done - 1].end_ns - turns_[0].begin_ns < heat_.duration_ns;
    const bool is_full = done + heat_.order.size() > most_turns_;
    if (in_time && is_full) state_->is_full.store(true, std::memory_order_relaxed);
    if (!in_time || is_full) return -1;
  }
  return heat_.order[place];
}

}  // namespace pfd
