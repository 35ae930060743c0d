"""The Debian packages that the virtual phone is made of, fetched without root, never installed.

apt runs with every state and cache folder of its own, so that the machine's package lists, keys
in use and installed packages are neither read for decisions nor changed. Where to fetch from is
taken from the machine's own apt configuration: its Debian source with another suite in place of
its own. apt verifies each list and package against the Debian keyring as always.

The unpacked sets stay in the cache (``PFD_CACHE_DIR``, by default ``~/.cache/pfd-mobile``).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from android_bench.errors import VirtualPhoneError
from android_bench.native_build.cache import cache_folder as bench_cache_folder
from pfd_models.operating_system import lock_file

__all__ = ["ADB", "EMULATOR", "USERLAND", "PackageSet", "cache_folder", "unpacked"]

_SUITES = (
    *("bullseye", "bookworm", "trixie", "forky", "sid"),
    *("oldoldstable", "oldstable", "stable", "testing", "unstable"),
)
_FIELDS = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)|$(SIGNED_BY)"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_APT_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSet:
    """Packages that are unpacked into one folder.

    Attributes:
        name: Of the folder in the cache, with what must change when the content does.
        suite: Debian's code name.
        architecture: As Debian names it.
        packages: Names, without their dependencies.
        keep: What stays in the cache, as paths and patterns below the folder.
        with_dependencies: Whether everything they depend on is unpacked too.
    """

    name: str
    suite: str
    architecture: str
    packages: tuple[str, ...]
    keep: tuple[str, ...]
    with_dependencies: bool = False


# trixie is the first Debian with adbd. Its programs start through their own dynamic loader,
# because the C library of an older machine is too old for them.
ADB = PackageSet(
    name="adb-trixie-amd64-1",
    suite="trixie",
    architecture="amd64",
    packages=("adbd", "adb"),
    keep=(
        "usr/lib/android-sdk/platform-tools/adb*",
        "usr/lib/x86_64-linux-gnu/*.so*",
        "usr/lib/x86_64-linux-gnu/android/*.so*",
        "usr/share/doc/*/copyright",
    ),
    with_dependencies=True,
)
# 7.2 reads the phone's /proc/cpuinfo; from 10 on, qemu writes its own, and the engines would
# choose kernels for another processor.
EMULATOR = PackageSet(
    name="qemu-bookworm-amd64-1",
    suite="bookworm",
    architecture="amd64",
    packages=("qemu-user-static",),
    keep=("usr/bin/qemu-aarch64-static", "usr/share/doc/*/copyright"),
)
# Static programs only: like a real phone, the virtual one has no glibc of its own.
USERLAND = PackageSet(
    name="userland-trixie-arm64-1",
    suite="trixie",
    architecture="arm64",
    packages=("busybox-static", "mksh"),
    keep=(
        "usr/bin/busybox",
        "usr/lib/aarch64-linux-musl/bin/mksh",
        "usr/share/doc/*/copyright",
    ),
)


def cache_folder() -> Path:
    """Return the folder where everything fetched is kept, made when missing."""
    folder = bench_cache_folder() / "virtual-phone"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VirtualPhoneError(
            f"cannot make the cache folder {folder}: {(error.strerror or str(error)).lower()}; "
            f"name another in PFD_CACHE_DIR"
        ) from error
    return folder.resolve()


def unpacked(wanted: PackageSet) -> Path:
    """Return the folder that holds the unpacked packages, fetched when it is not there yet.

    Two processes that want the same set wait for each other; a folder that exists is complete.

    Raises:
        VirtualPhoneError: apt or a Debian source is missing, or the download failed.
    """
    cache = cache_folder()
    folder = cache / wanted.name
    if folder.is_dir():
        return folder
    with _locked(cache / f"{wanted.name}.lock"):
        if folder.is_dir():
            return folder
        for program in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(program) is None:
                raise VirtualPhoneError(
                    f"the virtual phone is made of Debian packages and {program} is missing: "
                    f"use a Debian machine, or a container of one"
                )
        with tempfile.TemporaryDirectory(prefix=f".{wanted.name}.", dir=cache) as work:
            everything, kept = Path(work) / "everything", Path(work) / "kept"
            for package in _downloaded(wanted, Path(work)):
                _checked(["dpkg-deb", "-x", str(package), str(everything)], wanted)
            for pattern in wanted.keep:
                _keep(everything, kept, pattern, wanted)
            kept.rename(folder)
    return folder


def _keep(source: Path, target: Path, pattern: str, wanted: PackageSet) -> None:
    """Copy what a pattern matches to the same place below another folder, links as links."""
    matches = list(source.glob(pattern))
    if not matches:
        raise VirtualPhoneError(
            f"Debian's {', '.join(wanted.packages)} ({wanted.suite}) no longer hold {pattern}: "
            f"report this with the output of `apt-cache policy {wanted.packages[0]}`"
        )
    for match in matches:
        place = target / match.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(match, place, follow_symlinks=False)


def _downloaded(wanted: PackageSet, work: Path) -> list[Path]:
    """Fetch the set's packages with apt, using only folders below ``work``."""
    site, keyring = _debian_source()
    parts, archives = work / "sources", work / "archives"
    for folder in (parts, archives / "partial", work / "lists" / "partial", work / "cache"):
        folder.mkdir(parents=True)
    (work / "status").touch()
    (parts / "debian.sources").write_text(
        f"Types: deb\nURIs: {site}\nSuites: {wanted.suite}\nComponents: main\n"
        f"Architectures: {wanted.architecture}\nSigned-By: {keyring}\n"
    )
    options = {
        "Dir::State": work,
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Dir::Cache::archives": archives,
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": parts,
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "APT::Architecture": wanted.architecture,
        "APT::Sandbox::User": "root",  # the cache is ours alone, and not readable by apt's user
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
    }
    # A list replaces the machine's own only after it was cleared.
    settings = ["#clear APT::Architectures;", f'APT::Architectures {{ "{wanted.architecture}"; }};']
    settings += [f'{key} "{value}";' for key, value in options.items()]
    (work / "apt.conf").write_text("\n".join(settings) + "\n")
    apt = ["apt-get", "-qq", "-y", "-c", str(work / "apt.conf")]
    _checked([*apt, "update"], wanted)
    if wanted.with_dependencies:
        fetch = ["install", "--download-only", "--no-install-recommends"]
    else:
        fetch = ["download"]
    _checked([*apt, *fetch, *wanted.packages], wanted, folder=archives)
    packages = sorted(archives.glob("*.deb"))
    if len(packages) < len(wanted.packages):
        raise VirtualPhoneError(
            f"apt fetched {len(packages)} of {', '.join(wanted.packages)} ({wanted.suite}): "
            f"look at `apt-get update`'s output on this machine and try again"
        )
    return packages


def _debian_source() -> tuple[str, str]:
    """Return the URI of the machine's Debian source and the keyring that signs it."""
    named = os.environ.get("PFD_DEBIAN_MIRROR")
    site = named
    if site is None:
        found = subprocess.run(
            ["apt-get", "indextargets", "--format", _FIELDS, "Created-By: Packages"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        for line in found.stdout.splitlines():
            uri, suite, component, origin, *_ = line.split("|")
            # The origin is known only after an `apt-get update`; a code name always is.
            if component == "main" and suite in _SUITES and origin in ("Debian", "", "$(ORIGIN)"):
                site = uri
                break
    if site is None:
        raise VirtualPhoneError(
            "apt on this machine has no Debian source to fetch the virtual phone from: use a "
            "Debian machine, or set PFD_DEBIAN_MIRROR to the address of a Debian mirror"
        )
    if not Path(_KEYRING).is_file():
        raise VirtualPhoneError(
            f"{_KEYRING} is missing, so nothing fetched could be trusted: "
            f"apt-get install debian-archive-keyring"
        )
    return site, _KEYRING


def _checked(command: list[str], wanted: PackageSet, *, folder: Path | None = None) -> None:
    """Run one command of apt or dpkg; its last line of complaint becomes the error."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_APT_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.TimeoutExpired as error:
        raise VirtualPhoneError(
            f"fetching {', '.join(wanted.packages)} took more than {_APT_TIMEOUT_S} s: "
            f"check the network and try again"
        ) from error
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        reason = (words or done.stderr.splitlines() or ["no reason given"])[-1].strip()
        raise VirtualPhoneError(
            f"cannot fetch {', '.join(wanted.packages)} from Debian {wanted.suite}: {reason} "
            f"(check the network and apt's sources, then try again)"
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that ends with this process at the latest."""
    with path.open("a") as file:
        lock_file(file.fileno())
        yield
