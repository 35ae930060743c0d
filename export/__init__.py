"""From a PyTorch module to verified mobile artifacts.

The names below load their modules when they are first used: reading a manifest needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.pipeline import BuildResult, make_artifacts
    from export.request.app import AppOptions
    from export.request.request import BuildRequest
    from export.request.source import InputTensor, ModuleSource, ZooSource
    from export.sets.manifest import Artifact, Manifest, load_manifest

__all__ = [
    "AppOptions",
    "Artifact",
    "BuildRequest",
    "BuildResult",
    "InputTensor",
    "Manifest",
    "ModuleSource",
    "ZooSource",
    "load_manifest",
    "make_artifacts",
]

_HOMES = {
    "AppOptions": "export.request.app",
    "Artifact": "export.sets.manifest",
    "BuildRequest": "export.request.request",
    "BuildResult": "export.pipeline",
    "InputTensor": "export.request.source",
    "Manifest": "export.sets.manifest",
    "ModuleSource": "export.request.source",
    "ZooSource": "export.request.source",
    "load_manifest": "export.sets.manifest",
    "make_artifacts": "export.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
