// ExecuTorch's core C++ API as shipped in its wheel (1.5.1): Program, Method, ETDumpGen.
//
// The file is mapped and checked with Verification::InternalConsistency: with the default
// (Minimal) a file with a right header and damaged content ends in SIGSEGV.

#include "../engine.h"
#include "../marks.h"

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/core/exec_aten/util/dim_order_util.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

// extension/threadpool/threadpool.h is not in the wheel; its library is. Declared as there.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  std::size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(std::uint32_t new_thread_count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

namespace et = executorch::runtime;
using executorch::aten::ScalarType;
using executorch::aten::TensorImpl;
using executorch::extension::MmapDataLoader;

constexpr const char* kMethod = "forward";

// The runtime names missing operators and backends only in its log: the last errors are kept
// for the error line, everything still goes to stderr.
std::string& last_errors() {
  static std::string text;
  return text;
}

void keep_message(et_timestamp_t, et_pal_log_level_t level, const char* file, const char*,
                  std::size_t line, const char* message, std::size_t) {
  const char* name = std::strrchr(file, '/');
  std::fprintf(stderr, "%c %s:%zu %s\n", level, name ? name + 1 : file, line, message);
  if ((level == kError || level == kFatal) && last_errors().size() < 600) {
    last_errors().append(last_errors().empty() ? "" : "; ").append(message);
  }
}

std::string explain(const std::string& what, et::Error error) {
  char code[48];
  std::snprintf(code, sizeof code, " (0x%02x %s)", static_cast<unsigned>(error),
                et::to_string(error));
  return what + code + (last_errors().empty() ? "" : ": " + last_errors());
}

// A missing operator or backend is the machine's fault, a missing constant the file's; the
// runtime says NotFound for both of the latter.
[[noreturn]] void fail(const std::string& what, et::Error error) {
  const std::string said = last_errors();
  const bool lacks_backend = error == et::Error::NotFound &&
                             (said.find("is not available") != std::string::npos ||
                              said.find("is not registered") != std::string::npos);
  const bool environment = lacks_backend || error == et::Error::OperatorMissing ||
                           error == et::Error::MemoryAllocationFailed;
  throw pfd::EngineError(explain(what, error), !environment);
}

std::string dtype_name(ScalarType type) {
  switch (type) {
    case ScalarType::Float: return "float32";
    case ScalarType::Double: return "float64";
    case ScalarType::Half: return "float16";
    case ScalarType::Char: return "int8";
    case ScalarType::Byte: return "uint8";
    case ScalarType::Short: return "int16";
    case ScalarType::Int: return "int32";
    case ScalarType::Long: return "int64";
    case ScalarType::Bool: return "bool";
    default: return "scalar type " + std::to_string(static_cast<int>(type));
  }
}

// The wheel's libraries are made with libstdc++, whose string_view is {size, pointer}; libc++'s is
// {pointer, size}. Read as two words, the one is the other turned round.
std::string_view from_wheel(std::string_view view) {
#ifdef _LIBCPP_VERSION
  return {reinterpret_cast<const char*>(view.size()), reinterpret_cast<std::size_t>(view.data())};
#else
  return view;
#endif
}

pfd::TensorInfo tensor_info(const et::Result<et::TensorInfo>& meta, const char* side, std::size_t i) {
  if (!meta.ok()) {
    throw pfd::EngineError(
        std::string(side) + " " + std::to_string(i) + " of the model is no tensor", true);
  }
  const auto sizes = meta->sizes();
  return {std::string(from_wheel(meta->name())), {sizes.begin(), sizes.end()}, dtype_name(meta->scalar_type()),
          meta->nbytes()};
}

// OPERATOR_CALL and DELEGATE_CALL wrap the real thing; a kernel names itself inside.
bool is_frame(std::string_view name) {
  return name.starts_with("Method::") || name.starts_with("Program::") || name == "OPERATOR_CALL" ||
         name == "DELEGATE_CALL";
}

// What the marks of a kernel outside every delegate load from.
constexpr std::uint32_t kKernelBegins = 0, kKernelEnds = 0;

// Records operators as they end and still builds the ETDump.
class Tracer : public executorch::etdump::ETDumpGen {
 public:
  explicit Tracer(std::string delegate) : delegate_(std::move(delegate)) {}

  et::EventTracerEntry start_profiling(const char* name, et::ChainID chain,
                                       et::DebugHandle handle) override {
    const auto entry = ETDumpGen::start_profiling(name, chain, handle);
    open_.push_back({entry.event_id, name ? name : "", et::pal_current_ticks()});
    if (!is_frame(open_.back().name)) pfd::mark_within(&kKernelBegins);
    return entry;
  }
  void end_profiling(et::EventTracerEntry entry) override {
    const et_timestamp_t end = et::pal_current_ticks();
    const auto found = std::find_if(open_.rbegin(), open_.rend(),
                                    [&](const Open& o) { return o.event_id == entry.event_id; });
    if (found != open_.rend() && !is_frame(found->name)) pfd::mark_within(&kKernelEnds);
    ETDumpGen::end_profiling(entry);
    if (found == open_.rend()) return;
    if (!is_frame(found->name)) add(found->name, "", found->start, end);
    open_.erase(std::next(found).base());
  }
  void log_profiling_delegate(const char* name, et::DelegateDebugIntId id, et_timestamp_t start,
                              et_timestamp_t end, const void* metadata, std::size_t size) override {
    ETDumpGen::log_profiling_delegate(name, id, start, end, metadata, size);
    const std::string label = name ? name : "delegate operator " + std::to_string(id);
    add(label, delegate_, start, end);
  }
  std::vector<pfd::OperatorEvent> take() { return std::exchange(events_, {}); }

 private:
  struct Open {
    std::int64_t event_id;
    std::string name;
    et_timestamp_t start;
  };
  void add(const std::string& name, const std::string& delegate, et_timestamp_t start, et_timestamp_t end) {
    const auto ratio = et::pal_ticks_to_ns_multiplier();
    const auto ns = static_cast<std::int64_t>((end - start) * ratio.numerator / ratio.denominator);
    events_.push_back({name, "", delegate, ns});
  }
  std::string delegate_;
  std::vector<Open> open_;
  std::vector<pfd::OperatorEvent> events_;
};

// Planned memory of a method; 16-byte alignment as the runtime asks for.
struct Arena {
  explicit Arena(std::size_t bytes)
      : data(static_cast<std::uint8_t*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64))),
        size(bytes) {}
  ~Arena() { std::free(data); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  std::uint8_t* data;
  std::size_t size;
};

class ExecuTorchEngine : public pfd::Engine {
 public:
  pfd::Description describe() const override {
    return {"executorch", PFD_ENGINE_VERSION, {".pte"}, {PFD_ENGINE_LIBRARIES}, ""};
  }

  void load(const pfd::LoadOptions& options) override {
    et::runtime_init();
    et::register_pal(et::PalImpl::create(keep_message, __FILE__));
    set_threads(options.threads);

    auto loader = MmapDataLoader::from(options.path.c_str(), MmapDataLoader::MlockConfig::NoMlock);
    if (!loader.ok()) fail("ExecuTorch cannot open the file", loader.error());
    loader_.emplace(std::move(*loader));
    auto program = et::Program::load(&*loader_, et::Program::Verification::InternalConsistency);
    if (!program.ok()) fail("ExecuTorch refuses the file", program.error());
    program_.emplace(std::move(*program));

    const auto meta = program_->method_meta(kMethod);
    if (!meta.ok()) fail("the program has no method 'forward'", meta.error());
    plan_memory(*meta);
    if (options.profile) tracer_ = std::make_unique<Tracer>(delegate_name(*meta));
    auto method = program_->load_method(kMethod, memory_.get(), tracer_.get());
    if (!method.ok()) fail("ExecuTorch cannot load the method", method.error());
    method_.emplace(std::move(*method));
    std::vector<et::EValue> in(meta->num_inputs()), out(meta->num_outputs());
    if (method_->get_inputs(in.data(), in.size()) != et::Error::Ok ||
        method_->get_outputs(out.data(), out.size()) != et::Error::Ok) {
      fail("the method does not tell its tensors", et::Error::InvalidProgram);
    }
    for (std::size_t i = 0; i < in.size(); ++i) add_input(*meta, i, in[i], options.batch);
    for (std::size_t i = 0; i < out.size(); ++i) add_output(*meta, i, out[i], options.batch);
    if (tracer_) tracer_->take();
  }

  std::vector<pfd::TensorInfo> inputs() const override { return input_infos_; }
  std::vector<pfd::TensorInfo> output_infos() const override { return output_infos_; }

  void set_inputs(std::span<const std::span<const std::byte>> tensors) override {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      // The method copies from here, or keeps the pointer where its memory plan has no input.
      std::memcpy(inputs_[i]->data.get(), tensors[i].data(), tensors[i].size());
      const auto error = method_->set_input(*inputs_[i]->value, i);
      if (error != et::Error::Ok) fail("input " + std::to_string(i) + " was refused", error);
    }
  }

  void invoke() override {
    const auto error = method_->execute();
    if (error != et::Error::Ok) fail("ExecuTorch failed in an inference", error);
  }

  std::vector<std::vector<std::byte>> outputs() override {
    std::vector<std::vector<std::byte>> all;
    for (std::size_t i = 0; i < output_infos_.size(); ++i) {
      const auto& tensor = method_->get_output(i).toTensor();
      const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
      all.emplace_back(data, data + tensor.nbytes());
    }
    return all;
  }

  int threads() const override {
    return static_cast<int>(executorch::extension::threadpool::get_threadpool()->get_thread_count());
  }

  std::vector<pfd::OperatorEvent> take_events() override {
    return tracer_ ? tracer_->take() : std::vector<pfd::OperatorEvent>{};
  }

  std::vector<std::byte> native_profile() override {
    if (!tracer_) return {};
    const auto dump = tracer_->get_etdump_data();
    const auto* data = static_cast<const std::byte*>(dump.buf);
    return data ? std::vector<std::byte>(data, data + dump.size) : std::vector<std::byte>{};
  }

 private:
  struct Input {
    std::vector<TensorImpl::SizesType> sizes;
    std::vector<TensorImpl::DimOrderType> dim_order;
    std::vector<TensorImpl::StridesType> strides;
    std::unique_ptr<std::byte[]> data;
    std::unique_ptr<TensorImpl> impl;
    std::optional<et::EValue> value;
  };

  static void set_threads(int threads) {
    auto* pool = executorch::extension::threadpool::get_threadpool();
    if (pool == nullptr) {
      throw pfd::EngineError(
          "ExecuTorch has no thread pool here: it could not read "
          "/sys/devices/system/cpu/possible and /sys/devices/system/cpu/present", false);
    }
    // Also where the count is right: the pool's threads must be made after pinning.
    if (!pool->_unsafe_reset_threadpool(static_cast<std::uint32_t>(threads))) {
      throw pfd::EngineError("ExecuTorch cannot use " + std::to_string(threads) + " threads", false);
    }
  }

  // Delegates do not name themselves in their events; a file rarely uses more than one kind.
  static std::string delegate_name(const et::MethodMeta& meta) {
    const auto name = meta.num_backends() == 1 ? meta.get_backend_name(0)
                                               : et::Result<const char*>("delegate");
    return name.ok() ? *name : "delegate";
  }

  void plan_memory(const et::MethodMeta& meta) {
    for (std::size_t i = 0; i < meta.num_memory_planned_buffers(); ++i) {
      const auto size = meta.memory_planned_buffer_size(i);
      if (!size.ok() || *size < 0) fail("the memory plan is damaged", et::Error::InvalidProgram);
      arenas_.push_back(std::make_unique<Arena>(static_cast<std::size_t>(*size)));
      if (arenas_.back()->data == nullptr) fail("no memory", et::Error::MemoryAllocationFailed);
      spans_.emplace_back(arenas_.back()->data, arenas_.back()->size);
    }
    planned_ = std::make_unique<et::HierarchicalAllocator>(
        et::Span<et::Span<std::uint8_t>>(spans_.data(), spans_.size()));
    memory_ = std::make_unique<et::MemoryManager>(&allocator_, planned_.get(), &temporary_);
  }

  // The file tells the largest batch of a tensor whose first dimension it leaves open.
  static void set_batch(pfd::TensorInfo& info, const et::EValue& value, std::int64_t batch) {
    using executorch::aten::TensorShapeDynamism;
    const bool is_open = value.isTensor() && !info.shape.empty() &&
                         value.toTensor().shape_dynamism() != TensorShapeDynamism::STATIC;
    if (batch == 0 || !is_open) return;
    if (batch > info.shape[0]) {
      throw pfd::EngineError("a batch of " + std::to_string(batch) + ": the file takes at most " +
                             std::to_string(info.shape[0]), true);
    }
    info.size_bytes = info.size_bytes / static_cast<std::size_t>(info.shape[0]) *
                      static_cast<std::size_t>(batch);
    info.shape[0] = batch;
  }

  void add_input(const et::MethodMeta& meta, std::size_t i, const et::EValue& value,
                 std::int64_t batch) {
    const auto tensor = meta.input_tensor_meta(i);
    input_infos_.push_back(tensor_info(tensor, "input", i));
    auto& info = input_infos_.back();
    set_batch(info, value, batch);
    auto input = std::make_unique<Input>();
    for (const auto size : info.shape) {
      input->sizes.push_back(static_cast<TensorImpl::SizesType>(size));
    }
    input->dim_order.assign(tensor->dim_order().begin(), tensor->dim_order().end());
    input->strides.resize(input->sizes.size());
    const auto error = et::dim_order_to_stride(input->sizes.data(), input->dim_order.data(),
                                               input->sizes.size(), input->strides.data());
    if (error != et::Error::Ok) fail("input " + std::to_string(i) + " has a damaged layout", error);
    input->data = std::make_unique<std::byte[]>(std::max<std::size_t>(tensor->nbytes(), 1));
    input->impl = std::make_unique<TensorImpl>(
        tensor->scalar_type(), static_cast<ssize_t>(input->sizes.size()), input->sizes.data(),
        input->data.get(), input->dim_order.data(), input->strides.data());
    input->value.emplace(executorch::aten::Tensor(input->impl.get()));
    inputs_.push_back(std::move(input));
  }

  void add_output(const et::MethodMeta& meta, std::size_t i, const et::EValue& value,
                  std::int64_t batch) {
    const auto tensor = meta.output_tensor_meta(i);
    output_infos_.push_back(tensor_info(tensor, "output", i));
    set_batch(output_infos_.back(), value, batch);
    if (tensor->is_memory_planned()) return;
    unplanned_.push_back(std::make_unique<std::byte[]>(std::max<std::size_t>(tensor->nbytes(), 1)));
    const auto error = method_->set_output_data_ptr(unplanned_.back().get(), tensor->nbytes(), i);
    if (error != et::Error::Ok) fail("output " + std::to_string(i) + " was refused", error);
  }

  // Destruction in reverse: the method before everything it points to.
  executorch::extension::MallocMemoryAllocator allocator_, temporary_;
  std::vector<std::unique_ptr<Arena>> arenas_;
  std::vector<et::Span<std::uint8_t>> spans_;
  std::unique_ptr<et::HierarchicalAllocator> planned_;
  std::unique_ptr<et::MemoryManager> memory_;
  std::optional<MmapDataLoader> loader_;
  std::optional<et::Program> program_;
  std::unique_ptr<Tracer> tracer_;
  std::vector<std::unique_ptr<Input>> inputs_;
  std::vector<std::unique_ptr<std::byte[]>> unplanned_;
  std::vector<pfd::TensorInfo> input_infos_, output_infos_;
  std::optional<et::Method> method_;
};

}  // namespace

PFD_ENGINE(ExecuTorchEngine)
