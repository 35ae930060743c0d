"""The counter's decoder against the cross assembler: every kind of instruction, and its work."""

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from android_bench.arm_cost import building
from android_bench.records.arm_count import KINDS

SOURCES = Path(building.__file__).parent / "counter"

# Instruction, kind, multiply-accumulates, bytes loaded, bytes stored.
CASES = """
b .                               branch
cbz x0, .                         branch
ret                               branch
blr x3                            branch
svc #0                            system
hint #0x55                        system
isb                               system
mrs x0, tpidr_el0                 system
add x0, x1, x2                    integer
add x0, x1, #4                    integer
madd x0, x1, x2, x3               integer
adrp x0, .                        integer
ldr w0, [x1]                      load_scalar     0 4 0
ldr x0, [x1, #8]!                 load_scalar     0 8 0
ldrsb x0, [x1, x2]                load_scalar     0 1 0
ldrh w0, [x1], #2                 load_scalar     0 2 0
ldp x0, x1, [sp]                  load_scalar     0 16 0
ldpsw x0, x1, [sp]                load_scalar     0 8 0
ldar w0, [x1]                     load_scalar     0 4 0
ldxp x0, x1, [x2]                 load_scalar     0 16 0
ldr x0, =0x123456789abcdef0       load_scalar     0 8 0
str wzr, [x1]                     store_scalar    0 0 4
stp w0, w1, [sp, #-16]!           store_scalar    0 0 8
stlr x0, [x1]                     store_scalar    0 0 8
strb w0, [x1, #1]                 store_scalar    0 0 1
ldr q0, [x1]                      load_vector     0 16 0
ldr d0, [x1, #8]                  load_vector     0 8 0
ldr s0, [x1], #4                  load_vector     0 4 0
ldur h0, [x1, #1]                 load_vector     0 2 0
ldp q0, q1, [x1], #32             load_vector     0 32 0
ldp d0, d1, [x1]                  load_vector     0 16 0
ld1 {v0.4s}, [x1]                 load_vector     0 16 0
ld1 {v0.16b-v3.16b}, [x1], #64    load_vector     0 64 0
ld2 {v0.8b, v1.8b}, [x1]          load_vector     0 16 0
ld3 {v0.4s-v2.4s}, [x1]           load_vector     0 48 0
ld1r {v0.4s}, [x1]                load_vector     0 4 0
ld2r {v0.8h, v1.8h}, [x1]         load_vector     0 4 0
ld1 {v0.s}[1], [x1], #4           load_vector     0 4 0
ld1 {v0.d}[1], [x1]               load_vector     0 8 0
str q0, [x1]                      store_vector    0 0 16
stp q0, q1, [x1]                  store_vector    0 0 32
st1 {v0.h}[3], [x1]               store_vector    0 0 2
st1 {v0.4s, v1.4s}, [x1]          store_vector    0 0 32
stur d0, [x1, #-8]                store_vector    0 0 8
ldadd w0, w1, [x2]                atomic          0 4 4
cas x0, x1, [x2]                  atomic          0 8 8
casp x0, x1, x2, x3, [x4]         atomic          0 16 16
swpal w0, w1, [x2]                atomic          0 4 4
ldaprb w0, [x1]                   load_scalar     0 1 0
prfm pldl1keep, [x1, #192]        prefetch
fmla v0.4s, v1.4s, v2.4s          mac_fp32        4
fmla v0.2s, v1.2s, v2.2s          mac_fp32        2
fmla v0.4s, v1.4s, v2.s[1]        mac_fp32        4
fmls v0.4s, v1.4s, v2.4s          mac_fp32        4
fmla s0, s1, v2.s[3]              mac_fp32        1
fmadd s0, s1, s2, s3              mac_fp32        1
fnmsub s0, s1, s2, s3             mac_fp32        1
fmadd d0, d1, d2, d3              mac_fp64        1
fmla v0.2d, v1.2d, v2.2d          mac_fp64        2
fmla v0.2d, v1.2d, v2.d[1]        mac_fp64        2
fmla v0.8h, v1.8h, v2.8h          mac_fp16        8
fmla v0.4h, v1.4h, v2.4h          mac_fp16        4
fmla v0.8h, v1.8h, v2.h[7]        mac_fp16        8
fmls v0.8h, v1.8h, v2.8h          mac_fp16        8
fmadd h0, h1, h2, h3              mac_fp16        1
fmlal v0.4s, v1.4h, v2.4h         mac_fp16        4
fmlal2 v0.4s, v1.4h, v2.4h        mac_fp16        4
fmlal v0.4s, v1.4h, v2.h[3]       mac_fp16        4
sdot v0.4s, v1.16b, v2.16b        mac_dot         16
udot v0.2s, v1.8b, v2.8b          mac_dot         8
sdot v0.4s, v1.16b, v2.4b[2]      mac_dot         16
udot v0.4s, v1.16b, v2.4b[2]      mac_dot         16
usdot v0.4s, v1.16b, v2.16b       mac_dot         16
smmla v0.4s, v1.16b, v2.16b       mac_dot         32
smlal v0.4s, v1.4h, v2.4h         mac_integer     4
smlal2 v0.8h, v1.16b, v2.16b      mac_integer     8
umlsl v0.4s, v1.4h, v2.h[1]       mac_integer     4
smlal v0.4s, v1.4h, v2.h[1]       mac_integer     4
mla v0.8h, v1.8h, v2.8h           mac_integer     8
mla v0.4s, v1.4s, v2.s[1]         mac_integer     4
mls v0.16b, v1.16b, v2.16b        mac_integer     16
sqdmlal v0.4s, v1.4h, v2.4h       mac_integer     4
fmul v0.4s, v1.4s, v2.4s          vector_multiply
fmul v0.4s, v1.4s, v2.s[0]        vector_multiply
fmul v0.8h, v1.8h, v2.8h          vector_multiply
fmul s0, s1, s2                   vector_multiply
fmulx v0.4s, v1.4s, v2.4s         vector_multiply
smull v0.8h, v1.8b, v2.8b         vector_multiply
smull v0.4s, v1.4h, v2.h[1]       vector_multiply
mul v0.4s, v1.4s, v2.4s           vector_multiply
sqdmulh v0.4s, v1.4s, v2.4s       vector_multiply
sqrdmulh v0.4s, v1.4s, v2.s[0]    vector_multiply
fadd v0.4s, v1.4s, v2.4s          vector_other
fabd v0.4s, v1.4s, v2.4s          vector_other
fmax v0.4s, v1.4s, v2.4s          vector_other
fmaxnm v0.8h, v1.8h, v2.8h        vector_other
fdiv v0.4s, v1.4s, v2.4s          vector_other
sadalp v0.4s, v1.8h               vector_other
saddl v0.8h, v1.8b, v2.8b         vector_other
dup v0.4s, v1.s[0]                vector_other
dup v0.4s, w0                     vector_other
ext v0.16b, v1.16b, v2.16b, #4    vector_other
zip1 v0.4s, v1.4s, v2.4s          vector_other
tbl v0.16b, {v1.16b}, v2.16b      vector_other
movi v0.4s, #0                    vector_other
scvtf s0, w0                      vector_other
fcvtns v0.4s, v1.4s               vector_other
fmov s0, #1.0                     vector_other
sshr v0.4s, v1.4s, #3             vector_other
aese v0.16b, v1.16b               vector_other
ld1w {z0.s}, p0/z, [x0]           other
fmla z0.s, p0/m, z1.s, z2.s       other
"""


class Instruction(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint) for name in ("kind", "macs", "bytes_loaded", "bytes_stored")
    )


@pytest.fixture(scope="module")
def decoded(tools, tmp_path_factory):
    """What the decoder says of each case."""
    folder = tmp_path_factory.mktemp("decode")
    lines = [re.split(r"\s{2,}", line) for line in CASES.strip().splitlines()]
    assembly = ".arch armv8.6-a+fp16+fp16fml+dotprod+i8mm+sve+crypto\n.text\n"
    (folder / "cases.s").write_text(assembly + "\n".join(line[0] for line in lines) + "\n.ltorg\n")
    cross = "aarch64-linux-gnu-"
    subprocess.run([f"{cross}as", folder / "cases.s", "-o", folder / "cases.o"], check=True)
    out = folder / "cases.bin"
    subprocess.run([f"{cross}objcopy", "-O", "binary", folder / "cases.o", out], check=True)
    library = folder / "decode.so"
    subprocess.run(["cc", "-shared", "-fPIC", SOURCES / "decode.c", "-o", library], check=True)
    decode = ctypes.CDLL(str(library)).pfd_decode
    decode.argtypes, decode.restype = [ctypes.c_uint32], Instruction
    code = out.read_bytes()
    found = []
    for place, line in enumerate(lines):
        one = decode(int.from_bytes(code[4 * place : 4 * place + 4], "little"))
        numbers = [one.macs, one.bytes_loaded, one.bytes_stored]
        found.append((line, [KINDS[one.kind], *numbers]))
    return found


def test_every_instruction_is_of_its_kind_and_does_its_work(decoded):
    wrong = []
    for (text, kind, *numbers), found in decoded:
        right = [int(n) for n in " ".join(numbers).split()]
        expected = [kind, *right, *([0] * (3 - len(right)))]
        if found != expected:
            wrong.append(f"{text}: {found}, not {expected}")
    assert not wrong, "\n".join(wrong)


def test_every_kind_of_the_decoder_has_a_case_and_a_field(decoded):
    header = (SOURCES / "decode.h").read_text()
    assert tuple(re.findall(r"^  F\((\w+)\)", header, re.MULTILINE)) == KINDS
    assert {kind for (_, kind, *_), _ in decoded} == set(KINDS)
