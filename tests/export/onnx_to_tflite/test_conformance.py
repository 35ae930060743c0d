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
    r"is computed as .*, only float32 is lowered$",
    r"must be a constant, it is computed at run time$",
    r"has no static shape|the shape of .* is not static",
    r"is empty, its shape is",
    r"the input has 3 spatial axes",
    r"TFLite's pool has no dilation$",
    r"training mode has no lowering",
    r"operator set \d+, 13 or newer is needed",
    r"Resize.*: mode 'cubic' is not lowered",
    r"Resize.*: only the policy 'stretch' is lowered$",
    r"Resize.*: antialiasing is not lowered$",
    r"Resize.*: coordinates 'tf_crop_and_resize' are not lowered$",
    r"Resize.*: scale .* is not \d+, TFLite knows no other scale",
    r"Resize.*: align_corners with scale",
    r"Resize.*: pytorch_half_pixel to a single element is not lowered$",
    r"Slice.*: step -\d+ on axis \d+ reverses it",
)

KINDS = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}

#: Lowered operators for which ONNX has no case within float32, and why.
NEVER_ACCEPTED = {"Cast": "every case converts from or to another type; see test_operators.py"}


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
            names = [value.name for value in case.model.graph.input]
            models = {"as it is": case.model}
            if len(names) > 1:
                models["constants"] = with_constants(case.model, names, arrays)
            for mode, model in models.items():
                for layout in ("nhwc", "nchw"):
                    result = outcome(tools, case, model, names, arrays, expected, layout)
                    if result == "accepted":
                        accepted += 1
                    elif result is not None:
                        problems.append(f"{case.name}, {mode}, {layout}: {result}")
    assert not problems, "\n".join(problems)
    assert cases or op_type in NEVER_ACCEPTED, f"ONNX has no node case for {op_type}"
    assert (accepted == 0) == (op_type in NEVER_ACCEPTED), f"{accepted} of {len(cases)} accepted"
