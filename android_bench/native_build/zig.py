"""PyPI's `ziglang` as the compiler: C++ for phones and computers, without a distribution's.

It brings C++ headers and a C++ runtime of its own (LLVM's libc++), which it links statically, and
knows the symbols of every glibc; the C library itself it does not bring. What goes to a phone gets
one from elsewhere: `DeviceLibraries`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from android_bench.native_build.toolchain import Toolchain, find_cmake
from pfd_models.errors import DeviceError

__all__ = ["DeviceLibraries", "find_zig"]

# The oldest glibc that the program runs on: the bundle brings 2.36; other people's computers
# have Debian 11's 2.31 or a newer one (gettid is of 2.30).
_MACHINES = {"linux-arm64": "aarch64-linux-gnu.2.34", "linux-x64": "x86_64-linux-gnu.2.31"}

_FLAGS = (
    # std::variant as GCC's library lays it out: both sides read one in a header of ExecuTorch's.
    "-D_LIBCPP_ABI_VARIANT_INDEX_TYPE_OPTIMIZATION",
    "-fno-sanitize=undefined",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLibraries:
    """The glibc, libstdc++ and libgcc that travel with a program to a phone.

    Attributes:
        folder: The libraries, each under the name that a loader asks for.
        licence_texts: ``glibc`` and ``gcc`` to their texts.
    """

    folder: Path
    licence_texts: Mapping[str, str]


def find_zig(target: str, libraries: DeviceLibraries | None = None) -> Toolchain:
    """Return what a target is built with when nothing but Python packages is there.

    Args:
        target: ``linux-arm64`` or ``linux-x64``.
        libraries: What a bundle takes from outside; needed for ``linux-arm64``.

    Raises:
        DeviceError: A package is missing.
    """
    spec = importlib.util.find_spec("ziglang")
    places = list(spec.submodule_search_locations or ()) if spec else []
    program = Path(places[0]) / "zig" if places else None
    if program is None or shutil.which(program) is None:
        raise DeviceError("there is no ziglang: pip install 'pfd-mobile[device]'")
    machine = _MACHINES[target]
    return Toolchain(
        target=target,
        cmake=find_cmake(),
        compiler=program,
        compiler_arguments=("c++", "-target", machine),
        compiler_version=f"ziglang {importlib.metadata.version('ziglang')}",
        compiler_target=machine,
        library_folder=libraries.folder if libraries else None,
        options=(
            f"-DCMAKE_CXX_FLAGS={' '.join(_FLAGS)}",
            *(f"-DCMAKE_{kind}_LINKER_FLAGS=-s" for kind in ("EXE", "MODULE", "SHARED")),
            *_generator(),
        ),
        licence_texts=_licence_texts(program.parent),
    )


def _generator() -> tuple[str, ...]:
    """Return how CMake runs the compiler: PyPI's ninja, so that no make need be there."""
    if importlib.util.find_spec("ninja"):
        # Where it lies depends on its version; an environment's programs need not be on PATH.
        folder = Path(importlib.import_module("ninja").BIN_DIR)
        if found := shutil.which(folder / "ninja") or shutil.which("ninja"):
            return ("-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={found}")
    if shutil.which("make"):
        return ()
    raise DeviceError("there is neither ninja nor make: pip install 'pfd-mobile[device]'")


def _licence_texts(package: Path) -> dict[str, str]:
    """Return the texts of what is linked into every program."""
    places = {"libc++": package / "lib/libcxx/LICENSE.TXT", "zig": package / "LICENSE"}
    return {name: place.read_text(encoding="utf-8") for name, place in places.items()}
