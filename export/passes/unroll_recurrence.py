"""GRU, LSTM and plain recurrent layers, and their single cells, are written out step by step.

Reason: ExecuTorch unrolls them too, but with a ``split`` of the gates, a ``squeeze`` in each step
and a ``flip`` for the way back, all outside the delegate: a bidirectional LSTM over 24 steps
falls into 27 delegates.

Algebra: the products with the input are one fully connected layer over all steps. With gates in
PyTorch's order,
GRU: ``r, z = sigmoid(W x + U h)``, ``n = tanh(W x + r U h)``, ``h' = (h - n) z + n``;
LSTM: ``i, f, o = sigmoid(W x + U h)``, ``g = tanh(W x + U h)``, ``c' = f c + i g``,
``h' = o tanh(c')``; plain: ``h' = tanh(W x + U h)`` or relu. Equal within 1e-5. More than
`MOST_STEPS` steps, and an LSTM with a projection, are left alone.
Sources: Learning Phrase Representations using RNN Encoder-Decoder,
https://arxiv.org/abs/1406.1078, equations 5 to 8; Long Short-Term Memory Recurrent Neural Network
Architectures, https://arxiv.org/abs/1402.1128, equations 1 to 6.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import fx

from export.passes._editing import (
    arguments,
    aten,
    calls,
    insert,
    is_call,
    replace,
    reshape,
    value,
)  # fmt: skip

__all__ = ["MOST_STEPS", "rewrite"]

MOST_STEPS = 256
"""Cells that one layer call may become: steps times layers times directions."""

State: TypeAlias = tuple[fx.Node, ...]
"""What a cell hands on, each (batch, features): h, or h and c."""

Cell: TypeAlias = Callable[[fx.Node, fx.Node, fx.Node, State], State]
"""From the place, the products with the input and with h, and the state, to the next state."""


def rewrite(graph: fx.Graph) -> int:
    """Rewrite the graph in place and return how many layers and cells were changed."""
    rewrites = 0
    for node in calls(graph, *_LAYERS):
        given = arguments(node)
        if _is_static(node, given):
            _replace_results(node, _unroll(node, _LAYERS[node.target], given))
            rewrites += 1
    for node in calls(graph, *_CELLS):
        given = arguments(node)
        hidden = given["hx"]
        state: State = tuple(hidden) if isinstance(hidden, list | tuple) else (hidden,)
        if value(state[0]).dim() != 2:
            continue
        products = insert(node, aten.linear.default, given["input"], given["w_ih"], given["b_ih"])
        own = insert(node, aten.linear.default, state[0], given["w_hh"], given["b_hh"])
        results = _CELLS[node.target](node, products, own, state)
        if isinstance(node.meta["val"], torch.Tensor):
            replace(node, results[0])
        else:
            _replace_results(node, list(results))
        rewrites += 1
    return rewrites


def _is_static(node: fx.Node, given: dict[str, Any]) -> bool:
    ways = 2 if given["bidirectional"] else 1
    weights = given["num_layers"] * ways * (4 if given["has_biases"] else 2)
    steps = value(given["input"]).shape[1 if given["batch_first"] else 0]
    return (
        len(given["params"]) == weights
        and steps * given["num_layers"] * ways <= MOST_STEPS
        and all(is_call(user, operator.getitem) for user in node.users)
    )


def _replace_results(node: fx.Node, results: list[fx.Node]) -> None:
    for user in list(node.users):
        replace(user, results[user.args[1]])  # type: ignore[index]  # an int: see _is_static
    node.graph.erase_node(node)


def _unroll(node: fx.Node, cell: Cell, given: dict[str, Any]) -> list[fx.Node]:
    """Return the outputs of all steps and the last states, as the layer returns them."""
    x, time = given["input"], 1 if given["batch_first"] else 0
    ways = 2 if given["bidirectional"] else 1
    hidden = given["hx"] if isinstance(given["hx"], list | tuple) else [given["hx"]]
    weights = list(given["params"])
    last: list[State] = []
    for _ in range(given["num_layers"]):
        directions = []
        for way in range(ways):
            w_ih, w_hh = weights[:2]
            b_ih, b_hh = weights[2:4] if given["has_biases"] else (None, None)
            del weights[: 4 if given["has_biases"] else 2]
            state: State = tuple(_step(node, h, 0, len(last)) for h in hidden)
            products = insert(node, aten.linear.default, x, w_ih, b_ih)
            outputs = []
            steps = range(value(x).shape[time])
            for t in reversed(steps) if way else steps:
                own = insert(node, aten.linear.default, state[0], w_hh, b_hh)
                state = cell(node, _step(node, products, time, t), own, state)
                outputs.append(_as_step(node, state[0], time))
            directions.append(_join(node, outputs[::-1] if way else outputs, time))
            last.append(state)
        x = _join(node, directions, 2)
    ends = [[_as_step(node, state[i], 0) for state in last] for i in range(len(hidden))]
    return [x, *(_join(node, end, 0) for end in ends)]


def _step(node: fx.Node, x: fx.Node, dim: int, index: int) -> fx.Node:
    """Return one element of a dimension, without the dimension."""
    shape = list(value(x).shape)
    part = insert(node, aten.slice.Tensor, x, dim, index, index + 1) if shape[dim] > 1 else x
    return reshape(node, part, [*shape[:dim], *shape[dim + 1 :]])


def _as_step(node: fx.Node, x: fx.Node, dim: int) -> fx.Node:
    shape = list(value(x).shape)
    return reshape(node, x, [*shape[:dim], 1, *shape[dim:]])


def _join(node: fx.Node, parts: list[fx.Node], dim: int) -> fx.Node:
    return parts[0] if len(parts) == 1 else insert(node, aten.cat.default, parts, dim)


def _gates(node: fx.Node, x: fx.Node, count: int) -> list[fx.Node]:
    size = value(x).shape[1] // count
    return [insert(node, aten.slice.Tensor, x, 1, i * size, (i + 1) * size) for i in range(count)]


def _gru(node: fx.Node, products: fx.Node, own: fx.Node, state: State) -> State:
    (h,) = state
    (x_r, x_z, x_n), (h_r, h_z, h_n) = _gates(node, products, 3), _gates(node, own, 3)
    r = insert(node, aten.sigmoid.default, insert(node, aten.add.Tensor, x_r, h_r))
    z = insert(node, aten.sigmoid.default, insert(node, aten.add.Tensor, x_z, h_z))
    gated = insert(node, aten.mul.Tensor, r, h_n)
    n = insert(node, aten.tanh.default, insert(node, aten.add.Tensor, x_n, gated))
    change = insert(node, aten.mul.Tensor, insert(node, aten.sub.Tensor, h, n), z)
    return (insert(node, aten.add.Tensor, change, n),)


def _lstm(node: fx.Node, products: fx.Node, own: fx.Node, state: State) -> State:
    i, f, g, o = _gates(node, insert(node, aten.add.Tensor, products, own), 4)
    i, f, o = (insert(node, aten.sigmoid.default, gate) for gate in (i, f, o))
    g = insert(node, aten.tanh.default, g)
    kept = insert(node, aten.mul.Tensor, f, state[1])
    c = insert(node, aten.add.Tensor, kept, insert(node, aten.mul.Tensor, i, g))
    return insert(node, aten.mul.Tensor, o, insert(node, aten.tanh.default, c)), c


def _plain(activation: Any) -> Cell:
    def cell(node: fx.Node, products: fx.Node, own: fx.Node, _: State) -> State:
        return (insert(node, activation, insert(node, aten.add.Tensor, products, own)),)

    return cell


_LAYERS: dict[Any, Cell] = {
    aten.gru.input: _gru,
    aten.lstm.input: _lstm,
    aten.rnn_tanh.input: _plain(aten.tanh.default),
    aten.rnn_relu.input: _plain(aten.relu.default),
}
_CELLS: dict[Any, Cell] = {
    aten.gru_cell.default: _gru,
    aten.lstm_cell.default: _lstm,
    aten.rnn_tanh_cell.default: _plain(aten.tanh.default),
    aten.rnn_relu_cell.default: _plain(aten.relu.default),
}
