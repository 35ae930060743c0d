"""A program of open batch computes what its module computes, whatever the batch."""

import pytest
import torch
from torch import nn

from export.graph.open_batch import BATCHES, open_batch
from export.graph.program import capture
from export.passes import run_passes
from pfd_models.errors import ModuleError


def open_up(module, shape=(3, 8, 8), batch=(1, 6)):
    module.eval()
    programs = [run_passes(capture(module, (torch.randn(b, *shape),))) for b in BATCHES]
    return open_batch(*programs, (batch,))


class Token(nn.Module):
    """A vision transformer's class token: repeated for each image, in front of its patches."""

    def __init__(self, repeat):
        super().__init__()
        self.repeat = repeat
        self.token = nn.Parameter(torch.randn(1, 1, 3))
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        patches = x.flatten(2).transpose(1, 2)
        return self.head(torch.cat([self.repeat(self.token, len(x)), patches], 1)[:, 0])


class Shuffle(nn.Module):
    """Halves, shuffled channels, a view to the end and a reshape that names the batch."""

    def forward(self, x):
        n, c, h, w = x.shape
        left, right = torch.cat([x, x + 1], 1).chunk(2, 1)
        y = torch.cat([right, left * 2], 1).view(n, 2, c, h, w).transpose(1, 2)
        return y.reshape(n, -1, h, w)[:n].mean((2, 3))


class Repeated(nn.Module):
    """A constant made for the batch, which arithmetic broadcasts."""

    def forward(self, x):
        return x + torch.arange(8.0) * x.new_ones(x.shape[0], 1, 1, 1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)

    def forward(self, x):
        y = x.flatten(2)
        return self.attention(y, y, y, need_weights=False)[0]


@pytest.mark.parametrize(
    "module",
    [
        Token(lambda token, batch: token.expand(batch, -1, -1)),
        Token(lambda token, batch: token.repeat(batch, 1, 1)),
        Shuffle(),
        Repeated(),
        Attention(),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2, mode="bilinear")),
        nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten(), nn.Linear(48, 2)),
    ],
    ids=["expanded", "repeated", "shuffle", "constant", "attention", "resize", "flatten"],
)
def test_any_batch_gives_what_the_module_gives(module):
    program = open_up(module)
    for batch in (1, 2, 5, 6):
        x = torch.randn(batch, 3, 8, 8)
        expected = module(x).detach()
        assert torch.allclose(program.run([x])[0], expected, rtol=0, atol=1e-6)


def test_inputs_and_outputs_say_the_range():
    program = open_up(nn.Conv2d(3, 4, 3), batch=(2, 5))
    assert [(t.shape, t.batch) for t in program.inputs] == [((2, 3, 8, 8), (2, 5))]
    assert [(t.shape, t.batch) for t in program.outputs] == [((2, 4, 6, 6), (2, 5))]


class Scaled(nn.Module):
    def forward(self, x):
        return x / x.shape[0]


class Numbered(nn.Module):
    def forward(self, x):
        return x + torch.arange(float(x.shape[0]))[:, None, None, None]


class Joined(nn.Module):
    def forward(self, x):
        return x.flatten(0, 1)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Scaled(), r"aten\.div\.Tensor: its arguments for two batches are 2\.0 and 3\.0"),
        (Numbered(), "differs between the images of a batch"),
        (Joined(), "the batch must be its first dimension"),
    ],
)
def test_what_depends_on_the_batch_is_named(module, reason):
    with pytest.raises(ModuleError, match=f"no form for every batch: .*{reason}"):
        open_up(module)
