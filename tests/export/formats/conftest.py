"""Small networks that touch what the formats must get right."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.graph.program import capture
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


@pytest.fixture(scope="session")
def net():
    torch.manual_seed(3)
    module = SmallNet()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        module(torch.randn(16, 3, 33, 33))
    return module.eval()


@pytest.fixture(scope="session")
def program(net):
    return run_passes(capture(net, (torch.randn(1, 3, 33, 33),)))
