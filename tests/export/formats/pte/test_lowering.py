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
    from executorch.backends.xnnpack._passes import ConvertToSDPAPass
    from torch.fx.traceback import NodeSource

    call, enabled = ConvertToSDPAPass.call, gc.isenabled()
    yield
    assert ConvertToSDPAPass.call is call
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


@pytest.mark.parametrize(
    ("which", "rewrite"),
    [("small", True), ("attention", True), ("attention", False)],
    ids=["small, rewritten", "attention, rewritten", "attention, as captured"],
)
def test_shortcuts_keep_the_bytes_and_are_taken_back(net, which, rewrite):
    torch.manual_seed(0)
    module = net if which == "small" else Attention().eval()
    program = capture(module, (torch.randn(1, 3, 17, 17),))
    program = run_passes(program) if rewrite else program
    with taken_back():
        quick = digest(program, shortcuts=True)
    assert quick == digest(program, shortcuts=False)
