"""Every step of a run on a phone, tried one by one, each with a line fit for a bug report.

A step that fails ends the list where the later ones need it: a phone that cannot be reached can
tell nothing more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from android_bench.campaign.contest import BenchFile
from android_bench.campaign.reference_files import write_reference
from android_bench.devices.cpu_choice import choose_cpus, describe_mask
from android_bench.devices.phone.cache import ROOT
from android_bench.devices.phone.choice import open_transport
from android_bench.devices.phone.device import TARGET, PhoneDevice, phone_device
from android_bench.devices.phone.discovery import describe_phone
from android_bench.devices.phone.profile import PhoneProfile, read_profile
from android_bench.devices.phone.readiness import find_issues, require_abi
from android_bench.devices.phone.state import read_state
from android_bench.harness.client import run_block, verify
from android_bench.harness.job import Job, Schedule
from android_bench.harness.result import Status
from android_bench.native_build.build import source_version
from android_bench.report.wording import milliseconds
from android_bench.transports import Transport, delivery, detached
from export.sets.manifest import PARITY_LIMIT
from pfd_models.errors import DeviceError, PfdError

__all__ = ["Step", "examine"]

_PROBE_BYTES = 4 << 20
_SHORT = Schedule(
    iterations=5, warmup_iterations=2, warmup_seconds=0.0, max_seconds=10.0, timeout_seconds=120.0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How one step ended.

    Attributes:
        name: What was tried.
        detail: What was found, or what went wrong.
        exit_status: 0 where it worked, else that of the error's class.
    """

    name: str
    detail: str
    exit_status: int = 0

    @property
    def line(self) -> str:
        """The step as one line."""
        return f"{'ok    ' if not self.exit_status else 'FAILED'} {self.name}: {self.detail}"


@dataclass(slots=True)
class _Visit:
    """What is known of the phone so far; each step adds to it."""

    serial: str
    target: str
    files: Callable[[], tuple[BenchFile, ...]]
    opened: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    transport: Transport | None = None
    profile: PhoneProfile | None = None
    device: PhoneDevice | None = None

    @property
    def link(self) -> Transport:
        """The connection, once there is one."""
        assert self.transport is not None
        return self.transport


def examine(
    serial: str, files: Callable[[], tuple[BenchFile, ...]], *, target: str = TARGET
) -> Iterator[Step]:
    """Try every step on a phone, yielding each as it ends; stops at the first that fails.

    Args:
        serial: As `transports.open_transport` takes it.
        files: Gives the files to run, made when they are needed.
        target: What the harness is built for.
    """
    visit = _Visit(serial=serial, target=target, files=files)
    with visit.opened:
        for check in _CHECKS:
            name = (check.__doc__ or "").rstrip(".")
            try:
                yield Step(name=name, detail=check(visit))
            except PfdError as error:
                yield Step(name=name, detail=str(error), exit_status=error.exit_status)
                return


def _describe_computer(visit: _Visit) -> str:
    """This computer."""
    adb = shutil.which("adb") or "none"
    return (
        f"{platform.system()} {platform.release()} {platform.machine()}, Python "
        f"{platform.python_version()}, adb-shell {metadata.version('adb-shell')}, adb program: "
        f"{adb}, harness {source_version()}"
    )


def _connect(visit: _Visit) -> str:
    """Connection."""
    visit.transport = open_transport(visit.serial)
    visit.opened.callback(visit.transport.close)
    return f"through {visit.transport.kind}"


def _identify(visit: _Visit) -> str:
    """What it is."""
    visit.profile = read_profile(visit.link)
    require_abi(visit.profile)
    kernel, root = visit.profile.kernel, visit.profile.root.value
    return f"{describe_phone(visit.profile)}, kernel {kernel}, root {root}"


def _find_lacks(visit: _Visit) -> str:
    """What it lacks for a good measurement."""
    assert visit.profile is not None
    issues = find_issues(visit.profile)
    return "; ".join(f"{issue.what} ({issue.advice})" for issue in issues) or "nothing"


def _try_shell(visit: _Visit) -> str:
    """Shell."""
    result = visit.link.run("echo out; echo err >&2; exit 7")
    signalled = visit.link.run("sh -c 'kill -SEGV $$'")
    found = (result.exit_code, result.stdout, result.stderr)
    if found != (7, "out\n", "err\n"):
        raise DeviceError(f"exit code, output and errors came as {found!r}: report this line")
    return f"exit codes and both outputs arrive; a crash is {signalled.exit_code}"


def _try_storage(visit: _Visit) -> str:
    """Storage."""
    delivery.require_runnable(visit.link.run, ROOT)
    free = visit.link.run(f"df -k {ROOT}").stdout.strip().splitlines()[-1]
    return f"programs run in {ROOT} ({' '.join(free.split())})"


def _send_and_fetch(visit: _Visit) -> str:
    """Files there and back."""
    content = os.urandom(_PROBE_BYTES)
    remote = f"{ROOT}/doctor-probe"
    with tempfile.TemporaryDirectory(prefix="pfd-doctor-") as folder:
        sent, back = Path(folder, "sent"), Path(folder, "back")
        sent.write_bytes(content)
        begin = time.monotonic()
        visit.link.push(sent, remote)
        pushed = time.monotonic()
        visit.link.pull(remote, back)
        pulled = time.monotonic()
        visit.link.run(f"rm -f {remote}")
        same = hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(content).digest()
    if not same:
        raise DeviceError("a file came back changed: check the cable")
    mb = _PROBE_BYTES / 1e6
    return (
        f"{mb:.1f} MB pushed at {mb / (pushed - begin):.0f} MB/s and pulled at "
        f"{mb / (pulled - pushed):.0f} MB/s, checks included"
    )


def _detach(visit: _Visit) -> str:
    """A run that outlives the connection."""
    run = detached.start(visit.link, "sleep 2; echo done")
    visit.link.close()
    visit.link.wait(30.0)
    run = detached.attach(visit.link, run.run_id)
    status, deadline = detached.poll(visit.link, run), time.monotonic() + 30
    while not status.complete and time.monotonic() < deadline:
        time.sleep(0.5)
        status = detached.poll(visit.link, run)
    detached.remove(visit.link, run)
    if (status.exit_code, status.stdout) != (0, b"done\n"):
        raise DeviceError(
            f"the run was {status.state.value} with {status.stdout!r} after the connection had "
            "been closed: report this line"
        )
    return "went on while nobody was connected, and was taken up again"


def _take_readings(visit: _Visit) -> str:
    """Readings."""
    state = read_state(visit.link)
    values = [mc for mc in state.temp_mc.values() if mc is not None]
    hottest = f"hottest {max(values) / 1000:.1f} °C" if values else "none"
    return (
        f"{len(state.temp_mc)} temperatures ({hottest}), thermal status {state.thermal_status}, "
        f"{len(state.freq_khz)} clocks, {len(state.freq_cap_khz)} frequency caps, cores online: "
        f"{','.join(map(str, state.online_cpus)) or 'not readable'}, load "
        f"{'readable' if state.ticks else 'not readable'}"
    )


def _bring_harness(visit: _Visit) -> str:
    """Harness."""
    said: list[str] = []
    visit.device = phone_device(visit.link, target=visit.target, say=said.append)
    visit.opened.callback(visit.device.close)
    bundle = visit.device.bundle
    licences = ", ".join(sorted({file.licence for file in bundle.files}))
    return (
        f"{visit.device.harness.version}, {visit.device.harness.target}, "
        f"{len(bundle.files)} files of {bundle.size_bytes / 1e6:.1f} MB ({licences}), "
        f"{len(said)} sent now"
    )


def _list_engines(visit: _Visit) -> str:
    """Engines."""
    assert visit.device is not None
    return ", ".join(
        f"{engine.name} {engine.version}"
        + (f" UNAVAILABLE: {engine.unavailable}" if engine.unavailable else "")
        for engine in visit.device.harness.engines
    )


def _choose_cores(visit: _Visit) -> str:
    """Cores to run on."""
    device = visit.device
    assert device is not None
    usable = ",".join(map(str, device.usable_cpus))
    return f"{describe_mask(choose_cpus(device, 1))} for 1 thread; its shell may use {usable}"


def _run_networks(visit: _Visit) -> str:
    """Networks."""
    device, parts = visit.device, []
    assert device is not None
    known = {suffix for engine in device.harness.engines for suffix in engine.suffixes}
    for file in visit.files():
        if file.path.suffix not in known:
            continue  # a set has files for other runtimes too
        engine = device.harness.engine_for(file.artifact.file)
        with tempfile.TemporaryDirectory(prefix="pfd-doctor-") as folder:
            reference = write_reference(file.manifest, file.artifact, Path(folder))
            job = Job(
                model=device.upload(file.path),
                engine=engine.name,
                cpu_mask=choose_cpus(device, 1),
                inputs=tuple(device.upload(path) for path in reference.inputs),
                expected=tuple(device.upload(path) for path in reference.expected),
                batch=file.artifact.least_batch,
                limit=max(PARITY_LIMIT, file.artifact.parity.limit),
            )
        distance = max(output.relative_linf for output in verify(device.harness, job).outputs)
        result = run_block(device.harness, job, _SHORT)
        if result.status is not Status.DONE:
            raise DeviceError(f"{file.artifact.file} {result.status.value}: {result.message}")
        cpus = ",".join(map(str, sorted(set(result.run.cpus.tolist()))))
        middle = sorted(result.run.samples_ns.tolist())[len(result.run.samples_ns) // 2]
        time_text = "" if device.record.emulated else f", about {milliseconds(middle)}"
        parts.append(
            f"{file.artifact.file} by {engine.name}: outputs within {distance:.1e}, "
            f"{len(result.run.samples_ns)} inferences on CPU {cpus}{time_text}"
        )
    return "; ".join(parts)


def _list_remains(visit: _Visit) -> str:
    """What stays on the phone."""
    if visit.device is not None:
        visit.device.give_up_lock()
    left = visit.link.run(f"cd {ROOT} && du -sk * | sort -k2").stdout.split("\n")
    sizes = [line.split() for line in left if line.strip()]
    return ", ".join(f"{name} {int(kib) / 1024:.1f} MiB" for kib, name in sizes) or "nothing"


_CHECKS: tuple[Callable[[_Visit], str], ...] = (
    _describe_computer,
    _connect,
    _identify,
    _find_lacks,
    _try_shell,
    _try_storage,
    _send_and_fetch,
    _detach,
    _take_readings,
    _bring_harness,
    _list_engines,
    _choose_cores,
    _run_networks,
    _list_remains,
)
