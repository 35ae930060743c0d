/* A model of two levels of data cache, and which lines of memory were touched.
 *
 * LRU, inclusive of writes, no prefetcher, virtual addresses, data only: what it counts is how
 * much a network's accesses spread, not what one core's real caches do. */
#ifndef PFD_MEMORY_H
#define PFD_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

enum { LINE_SHIFT = 6 }; /* 64 bytes, as on every Cortex-A of ARMv8 */

struct pfd_traffic {
  uint64_t l1_misses, l2_misses; /* of lines */
  uint64_t lines;                /* different ones that were touched */
};

/* False: the sizes are not powers of two, or there is no memory. */
bool pfd_memory_open(unsigned l1_bytes, unsigned l1_ways, unsigned l2_bytes, unsigned l2_ways);

void pfd_memory_access(uint64_t address, unsigned bytes);

/* Traffic since it was called last. */
struct pfd_traffic pfd_memory_take(void);

/* Different lines since the last call; those of `pfd_memory_take` do not add up to it. */
uint64_t pfd_memory_take_working_set(void);

#endif
