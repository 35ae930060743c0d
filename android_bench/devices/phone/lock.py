"""One bench at a time on a device, whichever computer it comes from.

The lock is a folder on the device with one entry, whose name says everything: who (a random
token), in which boot, and when it was last renewed. Each step is one system call that either
happens or does not, so two computers that try at the same moment cannot both succeed:

    take      the folder is made aside, with its entry, and renamed into place. A rename over a
              folder that has an entry fails, so the lock appears whole, and once.
    renew     the entry is renamed to the new time; that fails when it is there no longer.
    give up   the entry is removed, by its name, and then the folder if it is empty.
    steal     the same, with the stale entry's exact name: whoever comes second, or after the
              owner has renewed, finds no such entry and removes nothing.

``ln`` is not used, as SELinux refuses hard links in /data/local/tmp; nor is ``mv -T``, which the
toybox of Android 8 does not have. Without it ``mv`` puts the new folder *into* a lock that is
there; that is looked for and taken out again, and counts as having lost.

A lock of an earlier boot, or one not renewed for long, belongs to nobody any more.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import secrets
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

from android_bench.cancellation import NEVER
from android_bench.devices.answers import one_line, whole_number
from android_bench.devices.phone.launcher import FAREWELL_S, closing_s
from android_bench.errors import StorageError
from android_bench.transports import Transport
from pfd_models.errors import DeviceError

__all__ = ["FOLDER", "Lock", "locked", "take_script"]

FOLDER = "/data/local/tmp/pfd/lock"
_STALE_S = 900
_BOOT = "/proc/sys/kernel/random/boot_id"
_NO_FOLDER, _HELD = 11, 12
# Seconds of uptime that are believed: 30 years.
_LONGEST_UPTIME_DIGITS = 9


class Lock:
    """A lock that is held; ``renew`` it between blocks."""

    def __init__(self, transport: Transport, token: str, folder: str = FOLDER) -> None:
        self._transport = transport
        self._folder = folder
        self.token = token

    def renew(self) -> None:
        """Say that the owner still lives.

        Raises:
            DeviceError: Another bench has taken the lock over meanwhile.
        """
        script = f"""
            cd {shlex.quote(self._folder)} 2>/dev/null || exit {_HELD}
            {_NOW}
            for entry in {self.token}.*; do
                [ -e "$entry" ] || exit {_HELD}
                [ "$entry" = {self.token}.$boot.$now ] && exit 0
                mv "$entry" {self.token}.$boot.$now && exit 0
                [ -e "$entry" ] && exit {_NO_FOLDER}
            done
            exit {_HELD}
        """
        result = self._transport.run(script)
        if result.exit_code == _HELD:
            raise DeviceError(
                f"another bench took over {self._transport.serial}: run one at a time"
            )
        if result.exit_code:
            raise _unusable(self._transport, result.stderr)

    def give_up(self, *, timeout_s: float | None = None) -> None:
        """Let others have the device; does nothing where the lock was taken over."""
        folder = shlex.quote(self._folder)
        self._transport.cancelled_by(NEVER).run(
            f"rm -f {folder}/{self.token}.*; rmdir {folder} 2>/dev/null",
            timeout_s=timeout_s or closing_s(self._transport),
        )


@contextlib.contextmanager
def locked(
    transport: Transport, *, stale_s: int = _STALE_S, folder: str = FOLDER
) -> Iterator[Lock]:
    """Hold the device's lock within a ``with`` block.

    Args:
        transport: To the device.
        stale_s: After how long without a sign of its owner a lock belongs to nobody.
        folder: The lock's place on the device.

    Raises:
        DeviceError: Another bench holds it; says which.
        StorageError: The folder cannot be made.
    """
    lock = Lock(transport, secrets.token_hex(8), folder)
    try:
        _take(transport, lock.token, stale_s, folder)
        yield lock
    except BaseException:
        # Shortly: the user may want to stop, and the cable may be gone; then it grows stale.
        with contextlib.suppress(DeviceError):
            lock.give_up(timeout_s=FAREWELL_S)
        raise
    with contextlib.suppress(DeviceError):
        lock.give_up()


def _take(transport: Transport, token: str, stale_s: int, folder: str) -> None:
    owner, dead = _own_name(), ""
    while True:
        script = take_script(token, owner, stale_s=stale_s, folder=folder, dead=dead)
        result = transport.run(script)
        if result.exit_code != _HELD:
            break
        entry, _, holder = result.stdout.partition("\n")
        if not _is_dead(holder.strip()) or entry == dead:
            who = one_line(holder.partition(" [")[0]) or "it does not say which"
            raise DeviceError(
                f"another bench is using {transport.serial} ({who}): wait until it has ended"
            )
        dead = entry
    if result.exit_code:
        raise _unusable(transport, result.stderr)


def _unusable(transport: Transport, said: str) -> StorageError:
    return StorageError(
        f"cannot lock {transport.serial}: {one_line(said) or 'no reason given'}; see that "
        f"/data/local/tmp can be written and is not full"
    )


# Sets $boot and $now, the seconds since boot.
_NOW = f"""
        read -r boot < {_BOOT} && read -r now rest < /proc/uptime || exit {_NO_FOLDER}
        now=${{now%%.*}}
"""


def take_script(
    token: str, owner: str, *, stale_s: int = _STALE_S, folder: str = FOLDER, dead: str = ""
) -> str:
    """Return the shell commands that take a lock.

    They end with 0 where it is held afterwards, with 12 where another holds it, whose entry and
    name are printed, a line each; with 11 where the folder cannot be written.

    Args:
        token: Of letters and digits; no other lock ever has it.
        owner: A line for the reader.
        stale_s: After how long without a sign of its owner a lock belongs to nobody.
        folder: The lock's place on the device.
        dead: An entry whose owner is known to be gone.
    """
    parent, name = posixpath.split(folder)
    aside = f"{name}.{token}"
    digits = "?" * (_LONGEST_UPTIME_DIGITS + 1)
    return f"""
        mkdir -p {shlex.quote(parent)} && cd {shlex.quote(parent)} || exit {_NO_FOLDER}
        {_NOW}
        lock={shlex.quote(name)} mine={token}.$boot.$now tries=0
        is_stale() {{
            [ "$1" = {shlex.quote(dead)} ] && return 0
            renewed=${{1##*.}} rest=${{1%.*}}
            case $renewed in ''|*[!0-9]*|0?*|{digits}*) return 0;; esac
            [ "${{rest#*.}}" = "$boot" ] || return 0
            [ $((now - renewed)) -gt {stale_s} ]
        }}
        while [ $tries -lt 100 ]; do
            tries=$((tries + 1)) holder=
            for entry in $lock/*; do
                [ -e "$entry" ] || continue
                entry=${{entry#$lock/}}
                case $entry in $lock.*) rm -rf "$lock/$entry"; continue;; esac
                if is_stale "$entry"; then rm -f "$lock/$entry"; else holder=$entry; fi
            done
            if [ -n "$holder" ]; then
                said=$(cat "$lock/$holder" 2>/dev/null) || continue
                rm -rf {aside}; echo "$holder"; echo "$said"; exit {_HELD}
            fi
            rmdir $lock 2>/dev/null
            mkdir -p {aside} && printf '%s\\n' {shlex.quote(owner)} > {aside}/$mine &&
                [ -s {aside}/$mine ] || {{ rm -rf {aside}; exit {_NO_FOLDER}; }}
            mv {aside} $lock 2>/dev/null
            [ -f $lock/$mine ] && exit 0
            rm -rf $lock/{aside}
        done
        rm -rf {aside}; exit {_HELD}
    """


def _own_name() -> str:
    process = os.getpid()
    return f"{_here()}, process {process} [{_process_identity(process)}]"


def _here() -> str:
    return one_line(socket.gethostname())


def _process_identity(process: int) -> str:
    """Return what tells a process from any other, also in another container of this computer.

    Empty where there is no such process, or the system does not tell.
    """
    try:
        boot = Path(_BOOT).read_text(encoding="ascii").strip()
        names = os.readlink(f"/proc/{process}/ns/pid")
        # Field 22, counted after the name, which may hold anything.
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return f"{boot} {names} {stat.rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return ""


def _is_dead(owner: str) -> bool:
    """Say whether a lock's owner was a process of this computer that is gone."""
    name, _, rest = owner.partition(" [")
    number, identity = name.rpartition(", process ")[2], rest.removesuffix("]").split()
    ours = _process_identity(os.getpid()).split()
    # Numbers of processes mean nothing in another boot, on another computer, in a container.
    if not ours or len(identity) != len(ours) or identity[:2] != ours[:2]:
        return False
    if whole_number(number) is None:
        return False
    return _process_identity(int(number)).split() != identity
