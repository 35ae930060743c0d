"""The counter under the emulator, with a program of a dozen instructions."""

import subprocess

import pytest

from android_bench.arm_cost.building import build_counter
from android_bench.arm_cost.counted import read_counts
from android_bench.arm_cost.emulator import find_emulator
from android_bench.records import Counts

PROGRAM = """
  .globl _start
_start:
  mov x3, #7
  hint #0x55
  isb
  adr x1, words
  hint #0x57
  ldr wzr, [x1]
  str w3, [sp, #-16]
  mov x3, #100
1:
  add x4, x4, x3
  fmla v0.4s, v1.4s, v2.4s
  ldr q3, [x1]
  subs x3, x3, #1
  b.ne 1b
  hint #0x56
  isb
  mov x8, #93
  mov x0, #0
  svc #0
  .align 6
words:
  .quad 0, 0
"""


@pytest.fixture(scope="module")
def run(tools, tmp_path_factory):
    """Count the program's one inference, with the caches of a size."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "bare.s").write_text(PROGRAM)
    compiler = ["aarch64-linux-gnu-g++", "-nostdlib", "-static", "bare.s", "-o", "bare"]
    subprocess.run(compiler, cwd=folder, check=True)

    def run(caches):
        (folder / "counts.jsonl").unlink(missing_ok=True)
        plugin = f"{build_counter().plugin},out=counts.jsonl,{caches}"
        command = [*find_emulator().command, "-plugin", plugin, "./bare"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return done, read_counts(folder / "counts.jsonl")

    return run


def test_what_lies_between_the_marks_is_counted_and_nothing_else(run):
    done, (found,) = run("l1=65536:4,l2=524288:8")
    assert done.returncode == 0
    assert found.counts == Counts(
        branch=100,
        load_scalar=1,  # of the mark within
        load_vector=100,
        store_scalar=1,
        integer=2 + 100 + 100,
        mac_fp32=100,
        system=3,  # two marks, and the barrier after the second
        macs_fp32=400,
        bytes_loaded=4 + 1600,
        bytes_stored=4,
        l1_misses=2,
        l2_misses=2,
        lines=2,
    )
    within, rest = found.segments
    assert within.counts + rest.counts == found.counts
    assert within.at != 0 == rest.at
    assert within.stored % 16 == 0  # on the stack
    hottest = found.blocks[0]
    assert (hottest.runs, len(hottest.words), hottest.instructions) == (99, 5, 495)


def test_a_small_cache_misses_what_a_large_one_keeps(run):
    _, (found,) = run("l1=64:1,l2=128:2")
    assert found.counts.l1_misses == 2
    done, found = run("l1=100:3,l2=128:2")
    assert done.returncode != 0
    assert "no such caches" in done.stderr
    assert found == []
