"""The walk from a simplified ONNX model to the bytes of a .tflite file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import onnx

from export.onnx_to_tflite.app_metadata import (
    ENTRY_NAME,
    AppMetadata,
    append_files,
    write_app_metadata,
)
from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import DTYPES, Graph, Tensor
from export.onnx_to_tflite.half import store_half
from export.onnx_to_tflite.layout import NHWC, Order, identity, physical_shape
from export.onnx_to_tflite.open_batch import BATCHES, fix_batch, has_open_batch, open_batch
from export.onnx_to_tflite.ops import Lowering, lowerings
from export.onnx_to_tflite.passes import MOVING_PASSES, narrow_moves, order_channels, run_passes
from export.onnx_to_tflite.patterns import join_activations
from export.onnx_to_tflite.quantized import Stored, attach_scales, collapse
from export.onnx_to_tflite.reader import Node, OnnxGraph, read, refuse
from export.onnx_to_tflite.storing import store
from export.onnx_to_tflite.writer import write
from pfd_models.errors import UnsupportedOperatorError, unknown

__all__ = ["Conversion", "SignatureTensor", "convert"]

IoLayout = Literal["nhwc", "nchw"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureTensor:
    """An input or output of the file.

    Attributes:
        name: As in the ONNX model and in the signature ``serving_default``.
        shape: As the file expects or returns it.
        dtype: numpy's name of the element type.
        layout: ``nhwc`` or ``nchw`` for four dimensions, empty otherwise and for kept axes.
        has_open_batch: Whether the caller may resize the first dimension.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str
    has_open_batch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A converted model.

    Attributes:
        data: The flatbuffer.
        ops: Operators by kind, the most frequent first.
        inputs: What the file expects, in the ONNX model's order.
        outputs: What the file returns, in the ONNX model's order.
    """

    data: bytes
    ops: Mapping[str, int]
    inputs: tuple[SignatureTensor, ...]
    outputs: tuple[SignatureTensor, ...]


def convert(
    model: onnx.ModelProto,
    *,
    io_layout: IoLayout = "nhwc",
    keep_axes: Collection[str] = (),
    half_weights: bool = False,
    metadata: Mapping[str, str] | None = None,
    description: str = "",
    app: AppMetadata | None = None,
    batch: int = 1,
) -> Conversion:
    """Convert a simplified ONNX model with static shapes, or an open batch, to TFLite.

    Args:
        model: As ``torch.onnx.export(dynamo=True)`` and onnxsim write it; float32, with integers
            and booleans where an operator makes or takes them, or with QuantizeLinear and
            DequantizeLinear around 8-bit values.
        io_layout: Axis order of four-dimensional inputs and outputs: ``nhwc`` costs no TRANSPOSE,
            ``nchw`` keeps ONNX's.
        keep_axes: Names of inputs and outputs that keep ONNX's order with either: they are NHWC
            in the model itself.
        half_weights: Store float constants in half precision.
        metadata: Entries for the file's metadata table, text by name.
        description: Free text of the model.
        app: What apps' libraries are told of it.
        batch: Which one the file has until it is resized, where the model leaves it open.

    Returns:
        The file and what it expects and returns. The signature ``serving_default`` has the ONNX
        names.

    Raises:
        UnsupportedOperatorError: A node, or a use of it, has no lowering; one line names the
            node, the operator with its attributes, and the reason.
    """
    if io_layout not in ("nhwc", "nchw"):
        raise UnsupportedOperatorError(unknown("io_layout", io_layout, ("nhwc", "nchw")))
    if has_open_batch(model):
        one, other = (_make_graph(fix_batch(model, b), io_layout, keep_axes) for b in BATCHES)
        graph = open_batch(one, other, batch)
    else:
        graph = _make_graph(model, io_layout, keep_axes)
    if half_weights:
        store_half(graph)
    entries: dict[str, str | bytes] = dict(metadata or {})
    if app is not None:
        entries[ENTRY_NAME] = write_app_metadata(app)
    data = write(graph, metadata=entries, description=description)
    return Conversion(
        data=data if app is None else append_files(data, app.files()),
        ops=graph.histogram(),
        inputs=_infos(graph.inputs, io_layout, keep_axes),
        outputs=_infos(graph.outputs, io_layout, keep_axes),
    )


def _make_graph(model: onnx.ModelProto, io_layout: IoLayout, keep_axes: Collection[str]) -> Graph:
    """Lower a model with static shapes and run the passes."""
    model, stored = collapse(model)
    graph = lower(join_activations(read(model)), io_layout, keep_axes, stored)
    if stored.values:
        scales = partial(attach_scales, stored=stored)
        run_passes(graph, (*MOVING_PASSES, scales, order_channels, narrow_moves))
        store(graph, stored)
    else:
        run_passes(graph)
    return graph


def lower(
    onnx_graph: OnnxGraph,
    io_layout: IoLayout,
    keep_axes: Collection[str] = (),
    stored: Stored | None = None,
) -> Graph:
    """Lower every node, inputs and outputs in the wanted layout.

    Args:
        onnx_graph: In float.
        io_layout: Of four-dimensional inputs and outputs.
        keep_axes: Names of those that keep ONNX's order.
        stored: What a quantised model says of its values.
    """
    table = lowerings()
    _check(onnx_graph, table)

    def border(name: str) -> Order:
        rank = len(onnx_graph.shapes[name])
        turned = rank == 4 and io_layout == "nhwc" and name not in keep_axes
        return NHWC if turned else identity(rank)

    wishes = _Wishes(onnx_graph, table, io_layout)
    non_negative = frozenset() if stored is None else stored.non_negative
    build = Builder(onnx_graph, wants_nhwc=wishes.wants_nhwc, non_negative=non_negative)
    inputs = []
    for name in onnx_graph.inputs:
        shape = physical_shape(onnx_graph.shapes[name], border(name))
        tensor = Tensor(name=name, shape=shape, dtype=onnx_graph.dtypes[name])
        build.bind(name, tensor, border(name))
        inputs.append((name, tensor))
    for node in onnx_graph.nodes:
        build.node = node
        table[node.op_type].lower(node, build)
    outputs = tuple((name, _make_output(build, name, border(name))) for name in onnx_graph.outputs)
    return Graph(inputs=tuple(inputs), outputs=outputs, ops=build.ops, values=build.tensors())


def _make_output(build: Builder, name: str, order: Order) -> Tensor:
    """An output as a tensor that an operator makes; an input that is an output is copied."""
    if build.const(name) is not None:
        raise UnsupportedOperatorError(
            f"output {name!r} does not depend on any input; leave it out of the model"
        )
    tensor = build.tensor(name, order)
    if build.producer(tensor) is None:
        return build.emit(
            "RESHAPE",
            [tensor, build.const_tensor("shape", tensor.shape, np.int32)],
            tensor.shape,
            {"newShape": list(tensor.shape)},
        )
    return tensor


def _check(onnx_graph: OnnxGraph, table: Mapping[str, Lowering]) -> None:
    """Refuse operators without a lowering, and element types that theirs does not take."""
    for node in onnx_graph.nodes:
        if node.op_type not in table:
            raise refuse(node, "this operator has no lowering to TFLite")
        computed = [n for n in node.inputs if n and n not in onnx_graph.constants]
        for name in (*computed, *(n for n in node.outputs if n)):
            dtype = onnx_graph.dtypes.get(name)
            types = table[node.op_type].types
            if dtype is None or dtype.name not in types:
                raise refuse(node, f"{name!r} is computed as {dtype}, {_only(types)}")
    for name in onnx_graph.inputs:
        dtype = onnx_graph.dtypes.get(name)
        if dtype is None or dtype.name not in DTYPES:
            raise UnsupportedOperatorError(f"input {name!r} is {dtype}, {_only(DTYPES)}")


def _only(types: tuple[str, ...]) -> str:
    """Say which element types are lowered."""
    *most, last = types
    return f"only {', '.join(most)} and {last} are lowered" if most else f"only {last} is lowered"


class _Wishes:
    """Which layout the readers of a value want, found through operators that take any."""

    def __init__(
        self, onnx_graph: OnnxGraph, table: Mapping[str, Lowering], io_layout: IoLayout
    ) -> None:
        self._onnx_graph, self._table, self._io_layout = onnx_graph, table, io_layout
        self._readers: dict[str, list[Node]] = {}
        for node in onnx_graph.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)
        self._known: dict[str, bool] = {}

    def wants_nhwc(self, name: str) -> bool:
        """Say whether some reader, or the border, wants NHWC."""
        if name not in self._known:
            border = name in self._onnx_graph.outputs and self._io_layout == "nhwc"
            self._known[name] = border or any(
                self._node_wants(node) for node in self._readers.get(name, [])
            )
        return self._known[name]

    def _node_wants(self, node: Node) -> bool:
        layout = self._table[node.op_type].layout
        if layout != "any" or node.op_type == "Transpose":
            return layout == "nhwc"
        return any(
            len(self._onnx_graph.shapes[out]) == 4 and self.wants_nhwc(out)
            for out in node.outputs
            if out
        )


def _infos(
    pairs: tuple[tuple[str, Tensor], ...], io_layout: IoLayout, keep_axes: Collection[str]
) -> tuple[SignatureTensor, ...]:
    return tuple(
        SignatureTensor(
            name=name,
            shape=tensor.shape,
            dtype=tensor.dtype.name,
            layout=io_layout if len(tensor.shape) == 4 and name not in keep_axes else "",
            has_open_batch=tensor.signature is not None and tensor.signature[0] == -1,
        )
        for name, tensor in pairs
    )
