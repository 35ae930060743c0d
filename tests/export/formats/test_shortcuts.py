"""Shortcuts are put back exactly after one export, and taken only where they were checked."""

from __future__ import annotations

import pytest

from export.formats import _shortcuts, onnx
from export.formats._shortcuts import (
    replace_method,
    speed_up_lowering,
    speed_up_onnx_export,
    speed_up_tracing,
)


def test_a_replaced_function_is_restored_after_an_error():
    class Owner:
        def f(self):
            return 1

    def fail():
        with replace_method(Owner, "f", lambda self: 2), replace_method(Owner, "g", lambda self: 3):
            assert (Owner().f(), Owner().g()) == (2, 3)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert Owner().f() == 1
    assert not hasattr(Owner, "g")


@pytest.mark.parametrize("package", ["torch", "executorch"])
def test_on_another_version_they_switch_themselves_off_and_say_so(package, monkeypatch, caplog):
    from executorch.backends.xnnpack._passes import XNNPACKPassManager
    from torch.fx.traceback import NodeSource

    def replaced():
        own = "__deepcopy__" in NodeSource.__dict__
        return own, XNNPACKPassManager.transform is not transform

    transform = XNNPACKPassManager.transform
    with speed_up_tracing():
        assert replaced() == (True, False)
    monkeypatch.setitem(_shortcuts.CHECKED_WITH, package, "1.4")
    with speed_up_lowering(None, []):
        assert replaced() == (package != "torch", False)
    assert f"no shortcuts: they were checked with {package} 1.4, this is " in caplog.text


def test_the_dispatcher_lists_its_operators_once_an_export_and_all_of_them(monkeypatch):
    from torch._export import utils

    listed, own = [], utils._materialize_cpp_cia_ops
    monkeypatch.setattr(utils, "_materialize_cpp_cia_ops", lambda: listed.append(own()))
    with speed_up_tracing():
        found = [utils._collect_all_valid_cia_ops() for _ in range(2)]
    assert len(listed) == 1
    assert found == [utils._collect_all_valid_cia_ops()] * 2
    assert len(listed) > 10  # as it is without


def test_every_rewrite_that_may_be_left_out_is_one_of_executorchs():
    from executorch.backends.xnnpack._passes import XNNPACKPassManager

    listed = {each.__name__ for each in XNNPACKPassManager(None).passes}
    assert set(_shortcuts._MATCHES) <= listed


def test_shortcuts_keep_the_bytes_of_an_onnx_file(program, monkeypatch):
    quick = onnx._export(program).SerializeToString(deterministic=True)
    # Once more with the table of functions that an export has used.
    assert onnx._export(program).SerializeToString(deterministic=True) == quick
    monkeypatch.setattr(_shortcuts, "are_checked", lambda *packages: False)
    assert onnx._export(program).SerializeToString(deterministic=True) == quick


def test_the_table_of_onnx_functions_is_made_once_and_its_maker_put_back():
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    own = ONNXRegistry.__dict__["from_torchlib"]
    made = []
    for _ in range(2):
        with speed_up_onnx_export():
            made.append(ONNXRegistry.from_torchlib(opset_version=18))
        assert ONNXRegistry.__dict__["from_torchlib"] is own
    assert made[0] is made[1]
    assert made[0].functions.keys() == ONNXRegistry.from_torchlib(opset_version=18).functions.keys()


def test_operators_that_are_registered_later_have_their_onnx_functions_too():
    import torch
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    def table():
        with speed_up_onnx_export():
            return ONNXRegistry.from_torchlib(opset_version=18)

    before = table()
    late = torch.library.Library("pfd_late", "DEF")
    late.define("double_it(Tensor x) -> Tensor")
    assert table() is not before
    late._destroy()
