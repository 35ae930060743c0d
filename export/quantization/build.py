"""The 8-bit part of a build: quantise a program once, then judge each file written from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.graph.program import Program
from export.network.inputs import Arrays
from export.network.network import Network
from export.quantization.agreement import hold_to_reference
from export.quantization.calibration import CalibrationData, load_network_calibration
from export.quantization.cost import find_classes, measure_cost
from export.quantization.insert import store
from export.quantization.integer_reference import Mask, find_ties, run_integers
from export.quantization.loss_limit import choose_float_layers
from export.quantization.qat.preparation import RECIPE as TRAINED_RECIPE
from export.quantization.qat.preparation import quantize_trained
from export.quantization.quantize import RECIPE, Quantized, quantize
from export.quantization.scales import Affine
from export.request.calibration import CalibrationSource
from export.request.request import BuildRequest
from export.sets.manifest import LossLimit, Parity, PrecisionCost, Quantization, TensorSpec
from pfd_models.checkpoints import QuantizedWeights, load_quantized
from pfd_models.errors import SpecError

__all__ = ["EightBit", "quantize_for"]

CHECKED_SAMPLES = 4
"""How many of the held samples are also run in the integer reference."""

_TO_THE_BIT = ("pte", "tflite")
"""Formats whose runtimes compute with XNNPACK; see `agreement` for the others."""

_UNSIGNED_OFFSET = 128

_NOISE = CalibrationSource(kind="synthetic", count=16)
"""What files of a network that was trained in integers are run on, where nothing else is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EightBit:
    """A quantised program with what its files are held to.

    Attributes:
        quantized: What the formats are written from.
        data: The samples it was calibrated on and is measured on.
        exact: Outputs of the float network for each held sample.
        inputs: As the files are fed, float or integers, for the first held samples.
        outputs: What the integer reference makes of `inputs`.
        ties: For `outputs`, where another class is as good; see `find_ties`.
        request: Whose options these are.
        loss_limit: Which layers were chosen to stay in float; None where no loss was given.
        trained: What it was trained in integers with; None where it was calibrated.
    """

    quantized: Quantized
    data: CalibrationData
    exact: list[Arrays]
    inputs: list[Arrays]
    outputs: list[Arrays]
    ties: list[list[Mask | None]]
    request: BuildRequest
    loss_limit: LossLimit | None = None
    trained: QuantizedWeights | None = None

    @property
    def keep(self) -> tuple[str, ...]:
        """Return the layers and modules that are in float because somebody wants them to be."""
        return _list_kept(self.request, self.loss_limit)

    def quantize_all(self, program: Program) -> Quantized:
        """Quantise the network with none of `keep` in float."""
        return quantize(program, self.data.samples, integer_io=self.request.io == "int8")

    def feed(self, quantized: Quantized) -> Arrays:
        """Return the first held sample as files of a quantised form of the network take it."""
        return _fed(quantized, self.data.held[0], integers=self.request.io == "int8")

    @property
    def program(self) -> Program:
        """Return what every format is written from."""
        return self.quantized.program

    def judge(
        self, run: Callable[[Arrays], Arrays], *, what: str, kind: str
    ) -> tuple[Parity, PrecisionCost]:
        """Run a file on the held samples.

        Args:
            run: A loaded file.
            what: How an error line calls it.
            kind: Its format.

        Raises:
            ParityError: It does not compute what the integer reference computes.
        """
        found = [self._numbers(run(self._fed(sample))) for sample in self.data.held]
        outputs = [None if a is None else a.scale for a in self.quantized.outputs]
        parity = hold_to_reference(
            [self._numbers(sample) for sample in self.outputs],
            found[: len(self.outputs)],
            self.exact[: len(self.outputs)],
            [scale or 0.0 for scale in outputs],
            what=what,
            to_the_bit=kind in _TO_THE_BIT
            and (self.quantized.rounds_nothing or not self.quantized.kept_float),
            ties=self.ties,
        )
        cost = measure_cost(
            [sample[0] for sample in self.exact],
            [sample[0] for sample in found],
            self.data.labels,
            classes=(find_classes(self.exact), find_classes(found)),
        )
        return parity, cost

    def describe(self, specs: Sequence[TensorSpec], *, are_inputs: bool) -> tuple[TensorSpec, ...]:
        """Say what the integers of a file's inputs or outputs stand for, if they are integers."""
        affines = self.quantized.inputs if are_inputs else self.quantized.outputs
        return tuple(map(_describe, specs, affines))

    def record(self) -> Quantization:
        """Return what the manifest keeps."""
        source, trained = self.request.calibration, self.trained
        if trained is not None:
            measured = _NOISE.label if source is None else source.label
            origin: dict[str, Any] = {
                "recipe": TRAINED_RECIPE,
                "calibration": f"training images of {trained.dataset}; measured on {measured}",
                "is_synthetic": source is None or source.kind == "synthetic",
                "samples": trained.samples,
                "seed": trained.seed,
            }
        else:
            assert source is not None  # or nothing would have been quantised
            origin = {
                "recipe": RECIPE,
                "calibration": source.label,
                "is_synthetic": source.kind == "synthetic",
                "samples": len(self.data.samples) * self.program.example[0].shape[0],
                "seed": source.seed,
            }
        return Quantization(
            **origin,
            inputs=tuple(map(_pair, self.quantized.inputs)),
            outputs=tuple(map(_pair, self.quantized.outputs)),
            kept_float=self.quantized.kept_float,
            values=self.quantized.values,
            keep_float=self.request.keep_float,
            loss_limit=self.loss_limit,
        )

    def _fed(self, sample: Sequence[Tensor]) -> Arrays:
        return _fed(self.quantized, sample, integers=self.request.io == "int8")

    def _numbers(self, outputs: Arrays) -> Arrays:
        """Turn integers into the numbers they stand for."""
        return [
            array
            if affine is None or array.dtype != np.int8
            else ((array.astype(np.float32) - affine.zero_point) * np.float32(affine.scale))
            for array, affine in zip(outputs, self.quantized.outputs, strict=True)
        ]


def quantize_for(request: BuildRequest, program: Program, network: Network) -> EightBit:
    """Calibrate and quantise a program as a request says.

    Args:
        request: Its calibration and its kind of inputs and outputs.
        program: Rewritten, in float.
        network: What it was captured from.

    Raises:
        SpecError: The request names nothing to calibrate on, or asks of weights that were trained
            in integers what these cannot have.
        DataError: The data cannot be read or do not fit.
    """
    trained = load_quantized(request.weights) if request.weights is not None else None
    if request.calibration is None and trained is None:
        raise SpecError("int8 needs --calibration")
    if trained is not None:
        _require_trained_graph(request)
    data = load_network_calibration(
        request,
        network,
        request.calibration or replace(_NOISE, seed=request.seed),
        choosing=request.max_loss is not None,
    )
    integer_io = request.io == "int8"
    limit = None
    if trained is not None:
        quantized = quantize_trained(program, trained, integer_io=integer_io)
    else:
        if request.max_loss is not None:
            limit = choose_float_layers(program, data, request.max_loss, request.keep_float)
        keep = _list_kept(request, limit)
        quantized = quantize(program, data.samples, integer_io=integer_io, keep=keep)
        _require_effect(request.keep_float, quantized.kept)
    fed = [_fed(quantized, sample, integers=integer_io) for sample in data.held[:CHECKED_SAMPLES]]
    return EightBit(
        quantized=quantized,
        data=data,
        exact=[[t.numpy() for t in program.run(sample)] for sample in data.held],
        inputs=fed,
        outputs=[
            [t.numpy() for t in run_integers(quantized.program, list(map(torch.from_numpy, f)))]
            for f in fed
        ],
        ties=[find_ties(quantized.program, list(map(torch.from_numpy, f))) for f in fed],
        request=request,
        loss_limit=limit,
        trained=trained,
    )


def _require_trained_graph(request: BuildRequest) -> None:
    """Refuse what would change the graph that weights were trained in integers with."""
    if request.keep_float or request.max_loss is not None:
        raise SpecError(
            "--keep-float and --max-loss choose layers while scales are found; these weights were "
            "trained in integers with scales of their own, so leave it out"
        )
    app = request.app
    if app.preprocess in ("baked", "uint8") or app.head != "none":
        raise SpecError(
            f"--preprocess {app.preprocess} --head {app.head} puts operators around the network, "
            "and these weights were trained in integers without them; leave it out (--preprocess "
            "metadata adds none), or calibrate the float checkpoint that the training began with"
        )


def _require_effect(wanted: Sequence[str], kept: Sequence[str]) -> None:
    """Refuse a layer that computes in integers whatever is asked."""
    for name in wanted:
        if not any(layer == name or layer.startswith(f"{name}.") for layer in kept):
            raise SpecError(
                f"--keep-float {name}: between integers it computes in integers in every runtime; "
                "name a module beside it as well, or leave it out"
            )


def _list_kept(request: BuildRequest, limit: LossLimit | None) -> tuple[str, ...]:
    return (*request.keep_float, *(() if limit is None else limit.layers))


def _fed(quantized: Quantized, sample: Sequence[Tensor], *, integers: bool) -> Arrays:
    if not integers:
        return [tensor.numpy() for tensor in sample]
    return [
        tensor.numpy() if affine is None else store(tensor, affine).numpy()
        for tensor, affine in zip(sample, quantized.inputs, strict=True)
    ]


def _describe(spec: TensorSpec, affine: Affine | None) -> TensorSpec:
    if affine is None or spec.dtype not in ("int8", "uint8"):
        return spec
    offset = _UNSIGNED_OFFSET if spec.dtype == "uint8" else 0
    return replace(spec, scale=affine.scale, zero_point=affine.zero_point + offset)


def _pair(affine: Affine | None) -> tuple[float, int]:
    return (1.0, 0) if affine is None else (affine.scale, affine.zero_point)
