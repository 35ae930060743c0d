// A child of a heat: it gets its model ready, then sleeps until the token comes and takes a turn.
#pragma once

#include "heat_memory.h"
#include "watch.h"

#include <string>

namespace pfd {

// All that child `number` does, in a process of its own. The supervisor is called when the last
// child is ready, and when the turns are over.
Outcome run_child(const Options& options, const std::string& folder, int number, HeatMemory& memory,
                  const Watch& watch);

}  // namespace pfd
