// An engine that misbehaves as its file says, for tests: "WHAT STAGE [NUMBER [SPIN]]": at the
// NUMBERth inference, each of which takes SPIN microseconds. It is also the proof that a file in
// engines/ is all that a new engine takes.

#include "../engine.h"

#include <fcntl.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <thread>

namespace {

class AwkwardEngine : public pfd::Engine {
 public:
  pfd::Description describe() const override { return {"awkward", "1.0", {".awk"}, {}, ""}; }

  void load(const pfd::LoadOptions& options) override {
    std::ifstream file(options.path);
    if (!(file >> what_ >> stage_)) throw pfd::EngineError("cannot read " + options.path, true);
    file >> number_ >> spin_us_;
    path_ = options.path;
    // One thread more than was asked for, or the threads that were.
    const int extra = options.threads - 1 + (what_ == "threads");
    for (int i = 0; i < extra; ++i) std::thread([] { for (;;) pause(); }).detach();
    misbehave("load");
  }

  std::vector<pfd::TensorInfo> inputs() const override { return {{"in", {2}, "float32", 8}}; }
  std::vector<pfd::TensorInfo> output_infos() const override { return {{"out", {2}, "float32", 8}}; }

  void set_inputs(std::span<const std::span<const std::byte>> tensors) override {
    std::memcpy(values_, tensors[0].data(), sizeof values_);
  }

  void invoke() override {
    ++calls_;
    spin((what_ == "spin" ? number_ : spin_us_) * 1000);
    if (calls_ == number_) misbehave("invoke");
  }

  // Twice the input; NaN, or one wrong element, when asked.
  std::vector<std::vector<std::byte>> outputs() override {
    float out[2] = {2 * values_[0], 2 * values_[1]};
    if (what_ == "nan") out[1] = std::numeric_limits<float>::quiet_NaN();
    if (what_ == "late" && calls_ >= number_) out[0] += 1;
    const auto* bytes = reinterpret_cast<const std::byte*>(out);
    return {{bytes, bytes + sizeof out}};
  }

  int threads() const override { return 0; }
  std::vector<pfd::OperatorEvent> take_events() override {
    std::vector<pfd::OperatorEvent> events{{"double", "MUL", "", 7}};
    if (what_ == "unsettled" && calls_ % 2 == 0) events.push_back({"extra", "", "", 1});
    return events;
  }

 private:
  static void spin(std::int64_t ns) {
    if (ns == 0) return;
    timespec t{};
    const auto now = [&t] {
      clock_gettime(CLOCK_MONOTONIC, &t);
      return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
    };
    for (const auto until = now() + ns; now() < until;) {}
  }

  void misbehave(const std::string& here) {
    if (stage_ != here) return;
    if (what_ == "segv") std::raise(SIGSEGV);
    if (what_ == "abort") std::abort();
    if (what_ == "exit") std::exit(0);
    if (what_ == "call" || what_ == "stuck") call();
    if (what_ == "hang" || what_ == "stuck") for (;;) pause();
    if (what_ == "kill") std::raise(SIGKILL);
    if (what_ == "stray") stray();
    if (what_ == "slow") spin(500'000'000);
    if (what_ == "hungry") hoard_ = new char[std::size_t{1} << 46];
    if (what_ == "call") call();
    if (what_ == "throw") throw std::runtime_error("an engine's own exception");
    if (what_ == "refuse") throw pfd::EngineError("no \"good\" \xff file\n", true);
    if (what_ == "chatter" && write(STDOUT_FILENO, "hello from an engine\n", 21) != 21) std::abort();
    if (what_ == "torn") {
      // Dies as if in the middle of a line of its own.
      if (write(STDOUT_FILENO, "{\"type\":\"sam", 12) != 12) std::abort();
      std::raise(SIGKILL);
    }
  }

  // Allows itself every CPU, whatever was asked for.
  static void stray() {
    cpu_set_t all;
    std::memset(&all, 0xFF, sizeof all);
    sched_setaffinity(0, sizeof all, &all);
  }

  // Tells a test that waits at the named pipe beside the file, and goes on.
  void call() const {
    const int pipe = open((path_ + ".pipe").c_str(), O_WRONLY);
    if (pipe < 0 || write(pipe, "!", 1) != 1) std::abort();
    close(pipe);
  }

  std::string path_, what_, stage_;
  std::int64_t number_ = 0, spin_us_ = 0, calls_ = 0;
  char* hoard_ = nullptr;
  float values_[2] = {0, 0};
};

}  // namespace

PFD_ENGINE(AwkwardEngine)
