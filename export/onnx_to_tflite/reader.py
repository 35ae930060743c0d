"""Read a simplified ONNX model: nodes, constants and static shapes, nothing lowered yet.

Whatever depends on constants only (Shape of a static tensor, ConstantOfShape, arithmetic on
shapes) is evaluated here, so lowerings see values, not the nodes that compute them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from export.onnx_to_tflite.graph import Array
from pfd_models.errors import UnsupportedOperatorError

__all__ = ["Node", "OnnxGraph", "read", "refuse"]

#: Domains whose operators carry ONNX's own meaning.
ONNX_DOMAINS = ("", "ai.onnx")
#: Before it Softmax joined axes, and several operators had attributes for what are inputs now.
LEAST_OPSET = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One ONNX node.

    Attributes:
        name: The node's name, or ``operator(first output)`` where it has none.
        op_type: ONNX operator.
        inputs: Value names; an absent optional input is an empty string.
        outputs: Value names.
        attrs: Attribute values as Python objects: text decoded, tensors as arrays.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any]

    def input(self, index: int) -> str:
        """Name of an input, empty where it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxGraph:
    """A model with static shapes.

    Attributes:
        nodes: In execution order, without those that only compute constants.
        constants: Initialisers and evaluated constants by name.
        shapes: Static shape by value name, in ONNX's own axis order.
        dtypes: numpy dtype by value name.
        inputs: Names of what the caller supplies.
        outputs: Names of what the caller gets.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype[Any]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def refuse(node: Node, reason: str) -> UnsupportedOperatorError:
    """Build the one line that says which node cannot be lowered and why."""
    attrs = ", ".join(
        f"{key}={value}"
        for key, value in node.attrs.items()
        if isinstance(value, int | float | str | list) and "\n" not in str(value)
    )
    shown = f"{node.op_type}({attrs})" if attrs else node.op_type
    return UnsupportedOperatorError(f"{node.name}: {shown}: {reason}")


def read(model: onnx.ModelProto) -> OnnxGraph:
    """Read a model whose shapes are static.

    Args:
        model: Operator set 13 or newer; PyTorch's exporter writes 18 and newer.

    Raises:
        UnsupportedOperatorError: An old operator set; or a node of a foreign domain, a subgraph,
            or a shape that is not static, with the node's name.
    """
    opset = next((o.version for o in model.opset_import if o.domain in ONNX_DOMAINS), 1)
    if opset < LEAST_OPSET:
        raise UnsupportedOperatorError(
            f"the model has operator set {opset}, {LEAST_OPSET} or newer is needed; "
            "convert it with onnx.version_converter"
        )
    constants: dict[str, Array] = {
        init.name: numpy_helper.to_array(init) for init in model.graph.initializer
    }
    inferred = _infer(model, strip=())
    shapes, dtypes = _static_types(inferred)
    remaining = []
    for proto in model.graph.node:
        node = _read_node(proto)
        folded = _fold(proto, node, model, constants, shapes)
        if folded is None:
            remaining.append((proto, node))
            continue
        constants.update(folded)
    if any(out not in shapes for _, node in remaining for out in node.outputs if out):
        # A shape that waited for an evaluated constant, as Reshape's: infer again with it known.
        inferred = _infer(model, strip=[p for p, _ in remaining], constants=constants)
        shapes, dtypes = _static_types(inferred)
    for name, value in constants.items():
        shapes[name] = value.shape
        dtypes[name] = value.dtype
    onnx_graph = OnnxGraph(
        nodes=_live([node for _, node in remaining], [o.name for o in model.graph.output]),
        constants=constants,
        shapes=shapes,
        dtypes=dtypes,
        inputs=tuple(i.name for i in model.graph.input if i.name not in constants),
        outputs=tuple(o.name for o in model.graph.output),
    )
    _check(onnx_graph)
    return onnx_graph


def _read_node(proto: onnx.NodeProto) -> Node:
    attrs = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        attrs[attribute.name] = value
    first = next((name for name in proto.output if name), "")
    node = Node(
        name=proto.name or f"{proto.op_type}({first})",
        op_type=proto.op_type,
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attrs=attrs,
    )
    if proto.domain not in ONNX_DOMAINS:
        raise refuse(node, f"operators of the domain {proto.domain!r} have no lowering")
    if any(a.type in (a.GRAPH, a.GRAPHS) for a in proto.attribute):
        raise refuse(node, "control flow has no lowering; export a model without branches")
    return node


def _infer(
    model: onnx.ModelProto,
    *,
    strip: list[onnx.NodeProto] | tuple[()],
    constants: Mapping[str, Array] | None = None,
) -> onnx.ModelProto:
    """Infer shapes on a copy; with ``strip``, on those nodes only, the constants supplied."""
    if not strip:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    del copy.graph.initializer[:]
    del copy.graph.value_info[:]
    copy.graph.node.extend(strip)
    for name, value in (constants or {}).items():
        copy.graph.initializer.append(numpy_helper.from_array(value, name))
    return onnx.shape_inference.infer_shapes(copy, data_prop=True)


def _static_types(
    model: onnx.ModelProto,
) -> tuple[dict[str, tuple[int, ...]], dict[str, np.dtype[Any]]]:
    """Collect the shapes that are wholly known, and the element types."""
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, np.dtype[Any]] = {}
    graph = model.graph
    for info in [*graph.input, *graph.output, *graph.value_info]:
        tensor = info.type.tensor_type
        if tensor.elem_type:
            try:
                dtypes[info.name] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
            except (KeyError, TypeError):
                continue  # string tensors have no numpy twin; the dtype check names them
        if not tensor.HasField("shape"):
            continue
        dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
        if None not in dims:
            shapes[info.name] = tuple(int(d) for d in dims if d is not None)
    return shapes, dtypes


def _fold(
    proto: onnx.NodeProto,
    node: Node,
    model: onnx.ModelProto,
    constants: Mapping[str, Array],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, Array] | None:
    """Evaluate a node that depends on constants only; None where it depends on an input."""
    if node.op_type in ("Shape", "Size") and node.inputs[0] in shapes:
        shape = shapes[node.inputs[0]]
        if node.op_type == "Size":
            return {node.outputs[0]: np.array(np.prod(shape, dtype=np.int64), np.int64)}
        start, end = node.attrs.get("start", 0), node.attrs.get("end")
        return {node.outputs[0]: np.array(shape[start:end], np.int64)}
    if node.op_type.startswith("Random") or any(i and i not in constants for i in node.inputs):
        return None
    from onnx.reference import ReferenceEvaluator

    graph = onnx.helper.make_graph(
        [proto],
        "constant",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(constants[name].dtype), None
            )
            for name in dict.fromkeys(node.inputs)
            if name
        ],
        [onnx.helper.make_tensor_value_info(n, 0, None) for n in node.outputs if n],
    )
    single = onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    values = ReferenceEvaluator(single).run(None, {n: constants[n] for n in node.inputs if n})
    return dict(zip([n for n in node.outputs if n], map(np.asarray, values), strict=True))


def _live(nodes: list[Node], outputs: list[str]) -> tuple[Node, ...]:
    """Drop the nodes that no output depends on."""
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return tuple(kept[::-1])


def _check(onnx_graph: OnnxGraph) -> None:
    """Refuse shapes that are not static or empty, naming the first node that meets one."""
    for name in onnx_graph.inputs:
        if name not in onnx_graph.shapes:
            raise UnsupportedOperatorError(
                f"input {name!r} has no static shape; export the model with fixed sizes"
            )
    for node in onnx_graph.nodes:
        for name in (*node.inputs, *node.outputs):
            if not name:
                continue
            if name not in onnx_graph.shapes:
                raise refuse(node, f"the shape of {name!r} is not static; fix every dimension")
            if 0 in onnx_graph.shapes[name] and name not in onnx_graph.constants:
                raise refuse(node, f"{name!r} is empty, its shape is {onnx_graph.shapes[name]}")
