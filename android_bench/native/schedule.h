// The timed part: what is inside a sample and what is not.
#pragma once

#include "channel.h"
#include "engine.h"
#include "options.h"

namespace pfd {

using Tensors = std::vector<std::span<const std::byte>>;

// Duration of one inference in ns. The inputs are written before it starts, as an application
// does; a memory plan may have given their space to later tensors.
std::int64_t timed_inference(Engine& engine, const Tensors& inputs);

struct Warmup {
  std::int64_t inferences = 0;
  std::int64_t elapsed_ns = 0;
};

// Runs until both the count and the time are reached.
Warmup warm_up(Engine& engine, const Tensors& inputs, std::int64_t iterations, std::int64_t ns);

// Runs the schedule and takes a sample of every inference. handicap_ppm: share of each
// inference's own duration to spin inside its sample, in millionths, so that the true slow-down
// is known exactly and holds whatever else slows the device.
void run_schedule(Engine& engine, const Tensors& inputs, const Schedule& schedule,
                  std::int64_t handicap_ppm, Channel& channel);

}  // namespace pfd
