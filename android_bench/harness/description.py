"""What a harness says of itself: its version, its machine, its engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from android_bench.harness import wire
from android_bench.harness.process import Launcher, run_here
from android_bench.native_build.build import PROTOCOL, source_version
from pfd_models.errors import DeviceError, InputError, unknown
from pfd_models.plain_data import decode_json

__all__ = ["PATIENCE_S", "EngineInfo", "Harness", "describe"]

PATIENCE_S = 30.0
"""How much longer the host waits than the harness, which stops itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """One engine as the harness describes it.

    Attributes:
        name: What a `Job` calls it.
        version: Of its runtime.
        suffixes: Of the files it runs, as ``.pte``.
        libraries: Files that must lie beside the harness.
        unavailable: Why it cannot run there; empty when it can.
    """

    name: str
    version: str
    suffixes: tuple[str, ...]
    libraries: tuple[str, ...]
    unavailable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """A harness that answered and is of this host's version.

    Attributes:
        command: What starts it.
        launch: What runs a command there.
        version: Of its sources.
        target: What it was built for.
        machine: The machine's name, as ``aarch64``.
        engines: What it can run.
    """

    command: tuple[str, ...]
    launch: Launcher
    version: str
    target: str
    machine: str
    engines: tuple[EngineInfo, ...]

    def engine(self, name: str) -> EngineInfo:
        """Return an engine that can run.

        Raises:
            InputError: There is none of that name.
            DeviceError: It cannot run there.
        """
        for engine in self.engines:
            if engine.name == name:
                if engine.unavailable:
                    raise DeviceError(f"engine {name} cannot run: {engine.unavailable}")
                return engine
        raise InputError(unknown("engine", name, [e.name for e in self.engines]))

    def engine_for(self, file: str) -> EngineInfo:
        """Return the engine that runs files of this suffix.

        Raises:
            InputError: There is none.
            DeviceError: It cannot run there.
        """
        suffix = PurePath(file).suffix
        for engine in self.engines:
            if suffix in engine.suffixes:
                return self.engine(engine.name)
        known = sorted({s for e in self.engines for s in e.suffixes})
        raise InputError(unknown("suffix", suffix, known, owner=file))


def describe(command: Sequence[str], *, launch: Launcher = run_here) -> Harness:
    """Ask a harness what it is, and refuse one of other sources than this host's.

    Args:
        command: What starts it, as ``["/path/pfd_bench"]``, or a loader before it.
        launch: What runs a command where it lies.

    Raises:
        DeviceError: It does not run, does not answer, or is of another version.
    """
    lines: list[str] = []
    ended = launch([*command, "--describe"], timeout_s=PATIENCE_S, on_line=lines.append)
    try:
        said = decode_json(wire.Describe, lines[0] if lines else "", what="it", strict=False)
    except InputError as error:
        last = (ended.stderr.strip().splitlines() or lines or ["nothing"])[-1]
        raise DeviceError(
            f"{command[-1]} does not answer --describe (status {ended.status}): {last[:200]!r}; "
            "build it again with python -m android_bench.native_build"
        ) from error
    if said.version != source_version() or said.protocol != PROTOCOL:
        raise DeviceError(
            f"{command[-1]} is version {said.version[:40]!r} and this host is {source_version()}: "
            "build it again with python -m android_bench.native_build"
        )
    return Harness(
        command=tuple(command),
        launch=launch,
        version=said.version,
        target=said.target,
        machine=said.machine,
        engines=tuple(
            EngineInfo(
                name=engine.name,
                version=engine.version,
                suffixes=engine.suffixes,
                libraries=engine.libraries,
                unavailable=engine.unavailable,
            )
            for engine in said.engines
        ),
    )
