"""From a PyTorch module to verified mobile artifacts.

The names below load their modules when they are first used: reading a manifest needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.manifest import Artifact, Manifest, load_manifest
    from export.pipeline import BuildResult, make_artifacts
    from export.request import BuildRequest
    from export.source import ModuleSource, ZooSource

__all__ = [
    "Artifact",
    "BuildRequest",
    "BuildResult",
    "Manifest",
    "ModuleSource",
    "ZooSource",
    "load_manifest",
    "make_artifacts",
]

_HOMES = {
    "Artifact": "export.manifest",
    "BuildRequest": "export.request",
    "BuildResult": "export.pipeline",
    "Manifest": "export.manifest",
    "ModuleSource": "export.source",
    "ZooSource": "export.source",
    "load_manifest": "export.manifest",
    "make_artifacts": "export.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
