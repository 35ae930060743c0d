#include "channel.h"

namespace pfd {

void Channel::write(const Json& line) {
  shared_.is_writing.store(true);
  write_line(line);
  shared_.is_writing.store(false);
}

void Channel::flush() {
  const auto begin = shared_.flushed.load(), end = shared_.taken.load(std::memory_order_acquire);
  if (begin == end) return;
  write(samples_line(begin, end, [&](auto i) { return shared_.samples[i % kRing]; }));
  shared_.flushed.store(end);
}

}  // namespace pfd
