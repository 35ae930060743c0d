"""Before deployment: does a .tflite file stay on the GPU, and does a phone's NPU compiler take it?

gpu.py      LiteRT's GPU engine runs the file in a process of its own (gpu_process.py, vulkan.py)
npu.py      what the NPU plugins of LiteRT's wheel say (plugins.py)
show.py     both as tables
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.check.gpu import GpuReport, check_gpu
    from export.check.npu import NpuReport, check_npu

__all__ = ["GpuReport", "NpuReport", "check_gpu", "check_npu"]

_HOMES = {"GpuReport": "gpu", "check_gpu": "gpu", "NpuReport": "npu", "check_npu": "npu"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: the process that drives the GPU needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
