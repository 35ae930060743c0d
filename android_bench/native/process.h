// One working process: how it begins, so that it never outlives its supervisor, and how it ended.
#pragma once

#include "progress.h"
#include "watch.h"

#include <sys/types.h>

#include <functional>

namespace pfd {

// Forks; the child does `work` and ends. What work throws becomes its outcome and message.
// Returns the child's number; throws EngineError when there can be no process more.
pid_t start_process(const Watch& watch, Progress& progress, const std::function<Outcome()>& work);

// What the status from waitpid means. Says why in `progress` when it did not end by itself.
Ending read_ending(int status, Progress& progress);

// Kills the process and waits until it is gone.
void kill_process(pid_t process);

// Why a run was ended from here, as an ending and in words.
Ending stopped_by(const Watch& watch, Watch::Event event, Progress& progress, std::int64_t timeout_ns);

// Zeroed memory that this process and those it starts share. Filled in: all of it is found now and
// not between two samples. Null when there is none left.
void* shared_memory(std::size_t bytes, bool is_filled_in);

}  // namespace pfd
