// What the supervisor of a heat and its children share: the token, every turn, every sample, and
// what each child tells about itself. Nothing of it is written out while turns are taken.
#pragma once

#include "options.h"
#include "progress.h"
#include "sample.h"
#include "token.h"

#include <atomic>
#include <cstdint>
#include <vector>

namespace pfd {

struct Turn {
  std::int64_t begin_ns, end_ns;
  std::int32_t child;
  std::int32_t freq_khz;  // of the CPU it began on; -1: not known
};

enum class Phase : int { kPrepare, kTurns, kFinish };

struct HeatState {
  Token token;
  std::atomic<Phase> phase;
  std::atomic<std::uint64_t> turns;  // whole ones
  std::atomic<bool> is_full;         // ended because no cycle more would have fitted
};

// What a child has told: whole lines, written out by the supervisor when the heat is over.
struct ChildState : Progress {
  static constexpr std::size_t kTextBytes = 1 << 20;
  std::atomic<std::size_t> text_bytes;
  char text[kTextBytes];
};

class HeatMemory {
 public:
  // Throws EngineError when there is not enough.
  HeatMemory(const HeatOptions& heat, int children);

  // Who is next, by the order and the turns that are whole; -1 when the heat is over. It ends
  // with a whole cycle: when its time is up, or when one more would not fit.
  int next_child();

  HeatState& state() { return *state_; }
  ChildState& child(int number) { return children_[number]; }
  Turn& turn(std::uint64_t number) { return turns_[number]; }
  // A child's turns have equal numbers of samples, so the place of each is known beforehand.
  std::uint64_t first_sample(std::uint64_t turn) const {
    const std::uint64_t turns = heat_.order.size();
    return turn / turns * first_.back() + first_[turn % turns];
  }
  Sample& sample(std::uint64_t number) { return samples_[number]; }

 private:
  const HeatOptions& heat_;
  std::vector<std::uint64_t> first_;  // of the turns of a cycle
  std::uint64_t most_turns_;
  HeatState* state_;
  ChildState* children_;
  Turn* turns_;
  Sample* samples_;
};

}  // namespace pfd
