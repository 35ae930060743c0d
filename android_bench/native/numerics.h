// How far outputs are from what was expected.
#pragma once

#include "engine.h"

#include <span>

namespace pfd {

struct Distance {
  double relative_linf = 0;    // max |got - expected| / max |expected|; infinite if one is not finite
  double max_expected = 0;     // max |expected|
  std::int64_t not_finite = 0;  // elements that are NaN or infinite on either side
};

// got: raw elements of `dtype`; expected: as many float32. Throws EngineError for a type without
// an order of numbers.
Distance distance(std::span<const std::byte> got, const std::string& dtype,
                  std::span<const float> expected);

// The larger in every part.
Distance worst(const Distance& a, const Distance& b);

// False for NaN, whatever the limit.
inline bool within(const Distance& d, double limit) {
  return d.not_finite == 0 && d.relative_linf <= limit;
}

}  // namespace pfd
