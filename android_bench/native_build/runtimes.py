"""Where the two runtimes' native libraries are: the installed wheels, or those of another machine.

Both wheels carry libraries that need no Python and no torch. For another machine the same
versions are fetched with pip and only the native parts are unpacked, once, into the cache.
"""

from __future__ import annotations

import base64
import csv
import importlib.metadata
import importlib.util
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from android_bench.native_build.cache import cache_folder, make_alone, replace_folder
from android_bench.native_build.ndk import find_executorch, find_litert
from export.sets.files import sha256_file
from pfd_models.errors import DeviceError

__all__ = ["Runtimes", "find_runtimes", "runtime_versions"]

# What find_runtimes("linux-arm64") asks for when a package is not installed here.
_PINNED = {"executorch": "1.5.1", "ai-edge-litert": "2.3.0"}
_MODULES = {"executorch": "executorch", "ai-edge-litert": "ai_edge_litert"}
_ARM64_PLATFORMS = tuple(f"manylinux_2_{minor}_aarch64" for minor in (17, 26, 27, 28))
_NATIVE_PARTS = (
    "executorch/lib/",
    "executorch/include/",
    "executorch/share/cmake/",
    "ai_edge_litert/libLiteRt.so",
)
_ABOUT = ("LICENSE", "RECORD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    """The native parts of both runtimes.

    Attributes:
        executorch: The package's folder; None when it is not there.
        executorch_version: Its version; empty when it is not there.
        litert: The folder with ``libLiteRt.so``; None when it is not there.
        litert_version: Its version; empty when it is not there.
        licences: Package name to the text of its licence.
    """

    executorch: Path | None
    executorch_version: str
    litert: Path | None
    litert_version: str
    licences: dict[str, str]

    def __post_init__(self) -> None:
        """Refuse a machine without any runtime."""
        if self.executorch is None and self.litert is None:
            raise DeviceError(
                "neither runtime is installed: pip install "
                + " ".join(f"{name}=={version}" for name, version in _PINNED.items())
            )


def find_runtimes(target: str) -> Runtimes:
    """Find the runtimes of a target, fetching them where the target is another machine.

    Raises:
        DeviceError: No runtime is installed, or pip cannot fetch one.
    """
    if target in ("host", "linux-x64"):
        return _installed()
    if target == "android-arm64":
        return _named()
    folders = {name: _fetched(name, _version(name) or _PINNED[name]) for name in _PINNED}
    return Runtimes(
        executorch=folders["executorch"] / "executorch",
        executorch_version=_version("executorch") or _PINNED["executorch"],
        litert=folders["ai-edge-litert"] / "ai_edge_litert",
        litert_version=_version("ai-edge-litert") or _PINNED["ai-edge-litert"],
        licences={name: _licence_in(folder) for name, folder in folders.items()},
    )


def runtime_versions(target: str) -> dict[str, str]:
    """Return package to the version that a build for a target would have; nothing is fetched."""
    if target == "linux-arm64":
        return {name: _version(name) or pinned for name, pinned in _PINNED.items()}
    found = find_runtimes(target)
    return {"executorch": found.executorch_version, "ai-edge-litert": found.litert_version}


def _named() -> Runtimes:
    """Return the runtimes for bionic, which no wheel has.

    Raises:
        DeviceError: None is named.
    """
    executorch, litert = find_executorch(), find_litert(cache_folder())
    if executorch is None and litert is None:
        raise DeviceError(
            "the target android-arm64 needs a runtime: set PFD_LITERT_ANDROID to LiteRT's AAR or "
            "PFD_EXECUTORCH_ANDROID to the install prefix of ExecuTorch's Android build"
        )
    return Runtimes(
        executorch=executorch,
        executorch_version=_PINNED["executorch"] if executorch else "",
        litert=litert,
        litert_version=_PINNED["ai-edge-litert"] if litert else "",
        licences={},
    )


def _installed() -> Runtimes:
    executorch, litert = _package_folder("executorch"), _package_folder("ai-edge-litert")
    # An executorch built without its C++ libraries, or for an older release, has no use here.
    if executorch and not (executorch / "share/cmake/executorch-config.cmake").is_file():
        executorch = None
    if litert and not (litert / "libLiteRt.so").is_file():
        litert = None
    return Runtimes(
        executorch=executorch,
        executorch_version=_version("executorch") if executorch else "",
        litert=litert,
        litert_version=_version("ai-edge-litert") if litert else "",
        licences={},
    )


def _package_folder(name: str) -> Path | None:
    """Return where a package lies, without importing it."""
    spec = importlib.util.find_spec(_MODULES[name])
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _fetched(name: str, version: str) -> Path:
    """Return the unpacked native parts of a wheel for arm64, from the cache or through pip."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folder = cache_folder() / "wheels" / f"{name}-{version}-{python}-aarch64"
    if _is_whole(folder):
        return folder
    with make_alone(folder.parent) as temporary:
        if not _is_whole(folder):  # another process may have been faster
            wheel = _download(f"{name}=={version}", temporary)
            _unpack(wheel, temporary / "unpacked")
            replace_folder(temporary / "unpacked", folder)
    return folder


def _is_whole(folder: Path) -> bool:
    """Tell whether every native part that the wheel's own list names is there as it was."""
    try:
        (record,) = folder.glob("*.dist-info/RECORD")
        rows = list(csv.reader(record.read_text(encoding="utf-8").splitlines()))
        return all(
            _digest(folder / name) == digest
            for name, digest, _ in rows
            if name.startswith(_NATIVE_PARTS)
        )
    except (OSError, ValueError):
        return False


def _digest(path: Path) -> str:
    """Return a file's hash as a wheel's list has it."""
    digest = base64.urlsafe_b64encode(bytes.fromhex(sha256_file(path))).rstrip(b"=")
    return f"sha256={digest.decode()}"


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder)]
    for platform in _ARM64_PLATFORMS:
        command += ["--platform", platform]
    done = subprocess.run(
        [*command, requirement],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise DeviceError(
            f"pip cannot fetch {requirement} for aarch64: {said[-1] if said else 'no wheel'}; "
            "check the network and that pip is installed, then call again"
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            about = ".dist-info/" in name and name.rpartition("/")[2].startswith(_ABOUT)
            if name.startswith(_NATIVE_PARTS) or about:
                archive.extract(name, folder)


def _licence_in(folder: Path) -> str:
    found = sorted(folder.glob("*.dist-info/**/LICENSE*"))
    return found[0].read_text(encoding="utf-8", errors="replace") if found else ""
