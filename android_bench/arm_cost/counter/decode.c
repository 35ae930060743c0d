/* Source: Arm Architecture Reference Manual for A-profile, chapter C4, the encoding tables. */
#include "decode.h"

#include <stdbool.h>

typedef struct pfd_instruction Instruction;

static unsigned bits(uint32_t word, unsigned high, unsigned low) {
  return word >> low & ((1u << (high - low + 1)) - 1);
}

static Instruction of_kind(enum pfd_kind kind) { return (Instruction){.kind = kind}; }

static Instruction mac(enum pfd_kind kind, unsigned macs) {
  return (Instruction){.kind = kind, .macs = macs};
}

static Instruction access(bool is_vector, bool is_load, unsigned bytes) {
  Instruction found = {.kind = is_vector ? (is_load ? KIND_load_vector : KIND_store_vector)
                                         : (is_load ? KIND_load_scalar : KIND_store_scalar)};
  *(is_load ? &found.bytes_loaded : &found.bytes_stored) = bytes;
  return found;
}

static Instruction atomic(unsigned bytes) {
  return (Instruction){.kind = KIND_atomic, .bytes_loaded = bytes, .bytes_stored = bytes};
}

/* LD1 to LD4 and ST1 to ST4 of whole registers. */
static Instruction structures(uint32_t word) {
  static const unsigned char registers[16] = {[0] = 4, [2] = 4, [4] = 3, [6] = 3, [7] = 1, [8] = 2, [10] = 2};
  const unsigned width = bits(word, 30, 30) ? 16 : 8;
  return access(true, bits(word, 22, 22), registers[bits(word, 15, 12)] * width);
}

/* The same of one element, or one element into all lanes. */
static Instruction one_structure(uint32_t word) {
  const unsigned opcode = bits(word, 15, 13), size = bits(word, 11, 10);
  const unsigned elements = ((opcode & 1) << 1 | bits(word, 21, 21)) + 1;
  unsigned width = 1u << (opcode >> 1);
  if (opcode >> 1 == 2) width = size & 1 ? 8 : 4;
  if (opcode >> 1 == 3) width = 1u << size;
  return access(true, bits(word, 22, 22), elements * width);
}

static Instruction exclusive_or_ordered(uint32_t word) {
  const unsigned width = 1u << bits(word, 31, 30);
  const bool is_load = bits(word, 22, 22), is_ordered = bits(word, 23, 23), o1 = bits(word, 21, 21);
  if (o1 && is_ordered) return atomic(width); /* CAS */
  if (o1 && !bits(word, 31, 31)) return atomic(4u << (bits(word, 30, 30) + 1)); /* CASP */
  return access(false, is_load, o1 ? 2 * width : width);
}

static Instruction literal(uint32_t word) {
  const unsigned opc = bits(word, 31, 30);
  if (bits(word, 26, 26)) return access(true, true, 4u << opc);
  if (opc == 3) return of_kind(KIND_prefetch);
  return access(false, true, opc == 1 ? 8 : 4);
}

static Instruction pair(uint32_t word) {
  const unsigned opc = bits(word, 31, 30);
  const bool is_vector = bits(word, 26, 26);
  const unsigned width = is_vector ? 4u << opc : opc == 2 ? 8 : 4;
  return access(is_vector, bits(word, 22, 22), 2 * width);
}

static Instruction one_register(uint32_t word) {
  const unsigned size = bits(word, 31, 30), opc = bits(word, 23, 22);
  const bool is_vector = bits(word, 26, 26);
  if (is_vector) return access(true, opc & 1, size == 0 && opc & 2 ? 16 : 1u << size);
  if (!bits(word, 24, 24) && bits(word, 21, 21) && bits(word, 11, 10) == 0) {
    const bool is_ldapr = bits(word, 15, 12) == 0xc && opc == 2;
    return is_ldapr ? access(false, true, 1u << size) : atomic(1u << size);
  }
  if (!bits(word, 24, 24) && bits(word, 21, 21) && bits(word, 10, 10)) {
    return access(false, true, 8); /* LDRAA, LDRAB */
  }
  if (size == 3 && opc == 2) return of_kind(KIND_prefetch);
  return access(false, opc != 0, 1u << size);
}

static Instruction load_or_store(uint32_t word) {
  if ((word & 0xbfbf0000) == 0x0c000000 || (word & 0xbfa00000) == 0x0c800000) return structures(word);
  if ((word & 0xbf9f0000) == 0x0d000000 || (word & 0xbf800000) == 0x0d800000) return one_structure(word);
  if ((word & 0x3f000000) == 0x08000000) return exclusive_or_ordered(word);
  if ((word & 0x3f200c00) == 0x19000000) {
    return access(false, bits(word, 23, 22) != 0, 1u << bits(word, 31, 30)); /* LDAPUR, STLUR */
  }
  if ((word & 0x3b000000) == 0x18000000) return literal(word);
  if ((word & 0x3a000000) == 0x28000000) return pair(word);
  if ((word & 0x3a000000) == 0x38000000) return one_register(word);
  return of_kind(KIND_other); /* memory tags and copies */
}

/* Three registers of one shape, and of different ones. */
static Instruction vector_three(uint32_t word) {
  const unsigned q = bits(word, 30, 30), u = bits(word, 29, 29), size = bits(word, 23, 22);
  const unsigned width = q ? 16 : 8;
  if (bits(word, 21, 21) && bits(word, 10, 10)) {
    const unsigned opcode = bits(word, 15, 11);
    const bool is_double = size & 1;
    if (opcode == 0x19 && !u) return mac(is_double ? KIND_mac_fp64 : KIND_mac_fp32, width / (is_double ? 8 : 4));
    if ((opcode == 0x1d && !u) || (opcode == 0x19 && u)) return mac(KIND_mac_fp16, width / 4); /* FMLAL */
    if (opcode == 0x12) return mac(KIND_mac_integer, width >> size);
    if (opcode == 0x13 || (opcode == 0x1b && !(size & 2)) || opcode == 0x16) {
      return of_kind(KIND_vector_multiply); /* MUL, FMUL and FMULX, SQDMULH */
    }
    return of_kind(KIND_vector_other);
  }
  if (bits(word, 21, 21) && bits(word, 11, 10) == 0) {
    const unsigned opcode = bits(word, 15, 12), macs = 8u >> size;
    if (opcode == 8 || opcode == 10 || opcode == 9 || opcode == 11) return mac(KIND_mac_integer, macs);
    if (opcode == 12 || opcode == 13 || opcode == 14) return of_kind(KIND_vector_multiply);
    return of_kind(KIND_vector_other);
  }
  if (!bits(word, 21, 21) && bits(word, 15, 14) == 0 && bits(word, 10, 10) && (size & 1)) {
    const unsigned opcode = bits(word, 13, 11); /* half precision; bit 22 is set */
    if (opcode == 1 && !u) return mac(KIND_mac_fp16, width / 2);
    if (opcode == 3) return of_kind(KIND_vector_multiply);
    return of_kind(KIND_vector_other);
  }
  if (!bits(word, 21, 21) && bits(word, 15, 15) && bits(word, 10, 10)) {
    const unsigned opcode = bits(word, 14, 11);
    if (opcode == 2 || opcode == 3) return mac(KIND_mac_dot, width);      /* SDOT, UDOT, USDOT */
    if (opcode == 4 || opcode == 5) return mac(KIND_mac_dot, 2 * width);  /* SMMLA, UMMLA, USMMLA */
    if (opcode <= 1) return mac(KIND_mac_integer, width >> size);         /* SQRDMLAH, SQRDMLSH */
  }
  return of_kind(KIND_vector_other);
}

/* A vector and one element of another; scalar ones have one lane. */
static Instruction by_element(uint32_t word) {
  const bool is_scalar = bits(word, 28, 28);
  const unsigned u = bits(word, 29, 29), size = bits(word, 23, 22), opcode = bits(word, 15, 12);
  const unsigned width = bits(word, 30, 30) ? 16 : 8;
  if (!u && (opcode == 1 || opcode == 5)) {
    if (size == 0) return mac(KIND_mac_fp16, is_scalar ? 1 : width / 2);
    if (size == 2) return mac(KIND_mac_fp32, is_scalar ? 1 : width / 4);
    if (size == 3) return mac(KIND_mac_fp64, is_scalar ? 1 : width / 8);
  }
  if (size == 2 && ((!u && (opcode == 0 || opcode == 4)) || (u && (opcode == 8 || opcode == 12)))) {
    return mac(KIND_mac_fp16, width / 4); /* FMLAL */
  }
  if (u && (opcode == 0 || opcode == 4)) return mac(KIND_mac_integer, width >> size);
  if (opcode == 2 || opcode == 6 || opcode == 3 || opcode == 7) {
    return mac(KIND_mac_integer, is_scalar ? 1 : 8u >> size); /* SMLAL, SQDMLAL and the like */
  }
  if (opcode == 14 || (opcode == 15 && !u && !(size & 1))) return mac(KIND_mac_dot, width);
  if (u && (opcode == 13 || opcode == 15)) return mac(KIND_mac_integer, width >> size);
  if (opcode >= 8) return of_kind(KIND_vector_multiply);
  return of_kind(KIND_vector_other);
}

static Instruction vector_or_float(uint32_t word) {
  if ((word & 0x5f000000) == 0x1f000000 && !bits(word, 31, 31)) { /* FMADD and the like */
    const unsigned type = bits(word, 23, 22);
    return mac(type == 0 ? KIND_mac_fp32 : type == 1 ? KIND_mac_fp64 : KIND_mac_fp16, 1);
  }
  if ((word & 0x9f000000) == 0x0e000000) return vector_three(word);
  if ((word & 0x9f000400) == 0x0f000000) return by_element(word);
  if ((word & 0xdf000400) == 0x5f000000) return by_element(word);
  if ((word & 0x5f200c00) == 0x1e200800 && !bits(word, 31, 31)) {
    const unsigned opcode = bits(word, 15, 12); /* FMUL, FNMUL */
    if (opcode == 0 || opcode == 8) return of_kind(KIND_vector_multiply);
  }
  return of_kind(KIND_vector_other);
}

struct pfd_instruction pfd_decode(uint32_t word) {
  const unsigned group = bits(word, 28, 25);
  if ((group & 0xe) == 0x8) return of_kind(KIND_integer);
  if ((group & 0xe) == 0xa) {
    const bool is_system = (word & 0xff000000) == 0xd4000000 || (word & 0xffc00000) == 0xd5000000;
    return of_kind(is_system ? KIND_system : KIND_branch);
  }
  if ((group & 0x5) == 0x4) return load_or_store(word);
  if ((group & 0x7) == 0x5) return of_kind(KIND_integer);
  if ((group & 0x7) == 0x7) return vector_or_float(word);
  return of_kind(KIND_other);
}
