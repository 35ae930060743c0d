"""Two sets as apps want them, built once a run: floats for an app's own code, bytes in int8."""

from __future__ import annotations

from pathlib import Path

import pytest

NETWORK = """
from torch import nn


def make():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(400, 10),
    )
"""
SIDE = 24
LABELS = tuple(f"digit {i}" for i in range(10))


def build_set(folder, *options):
    """Build a set of the network above in this process and return its manifest."""
    from export.cli.options import make_parser
    from export.cli.requests import parse_requests
    from export.pipeline import make_artifacts

    (folder / "labels.txt").write_text("\n".join(LABELS))
    common = ["--input", f"1,3,{SIDE},{SIDE}", "--labels", str(folder / "labels.txt")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "appnet.py").write_text(NETWORK)
        (request,) = parse_requests(
            make_parser().parse_args(
                ["--module", "appnet:make", *common, "--out", str(folder / "out"), *options]
            )
        )
        return make_artifacts(request).manifest


@pytest.fixture(scope="session")
def float_set(make_once):
    """Floats that the app normalises by one mean and one deviation, and raw scores."""
    from export import load_manifest

    def build(folder):
        means = ["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]
        build_set(folder, *means, "--preprocess", "metadata")

    return load_manifest(_find(make_once("app_float_set", build)))


@pytest.fixture(scope="session")
def byte_set(make_once):
    """An int8 network that takes bytes and returns the three best classes."""
    from export import load_manifest

    def build(folder):
        means = ["--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.25"]
        int8 = ["--precision", "int8", "--calibration", "synthetic"]
        build_set(folder, *means, "--preprocess", "uint8", "--head", "topk:3", *int8)

    return load_manifest(_find(make_once("app_byte_set", build)))


def _find(folder: Path) -> Path:
    (manifest,) = (folder / "out").glob("[!.]*.json")
    return manifest
