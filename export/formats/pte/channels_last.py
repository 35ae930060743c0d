"""A program whose images are NHWC, as cameras and the other formats have them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from export.graph.program import Program, copy_in_order, dynamic_shapes
from export.sets.manifest import TensorSpec

__all__ = ["turn_images"]


class _Turned(nn.Module):
    """A module that takes and gives some of its tensors in NHWC."""

    def __init__(
        self, module: nn.Module, inputs: Collection[int], outputs: Collection[int]
    ) -> None:
        super().__init__()
        self.module = module
        self.turned_inputs, self.turned_outputs = inputs, outputs

    def forward(self, *tensors: Tensor) -> tuple[Any, ...]:
        """Run the module on tensors in its own layout."""
        taken = [
            tensor.permute(0, 3, 1, 2) if i in self.turned_inputs else tensor
            for i, tensor in enumerate(tensors)
        ]
        return tuple(
            tensor.permute(0, 2, 3, 1) if i in self.turned_outputs else tensor
            for i, tensor in enumerate(tree_leaves(self.module(*taken)))
        )


def turn_images(program: Program) -> Program:
    """Return the program with NHWC for NCHW at its border; inside, nothing changes."""
    inputs, outputs = (_find_images(specs) for specs in (program.inputs, program.outputs))
    example = tuple(
        copy_in_order(tensor.permute(0, 2, 3, 1)) if i in inputs else tensor
        for i, tensor in enumerate(program.example)
    )
    shapes = dynamic_shapes(program.inputs)
    turned_shapes = None if shapes is None else (shapes,)  # of *tensors
    with torch.no_grad():
        exported = torch.export.export(
            _Turned(program.module(), inputs, outputs),
            example,
            dynamic_shapes=turned_shapes,
            strict=False,
        )
    return dataclasses.replace(
        program,
        exported=exported,
        example=example,
        inputs=tuple(map(_turn, program.inputs)),
        outputs=tuple(map(_turn, program.outputs)),
    )


def _find_images(specs: tuple[TensorSpec, ...]) -> set[int]:
    return {i for i, spec in enumerate(specs) if spec.layout == "NCHW"}


def _turn(spec: TensorSpec) -> TensorSpec:
    if spec.layout != "NCHW":
        return spec
    n, c, h, w = spec.shape
    return dataclasses.replace(spec, shape=(n, h, w, c), layout="NHWC")
