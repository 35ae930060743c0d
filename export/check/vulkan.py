"""The Vulkan drivers that LiteRT's GPU engine can run on: a GPU's own, or one in software.

SwiftShader is a Vulkan driver in software; Chromium and Chrome bring it along. Mesa's lavapipe
lacks dynamic indexing of uniform arrays, which the engine needs (with Mesa 22.3), so it is passed
over.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pfd_models.errors import DeviceError

__all__ = ["Driver", "find_drivers", "vulkan_environment"]

_SOFTWARE = "libvk_swiftshader.so"
_LOADER = "libvulkan.so.1"
# Where Debian, Ubuntu, Fedora, Google's Chrome and Playwright put Chromium's libraries.
_BROWSERS = (
    "usr/lib/chromium",
    "usr/lib/chromium-browser",
    "usr/lib64/chromium-browser",
    "opt/google/chrome",
    "root/.cache/ms-playwright/chromium-*/chrome-linux*",
    "home/*/.cache/ms-playwright/chromium-*/chrome-linux*",
)
_LOADERS = ("usr/lib/*-linux-gnu", "usr/lib64", "usr/lib")
_ICD_FOLDERS = ("usr/share/vulkan/icd.d", "etc/vulkan/icd.d", "usr/local/share/vulkan/icd.d")
_GPU_NODES = ("dev/dri/renderD*", "dev/nvidia[0-9]*", "dev/mali*", "dev/kgsl-3d0")
_CHOSEN = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A Vulkan driver.

    Attributes:
        name: For the reader.
        library: Of a driver in software, the library; None where the system's loader finds it.
        loader: Folder of ``libvulkan.so.1``; None where the system finds it.
    """

    name: str
    library: Path | None = None
    loader: Path | None = None


def find_drivers(
    root: Path = Path("/"), environment: Mapping[str, str] | None = None
) -> tuple[Driver, ...]:
    """Return the drivers to try, a GPU's own first; what the user chose alone, where he did.

    Args:
        root: Of the file system.
        environment: Of this process by default.

    Raises:
        DeviceError: There is none, or the user's choice is not there; the line says what to do.
    """
    environment = os.environ if environment is None else environment
    loader = next(_glob(root, [f"{folder}/{_LOADER}" for folder in _LOADERS]), None)
    if chosen := [name for name in _CHOSEN if environment.get(name)]:
        files = [name for name in environment[chosen[0]].split(os.pathsep) if name]
        if not any(Path(name).exists() for name in files):
            raise DeviceError(
                f"{chosen[0]} names {', '.join(files)}, which is not there: give the .json file of "
                "a Vulkan driver, or unset it for the driver that is installed"
            )
        # An ICD file names the driver alone; what reads it may be a browser's too.
        others = _glob(root, [f"{folder}/{_LOADER}" for folder in _BROWSERS])
        beside = None if loader else next((other.parent for other in others), None)
        return (Driver(name=f"as {chosen[0]} says", loader=beside),)
    found = []
    icds = _glob(root, [f"{folder}/*.json" for folder in _ICD_FOLDERS])
    real = [icd for icd in icds if "lvp" not in icd.name]
    if real and loader and next(_glob(root, _GPU_NODES), None):
        found.append(Driver(name=f"the GPU's own ({real[0].stem})"))
    for library in _glob(root, [f"{folder}/{_SOFTWARE}" for folder in _BROWSERS]):
        beside = library.parent if (library.parent / _LOADER).exists() else None
        if beside or loader:
            driver = Driver(name="SwiftShader, in software", library=library, loader=beside)
            found.append(driver)
            break
    if not found:
        raise DeviceError(
            "LiteRT's GPU engine needs a Vulkan driver and there is none: install your GPU's, or "
            "one in software (Debian: apt-get install chromium-common), or name one's ICD file in "
            "VK_ICD_FILENAMES"
        )
    return tuple(found)


@contextlib.contextmanager
def vulkan_environment(driver: Driver) -> Iterator[dict[str, str]]:
    """Give the environment of a process that is to use a driver, while files it names exist."""
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="pfd-vulkan-") as name:
        folder = Path(name)
        if driver.library is not None:
            icd = folder / "driver.json"
            entry = {"library_path": str(driver.library), "api_version": "1.0.5"}
            icd.write_text(json.dumps({"file_format_version": "1.0.0", "ICD": entry}))
            environment["VK_ICD_FILENAMES"] = str(icd)
        if driver.loader is not None:
            # The loader alone: its folder may hold a browser's libraries of common names.
            (folder / _LOADER).symlink_to(driver.loader / _LOADER)
            paths = [str(folder), environment.get("LD_LIBRARY_PATH", "")]
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, paths))
        yield environment


def _glob(root: Path, patterns: tuple[str, ...] | list[str]) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(root.glob(pattern))
