"""Join RESHAPE after RESHAPE and TRANSPOSE after TRANSPOSE; drop those that do nothing."""

from __future__ import annotations

from export.onnx_to_tflite.graph import Graph, Op, Tensor, constant

__all__ = ["merge_moves"]


def merge_moves(graph: Graph) -> None:
    """Let each move read the first tensor of its chain, and readers of a no-op its operand."""
    producers: dict[Tensor, Op] = {}
    ops = []
    renamed: dict[Tensor, Tensor] = {}
    outputs = {tensor for _, tensor in graph.outputs}
    for old in graph.ops:
        op = old.with_fields(
            inputs=tuple(None if t is None else renamed.get(t, t) for t in old.inputs)
        )
        before = producers.get(op.data_input) if op.kind in ("RESHAPE", "TRANSPOSE") else None
        if before is not None and before.kind == op.kind:
            op = _join(before, op)
        if _does_nothing(op) and op.output not in outputs:
            renamed[op.output] = op.data_input
            continue
        ops.append(op)
        producers.update((out, op) for out in op.outputs)
    graph.ops = ops


def _join(first: Op, second: Op) -> Op:
    if second.kind == "RESHAPE":
        return second.with_fields(inputs=(first.data_input, second.inputs[1]))
    inner, outer = first.inputs[1], second.inputs[1]
    if inner is None or outer is None or inner.data is None or outer.data is None:
        return second
    perm = [int(inner.data[i]) for i in outer.data]
    return second.with_fields(inputs=(first.data_input, constant("perm", perm)))


def _does_nothing(op: Op) -> bool:
    if op.kind == "RESHAPE":
        return op.data_input.shape == op.output.shape
    if op.kind == "TRANSPOSE":
        perm = op.inputs[1]
        return (
            perm is not None
            and perm.data is not None
            and (perm.data.tolist() == list(range(len(perm.data))))
        )
    return False
