"""Accuracy of the files that are shipped, beside the checkpoint they were built from."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from export import BuildRequest, ZooSource, make_artifacts
from export.evaluate import _as_scores, main
from export.formats import get_format

BATCH = 7  # 360 images are 51 whole calls and one of three images


@pytest.fixture(scope="module")
def files(digitnet, trained, tmp_path_factory):
    """The shipped files of a network that was trained, several images a call."""
    source = ZooSource(model=digitnet, variant="orig", num_classes=10, resolution=16, batch=BATCH)
    request = BuildRequest(
        source=source, weights=trained.weights, out=tmp_path_factory.mktemp("shipped")
    )
    manifest = make_artifacts(request).manifest
    return {a.format: manifest.path(a) for a in manifest.artifacts}


def measured(capsys, *arguments):
    assert main(["--dataset", "digits", "--json", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *arguments):
    assert main(["--dataset", "digits", *map(str, arguments)]) in (1, 2)
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert len(told.err.splitlines()) == 1
    return told.err


def test_pytorch_stands_beside_the_shipped_files(trained, files, capsys):
    assert set(files) == {"pte", "onnx", "tflite"}
    module, *found = measured(capsys, "--weights", trained.weights, *files.values())
    assert module["top1_percent"] == trained.best.top1 > 50  # of ten classes: it has learned
    for one in found:
        assert one["images"] == 360  # each once, also those of the last call
        assert one["top1_percent"] == pytest.approx(module["top1_percent"], abs=100 / 360 + 1e-9)
        assert one["loss"] == pytest.approx(module["loss"], rel=1e-3)
    assert [one["runtime"] for one in (module, *found)] == [
        "PyTorch on cpu",
        *(f"the {kind} runtime, fp32" for kind in files),
    ]


def test_a_file_is_loaded_once_for_all_its_images(files, capsys, monkeypatch):
    onnx, loaded = get_format("onnx"), []
    load = onnx.load
    monkeypatch.setattr(onnx, "load", lambda path: loaded.append(path) or load(path))
    (found,) = measured(capsys, files["onnx"])
    assert found["images"] > BATCH
    assert loaded == [files["onnx"]]


def test_a_file_changed_after_its_build_is_refused(files, tmp_path, capsys):
    folder = shutil.copytree(files["onnx"].parent, tmp_path / "copy")
    path = folder / files["tflite"].name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "its manifest says" in refusal(capsys, path)


def test_bad_input_is_one_line(files, tmp_path, capsys):
    assert "say what to measure" in refusal(capsys)
    assert "absent.onnx is missing" in refusal(capsys, tmp_path / "absent.onnx")
    strange = tmp_path / "net.pt"
    strange.write_text("x")
    line = refusal(capsys, strange)
    assert "unknown kind of shipped file '.pt'" in line
    assert f"give a checkpoint as --weights {strange}" in line
    assert "net.onnx is no PyTorch checkpoint" in refusal(
        capsys, "--weights", tmp_path / "net.onnx"
    )
    alone = shutil.copy(files["onnx"], tmp_path / "alone.onnx")
    assert "manifest" in refusal(capsys, alone)


def test_a_broken_file_is_one_line(tmp_path):
    broken = tmp_path / "broken.pte"
    broken.write_text("x")
    command = [sys.executable, "-m", "export.evaluate", "--dataset", "digits", str(broken)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2  # a process of its own: the runtime writes to the descriptors
    assert done.stderr.startswith(f"error: {broken} is no ExecuTorch program")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "outputs",
    [
        [torch.tensor([[0.1, 3.0, 2.0], [5.0, 0.0, 1.0]])],
        [torch.tensor([1, 0], dtype=torch.int32)],
        [torch.tensor([[3.0, 2.0], [5.0, 1.0]]), torch.tensor([[1, 2], [0, 2]], dtype=torch.int32)],
    ],
    ids=["scores", "argmax", "topk"],
)
def test_a_file_is_measured_by_its_best_class_whatever_its_head(outputs):
    assert _as_scores(outputs, 3).argmax(1).tolist() == [1, 0]
