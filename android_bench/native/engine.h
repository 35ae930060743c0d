// The seam between the harness and a runtime. One file in engines/ implements it, ends with
// PFD_ENGINE(...), and is built into a library of its own that is loaded only when it is named.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pfd {

// What an engine is and needs, without loading a model.
struct Description {
  std::string name;                    // as given to --engine
  std::string version;                 // of the runtime it was built against
  std::vector<std::string> suffixes;   // of the files it runs, with the dot
  std::vector<std::string> libraries;  // files that must lie beside it on a device
  std::string unavailable;             // why it cannot run here; empty when it can
};

// One input or output of the loaded model.
struct TensorInfo {
  std::string name;                 // empty where the file has none
  std::vector<std::int64_t> shape;  // static, or with the batch that was asked for
  std::string dtype;                // NumPy's name
  std::size_t size_bytes = 0;
};

struct LoadOptions {
  std::string path;
  int threads = 1;       // including the thread that calls invoke
  std::int64_t batch = 0;  // of a .pte that leaves it open; 0: its largest
  bool profile = false;  // per-operator events are wanted; slows every inference
};

// One operator of one profiled inference.
struct OperatorEvent {
  std::string name;
  std::string kind;      // the operator's type where the name is more than that
  std::string delegate;  // empty when no delegate ran it
  std::int64_t duration_ns = 0;
};

// The engine refused something: the file, the input, the environment. Text for one line.
class EngineError : public std::runtime_error {
 public:
  // whose: the file's fault (true) or that of the machine it runs on (false).
  EngineError(const std::string& what, bool is_input) : std::runtime_error(what), is_input_(is_input) {}
  bool is_input() const { return is_input_; }

 private:
  bool is_input_;
};

class Engine {
 public:
  virtual ~Engine() = default;

  virtual Description describe() const = 0;

  // Called once, after the process was pinned. Throws EngineError.
  virtual void load(const LoadOptions& options) = 0;
  virtual std::vector<TensorInfo> inputs() const = 0;
  virtual std::vector<TensorInfo> output_infos() const = 0;

  // Bytes of every input, in order, as large as inputs() says. Copied.
  virtual void set_inputs(std::span<const std::span<const std::byte>> tensors) = 0;

  // The timed call: nothing but the runtime's own inference.
  virtual void invoke() = 0;

  // Bytes of every output of the last inference, in order.
  virtual std::vector<std::vector<std::byte>> outputs() = 0;

  // Threads the runtime says it uses, 0 when it does not say.
  virtual int threads() const = 0;

  // Operators run since the last call; needs LoadOptions::profile.
  virtual std::vector<OperatorEvent> take_events() = 0;

  // The runtime's own profile of the whole process as file content, empty when it has none.
  virtual std::vector<std::byte> native_profile() { return {}; }
};

// Throws in the program what was thrown in an engine's library. Where each has a C++ runtime of its
// own, linked statically, their types differ, and the program would not catch the library's.
enum class Thrown { kInput, kEnvironment, kNoMemory, kUnforeseen };
using Raise = void (*)(Thrown kind, const char* what);

// An engine whose exceptions are the program's.
template <class Real>
class Guarded final : public Engine {
 public:
  explicit Guarded(Raise raise) : raise_(raise), real_(translate([] { return new Real(); })) {}

  Description describe() const override {
    return translate([&] { return real_->describe(); });
  }
  void load(const LoadOptions& options) override {
    translate([&] { real_->load(options); });
  }
  std::vector<TensorInfo> inputs() const override {
    return translate([&] { return real_->inputs(); });
  }
  std::vector<TensorInfo> output_infos() const override {
    return translate([&] { return real_->output_infos(); });
  }
  void set_inputs(std::span<const std::span<const std::byte>> tensors) override {
    translate([&] { real_->set_inputs(tensors); });
  }
  void invoke() override {
    translate([&] { real_->invoke(); });
  }
  std::vector<std::vector<std::byte>> outputs() override {
    return translate([&] { return real_->outputs(); });
  }
  int threads() const override {
    return translate([&] { return real_->threads(); });
  }
  std::vector<OperatorEvent> take_events() override {
    return translate([&] { return real_->take_events(); });
  }
  std::vector<std::byte> native_profile() override {
    return translate([&] { return real_->native_profile(); });
  }

 private:
  template <class Call>
  auto translate(Call call) const -> decltype(call()) {
    std::string what;
    Thrown kind = Thrown::kUnforeseen;
    try {
      return call();
    } catch (const EngineError& error) {
      what = error.what();
      kind = error.is_input() ? Thrown::kInput : Thrown::kEnvironment;
    } catch (const std::bad_alloc&) {
      kind = Thrown::kNoMemory;
    } catch (const std::exception& error) {
      what = error.what();
    }
    raise_(kind, what.c_str());
    std::abort();  // it does not return
  }

  Raise raise_;
  std::unique_ptr<Real> real_;
};

}  // namespace pfd

extern "C" {
// What every engine library exports.
using PfdMakeEngine = pfd::Engine* (*)(pfd::Raise);
}

// The registrar: one line at the end of an engine's file.
#define PFD_ENGINE(Type)                                                                        \
  extern "C" __attribute__((visibility("default"))) pfd::Engine* pfd_make_engine(pfd::Raise r) { \
    return new pfd::Guarded<Type>(r);                                                           \
  }
