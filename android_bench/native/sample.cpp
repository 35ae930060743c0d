#include "sample.h"

#include "clock.h"

#include <sched.h>

namespace pfd {

std::int64_t timed_inference(Engine& engine, const Tensors& inputs) {
  engine.set_inputs(inputs);
  const std::int64_t begin = now_ns();
  engine.invoke();
  return now_ns() - begin;
}

Sample take_sample(Engine& engine, const Tensors& inputs, const Handicap& handicap) {
  engine.set_inputs(inputs);
  const std::int64_t begin = now_ns();
  engine.invoke();
  const std::int64_t done = now_ns();
  const auto spin = [&](std::int64_t ppm) {
    const std::int64_t until = done + (done - begin) * ppm / 1'000'000;
    std::int64_t now = done;
    while (now < until) now = now_ns();
    return now;
  };
  const std::int64_t end = spin(handicap.ppm);
  const std::int64_t cpu = sched_getcpu();
  spin(handicap.pause_ppm);
  return {end - begin, cpu};
}

Warmup warm_up(Engine& engine, const Tensors& inputs, std::int64_t iterations, std::int64_t ns) {
  Warmup done;
  const std::int64_t begin = now_ns();
  while (done.inferences < iterations || done.elapsed_ns < ns) {
    timed_inference(engine, inputs);
    ++done.inferences;
    done.elapsed_ns = now_ns() - begin;
  }
  return done;
}

}  // namespace pfd
