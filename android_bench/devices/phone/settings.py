"""Settings of a rooted device, changed for a while and put back whatever happens.

Before the first change a helper is started on the device, detached from the cable. It knows the
old values and writes them when the host has not been heard of for a while: after a pulled cable,
a killed host, a crashed computer. On the way out the host restores them itself, reads them back,
and stops the helper.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping

from android_bench.devices.answers import one_line
from android_bench.devices.phone.profile import DeviceProfile, Root
from android_bench.errors import ConnectionLostError, UnfitDeviceError
from android_bench.transports import CommandResult, Transport, detached
from pfd_models.errors import DeviceError, InputError

__all__ = ["Changed", "changed"]

_SILENCE_S = 120
_HELPER_ROOT = "/data/local/tmp/pfd/settings"


class Changed:
    """Settings in force; ``keep_alive`` tells the helper that the host still lives.

    Attributes:
        old: Path to the value before.
    """

    def __init__(self, transport: Transport, folder: str | None, old: Mapping[str, str]) -> None:
        self._transport = transport
        self._folder = folder
        self.old = dict(old)

    def keep_alive(self) -> None:
        """Call between blocks, at least once per allowed silence; costs one short command."""
        if self._folder is not None:
            self._transport.run(f"touch {shlex.quote(self._folder)}/heard")


@contextlib.contextmanager
def changed(
    transport: Transport,
    profile: DeviceProfile,
    values: Mapping[str, str],
    *,
    silence_s: int = _SILENCE_S,
    helper_root: str = _HELPER_ROOT,
) -> Iterator[Changed]:
    """Change files in ``/sys`` or ``/proc`` within a ``with`` block.

    Args:
        transport: The device.
        profile: Says whether it is rooted.
        values: Path to the wanted value; written in this order and restored in the other.
        silence_s: After how long without a sign of the host the device restores by itself.
        helper_root: Where the helper lives on the device.

    Raises:
        UnfitDeviceError: The device is not rooted.
        InputError: A path is none of ``/sys`` or ``/proc``, or cannot be read.
        DeviceError: A value was not taken; what was changed before is put back.
    """
    if profile.root is Root.NONE:
        raise UnfitDeviceError(
            f"changing settings needs root, and {profile.serial} has none: leave the option out"
        )
    for path in values:
        if not path.startswith(("/sys/", "/proc/")) or ".." in path.split("/"):
            raise InputError(f"{path!r} is no setting: give a path below /sys or /proc")
    old = {path: _read(transport, profile, path) for path in values}
    differing = {path: value for path, value in values.items() if old[path] != value}
    before = {path: old[path] for path in differing}
    # Without anything to restore there is nothing to watch over.
    helper = _start_helper(transport, profile, before, silence_s, helper_root) if before else None
    try:
        for path, value in differing.items():
            _write(transport, profile, path, value)
        yield Changed(transport, helper.folder if helper else None, before)
    except BaseException:
        # What went wrong first is what the caller needs to know.
        with contextlib.suppress(DeviceError):
            _put_back(transport, profile, before, helper)
        raise
    _put_back(transport, profile, before, helper)


def _put_back(
    transport: Transport,
    profile: DeviceProfile,
    before: Mapping[str, str],
    helper: detached.DetachedRun | None,
) -> None:
    """Restore every setting, also when one of them cannot be, and then stop the helper.

    When the connection is gone, the helper goes on and restores them.

    Raises:
        DeviceError: The first that could not be restored.
    """
    failed: DeviceError | None = None
    for path, value in reversed(list(before.items())):
        try:
            _write(transport, profile, path, value)
        except ConnectionLostError:
            raise
        except DeviceError as error:
            failed = failed or error
    if helper is not None:
        _as_root(transport, profile, f"touch {shlex.quote(helper.folder)}/done")
        detached.remove(transport, helper)
    if failed is not None:
        raise failed


def _as_root(transport: Transport, profile: DeviceProfile, command: str) -> CommandResult:
    if profile.root is Root.SU:
        command = f"su -c {shlex.quote(command)}"
    return transport.run(command)


def _read(transport: Transport, profile: DeviceProfile, path: str) -> str:
    result = _as_root(transport, profile, f"cat {shlex.quote(path)}")
    if result.exit_code:
        raise InputError(
            f"{profile.serial} has no readable setting {path}: {one_line(result.stderr)}"
        )
    return result.stdout.strip()


def _write(transport: Transport, profile: DeviceProfile, path: str, value: str) -> None:
    """Write a value and require that it is there afterwards."""
    command = f"printf '%s\\n' {shlex.quote(value)} > {shlex.quote(path)}"
    result = _as_root(transport, profile, command)
    now = _read(transport, profile, path)
    if now != value:
        reason = one_line(result.stderr) or f"it is {now!r} now"
        raise DeviceError(
            f"{profile.serial} did not take {value!r} for {path} ({reason}): choose a value that "
            f"the kernel offers"
        )


def _start_helper(
    transport: Transport,
    profile: DeviceProfile,
    before: Mapping[str, str],
    silence_s: int,
    root: str,
) -> detached.DetachedRun:
    """Start the process on the device that restores when nobody is heard of any more.

    It counts its own seconds and looks for the marks of the host, so that neither a changed
    wall clock nor a missing ``find -newer`` can mislead it.
    """
    restore = "; ".join(
        f"printf '%s\\n' {shlex.quote(value)} > {shlex.quote(path)}"
        for path, value in reversed(list(before.items()))
    )
    script = (
        f"n=0; while [ ! -f done ] && [ $n -lt {silence_s} ]; do sleep 1; n=$((n+1)); "
        f"if [ -f heard ]; then rm -f heard; n=0; fi; done; [ -f done ] || {{ {restore}; }}"
    )
    if profile.root is Root.SU:
        script = f"su -c {shlex.quote(script)}"
    return detached.start(transport, script, root=root)
