"""Latency as a linear model of what was counted, one set of constants a phone; and its rivals.

``time = sum of constant x feature``, constants not negative, least squares of the relative error.
A model like this says nothing that no phone measured: it interpolates between networks of one
table. So each fit comes with what it errs by on a network that it has not seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from android_bench.records import Counts
from pfd_models.errors import InputError

__all__ = [
    "BASELINE",
    "PREDICTORS",
    "Fit",
    "MeasuredNetwork",
    "Validation",
    "WrongPair",
    "choose_best",
    "choose_shown",
    "features_of",
    "find_wrong_pairs",
    "fit_constants",
    "leave_one_out",
    "ranks_worse",
    "validate",
]

Features = Mapping[str, float]

_OF_COUNTS: Mapping[str, Callable[[Counts], int]] = {
    "instructions": lambda c: c.instructions,
    "multiply_accumulates": lambda c: (
        c.mac_fp32 + c.mac_fp16 + c.mac_fp64 + c.mac_dot + c.mac_integer
    ),
    "loads_stores": lambda c: c.loads + c.stores - c.atomic,  # an atomic one is both
    "l1_misses": lambda c: c.l1_misses,
    "l2_misses": lambda c: c.l2_misses,
}

BASELINE = "instructions"
"""The predictor that each other one has to rank as well as."""

PREDICTORS: Mapping[str, tuple[str, ...]] = {
    "MACs": ("macs",),
    "parameters": ("params",),
    BASELINE: ("instructions",),
    "instructions and misses": ("instructions", "l1_misses", "l2_misses"),
    "classes and misses": (
        "multiply_accumulates",
        "loads_stores",
        "other_instructions",
        "l1_misses",
        "l2_misses",
    ),
}
"""A predictor to the features that it has one constant each for."""

_RIVALS = ("MACs", "parameters")  # need no count

LEAST_DIFFERENCE = 0.10
"""Two networks of a phone are in an order when their times differ by more than this share."""


def features_of(counts: Counts, *, macs: int | None, params: int | None) -> dict[str, float]:
    """Return all that a predictor may use.

    Args:
        counts: Of one inference.
        macs: The network's own multiply-accumulates; None leaves them out.
        params: Its parameters; None leaves them out.
    """
    features = {name: float(count(counts)) for name, count in _OF_COUNTS.items()}
    named = features["multiply_accumulates"] + features["loads_stores"]
    features["other_instructions"] = features["instructions"] - named
    if macs is not None:
        features["macs"] = float(macs)
    if params is not None:
        features["params"] = float(params)
    return features


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetwork:
    """A network that a phone measured and that was counted here.

    Attributes:
        name: As the table calls it.
        latency_ms: What the phone measured.
        features: What was counted.
    """

    name: str
    latency_ms: float
    features: Features


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A predictor with its constants.

    Attributes:
        predictor: Of `PREDICTORS`.
        constants_ns: Feature to nanoseconds of one unit of it; none is negative.
    """

    predictor: str
    constants_ns: Mapping[str, float]

    def predict_ms(self, features: Features) -> float:
        """Return the modelled latency in milliseconds.

        Raises:
            InputError: A feature was not counted.
        """
        return 1e-6 * sum(
            constant * _feature(features, name) for name, constant in self.constants_ns.items()
        )


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
class Validation:
    """What a predictor errs by on networks that it was not fitted on.

    Attributes:
        fit: On all networks.
        predicted_ms: Network to what the fit on all others says of it.
        errors: Network to the relative error of that, signed.
        wrong_pairs: The widest first.
        pairs: How many pairs of networks differ enough to be in an order.
    """

    fit: Fit
    predicted_ms: Mapping[str, float]
    errors: Mapping[str, float]
    wrong_pairs: tuple[WrongPair, ...]
    pairs: int

    @property
    def mean_error(self) -> float:
        """Return the mean of the absolute relative errors."""
        return sum(abs(error) for error in self.errors.values()) / len(self.errors)

    @property
    def worst(self) -> tuple[str, float]:
        """Return the network with the largest error, and the error."""
        return max(self.errors.items(), key=lambda item: abs(item[1]))


def fit_constants(predictor: str, networks: Sequence[MeasuredNetwork]) -> Fit:
    """Return the constants, none negative, with the least squares of relative errors.

    Raises:
        InputError: There are fewer networks than constants, or a feature was not counted.
    """
    names = PREDICTORS[predictor]
    if len(networks) < len(names):
        raise InputError(
            f"{len(networks)} networks cannot fix the {len(names)} constants of {predictor!r}: "
            "give a table of more, or leave this predictor out"
        )
    counted = np.array([[_feature(n.features, name) for name in names] for n in networks])
    times_ns = np.array([1e6 * n.latency_ms for n in networks])
    relative = counted / times_ns[:, None]
    # One scale for all columns: misses are rare and dear, instructions many and cheap.
    scales = np.linalg.norm(relative, axis=0)
    scales[scales == 0] = 1.0
    solution, _ = nnls(relative / scales, np.ones(len(networks)))
    constants = solution / scales
    return Fit(predictor=predictor, constants_ns=dict(zip(names, constants.tolist(), strict=True)))


def _feature(features: Features, name: str) -> float:
    if name not in features:
        raise InputError(
            f"{name} of a network are not known: count files that have a manifest beside them"
        )
    return features[name]


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
    measured = {n.name: n.latency_ms for n in networks}
    if len(measured) < len(networks):
        twice = sorted({n.name for n in networks if sum(m.name == n.name for m in networks) > 1})
        raise InputError(f"{twice[0]} is in the table more than once: keep one of its rows")
    predicted = leave_one_out(predictor, networks)
    wrong, pairs = find_wrong_pairs(measured, predicted)
    return Validation(
        fit=fit_constants(predictor, networks),
        predicted_ms=predicted,
        errors={name: predicted[name] / measured[name] - 1 for name in measured},
        wrong_pairs=wrong,
        pairs=pairs,
    )


def ranks_worse(one: Validation, baseline: Validation) -> bool:
    """Tell whether it has more pairs in the wrong order than plain instruction counts."""
    return len(one.wrong_pairs) > len(baseline.wrong_pairs)


def choose_shown(validations: Mapping[str, Validation]) -> dict[str, Validation]:
    """Return the predictors that do not rank worse than plain instruction counts."""
    baseline = validations[BASELINE]
    return {name: one for name, one in validations.items() if not ranks_worse(one, baseline)}


def choose_best(validations: Mapping[str, Validation]) -> Validation:
    """Return the predictor from counts with the fewest wrong pairs, then the least mean error."""
    counted = [one for name, one in validations.items() if name not in _RIVALS]
    return min(counted, key=lambda one: (len(one.wrong_pairs), one.mean_error))
