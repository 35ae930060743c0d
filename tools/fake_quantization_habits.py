"""How far the usual shortcuts of fake quantisation take a network from its integers.

    python tools/fake_quantization_habits.py runs/mobilenetv3_large/best.pt

runs the network that `--qat` begins with on the held-out digits, once as it is (its outputs are
those of the exported integers, a test holds them to that in every bit) and once with each shortcut,
and prints the largest difference of the scores. docs/quantization.md shows what it printed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx

from export.passes._editing import arguments, attribute
from export.quantization.qat import kernels, network
from export.quantization.qat.network import QuantizedNetwork
from export.quantization.qat.preparation import prepare
from export.quantization.recipe import correct_biases, find_ranges
from export.quantization.scales import QMAX, QMIN, choose_scales
from pfd_models import build_model
from pfd_models.checkpoints.file import read_checkpoint
from pfd_models.training.datasets import find_image_set, open_splits
from pfd_models.training.qat import Qat, load_in_integers
from pfd_models.training.transforms import Normalise
from pfd_models.zoo.spec import ModelSpec


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each shortcut."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="a network that was trained on digits")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    spec = ModelSpec.from_dict(read_checkpoint(options.weights)["spec"])
    _, data = find_image_set("digits")
    splits, transform = open_splits("digits", None), data.prepare(spec.resolution)
    calibration: list[Tensor] = []

    def keep_images(model: torch.nn.Module, images: Tensor) -> QuantizedNetwork:
        calibration.extend(images.split(1))
        return prepare(model, images)

    net: Any = load_in_integers(
        Qat(weights=options.weights, prepare=keep_images),
        build_model(spec), spec, splits.train, transform, 0,
    )  # fmt: skip
    pixels = torch.stack([transform(splits.val.picture(i)) for i in range(len(splits.val.labels))])
    images = Normalise(spec.input)(pixels)
    exact = _run(net, images)
    step = float((exact[exact != 0].abs()).min())
    print(f"scores reach {float(exact.abs().max()):.2f}, one integer of them is {step:.4f}\n")
    print("| shortcut | largest difference of a score | in integers | scores that differ |")
    print("|---|---|---|---|")
    for name, shortcut in SHORTCUTS.items():
        with shortcut():
            _print_line(name, (_run(net, images) - exact).abs(), step)
    again = _calibrate_again(net, [(image,) for image in calibration])
    _print_line("calibrating again after the training", (_run(again, images) - exact).abs(), step)
    return 0


def _print_line(name: str, off: Tensor, step: float) -> None:
    share = float((off > step / 2).float().mean())
    print(f"| {name} | {float(off.max()):.3f} | {float(off.max()) / step:.1f} | {share:.1%} |")


def _run(net: QuantizedNetwork, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([net(part) for part in images.split(60)])


def _calibrate_again(net: QuantizedNetwork, samples: list[tuple[Tensor, ...]]) -> QuantizedNetwork:
    """Quantise the learnt weights as if they were a float network's."""
    graph = net._graph
    for name, layer in net.layers.items():
        given = arguments(next(node for node in graph.nodes if node.name == name))
        attribute(given["weight"]).copy_(layer.weight.detach())
        if given["bias"] is not None:
            attribute(given["bias"]).copy_(layer.bias.detach())
    affines = choose_scales(graph, find_ranges(graph, samples))
    layers = correct_biases(graph, samples, affines)
    return QuantizedNetwork(graph, affines, layers, spec=net.spec, start={})


def _divide(units: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    return torch.round(units / scale).clamp(QMIN - zero_point, QMAX - zero_point)


@contextlib.contextmanager
def _float_layers() -> Iterator[None]:
    """Let layers multiply numbers instead of integers, as fake quantisation does."""

    def forward(
        self: Any, node: fx.Node, source: Tensor, source_scale: Tensor, scale: Tensor, zero: Tensor
    ) -> Tensor:
        weight, scales = kernels.round_weight(self.weight, self.bias, source_scale)
        bias = kernels.round_bias(self.bias, source_scale, scales) * (source_scale * scales)
        columns = scales.reshape(-1, *[1] * (weight.dim() - 1))
        rest = list(arguments(node).values())[3:]
        numbers = node.target(source * source_scale, weight * columns, bias, *rest)  # type: ignore[operator]  # a call
        return kernels.quantize(numbers, scale, zero)

    with mock.patch.object(network._Layer, "forward", forward):
        yield


def _float_sum(pair: Sequence[Tensor], factors: Sequence[Tensor], zero_point: Tensor) -> Tensor:
    return kernels.requantize(
        pair[0] * factors[0] + pair[1] * factors[1], torch.ones(()), zero_point
    )


def _float_bias(bias: Tensor, input_scale: Tensor, scales: Tensor) -> Tensor:
    return bias / (input_scale * scales)


def _round_by(round_off: Callable[[Tensor], Tensor]) -> Callable[[], Any]:
    """Let values be rounded in another way."""

    def forward(tensor: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        rounded = round_off(tensor)
        saturated = rounded.clamp(low, high)
        return saturated, saturated == rounded

    return lambda: mock.patch.object(kernels._Saturate, "forward", staticmethod(forward))


def _patch(name: str, function: Callable[..., Any]) -> Callable[[], Any]:
    return lambda: mock.patch.object(kernels, name, function)


SHORTCUTS: dict[str, Callable[[], Any]] = {
    "layers compute in float32 numbers": _float_layers,
    "sums in float32": _patch("add", _float_sum),
    "biases are not rounded": _patch("round_bias", _float_bias),
    "values are divided by their scale": _patch("quantize", _divide),
    "halves are rounded up": _round_by(lambda x: torch.floor(x + 0.5)),
    "rounding is x + (round(x) - x)": _round_by(lambda x: x + (torch.round(x) - x)),
}
"""What a usual fake quantiser does otherwise, and how it is put in place of ours."""


if __name__ == "__main__":
    sys.exit(main())
