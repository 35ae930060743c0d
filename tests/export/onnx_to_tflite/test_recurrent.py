"""LSTM and GRU unrolled over their length, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper, numpy_helper

from export.onnx_to_tflite import inspect
from pfd_models.errors import UnsupportedOperatorError

GATES = {"LSTM": 4, "GRU": 3}
STEPS, IMAGES, INPUTS, HIDDEN = 5, 2, 3, 4


def recurrent_model(tools, op_type, *, bias=True, states=(), steps=STEPS, hidden=HIDDEN, **attrs):
    """One layer with random weights; ``states``: the initial ones that are inputs."""
    directions = 2 if attrs.get("direction") == "bidirectional" else 1
    rng = np.random.default_rng(3)
    rows = GATES[op_type] * hidden
    shapes = {"w": (rows, INPUTS), "r": (rows, hidden), "b": (2 * rows,)}
    constants = {
        name: rng.standard_normal((directions, *shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    names = ["x", "w", "r", "b" if bias else "", "", *states]
    if not bias:
        del constants["b"]
    outputs = ["y", "h", "c"] if op_type == "LSTM" else ["y", "h"]
    node = helper.make_node(op_type, names, outputs, hidden_size=hidden, **attrs)
    inputs = {"x": [steps, IMAGES, INPUTS]}
    inputs.update({name: [directions, IMAGES, hidden] for name in states})
    return tools.make_model([node], inputs, constants, outputs)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op_type", ["LSTM", "GRU"])
def test_every_output_in_every_direction_is_right_and_delegated(tools, op_type, direction, layout):
    attrs = {"linear_before_reset": 1} if op_type == "GRU" else {}
    model = recurrent_model(tools, op_type, direction=direction, **attrs)
    conversion = tools.check(model, layout)
    found = inspect(conversion.data)
    assert (found.delegates, found.leftovers) == (1, {})


@pytest.mark.parametrize(
    ("op_type", "states"), [("LSTM", ("h0", "c0")), ("LSTM", ("h0",)), ("GRU", ("h0",))]
)
def test_a_stream_brings_its_state(tools, op_type, states):
    tools.check(recurrent_model(tools, op_type, states=states, steps=1))
    tools.check(recurrent_model(tools, op_type, states=states))


@pytest.mark.parametrize("op_type", ["LSTM", "GRU"])
def test_a_constant_state_before_the_first_step(tools, op_type):
    model = recurrent_model(tools, op_type, states=("h0",))
    state = np.random.default_rng(4).standard_normal((1, IMAGES, HIDDEN)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(state, "h0"))
    del model.graph.input[1:]
    tools.check(model)


@pytest.mark.parametrize("op_type", ["LSTM", "GRU"])
def test_a_layer_without_bias(tools, op_type):
    tools.check(recurrent_model(tools, op_type, bias=False))


@pytest.mark.parametrize("after", [0, 1])
def test_the_reset_gate_acts_before_or_after_the_product(tools, after):
    tools.check(recurrent_model(tools, "GRU", linear_before_reset=after))


@pytest.mark.parametrize("op_type", ["LSTM", "GRU"])
def test_the_steps_share_one_copy_of_the_weights(tools, op_type):
    few, more = (
        len(tools.convert(recurrent_model(tools, op_type, steps=steps, hidden=64)).data)
        for steps in (2, 5)
    )
    assert more - few < 4 * GATES[op_type] * 64 * 64  # bytes of one copy


def test_a_second_call_starts_from_the_same_state(tools):
    """The file keeps nothing between calls, unlike TFLite's own sequence operators."""
    model = recurrent_model(tools, "LSTM")
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=tools.convert(model).data, num_threads=1)
    interpreter.allocate_tensors()
    run = interpreter.get_signature_runner("serving_default")
    x = tools.seeded(model, 0)["x"]
    first, second = (run(x=x)["y"].copy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"op_type": "LSTM", "steps": 600}, "600 steps, at most 512 are unrolled"),
        ({"op_type": "GRU", "activations": ["Relu", "Tanh"]}, "other activations"),
        ({"op_type": "LSTM", "clip": 1.0}, "clip"),
    ],
)
def test_what_is_not_unrolled_is_refused(tools, options, reason):
    with pytest.raises(UnsupportedOperatorError, match=reason):
        tools.convert(recurrent_model(tools, **options))
