// Runs the work on one model in a child process, so that a crash of an engine ends in one record.
#pragma once

#include "channel.h"

#include <functional>

namespace pfd {

// Forks; the child calls `work`, the parent waits, asleep, and writes the one "end" line.
// Returns the exit status of the whole program.
int supervise(std::int64_t timeout_ns, const std::function<Outcome(Channel&)>& work);

}  // namespace pfd
