"""The ONNX project's own node cases, for every operator that has a lowering.

The operators come from the registry, so a new lowering's cases run by themselves. Each case runs
as it is and with everything but its first input as constants, in both layouts. It computes what
ONNX expects, or it is refused with one of the reasons below; it is never wrong and never a crash.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper

from export.onnx_to_tflite.ops import lowerings
from export.onnx_to_tflite.versions import HIGHEST_IN_2_14
from pfd_models.errors import UnsupportedOperatorError

#: Why a case may be refused: it lies outside float32 networks with static shapes, or TFLite has
#: no operator for it.
REASONS = (
    r"is computed as .*, only .* (is|are) lowered$",
    r"must be a constant, it is computed at run time$",
    r"has no static shape|the shape of .* is not static",
    r"is empty, its shape is",
    r"the input has 3 spatial axes",
    r"TFLite's pool has no dilation$",
    r"training mode has no lowering",
    r"operator set \d+, 13 or newer is needed",
    r"Resize.*: only the policy 'stretch' is lowered$",
    r"Resize.*: coordinates 'tf_crop_and_resize' are not lowered$",
    r"Resize.*: align_corners with scale",
    r"Einsum.*: a diagonal has no lowering",
    r"(LSTM|GRU).*: (layout|sequence lengths|other activations).* not lowered$",
    r"GatherND.*: batch_dims is not lowered$",
    r"Mod.*: a remainder with the sign of the dividend is not lowered$",
    r"Scatter.*: (elements of .* are not written one by one|the reduction .* is not lowered)$",
    r"GridSample.*: (only images are sampled|mode .* with padding .* is not lowered)$",
    r"is searched only where it provably fits into int32$",
)

KINDS = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}

#: Lowered operators of which no case of ONNX fits, and why.
NEVER_ACCEPTED = {"Cast": "each case has a type that no file holds; see test_types.py"}


def modern(model):
    """The case in float32 instead of float64, and in operator set 13 where it means the same."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in (*copy.graph.input, *copy.graph.output):
        if value.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    (opset,) = [o for o in copy.opset_import if o.domain == ""] or [None]
    if opset is not None and opset.version < 13:
        schemas = [onnx.defs.get_schema(node.op_type, 13) for node in copy.graph.node]
        if all(schema.since_version <= opset.version for schema in schemas):
            opset.version = 13
    return copy


def narrow(array):
    """An array in float32 where it is float64."""
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def cases_by_operator():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generators divide by zero and overflow on purpose
        cases = collect_testcases(None)
    table = {}
    known = set(lowerings())
    for case in cases:
        kinds = {node.op_type for node in case.model.graph.node}
        arrays = [a for data in case.data_sets for group in data for a in group]
        if kinds <= known and all(isinstance(a, np.ndarray | np.generic) for a in arrays):
            for kind in kinds:
                table.setdefault(kind, []).append(case)
    return table


@pytest.fixture(scope="module")
def node_cases():
    return cases_by_operator()


def with_constants(model, names, arrays):
    """The model with every input but the first as an initialiser."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name, array in list(zip(names, arrays, strict=True))[1:]:
        copy.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    del copy.graph.input[1:]
    return copy


def versions_too_high(data):
    """Operators of a file in a version that tflite-runtime 2.14 does not accept."""
    root = schema.Model.GetRootAs(data, 0)
    codes = [root.OperatorCodes(i) for i in range(root.OperatorCodesLength())]
    found = {KINDS[code.BuiltinCode()]: code.Version() for code in codes}
    return {k: v for k, v in found.items() if v > HIGHEST_IN_2_14.get(k, 1)}


def outcome(tools, case, model, names, arrays, expected, layout):
    """What became of a case: ``accepted``, or text that says what is wrong; None if refused."""
    try:
        conversion = tools.convert(model, io_layout=layout)
    except UnsupportedOperatorError as error:
        message = str(error)
        if "\n" in message or not any(re.search(reason, message) for reason in REASONS):
            return f"refused without a known reason: {message}"
        return None
    taken = {info.name for info in conversion.inputs}
    feeds = {
        name: tools.stored(array, layout)
        for name, array in zip(names, arrays, strict=True)
        if name in taken
    }
    high = versions_too_high(conversion.data)
    if high:
        return f"tflite-runtime 2.14 does not know {high}"
    got = tools.run_tflite(conversion.data, feeds)
    for info, want in zip(conversion.outputs, expected, strict=True):
        want = tools.stored(want, layout)
        scale = np.abs(want[np.isfinite(want)]).max(initial=0.0)
        floor = max(case.atol, 1e-6 * float(scale))
        have = got[info.name]
        if have.shape != want.shape or not np.allclose(
            have, want, rtol=case.rtol, atol=floor, equal_nan=True
        ):
            return f"wrong: {info.name} by {conversion.ops}"
    return "accepted"


@pytest.mark.parametrize("op_type", sorted(lowerings()))
def test_node_cases_are_right_or_refused(op_type, node_cases, tools):
    problems, accepted = [], 0
    cases = node_cases.get(op_type, [])
    for case in cases:
        for arrays, expected in case.data_sets:
            model = modern(case.model)
            arrays, expected = (list(map(narrow, group)) for group in (arrays, expected))
            names = [value.name for value in model.graph.input]
            models = {"as it is": model}
            if len(names) > 1:
                models["constants"] = with_constants(model, names, arrays)
            for mode, model in models.items():
                for layout in ("nhwc", "nchw"):
                    result = outcome(tools, case, model, names, arrays, expected, layout)
                    if result == "accepted":
                        accepted += 1
                    elif result is not None:
                        problems.append(f"{case.name}, {mode}, {layout}: {result}")
    assert not problems, "\n".join(problems)
    if op_type in NEVER_ACCEPTED:
        assert not accepted, "it is accepted after all"
    else:
        assert accepted, f"0 of {len(cases)} node cases accepted"
