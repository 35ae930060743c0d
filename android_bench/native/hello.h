// Who speaks: the version that host and harness must share, and the first line of a process.
#pragma once

#include "json.h"
#include "options.h"

namespace pfd {

inline constexpr int kProtocol = 2;
extern const char* const kVersion;  // protocol, "+", hash of the sources

// Adds protocol, version, mode, process and time to a line that is begun and stays open.
Json hello(Json line, Mode mode);

}  // namespace pfd
