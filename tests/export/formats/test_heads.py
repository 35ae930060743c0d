"""What networks end in besides scores: class maps, top places, masks, resized and flipped maps.

One module has them all, so that one export is enough; its .onnx and .tflite files are run.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.formats import WriteOptions, get_format
from export.graph.program import capture
from export.passes import run_passes

HEADS = {
    "class map": lambda x: x.argmax(1),
    "class map with its axis": lambda x: x.argmin(1, keepdim=True),
    "maximum with its place": lambda x: x.max(2),
    "best places": lambda x: x.flatten(1).topk(5),
    "their rows": lambda x: x.flatten(1).topk(5)[1] // 28,
    "their columns": lambda x: x.flatten(1).topk(5)[1] % 28,
    "mask": lambda x: (x > 0.2) & (x < 1),
    "masked image": lambda x: x * (x > 0.2),
    "counted": lambda x: (x > 0.2).sum(1),
    "any": lambda x: (x > 2.5).any(-1),
    "one-hot": lambda x: F.one_hot(x.argmax(1), 3),
    "selected": lambda x: torch.where(x > 0.2, x * 2, -x),
    "causal": lambda x: x.masked_fill(torch.ones(20, 28).triu(1).bool(), -torch.inf).softmax(-1),
    "threshold": lambda x: F.threshold(x, 0.1, -3.0),
    "hard shrink": lambda x: F.hardshrink(x, 0.6),
    "soft shrink": lambda x: F.softshrink(x, 0.4),
    "sign": torch.sign,
    "log of sums": lambda x: x.logsumexp(1),
    "BGR": lambda x: x[:, [2, 1, 0]],
    "mirrored": lambda x: x.flip(-1),
    "wide reflection": lambda x: F.pad(x, (19, 18, 17, 16), mode="reflect"),
    "gathered": lambda x: x.gather(1, x.argmax(1, keepdim=True)),
    "linear attention": lambda x: torch.einsum("bchw,bdhw->bcd", x, x.relu()),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "antialiased": lambda x: F.interpolate(x, size=(9, 11), mode="bilinear", antialias=True),
    "nearest exact": lambda x: F.interpolate(x, size=(33, 41), mode="nearest-exact"),
    "nearest odd": lambda x: F.interpolate(x, size=(39, 55), mode="nearest"),
    "signal": lambda x: F.interpolate(x[:, :, 0], size=37, mode="linear"),
    "in whole numbers": lambda x: (x.clamp(0, 1) * 255).round().to(torch.uint8),
    "wrapped": lambda x: ((x * 10).long() * 7 - 3) % 5,
}


class Heads(nn.Module):
    def forward(self, x):
        return [head(x) for head in HEADS.values()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The loaded files by format, and what the .tflite says of its outputs."""
    folder = tmp_path_factory.mktemp("heads")
    program = run_passes(capture(Heads().eval(), (torch.randn(1, 3, 20, 28),)))
    found = {}
    for name in ("onnx", "tflite"):
        options = WriteOptions(made_from=folder / "net.onnx")
        get_format(name).write(program, folder / f"net.{name}", options)
        found[name] = get_format(name).load(folder / f"net.{name}")
    return found


@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_every_head_is_pytorchs_and_exact_where_it_is_no_float(runs, name):
    for seed in range(2):
        x = torch.randn(1, 3, 20, 28, generator=torch.Generator().manual_seed(seed))
        outputs = iter(runs[name]([x.numpy()]))
        for head, function in HEADS.items():
            for want in torch.utils._pytree.tree_leaves(function(x)):
                expected, got = want.numpy(), next(outputs)
                assert (got.dtype, got.shape) == (expected.dtype, expected.shape), head
                if expected.dtype == np.float32:
                    assert abs(got - expected).max() <= 2e-6 * abs(expected).max(), head
                else:
                    np.testing.assert_array_equal(got, expected, err_msg=head)
