"""What a network loses in half precision, and what its files are held to.

The graph is run once more as an ARM core runs it. How far that run is from the float64 run says
what half precision loses on this network; a file may lose a small multiple of it, on this computer,
whose kernels keep most sums in float32, as on a device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from export.graph.program import Program
from export.half.interpreter import require_range, run_in_half
from export.network.inputs import Arrays
from export.network.network import Network
from export.parity import ReferenceRun, relative_linf, sqnr_db
from export.quantization.calibration import load_network_calibration
from export.quantization.cost import find_classes, measure_cost
from export.request.request import BuildRequest
from export.sets.manifest import Parity, PrecisionCost, TensorSpec
from pfd_models.errors import ParityError

__all__ = ["HalfPrecision", "halve"]

MULTIPLE = 4.0
"""How many times the half run's own distance a file may have, here and on a device: the order of
sums differs, and a rounding that falls otherwise is amplified as the others are."""

MOST_LOST = 0.25
"""Distance of the half run from which on a file could compute anything."""

SAMPLES = 4
"""How many of the parity samples the half run is made on; the files are run on all."""

FLOOR = 2.0**-9
"""Distances below this (four roundings of the largest output) are never held against a file."""

_IN_HALF = ("pte", "tflite")
"""Formats whose runtimes compute in half on ARM cores that can."""

LEAST_UNEQUAL = 0.01
"""Share of an output of whole numbers that is never held against a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfPrecision:
    """What the files of a network in half precision are held to.

    Attributes:
        reference: The float64 run of the module.
        relative_linf: Distance of the half run from it, the worst over the samples.
        sqnr_db: The same as signal to noise.
        unequal: Largest share of an output of whole numbers that is another in the half run.
        held: Samples that the cost is measured on.
        exact: Outputs of the float32 graph for each of them.
        labels: Their classes, where they are known.
        data: What the held samples are.
        arm_sqnr_db: What the half run loses against `exact` on the first of them.
    """

    reference: ReferenceRun
    relative_linf: float
    sqnr_db: float
    unequal: float
    held: list[Arrays]
    exact: list[Arrays]
    labels: Sequence[int]
    data: str
    arm_sqnr_db: float

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
        unequal = max(map(_share_unequal, self.reference.outputs, found))
        if (
            worst > self.limit
            or noise < least
            or unequal > max(LEAST_UNEQUAL, MULTIPLE * self.unequal)
        ):
            raise ParityError(
                f"{what} does not compute what the network computes in half precision: relative "
                f"L-infinity {worst:.2e} from the float64 run (limit {self.limit:.2e}), SQNR "
                f"{noise:.1f} dB (least {least:.1f}), {unequal:.1%} of whole numbers differ; "
                "nothing was published"
            )
        parity = Parity(
            samples=len(found),
            relative_linf=worst,
            sqnr_db=noise,
            eager_relative_linf=self.relative_linf,
            limit=self.limit,
        )
        outputs = list(map(run, self.held))
        cost = measure_cost(
            [sample[0] for sample in self.exact],
            [sample[0] for sample in outputs],
            self.labels,
            classes=(find_classes(self.exact), find_classes(outputs)),
        )
        arm = self.arm_sqnr_db if kind in _IN_HALF else None
        return parity, replace(cost, data=self.data, arm_sqnr_db=arm)

    def describe(self, specs: Sequence[TensorSpec], *, are_inputs: bool) -> tuple[TensorSpec, ...]:
        """Return them as they are: inputs and outputs are float32."""
        return tuple(specs)


def halve(
    request: BuildRequest,
    captured: Program,
    program: Program,
    reference: ReferenceRun,
    network: Network,
    called: str,
) -> HalfPrecision:
    """Run a network in half precision on the parity inputs.

    Args:
        request: Its calibration data, if it names some, are what the cost is measured on.
        captured: The graph as the module has it, which knows the layers' names.
        program: The rewritten graph, which the files are written from.
        reference: The float64 run.
        network: What was captured.
        called: What the parity inputs are.

    Raises:
        ModuleError: A weight or a value is beyond the largest half number.
        ParityError: Nothing is left of the network's outputs.
        DataError: The calibration data cannot be read or do not fit.
    """
    held = [  # the first ones; where the batch is open, the others have another
        sample
        for sample in reference.inputs
        if all(array.shape == shape for array, shape in zip(sample, network.shapes, strict=True))
    ]
    require_range(captured, held)
    half = half_of_held = run_in_half(program, held[:SAMPLES])
    if (worst := max(map(relative_linf, reference.outputs, half))) > MOST_LOST:
        raise ParityError(
            f"in half precision the outputs are {worst:.0%} of the largest off the float64 run "
            f"(at most {MOST_LOST:.0%} makes sense); leave fp16 out of --precision"
        )
    name = f"parity inputs ({called})"
    labels: Sequence[int] = ()
    if request.calibration is not None:
        data = load_network_calibration(request, network, request.calibration)
        held = [[tensor.numpy() for tensor in sample] for sample in data.held]
        labels, name = data.labels, f"held samples ({request.calibration.label})"
        half_of_held = run_in_half(program, held[:SAMPLES])
    exact = [[t.numpy() for t in program.run(list(map(torch.from_numpy, s)))] for s in held]
    arm = measure_cost([e[0] for e in exact[:SAMPLES]], [h[0] for h in half_of_held])
    return HalfPrecision(
        reference=reference,
        relative_linf=worst,
        sqnr_db=min(map(sqnr_db, reference.outputs, half)),
        unequal=max(map(_share_unequal, reference.outputs, half)),
        held=held,
        exact=exact,
        labels=labels,
        data=name,
        arm_sqnr_db=arm.sqnr_db,
    )


def _share_unequal(expected: Arrays, found: Arrays) -> float:
    """Return the largest share of an output of whole numbers or booleans that differs."""
    pairs = zip(expected, found, strict=True)
    return max((float((e != f).mean()) for e, f in pairs if e.dtype.kind != "f"), default=0.0)
