"""What stays outside the delegate is named, with cause, share of the work and a way out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.formats import WriteOptions, pte
from export.formats.pte import delegation
from export.formats.pte.delegation import macs_of
from export.graph.program import capture
from export.passes import run_passes


class Dynamic(nn.Module):
    """A convolution whose weights are computed: the delegate needs constant ones."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)

    def forward(self, x):
        y = self.conv(x)
        return F.conv2d(y, y.mean((2, 3), keepdim=True).reshape(1, 8, 1, 1))


class Flips(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)

    def forward(self, x):
        return self.conv(x).flip(3).sign()


class Ceils(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)

    def forward(self, x):
        return F.avg_pool2d(self.conv(x), 3, 2, ceil_mode=True)


def leftovers(module, tmp_path, **options):
    program = run_passes(capture(module, (torch.randn(1, 3, 8, 8),)))
    return pte.write(program, tmp_path / "x.pte", WriteOptions(**options))


def test_a_computed_convolution_is_named_with_its_share_of_the_work(tmp_path):
    (left,) = leftovers(Dynamic(), tmp_path).leftovers
    assert left.op == "aten.convolution.default"
    assert left.count == 1
    # 64 positions: 8 x 3 products each in the first convolution, 8 in the second.
    assert left.mac_share == pytest.approx(8 / (8 * 3 + 8))
    assert "constant weights" in left.fix


def test_each_kind_is_an_entry_and_work_comes_first(tmp_path):
    found = leftovers(Flips(), tmp_path).leftovers
    assert {left.op for left in found} == {"aten.flip.default", "aten.sign.default"}
    assert all(left.mac_share == 0.0 and left.cause and left.fix for left in found)


def test_the_partitioners_own_reason_is_reported(tmp_path):
    (left,) = leftovers(Ceils(), tmp_path).leftovers
    assert left.cause == "ceil mode is not supported"
    assert left.fix == "use ceil_mode=False"


def test_a_delegated_network_has_no_leftovers(tmp_path):
    written = leftovers(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), tmp_path)
    assert (written.delegates, written.leftovers) == (1, ())


def test_without_a_delegate_everything_is_left(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    written = leftovers(net, tmp_path, backend="portable")
    assert written.delegates == 0
    assert {left.op for left in written.leftovers} == {
        "aten.convolution.default",
        "aten.relu.default",
    }
    assert sum(left.mac_share for left in written.leftovers) == 1.0


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Conv2d(4, 6, 3, groups=2), (1, 4, 7, 7), 6 * 25 * 2 * 9),
        (nn.Conv1d(4, 6, 3), (1, 4, 7), 6 * 5 * 4 * 3),
        (nn.ConvTranspose2d(4, 6, 2, 2), (1, 4, 5, 5), 100 * 6 * 4),
        (nn.Linear(10, 3), (2, 10), 2 * 30),
        (nn.ReLU(), (1, 3, 4, 4), 0),
    ],
    ids=["grouped", "1-D", "transposed", "linear", "none"],
)
def test_multiply_accumulates_are_counted(module, shape, macs):
    graph = capture(module, (torch.randn(shape),)).exported.graph
    assert sum(macs_of(node) for node in graph.nodes) == macs


def test_matrix_products_are_counted():
    class Product(nn.Module):
        def forward(self, a, b):
            return torch.bmm(a, b) + a @ b

    graph = capture(Product(), (torch.randn(2, 3, 4), torch.randn(2, 4, 5))).exported.graph
    assert sum(macs_of(node) for node in graph.nodes) == 2 * (2 * 3 * 5 * 4)


def test_every_advice_says_what_and_what_to_do():
    for name, advice in delegation._ADVICE.items():
        assert advice.cause, name
        assert advice.fix, name
