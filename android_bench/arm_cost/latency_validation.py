"""What a model of latency errs by on networks that it has not seen, and which one is chosen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from android_bench.arm_cost.latency_model import (
    BASELINE,
    CYCLES,
    PREDICTORS,
    RIVALS,
    Fit,
    MeasuredNetwork,
    fit_constants,
)
from pfd_models.errors import InputError

__all__ = [
    "HeldOut",
    "HeldOutChoice",
    "Validation",
    "WrongPair",
    "choose_best",
    "choose_shown",
    "find_wrong_pairs",
    "leave_one_out",
    "ranks_worse",
    "validate",
    "validate_all",
    "validate_choice",
]

LEAST_DIFFERENCE = 0.10
"""Two networks of a phone are in an order when their times differ by more than this share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongPair:
    """Two networks that a predictor has in the other order than the phone.

    Attributes:
        faster: By the phone.
        slower: By the phone.
        difference: By how much the slower one takes longer, as a share.
    """

    faster: str
    slower: str
    difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What is said of networks that were not seen, beside what the phone measured.

    Attributes:
        measured_ms: Network to what the phone measured.
        predicted_ms: Network to what the fit on all others says of it.
    """

    measured_ms: Mapping[str, float]
    predicted_ms: Mapping[str, float]

    @property
    def errors(self) -> dict[str, float]:
        """Return each network's relative error, signed."""
        return {name: self.predicted_ms[name] / ms - 1 for name, ms in self.measured_ms.items()}

    @property
    def mean_error(self) -> float:
        """Return the mean of the absolute relative errors."""
        return sum(map(abs, self.errors.values())) / len(self.errors)

    @property
    def worst(self) -> tuple[str, float]:
        """Return the network with the largest error, and the error."""
        return max(self.errors.items(), key=lambda item: abs(item[1]))

    @property
    def wrong_pairs(self) -> tuple[WrongPair, ...]:
        """Return the pairs in the wrong order, the widest first."""
        return find_wrong_pairs(self.measured_ms, self.predicted_ms)[0]

    @property
    def pairs(self) -> int:
        """Return how many pairs of networks differ enough to be in an order."""
        return find_wrong_pairs(self.measured_ms, self.predicted_ms)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation(HeldOut):
    """What a predictor errs by on networks that it was not fitted on.

    Attributes:
        fit: On all networks.
    """

    fit: Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutChoice(HeldOut):
    """What is erred by on networks that neither the constants nor the choice of predictor saw.

    Attributes:
        chosen: Network to the predictor that the others choose.
    """

    chosen: Mapping[str, str]


def leave_one_out(predictor: str, networks: Sequence[MeasuredNetwork]) -> dict[str, float]:
    """Return for each network what a fit on all others says of it, in milliseconds.

    Rows of one name are left out together.
    """
    predicted = {}
    for left_out in networks:
        others = [n for n in networks if n.name != left_out.name]
        predicted[left_out.name] = fit_constants(predictor, others).predict_ms(left_out.features)
    return predicted


def find_wrong_pairs(
    measured_ms: Mapping[str, float],
    predicted_ms: Mapping[str, float],
    least_difference: float = LEAST_DIFFERENCE,
) -> tuple[tuple[WrongPair, ...], int]:
    """Return the pairs in the wrong order, the widest first, and how many pairs have an order.

    Args:
        measured_ms: Network to what the phone measured.
        predicted_ms: Network to what is predicted.
        least_difference: Pairs that differ by less, as a share of the faster one, have no order.
    """
    wrong, pairs = [], 0
    for one, other in itertools.combinations(measured_ms, 2):
        faster, slower = sorted((one, other), key=lambda name: measured_ms[name])
        difference = measured_ms[slower] / measured_ms[faster] - 1
        if difference <= least_difference:
            continue
        pairs += 1
        if predicted_ms[faster] >= predicted_ms[slower]:
            wrong.append(WrongPair(faster=faster, slower=slower, difference=difference))
    return tuple(sorted(wrong, key=lambda pair: -pair.difference)), pairs


def validate(predictor: str, networks: Sequence[MeasuredNetwork]) -> Validation:
    """Fit a predictor and say what it errs by on each network when it has not seen it.

    Raises:
        InputError: There are too few networks, or a name is there twice.
    """
    return Validation(
        fit=fit_constants(predictor, networks),
        measured_ms=_measured(networks),
        predicted_ms=leave_one_out(predictor, networks),
    )


def validate_all(networks: Sequence[MeasuredNetwork]) -> dict[str, Validation]:
    """Validate every predictor whose constants the networks can fix when one is left out.

    Predictors of cycles are left out where cycles are not known of every network.

    Raises:
        InputError: A name is there twice.
    """
    has_cycles = all(CYCLES in network.features for network in networks)
    return {
        predictor: validate(predictor, networks)
        for predictor, names in PREDICTORS.items()
        if len(networks) > len(names) and (has_cycles or CYCLES not in names)
    }


def validate_choice(networks: Sequence[MeasuredNetwork]) -> HeldOutChoice | None:
    """Leave each network out of the choice of a predictor too, and say what that errs by.

    The error of the best predictor is too good: it was chosen by that error. Here the others
    choose, by `choose_best`, and the fit of their choice says what it does of the one left out.

    Returns:
        None for fewer than three networks, as it takes two to choose.

    Raises:
        InputError: A name is there twice.
    """
    measured = _measured(networks)
    if len(networks) < 3:
        return None
    chosen, predicted = {}, {}
    for left_out in networks:
        best = choose_best(validate_all([n for n in networks if n is not left_out])).fit
        chosen[left_out.name] = best.predictor
        predicted[left_out.name] = best.predict_ms(left_out.features)
    return HeldOutChoice(chosen=chosen, measured_ms=measured, predicted_ms=predicted)


def _measured(networks: Sequence[MeasuredNetwork]) -> dict[str, float]:
    measured = {n.name: n.latency_ms for n in networks}
    if len(measured) < len(networks):
        twice = sorted({n.name for n in networks if sum(m.name == n.name for m in networks) > 1})
        raise InputError(f"{twice[0]} is in the table more than once: keep one of its rows")
    return measured


def ranks_worse(one: Validation, baseline: Validation) -> bool:
    """Tell whether it has more pairs in the wrong order than plain instruction counts."""
    return len(one.wrong_pairs) > len(baseline.wrong_pairs)


def choose_shown(validations: Mapping[str, Validation]) -> dict[str, Validation]:
    """Return the predictors that do not rank worse than plain instruction counts."""
    baseline = validations[BASELINE]
    return {name: one for name, one in validations.items() if not ranks_worse(one, baseline)}


def choose_best(validations: Mapping[str, Validation]) -> Validation:
    """Return the predictor from counts with the fewest wrong pairs, then the least mean error."""
    counted = [one for name, one in validations.items() if name not in RIVALS]
    return min(counted, key=lambda one: (len(one.wrong_pairs), one.mean_error))
