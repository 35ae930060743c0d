"""Which layers must stay in float so that a network loses no more than it may.

Layers are ranked by what the output loses when each alone is quantised, the worst first, and the
least number of the worst is kept. Both are found on samples that the loss is not reported on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from export.graph.program import Program
from export.quantization.calibration import CalibrationData
from export.quantization.cost import measure_cost
from export.quantization.quantize import quantize, simplify
from export.quantization.recipe import find_ranges
from export.quantization.scales import choose_scales
from export.quantization.sensitivity.alone import SAMPLES, measure_alone
from export.sets.manifest import LossLimit, PrecisionCost
from pfd_models.errors import ParityError, SpecError

__all__ = ["choose_float_layers"]


def choose_float_layers(
    program: Program, data: CalibrationData, max_loss: float, keep: Sequence[str] = ()
) -> LossLimit:
    """Find the layers to keep in float.

    Args:
        program: From `export.passes.run_passes`.
        data: With samples to choose on.
        max_loss: Percentage points of top-1 that may be lost; of agreement with the float
            network's best class where nobody knows the labels.
        keep: Modules or layers that are in float anyway.

    Raises:
        SpecError: The first output is no row of scores, so there is no best class.
        ParityError: Every layer would have to stay in float.
    """
    exact = [program.run(sample)[0].numpy() for sample in data.choosing]
    in_float: dict[int, tuple[str, ...]] = {}

    def lose(worst: Sequence[str]) -> float:
        quantized = quantize(program, data.samples, keep=(*keep, *worst))
        in_float[len(worst)] = quantized.kept
        found = [quantized.program.run(sample)[0].numpy() for sample in data.choosing]
        return _points(measure_cost(exact, found, data.choosing_labels))

    plain = loss = lose(())
    layers: tuple[str, ...] = ()
    if plain > max_loss:
        worst = _rank(program, data, keep)
        count, loss = _find_least(lambda n: lose(worst[:n]), plain, len(worst), max_loss)
        layers = tuple(name for name in worst[:count] if name in in_float[count])
    return LossLimit(
        max_loss=max_loss,
        counts="top-1" if data.choosing_labels else "top-1 agreement",
        samples=len(exact) * len(exact[0]),
        layers=layers,
        loss_without=plain,
        loss=loss,
    )


def _rank(program: Program, data: CalibrationData, keep: Sequence[str]) -> list[str]:
    network = simplify(program, keep)
    graph = network.module.graph
    affines = choose_scales(graph, find_ranges(graph, data.samples))
    losses = measure_alone(network, affines, data.samples, data.choosing[:SAMPLES])
    return [loss.name for loss in sorted(losses, key=lambda loss: loss.cost.sqnr_db)]


def _find_least(
    lose: Callable[[int], float], without: float, most: int, max_loss: float
) -> tuple[int, float]:
    """Return how many of `most` layers must be in float, and what is lost then.

    Where none is, `without` is lost, which is more than may be. Twice as many are tried until the
    limit is met, then what lies between is halved: fewer layers could meet it by luck, and the
    next image would undo that.
    """
    low, high, loss = 0, 0, without
    while loss > max_loss:
        if high >= most - 1:  # one more and nothing is quantised
            raise ParityError(
                f"--max-loss {max_loss:g}: with {high} of {most} layers in float {loss:.2f} points "
                "are lost still; allow more, calibrate on more images, or build fp32"
            )
        low, high = high, min(max(1, 2 * high), most - 1)
        loss = lose(high)
    while high - low > 1:
        middle = (low + high) // 2
        if (found := lose(middle)) <= max_loss:
            high, loss = middle, found
        else:
            low = middle
    return high, loss


def _points(cost: PrecisionCost) -> float:
    if cost.agreement is None:
        raise SpecError(
            "--max-loss counts best classes, and the first output is no row of scores; name the "
            "layers instead, as --keep-float NAME"
        )
    if cost.top1 is not None and cost.float_top1 is not None:
        return 100 * (cost.float_top1 - cost.top1)
    return 100 * (1 - cost.agreement)
