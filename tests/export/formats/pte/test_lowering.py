"""Shortcuts of the lowering keep the bytes and are taken back."""

from __future__ import annotations

import contextlib
import gc
import hashlib

import pytest
import torch
from torch import nn

from export.formats.pte.backends import get_backend
from export.formats.pte.lowering import lower
from export.graph.program import capture
from export.passes import run_passes


def digest(program, *, shortcuts):
    partitioners = get_backend("xnnpack").partitioners()
    lowered = lower(program.exported, partitioners, {"n": 1}, shortcuts=shortcuts)
    return hashlib.sha256(lowered.program.buffer).hexdigest()


@contextlib.contextmanager
def taken_back():
    """Hold what is replaced for the time of a lowering to what it was before."""
    from executorch.backends.xnnpack._passes import XNNPACKPassManager
    from executorch.exir.passes import SymToTensorPass
    from torch.fx.traceback import NodeSource

    transform, enabled = XNNPACKPassManager.transform, gc.isenabled()
    yield
    assert XNNPACKPassManager.transform is transform
    assert "call" not in SymToTensorPass.__dict__
    assert "__deepcopy__" not in NodeSource.__dict__
    assert gc.isenabled() == enabled
    assert gc.get_freeze_count() == 0


class Attention(nn.Module):
    """It has what the shortcuts must not skip: a pattern pass's operator, preserved operators."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.act = nn.PReLU()

    def forward(self, x):
        y = nn.functional.hardswish(self.act(self.conv(x)))
        y = nn.functional.interpolate(y, scale_factor=2, mode="bilinear")
        return nn.functional.scaled_dot_product_attention(y, y, y)


class Mixture(nn.Module):
    """Something for every rewrite that the shortcuts leave out where there is nothing for it."""

    def __init__(self):
        super().__init__()
        self.row = nn.Conv1d(3, 4, 3)
        self.norm, self.table = nn.BatchNorm2d(3), nn.Parameter(torch.randn(4, 3))

    def forward(self, x):
        row = self.row(x.mean(3)).relu()
        pooled = nn.functional.max_pool2d(self.norm(x), 2).clone()
        parts = torch.cat([pooled * i + 1 for i in range(6)], 1)
        largest = parts.max(2, keepdim=True)[0] + torch.arange(8, dtype=torch.int32)
        return row, parts, largest, (self.table @ x.mean((2, 3)).t()).t(), torch.full((2,), 1.5)


MODULES = {"attention": Attention, "mixture": Mixture}


@pytest.mark.parametrize(
    ("which", "rewrite"),
    [("small", True), ("attention", True), ("attention", False), ("mixture", False)],
    ids=["small, rewritten", "attention, rewritten", "attention, as captured", "mixture"],
)
def test_shortcuts_keep_the_bytes_and_are_taken_back(net, which, rewrite):
    torch.manual_seed(0)
    module = net if which == "small" else MODULES[which]().eval()
    program = capture(module, (torch.randn(1, 3, 17, 17),))
    program = run_passes(program) if rewrite else program
    with taken_back():
        quick = digest(program, shortcuts=True)
    assert quick == digest(program, shortcuts=False)
