"""How an 8-bit set's integers were chosen, as a manifest keeps it: plain data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FloatPrice", "LossLimit", "Quantization", "StoredValue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValue:
    """A value inside the network that is stored in 8 bits.

    Its integers are int8 and stand for scale * (integer - zero_point); the ``.onnx`` has uint8,
    whose zero point is 128 more.

    Attributes:
        name: In the ``.onnx``, the name of the tensor in front of its QuantizeLinear.
        module: Path of the submodule that makes it; empty for the network itself.
        scale: What one integer stands for.
        zero_point: The integer that stands for zero.
    """

    name: str
    module: str
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LossLimit:
    """Which layers had to stay in float so that no more is lost than was allowed.

    Attributes:
        max_loss: Percentage points of `counts` that may be lost.
        counts: ``top-1`` where the labels are known, else ``top-1 agreement`` with the float
            network.
        samples: How many samples that was chosen on; the loss in `Artifact.cost` is of others.
        layers: What stays in float, the worst first.
        loss_without: Points lost with nothing in float for the sake of this.
        loss: Points lost as the files are.
    """

    max_loss: float
    counts: str
    samples: int
    layers: tuple[str, ...]
    loss_without: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatPrice:
    """What the layers in float cost one file, against the file with none of them in float.

    Attributes:
        format: ``pte``, ``onnx`` or ``tflite``.
        delegates: Delegate calls of the file with none; None where the format has none.
        size_bytes: Of the file with none.
        time_ratio: Median time of the file over that of the file with none, of turns by both on
            the computer that built them: no phone's.
        machine: That computer's processor.
    """

    format: str
    delegates: int | None
    size_bytes: int
    time_ratio: float
    machine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How a set's 8-bit integers were chosen.

    Attributes:
        recipe: How ranges and biases were found.
        calibration: What the ranges were found on.
        is_synthetic: Whether that was noise, so that accuracy means nothing.
        samples: How many samples that were.
        seed: Of the choice of samples, or of the noise.
        inputs: Scale and zero point of each input's integers, in the file or behind its first
            operator.
        outputs: The same of each output.
        kept_float: What computes in float32, a line each: operator and cause.
        values: What operators compute and store in 8 bits, in order; what is only moved keeps its
            scale, as the result of a concatenation.
        keep_float: Modules and layers that were asked to stay in float.
        loss_limit: How more were chosen; None where no loss was given.
        float_prices: What those layers cost.
    """

    recipe: str
    calibration: str
    is_synthetic: bool
    samples: int
    seed: int
    inputs: tuple[tuple[float, int], ...]
    outputs: tuple[tuple[float, int], ...]
    kept_float: tuple[str, ...] = ()
    values: tuple[StoredValue, ...] = ()
    keep_float: tuple[str, ...] = ()
    loss_limit: LossLimit | None = None
    float_prices: tuple[FloatPrice, ...] = ()
