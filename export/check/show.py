"""What the checks found, as text: one line for the whole, one for each operator outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.check.gpu import GpuReport
    from export.check.npu import NpuReport

__all__ = ["describe_gpu", "describe_npu"]


def describe_gpu(report: GpuReport) -> Iterator[str]:
    """Give the lines about a file on the GPU engine."""
    if report.resident:
        where = f"stays on the GPU, all {report.operators} operators"
    else:
        where = f"does not stay on the GPU: {len(report.refused)} of {report.operators} refused"
    yield f"{report.file}: {where}"
    if report.trouble:
        yield f"  the engine takes each operator and fails: {report.trouble}"
    for one in report.refused:
        yield f"  {one.kind} {one.layer!r} (operator {one.index}): {one.cause}; {one.fix}"
    if report.left_behind:
        yield (
            f"  {report.left_behind} operators more run on the CPU: the engine keeps the largest "
            "piece between refused ones"
        )
    if report.error is None:
        yield "  nothing ran on the GPU, so there is no error to tell"
    else:
        yield f"  largest error against the CPU: {report.error:.1e} in float32"
    if report.half_error is not None:
        yield (
            f"  phones' GPUs compute in fp16: in half precision this graph is off by "
            f"{report.half_error:.1e} (an estimate, run on the CPU)"
        )
    yield (
        f"  loaded and run in {report.seconds:.1f} s on {report.adapter} ({report.driver}), which "
        "says nothing of a phone's time"
    )


def describe_npu(report: NpuReport) -> Iterator[str]:
    """Give the lines about a file and an NPU's compiler."""
    yield f"{report.file}: {report.soc_sentence}"
    if report.outside is None:
        yield f"  operators: {report.operators_unknown_because}"
    else:
        yield f"  operators: {report.covered} of {report.operators} on the plugin's list"
        for one in report.outside:
            yield f"  {one.kind} {one.layer!r} (operator {one.index}) is not on it"
    yield f"  compiling ahead of time: {report.compilation}"
