#include "session.h"

#include "clock.h"
#include "hello.h"
#include "modules.h"
#include "pinning.h"
#include "readings.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace pfd {
namespace {

void tensor_fields(Json& json, const char* key, const std::vector<TensorInfo>& infos) {
  json.key(key).begin_array();
  for (const auto& info : infos) {
    json.begin_object().field("name", info.name).field("dtype", info.dtype);
    json.field("shape", info.shape).field("size_bytes", static_cast<std::uint64_t>(info.size_bytes));
    json.end_object();
  }
  json.end_array();
}

}  // namespace

void Session::greet() {
  Json json = hello(report_.line("hello"), options_.mode);
  report_.write(json.field("handicap_ppm", model_.handicap.ppm).end_object());
}

void Session::open() {
  report_.enter(Stage::kOpen);
  if (!options_.cpu_mask.empty()) pin(options_.cpu_mask);
  for (const auto& task : tasks()) {
    // An emulator's own threads are here before us and are not ours to check.
    if (task.tid != gettid()) strangers_.push_back(task.tid);
  }
  const std::int64_t begin = now_ns();
  engine_ = open_engine(folder_, model_.engine);
  const Description about = engine_->describe();
  if (!about.unavailable.empty()) throw EngineError(about.unavailable, false);
  const std::int64_t open_ns = now_ns() - begin;
  Json json = report_.line("opened");
  json.field("engine", about.name).field("engine_version", about.version);
  json.field("open_ns", open_ns).end_object();
  report_.write(json);
}

void Session::load() {
  report_.enter(Stage::kLoad);
  const std::int64_t begin = now_ns();
  engine_->load({.path = model_.model,
                 .threads = model_.threads,
                 .batch = model_.batch,
                 .profile = wants_operators(options_)});
  const std::int64_t load_ns = now_ns() - begin;
  Json json = report_.line("loaded");
  json.field("load_ns", load_ns);
  tensor_fields(json, "inputs", engine_->inputs());
  tensor_fields(json, "outputs", engine_->output_infos());
  json.end_object();
  report_.write(json);
  tell_memory("loaded");
  tensors_.emplace(model_.inputs, model_.expected, engine_->inputs(), engine_->output_infos());
}

void Session::first_inference() {
  report_.enter(Stage::kFirst);
  input_ = tensors_->inputs(0);
  const std::int64_t ns = timed_inference(*engine_, input_);
  Json json = report_.line("first");
  report_.write(json.field("first_inference_ns", ns).end_object());
  tell_memory("first");
  engine_->take_events();
}

bool Session::verify(const char* when, std::int64_t at_most) {
  if (!tensors_->has_expected()) return true;
  report_.enter(Stage::kVerify);
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
      std::all_of(far.begin(), far.end(), [&](const Distance& d) { return within(d, model_.limit); });
  Json json = report_.line("verified");
  json.field("when", when).field("samples", samples).field("limit", model_.limit);
  json.field("passed", passed).key("outputs").begin_array();
  for (std::size_t i = 0; i < infos.size(); ++i) {
    json.begin_object().field("name", infos[i].name).field("relative_linf", far[i].relative_linf);
    json.field("max_expected", far[i].max_expected).field("not_finite", far[i].not_finite);
    json.end_object();
  }
  report_.write(json.end_array().end_object());
  if (!passed) say_mismatch(infos, far);
  engine_->take_events();
  return passed;
}

void Session::say_mismatch(const std::vector<TensorInfo>& infos, const std::vector<Distance>& far) {
  for (std::size_t i = 0; i < far.size(); ++i) {
    if (within(far[i], model_.limit)) continue;
    char text[256];
    std::snprintf(text, sizeof text,
                  "output %zu '%.60s' is %.3g of its maximum away from what was expected, %lld "
                  "elements not finite; %.3g is allowed",
                  i, infos[i].name.c_str(), far[i].relative_linf,
                  static_cast<long long>(far[i].not_finite), model_.limit);
    report_.say(text);
    return;
  }
}

Warmup Session::warm() {
  report_.enter(Stage::kWarmup);
  const Warmup done = warm_up(*engine_, input_, options_.warmup_iterations, options_.warmup_ns);
  check_threads();
  return done;
}

void Session::tell_warmed(const Warmup& done, std::int64_t settling) {
  Json json = report_.line("warmed");
  json.field("inferences", done.inferences + settling).field("elapsed_ns", done.elapsed_ns);
  report_.write(json.end_object());
}

void Session::check_threads() {
  Json json = report_.line("threads");
  json.field("requested", model_.threads).field("engine_says", engine_->threads());
  json.field("cpu_mask", options_.cpu_mask.empty() ? "" : normal_mask(options_.cpu_mask));
  json.key("tasks").begin_array();
  std::string stray;
  threads_ = {gettid()};
  int count = 0;
  for (const auto& task : tasks()) {
    if (std::find(strangers_.begin(), strangers_.end(), task.tid) != strangers_.end()) continue;
    ++count;
    if (task.tid != gettid()) threads_.push_back(task.tid);
    json.begin_object().field("tid", task.tid).field("name", task.name);
    json.field("cpus_allowed", task.cpus_allowed).end_object();
    if (!options_.cpu_mask.empty() && task.cpus_allowed != normal_mask(options_.cpu_mask)) {
      stray = task.name + " may run on 0x" + task.cpus_allowed;
    }
  }
  report_.write(json.end_array().end_object());
  if (!stray.empty()) {
    throw EngineError("thread " + stray + ", not on 0x" + normal_mask(options_.cpu_mask), false);
  }
  for (const int used : {engine_->threads(), count}) {
    if (used == 0 || used == model_.threads) continue;
    throw EngineError("the engine uses " + std::to_string(used) + " threads, not " +
                      std::to_string(model_.threads), false);
  }
}

void Session::spread_threads() {
  if (model_.threads > 1 && !options_.cpu_mask.empty()) spread(threads_, options_.cpu_mask);
}

void Session::tell_memory(const char* stage) {
  const bool is_last = std::string_view(stage) == "end";
  if (options_.mode != Mode::kMemory && !is_last) return;
  const Memory used = memory();
  Json json = report_.line("memory");
  json.field("stage", stage).field("vm_rss_kib", used.rss_kib).field("vm_hwm_kib", used.hwm_kib);
  report_.write(json.end_object());
}

}  // namespace pfd
