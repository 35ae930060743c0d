"""Channel shuffles without moving a channel.

ShuffleNet shuffles, splits and joins channels between its units. In NHWC a shuffle is an interleave
of four-byte elements, the slowest copy there is. But a convolution does not care in which order its
input channels lie, as long as its weights have the same order. So shuffles, slices and
concatenations along the channels are not executed at all: each becomes a view, a list that says for
every logical channel in which tensor and at which place it lies. A reader that can take any order
gets the channels it needs as a few contiguous SLICEs joined by one CONCATENATION, and its weights
in that order. Depthwise convolutions, pools, pads and activations keep whatever order comes in.
A reader that needs the logical order gets it: by permuting the weights of the convolution that
makes the channels, by a short concatenation, or by executing the operators as they were.
"""

from __future__ import annotations

from collections.abc import Sequence

from export.onnx_to_tflite.builder import MAX_CONCAT
from export.onnx_to_tflite.channel_views import (
    Shuffle,
    View,
    constant_of,
    find_shuffles,
    is_channel_concat,
    is_channel_move,
    is_channel_slice,
    ordered_runs,
    permute,
    sorted_runs,
)
from export.onnx_to_tflite.graph import Graph, Op, Tensor, constant

__all__ = ["order_channels"]

#: Operators of one operand that treat all channels alike.
CHANNELWISE = frozenset(
    {
        "ABS",
        "AVERAGE_POOL_2D",
        "ELU",
        "EXP",
        "GELU",
        "HARD_SWISH",
        "LEAKY_RELU",
        "LOGISTIC",
        "MAX_POOL_2D",
        "MEAN",
        "NEG",
        "PAD",
        "REDUCE_MAX",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "SQRT",
        "SQUARE",
        "SUM",
        "TANH",
    }
)
#: Operators of two operands that treat all channels alike; a constant is permuted.
BINARY = frozenset(
    {"ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "PRELU", "SQUARED_DIFFERENCE", "SUB"}
)
WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
#: More contiguous pieces than this are not worth a concatenation.
MOST_PIECES = 32


def order_channels(graph: Graph) -> None:
    """Rewrite a graph that has channel shuffles; leave any other as it is."""
    shuffles = find_shuffles(graph)
    if shuffles:
        _Orderer(graph, shuffles).run()


class _Orderer:
    """The graph while it is written anew."""

    def __init__(self, graph: Graph, shuffles: dict[Op, Shuffle]) -> None:
        self.graph, self.shuffles = graph, shuffles
        self.uses, self.consumers = graph.use_counts(), graph.consumers()
        self.outputs = {tensor for _, tensor in graph.outputs}
        inner = {op for shuffle in shuffles.values() for op in shuffle.ops}
        self.moves = inner | {op for op in graph.ops if is_channel_move(op)}
        self.any_order: dict[Tensor, bool] = {}
        self.ops: list[Op] = []
        self.views: dict[Tensor, View] = {}
        self.written: dict[Tensor, tuple[Op, ...]] = {}  # how a view was written, to execute it
        self.exact_tensors: dict[Tensor, Tensor] = {}
        self.slices: dict[tuple[Tensor, int, int], Tensor] = {}
        self.sliced: set[Tensor] = set()  # whose places some operator relies on
        self.gathered: dict[frozenset[tuple[Tensor, int]], tuple[Tensor, View]] = {}
        self.place = ""  # the module of the operator that is being written

    def run(self) -> None:
        inner = {op for shuffle in self.shuffles.values() for op in shuffle.ops[:2]}
        for op in self.graph.ops:
            if op in inner:
                continue
            if op in self.shuffles:
                shuffle = self.shuffles[op]
                source = self.view(shuffle.source)
                self.define(op.output, tuple(source[i] for i in shuffle.index), shuffle.ops)
            elif is_channel_slice(op):
                start, size = int(constant_of(op.inputs[1])[-1]), op.output.shape[-1]
                self.define(op.output, self.view(op.data_input)[start : start + size], (op,))
            elif is_channel_concat(op):
                parts = [self.view(t) for t in op.inputs if t is not None]
                self.define(op.output, tuple(c for part in parts for c in part), (op,))
            else:
                self.read(op)
        self.graph.outputs = tuple((name, self.exact(t)) for name, t in self.graph.outputs)
        self.graph.ops = self.ops

    def view(self, tensor: Tensor) -> View:
        """Where the logical channels of a tensor lie."""
        return self.views.get(tensor) or tuple((tensor, i) for i in range(tensor.shape[-1]))

    def define(self, tensor: Tensor, view: View, ops: tuple[Op, ...]) -> None:
        self.views[tensor], self.written[tensor] = view, ops

    def read(self, op: Op) -> None:
        """Write an operator that computes something, its operands in an order it can take."""
        self.place = op.name.rpartition("/")[0]
        if not any(t in self.views for t in op.inputs if t is not None):
            self.ops.append(op)
        elif not self.read_in_any_order(op):
            exact = [None if t is None else self.exact(t) for t in op.inputs]
            self.ops.append(op.with_fields(inputs=tuple(exact)))

    def read_in_any_order(self, op: Op) -> bool:
        """Write an operator for the order its channels have; False where it needs the logical."""
        source = next(t for t in op.inputs if t is not None and t in self.views)
        channels = source.shape[-1]
        if op.kind in WEIGHTED:
            if constant_of(op.inputs[1]).shape[-1] != channels:
                return False  # grouped, or several outputs per channel
        elif op.kind not in BINARY | CHANNELWISE or op.output.shape[-1] != channels:
            return False
        gathered = self.gather(self.view(source))
        if gathered is None:
            return False
        tensor, order = gathered
        ends_chain = op.kind in ("CONV_2D", "FULLY_CONNECTED")
        if not ends_chain and order != sorted(order) and not self.takes_any_order(op.output):
            return False
        inputs = [tensor if t is source else t for t in op.inputs]
        if op.kind in WEIGHTED:
            inputs[1] = permute(op.inputs[1], order)
            if op.kind == "DEPTHWISE_CONV_2D":
                inputs[2] = permute(op.inputs[2], order)
        elif op.kind in BINARY:
            for i, other in enumerate(inputs):
                if other is not tensor and other is not None:
                    inputs[i] = self.in_same_order(other, order)
            if None in inputs:
                return False
        self.ops.append(op.with_fields(inputs=tuple(inputs)))
        if not ends_chain:
            place = {channel: i for i, channel in enumerate(order)}
            self.views[op.output] = tuple((op.output, place[c]) for c in range(channels))
        return True

    def takes_any_order(self, tensor: Tensor) -> bool:
        """Whether every reader of a tensor, through operators that keep its order, has weights."""
        if tensor not in self.any_order:
            self.any_order[tensor] = tensor not in self.outputs and all(
                op.kind in WEIGHTED
                or (
                    (op.kind in BINARY | CHANNELWISE or op in self.moves)
                    and self.takes_any_order(op.outputs[0])
                )
                for op in self.consumers.get(tensor, [])
            )
        return self.any_order[tensor]

    def in_same_order(self, tensor: Tensor, order: list[int]) -> Tensor | None:
        """The second operand with its channels in the order of the first, if that is cheap."""
        if tensor.data is not None:
            return permute(tensor, order)
        if tensor.shape[-1] == 1:
            return self.exact(tensor)
        if tensor.shape[-1] != len(order):
            return None
        view = self.view(tensor)
        runs = ordered_runs(tuple(view[channel] for channel in order))
        return (
            self.concatenate([self.piece(*run) for run in runs])[0]
            if len(runs) <= MAX_CONCAT
            else None
        )

    def gather(self, view: View) -> tuple[Tensor, list[int]] | None:
        """Collect channels in any order: the tensor, and the logical channel at each place.

        None where a channel occurs twice or too many pieces would be needed.
        """
        key = frozenset(view)
        if len(key) != len(view):
            return None
        if key not in self.gathered:
            wanted: dict[Tensor, list[int]] = {}
            for tensor, place in view:
                wanted.setdefault(tensor, []).append(place)
            pieces = [run for t, places in wanted.items() for run in sorted_runs(t, sorted(places))]
            if len(pieces) > MOST_PIECES:
                return None
            self.gathered[key] = self.join([self.piece(*piece) for piece in pieces])
        tensor, content = self.gathered[key]
        logical = {channel: i for i, channel in enumerate(view)}
        return tensor, [logical[channel] for channel in content]

    def piece(self, tensor: Tensor, start: int, size: int) -> tuple[Tensor, View]:
        """Contiguous channels of a tensor, sliced once however many read them."""
        self.sliced.add(tensor)
        content = tuple((tensor, start + i) for i in range(size))
        if size == tensor.shape[-1]:
            return tensor, content
        key = (tensor, start, size)
        if key not in self.slices:
            shape = (*tensor.shape[:-1], size)
            begin = constant("begin", [0] * (len(shape) - 1) + [start])
            operands = (tensor, begin, constant("size", shape))
            self.slices[key] = self.emit("SLICE", operands, shape)
        return self.slices[key], content

    def join(self, pieces: list[tuple[Tensor, View]]) -> tuple[Tensor, View]:
        """Concatenate pieces; of more than a delegate takes at once, the smallest first."""
        surplus = max(len(pieces) - MAX_CONCAT, 0)
        while surplus:
            pieces = sorted(pieces, key=lambda piece: len(piece[1]))
            take = min(surplus + 1, MAX_CONCAT)
            pieces = [self.concatenate(pieces[:take]), *pieces[take:]]
            surplus = max(len(pieces) - MAX_CONCAT, 0)
        return self.concatenate(pieces)

    def concatenate(self, pieces: Sequence[tuple[Tensor, View]]) -> tuple[Tensor, View]:
        if len(pieces) == 1:
            return pieces[0]
        tensors = tuple(tensor for tensor, _ in pieces)
        content = tuple(channel for _, part in pieces for channel in part)
        shape = (*tensors[0].shape[:-1], len(content))
        options = {"axis": len(shape) - 1, "fusedActivationFunction": "NONE"}
        return self.emit("CONCATENATION", tensors, shape, options), content

    def emit(
        self,
        kind: str,
        operands: tuple[Tensor, ...],
        shape: tuple[int, ...],
        options: dict[str, object] | None = None,
    ) -> Tensor:
        name = f"{operands[0].name.split(';')[0]};{kind.lower()}"
        out = Tensor(name=name, shape=shape, dtype=operands[0].dtype)
        called = f"{self.place}/{kind.lower()}" if self.place else ""
        self.ops.append(
            Op(kind=kind, inputs=operands, outputs=(out,), options=options or {}, name=called)
        )
        return out

    def exact(self, tensor: Tensor) -> Tensor:
        """A tensor with its channels in logical order."""
        if tensor not in self.views:
            return tensor
        if tensor not in self.exact_tensors:
            self.exact_tensors[tensor] = self.make_exact(tensor)
        return self.exact_tensors[tensor]

    def make_exact(self, tensor: Tensor) -> Tensor:
        view = self.views[tensor]
        if self.permute_producer(tensor, view):
            view = self.views[tensor]
        runs = ordered_runs(view)
        if tensor not in self.written or len(runs) <= MAX_CONCAT:
            pieces = [self.piece(*run) for run in runs]
            while len(pieces) > MAX_CONCAT:
                chunks = range(0, len(pieces), MAX_CONCAT)
                pieces = [self.concatenate(pieces[i : i + MAX_CONCAT]) for i in chunks]
            return self.concatenate(pieces)[0]
        ops = self.written[tensor]
        first = ops[0].with_fields(inputs=tuple(t and self.exact(t) for t in ops[0].inputs))
        self.ops.extend([first, *ops[1:]])
        return tensor

    def permute_producer(self, tensor: Tensor, view: View) -> bool:
        """Let the convolution before shuffles write its channels in the order that is wanted.

        Only where nothing but these shuffles reads the convolution.
        """
        root = view[0][0]
        places = [place for _, place in view]
        if root in self.sliced or places == sorted(places):
            return False
        if any(t is not root for t, _ in view) or sorted(places) != list(range(root.shape[-1])):
            return False
        source = tensor
        while source is not root:
            ops = self.written.get(source, ())
            if not ops or ops[-1] not in self.shuffles:
                return False
            source = ops[0].data_input
            if self.uses[source] != 1:
                return False
        at = next((i for i, op in enumerate(self.ops) if op.outputs == (root,)), None)
        if at is None:
            return False
        producer = self.ops[at]
        grouped = producer.kind == "CONV_2D" and (
            constant_of(producer.inputs[1]).shape[-1] != producer.data_input.shape[-1]
        )
        if producer.kind not in ("CONV_2D", "FULLY_CONNECTED") or grouped:
            return False
        kernel, bias = producer.inputs[1], producer.inputs[2]
        inputs = (producer.inputs[0], permute(kernel, places, axis=0), permute(bias, places))
        self.ops[at] = producer.with_fields(inputs=inputs)
        moved = {place: i for i, place in enumerate(places)}
        self.views = {
            key: tuple((t, moved[i]) if t is root else (t, i) for t, i in other)
            for key, other in self.views.items()
        }
        return True
