"""What LiteRT's NPU plugins say of a chip and of a file, read out of the installed wheel."""

import subprocess

import pytest

from export.check import check_npu, npu
from export.check.command import main
from export.check.npu import find_soc
from export.check.plugins import (
    VENDORS,
    find_sdk,
    list_socs,
    read_operators,
    wheel_folder,
)
from export.check.show import describe_npu
from pfd_models.errors import DeviceError, InputError, SpecError

MEDIATEK = VENDORS["mediatek"]
CHIPS = """
MT6853 MT6877 MT6878 MT6879 MT6886 MT6893 MT6895 MT6897 MT6983 MT6985 MT6989 MT6991 MT6993
MT8171 MT8188 MT8189
"""
SOCS = CHIPS.split()


def test_mediateks_chips_are_those_of_the_wheels_own_enumeration():
    from ai_edge_litert.aot.vendors.mediatek.target import SocModel

    assert set(list_socs(MEDIATEK)) == {soc.value for soc in SocModel} - {"ALL"}
    assert sorted(list_socs(MEDIATEK)) == SOCS


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=list(VENDORS))
def test_every_maker_has_its_plugin_in_the_wheel(vendor):
    assert (wheel_folder() / "vendors" / vendor.folder / "compiler" / vendor.plugin).is_file()
    assert list_socs(vendor)


@pytest.mark.parametrize("soc", SOCS)
def test_each_chip_is_known_however_it_is_spelled(soc):
    for spelled in (soc, soc.lower(), f"mt-{soc[2:]}", f" {soc} "):
        known, name, sentence = find_soc(MEDIATEK, spelled)
        assert (known, name) == (True, soc)
        assert soc in sentence
        assert "\n" not in sentence


@pytest.mark.parametrize(
    ("asked", "shown", "nearest"),
    [
        ("mt6889", "MT6889", "MT6886"),
        ("Dimensity 1000+", "MT6889 (Dimensity 1000+)", "MT6886"),
        ("MT6990", "MT6990", "MT6989"),
        ("MT6894", "MT6894", "MT6893"),
    ],
)
def test_an_unknown_chip_has_one_line_with_the_nearest(asked, shown, nearest):
    known, _, sentence = find_soc(MEDIATEK, asked)
    assert not known
    assert f"does not know {shown}" in sentence
    assert f"the nearest of its 16 is {nearest}" in sentence
    assert "\n" not in sentence


def test_a_name_like_no_chip_gets_the_list():
    known, _, sentence = find_soc(MEDIATEK, "banana")
    assert not known
    assert "it knows MT6853, " in sentence


def test_no_chip_at_all_is_refused(refusal):
    refusal(InputError, lambda: find_soc(MEDIATEK, ""), "--soc", "MT6853")


def test_other_makers_answer_too():
    assert find_soc(VENDORS["qualcomm"], "sm8750")[0]
    assert find_soc(VENDORS["google"], "tensor-g5")[1] == "Tensor_G5"
    assert "Tensor_G6" in find_soc(VENDORS["google"], "Tensor_G9")[2]
    assert find_soc(VENDORS["samsung"], "E9965")[0]


# As read from ai-edge-litert 2.3.0.
LISTED = """
ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CAST CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEQUANTIZE DIV
FULLY_CONNECTED GELU GREATER HARD_SWISH L2_NORMALIZATION LEAKY_RELU LESS LOGISTIC MAXIMUM
MAX_POOL_2D MEAN MINIMUM MUL PAD PADV2 PRELU QUANTIZE REDUCE_MAX RELU RESHAPE RESIZE_BILINEAR
RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPLIT SQRT SQUARED_DIFFERENCE STABLEHLO_COMPOSITE
STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE TRANSPOSE_CONV UNPACK
"""


def test_mediateks_operators_are_read_out_of_its_plugin():
    assert sorted(read_operators(MEDIATEK)) == LISTED.split()


def test_the_other_plugins_hold_no_list():
    assert [read_operators(v) for v in VENDORS.values() if v is not MEDIATEK] == [None] * 3


def test_operators_outside_the_list_are_named_with_their_layer(write_file):
    report = check_npu(write_file("CONV_2D", "RELU6", "PAD", "RELU_0_TO_1"), "mediatek", "mt6893")
    assert [(one.kind, one.layer) for one in report.outside] == [
        ("RELU6", "relu6_1"), ("RELU_0_TO_1", "relu_0_to_1_3"),
    ]  # fmt: skip
    assert (report.covered, report.operators) == (2, 4)
    assert not report.passed
    text = "\n".join(describe_npu(report))
    assert "2 of 4 on the plugin's list" in text
    assert "RELU6 'relu6_1' (operator 1) is not on it" in text


def test_the_readmes_network_is_covered_whole(built):
    from export.check.command import find_tflite

    report = check_npu(find_tflite(built), "mediatek", "MT6989")
    assert (report.covered, report.operators) == (169, 169)
    assert report.passed
    assert "SDK is not installed" in report.compilation


def test_a_plugin_without_the_list_says_which_version_has_it(tmp_path, refusal):
    plugin = tmp_path / "vendors" / "mediatek" / "compiler" / MEDIATEK.plugin
    refusal(DeviceError, lambda: read_operators(MEDIATEK, tmp_path), str(plugin))
    plugin.parent.mkdir(parents=True)
    plugin.write_bytes(b"something else")
    refusal(DeviceError, lambda: read_operators(MEDIATEK, tmp_path), "2.3.0")
    refusal(DeviceError, lambda: list_socs(MEDIATEK, tmp_path), "target.py")


# -- the SDK -----------------------------------------------------------------------------------


@pytest.fixture
def sdk(tmp_path, monkeypatch):
    """Install MediaTek's package as pip does when its download failed: empty."""
    package = tmp_path / MEDIATEK.sdk_module
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('it is not imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


def test_an_sdk_that_installed_itself_empty_is_detected(sdk, write_file):
    assert find_sdk(MEDIATEK)[0] is None
    report = check_npu(write_file("RELU"), "mediatek", "mt6893")
    assert "installed and empty" in report.compilation
    assert not report.compiled


def test_where_the_libraries_are_the_file_is_compiled(sdk, write_file, monkeypatch):
    libraries = sdk / "v8" / "host" / "lib"
    libraries.mkdir(parents=True)
    (libraries / "libneuron_adapter.so").write_bytes(b"")
    assert find_sdk(MEDIATEK) == (libraries, "")
    commands = []

    def run(command, *, env, **_):
        commands.append((command, env["LD_LIBRARY_PATH"]))
        target = next(part.removeprefix("--o=") for part in command if part.startswith("--o="))
        with open(target, "wb") as file:
            file.write(b"compiled")
        log = (
            "Partitioned subgraph<0>, selected 3 ops, from a total of 4 ops. resulted in 1 "
            "partitions."
        )
        return subprocess.CompletedProcess(command, 0, log, "")

    monkeypatch.setattr(npu.subprocess, "run", run)
    report = check_npu(write_file("RELU"), "mediatek", "mt6893")
    assert report.compiled
    assert report.compilation == "done: 3 of 4 operators in 1 pieces"
    ((command, path),) = commands
    assert "--soc_model=mt6893" in command
    assert path.split(":")[0] == str(libraries)


def test_a_library_that_does_not_load_is_a_line(sdk, write_file):
    (sdk / "libneuronusdk_adapter.mtk.so").write_bytes(b"no library")
    report = check_npu(write_file("RELU"), "mediatek", "mt6893")
    assert not report.compiled
    assert report.compilation.startswith("failed: ")
    assert "NeuronAdapter" in report.compilation


# -- the command -------------------------------------------------------------------------------


def test_the_command_prints_three_lines_and_says_no_by_its_status(write_file, capsys):
    path = str(write_file("RELU"))
    assert main(["--npu", "mediatek", "--soc", "mt6893", path]) == 0
    assert capsys.readouterr().out.count("\n") == 3
    assert main(["--npu", "MediaTek", "--soc", "mt6889", path]) == 1
    assert "MT6886" in capsys.readouterr().out


def test_a_chip_that_is_not_named_is_one_line(write_file, capsys):
    assert main(["--npu", "mediatek", str(write_file("RELU"))]) == 2
    line = capsys.readouterr().err
    assert "--soc" in line
    assert line.count("\n") == 1


def test_a_maker_without_a_plugin_is_refused(write_file, refusal):
    refusal(SpecError, lambda: check_npu(write_file("RELU"), "mediatec", "x"), "'mediatek'")
