"""Files that add something by lying in a folder: the one way in which every registry finds them.

A model family, a variant, a data set, a file format, a backend and a TFLite operator are each one
file of a package. A name that begins with an underscore is shared machinery of its neighbours.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

__all__ = [
    "BrokenFile",
    "import_file",
    "import_files",
    "import_whole_files",
    "list_files",
    "tell_broken",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenFile:
    """A file of a package that cannot be used; ``str(it)`` says why in one line.

    Attributes:
        path: Where it lies.
        line: Of the file, where it fails; 0 where that is not known.
        reason: The error's class and first line.
    """

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        """Say where and why in one line."""
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.reason}"


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


def import_whole_files(package: str) -> tuple[tuple[ModuleType, ...], tuple[BrokenFile, ...]]:
    """Import every file that `list_files` names, in that order, and return those that cannot be.

    One bad file takes nothing else down: who asks for what the others hold gets it.
    """
    modules: list[ModuleType] = []
    broken: list[BrokenFile] = []
    for name in list_files(package):
        try:
            modules.append(import_file(package, name))
        except Exception as error:  # somebody's new file may fail in any way while it is imported
            broken.append(_describe(package, name, error))
    return tuple(modules), tuple(broken)


def tell_broken(broken: Sequence[BrokenFile]) -> str:
    """Say in one line what is wrong with files and what to do."""
    return f"{'; '.join(map(str, broken))}; mend that file or take it out of the folder"


def _describe(package: str, name: str, error: Exception) -> BrokenFile:
    found = importlib.util.find_spec(f"{package}.{name}")
    path = Path(found.origin) if found is not None and found.origin else Path(f"{name}.py")
    if isinstance(error, SyntaxError):
        line = error.lineno or 0
        what = error.msg
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
        line = (frames[-1].lineno or 0) if frames else 0
        what = (str(error).strip() or "no message").splitlines()[0]
    return BrokenFile(path=path, line=line, reason=f"{type(error).__name__}: {what}")
