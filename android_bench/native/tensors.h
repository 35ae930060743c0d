// Inputs and expected outputs as given on the command line: raw little-endian files, samples
// one after the other.
#pragma once

#include "engine.h"
#include "sample.h"

namespace pfd {

class TensorFiles {
 public:
  // Throws EngineError when the files do not fit the model.
  TensorFiles(const std::vector<std::string>& inputs, const std::vector<std::string>& expected,
              const std::vector<TensorInfo>& input_infos, const std::vector<TensorInfo>& output_infos);

  std::int64_t samples() const { return samples_; }
  bool has_expected() const { return !expected_.empty(); }
  Tensors inputs(std::int64_t sample) const;
  std::span<const float> expected(std::int64_t sample, std::size_t output) const;

 private:
  std::int64_t samples_ = 1;
  std::vector<std::vector<std::byte>> inputs_;
  std::vector<std::vector<float>> expected_;
};

}  // namespace pfd
