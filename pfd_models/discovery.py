"""Files that add something by lying in a folder: the one way in which every registry finds them.

A model family, a variant, a data set, a file format, a backend and a TFLite operator are each one
file of a package. A name that begins with an underscore is shared machinery of its neighbours.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

__all__ = ["import_file", "import_files", "list_files"]


def list_files(package: str) -> tuple[str, ...]:
    """Return the names of a package's files and sub-packages, sorted, without private ones.

    The folder is read anew at each call, so a file added since counts.

    Args:
        package: Its full name, as ``pfd_models.families``.
    """
    folders = importlib.import_module(package).__path__
    names = (info.name for info in pkgutil.iter_modules(folders))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def import_file(package: str, name: str) -> ModuleType:
    """Import one file of a package."""
    return importlib.import_module(f"{package}.{name}")


def import_files(package: str) -> tuple[ModuleType, ...]:
    """Import every file that `list_files` names, in that order."""
    return tuple(import_file(package, name) for name in list_files(package))
