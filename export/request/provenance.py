"""Where a build came from: package versions, source revision, digests. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

__all__ = ["PACKAGES", "git_state", "source_digest", "versions"]

PACKAGES = (
    "torch", "torchvision", "executorch", "torchao", "ai-edge-litert", "onnx", "onnxscript",
    "onnxsim", "onnxruntime", "flatbuffers", "numpy",
)  # fmt: skip
"""The distributions whose version can change an artifact's bytes or its parity figures."""


def versions(extra: Iterable[str] = ()) -> dict[str, str]:
    """Return the installed version of each package that matters, and Python's own.

    Args:
        extra: Further distributions, as the one a user's module comes from.
    """
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, *extra):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def source_digest(roots: Iterable[Path]) -> str:
    """Return the SHA-256 over the names and contents of all Python and JSON sources below `roots`.

    A root that is a file counts as itself. Names begin at their root, so it does not matter in
    which folder the roots lie.
    """
    lines = []
    for root in roots:
        files = [root] if root.is_file() else [*root.rglob("*.py"), *root.rglob("*.json")]
        for file in files:
            name = file.relative_to(root.parent).as_posix()
            lines.append(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def git_state(folder: Path) -> tuple[str, bool]:
    """Return the revision checked out at `folder` and whether tracked files differ from it.

    Outside a checkout, or where git is absent, the revision is empty.
    """
    try:
        revision = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "", False
    return revision, dirty


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
