// Marks for an emulator that counts instructions (android_bench/arm_cost/counter): hints that do
// nothing by themselves. Nothing at all where the code is not aarch64.
//
// A block of instructions is what the emulator counts by. It ends with the barrier after a mark,
// so that what runs between two marks is whole blocks.
#pragma once

#include <cstdint>

namespace pfd {

#if defined(__aarch64__)
inline void mark_begin() { asm volatile("hint #0x55\n\tisb" ::: "memory"); }
inline void mark_end() { asm volatile("hint #0x56\n\tisb" ::: "memory"); }

// Something within an inference. Which is told by the address that is loaded from.
inline void mark_within(const std::uint32_t* which) {
  asm volatile("hint #0x57\n\tldr wzr, [%0]" : : "r"(which) : "memory");
}
#else
inline void mark_begin() {}
inline void mark_end() {}
inline void mark_within(const std::uint32_t*) {}
#endif

}  // namespace pfd
