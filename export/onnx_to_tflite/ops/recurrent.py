"""LSTM and GRU, unrolled over their static length.

TFLite's own sequence operators keep their state between calls and are not delegated. The inputs of
all steps are multiplied by their weights at once; a step is one product with the state and a few
elementwise operators, all delegated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Array, Tensor, constant
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.ops.matmul import fully_connected
from export.onnx_to_tflite.reader import Node, refuse

#: More steps would make a file that loads for seconds.
MOST_STEPS = 512

ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
DIRECTIONS = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Constants of one direction, gates along the first axis.

    Attributes:
        inputs: Factors of the input, (gates x hidden, input).
        state: Factors of the hidden state, (gates x hidden, hidden).
        input_bias: Added to the input's product, (gates x hidden,).
        state_bias: Added to the state's product, (gates x hidden,).
    """

    inputs: Array
    state: Array
    input_bias: Array
    state_bias: Array


#: From a step's input product and the states before it to the states behind it.
Step = Callable[[Tensor, Sequence[Tensor | None]], list[Tensor]]


@lowers("LSTM", "GRU")
def recurrent(node: Node, build: Builder) -> None:
    """Each direction step by step; (T, D, N, hidden), then the last states (D, N, hidden)."""
    check_form(node, build)
    x = build.tensor(node.inputs[0])
    steps, images = x.shape[:2]
    kinds = 2 if node.op_type == "LSTM" else 1
    sequences, last = [], []
    for number, backwards in enumerate(DIRECTIONS[node.attrs.get("direction", "forward")]):
        weights = read_weights(node, build, number)
        flat = build.reshape(x, (steps * images, x.shape[2]))
        products = fully_connected(build, flat, weights.inputs, weights.input_bias)
        step = lstm_step(build, weights) if kinds == 2 else gru_step(node, build, weights)
        states = [initial_state(node, build, 5 + kind, number) for kind in range(kinds)]
        hidden: list[Tensor] = []
        for t in range(steps - 1, -1, -1) if backwards else range(steps):
            states = [*step(build.slice(products, 0, t * images, images), states)]
            hidden.append(states[0])  # type: ignore[arg-type] # a step returns no None
        sequence = build.concat(hidden[::-1] if backwards else hidden, 0)
        sequences.append(build.reshape(sequence, (steps, 1, images, sequence.shape[-1])))
        last.append(states)
    if node.outputs[0]:
        build.bind(node.outputs[0], build.concat(sequences, 1))
    for kind, name in enumerate(node.outputs[1:]):
        if name:
            ends = [states[kind] for states in last]
            parts = [build.reshape(t, (1, *t.shape)) for t in ends if t is not None]
            build.bind(name, build.concat(parts, 0))


def check_form(node: Node, build: Builder) -> None:
    """Refuse what PyTorch's modules never are."""
    steps = build.shape(node.inputs[0])[0]
    directions = DIRECTIONS[node.attrs.get("direction", "forward")]
    activations = node.attrs.get("activations") or ACTIVATIONS[node.op_type] * len(directions)
    if activations != ACTIVATIONS[node.op_type] * len(directions):
        raise refuse(node, "other activations than the usual ones are not lowered")
    if node.attrs.get("layout", 0) or node.attrs.get("input_forget", 0) or "clip" in node.attrs:
        raise refuse(node, "layout, input_forget and clip are not lowered")
    if node.input(4) or node.input(7):
        raise refuse(node, "sequence lengths and peepholes are not lowered")
    if steps > MOST_STEPS:
        raise refuse(node, f"{steps} steps, at most {MOST_STEPS} are unrolled")


def read_weights(node: Node, build: Builder, direction: int) -> Weights:
    """Read the constants of one direction; what need not stay apart is added up."""
    inputs, state = (build.need_const(node, i, "the weights")[direction] for i in (1, 2))
    rows = inputs.shape[0]
    bias = np.zeros(2 * rows, np.float32)
    if node.input(3):
        bias = build.need_const(node, 3, "the bias")[direction]
    apart = np.zeros(rows, bool)
    if node.op_type == "GRU":
        apart[2 * rows // 3 :] = True  # the new gate's, which the reset gate multiplies
    return Weights(
        inputs=inputs,
        state=state,
        input_bias=bias[:rows] + np.where(apart, 0, bias[rows:]),
        state_bias=np.where(apart, bias[rows:], np.float32(0)),
    )


def initial_state(node: Node, build: Builder, index: int, direction: int) -> Tensor | None:
    """The state before the first step, (N, hidden); None where it is zero."""
    if not node.input(index):
        return None
    data = build.const(node.input(index))
    if data is not None and not data.any():
        return None
    part = build.slice(build.tensor(node.input(index)), 0, direction, 1)
    return build.reshape(part, part.shape[1:])


def gates(build: Builder, x: Tensor, *sizes: int) -> list[Tensor]:
    """Cut the last axis into parts."""
    starts = np.cumsum([0, *sizes]).tolist()
    return [build.slice(x, 1, start, n) for start, n in zip(starts, sizes, strict=False)]


def lstm_step(build: Builder, weights: Weights) -> Step:
    """One step of a long short-term memory, gates in ONNX's order: input, output, forget, cell."""
    size = weights.state.shape[1]
    # The same tensors in every step, so the file holds them once.
    state, no_bias = constant("state", weights.state), constant("no_bias", weights.state_bias)

    def step(x: Tensor, states: Sequence[Tensor | None]) -> list[Tensor]:
        hidden, cell = states
        if hidden is not None:
            x = build.binary("ADD", x, fully_connected(build, hidden, state, no_bias))
        opening, new = gates(build, x, 3 * size, size)
        let_in, let_out, keep = gates(build, build.unary("LOGISTIC", opening), size, size, size)
        added = build.binary("MUL", let_in, build.unary("TANH", new))
        if cell is not None:
            added = build.binary("ADD", build.binary("MUL", keep, cell), added)
        return [build.binary("MUL", let_out, build.unary("TANH", added)), added]

    return step


def gru_step(node: Node, build: Builder, weights: Weights) -> Step:
    """One step of a gated recurrent unit, gates in ONNX's order: update, reset, new."""
    size = weights.state.shape[1]
    reset_after = bool(node.attrs.get("linear_before_reset", 0))
    rows = 3 * size if reset_after else 2 * size
    # The same tensors in every step, so the file holds them once.
    state, bias, new_state, new_bias = (
        constant(name, np.ascontiguousarray(data))
        for name, data in (
            ("state", weights.state[:rows]),
            ("state_bias", weights.state_bias[:rows]),
            ("new_state", weights.state[rows:]),
            ("new_state_bias", weights.state_bias[rows:]),
        )
    )

    def step(x: Tensor, states: Sequence[Tensor | None]) -> list[Tensor]:
        (hidden,) = states
        if hidden is None:
            hidden = build.const_tensor("zero_state", np.zeros((x.shape[0], size)))
        x_gates, x_new = gates(build, x, 2 * size, size)
        product = fully_connected(build, hidden, state, bias)
        h_gates = build.slice(product, 1, 0, 2 * size)
        opened = build.unary("LOGISTIC", build.binary("ADD", x_gates, h_gates))
        update, reset = gates(build, opened, size, size)
        if reset_after:
            recalled = build.binary("MUL", reset, build.slice(product, 1, 2 * size, size))
        else:
            kept = build.binary("MUL", reset, hidden)
            recalled = fully_connected(build, kept, new_state, new_bias)
        new = build.unary("TANH", build.binary("ADD", x_new, recalled))
        change = build.binary("MUL", update, build.binary("SUB", hidden, new))
        return [build.binary("ADD", new, change)]

    return step
