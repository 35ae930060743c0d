"""Adding an operator is one file in ``ops/``: nothing else is edited."""

from __future__ import annotations

import sys

import pytest
from onnx import helper

from export.onnx_to_tflite import ops
from pfd_models.errors import UnsupportedOperatorError

SOURCE = '''
"""Mish."""
from export.onnx_to_tflite.ops import lowers

@lowers("Mish", layout="any")
def mish(node, build):
    """x tanh(softplus(x))."""
    value = build.value(node.inputs[0])
    x = value.tensor
    one = build.const_tensor("one", 1.0)
    softplus = build.unary("LOG", build.binary("ADD", build.unary("EXP", x), one))
    build.bind(node.outputs[0], build.binary("MUL", x, build.unary("TANH", softplus)), value.order)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A second folder on the package's path; what it registers is forgotten afterwards."""
    monkeypatch.setattr(ops, "__path__", [*ops.__path__, str(tmp_path)])
    ops.lowerings()
    before = dict(ops._registry)
    yield tmp_path
    for name in [n for n in sys.modules if n.startswith("export.onnx_to_tflite.ops.extra")]:
        del sys.modules[name]
    ops._registry.clear()
    ops._registry.update(before)


def mish_model(tools):
    return tools.make_model([helper.make_node("Mish", ["x"], ["y"])], {"x": [1, 3, 4, 5]})


def test_a_new_file_lowers_a_new_operator(tools, folder):
    with pytest.raises(UnsupportedOperatorError, match="Mish"):
        tools.convert(mish_model(tools))
    (folder / "extra_mish.py").write_text(SOURCE)
    assert "Mish" in ops.lowerings()
    tools.check(mish_model(tools))


def test_a_second_lowering_of_an_operator_is_an_error(folder):
    (folder / "extra_relu.py").write_text(SOURCE.replace('"Mish"', '"Relu"'))
    with pytest.raises(ValueError, match=r"Relu is already lowered in export\.onnx_to_tflite\.ops"):
        ops.lowerings()


def test_public_names_are_functions_however_the_package_was_imported():
    import export.onnx_to_tflite
    import export.onnx_to_tflite.conversion
    import export.onnx_to_tflite.inspection  # a submodule must not shadow a public name

    for name in export.onnx_to_tflite.__all__:
        assert callable(getattr(export.onnx_to_tflite, name)), name
    with pytest.raises(AttributeError, match="nothing"):
        _ = export.onnx_to_tflite.nothing
