"""ExecuTorch files: shortcuts that keep the bytes, constants for the app, refusals."""

from __future__ import annotations

import gc
import hashlib
import json

import pytest
import torch
from torch import nn

from export.formats import WriteOptions, pte
from export.formats._tracing import replaced
from export.formats.pte.backends import get_backend, list_backends
from export.formats.pte.lowering import lower
from export.graph.program import capture
from export.passes import run_passes
from pfd_models.errors import ModuleError, SpecError


def digest(program, *, shortcuts):
    partitioners = get_backend("xnnpack").partitioners()
    lowered = lower(program.exported, partitioners, {"n": 1}, shortcuts=shortcuts)
    return hashlib.sha256(lowered.program.buffer).hexdigest()


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


@pytest.mark.parametrize("rewrite", [True, False], ids=["rewritten", "as captured"])
@pytest.mark.parametrize("which", ["small", "attention"])
def test_shortcuts_keep_the_bytes(net, which, rewrite):
    torch.manual_seed(0)
    module = net if which == "small" else Attention().eval()
    program = capture(module, (torch.randn(1, 3, 17, 17),))
    program = run_passes(program) if rewrite else program
    assert digest(program, shortcuts=True) == digest(program, shortcuts=False)


def test_shortcuts_are_taken_back(program):
    from executorch.backends.xnnpack._passes import ConvertToSDPAPass
    from torch.fx.traceback import NodeSource

    call, enabled = ConvertToSDPAPass.call, gc.isenabled()
    digest(program, shortcuts=True)
    assert ConvertToSDPAPass.call is call
    assert "__deepcopy__" not in NodeSource.__dict__
    assert gc.isenabled() == enabled
    assert gc.get_freeze_count() == 0


def test_a_replaced_function_is_restored_after_an_error():
    class Owner:
        def f(self):
            return 1

    def fail():
        with replaced(Owner, "f", lambda self: 2), replaced(Owner, "g", lambda self: 3):
            assert (Owner().f(), Owner().g()) == (2, 3)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert Owner().f() == 1
    assert not hasattr(Owner, "g")


def test_an_app_can_ask_the_file(program, tmp_path):
    from executorch.runtime import Runtime

    path = tmp_path / "net.pte"
    pte.write(program, path, WriteOptions(identity={"name": "smallnet"}))
    loaded = Runtime.get().load_program(path)
    assert loaded.method_names == {"forward", "identity", "input_names", "output_names"}

    def ask(name):
        return loaded.load_method(name).execute([])

    assert json.loads(ask("identity")[0]) == {"name": "smallnet"}
    assert (ask("input_names"), ask("output_names")) == (["image"], ["scores"])


def test_stock_lowering_of_the_same_network_is_broken_up(net, tmp_path):
    """The reason for the passes: without them split and mean cut the network."""
    captured = capture(net, (torch.randn(1, 3, 33, 33),))
    written = pte.write(captured, tmp_path / "stock.pte", WriteOptions())
    assert written.delegates == 4
    assert "aten.split_with_sizes_copy.default" in {left.op for left in written.leftovers}


def test_rewritten_file_equals_stock_file_in_value(net, program, tmp_path):
    captured = capture(net, (torch.randn(1, 3, 33, 33),))
    pte.write(captured, tmp_path / "stock.pte", WriteOptions())
    pte.write(program, tmp_path / "rewritten.pte", WriteOptions())
    x = torch.randn(1, 3, 33, 33).numpy()
    (stock,), (ours,) = (pte.run(tmp_path / f"{n}.pte", [x]) for n in ("stock", "rewritten"))
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


def test_backends_are_listed_by_their_files():
    assert {"portable", "xnnpack"} <= set(list_backends())
    with pytest.raises(SpecError, match="did you mean 'xnnpack'"):
        get_backend("xnpack")


@pytest.mark.parametrize("name", ["portable", "xnnpack"])
def test_backends_state_what_they_take(name):
    backend = get_backend(name)
    assert "fp32" in backend.precisions
    assert backend.unavailable() is None
    assert len(backend.partitioners()) == (name == "xnnpack")


def test_an_unavailable_backend_says_why(monkeypatch):
    from export.formats.pte.backends import portable

    monkeypatch.setattr(portable, "unavailable", lambda: "its SDK is missing")
    with pytest.raises(SpecError, match="its SDK is missing"):
        get_backend("portable")
