"""Write the prebuilt harness, for Linux x86-64 and for phones, into the wheel pfd-mobile-device.

The wheel is for machines without a compiler; android_bench/native_build/prebuilt.py takes it when
it was made of the sources that are installed there. PyPI's packages make it: `pip install
'pfd-mobile[device]'` brings the compiler (zig) and ninja, and the same sources give the same wheel,
byte by byte, wherever it is made on Linux x86-64. What no package of PyPI has, the glibc that goes
to the phone, comes from Debian's packages for arm64, fetched with apt and not installed, or from an
earlier wheel.

Examples:
    python tools/build_device_bundle.py --out dist
    python tools/build_device_bundle.py --out dist --libraries old/pfd_mobile_device-*.whl
    python tools/build_device_bundle.py --out dist --compiler gcc  # of Debian
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from android_bench.arm_cost.building import make_counter, prebuilt_name
from android_bench.native_build.build import Built, build_harness
from android_bench.native_build.bundle import LOADER
from android_bench.native_build.prebuilt import PACKAGE, PREBUILT
from android_bench.native_build.record import BuildRecord
from android_bench.native_build.toolchain import find_toolchain
from android_bench.native_build.zig import DeviceLibraries, find_zig
from android_bench.virtual_phone.packages import PackageSet, unpacked
from export.sets.files import sha256_file
from pfd_models.errors import DeviceError, InputError, PfdError
from pfd_models.plain_data import decode_json

LARGEST_BYTES = 25_000_000

# A zip file's earliest second, and no other: the wheel is the same whenever it is made.
EPOCH = "315532800"

# glibc 2.36: what ExecuTorch's and LiteRT's libraries for aarch64 need, and what they need in turn.
LIBRARIES = PackageSet(
    name="glibc-bookworm-arm64-1",
    suite="bookworm",
    architecture="arm64",
    packages=("libc6", "libstdc++6", "libgcc-s1", "gcc-12-base", "base-files"),
    keep=(
        f"lib/aarch64-linux-gnu/{LOADER}",
        "lib/aarch64-linux-gnu/lib[cm].so.6",
        "lib/aarch64-linux-gnu/libdl.so.2",
        "lib/aarch64-linux-gnu/libpthread.so.0",
        "lib/aarch64-linux-gnu/librt.so.1",
        "lib/aarch64-linux-gnu/libgcc_s.so.1",
        "usr/lib/aarch64-linux-gnu/libstdc++.so.6*",
        "usr/share/doc/libc6/copyright",
        "usr/share/doc/gcc-12-base/copyright",
        "usr/share/common-licenses/GPL-3",
        "usr/share/common-licenses/LGPL-2.1",
    ),
)

REPOSITORY = Path(__file__).parent.parent

# What Debian's cross compiler brings; its packages have the texts, or say where they are.
TEXTS = {
    "pfd-mobile": (REPOSITORY / "LICENSE",),
    "glibc": (
        Path("/usr/share/doc/libc6-arm64-cross/copyright"),
        Path("/usr/share/common-licenses/LGPL-2.1"),
    ),
    "gcc": (
        Path("/usr/share/doc/libgcc-s1-arm64-cross/copyright"),
        Path("/usr/share/common-licenses/GPL-3"),
    ),
}

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "pfd-mobile-device"
version = "{version}"
description = "The prebuilt harness of pfd-mobile, version {harness} of its sources"
license = "{licence}"
license-files = ["{package}/*/licences/*"]

[tool.setuptools]
packages = ["{package}"]

[tool.setuptools.package-data]
{package} = ["*/**"]
"""


@contextlib.contextmanager
def open_libraries(wheel: Path | None) -> Iterator[DeviceLibraries]:
    """Give the libraries of Debian, or those of an earlier wheel, in a folder.

    Raises:
        InputError: The wheel holds none.
        VirtualPhoneError: Debian's packages cannot be fetched.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if wheel is not None:
            texts = _unpack_libraries(wheel, folder)
        else:
            root = unpacked(LIBRARIES)
            for name in ("lib", "usr/lib"):
                for path in (root / name / "aarch64-linux-gnu").iterdir():
                    shutil.copyfile(path, folder / path.name)
            share = root / "usr/share"
            texts = {
                "glibc": _join(share / "doc/libc6/copyright", share / "common-licenses/LGPL-2.1"),
                "gcc": _join(share / "doc/gcc-12-base/copyright", share / "common-licenses/GPL-3"),
            }
        yield DeviceLibraries(folder=folder, licence_texts=texts)


_SYSTEM = ("glibc", "gcc")  # origins of what a phone's bundle takes from the system


def _unpack_libraries(wheel: Path, folder: Path) -> dict[str, str]:
    place = f"{PACKAGE}/{PREBUILT['linux-arm64']}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            record = decode_json(
                BuildRecord,
                archive.read(f"{place}/build.json"),
                what=str(wheel),
                error=InputError,
            )
            for file in record.bundle.files:
                if file.origin in _SYSTEM:
                    (folder / file.file).write_bytes(archive.read(f"{place}/{file.file}"))
            texts = record.bundle.licence_texts
            return {name: archive.read(f"{place}/{texts[name]}").decode() for name in _SYSTEM}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{wheel} is no wheel of pfd-mobile-device: {error}") from error


def _join(*paths: Path) -> str:
    return "\n\n".join(path.read_text(encoding="utf-8") for path in paths)


def add_bundle(built: Built, package: Path, system_texts: Mapping[str, str]) -> set[str]:
    """Copy one target's files, with a licence text for each package that they come from.

    Args:
        built: The target.
        package: The module's folder, which gets one for the target.
        system_texts: Package to licence, of what a phone's bundle takes from the system.

    Returns:
        The licences, as SPDX expressions.

    Raises:
        DeviceError: A licence's text is not found.
    """
    folder = package / built.target
    shutil.copytree(built.folder, folder)
    texts = dict(built.bundle.licence_texts)
    (folder / "licences").mkdir(exist_ok=True)
    for origin in sorted({file.origin for file in built.bundle.files} - set(texts)):
        try:
            text = system_texts.get(origin) or _join(*TEXTS[origin])
        except (OSError, KeyError) as error:
            raise DeviceError(f"no licence text for {origin}: {error}") from error
        texts[origin] = f"licences/{origin}.txt"
        (folder / texts[origin]).write_text(text, encoding="utf-8")
    bundle = dataclasses.replace(built.bundle, licence_texts=texts)
    dataclasses.replace(built.record, bundle=bundle).save(folder)
    return {file.licence for file in built.bundle.files}


def build_targets(
    compiler: str, wheel: Path | None
) -> tuple[list[Built], Mapping[str, str], set[str]]:
    """Build each target that is not in the cache.

    Returns:
        The builds; package to licence text, of what the phone's takes from the system; licences
        of what the compiler adds.

    Raises:
        InputError: The earlier wheel holds no libraries.
        DeviceError: A compiler is missing or failed.
    """
    targets = sorted(PREBUILT.values())
    if compiler == "gcc":
        return [build_harness(t, toolchain=find_toolchain(t)) for t in targets], {}, set()
    with open_libraries(wheel) as libraries:
        builds = [build_harness(t, toolchain=find_zig(t, libraries)) for t in targets]
    return builds, libraries.licence_texts, {"Apache-2.0 WITH LLVM-exception", "MIT"}


def find_c_compilers(compiler: str) -> tuple[list[str | Path], list[str | Path]]:
    """Return how C is compiled for this computer and for a phone: what pfd-arm counts with."""
    if compiler == "gcc":
        return ["gcc"], [find_toolchain("linux-arm64").compiler]
    here, phone = (find_zig(target) for target in ("linux-x64", "linux-arm64"))
    # The headers of glibc and of the kernel, which zig leaves out where no C library is linked.
    folder = here.compiler.parent / "lib/libc/include"
    names = ("aarch64-linux-gnu", "generic-glibc", "aarch64-linux-any", "any-linux-any")
    headers = [f"-I{folder / name}" for name in names]
    return (
        [here.compiler, "cc", *here.compiler_arguments[1:], "-s"],
        [phone.compiler, "cc", *phone.compiler_arguments[1:], "-s", *headers],
    )


def make_wheel(out: Path, *, compiler: str = "zig", libraries: Path | None = None) -> Path:
    """Build what is not in the cache, and write the wheel.

    Args:
        out: A folder.
        compiler: ``zig``, of PyPI, or ``gcc``, of Debian.
        libraries: An earlier wheel to take a phone's glibc from, with zig.

    Raises:
        InputError: The earlier wheel holds no libraries.
        DeviceError: A compiler or a licence's text is missing, setuptools failed, or the wheel
            is larger than `LARGEST_BYTES`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary) / "project"
        package = project / PACKAGE
        package.mkdir(parents=True)
        (package / "__init__.py").write_text('"""The prebuilt harness of pfd-mobile."""\n')
        builds, texts, licences = build_targets(compiler, libraries)
        counter = package / prebuilt_name()
        counter.mkdir()
        make_counter(counter, *find_c_compilers(compiler))
        licences = licences.union(*(add_bundle(built, package, texts) for built in builds))
        text = PROJECT.format(
            version=metadata.version("pfd-mobile"),
            harness=builds[0].version,
            licence=" AND ".join(sorted(licences)),
            package=PACKAGE,
        )
        (project / "pyproject.toml").write_text(text)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command += ["--no-build-isolation", "--no-index", "--wheel-dir", temporary, str(project)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise DeviceError(f"pip cannot make the wheel: {lines[-1] if lines else 'no reason'}")
        (wheel,) = Path(temporary).glob("*.whl")
        if (size := wheel.stat().st_size) > LARGEST_BYTES:
            raise DeviceError(f"{wheel.name} has {size / 1e6:.1f} MB, of 25 MB at most")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(wheel, out / wheel.name))


def main() -> int:
    """Parse the command line, make the wheel, say where it is and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("dist"), help="a folder (default: dist)")
    parser.add_argument(
        "--compiler", choices=("zig", "gcc"), default="zig", help="PyPI's ziglang, or Debian's g++"
    )
    parser.add_argument(
        "--libraries", type=Path, metavar="WHEEL", help="take the phone's glibc from an earlier one"
    )
    options = parser.parse_args()
    os.umask(0o022)  # a file's mode is part of the wheel
    try:
        wheel = make_wheel(options.out, compiler=options.compiler, libraries=options.libraries)
    except PfdError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    print(f"{wheel}, {wheel.stat().st_size / 1e6:.1f} MB, sha256 {sha256_file(wheel)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
