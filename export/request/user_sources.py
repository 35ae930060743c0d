"""The files and distributions that decide what a user's own module is. Nothing is run."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from export.request.source import ModuleSource

__all__ = ["extend_import_path", "find_distributions", "find_imports", "find_sources"]

_INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Folders that installers copy packages into."""

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<one>\w+)|import[ \t]+(?P<several>\w[\w., \t]*))", re.MULTILINE
)


def find_sources(source: ModuleSource) -> list[Path]:
    """Return where the module's own code lies: its file, or the folders of its package.

    An installed distribution is represented by its version instead (`find_distributions`).
    """
    extend_import_path(source)
    places = _locate(_name_package(source))
    return [] if _are_installed(places) else places


def find_distributions(source: ModuleSource) -> tuple[str, ...]:
    """Return the installed distributions that provide the module; none for the user's files.

    A version stands for code only where that was copied when it was installed: what lies elsewhere,
    as after ``pip install -e``, changes while its version stays.
    """
    extend_import_path(source)
    package = _name_package(source)
    return _list_distributions(package) if _are_installed(_locate(package)) else ()


def find_imports(source: ModuleSource) -> tuple[list[Path], tuple[str, ...]]:
    """Return what the module's own code imports, and what that imports in turn.

    Read off the lines that import; nothing is run.

    Returns:
        Further places of the user's own code, and the installed distributions; what belongs to
        Python or to this project is left out.
    """
    found: list[Path] = []
    distributions: set[str] = set()
    seen = {_name_package(source), "export", "pfd_models", *sys.stdlib_module_names}
    waiting = find_sources(source)
    while waiting:
        for package in sorted(_list_imports(waiting.pop()) - seen):
            seen.add(package)
            places = _locate(package)
            if _are_installed(places):
                distributions.update(_list_distributions(package))
            else:
                found += places
                waiting += places
    return found, tuple(sorted(distributions))


def _name_package(source: ModuleSource) -> str:
    return source.target.partition(":")[0].partition(".")[0]


def _locate(package: str) -> list[Path]:
    """Return the folders of the package that Python would import, or the one file; none: none."""
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is None:
        return []
    if found.submodule_search_locations is not None:  # several where it has no __init__.py
        return [Path(folder) for folder in found.submodule_search_locations]
    return [Path(found.origin)] if found.has_location and found.origin else []


def _are_installed(places: Sequence[Path]) -> bool:
    return bool(places) and all(_INSTALLED.intersection(place.parts) for place in places)


def _list_imports(place: Path) -> set[str]:
    """Return the packages that the lines of a file, or of all files in a folder, import."""
    found: set[str] = set()
    for file in [place] if place.is_file() else place.rglob("*.py"):
        for line in _IMPORT.finditer(file.read_text(encoding="utf-8", errors="replace")):
            names = line["one"] or line["several"]
            found.update(
                name.strip().partition(".")[0].split()[0]
                for name in names.split(",")
                if name.strip()
            )
    return found


def _list_distributions(package: str) -> tuple[str, ...]:
    entries = {os.path.abspath(entry) for entry in sys.path}
    return tuple(sorted({name for e in entries for name in _list_packages(e).get(package, ())}))


@functools.cache
def _list_packages(entry: str) -> Mapping[str, set[str]]:
    """Return the distributions in an entry of the import path by the packages they provide.

    As `importlib.metadata.packages_distributions` does for all entries, in a third of a second;
    a build asks eight times, and nothing is installed meanwhile.
    """
    found: dict[str, set[str]] = {}
    for distribution in metadata.distributions(path=[entry]):
        declared = (distribution.read_text("top_level.txt") or "").split()
        for package in declared or {
            file.parts[0].removesuffix(".py")
            for file in distribution.files or ()
            if file.suffix == ".py"
        }:
            found.setdefault(package, set()).add(distribution.metadata["Name"])
    return found


def extend_import_path(source: ModuleSource) -> None:
    """Let the source's folder be imported from, as the command line's own folder is."""
    if source.search_path and source.search_path not in sys.path:
        sys.path.insert(0, source.search_path)
