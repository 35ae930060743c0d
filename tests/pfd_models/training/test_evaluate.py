"""Accuracy of weights and of the files that are shipped, from the same command."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from export import BuildRequest, ZooSource, make_artifacts
from pfd_models import create_model, get_spec
from pfd_models.checkpoints import save_weights
from pfd_models.evaluate import main
from pfd_models.training.config import RunConfig
from pfd_models.training.datasets import open_splits
from pfd_models.training.recipes import RECIPES
from pfd_models.training.run import train
from pfd_models.training.transforms import whole

SOURCE = ZooSource(model="shufflenetv2_x0_5", num_classes=10, resolution=16)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network that has learned a little about digits."""
    torch.set_num_threads(1)
    spec = get_spec("shufflenetv2_x0_5", "ours", "cifar100", 10, 16)
    recipe = RECIPES["digits"].replaced({"epochs": 3})
    folder = tmp_path_factory.mktemp("digits") / "run"
    return train(RunConfig(spec=spec, recipe=recipe, dataset="digits", folder=folder))


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
    """The shipped files of the same network, two images a call for one of them."""
    out = tmp_path_factory.mktemp("shipped")
    manifest = make_artifacts(
        BuildRequest(source=SOURCE, weights=trained.weights, out=out)
    ).manifest
    return {a.format: manifest.path(a) for a in manifest.artifacts}


def evaluated(capsys, *paths, status=0, extra=()):
    assert main(["--dataset", "digits", "--json", "--weights", *map(str, paths), *extra]) == status
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *arguments):
    assert main(["--dataset", "digits", *map(str, arguments)]) in (1, 2)
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert len(told.err.splitlines()) == 1
    return told.err


def test_weights_and_last_state_give_what_training_saw(trained, capsys):
    best, last = evaluated(capsys, trained.weights, trained.folder / "last.pt")
    assert best["images"] == 360
    assert best["top1_percent"] == trained.best.top1
    assert best["top5_percent"] == trained.best.top5
    assert last["top1_percent"] == trained.history[-1].top1
    assert best["loss"] == pytest.approx(trained.best.val_loss, rel=1e-4)


def test_it_is_the_accuracy_of_a_network_run_by_hand(trained, capsys):
    model = create_model("shufflenetv2_x0_5", "ours", num_classes=10, resolution=16)
    stored = torch.load(trained.weights, weights_only=True)
    model.load_state_dict(stored["state_dict"])
    val = open_splits("digits", None).val
    pixels = torch.stack([whole(16)(p) for p in val.pixels])
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (model.spec.input.mean, model.spec.input.std)
    )
    with torch.no_grad():
        scores = model.eval()((pixels / 255 - mean) / std).numpy()
    right = float(np.mean(scores.argmax(1) == np.array(val.labels)))
    (found,) = evaluated(capsys, trained.weights)
    assert found["top1_percent"] == pytest.approx(100 * right)


def test_shipped_files_are_run_themselves(trained, files, capsys):
    assert set(files) == {"pte", "onnx", "tflite"}
    found = evaluated(capsys, *files.values())
    (module,) = evaluated(capsys, trained.weights)
    for one in found:
        assert one["images"] == 360
        assert one["top1_percent"] == pytest.approx(module["top1_percent"], abs=100 / 360 + 1e-9)
        assert one["loss"] == pytest.approx(module["loss"], rel=1e-3)
    assert {one["runtime"] for one in found} == {
        "the pte runtime, fp32",
        "the onnx runtime, fp32",
        "the tflite runtime, fp32",
    }


def test_a_file_of_several_images_a_call_counts_each_image_once(trained, tmp_path, capsys):
    source = ZooSource(model="shufflenetv2_x0_5", num_classes=10, resolution=16, batch=100)
    request = BuildRequest(source=source, weights=trained.weights, out=tmp_path, formats=("onnx",))
    manifest = make_artifacts(request).manifest
    (many,) = evaluated(capsys, manifest.path(manifest.artifacts[0]))  # 3 full calls and 60 images
    (module,) = evaluated(capsys, trained.weights)
    assert many["images"] == 360
    assert many["top1_percent"] == pytest.approx(module["top1_percent"], abs=100 / 360 + 1e-9)


def test_a_file_changed_after_its_build_is_refused(files, tmp_path, capsys):
    folder = shutil.copytree(files["onnx"].parent, tmp_path / "copy")
    path = folder / files["tflite"].name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "its manifest says" in refusal(capsys, "--weights", path)


def test_lines_for_people(trained, capsys):
    assert main(["--dataset", "digits", "--weights", str(trained.weights)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{trained.weights}: top-1 ")
    assert "of 360 images" in told


def test_bad_input_is_one_line(trained, files, tmp_path, folders, capsys):
    bare = tmp_path / "bare.pt"
    torch.save(torch.load(trained.weights, weights_only=True)["state_dict"], bare)
    assert "does not say what network it is; give --model" in refusal(capsys, "--weights", bare)
    named = ["--model", "shufflenetv2_x0_5", "--resolution", "16"]
    (found,) = evaluated(capsys, bare, extra=named)
    assert found["top1_percent"] == trained.best.top1
    assert "does not fit ghostnet" in refusal(
        capsys, "--weights", bare, "--model", "ghostnet", "--resolution", "16"
    )
    assert "absent.pt" in refusal(capsys, "--weights", tmp_path / "absent.pt")
    assert "absent.onnx is missing" in refusal(capsys, "--weights", tmp_path / "absent.onnx")
    strange = tmp_path / "net.pkl"
    strange.write_text("x")
    assert "unknown kind of file '.pkl'" in refusal(capsys, "--weights", strange)
    broken = tmp_path / "broken.pte"
    broken.write_text("x")
    command = [sys.executable, "-m", "pfd_models.evaluate", "--dataset", "digits", "--weights"]
    done = subprocess.run([*command, broken], capture_output=True, text=True, check=False)
    assert done.returncode == 2  # a process of its own: the runtime writes to the descriptors
    assert done.stderr.startswith(f"error: {broken} is no ExecuTorch program")
    assert len(done.stderr.splitlines()) == 1
    alone = shutil.copy(files["onnx"], tmp_path / "alone.onnx")
    assert "manifest" in refusal(capsys, "--weights", alone)
    other = create_model("shufflenetv2_x0_5", "ours", num_classes=7, resolution=16)
    save_weights(other, tmp_path / "seven.pt")
    assert "gives 7 scores, the data set has 10 classes" in refusal(
        capsys, "--weights", tmp_path / "seven.pt"
    )
