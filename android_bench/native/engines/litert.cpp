// LiteRT's C interface (2.3.0) as exported by libLiteRt.so, opened by name.
//
// The model is given as a buffer: CreateModelFromBuffer verifies the flatbuffer, while
// CreateModelFromFile does not and ends in SIGSEGV on damaged files.

#include "../engine.h"
#include "litert_api.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <type_traits>

namespace {

using namespace litert;

constexpr const char* kLibrary = "libLiteRt.so";
constexpr Index kSignature = 0;

const char* status_name(Status status) {
  switch (status) {  // litert_common.h
    case 1: return "invalid argument";
    case 2: return "no memory";
    case 3: return "runtime failure";
    case 4: return "missing input tensor";
    case 5: return "unsupported";
    case 6: return "not found";
    case 8: return "wrong version";
    case 500: return "file not readable as a model";
    case 501: return "invalid flatbuffer";
    case 502: return "a library could not be loaded";
    case 504: return "compilation failed";
    default: return "see litert_common.h";
  }
}

void check(Status status, const std::string& what) {
  if (status == kOk) return;
  const bool environment = status == 2 || status == 502;
  throw pfd::EngineError(
      what + " (" + std::to_string(status) + " " + status_name(status) + ")", !environment);
}

struct Element {
  const char* name;
  std::size_t bytes;
};

Element element(int type) {
  switch (type) {  // LiteRtElementType in litert_model_types.h
    case 1: return {"float32", 4};
    case 11: return {"float64", 8};
    case 10: return {"float16", 2};
    case 9: return {"int8", 1};
    case 3: return {"uint8", 1};
    case 7: return {"int16", 2};
    case 2: return {"int32", 4};
    case 4: return {"int64", 8};
    case 6: return {"bool", 1};
    default: throw pfd::EngineError("element type " + std::to_string(type) + " is not known", true);
  }
}

// A file mapped for the life of the process: the model points into it.
std::span<const std::byte> map_file(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat facts {};
  if (file < 0 || fstat(file, &facts) != 0) {
    throw pfd::EngineError(std::string("cannot open the file: ") + std::strerror(errno), true);
  }
  if (facts.st_size == 0) throw pfd::EngineError("the file is empty", true);
  const auto size = static_cast<std::size_t>(facts.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (data == MAP_FAILED) {
    throw pfd::EngineError(std::string("cannot map the file: ") + std::strerror(errno), true);
  }
  return {static_cast<const std::byte*>(data), size};
}

class LiteRtEngine : public pfd::Engine {
 public:
  pfd::Description describe() const override {
    pfd::Description about{"litert", PFD_ENGINE_VERSION, {".tflite"}, {PFD_ENGINE_LIBRARIES}, ""};
    if (dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL) == nullptr) about.unavailable = dlerror();
    return about;
  }

  void load(const pfd::LoadOptions& options) override {
    open_library();
    check(api_.CreateEnvironment(0, nullptr, &environment_), "LiteRT cannot start");
    const auto file = map_file(options.path);
    check(api_.CreateModelFromBuffer(environment_, file.data(), file.size(), &model_),
          "LiteRT refuses the file");
    check(api_.CreateOptions(&options_), "LiteRT has no options");
    check(api_.SetOptionsHardwareAccelerators(options_, kAcceleratorCpu), "LiteRT has no CPU");
    // The payloads are TOML. The default is one thread; a GPU or NPU is never asked.
    add_option("xnnpack", "num_threads = " + std::to_string(options.threads) + "\n");
    if (options.profile) add_option("runtime_options_string", "enable_profiling = true\n");
    check(api_.CreateCompiledModel(environment_, model_, options_, &compiled_),
          "LiteRT cannot prepare the model");
    Index signatures = 0;
    check(api_.GetNumModelSignatures(model_, &signatures), "the model has no signatures");
    if (signatures != 1) {
      throw pfd::EngineError(
          "the model has " + std::to_string(signatures) + " signatures instead of one", true);
    }
    check(api_.GetModelSignature(model_, kSignature, &signature_), "the signature is damaged");
    make_buffers();
    if (options.profile) start_profiler();
  }

  std::vector<pfd::TensorInfo> inputs() const override { return input_infos_; }
  std::vector<pfd::TensorInfo> output_infos() const override { return output_infos_; }

  void set_inputs(std::span<const std::span<const std::byte>> tensors) override {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      void* memory = nullptr;
      check(api_.LockTensorBuffer(inputs_[i], &memory, kWrite), "an input cannot be written");
      std::memcpy(memory, tensors[i].data(), tensors[i].size());
      check(api_.UnlockTensorBuffer(inputs_[i]), "an input cannot be given back");
    }
  }

  void invoke() override {
    const Status status = api_.RunCompiledModel(compiled_, kSignature, inputs_.size(), inputs_.data(),
                                                outputs_.size(), outputs_.data());
    if (status != kOk) check(status, "LiteRT failed in an inference");
  }

  std::vector<std::vector<std::byte>> outputs() override {
    std::vector<std::vector<std::byte>> all;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      void* memory = nullptr;
      check(api_.LockTensorBuffer(outputs_[i], &memory, kRead), "an output cannot be read");
      const auto* data = static_cast<const std::byte*>(memory);
      all.emplace_back(data, data + output_infos_[i].size_bytes);
      check(api_.UnlockTensorBuffer(outputs_[i]), "an output cannot be given back");
    }
    return all;
  }

  int threads() const override { return 0; }  // no call tells

  std::vector<pfd::OperatorEvent> take_events() override {
    std::vector<pfd::OperatorEvent> events;
    if (profiler_ == nullptr) return events;
    check(api_.StopProfiler(profiler_), "the profiler does not stop");
    int count = 0;
    check(api_.GetNumProfilerEvents(profiler_, &count), "the profiler tells no number");
    std::vector<ProfilerEvent> raw(static_cast<std::size_t>(count));
    if (count > 0) check(api_.GetProfilerEvents(profiler_, count, raw.data()), "the profiler is empty");
    for (const auto& event : raw) {
      const bool in_delegate = event.event_type & (kDelegateOperator | kDelegateProfiled);
      if (!in_delegate && !(event.event_type & kOperator)) continue;
      const std::string name = event.tag ? event.tag : "";
      const auto ns = static_cast<std::int64_t>(event.elapsed_us) * 1000;
      events.push_back({name, "", in_delegate ? "XNNPACK" : "", ns});
    }
    check(api_.ResetProfiler(profiler_), "the profiler cannot be emptied");
    check(api_.StartProfiler(profiler_), "the profiler does not start");
    return events;
  }

 private:
  void open_library() {
    void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw pfd::EngineError(dlerror(), false);
#define PFD_LOOK_UP(name, result, parameters) look_up(library, "LiteRt" #name, api_.name);
    PFD_LITERT_FUNCTIONS(PFD_LOOK_UP)
#undef PFD_LOOK_UP
  }

  template <typename Function>
  static void look_up(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) {
      throw pfd::EngineError(
          std::string(kLibrary) + " has no " + name + "; use version " PFD_ENGINE_VERSION, false);
    }
  }

  void add_option(const char* kind, const std::string& toml) {
    OpaqueOptions extra = nullptr;
    check(api_.CreateOpaqueOptions(kind, strdup(toml.c_str()), std::free, &extra),
          "LiteRT refuses an option");
    check(api_.AddOpaqueOptions(options_, extra), "LiteRT refuses an option");
  }

  void make_buffers() {
    Index inputs = 0, outputs = 0;
    check(api_.GetNumSignatureInputs(signature_, &inputs), "the signature has no inputs");
    check(api_.GetNumSignatureOutputs(signature_, &outputs), "the signature has no outputs");
    for (Index i = 0; i < inputs; ++i) {
      Requirements needs = nullptr;
      check(api_.GetCompiledModelInputBufferRequirements(compiled_, kSignature, i, &needs),
            "an input has no buffer");
      Tensor tensor = nullptr;
      const char* name = "";
      check(api_.GetSignatureInputTensorByIndex(signature_, i, &tensor), "an input is damaged");
      check(api_.GetSignatureInputName(signature_, i, &name), "an input has no name");
      add_buffer(tensor, name, needs, inputs_, input_infos_);
    }
    for (Index i = 0; i < outputs; ++i) {
      Requirements needs = nullptr;
      check(api_.GetCompiledModelOutputBufferRequirements(compiled_, kSignature, i, &needs),
            "an output has no buffer");
      Tensor tensor = nullptr;
      const char* name = "";
      check(api_.GetSignatureOutputTensorByIndex(signature_, i, &tensor), "an output is damaged");
      check(api_.GetSignatureOutputName(signature_, i, &name), "an output has no name");
      add_buffer(tensor, name, needs, outputs_, output_infos_);
    }
  }

  void add_buffer(Tensor tensor, const char* name, Requirements needs,
                  std::vector<TensorBuffer>& buffers, std::vector<pfd::TensorInfo>& infos) {
    RankedTensorType type{};
    check(api_.GetRankedTensorType(tensor, &type), "a tensor has no static shape");
    const Element kind = element(type.element_type);
    pfd::TensorInfo info{name ? name : "", {}, kind.name, kind.bytes};
    for (unsigned i = 0; i < type.rank; ++i) {
      if (type.dimensions[i] < 0) {
        throw pfd::EngineError("tensor " + info.name + " has no static shape", true);
      }
      info.shape.push_back(type.dimensions[i]);
      info.size_bytes *= static_cast<std::size_t>(type.dimensions[i]);
    }
    TensorBuffer buffer = nullptr;
    check(api_.CreateManagedTensorBufferFromRequirements(environment_, &type, needs, &buffer),
          "no memory for a tensor");
    std::size_t packed = 0;
    check(api_.GetTensorBufferPackedSize(buffer, &packed), "a tensor has no size");
    if (packed != info.size_bytes) {
      throw pfd::EngineError("tensor " + info.name + " is stored in another size than its shape",
                             true);
    }
    buffers.push_back(buffer);
    infos.push_back(std::move(info));
  }

  void start_profiler() {
    check(api_.CompiledModelGetProfiler(compiled_, &profiler_), "LiteRT has no profiler");
    check(api_.StartProfiler(profiler_), "the profiler does not start");
  }

  Api api_;
  Environment environment_ = nullptr;
  Model model_ = nullptr;
  Options options_ = nullptr;
  CompiledModel compiled_ = nullptr;
  Signature signature_ = nullptr;
  Profiler profiler_ = nullptr;
  std::vector<TensorBuffer> inputs_, outputs_;
  std::vector<pfd::TensorInfo> input_infos_, output_infos_;
};

}  // namespace

PFD_ENGINE(LiteRtEngine)
