"""Text that would do harm, for every border where text from outside becomes a type.

A target is a decorated function in one of the modules beside this one: it takes an `Input` and
gives it to the code in question. An error of the project is an answer; anything else is a failure.
`tests/fuzz` runs two thousand inputs for each target, `tools/fuzz.py` as many as one wants.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzzing.inputs import BATCH, Input, batches
from pfd_models.errors import DeviceError, PfdError

__all__ = ["TARGETS", "Failure", "Input", "Target", "run_target", "target"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """One border.

    Attributes:
        name: Of its protocol.
        examples: Right messages, to be damaged.
        check: Gives an input to the code.
    """

    name: str
    examples: tuple[bytes, ...]
    check: Callable[[Input], object]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An input that the code does not stand.

    Attributes:
        input: As small as could be found.
        error: What came of it.
    """

    input: Input
    error: Exception


_LONGEST_LINE = 1000

_targets: dict[str, Target] = {}


def target(name: str, *examples: bytes | str) -> Callable[[Callable[[Input], object]], Callable]:
    """Register a function as the check of a protocol."""

    def register(check: Callable[[Input], object]) -> Callable[[Input], object]:
        if name in _targets:
            raise ValueError(f"there are two targets named {name!r}")
        made = tuple(one.encode() if isinstance(one, str) else one for one in examples)
        _targets[name] = Target(name=name, examples=made, check=check)
        return check

    return register


def run_target(chosen: Target, count: int, *, seed_number: int = 0) -> tuple[int, Failure | None]:
    """Give a target many inputs.

    Args:
        chosen: The target.
        count: How many.
        seed_number: Another number gives other inputs.

    Returns:
        How many were given before anything failed, and what failed.
    """
    tried, last = 0, None
    failed = False

    @seed(seed_number)
    @settings(
        max_examples=-(-count // BATCH),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
    )
    @given(batches(chosen.examples))
    def try_batch(batch: list[Input]) -> None:
        nonlocal tried, last, failed
        for each in batch:
            tried, last = tried + (not failed), each
            try:
                _check(chosen, each)
            except BaseException:
                failed = True  # what follows are attempts at a smaller input
                raise

    try:
        try_batch()
    except Exception as error:
        assert last is not None
        return tried, Failure(input=last, error=error)
    return tried, None


def _check(chosen: Target, given_input: Input) -> None:
    """Require that a check ends well, or with one line of the project's own."""
    try:
        chosen.check(given_input)
    except PfdError as error:
        fault = _fault_of(error)
        if fault:
            raise AssertionError(f"{type(error).__name__} says {fault}") from error


def _fault_of(error: PfdError) -> str:
    """Return what is wrong with an error's line, or nothing."""
    text = str(error)
    if not text:
        return "nothing"
    if "\n" in text:
        return f"more than a line: {text[:200]!r}"
    # What a user gave may be long, and is theirs; a device's words are cut short.
    if isinstance(error, DeviceError) and len(text) > _LONGEST_LINE:
        return f"{len(text)} characters"
    return ""


def _load() -> dict[str, Target]:
    for module in pkgutil.iter_modules(__path__):
        if module.name.endswith("_targets"):
            importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_targets.items()))


TARGETS = _load()
