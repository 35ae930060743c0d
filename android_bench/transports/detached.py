"""Runs that go on while nobody is connected: started, watched and taken up again by name.

A run is a folder on the device, ``ROOT/RUN_ID``, with its process number, the boot it belongs
to, its output as it grows, and its exit code once it has ended. Started in a session of its own
with nothing attached, it does not notice a pulled cable, a killed host or a dead adbd. Every
answer is read from the folder, so any host that knows the name can go on.

The exit code is a file's name, ``exit.7``, made by renaming one that was there from the start: on
a disk that fills up meanwhile a rename still works, and a file's content would stay empty.
"""

from __future__ import annotations

import enum
import posixpath
import re
import secrets
import shlex
from dataclasses import dataclass

from android_bench.errors import ProtocolError, StorageError, one_line
from android_bench.transports import DEFAULT_TIMEOUT_S, Transport
from pfd_models.errors import DeviceError, InputError

__all__ = [
    "DetachedRun",
    "RunState",
    "RunStatus",
    "attach",
    "poll",
    "remove",
    "runs",
    "start",
    "stop",
]

DEFAULT_ROOT = "/data/local/tmp/pfd/runs"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BOOT = "/proc/sys/kernel/random/boot_id"
_CHUNK_BYTES = 1 << 20
_START_ATTEMPTS = 100
_REMOVE_TIMEOUT_S = 10.0
_HEAD = re.compile(rb"(running|lost|[0-9]{1,3}) ([0-9]{1,15}) ([0-9]{1,15})\n")


class RunState(enum.Enum):
    """Where a run stands."""

    RUNNING = "running"
    ENDED = "ended"  # with an exit code
    LOST = "lost"  # its process is gone and left no exit code: killed, or the device rebooted


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachedRun:
    """A run's name and place.

    Attributes:
        run_id: Unique on the device.
        folder: Its folder on the device.
    """

    run_id: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """What a run looked like at one moment.

    Attributes:
        state: Running, ended or lost.
        exit_code: Of an ended run; None otherwise.
        stdout: New bytes from the asked offset on, at most 1 MiB.
        stderr: Likewise.
        complete: Whether nothing follows these bytes, now or later.
    """

    state: RunState
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    complete: bool


def start(
    transport: Transport, command: str, *, run_id: str | None = None, root: str = DEFAULT_ROOT
) -> DetachedRun:
    """Start a command on the device and return at once.

    Args:
        transport: Where.
        command: A shell command; it runs in the run's folder.
        run_id: A name of letters, digits, dots, dashes and underscores; made up when None.
        root: The folder of all runs on the device.

    Raises:
        InputError: The name is unusable or taken.
        StorageError: The folder cannot be made.
    """
    name = run_id if run_id is not None else secrets.token_hex(8)
    if not _NAME.fullmatch(name):
        raise InputError(f"run name {name!r} is unusable: letters, digits, dots, dashes only")
    folder = posixpath.join(root, name)
    quoted = shlex.quote(folder)
    # The exit code appears after the output is whole.
    body = f"echo $$ > pid; ( {command}\n) > stdout 2> stderr; mv exit. exit.$?"
    script = f"""
        mkdir -p {shlex.quote(root)} || exit 11
        mkdir {quoted} 2>/dev/null || exit 12
        cd {quoted} || exit 11
        : > stdout && : > stderr && : > exit. && cat {_BOOT} > boot && [ -s boot ] || {{
            cd /; rm -rf {quoted}; echo 'it takes no files' >&2; exit 11; }}
        setsid sh -c {shlex.quote(body)} < /dev/null > /dev/null 2>&1 &
        n=0
        while [ ! -s pid ] && [ $n -lt {_START_ATTEMPTS} ]; do sleep 0.05; n=$((n+1)); done
        [ -s pid ] || exit 13
    """
    result = transport.run(script, timeout_s=DEFAULT_TIMEOUT_S)
    if result.exit_code == 12:
        raise InputError(f"a run named {name!r} is already on {transport.serial}: attach to it")
    if result.exit_code:
        raise StorageError(
            f"cannot start a run in {folder} on {transport.serial}: "
            f"{one_line(result.stderr) or 'the shell did not start'}; make room there, or choose a "
            f"folder below /data/local/tmp"
        )
    return DetachedRun(run_id=name, folder=folder)


def attach(transport: Transport, run_id: str, *, root: str = DEFAULT_ROOT) -> DetachedRun:
    """Take up a run that an earlier host started.

    Raises:
        InputError: There is no such run on the device; with those there are.
    """
    names = runs(transport, root=root)
    if run_id not in names:
        raise InputError(
            f"no run {run_id!r} on {transport.serial} ({', '.join(names) or 'there are none'})"
        )
    return DetachedRun(run_id=run_id, folder=posixpath.join(root, run_id))


def runs(transport: Transport, *, root: str = DEFAULT_ROOT) -> list[str]:
    """Return the names of the runs on the device, ended ones included."""
    result = transport.run(f"ls {shlex.quote(root)} 2>/dev/null")
    return [name for name in result.stdout.split() if _NAME.fullmatch(name)]


def poll(
    transport: Transport, run: DetachedRun, *, stdout_from: int = 0, stderr_from: int = 0
) -> RunStatus:
    """Return a run's state and what it has written since.

    Args:
        transport: Where.
        run: Which.
        stdout_from: How many bytes of its output are known already.
        stderr_from: Likewise.

    Raises:
        DeviceError: The run's folder is gone.
        ProtocolError: The answer is not one of the shell command that was given.
    """
    # The state is read before the output: of an ended run the output is then whole. Sizes come
    # before the bytes, so that the reply can be taken apart whatever the bytes are.
    script = f"""
        cd {shlex.quote(run.folder)} 2>/dev/null || exit 11
        code() {{ for file in exit.?*; do [ -f "$file" ] && state=${{file#exit.}}; done; }}
        state=lost; code
        if [ "$state" = lost ] && [ "$(cat boot 2>/dev/null)" = "$(cat {_BOOT})" ]; then
            # Looked at once more: it may have ended between the two looks.
            if kill -0 "$(cat pid 2>/dev/null)" 2>/dev/null; then state=running; else code; fi
        fi
        echo "$state $(stat -c %s stdout) $(stat -c %s stderr)"
        tail -c +{stdout_from + 1} stdout | head -c {_CHUNK_BYTES}
        tail -c +{stderr_from + 1} stderr | head -c {_CHUNK_BYTES} >&2
    """
    result = transport.run(script, timeout_s=DEFAULT_TIMEOUT_S)
    if result.exit_code == 11:
        raise DeviceError(
            f"the run {run.run_id} is no longer on {transport.serial}: start it again"
        )
    head = _HEAD.match(result.stdout_bytes)
    stdout = result.stdout_bytes[head.end() :] if head else b""
    if not head or max(len(stdout), len(result.stderr_bytes)) > _CHUNK_BYTES:
        said = one_line(result.stdout + " " + result.stderr) or "it says nothing"
        raise ProtocolError(
            f"{transport.serial} does not tell how the run {run.run_id} stands ({said}): see that "
            f"{run.folder} is as the bench left it, then start again"
        )
    word = head[1].decode()
    state = {"running": RunState.RUNNING, "lost": RunState.LOST}.get(word, RunState.ENDED)
    sizes = int(head[2]), int(head[3])
    known = stdout_from + len(stdout), stderr_from + len(result.stderr_bytes)
    return RunStatus(
        state=state,
        exit_code=int(word) if state is RunState.ENDED else None,
        stdout=stdout,
        stderr=result.stderr_bytes,
        complete=state is not RunState.RUNNING and known[0] >= sizes[0] and known[1] >= sizes[1],
    )


def stop(transport: Transport, run: DetachedRun) -> None:
    """End a run and everything it started; one that has ended is left alone."""
    transport.run(_stop_script(run))


def remove(transport: Transport, run: DetachedRun, *, timeout_s: float = _REMOVE_TIMEOUT_S) -> None:
    """Remove a run's folder from the device, ending the run first."""
    script = f"{_stop_script(run)}; cd / && rm -rf {shlex.quote(run.folder)}"
    transport.run(script, timeout_s=timeout_s)


def _stop_script(run: DetachedRun) -> str:
    # The shell is the leader of its session and group; a process of that number from another
    # boot is not ours.
    return (
        f"cd {shlex.quote(run.folder)} 2>/dev/null && [ -f exit. ] && "
        f'[ "$(cat boot)" = "$(cat {_BOOT})" ] && kill -KILL -"$(cat pid)" 2>/dev/null'
    )
