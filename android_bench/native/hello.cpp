#include "hello.h"

#include "clock.h"

#include <unistd.h>

#include <cstdint>

namespace pfd {

const char* const kVersion = PFD_VERSION;

Json hello(Json line, Mode mode) {
  line.field("protocol", kProtocol).field("version", kVersion).field("mode", mode_name(mode));
  line.field("pid", static_cast<std::int64_t>(getpid())).field("at_ns", now_ns());
  return line;
}

}  // namespace pfd
