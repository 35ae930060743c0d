"""LiteRT's GPU engine says what stays on the GPU; each operator it refuses is named."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tflite_files import make_file

from export.check import check_gpu, gpu_process
from export.check import gpu as gpu_module
from export.check.command import find_tflite, main
from export.check.isolate import isolate, kind_key
from export.check.show import describe_gpu
from export.check.vulkan import Driver, find_drivers, vulkan_environment
from export.onnx_to_tflite.conversion import convert
from export.onnx_to_tflite.listing import list_operators
from pfd_models.errors import DeviceError, InputError


def test_a_file_of_common_operators_stays_on_the_gpu(gpu, write_file):
    report = check_gpu(write_file("CONV_2D", "RELU6", "PAD", "HARD_SWISH"))
    assert report.passed
    assert (report.operators, report.refused, report.left_behind) == (4, (), 0)
    assert report.error < 1e-6
    assert 0 < report.half_error < 0.01
    lines = list(describe_gpu(report))
    assert lines[0] == "net.tflite: stays on the GPU, all 4 operators"
    assert "fp16" in lines[2]


@pytest.mark.parametrize("search", ["ArgMax", "TopK"])
def test_the_best_of_ten_classes_are_found_on_the_gpu(gpu, search, tmp_path):
    """Of a number that is no multiple of four, the engine would rank the whole groups alone."""
    from onnx import TensorProto, helper, numpy_helper, shape_inference

    k = [numpy_helper.from_array(np.array([10]), "k")]
    if search == "TopK":
        found, shape = helper.make_node("TopK", ["x", "k"], ["v", "i"], axis=1), [1, 10]
    else:
        found, shape = helper.make_node("ArgMax", ["x"], ["i"], axis=1, keepdims=0), [1]
    nodes = [found, helper.make_node("Cast", ["i"], ["y"], to=TensorProto.INT32)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 10])
    y = helper.make_tensor_value_info("y", TensorProto.INT32, shape)
    model = helper.make_model(helper.make_graph(nodes, "net", [x], [y], k))
    path = tmp_path / "net.tflite"
    path.write_bytes(convert(shape_inference.infer_shapes(model)).data)
    report = check_gpu(path)
    assert report.resident
    assert report.error == 0.0


def test_a_refused_operator_is_named_with_its_layer_cause_and_fix(gpu, write_file):
    report = check_gpu(write_file("CONV_2D", "RELU_0_TO_1", "CONV_2D"))
    assert not report.passed
    (one,) = report.refused
    assert (one.kind, one.layer, one.index) == ("RELU_0_TO_1", "relu_0_to_1_1", 1)
    assert "RELU_0_TO_1" in one.cause
    assert "torch.clamp(x, 0, 1)" in one.fix
    assert report.left_behind == 1  # one of the convolutions: the engine keeps one piece
    assert report.error < 1e-6


# Chains with operators that the engine of ai-edge-litert 2.3 refuses, and which these are.
PLANTED = {
    ("RELU_0_TO_1",): [0],
    ("CONV_2D", "RELU_0_TO_1"): [1],
    ("LOG_SOFTMAX", "CONV_2D"): [0],
    ("CONV_2D", "L2_NORMALIZATION", "RELU"): [1],
    ("CONV_2D", "ZEROS_LIKE"): [1],
    ("CONV_2D", "SOFTMAX"): [1],
    ("CONV_2D", "RESHAPE"): [1],
    ("RELU", "RESHAPE", "TRANSPOSE"): [1, 2],
    ("RELU_0_TO_1", "CONV_2D", "RELU_0_TO_1"): [0, 2],
    ("CONV_2D", "RELU_0_TO_1", "PAD", "LOG_SOFTMAX", "RELU"): [1, 3],
}


@pytest.mark.slow
@pytest.mark.parametrize("kinds", PLANTED, ids="-".join)
def test_each_planted_operator_is_named_and_no_other(gpu, write_file, kinds):
    report = check_gpu(write_file(*kinds))
    assert [one.index for one in report.refused] == PLANTED[kinds]
    assert not report.resident


def test_ten_files_were_planted():
    assert len(PLANTED) == 10


def strip_file(content):
    """Leave out what the schema lets a file leave out: names, and the shapes of scalars."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for tensor in model.subgraphs[0].tensors:
        tensor.name = None
        if not len(tensor.shape):
            tensor.shape = None
    model.subgraphs[0].operators[0].inputs = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_file_without_names_is_listed_by_places():
    content = strip_file(make_file("RELU", "CONV_2D"))
    first, second = list_operators(content)
    assert (first.layer, first.inputs, second.layer) == ("operator 0", (), "operator 1")
    (alone,) = list_operators(isolate(content, 0))
    assert (alone.kind, alone.inputs) == ("RELU", ())
    assert kind_key(isolate(content, 0)) != kind_key(isolate(content, 1))


# -- what can go wrong -------------------------------------------------------------------------


def test_a_file_that_is_none_is_one_line(tmp_path, refusal):
    path = tmp_path / "x.tflite"
    refusal(InputError, lambda: check_gpu(path), str(path), "no such file")
    path.write_bytes(b"no model at all")
    refusal(InputError, lambda: check_gpu(path), str(path), "TFL3")
    path.write_bytes(b"\xff\xff\xff\x7fTFL3 and then nothing that makes sense")
    refusal(InputError, lambda: check_gpu(path), str(path), "damaged")


def test_without_a_driver_the_line_says_what_to_install(tmp_path, refusal):
    refusal(DeviceError, lambda: find_drivers(tmp_path, {}), "chromium-common", "VK_ICD_FILENAMES")


def make_system(root, *files):
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}")


BROWSER = ("usr/lib/chromium/libvk_swiftshader.so", "usr/lib/chromium/libvulkan.so.1")
NVIDIA = ("usr/share/vulkan/icd.d/nvidia_icd.json", "dev/nvidia0")
LOADER = "usr/lib/x86_64-linux-gnu/libvulkan.so.1"


def test_a_gpus_own_driver_comes_first_and_the_one_in_software_second(tmp_path):
    make_system(tmp_path, *BROWSER, *NVIDIA, LOADER)
    own, software = find_drivers(tmp_path, {})
    assert "nvidia_icd" in own.name
    assert own.library is None
    assert software.library == tmp_path / BROWSER[0]


@pytest.mark.parametrize(
    "files",
    [
        BROWSER,  # no GPU
        (*BROWSER, LOADER, "usr/share/vulkan/icd.d/nvidia_icd.json"),  # its driver, and no GPU
        (*BROWSER, LOADER, "usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "dev/dri/renderD128"),
    ],
)
def test_where_no_gpu_has_a_driver_the_one_in_software_is_alone(tmp_path, files):
    make_system(tmp_path, *files)
    (driver,) = find_drivers(tmp_path, {})
    assert "software" in driver.name


def test_the_drivers_that_the_user_names_are_the_only_ones(tmp_path):
    make_system(tmp_path, *BROWSER, LOADER, "mine.json")
    (driver,) = find_drivers(tmp_path, {"VK_ICD_FILENAMES": str(tmp_path / "mine.json")})
    assert driver == Driver(name="as VK_ICD_FILENAMES says")


def test_a_named_driver_is_read_by_a_browsers_loader_where_the_system_has_none(
    tmp_path, monkeypatch
):
    make_system(tmp_path, *BROWSER, "mine.json")
    monkeypatch.setenv("VK_ICD_FILENAMES", str(tmp_path / "mine.json"))
    (driver,) = find_drivers(tmp_path)
    with vulkan_environment(driver) as environment:
        assert environment["VK_ICD_FILENAMES"] == str(tmp_path / "mine.json")
        (folder, *_) = environment["LD_LIBRARY_PATH"].split(":")
        assert (Path(folder) / "libvulkan.so.1").samefile(tmp_path / BROWSER[1])


def test_a_named_driver_that_is_not_there_is_said_by_its_name(tmp_path, refusal):
    make_system(tmp_path, *BROWSER)
    chosen = {"VK_DRIVER_FILES": "/no/driver.json"}
    refusal(
        DeviceError, lambda: find_drivers(tmp_path, chosen), "VK_DRIVER_FILES", "/no/driver.json"
    )


def test_a_process_gets_the_driver_and_the_loader_and_no_other_library(tmp_path):
    make_system(tmp_path, *BROWSER, "usr/lib/chromium/libEGL.so")
    (driver,) = find_drivers(tmp_path, {})
    with vulkan_environment(driver) as environment:
        icd = json.loads(Path(environment["VK_ICD_FILENAMES"]).read_text())
        assert icd["ICD"]["library_path"] == str(tmp_path / BROWSER[0])
        folder = Path(environment["LD_LIBRARY_PATH"].split(":")[0])
        assert [p.name for p in sorted(folder.glob("lib*"))] == ["libvulkan.so.1"]
    assert not folder.exists()


DEATHS = {
    "import os, sys; open(sys.argv[-1], 'w'); os.kill(os.getpid(), 11)": (
        DeviceError, "SIGSEGV", "VK_ICD_FILENAMES",
    ),
    "import os; os.kill(os.getpid(), 11)": (DeviceError, "SIGSEGV", "before it asked a GPU"),
    "raise SystemExit('the model has no signature' + chr(10) + 'INFO: the end')": (
        InputError, "no signature", "cannot run",
    ),
    "import json, sys; none = dict(adapter='', trouble='none there'); "
    "json.dump(none, open(sys.argv[-1], 'w'))": (DeviceError, "found no GPU", "none there"),
    "import time; time.sleep(60)": (DeviceError, "no answer within 1 s", "VK_ICD_FILENAMES"),
}  # fmt: skip


@pytest.mark.parametrize("program", DEATHS)
def test_a_driver_that_dies_or_hangs_is_one_line(
    program, write_file, monkeypatch, tmp_path, refusal
):
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -c "{program}" "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(gpu_module.sys, "executable", str(fake))
    monkeypatch.setattr(gpu_module, "_TIMEOUT_SECONDS", 1.0 if "sleep" in program else 60.0)
    monkeypatch.setattr(gpu_module, "find_drivers", lambda: (Driver(name="mine"),))
    kind, *parts = DEATHS[program]
    path = write_file("RELU")
    refusal(kind, lambda: check_gpu(path), *parts, str(path) if "found" not in parts[0] else "mine")


def test_a_gpus_driver_that_dies_gives_way_to_the_one_in_software(write_file, monkeypatch):
    def run(path, driver):
        if driver.name == "own":
            raise DeviceError("the driver died")
        return {
            "adapter": "soft", "resident": True, "refused": [], "on_cpu": 0,
            "error": 0.0, "half_error": 0.0, "seconds": 1.0, "trouble": "",
        }  # fmt: skip

    drivers = (Driver(name="own"), Driver(name="soft"))
    monkeypatch.setattr(gpu_module, "find_drivers", lambda: drivers)
    monkeypatch.setattr(gpu_module, "_run", run)
    assert check_gpu(write_file("RELU")).driver == "soft"


def test_the_log_of_the_engine_is_read_kind_by_kind():
    log = (
        "INFO: something\n"
        "ERROR: Following operations are not supported by GPU delegate:\n"
        "RELU_0_TO_1: Not supported op RELU_0_TO_1\n"
        "RESHAPE: Tensor dimensions must be less than 5. x\n"
        "3 operations will run on the GPU, and the remaining 5 operations will run on the CPU.\n"
        "SOMETHING: else\n"
    )
    assert gpu_process._read_refusals(log) == {
        "RELU_0_TO_1": "Not supported op RELU_0_TO_1",
        "RESHAPE": "Tensor dimensions must be less than 5. x",
    }
    assert gpu_process._counts(log) == (3, 5)
    none = "No operations will run on the GPU, and all 2 operations will run on the CPU."
    assert gpu_process._counts(none) == (0, 2)


def test_the_process_says_by_its_report_that_the_cpu_was_done(write_file, monkeypatch, tmp_path):
    report = tmp_path / "report.json"

    def die(*_, **__):
        raise RuntimeError(f"the GPU was asked; report there: {report.exists()}")

    monkeypatch.setattr(gpu_process._Engine, "try_gpu", die)
    with pytest.raises(RuntimeError, match="report there: True"):
        gpu_process.main([str(write_file("RELU")), str(report)])


# -- the command -------------------------------------------------------------------------------


def test_the_command_prints_the_reports_and_says_no_by_its_status(write_file, monkeypatch, capsys):
    report = gpu_module.GpuReport(
        file="net.tflite", driver="d", adapter="a", operators=2, resident=True, refused=(),
        trouble="", left_behind=0, error=1e-6, half_error=1e-3, seconds=1.0,
    )  # fmt: skip
    for changes, status in (
        ({}, 0), ({"resident": False}, 1), ({"error": 1.1e-4}, 1), ({"error": None}, 1),
    ):  # fmt: skip
        made = dataclasses.replace(report, **changes)
        monkeypatch.setattr("export.check.command.check_gpu", lambda path, made=made: made)
        assert main(["--gpu", str(write_file("RELU"))]) == status
        assert capsys.readouterr().out.startswith("net.tflite: ")


def test_several_files_end_with_how_long_each_took(write_file, monkeypatch, capsys):
    monkeypatch.setattr("export.check.command._run_on_gpu", lambda path: (["stays"], True))
    ticks = iter([0.0, 1.0, 1.0, 4.0, 4.0, 6.0])
    monkeypatch.setattr("export.check.command.time.perf_counter", lambda: next(ticks))
    path = str(write_file("RELU"))
    assert main(["--gpu", path, path, path]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "3 files: 2.0 s a file (median), 3.0 s at most"
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--gpu", "--soc", "mt6893"], "--soc mt6893 goes with --npu"),
        (["--npu", "mediatec"], "'mediatek'"),
    ],
)
def test_options_that_do_not_fit_are_one_line(options, line, write_file, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*options, str(write_file("RELU"))])
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


def test_a_set_is_checked_by_its_manifest(built, readme_build):
    (manifest,) = readme_build.folder.glob("[!.]*_fp32.json")
    assert find_tflite(manifest).name == "shufflenetv2_ours_cifar100_32_fp32.tflite"
    assert find_tflite(built) == find_tflite(manifest)


def test_a_set_without_a_tflite_file_says_how_to_get_one(built, refusal):
    bare = dataclasses.replace(
        built, artifacts=tuple(a for a in built.artifacts if a.format != "tflite")
    )
    refusal(InputError, lambda: find_tflite(bare), "no .tflite file", "--formats tflite", "pte")


def test_a_build_that_makes_no_tflite_cannot_be_checked(capsys):
    from export.build import main as build

    command = ["--model", "resnet20", "--formats", "pte,onnx", "--check", "gpu"]
    assert build(command) == 2
    line = capsys.readouterr().err
    assert "add tflite to --formats" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("status", [0, 1, 3])
def test_a_build_checks_what_it_made_and_its_status_is_the_worst(
    status, built, readme_build, monkeypatch, capsys
):
    from export.build import main as build

    checked = []

    def check(manifests):
        checked.extend(manifests)
        return status

    monkeypatch.setattr("export.build.check_on_gpu", check)
    out = str(readme_build.folder)
    command = ["--model", "shufflenetv2", "--variant", "ours", "--out", out, "--check", "gpu"]
    assert build(command) == status
    assert [manifest.build_id for manifest in checked] == [built.build_id]
