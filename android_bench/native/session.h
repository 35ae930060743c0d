// One model in one process, from opening its engine to being warm: the steps that every mode
// has in common. Each is timed where that means something, and tells what it found.
#pragma once

#include "engine.h"
#include "numerics.h"
#include "options.h"
#include "progress.h"
#include "sample.h"
#include "tensors.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pfd {

class Session {
 public:
  // folder: where the engines' libraries lie.
  Session(const Options& options, const ModelOptions& model, const std::string& folder, Report& report)
      : options_(options), model_(model), folder_(folder), report_(report) {}

  void greet();
  void open();
  void load();
  void first_inference();

  // Compares with what was expected and says so; at_most 0: every sample. True where nothing
  // was expected.
  bool verify(const char* when, std::int64_t at_most);

  // Warms up, then checks the threads.
  Warmup warm();

  // Says which threads there are and refuses any that are not as asked.
  void check_threads();

  // Gives each thread a CPU of its own, where there are as many CPUs as threads.
  void spread_threads();

  // settling: inferences that will follow the warm-up before the first sample.
  void tell_warmed(const Warmup& done, std::int64_t settling);

  // Resident memory of the process at a stage of its work.
  void tell_memory(const char* stage);

  Engine& engine() { return *engine_; }
  const Tensors& input() const { return input_; }

 private:
  void say_mismatch(const std::vector<TensorInfo>& infos, const std::vector<Distance>& far);

  const Options& options_;
  const ModelOptions& model_;
  const std::string& folder_;
  Report& report_;
  std::vector<std::int64_t> strangers_;  // threads that were here before us
  std::vector<std::int64_t> threads_;    // that compute, once they were checked; this one first
  std::unique_ptr<Engine> engine_;
  std::optional<TensorFiles> tensors_;
  Tensors input_;
};

}  // namespace pfd
