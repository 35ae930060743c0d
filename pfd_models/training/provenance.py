"""What a run was made with: versions, source revision, machine."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

__all__ = ["provenance"]

_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scipy", "scikit-learn")


def provenance(device: torch.device, count: int) -> dict[str, Any]:
    """Return versions, revision and machine as plain data.

    Args:
        device: Where the run computes.
        count: Number of processes.
    """
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "versions": versions,
        "git": _git_state(),
        "device": gpu or f"cpu, {torch.get_num_threads()} threads",
        "processes": count,
    }


def _git_state() -> str:
    """Return the revision of these sources, with ``-dirty`` where they were changed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
