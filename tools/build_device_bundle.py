"""Write the prebuilt harness, for Linux x86-64 and for phones, into the wheel pfd-mobile-device.

The wheel is for machines without a compiler; android_bench/native_build/prebuilt.py takes it when
it was made of the sources that are installed there. Made on Debian or Ubuntu, x86-64, with g++ and
g++-aarch64-linux-gnu.

Example:
    python tools/build_device_bundle.py --out dist
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from android_bench.native_build.build import Built, build_harness
from android_bench.native_build.prebuilt import PACKAGE, PREBUILT
from pfd_models.errors import DeviceError, PfdError

LARGEST_BYTES = 25_000_000

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


def add_bundle(built: Built, package: Path) -> set[str]:
    """Copy one target's files, with a licence text for each package that they come from.

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
            text = "\n\n".join(path.read_text(encoding="utf-8") for path in TEXTS[origin])
        except (OSError, KeyError) as error:
            raise DeviceError(f"no licence text for {origin}: {error}") from error
        texts[origin] = f"licences/{origin}.txt"
        (folder / texts[origin]).write_text(text, encoding="utf-8")
    bundle = dataclasses.replace(built.bundle, licence_texts=texts)
    dataclasses.replace(built.record, bundle=bundle).save(folder)
    return {file.licence for file in built.bundle.files}


def make_wheel(out: Path) -> Path:
    """Build what is not in the cache, and write the wheel.

    Raises:
        DeviceError: A compiler or a licence's text is missing, setuptools failed, or the wheel
            is larger than `LARGEST_BYTES`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary) / "project"
        package = project / PACKAGE
        package.mkdir(parents=True)
        (package / "__init__.py").write_text('"""The prebuilt harness of pfd-mobile."""\n')
        builds = [build_harness(target) for target in sorted(PREBUILT.values())]
        licences = set[str]().union(*(add_bundle(built, package) for built in builds))
        text = PROJECT.format(
            version=metadata.version("pfd-mobile"),
            harness=builds[0].version,
            licence=" AND ".join(sorted(licences)),
            package=PACKAGE,
        )
        (project / "pyproject.toml").write_text(text)
        # Nothing of it is compiled for one Python, but it runs on one kind of computer.
        (project / "setup.cfg").write_text("[bdist_wheel]\nplat_name = linux_x86_64\n")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command += ["--no-build-isolation", "--no-index", "--wheel-dir", temporary, str(project)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
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
    options = parser.parse_args()
    try:
        wheel = make_wheel(options.out)
    except PfdError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    print(f"{wheel}, {wheel.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
