/* A library that the emulated program loads before all others where the emulator writes a
 * /proc/cpuinfo of its own (QEMU from 8.2 on): who opens that file gets the one of the core that
 * was asked for. The engines open it with open() and with nothing else. */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

int open(const char *path, int flags, ...) {
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  if (strcmp(path, "/proc/cpuinfo") == 0) path = PFD_CPUINFO;
  return openat(AT_FDCWD, path, flags, mode);
}
