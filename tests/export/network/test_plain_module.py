"""Parts of a module that nothing can work with are named in one line."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.network.plain_module import require_plain
from pfd_models.errors import ModuleError


def refusal(module):
    with pytest.raises(ModuleError) as caught:
        require_plain("Net", module)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("part", "name"),
    [(nn.LazyLinear(5), "LazyLinear"), (nn.LazyBatchNorm2d(affine=False), "LazyBatchNorm2d")],
)
def test_a_lazy_part_that_never_ran_is_named(part, name):
    line = refusal(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(part)))
    assert line.startswith(f"Net has a lazy part that never ran, 1.0 ({name}); let the factory")


def test_a_lazy_part_that_ran_is_like_any_other():
    module = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d())
    module(torch.randn(1, 3, 8, 8))
    require_plain("Net", module)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_named():
    line = refusal(torch.jit.script(nn.Conv2d(3, 4, 3)))
    assert line.startswith("Net is TorchScript, which cannot be captured; give the Python")
