"""Accuracy of checkpoints, in PyTorch."""

import json

import numpy as np
import pytest
import torch

from pfd_models import create_model
from pfd_models.checkpoints import save_weights
from pfd_models.evaluate import main
from pfd_models.training.datasets import open_splits
from pfd_models.training.transforms import whole


def measured(capsys, *paths, extra=()):
    assert main(["--dataset", "digits", "--json", "--weights", *map(str, paths), *extra]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *arguments):
    assert main(["--dataset", "digits", *map(str, arguments)]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert len(told.err.splitlines()) == 1
    return told.err


def test_weights_and_last_state_give_what_training_saw(trained, capsys):
    best, last = measured(capsys, trained.weights, trained.folder / "last.pt")
    assert best["images"] == 360
    assert best["top1_percent"] == trained.best.top1
    assert best["top5_percent"] == trained.best.top5
    assert last["top1_percent"] == trained.history[-1].top1
    assert best["loss"] == pytest.approx(trained.best.val_loss, rel=1e-4)


def test_it_is_the_accuracy_of_a_network_run_by_hand(trained, capsys):
    model = create_model("digitnet", "orig", num_classes=10, resolution=16)
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
    (found,) = measured(capsys, trained.weights)
    assert found["top1_percent"] == pytest.approx(100 * right)


def test_lines_for_people(trained, capsys):
    assert main(["--dataset", "digits", "--weights", str(trained.weights)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{trained.weights}: top-1 ")
    assert "of 360 images" in told


def test_a_bare_state_dict_needs_the_networks_name(trained, tmp_path, capsys):
    bare = tmp_path / "bare.pt"
    torch.save(torch.load(trained.weights, weights_only=True)["state_dict"], bare)
    assert "does not say what network it is; give --model" in refusal(capsys, "--weights", bare)
    named = ["--model", "digitnet", "--variant", "orig", "--resolution", "16"]
    (found,) = measured(capsys, bare, extra=named)
    assert found["top1_percent"] == trained.best.top1
    assert "does not fit ghostnet" in refusal(
        capsys, "--weights", bare, "--model", "ghostnet", "--resolution", "16"
    )


@pytest.mark.parametrize("name", ["net.pte", "net.onnx", "net.tflite", "net.pkl"])
def test_a_shipped_file_is_told_the_command_that_runs_it(tmp_path, capsys, name):
    (tmp_path / name).write_text("x")
    line = refusal(capsys, "--weights", tmp_path / name)
    assert f"{name} is no PyTorch checkpoint (.pt, .pth, .ckpt, .bin, .tar)" in line
    assert f"python -m export.evaluate --dataset NAME {tmp_path / name}" in line


def test_bad_input_is_one_line(tmp_path, capsys):
    assert "absent.pt" in refusal(capsys, "--weights", tmp_path / "absent.pt")
    other = create_model("resnet20", num_classes=7, resolution=16)
    save_weights(other, tmp_path / "seven.pt")
    assert "gives 7 scores, the data set has 10 classes" in refusal(
        capsys, "--weights", tmp_path / "seven.pt"
    )
