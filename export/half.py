"""Half precision: what the network makes of it, what that costs, and what a file is held to.

The graph is run once more with every weight and every value between two operators rounded to half,
which is what XNNPACK's kernels of this computer do, and what those of an ARM core do that also
adds up in half. How far that run is from the float64 run says what half precision loses on this
network; a file may lose a small multiple of it. A value beyond the largest half number makes the
rest of a network infinite or wrong, so it is refused by the name of its layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from export.graph.program import Program
from export.network.inputs import Arrays
from export.parity import ReferenceRun, relative_linf, sqnr_db
from export.quantization.calibration import load_calibration
from export.quantization.cost import measure_cost
from export.request.request import BuildRequest
from export.sets.manifest import Parity, PrecisionCost, TensorSpec
from pfd_models.errors import ModuleError, ParityError

__all__ = ["LARGEST", "HalfPrecision", "halve"]

LARGEST = float(torch.finfo(torch.float16).max)
"""65504, the largest half number."""

MULTIPLE = 4.0
"""How many times the half run's own distance a file may have, here and on a device."""

FLOOR = 2.0**-9
"""Distances below this (four roundings of the largest output) are never held against a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfPrecision:
    """What the files of a network in half precision are held to.

    Attributes:
        reference: The float64 run of the module.
        relative_linf: Distance of the half run from it, the worst over the samples.
        sqnr_db: The same as signal to noise.
        held: Samples that the cost is measured on.
        exact: Outputs of the float32 graph for each of them.
        labels: Their classes, where they are known.
        data: What the held samples are.
    """

    reference: ReferenceRun
    relative_linf: float
    sqnr_db: float
    held: list[Arrays]
    exact: list[Arrays]
    labels: Sequence[int]
    data: str

    @property
    def limit(self) -> float:
        """Return the relative L-infinity distance that a file may have."""
        return max(FLOOR, MULTIPLE * self.relative_linf)

    def judge(
        self, run: Callable[[Arrays], Arrays], *, what: str, kind: str
    ) -> tuple[Parity, PrecisionCost]:
        """Run a file on the parity inputs and on the held samples.

        Args:
            run: A loaded file.
            what: How an error line calls it.
            kind: Its format.

        Raises:
            ParityError: It does not compute what the network computes in half precision.
        """
        found = [run(sample) for sample in self.reference.inputs]
        for wanted, have in zip(self.reference.outputs, found, strict=True):
            shapes, given = [a.shape for a in wanted], [a.shape for a in have]
            if shapes != given or not all(np.isfinite(a).all() for a in have):
                raise ParityError(
                    f"{what} returns shapes {given} or values that are not finite, expected "
                    f"{shapes}; nothing was published"
                )
        worst = max(map(relative_linf, self.reference.outputs, found))
        noise = min(map(sqnr_db, self.reference.outputs, found))
        least = min(self.sqnr_db, -20 * np.log10(FLOOR)) - 20 * np.log10(MULTIPLE)
        if worst > self.limit or noise < least:
            raise ParityError(
                f"{what} does not compute what the network computes in half precision: relative "
                f"L-infinity {worst:.2e} from the float64 run (limit {self.limit:.2e}), SQNR "
                f"{noise:.1f} dB (least {least:.1f}); nothing was published"
            )
        parity = Parity(
            samples=len(found),
            relative_linf=worst,
            sqnr_db=noise,
            eager_relative_linf=self.relative_linf,
            limit=self.limit,
        )
        outputs = found if self.held is self.reference.inputs else list(map(run, self.held))
        cost = measure_cost(
            [sample[0] for sample in self.exact], [sample[0] for sample in outputs], self.labels
        )
        return parity, replace(cost, data=self.data)

    def describe(self, specs: Sequence[TensorSpec], *, are_inputs: bool) -> tuple[TensorSpec, ...]:
        """Return them as they are: inputs and outputs are float32."""
        return tuple(specs)


def halve(
    request: BuildRequest,
    captured: Program,
    program: Program,
    reference: ReferenceRun,
    image: Mapping[str, Any],
    called: str,
) -> HalfPrecision:
    """Run a network in half precision on the parity inputs.

    Args:
        request: Its calibration data, if it names some, are what the cost is measured on.
        captured: The graph as the module has it, which knows the layers' names.
        program: The rewritten graph, which the files are written from.
        reference: The float64 run.
        image: How the network wants its image; empty where unknown.
        called: What the parity inputs are.

    Raises:
        ModuleError: A weight or a value is beyond the largest half number.
        DataError: The calibration data cannot be read or do not fit.
    """
    samples = [tuple(map(torch.from_numpy, sample)) for sample in reference.inputs]
    for each in (captured, program):
        outputs = _run_in_half(each, samples)
    held, name = reference.inputs, f"parity inputs ({called})"
    labels: Sequence[int] = ()
    if request.calibration is not None:
        data = load_calibration(
            request.calibration,
            [spec.shape for spec in program.inputs],
            image,
            request.input_range,
            [spec.dtype for spec in program.inputs],
        )
        held = [[tensor.numpy() for tensor in sample] for sample in data.held]
        labels, name = data.labels, f"held samples ({request.calibration.label})"
    return HalfPrecision(
        reference=reference,
        relative_linf=max(map(relative_linf, reference.outputs, outputs)),
        sqnr_db=min(map(sqnr_db, reference.outputs, outputs)),
        held=held,
        exact=[[t.numpy() for t in program.run(list(map(torch.from_numpy, s)))] for s in held],
        labels=labels,
        data=name,
    )


def _run_in_half(program: Program, samples: Iterable[tuple[Tensor, ...]]) -> list[Arrays]:
    interpreter = _HalfInterpreter(program.module())
    with torch.no_grad():
        runs = [interpreter.run(*sample) for sample in samples]
    return [[tensor.numpy() for tensor in tree_leaves(run)] for run in runs]


class _HalfInterpreter(fx.Interpreter):
    """Computes each operator in float32 and rounds what it reads from weights and what it makes."""

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        if not isinstance(result, Tensor) or result.dtype != torch.float32:
            return result
        if node.op == "get_attr" and any(map(_normalises, node.users)):
            return result  # statistics, which no format stores as they are
        rounded = result.half().float()
        if bool((rounded.isinf() & result.isfinite()).any()):
            largest = float(result[result.isfinite()].abs().max())
            what = "the weight" if node.op == "get_attr" else "the output of"
            raise ModuleError(
                f"{what} {_layer(node)!r} reaches {largest:.3g} and half precision ends at "
                f"{LARGEST:.0f}; leave fp16 out of --precision, or scale what goes into that layer"
            )
        return rounded


def _normalises(node: fx.Node) -> bool:
    return "batch_norm" in str(node.target)


def _layer(node: fx.Node) -> str:
    """Return the module's path that a node belongs to, or the node's own name."""
    if node.op == "get_attr":
        return str(node.target)
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = str(stack[-1][0]) if stack else ""
    return path.removeprefix("L['self'].").removeprefix("L['self']") or node.name
