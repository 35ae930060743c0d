"""Small networks that touch what the formats must get right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from export.formats import WriteOptions, Written, get_format, list_formats
from export.graph.program import Program, capture
from export.passes import run_passes


class Shuffle(nn.Module):
    """A unit of ShuffleNetV2: split, depthwise convolution, concatenation, channel shuffle."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False), nn.BatchNorm2d(half),
        )  # fmt: skip

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        out = torch.cat([a, self.branch(b)], 1)
        n, c, h, w = out.shape
        return out.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.Hardswish()
        )
        self.units = nn.Sequential(Shuffle(16), Shuffle(16))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.Hardsigmoid())
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.units(self.stem(x))
        return self.head((x * self.gate(x)).mean([2, 3]))


IDENTITY = {"name": "smallnet", "note": "größer als 0", "empty": ""}


def make_net():
    """The network with statistics of noise, the same in every process."""
    torch.manual_seed(3)
    module = SmallNet()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        module(torch.randn(16, 3, 33, 33))
    return module.eval()


def write_all(module, folder):
    """Capture a module and write it in every format; what `write` said, by format."""
    program = run_passes(capture(module, (torch.randn(1, 3, 33, 33),)))
    said = {}
    for name in sorted(list_formats(), key=lambda name: get_format(name).NEEDS is not None):
        needed = get_format(name).NEEDS
        source = folder / f"net.{needed}" if needed else None
        options = WriteOptions(identity=IDENTITY, made_from=source)
        said[name] = get_format(name).write(program, folder / f"net.{name}", options)
    return program, said


@dataclass(frozen=True)
class Files:
    """The network's files, written once; nobody changes them."""

    folder: Path
    program: Program
    written: Mapping[str, Written]
    identity: Mapping[str, str]

    def path(self, name):
        return self.folder / f"net.{name}"


@pytest.fixture(scope="session")
def net():
    return make_net()


@pytest.fixture(scope="session")
def files(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    program, written = write_all(net, folder)
    return Files(folder=folder, program=program, written=written, identity=IDENTITY)


@pytest.fixture(scope="session")
def program(files):
    return files.program
