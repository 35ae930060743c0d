/* A plugin of QEMU's user-mode emulation: counts what one thread executes between two marks, by
 * kind of instruction, and what its accesses would miss in a model of the caches.
 *
 * Code is counted by blocks. When the emulator translates a block, its instructions are decoded
 * once; when it runs one, the block's number goes up by one. So a block costs one call however
 * long it is, and counts are exact: a block is left only at its end, except for a fault, which
 * ends the run. Only the thread that met the first mark is counted, so no counter is shared.
 *
 * Marks are hints that do nothing by themselves (native/marks.h says where they stand):
 *   hint 0x55  an inference begins        hint 0x56  it ended
 *   hint 0x57  something within it ended; the address that the next instruction loads from tells
 *              what, because older versions of the interface cannot read registers. Where the
 *              first store after it goes is told too: whoever asked for the time keeps it there
 *
 * Arguments: out=FILE (JSON lines are added to it), l1=BYTES:WAYS, l2=BYTES:WAYS, blocks=N.
 */
#include "decode.h"
#include "emulator.h"
#include "memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

/* QEMU 7.2 takes versions 0 and 1, 9.0 to 10.x take 2 and later ones. */
__attribute__((constructor)) static void choose_version(void) {
  if (qemu_plugin_scoreboard_new != NULL) qemu_plugin_version = 2;
}

enum { HINT_BEGIN = 0xd5032abf, HINT_END = 0xd5032adf, HINT_WITHIN = 0xd5032aff };

/* What is counted of every block: instructions of each kind, multiply-accumulates of each kind
 * that has some, and bytes. */
enum {
  MACS = KIND_COUNT,
  MAC_KINDS = KIND_mac_integer - KIND_mac_fp32 + 1,
  BYTES_LOADED = MACS + MAC_KINDS,
  BYTES_STORED,
  COUNTERS
};
static const char *const names[COUNTERS] = {
#define PFD_NAME(name) #name,
    PFD_KINDS(PFD_NAME)
#undef PFD_NAME
    "macs_fp32", "macs_fp16", "macs_fp64", "macs_dot", "macs_integer", "bytes_loaded", "bytes_stored"};

struct block {
  struct block *next; /* of the same hash */
  uint64_t address, hash;
  uint32_t *words;
  unsigned length;
  uint16_t each[COUNTERS]; /* of one execution */
  uint64_t runs;           /* since the last mark */
  uint64_t all_runs;       /* of the inference */
};

enum { BUCKETS = 1 << 16 };
static struct block *buckets[BUCKETS];
static struct block **ran; /* with runs since the last mark */
static size_t ran_count, ran_size;
static struct block **inference_blocks; /* with all_runs */
static size_t inference_count, inference_size;

static const char *out_path;
static FILE *out;
static size_t most_blocks = 64;
static bool has_memory;
static bool new_insn_data;

static bool is_on;
static unsigned counted_vcpu;
static unsigned inferences, segments;
static bool awaits_store; /* the first one after a mark is told too */
static uint64_t stored;
static uint64_t total[COUNTERS];
static struct pfd_traffic total_traffic;

static void *more(void *list, size_t *size) {
  *size = *size ? *size * 2 : 4096;
  list = realloc(list, *size * sizeof(struct block *));
  if (list == NULL) abort();
  return list;
}

/* ---- running ------------------------------------------------------------------------------ */

static void on_block(unsigned vcpu, void *data) {
  struct block *block = data;
  if (!is_on || vcpu != counted_vcpu) return;
  if (block->runs++ > 0) return;
  if (ran_count == ran_size) ran = more(ran, &ran_size);
  ran[ran_count++] = block;
}

static void on_access(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
  (void)data;
  if (!is_on || vcpu != counted_vcpu) return;
  if (awaits_store && qemu_plugin_mem_is_store(info)) {
    stored = address;
    awaits_store = false;
  }
  if (has_memory) pfd_memory_access(address, 1u << qemu_plugin_mem_size_shift(info));
}

static void write_counts(const uint64_t *counts, const struct pfd_traffic *traffic) {
  fprintf(out, "\"counts\":[");
  for (int i = 0; i < COUNTERS; ++i) fprintf(out, "%s%" PRIu64, i ? "," : "", counts[i]);
  fprintf(out, "]");
  if (!has_memory) return;
  fprintf(out, ",\"l1_misses\":%" PRIu64 ",\"l2_misses\":%" PRIu64 ",\"lines\":%" PRIu64,
          traffic->l1_misses, traffic->l2_misses, traffic->lines);
}

/* Ends a segment: what ran since the last mark. */
static void end_segment(uint64_t address) {
  uint64_t counts[COUNTERS] = {0};
  for (size_t i = 0; i < ran_count; ++i) {
    struct block *block = ran[i];
    for (int k = 0; k < COUNTERS; ++k) counts[k] += block->each[k] * block->runs;
    if (block->all_runs == 0) {
      if (inference_count == inference_size) inference_blocks = more(inference_blocks, &inference_size);
      inference_blocks[inference_count++] = block;
    }
    block->all_runs += block->runs;
    block->runs = 0;
  }
  ran_count = 0;
  struct pfd_traffic traffic = {0};
  if (has_memory) traffic = pfd_memory_take();
  for (int k = 0; k < COUNTERS; ++k) total[k] += counts[k];
  total_traffic.l1_misses += traffic.l1_misses;
  total_traffic.l2_misses += traffic.l2_misses;
  if (segments++) fprintf(out, "\"stored\":%" PRIu64 "},", stored);
  stored = 0;
  awaits_store = true;
  fprintf(out, "{\"at\":%" PRIu64 ",", address);
  write_counts(counts, &traffic);
  fprintf(out, ",");
}

static void write_names(void) {
  fprintf(out, "{\"counters\":[");
  for (int i = 0; i < COUNTERS; ++i) fprintf(out, "%s\"%s\"", i ? "," : "", names[i]);
  fprintf(out, "]}\n");
}

static void on_begin(unsigned vcpu, void *data) {
  (void)data;
  if (is_on) return;
  if (out == NULL) {
    out = fopen(out_path, "a");
    if (out == NULL) {
      perror(out_path);
      exit(3);
    }
    write_names();
  }
  memset(total, 0, sizeof total);
  total_traffic = (struct pfd_traffic){0};
  segments = 0;
  fprintf(out, "{\"inference\":%u,\"segments\":[", inferences++);
  counted_vcpu = vcpu;
  is_on = true;
}

static int by_instructions(const void *left, const void *right) {
  const struct block *a = *(struct block *const *)left, *b = *(struct block *const *)right;
  const uint64_t x = a->all_runs * a->length, y = b->all_runs * b->length;
  if (x != y) return x < y ? 1 : -1;
  return a->address < b->address ? -1 : a->address > b->address;
}

static void write_blocks(void) {
  qsort(inference_blocks, inference_count, sizeof *inference_blocks, by_instructions);
  fprintf(out, "\"blocks\":[");
  for (size_t i = 0; i < inference_count && i < most_blocks; ++i) {
    const struct block *block = inference_blocks[i];
    fprintf(out, "%s{\"address\":%" PRIu64 ",\"runs\":%" PRIu64 ",\"words\":[", i ? "," : "",
            block->address, block->all_runs);
    for (unsigned k = 0; k < block->length; ++k) fprintf(out, "%s%" PRIu32, k ? "," : "", block->words[k]);
    fprintf(out, "]}");
  }
  fprintf(out, "],\"different_blocks\":%zu,", inference_count);
  for (size_t i = 0; i < inference_count; ++i) inference_blocks[i]->all_runs = 0;
  inference_count = 0;
}

static void on_end(unsigned vcpu, void *data) {
  (void)data;
  if (!is_on || vcpu != counted_vcpu) return;
  is_on = false;
  end_segment(0);
  fprintf(out, "\"stored\":0}],");
  write_blocks();
  total_traffic.lines = has_memory ? pfd_memory_take_working_set() : 0;
  write_counts(total, &total_traffic);
  fprintf(out, "}\n");
  fflush(out);
}

static void on_within(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
  (void)info, (void)data;
  if (is_on && vcpu == counted_vcpu) end_segment(address);
}

/* ---- translating -------------------------------------------------------------------------- */

static uint32_t word_of(struct qemu_plugin_insn *instruction) {
  void *function = (void *)qemu_plugin_insn_data;
  uint32_t word = 0;
  if (new_insn_data) {
    size_t (*copy)(const struct qemu_plugin_insn *, void *, size_t) = function;
    copy(instruction, &word, sizeof word);
  } else {
    const void *(*bytes)(const struct qemu_plugin_insn *) = function;
    memcpy(&word, bytes(instruction), sizeof word);
  }
  return word; /* aarch64 code is little-endian, as the hosts we run on */
}

static void weigh(struct block *block) {
  for (unsigned i = 0; i < block->length; ++i) {
    const struct pfd_instruction found = pfd_decode(block->words[i]);
    block->each[found.kind] += 1;
    if (found.macs) block->each[MACS + found.kind - KIND_mac_fp32] += found.macs;
    block->each[BYTES_LOADED] += found.bytes_loaded;
    block->each[BYTES_STORED] += found.bytes_stored;
  }
}

/* The same code at the same address, which may be translated many times, is one block. */
static struct block *find_block(uint64_t address, const uint32_t *words, unsigned length) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ address; /* FNV-1a, by words */
  for (unsigned i = 0; i < length; ++i) hash = (hash ^ words[i]) * UINT64_C(0x100000001b3);
  struct block **bucket = &buckets[(hash ^ hash >> 32) & (BUCKETS - 1)];
  for (struct block *block = *bucket; block; block = block->next) {
    if (block->hash == hash && block->address == address && block->length == length &&
        memcmp(block->words, words, length * sizeof *words) == 0) {
      return block;
    }
  }
  struct block *block = calloc(1, sizeof *block);
  if (block == NULL || (block->words = malloc(length * sizeof *words)) == NULL) abort();
  memcpy(block->words, words, length * sizeof *words);
  block->address = address;
  block->hash = hash;
  block->length = length;
  weigh(block);
  block->next = *bucket;
  *bucket = block;
  return block;
}

static bool reads_or_writes(uint32_t word) {
  const enum pfd_kind kind = pfd_decode(word).kind;
  return (kind >= KIND_load_scalar && kind <= KIND_atomic) || kind == KIND_other;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  (void)id;
  enum { MOST = 1024 }; /* a block has at most 512 instructions */
  static uint32_t words[MOST]; /* translation is never done by two threads at once */
  const size_t length = qemu_plugin_tb_n_insns(tb);
  if (length > MOST) abort();
  for (size_t i = 0; i < length; ++i) words[i] = word_of(qemu_plugin_tb_get_insn(tb, i));
  struct block *block = find_block(qemu_plugin_tb_vaddr(tb), words, (unsigned)length);
  qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, block);
  for (size_t i = 0; i < length; ++i) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
    if (words[i] == HINT_BEGIN || words[i] == HINT_END) {
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, words[i] == HINT_BEGIN ? on_begin : on_end,
                                             QEMU_PLUGIN_CB_NO_REGS, NULL);
    } else if (i > 0 && words[i - 1] == HINT_WITHIN) {
      qemu_plugin_register_vcpu_mem_cb(instruction, on_within, QEMU_PLUGIN_CB_NO_REGS,
                                       QEMU_PLUGIN_MEM_RW, NULL);
    } else if (reads_or_writes(words[i])) {
      qemu_plugin_register_vcpu_mem_cb(instruction, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                       QEMU_PLUGIN_MEM_RW, NULL);
    }
  }
}

static bool open_memory(const char *l1, const char *l2) {
  unsigned b1, w1, b2, w2;
  return sscanf(l1, "%u:%u", &b1, &w1) == 2 && sscanf(l2, "%u:%u", &b2, &w2) == 2 &&
         pfd_memory_open(b1, w1, b2, w2);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                                               int argc, char **argv) {
  const char *l1 = NULL, *l2 = NULL;
  for (int i = 0; i < argc; ++i) {
    if (strncmp(argv[i], "out=", 4) == 0) out_path = strdup(argv[i] + 4);
    if (strncmp(argv[i], "l1=", 3) == 0) l1 = argv[i] + 3;
    if (strncmp(argv[i], "l2=", 3) == 0) l2 = argv[i] + 3;
    if (strncmp(argv[i], "blocks=", 7) == 0) most_blocks = (size_t)atol(argv[i] + 7);
  }
  if (out_path == NULL) {
    fprintf(stderr, "the counter was given no out=FILE\n");
    return -1;
  }
  if (strcmp(info->target_name, "aarch64") != 0) {
    fprintf(stderr, "the counter knows aarch64 and not %s\n", info->target_name);
    return -1;
  }
  has_memory = l1 != NULL && l2 != NULL;
  if (has_memory && !open_memory(l1, l2)) {
    fprintf(stderr, "no such caches: l1=%s l2=%s\n", l1, l2);
    return -1;
  }
  new_insn_data = info->version.cur >= 3;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  return 0;
}
