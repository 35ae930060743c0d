"""Latency as a linear model of what was counted, one set of constants a phone; and its rivals.

``time = sum of constant x feature``, constants not negative, least squares of the relative error.
A model like this says nothing that no phone measured: it interpolates between networks of one
table. So each fit comes with what it errs by on a network that it has not seen
(`latency_validation`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from android_bench.records import Counts
from pfd_models.errors import InputError

__all__ = [
    "BASELINE",
    "CYCLES",
    "PREDICTORS",
    "RIVALS",
    "Features",
    "Fit",
    "MeasuredNetwork",
    "features_of",
    "fit_constants",
]

Features = Mapping[str, float]
"""What is known of a network, by name."""

_OF_COUNTS: Mapping[str, Callable[[Counts], int]] = {
    "instructions": lambda c: c.instructions,
    "multiply_accumulates": lambda c: (
        c.mac_fp32 + c.mac_fp16 + c.mac_fp64 + c.mac_dot + c.mac_integer
    ),
    "loads_stores": lambda c: c.loads + c.stores - c.atomic,  # an atomic one is both
    "l1_misses": lambda c: c.l1_misses,
    "l2_misses": lambda c: c.l2_misses,
}

CYCLES = "cycles"
"""The feature that takes more than counts: `block_cycles`."""

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
    "cycles": (CYCLES,),
    "cycles and misses": (CYCLES, "l1_misses", "l2_misses"),
}
"""A predictor to the features that it has one constant each for."""

RIVALS = ("MACs", "parameters")
"""The predictors that need no count."""


def features_of(
    counts: Counts, *, macs: int | None, params: int | None, cycles: float | None = None
) -> dict[str, float]:
    """Return all that a predictor may use.

    Args:
        counts: Of one inference.
        macs: The network's own multiply-accumulates; None leaves them out.
        params: Its parameters; None leaves them out.
        cycles: Modelled, of `block_cycles`; None leaves them out.
    """
    features = {name: float(count(counts)) for name, count in _OF_COUNTS.items()}
    named = features["multiply_accumulates"] + features["loads_stores"]
    features["other_instructions"] = features["instructions"] - named
    if macs is not None:
        features["macs"] = float(macs)
    if params is not None:
        features["params"] = float(params)
    if cycles is not None:
        features[CYCLES] = cycles
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
