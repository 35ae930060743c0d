// When a block ends, and what happens between its samples.
#pragma once

#include "channel.h"
#include "options.h"
#include "sample.h"

namespace pfd {

// Runs the schedule and takes a sample of every inference.
void run_schedule(Engine& engine, const Tensors& inputs, const Schedule& schedule,
                  const Handicap& handicap, Channel& channel);

}  // namespace pfd
