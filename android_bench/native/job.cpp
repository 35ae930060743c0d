#include "job.h"

#include "modules.h"
#include "numerics.h"
#include "readings.h"
#include "tensors.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>

namespace pfd {
namespace {

// Inferences between the reading of /sys, which cools caches, and the first sample.
constexpr std::int64_t kSettling = 2;

Json line(const char* type) {
  Json json;
  json.begin_object().field("type", type);
  return json;
}

void tensor_fields(Json& json, const char* key, const std::vector<TensorInfo>& infos) {
  json.key(key).begin_array();
  for (const auto& info : infos) {
    json.begin_object().field("name", info.name).field("dtype", info.dtype);
    json.field("shape", info.shape).field("size_bytes", static_cast<std::uint64_t>(info.size_bytes));
    json.end_object();
  }
  json.end_array();
}

class Job {
 public:
  Job(const Options& options, const std::string& folder, Channel& channel)
      : options_(options), folder_(folder), channel_(channel) {}

  Outcome run() {
    tell_memory("start");
    open();
    load();
    first_inference();
    if (tensors_->has_expected() && !verify("before", options_.verify_samples)) return Outcome::kMismatch;
    switch (options_.mode) {
      case Mode::kTime: time(); break;
      case Mode::kProfile: profile(); break;
      case Mode::kMemory: steady_memory(); break;
      case Mode::kVerify: check_threads(); break;
      case Mode::kDescribe: break;
    }
    if (options_.mode == Mode::kTime && tensors_->has_expected() && !verify("after", 1)) {
      return Outcome::kMismatch;
    }
    channel_.enter(Stage::kEnd);
    return Outcome::kDone;
  }

 private:
  void open() {
    channel_.enter(Stage::kOpen);
    if (!options_.cpu_mask.empty()) pin(options_.cpu_mask);
    for (const auto& task : tasks()) {
      // An emulator's own threads are here before us and are not ours to check.
      if (task.tid != gettid()) strangers_.push_back(task.tid);
    }
    const std::int64_t begin = now_ns();
    engine_ = open_engine(folder_, options_.engine);
    const Description about = engine_->describe();
    if (!about.unavailable.empty()) throw EngineError(about.unavailable, false);
    const std::int64_t open_ns = now_ns() - begin;
    Json json = line("opened");
    json.field("engine", about.name).field("engine_version", about.version);
    json.field("open_ns", open_ns).end_object();
    channel_.write(json);
  }

  void load() {
    channel_.enter(Stage::kLoad);
    const std::int64_t begin = now_ns();
    engine_->load({options_.model, options_.threads, options_.mode == Mode::kProfile});
    const std::int64_t load_ns = now_ns() - begin;
    Json json = line("loaded");
    json.field("load_ns", load_ns);
    tensor_fields(json, "inputs", engine_->inputs());
    tensor_fields(json, "outputs", engine_->output_infos());
    json.end_object();
    channel_.write(json);
    tell_memory("loaded");
    tensors_.emplace(options_.inputs, options_.expected, engine_->inputs(), engine_->output_infos());
  }

  void first_inference() {
    channel_.enter(Stage::kFirst);
    input_ = tensors_->inputs(0);
    const std::int64_t ns = timed_inference(*engine_, input_);
    Json json = line("first");
    channel_.write(json.field("first_inference_ns", ns).end_object());
    tell_memory("first");
    engine_->take_events();
  }

  // Compares with what was expected and says so; at_most 0: every sample.
  bool verify(const char* when, std::int64_t at_most) {
    channel_.enter(Stage::kVerify);
    const auto infos = engine_->output_infos();
    const std::int64_t samples =
        at_most == 0 ? tensors_->samples() : std::min(at_most, tensors_->samples());
    std::vector<Distance> far(infos.size());
    for (std::int64_t sample = 0; sample < samples; ++sample) {
      engine_->set_inputs(tensors_->inputs(sample));
      engine_->invoke();
      const auto outputs = engine_->outputs();
      for (std::size_t i = 0; i < infos.size(); ++i) {
        far[i] = worst(far[i], distance(outputs[i], infos[i].dtype, tensors_->expected(sample, i)));
      }
    }
    const bool passed =
        std::all_of(far.begin(), far.end(), [&](const Distance& d) { return within(d, options_.limit); });
    Json json = line("verified");
    json.field("when", when).field("samples", samples).field("limit", options_.limit);
    json.field("passed", passed).key("outputs").begin_array();
    for (std::size_t i = 0; i < infos.size(); ++i) {
      json.begin_object().field("name", infos[i].name).field("relative_linf", far[i].relative_linf);
      json.field("max_expected", far[i].max_expected).field("not_finite", far[i].not_finite);
      json.end_object();
    }
    channel_.write(json.end_array().end_object());
    if (!passed) say_mismatch(infos, far);
    engine_->take_events();
    return passed;
  }

  void say_mismatch(const std::vector<TensorInfo>& infos, const std::vector<Distance>& far) {
    for (std::size_t i = 0; i < far.size(); ++i) {
      if (within(far[i], options_.limit)) continue;
      char text[256];
      std::snprintf(text, sizeof text,
                    "output %zu '%.60s' is %.3g of its maximum away from what was expected, %lld "
                    "elements not finite; %.3g is allowed",
                    i, infos[i].name.c_str(), far[i].relative_linf,
                    static_cast<long long>(far[i].not_finite), options_.limit);
      channel_.shared().say(text);
      return;
    }
  }

  Warmup warm() {
    channel_.enter(Stage::kWarmup);
    const Warmup done = warm_up(*engine_, input_, options_.warmup_iterations, options_.warmup_ns);
    check_threads();
    return done;
  }

  void time() {
    const Warmup done = warm();
    Json json = line("warmed");
    json.field("inferences", done.inferences + kSettling).field("elapsed_ns", done.elapsed_ns);
    channel_.write(json.end_object());
    channel_.write(reading("before", options_.sys_root));
    for (std::int64_t i = 0; i < kSettling; ++i) timed_inference(*engine_, input_);
    channel_.enter(Stage::kTime);
    run_schedule(*engine_, input_, options_.schedule, options_.handicap_ppm, channel_);
    channel_.write(reading("after", options_.sys_root));
    tell_memory("end");
  }

  void profile() {
    warm();
    channel_.enter(Stage::kProfile);
    engine_->take_events();
    const auto iterations = std::max<std::int64_t>(options_.schedule.iterations, 1);
    for (std::int64_t i = 0; i < iterations; ++i) {
      const std::int64_t ns = timed_inference(*engine_, input_);
      Json json = line("operators");
      json.field("inference", i).field("inference_ns", ns).key("operators").begin_array();
      for (const auto& event : engine_->take_events()) {
        json.begin_object().field("name", event.name).field("kind", event.kind);
        json.field("delegate", event.delegate).field("ns", event.duration_ns).end_object();
      }
      channel_.write(json.end_array().end_object());
    }
    if (!options_.etdump.empty()) save_native_profile();
  }

  void save_native_profile() {
    const auto content = engine_->native_profile();
    if (content.empty()) throw EngineError("engine " + options_.engine + " has no ETDump to write", true);
    std::ofstream file(options_.etdump, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
    file.close();
    if (!file) throw EngineError("cannot write " + options_.etdump, false);
    Json json = line("etdump");
    json.field("path", options_.etdump).field("size_bytes", static_cast<std::uint64_t>(content.size()));
    channel_.write(json.end_object());
  }

  void steady_memory() {
    warm();
    tell_memory("steady");
  }

  // Says which threads there are and refuses a block whose threads are not as asked.
  void check_threads() {
    Json json = line("threads");
    json.field("requested", options_.threads).field("engine_says", engine_->threads());
    json.field("cpu_mask", options_.cpu_mask.empty() ? "" : normal_mask(options_.cpu_mask));
    json.key("tasks").begin_array();
    std::string stray;
    int count = 0;
    for (const auto& task : tasks()) {
      if (std::find(strangers_.begin(), strangers_.end(), task.tid) != strangers_.end()) continue;
      ++count;
      json.begin_object().field("tid", task.tid).field("name", task.name);
      json.field("cpus_allowed", task.cpus_allowed).end_object();
      if (!options_.cpu_mask.empty() && task.cpus_allowed != normal_mask(options_.cpu_mask)) {
        stray = task.name + " may run on 0x" + task.cpus_allowed;
      }
    }
    channel_.write(json.end_array().end_object());
    if (!stray.empty()) {
      throw EngineError("thread " + stray + ", not on 0x" + normal_mask(options_.cpu_mask), false);
    }
    for (const int used : {engine_->threads(), count}) {
      if (used == 0 || used == options_.threads) continue;
      throw EngineError("the engine uses " + std::to_string(used) + " threads, not " +
                        std::to_string(options_.threads), false);
    }
  }

  // One line a stage in the memory pass; in the timed pass only the peak at the very end.
  void tell_memory(const char* stage) {
    const bool is_last = std::string_view(stage) == "end";
    if (options_.mode != Mode::kMemory && !is_last) return;
    const Memory used = memory();
    Json json = line("memory");
    json.field("stage", stage).field("vm_rss_kib", used.rss_kib).field("vm_hwm_kib", used.hwm_kib);
    channel_.write(json.end_object());
  }

  const Options& options_;
  const std::string& folder_;
  Channel& channel_;
  std::vector<std::int64_t> strangers_;
  std::unique_ptr<Engine> engine_;
  std::optional<TensorFiles> tensors_;
  Tensors input_;
};

}  // namespace

Outcome run_job(const Options& options, const std::string& folder, Channel& channel) {
  // Never destroyed: the process ends with _exit, and tear-down of a runtime is not measured.
  return (new Job(options, folder, channel))->run();
}

}  // namespace pfd
