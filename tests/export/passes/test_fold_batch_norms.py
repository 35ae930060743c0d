"""Batch norms folded into the layer before them: exact, and only where that is right."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.graph.program import capture
from export.passes import fold_batch_norms, max_rewrite_error, run_passes

NORMS = {3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d, 2: nn.BatchNorm1d}


def seen(norm):
    """Give a norm statistics and weights as of training."""
    for tensor in (*norm.parameters(), norm.running_mean, norm.running_var):
        tensor.data = torch.rand_like(tensor) + 0.5
    return norm


def fold(module, x):
    """Fold alone; how often it fired, how far the result is, and what is called afterwards."""
    captured = capture(module, (x,))
    program = run_passes(captured, (fold_batch_norms,))
    called = [str(n.target) for n in program.exported.graph.nodes if n.op == "call_function"]
    return program, max_rewrite_error(captured, program, [(x,)]), called


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(4, 6, 3, groups=2), (2, 4, 9)),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False), (2, 4, 9, 9)),
        (nn.Conv2d(4, 8, 3, groups=4, padding="same"), (2, 4, 9, 9)),
        (nn.Conv3d(2, 6, 2, dilation=2), (2, 2, 5, 5, 5)),
        (nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 9)),
        (nn.ConvTranspose2d(4, 6, 3, groups=2, output_padding=1, stride=2), (2, 4, 5, 5)),
        (nn.ConvTranspose3d(2, 6, 2, bias=False), (2, 2, 3, 3, 3)),
        (nn.Linear(4, 6), (2, 4)),
    ],
    ids=lambda value: f"{type(value).__name__}" if isinstance(value, nn.Module) else "",
)
def test_every_layer_with_weights_takes_its_norm_exactly(layer, shape):
    """In float64 nothing but the algebra is left: an error of rounding would be 1e-16."""
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    channels = layer(x.float()).shape[1]
    module = nn.Sequential(layer, seen(NORMS[len(shape)](channels))).double().eval()
    program, error, called = fold(module, x)
    assert program.passes[0].rewrites == len(called) == 1
    assert error < 1e-14


def test_a_norm_without_weights_of_its_own_is_folded():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), seen(nn.BatchNorm2d(4, affine=False))).eval()
    _, error, called = fold(module, torch.randn(1, 3, 8, 8))
    assert called == ["aten.conv2d.default"]
    assert error < 1e-6


class SharedLayer(nn.Module):
    """One convolution, called twice, with another norm behind each call."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.first, self.second = seen(nn.BatchNorm2d(3)), seen(nn.BatchNorm2d(3))

    def forward(self, x):
        return self.second(self.conv(self.first(self.conv(x))))


def test_each_call_of_a_shared_layer_gets_weights_of_its_own():
    torch.manual_seed(0)
    program, error, _ = fold(SharedLayer().eval(), torch.randn(1, 3, 8, 8))
    assert program.passes[0].rewrites == 2
    assert error < 1e-6
    assert len(program.exported.state_dict) == 4  # the shared weights and the statistics are gone


class Read(nn.Module):
    """The layer's own output is read beside the norm's."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), seen(nn.BatchNorm2d(3))

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (Read(), (1, 3, 8, 8)),
        (nn.Sequential(nn.Linear(4, 6), seen(nn.BatchNorm1d(5))), (2, 5, 4)),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), (1, 3, 8, 8)),
    ],
    ids=["read elsewhere", "over another dimension", "in front"],
)  # fmt: skip
def test_a_norm_that_cannot_go_into_the_layer_stays(module, shape):
    program, error, called = fold(module.eval(), torch.randn(shape))
    assert program.passes[0].rewrites == 0
    assert "aten.batch_norm.default" in called
    assert error == 0.0


def test_half_precision_stays_half():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), seen(nn.BatchNorm2d(4))).half().eval()
    program, error, called = fold(module, torch.randn(1, 3, 8, 8).half())
    assert called == ["aten.conv2d.default"]
    assert {tensor.dtype for tensor in program.exported.state_dict.values()} == {torch.float16}
    assert error < 5e-3
