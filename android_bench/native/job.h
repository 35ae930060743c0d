// One model in one process: open, load, first inference, verify, then what the mode asks for.
#pragma once

#include "channel.h"
#include "options.h"

namespace pfd {

Outcome run_job(const Options& options, const std::string& folder, Channel& channel);

}  // namespace pfd
