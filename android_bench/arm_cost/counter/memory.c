#include "memory.h"

#include <stdlib.h>
#include <string.h>

struct cache {
  uint64_t *lines; /* the newest of a set first; 0: empty */
  unsigned ways, set_mask;
};

/* Which lines were touched when: an open hash table of powers of two. */
struct touched {
  uint64_t line; /* 0: free; no program has its memory there */
  uint32_t take, inference;
};

static struct cache l1, l2;
static struct touched *table;
static uint64_t table_size, table_used;
static struct pfd_traffic traffic;
static uint64_t working_set;
static uint32_t take = 1, inference = 1;
static uint64_t last_line;

static bool open_cache(struct cache *cache, unsigned bytes, unsigned ways) {
  const unsigned sets = ways ? bytes / ways >> LINE_SHIFT : 0;
  if (sets == 0 || (sets & (sets - 1))) return false;
  cache->ways = ways;
  cache->set_mask = sets - 1;
  cache->lines = calloc((size_t)sets * ways, sizeof *cache->lines);
  return cache->lines != NULL;
}

bool pfd_memory_open(unsigned l1_bytes, unsigned l1_ways, unsigned l2_bytes, unsigned l2_ways) {
  table_size = 1 << 16;
  table = calloc(table_size, sizeof *table);
  return table != NULL && open_cache(&l1, l1_bytes, l1_ways) && open_cache(&l2, l2_bytes, l2_ways);
}

/* Tells whether the line was there, and makes it the newest of its set. */
static bool hit(struct cache *cache, uint64_t line) {
  uint64_t *set = cache->lines + (size_t)(line & cache->set_mask) * cache->ways;
  unsigned way = 0;
  while (way < cache->ways - 1 && set[way] != line) ++way;
  const bool found = set[way] == line;
  memmove(set + 1, set, way * sizeof *set);
  set[0] = line;
  return found;
}

static struct touched *slot_of(struct touched *slots, uint64_t size, uint64_t line) {
  uint64_t at = line * UINT64_C(0x9e3779b97f4a7c15) >> 20 & (size - 1);
  while (slots[at].line != 0 && slots[at].line != line) at = (at + 1) & (size - 1);
  return slots + at;
}

static void grow(void) {
  struct touched *larger = calloc(table_size * 2, sizeof *larger);
  if (larger == NULL) abort();
  for (uint64_t i = 0; i < table_size; ++i) {
    if (table[i].line) *slot_of(larger, table_size * 2, table[i].line) = table[i];
  }
  free(table);
  table = larger;
  table_size *= 2;
}

static void touch(uint64_t line) {
  struct touched *slot = slot_of(table, table_size, line);
  if (slot->line == 0) {
    slot->line = line;
    if (++table_used * 2 > table_size) {
      grow();
      slot = slot_of(table, table_size, line);
    }
  }
  traffic.lines += slot->take != take;
  working_set += slot->inference != inference;
  slot->take = take;
  slot->inference = inference;
}

void pfd_memory_access(uint64_t address, unsigned bytes) {
  const uint64_t last = (address + bytes - 1) >> LINE_SHIFT;
  for (uint64_t line = address >> LINE_SHIFT; line <= last; ++line) {
    if (line == last_line) continue; /* neither a miss nor new */
    last_line = line;
    touch(line);
    if (hit(&l1, line)) continue;
    ++traffic.l1_misses;
    if (!hit(&l2, line)) ++traffic.l2_misses;
  }
}

struct pfd_traffic pfd_memory_take(void) {
  const struct pfd_traffic taken = traffic;
  traffic = (struct pfd_traffic){0};
  ++take;
  last_line = 0;
  return taken;
}

uint64_t pfd_memory_take_working_set(void) {
  const uint64_t taken = working_set;
  working_set = 0;
  ++inference;
  last_line = 0;
  return taken;
}
