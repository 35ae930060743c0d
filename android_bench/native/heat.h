// A heat: one process for each variant, all on the same CPUs and all alive at once, taking turns
// of some inferences. So whatever slows the device slows all of them.
#pragma once

#include "options.h"

#include <string>

namespace pfd {

// Runs the heat and writes its lines when it is over. Returns the exit status of the program.
// folder: where the engines' libraries lie.
int run_heat(const Options& options, const std::string& folder);

}  // namespace pfd
