"""ExecuTorch files: constants for the app, delegates, refusals."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from export.formats import WriteOptions, pte
from export.graph.program import capture
from export.passes import run_passes
from pfd_models.errors import ModuleError


def test_an_app_can_ask_the_file(files):
    from executorch.runtime import Runtime

    loaded = Runtime.get().load_program(files.path("pte"))
    assert loaded.method_names == {"forward", "identity", "input_names", "output_names"}

    def ask(name):
        return loaded.load_method(name).execute([])

    assert json.loads(ask("identity")[0])["name"] == "smallnet"
    assert (ask("input_names"), ask("output_names")) == (["image"], ["scores"])


def test_stock_lowering_of_the_same_network_is_broken_up_and_equal_in_value(net, files, tmp_path):
    """The reason for the passes: without them split and mean cut the network."""
    captured = capture(net, (torch.randn(1, 3, 33, 33),))
    written = pte.write(captured, tmp_path / "stock.pte", WriteOptions())
    assert written.delegates == 4
    assert "aten.split_with_sizes_copy.default" in {left.op for left in written.leftovers}
    x = torch.randn(1, 3, 33, 33).numpy()
    (stock,), (ours,) = (
        pte.load(path)([x]) for path in (tmp_path / "stock.pte", files.path("pte"))
    )
    assert abs(stock - ours).max() <= 1e-6 * abs(stock).max()


def test_without_delegation_report(program, tmp_path):
    written = pte.write(program, tmp_path / "x.pte", WriteOptions(delegation=False))
    assert (written.delegates, written.leftovers) == (1, ())


def test_an_operator_nobody_can_run_is_refused(tmp_path):
    program = run_passes(capture(nn.LocalResponseNorm(3), (torch.randn(1, 8, 6, 6),)))
    with pytest.raises(ModuleError, match=r"no kernel for aten::avg_pool3d"):
        pte.write(program, tmp_path / "x.pte", WriteOptions())
    assert not (tmp_path / "x.pte").exists()


def test_what_executorch_cannot_lower_is_one_line(tmp_path):
    class Pool(nn.Module):
        def forward(self, x):
            return nn.functional.adaptive_max_pool2d(x, 5)

    program = run_passes(capture(Pool(), (torch.randn(1, 3, 12, 12),)))
    with pytest.raises(ModuleError, match="cannot lower the network for xnnpack") as caught:
        pte.write(program, tmp_path / "x.pte", WriteOptions())
    assert "\n" not in str(caught.value)
