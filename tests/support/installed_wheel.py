"""The project as a user has it: its wheel, installed in an environment that knows no checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from extra_environment import unavailable

__all__ = ["Installed", "installed", "run"]

PACKAGES = ("pfd_models", "export", "android_bench")


def run(command, **more):
    """Run a program that must succeed, without the tests' own module path; return what it said."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    environment |= more.pop("env", {})
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, check=False, env=environment, **more,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Installed:
    """An environment's folder, and the wheel that was installed there."""

    folder: Path
    wheel: Path

    @property
    def python(self):
        return self.folder / "bin/python"

    def program(self, name):
        return self.folder / "bin" / name

    def install(self, wheel):
        run([sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet",
             "--no-deps", "--no-index", wheel])  # fmt: skip

    @property
    def modules(self):
        """Names of all modules in the wheel but those that are programs."""
        with zipfile.ZipFile(self.wheel) as archive:
            files = [Path(name) for name in archive.namelist() if name.endswith(".py")]
        parts = [path.with_suffix("").parts for path in files if path.name != "__main__.py"]
        return sorted(".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts)


def _make(repository, folder):
    source = folder / "source"  # setuptools leaves its own files beside pyproject.toml
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(repository / name, source / name)
    for name in PACKAGES:
        shutil.copytree(
            repository / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    if int(metadata.version("setuptools").partition(".")[0]) < 77:
        unavailable("setuptools is older than the 77 that pyproject.toml asks for")
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--wheel-dir", folder / "wheels", source])  # fmt: skip
    shutil.rmtree(source)
    run([sys.executable, "-m", "venv", "--without-pip", folder / "environment"])


@pytest.fixture(scope="session")
def installed(make_once, repository):
    """The wheel in an environment of its own, whose dependencies are those of this one."""

    def fill(folder):
        _make(repository, folder)
        (wheel,) = (folder / "wheels").iterdir()
        made = Installed(folder=folder / "environment", wheel=wheel)
        made.install(wheel)
        # Only now: pip must not find an installation of ours among the dependencies. A path
        # file in a folder that is named here is not read, so the checkout stays unknown.
        places = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
        inside = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        (made.folder / inside / "dependencies.pth").write_text("\n".join(sorted(places)) + "\n")

    folder = make_once("installed_wheel", fill)
    (wheel,) = (folder / "wheels").iterdir()
    return Installed(folder=folder / "environment", wheel=wheel)
