"""Einsum: sums, products and one matrix product per pair of operands."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from export.onnx_to_tflite.builder import Builder
from export.onnx_to_tflite.graph import Tensor
from export.onnx_to_tflite.layout import identity
from export.onnx_to_tflite.ops import lowers
from export.onnx_to_tflite.ops.matmul import batch_matmul, fully_connected
from export.onnx_to_tflite.reader import Node, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """An operand with a label for each physical axis."""

    tensor: Tensor
    labels: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """Elements along each label."""
        return dict(zip(self.labels, self.tensor.shape, strict=True))


@lowers("Einsum", layout="any")
def einsum(node: Node, build: Builder) -> None:
    """Multiply operands from left to right, summing what no later one and not the result has."""
    terms, result = read_equation(node, [len(build.shape(name)) for name in node.inputs])
    pending = []
    sizes: dict[str, int] = {}
    for name, labels in zip(node.inputs, terms, strict=True):
        value = build.value(name)
        term = Term(tensor=value.tensor, labels=tuple(labels[a] for a in value.order))
        for label, size in term.sizes.items():
            if sizes.setdefault(label, size) != size:
                raise refuse(node, f"axes of {sizes[label]} and {size} elements share a label")
        pending.append(term)
    product, *rest = pending
    for number, term in enumerate(rest):
        needed = {*result, *(label for later in rest[number + 1 :] for label in later.labels)}
        product = multiply(build, product, term, needed)
    product = sum_out(build, product, result)
    order = tuple(result.index(label) for label in product.labels)
    build.bind(node.outputs[0], product.tensor, order)


def read_equation(node: Node, ranks: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """Read the labels of each operand and of the result; an ellipsis gets labels of digits.

    Raises:
        UnsupportedOperatorError: A label stands twice in one operand.
    """
    left, arrow, right = node.attrs["equation"].replace(" ", "").partition("->")
    texts = left.split(",")
    terms = [_labels(text, rank) for text, rank in zip(texts, ranks, strict=True)]
    for term in terms:
        if len(set(term)) < len(term):
            raise refuse(node, "a diagonal has no lowering: a label stands twice in one operand")
    every = [label for term in terms for label in term]
    hidden = sorted({label for label in every if label.isdigit()}, reverse=True)
    if arrow:
        before, dots, after = right.partition("...")
        return terms, [*before, *(hidden if dots else ()), *after]
    once = sorted(label for label in set(every) if every.count(label) == 1 and label.isalpha())
    return terms, [*hidden, *once]


def _labels(text: str, rank: int) -> list[str]:
    before, dots, after = text.partition("...")
    hidden = rank - len(before) - len(after) if dots else 0
    return [*before, *(str(i) for i in reversed(range(hidden))), *after]


def multiply(build: Builder, left: Term, right: Term, needed: Collection[str]) -> Term:
    """Multiply two operands and sum over the labels that nobody needs afterwards."""
    left = sum_out(build, left, {*needed, *right.labels})
    right = sum_out(build, right, {*needed, *left.labels})
    shared = [label for label in left.labels if label in right.labels]
    batch = [label for label in shared if label in needed]
    inner = [label for label in shared if label not in needed]
    rows = [label for label in left.labels if label not in shared]
    columns = [label for label in right.labels if label not in shared]
    sizes = {**left.sizes, **right.sizes}

    def count(labels: Sequence[str]) -> int:
        return int(np.prod([sizes[label] for label in labels], dtype=np.int64))

    if not inner:
        a = build.reshape(
            arrange(build, left, [*batch, *rows]),
            [*(sizes[label] for label in (*batch, *rows)), *(1 for _ in columns)],
        )
        b = build.reshape(
            arrange(build, right, [*batch, *columns]),
            [*(sizes[label] for label in batch), *(1 for _ in rows), *(sizes[c] for c in columns)],
        )
        product = build.binary("MUL", a, b)
        return Term(tensor=product, labels=(*batch, *rows, *columns))
    a = build.reshape(
        arrange(build, left, [*batch, *rows, *inner]), (count(batch), count(rows), count(inner))
    )
    transposed = right.labels[-1] in inner
    last = [*columns, *inner] if transposed else [*inner, *columns]
    b = build.reshape(
        arrange(build, right, [*batch, *last]),
        (
            count(batch),
            *((count(columns), count(inner)) if transposed else (count(inner), count(columns))),
        ),
    )
    if b.data is not None and not batch:
        weight = b.data[0] if transposed else b.data[0].T
        product = fully_connected(build, a, weight, None, keep_dims=True)
    else:
        product = batch_matmul(build, a, b, adj_y=transposed)
    labels = (*batch, *rows, *columns)
    return Term(tensor=build.reshape(product, [sizes[label] for label in labels]), labels=labels)


def sum_out(build: Builder, term: Term, needed: Collection[str]) -> Term:
    """SUM over the labels that nobody needs."""
    places = [i for i, label in enumerate(term.labels) if label not in needed]
    if not places:
        return term
    axes = build.const_tensor("axes", places, np.int32)
    kept = [1 if i in places else d for i, d in enumerate(term.tensor.shape)]
    total = build.emit("SUM", [term.tensor, axes], kept, {"keepDims": True})
    labels = tuple(label for label in term.labels if label in needed)
    return Term(tensor=build.reshape(total, [term.sizes[label] for label in labels]), labels=labels)


def arrange(build: Builder, term: Term, labels: Sequence[str]) -> Tensor:
    """The operand with its axes in another order."""
    order = tuple(term.labels.index(label) for label in labels)
    return build.reorder(term.tensor, term.tensor.shape, identity(len(order)), order)
