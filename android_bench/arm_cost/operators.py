"""Which operator executes what: segments between marks, joined with the operators' names.

XNNPACK runs its operators one after the other. When it is asked to profile, it reads the clock
before the first and after each, and keeps each reading: a segment that ends with such a reading is
an operator, or a part of one that it runs in parts: a concatenation copies each of its inputs.
The readings of one operator's parts lie one behind the other in memory. The engine tells the
operators' names after the inference, in the order they ran.

An operator outside the delegate is marked by our own engine (ExecuTorch), or lies between two
readings of the clock that the interpreter makes (LiteRT).

None of this depends on addresses in one version of a library. When the numbers of names and of
parts do not agree, nothing is attributed.
"""

from __future__ import annotations

from collections.abc import Sequence

from android_bench.arm_cost.counted import CountedInference, Segment
from android_bench.harness.result import HarnessResult, LoadedFile
from android_bench.records import Counts, OperatorCount
from pfd_models.errors import DeviceError

__all__ = ["attribute"]

_XNNPACK = ("libexecutorch_backend_xnnpack.so", "libLiteRt.so")
_OURS = "pfd_engine_"
_READING_BYTES = 16  # a struct timespec


def attribute(result: HarnessResult, inference: CountedInference) -> tuple[OperatorCount, ...]:
    """Return what each operator of an inference executes, in the order they ran.

    Args:
        result: The run's, with the operators that the engine told.
        inference: Of the same run.

    Raises:
        DeviceError: What was told and what was counted do not fit together.
    """
    told = result.operators
    delegated = sum(1 for operator in told if operator.delegate)
    parts = iter(_delegated(result, inference.segments, delegated))
    kernels = iter(_kernels(result, inference.segments, len(told) - delegated))
    return tuple(
        OperatorCount(
            name=operator.name,
            delegate=operator.delegate,
            counts=next(parts) if operator.delegate else next(kernels),
        )
        for operator in told
    )


def _delegated(result: HarnessResult, segments: Sequence[Segment], count: int) -> list[Counts]:
    if count == 0:
        return []
    sites = dict.fromkeys(s.at for s in segments if _file(s.at, result.files) in _XNNPACK)
    # XNNPACK's first reading is before its first operator, so the other site comes later.
    for site in reversed(sites):
        operators = _join(segments, site)
        if len(operators) == count:
            return operators
    found = ", ".join(str(len(_join(segments, site))) for site in sites) or "no"
    raise DeviceError(
        f"{result.engine} {result.engine_version} told {count} operators and {found} were "
        "marked: its library reads the clock in another way; count without operators"
    )


def _join(segments: Sequence[Segment], site: int) -> list[Counts]:
    """Return the operators whose parts end at a site."""
    operators: list[Counts] = []
    before = None
    for segment in segments:
        if segment.at != site:
            before = None
            continue
        if before is not None and segment.stored - before.stored == _READING_BYTES:
            operators[-1] += segment.counts
        else:
            operators.append(segment.counts)
        before = segment
    return operators


def _kernels(result: HarnessResult, segments: Sequence[Segment], count: int) -> list[Counts]:
    """Return what lies between the marks around operators that no delegate ran."""
    if count == 0:
        return []
    if any(_file(s.at, result.files).startswith(_OURS) for s in segments):
        kernels = _marked(result, segments)
    else:
        kernels = _scoped(segments, count)
    if len(kernels) != count:
        raise DeviceError(
            f"{result.engine} told {count} operators outside a delegate and {len(kernels)} were "
            "marked: count without operators"
        )
    return kernels


def _marked(result: HarnessResult, segments: Sequence[Segment]) -> list[Counts]:
    """Return what lies between the marks that our engine sets around ExecuTorch's kernels."""
    begins = 0
    inside = False
    kernels: list[Counts] = []
    for segment in segments:
        if inside:
            kernels[-1] += segment.counts
        if not _file(segment.at, result.files).startswith(_OURS):
            continue
        begins = begins or segment.at  # a kernel begins before it ends
        inside = segment.at == begins
        if inside:
            kernels.append(Counts())
    return kernels


def _scoped(segments: Sequence[Segment], count: int) -> list[Counts]:
    """Return what lies between the interpreter's readings of the clock around its operators.

    It reads at both ends of each, and of some scopes around all of them, never of a delegate.
    """
    readings = [place for place, s in enumerate(segments) if s.at == segments[0].at]
    around = len(readings) // 2 - count
    if len(readings) % 2 or around < 0:
        return []
    ends = readings[around : len(readings) - around]
    return [
        sum((s.counts for s in segments[begin + 1 : end + 1]), Counts())
        for begin, end in zip(ends[::2], ends[1::2], strict=True)
    ]


def _file(address: int, files: Sequence[LoadedFile]) -> str:
    for file in files:
        if file.base <= address < file.end:
            return file.name
    return ""
