"""A network or a single operator, quantised and written in every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from export.formats import WriteOptions, get_format
from export.graph.program import capture
from export.passes import run_passes
from export.quantization.integer_reference import run_integers
from export.quantization.quantize import quantize


class Call(nn.Module):
    """A function of the input and of layers as a module."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x):
        return self.function(x, *self.layers)


def noise(shape, count, seed=0):
    """Samples that are the same in every process."""
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(shape, generator=generator),) for _ in range(count)]


def capture_simply(function, shape, *layers):
    """The rewritten program of a function with layers."""
    torch.manual_seed(0)
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.3)
    return run_passes(capture(Call(function, *layers).eval(), noise(shape, 1)[0]))


@dataclass(frozen=True)
class Files:
    """One quantised network in its formats, and what each makes of the same inputs."""

    quantized: Any
    reference: np.ndarray
    exact: np.ndarray
    outputs: dict[str, np.ndarray]
    delegates: dict[str, int | None]
    left: dict[str, list[str]]
    written: dict[str, Any]


@pytest.fixture
def write_all(tmp_path):
    """Quantise a rewritten program, write it in formats, and run everything on other samples."""
    return make_writer(tmp_path)


def make_writer(folder):
    def write(program, formats=("pte", "onnx", "tflite"), *, samples=None, integer_io=False):
        shape = tuple(program.example[0].shape)
        quantized = quantize(program, samples or noise(shape, 6), integer_io=integer_io)
        held = noise(shape, 8, seed=1)
        fed = held
        if integer_io:
            fed = [(torch.round(x * 30).clamp(-128, 127).to(torch.int8),) for (x,) in held]
        outputs, written = {}, {}
        for name in formats:
            made, path = get_format(name), folder / f"net.{name}"
            source = folder / "net.onnx" if made.NEEDS else None
            written[name] = made.write(quantized.program, path, WriteOptions(made_from=source))
            run = made.load(path)
            outputs[name] = np.stack([run([x.numpy()])[0] for (x,) in fed])
        return Files(
            quantized=quantized,
            reference=np.stack([run_integers(quantized.program, x)[0].numpy() for x in fed]),
            exact=np.stack([program.run(x)[0].numpy() for x in held]),
            outputs=outputs,
            delegates={n: w.delegates for n, w in written.items()},
            left={n: [x.op for x in w.leftovers] for n, w in written.items()},
            written=written,
        )

    return write
