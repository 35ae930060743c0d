"""`python -m export.sensitivity` and `export.build --sensitivity`: what is shown and written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from export.build import main as build
from export.sensitivity import main

NET = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Hardswish(), nn.Conv2d(8, 8, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )
"""

COMMAND = ["--module", "net:make", "--input", "1,3,8,8", "--jobs", "1", "--formats", "tflite"]


@pytest.fixture
def folder(write_factory, tmp_path, monkeypatch):
    """Where the network and data to calibrate on lie."""
    write_factory("net", NET)
    np.savez(tmp_path / "fed.npz", input_0=np.random.default_rng(0).random((12, 3, 8, 8)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_table_and_a_figure_and_two_files_say_what_each_layer_loses(folder, capfd):
    assert main([*COMMAND, "--calibration", "fed.npz"]) == 0
    told = capfd.readouterr().out
    for name in ("0", "1", "2", "5"):
        assert f" {name} " in told
    assert ".tflite: equals the integer reference in every layer" in told
    assert "float run: no layer is below 20 dB of it" in told
    written = folder / "artifacts" / "sensitivity"
    (stored,) = (p for p in written.glob("*.json") if not p.stem.endswith("_nodes"))
    layers = json.loads(stored.read_text())["layers"]
    assert [layer["name"] for layer in layers] == ["0", "1", "2", "3", "5"]
    assert all(layer["alone"]["sqnr_db"] > 20 for layer in layers)
    nodes = json.loads(stored.with_name(f"{stored.stem}_nodes.json").read_text())
    assert nodes["results"]["0/conv2d"]["value"] == pytest.approx(
        layers[0]["alone"]["sqnr_db"], abs=0.01
    )
    page = stored.with_suffix(".html").read_text()
    assert "<html>" in page
    assert "this layer alone in int8" in page
    assert not list((folder / "artifacts").glob("*.tflite"))  # it publishes nothing else


def test_a_build_can_say_it_as_well(folder, in_process_builds, capfd):
    command = [*COMMAND, "--precision", "int8", "--calibration", "fed.npz", "--sensitivity"]
    assert build([*command, "--keep-float", "5"]) == 0
    told = capfd.readouterr().out
    assert "cost most alone" in told
    assert "kept in float as asked" in told
    assert len(list((folder / "artifacts" / "sensitivity").iterdir())) == 3
    assert len(list((folder / "artifacts").glob("*.tflite"))) == 1


def test_what_an_app_wants_around_the_network_is_analysed_with_it(folder, capfd):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8, 3), np.uint8)
    np.savez(folder / "bytes.npz", input_0=pixels[:, 0])
    app = ["--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.25", "--preprocess", "uint8"]
    command = [*COMMAND, "--calibration", "bytes.npz", *app, "--head", "topk:2"]
    assert main(command) == 0
    assert ".tflite: equals the integer reference in every layer" in capfd.readouterr().out
    (stored,) = (folder / "artifacts" / "sensitivity").glob("*_uint8_int8.json")
    layers = json.loads(stored.read_text())["layers"]
    assert {"0", "1", "2", "3", "5"} <= {layer["name"] for layer in layers}
    assert all(layer["alone"]["agreement"] is not None for layer in layers)  # of the scores


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ([], "--precision int8 needs --calibration"),
        (["--calibration", "fed.npz", "--keep-float", "12"], "unknown layer '12': did you mean"),
    ],
)
def test_what_cannot_be_analysed_is_one_line(folder, capfd, options, line):
    assert main([*COMMAND, *options]) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert line in error
    assert not (folder / "artifacts").exists()
