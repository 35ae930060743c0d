/* Kinds of AArch64 instructions, told by the bits of their encodings. */
#ifndef PFD_DECODE_H
#define PFD_DECODE_H

#include <stdint.h>

/* Every instruction is of exactly one kind. */
#define PFD_KINDS(F)                                                                       \
  F(branch)          /* taken or not, calls and returns */                                 \
  F(load_scalar)     /* into general registers */                                          \
  F(load_vector)     /* into SIMD and floating-point registers */                          \
  F(store_scalar)                                                                          \
  F(store_vector)                                                                          \
  F(atomic)          /* reads and writes memory */                                         \
  F(prefetch)                                                                              \
  F(integer)         /* arithmetic of general registers, addresses */                      \
  F(mac_fp32)        /* FMLA, FMLS, FMADD ... */                                           \
  F(mac_fp16)                                                                              \
  F(mac_fp64)                                                                              \
  F(mac_dot)         /* SDOT, UDOT, SMMLA ...: int8 into int32 */                          \
  F(mac_integer)     /* SMLAL, MLA ... */                                                  \
  F(vector_multiply) /* FMUL, SMULL, MUL ...: no accumulation */                           \
  F(vector_other)    /* moves, minima, conversions, adds */                                \
  F(system)          /* hints, barriers, system registers, calls of the kernel */          \
  F(other)           /* SVE, SME and what is not known */

enum pfd_kind {
#define PFD_ENUM(name) KIND_##name,
  PFD_KINDS(PFD_ENUM)
#undef PFD_ENUM
  KIND_COUNT
};

struct pfd_instruction {
  enum pfd_kind kind;
  unsigned macs;         /* multiply-accumulates of one number with one number */
  unsigned bytes_loaded; /* of what it asks for, not of the cache lines */
  unsigned bytes_stored;
};

struct pfd_instruction pfd_decode(uint32_t word);

#endif
