"""ExecuTorch 1.5.1 delegates two operators wrongly: the rewrites are what makes them right."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.formats import WriteOptions, pte
from export.graph.program import capture
from export.passes import run_passes


class Columns(nn.Module):
    def forward(self, x):
        return x.softmax(-1)


class Tanh(nn.Module):
    def forward(self, x):
        return F.gelu(4.0 * x, approximate="tanh")


@pytest.fixture(params=[Columns, Tanh], ids=["softmax over columns", "tanh gelu"])
def network(request):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 1), request.param()).eval()


def error_of_file(program, module, x, path):
    written = pte.write(program, path, WriteOptions())
    with torch.no_grad():
        expected = module(x).numpy()
    (found,) = pte.load(path)([x.numpy()])
    assert (written.delegates, written.leftovers) == (1, ())  # and yet
    return float(abs(found - expected).max() / abs(expected).max())


def test_stock_lowering_is_fully_delegated_and_wrong(network, tmp_path):
    """If this ever fails, ExecuTorch has repaired it and the rewrite may go."""
    x = torch.randn(1, 3, 8, 8)
    assert error_of_file(capture(network, (x,)), network, x, tmp_path / "stock.pte") > 2e-5


def test_rewritten_form_is_right(network, tmp_path):
    x = torch.randn(1, 3, 8, 8)
    program = run_passes(capture(network, (x,)))
    assert error_of_file(program, network, x, tmp_path / "rewritten.pte") < 1e-6
