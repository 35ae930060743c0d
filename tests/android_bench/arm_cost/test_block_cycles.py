"""Cycles of blocks: by llvm-mca itself, and with a program in its place."""

import json

import pytest
from extra_environment import unavailable

from android_bench.arm_cost import block_cycles
from android_bench.arm_cost.block_cycles import Analyser, find_analyser
from android_bench.records import Counts, HotBlock
from pfd_models.errors import DeviceError

FMLA = "4e22cc20"  # fmla v0.4s, v1.4s, v2.4s, which waits for the one before it
ADD = "8b030084"  # add x4, x4, x3, which does too
LOOP = "54ffffa1"  # b.ne, to five instructions before


@pytest.fixture
def stand_in(tools, tmp_path, monkeypatch):
    """Put a program in llvm-mca's place that keeps what it is given and tells cycles."""

    def stand_in(*cycles, version="19.1.7"):
        regions = [
            {"Name": str(number), "SummaryView": {"TotalCycles": total}}
            for number, total in enumerate(cycles)
        ]
        (tmp_path / "answer.json").write_text(json.dumps({"CodeRegions": regions}))
        program = tmp_path / "llvm-mca"
        program.write_text(
            f"#!/bin/sh\n[ $1 = --version ] && echo 'LLVM version {version}' && exit\n"
            f"cat > {tmp_path}/given.s; echo $@ > {tmp_path}/options; cat {tmp_path}/answer.json\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv(block_cycles.VARIABLE, str(program))
        return tmp_path

    return stand_in


def count_of(make, *blocks, instructions, core="a77"):
    return make.arm_count(
        core=core,
        counts=Counts(integer=instructions),
        blocks=tuple(HotBlock(file="lib", offset=0, runs=runs, code=code) for runs, code in blocks),
    )


def test_an_addition_that_waits_for_the_last_takes_a_cycle_and_a_product_more(tools, make):
    try:
        analyser = find_analyser()
    except DeviceError as error:
        unavailable(str(error))
    add, multiply = (
        analyser.count_cycles(count_of(make, (100, code), instructions=100)) for code in (ADD, FMLA)
    )
    assert add == pytest.approx(100, rel=0.1)  # the pipeline fills and empties once
    assert 200 <= multiply <= 450  # an accumulator is handed on early


def test_each_block_counts_as_often_as_it_ran_and_the_rest_is_as_fast(stand_in, make):
    folder = stand_in(400, 150)  # of a hundred turns; in the order of their code
    count = count_of(make, (10, ADD), (1000, FMLA + LOOP), (5, FMLA + LOOP), instructions=4040)
    cycles = find_analyser().count_cycles(count)
    assert cycles == pytest.approx((1005 * 4.0 + 10 * 1.5) * 4040 / (2 * 1005 + 10))
    lines = (folder / "given.s").read_text().split("\n")
    assert lines[1:3] == ["fmla v0.4s, v1.4s, v2.4s", "b.ne ."]
    assert lines[5] == "add x4, x4, x3"
    assert "-mcpu=neoverse-n1" in (folder / "options").read_text()


def test_a_little_core_has_a_model_of_its_own(stand_in, make):
    folder = stand_in(100)
    find_analyser().count_cycles(count_of(make, (1, ADD), instructions=1, core="a55"))
    assert "-mcpu=cortex-a55" in (folder / "options").read_text()


def test_an_llvm_that_does_not_know_the_cores_is_refused(stand_in, monkeypatch):
    stand_in(version="14.0.6")
    with pytest.raises(DeviceError, match=r"no llvm-mca of LLVM 17 or newer.*apt-get install"):
        find_analyser()
    monkeypatch.delenv(block_cycles.VARIABLE)
    monkeypatch.setattr(block_cycles, "output_of", lambda command: "")
    with pytest.raises(DeviceError, match=r"llvm-mca is no llvm-mca of LLVM 17 or newer"):
        find_analyser()


def test_blocks_of_which_nothing_is_understood_are_no_cycles(stand_in, make):
    stand_in()
    with pytest.raises(DeviceError, match="understands none of the hottest blocks"):
        find_analyser().count_cycles(count_of(make, (1, ADD), instructions=1))


def test_an_analyser_that_fails_is_told_with_what_it_said(tools, make):
    broken = Analyser(command="/bin/false", disassembler="aarch64-linux-gnu-objdump", version="19")
    with pytest.raises(DeviceError, match="/bin/false cannot be used: status 1"):
        broken.count_cycles(count_of(make, (1, ADD), instructions=1))
