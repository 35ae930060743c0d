#include "tensors.h"

#include <bit>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>

namespace pfd {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

template <typename T>
std::vector<T> content(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto size = file ? static_cast<std::streamoff>(file.tellg()) : -1;
  if (size < 0) throw EngineError("cannot read " + path, true);
  if (static_cast<std::size_t>(size) % sizeof(T) != 0) {
    throw EngineError(path + " holds no whole number of elements", true);
  }
  std::vector<T> all(static_cast<std::size_t>(size) / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(all.data()), size);
  if (!file) throw EngineError("cannot read " + path, true);
  return all;
}

std::size_t elements(const TensorInfo& info) {
  return std::accumulate(info.shape.begin(), info.shape.end(), std::size_t{1},
                         [](std::size_t n, std::int64_t d) { return n * static_cast<std::size_t>(d); });
}

void check_count(const char* kind, std::size_t files, std::size_t tensors) {
  if (files == tensors) return;
  throw EngineError("the model has " + std::to_string(tensors) + " " + kind + " and " +
                    std::to_string(files) + " files were given", true);
}

// Samples of `size` units in a file of `total`.
std::int64_t count_samples(const std::string& path, std::size_t total, std::size_t size,
                           const char* unit) {
  if (size == 0 || total == 0 || total % size != 0) {
    throw EngineError(path + " has " + std::to_string(total) + " " + unit + ", which is no multiple of " +
                      std::to_string(size) + " as the model takes", true);
  }
  return static_cast<std::int64_t>(total / size);
}

// Numbers in [-1, 1), the same on every machine (splitmix64, Steele et al. 2014).
std::vector<std::byte> made_up(const TensorInfo& info, std::uint64_t seed) {
  std::vector<std::byte> bytes(info.size_bytes);
  const auto next = [&seed] {
    std::uint64_t z = seed += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  };
  if (info.dtype == "float32") {
    for (std::size_t at = 0; at + sizeof(float) <= bytes.size(); at += sizeof(float)) {
      const float value = static_cast<float>(next() >> 40) / static_cast<float>(1 << 23) - 1.0f;
      std::memcpy(bytes.data() + at, &value, sizeof value);
    }
  } else if (info.dtype == "int8" || info.dtype == "uint8") {
    for (auto& byte : bytes) byte = static_cast<std::byte>(next() >> 56);
  }  // other types stay zero: any bits would be values out of their meaning
  return bytes;
}

}  // namespace

TensorFiles::TensorFiles(const std::vector<std::string>& inputs,
                         const std::vector<std::string>& expected,
                         const std::vector<TensorInfo>& input_infos,
                         const std::vector<TensorInfo>& output_infos) {
  if (inputs.empty()) {
    for (std::size_t i = 0; i < input_infos.size(); ++i) {
      inputs_.push_back(made_up(input_infos[i], i + 1));
    }
    return;
  }
  check_count("inputs", inputs.size(), input_infos.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    inputs_.push_back(content<std::byte>(inputs[i]));
    const auto n = count_samples(inputs[i], inputs_[i].size(), input_infos[i].size_bytes, "bytes");
    if (i > 0 && n != samples_) throw EngineError("the input files hold different numbers of samples", true);
    samples_ = n;
  }
  if (expected.empty()) return;
  check_count("outputs", expected.size(), output_infos.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    expected_.push_back(content<float>(expected[i]));
    const auto n = count_samples(expected[i], expected_[i].size(), elements(output_infos[i]), "numbers");
    if (n != samples_) {
      throw EngineError(expected[i] + " holds " + std::to_string(n) + " samples and the inputs " +
                        std::to_string(samples_), true);
    }
  }
}

Tensors TensorFiles::inputs(std::int64_t sample) const {
  Tensors all;
  for (const auto& file : inputs_) {
    const std::size_t size = file.size() / static_cast<std::size_t>(samples_);
    all.emplace_back(file.data() + static_cast<std::size_t>(sample) * size, size);
  }
  return all;
}

std::span<const float> TensorFiles::expected(std::int64_t sample, std::size_t output) const {
  const auto& file = expected_[output];
  const std::size_t size = file.size() / static_cast<std::size_t>(samples_);
  return {file.data() + static_cast<std::size_t>(sample) * size, size};
}

}  // namespace pfd
