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

Sample take_sample(Engine& engine, const Tensors& inputs, std::int64_t handicap_ppm) {
  engine.set_inputs(inputs);
  const std::int64_t begin = now_ns();
  engine.invoke();
  std::int64_t end = now_ns();
  if (handicap_ppm > 0) {
    const std::int64_t until = end + (end - begin) * handicap_ppm / 1'000'000;
    do end = now_ns();
    while (end < until);
  }
  return {end - begin, sched_getcpu()};
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
