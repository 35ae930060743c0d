"""Counts of small networks whose work is known by hand."""

import dataclasses
import itertools
import os
import shutil
import sys

import pytest

from android_bench.arm_cost import building, counting, emulator
from android_bench.harness.result import Status
from android_bench.native_build import prebuilt
from android_bench.records import Counts
from pfd_models.errors import DeviceError, InputError

SIDE = 12  # its square is a multiple of the rows that the kernels of both cores take at once


def convolutions(*channels):
    from torch import nn

    pairs = itertools.pairwise(channels)
    return nn.Sequential(*(nn.Conv2d(before, after, 1) for before, after in pairs))


@pytest.fixture(scope="module", params=["executorch", "litert"])
def write_network(request, write_pte, write_convolutions):
    """Write 1x1 convolutions for an engine."""
    if request.param == "litert":
        return lambda *channels: write_convolutions(SIDE, *channels)
    return lambda *channels: write_pte(convolutions(*channels), channels[0], SIDE, SIDE)


def test_one_more_convolution_adds_exactly_its_multiply_accumulates(count, write_network):
    one, two = (count(write_network(*channels)) for channels in ((16, 32), (16, 32, 64)))
    assert one.counts.macs_fp32 == SIDE * SIDE * 16 * 32
    assert two.counts.macs_fp32 - one.counts.macs_fp32 == SIDE * SIDE * 32 * 64
    assert two.counts.mac_fp32 - one.counts.mac_fp32 == SIDE * SIDE * 32 * 64 // 4  # four lanes
    assert one.counts.macs == one.counts.macs_fp32
    (product,) = (o for o in one.operators if o.counts.macs)
    assert product.counts.macs == one.counts.macs
    assert [o.counts.macs for o in two.operators if o.counts.macs] == [
        16 * 32 * SIDE**2,
        32 * 64 * SIDE**2,
    ]


def test_counts_are_equal_from_run_to_run_and_wherever_it_is_run(
    count, write_convolutions, tmp_path, monkeypatch
):
    path = write_convolutions(SIDE, 16, 32)
    first = count(path)
    elsewhere = tmp_path / ("a folder with a long name " * 3)
    elsewhere.mkdir()
    shutil.copy(path, elsewhere / "copy.tflite")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    monkeypatch.setenv("ANYTHING", "x" * 1000)
    monkeypatch.setattr("tempfile.tempdir", None)  # read TMPDIR again
    second = count(elsewhere / "copy.tflite")
    assert second.counts == first.counts
    assert second.operators == first.operators
    assert first.spread == second.spread == 0


def test_the_operators_of_a_network_account_for_all_but_a_hundredth_of_it(
    count, write_pte, write_convolutions
):
    for path in (write_pte(convolutions(64, 64, 64), 64, 28, 28), write_convolutions(56, 64, 64)):
        found = count(path)
        inside = sum((o.counts for o in found.operators), Counts())
        assert inside.macs == found.counts.macs
        assert 0.99 < inside.instructions / found.counts.instructions <= 1
        assert inside + found.outside == found.counts


def test_kernels_outside_litert_s_delegate_are_operators_too(count, running_sums):
    found = count(running_sums)
    assert [(o.name, o.delegate != "") for o in found.operators] == [
        ("Add (ND)", True),
        ("CUMSUM", False),
        ("Square (NC)", True),
        ("CUMSUM", False),
    ]
    sums = [o.counts for o in found.operators if not o.delegate]
    assert all(512 < c.instructions < 10_000 for c in sums)  # 512 additions each


def test_kernels_outside_executorch_s_delegate_and_parts_of_operators_are_told(count, write_pte):
    import torch

    class Mixed(torch.nn.Module):
        def forward(self, x):
            joined = torch.cat([x, torch.relu(x), torch.sigmoid(x)], 1)
            return torch.relu(torch.cumsum(joined, 1))

    found = count(write_pte(Mixed(), 8, 64))
    kinds = [(o.name.partition(" ")[0], o.delegate != "") for o in found.operators]
    assert kinds[-3:] == [("Copy", True), ("native_call_cumsum.out", False), ("Clamp", True)]
    copy, sums = (o.counts for o in found.operators[-3:-1])
    assert copy.bytes_stored >= 3 * 8 * 64 * 4  # XNNPACK copies each of the three by itself
    assert 3 * 8 * 64 < sums.instructions < 100 * 3 * 8 * 64


def test_each_core_gets_its_own_kernels(count, write_convolutions):
    path = write_convolutions(SIDE, 16, 32)
    big, little = count(path, "a77"), count(path, "a55", with_operators=False)
    assert big.counts.macs == little.counts.macs
    assert big.counts.instructions != little.counts.instructions
    assert big.blocks[0].code_hash != little.blocks[0].code_hash
    assert (big.core, little.core, little.operators) == ("a77", "a55", ())
    assert big.kernels[0].startswith(big.blocks[0].file)
    assert big.blocks[0].file.startswith("lib")


def test_an_emulator_that_shows_its_own_processor_gets_the_same_count(
    count, write_network, monkeypatch
):
    path = write_network(16, 32)
    expected = count(path)
    own = dataclasses.replace(emulator.find_emulator(), shows_own_processor=True)
    monkeypatch.setattr(counting, "find_emulator", lambda: own)
    counting._open_setup.cache_clear()
    counting._describe.cache_clear()
    try:
        found = count(path)  # this one would show the computer's own, as no other is laid out
    finally:
        counting._open_setup.cache_clear()
        counting._describe.cache_clear()
    assert [b.code_hash for b in found.blocks[:3]] == [b.code_hash for b in expected.blocks[:3]]
    assert found.counts.macs == expected.counts.macs
    apart = found.counts.instructions / expected.counts.instructions - 1
    assert abs(apart) <= 0.0001
    assert [o.name for o in found.operators] == [o.name for o in expected.operators]


def test_a_count_is_kept_by_content(count, write_convolutions, tmp_path, monkeypatch):
    path = write_convolutions(4, 4, 4)
    first = count(path, use_cache=True, with_operators=False)
    monkeypatch.setattr(counting, "_count", None)  # whoever counts again fails
    shutil.copy(path, tmp_path / "renamed.tflite")
    assert count(tmp_path / "renamed.tflite", use_cache=True, with_operators=False) == first


# -- bad input ---------------------------------------------------------------------------------


def test_a_file_that_is_not_there_or_of_no_engine_is_refused(count, tmp_path):
    with pytest.raises(InputError, match=r"no file .*net\.pte: build it first"):
        count(tmp_path / "net.pte")
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no engine runs net\.onnx: give a \.pte or a \.tflite"):
        count(tmp_path / "net.onnx")


def test_a_damaged_file_is_refused_by_its_engine(count, tmp_path):
    (tmp_path / "net.tflite").write_bytes(b"no flatbuffer at all")
    with pytest.raises(InputError, match=r"LiteRT refuses the file"):
        count(tmp_path / "net.tflite")


def test_an_instruction_that_the_core_lacks_is_named_so(count, write_convolutions, monkeypatch):
    right = counting.count_inferences

    def crashed(*arguments, **options):
        result = right(*arguments, **options)
        return dataclasses.replace(result, status=Status.CRASHED, signal=4, stage="first")

    monkeypatch.setattr(counting, "count_inferences", crashed)
    with pytest.raises(InputError, match=r"needs an instruction that Cortex-A77 lacks.*--core"):
        count(write_convolutions(4, 4, 4), with_operators=False)


def test_a_run_that_never_reaches_its_marks_is_no_count(count, write_convolutions, monkeypatch):
    right = counting.count_inferences

    def without_marks(harness, job, *, iterations, **options):
        return right(harness, job, iterations=1, **options)  # one in place of two

    monkeypatch.setattr(counting, "count_inferences", without_marks)
    with pytest.raises(DeviceError, match=r"never reached the marks .*1 of 2 were seen"):
        count(write_convolutions(4, 4, 4), with_operators=False)


def test_a_missing_emulator_says_what_to_install(monkeypatch):
    monkeypatch.delenv(emulator.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(emulator.platform, "machine", lambda: "riscv64")
    with pytest.raises(DeviceError, match=r"no qemu-aarch64: apt-get install qemu-user"):
        emulator.find_emulator()
    monkeypatch.setenv(emulator.VARIABLE, "/bin/true")
    with pytest.raises(DeviceError, match=r"'/bin/true', which is no qemu-aarch64"):
        emulator.find_emulator()


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a program in the emulator's place that only says its version and options."""

    def stand_in(version, options):
        program = tmp_path / "qemu-aarch64"
        program.write_text(
            "#!/bin/sh\n"
            f'case $1 in --version) echo "qemu-aarch64 version {version} (Debian)";; '
            f'*) echo "{options}";; esac\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv(emulator.VARIABLE, str(program))

    return stand_in


def test_an_emulator_that_takes_no_plugins_says_so(stand_in):
    stand_in("10.0.13", "-cpu")
    with pytest.raises(DeviceError, match=r"version 10\.0\.13 and takes no plugins.*4\.2 or newer"):
        emulator.find_emulator()


@pytest.mark.parametrize(("version", "own"), [("7.2.22", False), ("8.1.5", False), ("8.2.0", True)])
def test_from_8_2_on_an_emulator_is_known_to_show_a_processor_of_its_own(stand_in, version, own):
    stand_in(version, "-plugin")
    found = emulator.find_emulator()
    assert (found.version, found.shows_own_processor) == (version, own)


def test_a_missing_compiler_says_what_to_install(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(DeviceError, match=r"CC is 'no-such-compiler'.*built from C: apt-get"):
        building.build_counter()
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(DeviceError, match=r"there is no C compiler.*built from C: apt-get"):
        building.build_counter()


@pytest.fixture
def device_wheel(tmp_path, monkeypatch):
    """The folder of an installed pfd-mobile-device, where there is no compiler."""
    package = tmp_path / "site" / prebuilt.PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PATH", os.devnull)
    for name in ("CC", "PFD_ARM64_CXX"):
        monkeypatch.delenv(name, raising=False)
    yield package
    sys.modules.pop(prebuilt.PACKAGE, None)


def test_without_a_compiler_the_counter_is_the_one_that_the_device_wheel_brings(device_wheel):
    folder = device_wheel / building.prebuilt_name()
    folder.mkdir()
    for name in ("counter.so", "clock_marks.so", "cpuinfo.so"):
        (folder / name).write_text("a library")
    assert building.build_counter().plugin == folder / "counter.so"


def test_a_device_wheel_of_other_sources_has_no_counter_for_these(device_wheel):
    (device_wheel / "counter-1+000000000000-00000000").mkdir()
    with pytest.raises(DeviceError, match=r"no C compiler.*has no counter of version 1\+"):
        building.build_counter()
