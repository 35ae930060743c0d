// A library that is loaded before all others when operators are counted, never when time is
// measured. XNNPACK reads the clock after each of its operators when it is asked to profile; here
// each reading is a mark too, and the address that it returns to tells who read.
//
// The mark and the load behind it lie in one block with the caller's address still in x30. As
// libc's function it returns 0, or something else when it fails; errno is not set, as no caller
// of ours looks at it.
#include <asm/unistd.h>

  .text
  .align 6
  .globl clock_gettime
  .type clock_gettime, %function
clock_gettime:
  hint #0x57
  ldr wzr, [x30]
  mov x8, __NR_clock_gettime
  svc #0
  ret
  .size clock_gettime, . - clock_gettime
  .section .note.GNU-stack, "", %progbits
