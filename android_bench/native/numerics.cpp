#include "numerics.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace pfd {
namespace {

template <typename T>
double element_at(std::span<const std::byte> raw, std::size_t i) {
  T value;
  std::memcpy(&value, raw.data() + i * sizeof(T), sizeof(T));
  return static_cast<double>(value);
}

template <typename T>
Distance compare(std::span<const std::byte> got, std::span<const float> expected) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Distance d;
  double error = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double g = element_at<T>(got, i), e = expected[i];
    // A maximum would pass over NaN, so what is not finite is counted by itself.
    if (!std::isfinite(g) || !std::isfinite(e)) {
      ++d.not_finite;
      continue;
    }
    error = std::max(error, std::abs(g - e));
    d.max_expected = std::max(d.max_expected, std::abs(e));
  }
  if (d.not_finite > 0) {
    d.relative_linf = kInfinity;
  } else if (error > 0) {
    d.relative_linf = d.max_expected > 0 ? error / d.max_expected : kInfinity;
  }
  return d;
}

}  // namespace

Distance distance(std::span<const std::byte> got, const std::string& dtype,
                  std::span<const float> expected) {
  if (dtype == "float32") return compare<float>(got, expected);
  if (dtype == "float64") return compare<double>(got, expected);
  if (dtype == "int8") return compare<std::int8_t>(got, expected);
  if (dtype == "uint8") return compare<std::uint8_t>(got, expected);
  if (dtype == "int16") return compare<std::int16_t>(got, expected);
  if (dtype == "int32") return compare<std::int32_t>(got, expected);
  if (dtype == "int64") return compare<std::int64_t>(got, expected);
  throw EngineError("outputs of type " + dtype + " cannot be compared", true);
}

Distance worst(const Distance& a, const Distance& b) {
  return {std::max(a.relative_linf, b.relative_linf), std::max(a.max_expected, b.max_expected),
          a.not_finite + b.not_finite};
}

}  // namespace pfd
