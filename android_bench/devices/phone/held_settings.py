"""Settings of a rooted phone, held for a while and put back whatever happens.

Before the first change a helper is started on the device, detached from the cable. It knows the
old values and writes them when the host has not been heard of for a while: after a pulled cable,
a killed host, a crashed computer. On the way out the host restores them itself, reads them back,
and stops the helper.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping

from android_bench.cancellation import NEVER
from android_bench.devices.answers import files, one_line
from android_bench.devices.phone.launcher import RECONNECT_S, closing_s, with_reconnect
from android_bench.devices.phone.profile import PhoneProfile, Root
from android_bench.errors import UnfitDeviceError
from android_bench.transports import DEFAULT_TIMEOUT_S, CommandResult, Transport, detached
from android_bench.transports.detached import DetachedRun, RunState
from pfd_models.errors import DeviceError, InputError

__all__ = ["SILENCE_S", "HeldSettings", "hold_settings", "require_root", "run_as_root"]

SILENCE_S = 180
"""After how long without a sign of the host a device restores by itself."""

_HELPER_ROOT = "/data/local/tmp/pfd/settings"


class HeldSettings:
    """Settings in force; call ``keep_alive`` between blocks.

    Attributes:
        old: Path to the value before, of those that were changed.
        new: Path to the value now, likewise.
    """

    def __init__(
        self,
        transport: Transport,
        profile: PhoneProfile,
        *,
        old: Mapping[str, str],
        new: Mapping[str, str],
        silence_s: int,
        helper_root: str,
    ) -> None:
        self.old = dict(old)
        self.new = dict(new)
        self._transport = transport
        self._profile = profile
        self._silence_s = silence_s
        self._helper_root = helper_root
        self._helper: DetachedRun | None = None

    def apply(self) -> None:
        """Start the helper and write the values, in order.

        Raises:
            DeviceError: One was not taken.
        """
        if not self.new:
            return  # without anything to restore there is nothing to watch over
        self._helper = _start_helper(
            self._transport, self._profile, self.old, self._silence_s, self._helper_root
        )
        _write(self._transport, self._profile, self.new)

    def keep_alive(self) -> None:
        """Tell the helper that the host lives; at least once per allowed silence.

        Where the phone has restarted or the helper has restored meanwhile, as after a long
        outage, the values are written again.

        Raises:
            DeviceError: The phone did not come back, or does not take a value any more.
        """
        with_reconnect(self._transport, self._keep_alive, RECONNECT_S)

    def _keep_alive(self) -> None:
        if self._helper is None:
            return
        folder = shlex.quote(self._helper.folder)
        self._transport.run(f"touch {folder}/heard")
        try:
            running = detached.poll(self._transport, self._helper).state
        except DeviceError as error:
            if type(error) is not DeviceError:
                raise
            running = RunState.LOST  # its folder is gone
        if running is not RunState.RUNNING:
            detached.remove(self._transport, self._helper)
            self.apply()

    def restore(self) -> None:
        """Put every old value back, also when one of them cannot be, and stop the helper.

        When the connection is gone, the helper goes on and restores them.

        Raises:
            DeviceError: The first that could not be restored.
        """
        transport, limit_s = self._transport.cancelled_by(NEVER), closing_s(self._transport)
        failed: DeviceError | None = None
        backwards = dict(reversed(list(self.old.items())))
        if backwards:
            failed = _try_write(transport, self._profile, backwards, timeout_s=limit_s)
        if self._helper is not None:
            done = f"touch {shlex.quote(self._helper.folder)}/done"
            run_as_root(transport, self._profile, done, timeout_s=limit_s)
            detached.remove(transport, self._helper, timeout_s=limit_s)
            self._helper = None
        if failed is not None:
            raise failed


@contextlib.contextmanager
def hold_settings(
    transport: Transport,
    profile: PhoneProfile,
    values: Mapping[str, str],
    *,
    silence_s: int = SILENCE_S,
    helper_root: str = _HELPER_ROOT,
) -> Iterator[HeldSettings]:
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
    require_root(profile)
    for path in values:
        if not path.startswith(("/sys/", "/proc/")) or ".." in path.split("/"):
            raise InputError(f"{path!r} is no setting: give a path below /sys or /proc")
    now = _read(transport, profile, values)
    new = {path: value for path, value in values.items() if now[path] != value}
    held = HeldSettings(
        transport,
        profile,
        old={path: now[path] for path in new},
        new=new,
        silence_s=silence_s,
        helper_root=helper_root,
    )
    try:
        held.apply()
        yield held
    except BaseException:
        # What went wrong first is what the caller needs to know.
        with contextlib.suppress(DeviceError):
            held.restore()
        raise
    held.restore()


def require_root(profile: PhoneProfile) -> None:
    """Require that settings can be changed.

    Raises:
        UnfitDeviceError: They cannot.
    """
    if profile.root is Root.NONE:
        raise UnfitDeviceError(
            f"changing settings needs root, and {profile.serial} has none: leave the option out"
        )


def run_as_root(
    transport: Transport,
    profile: PhoneProfile,
    command: str,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> CommandResult:
    """Run a shell command as root; see `Transport.run`."""
    if profile.root is Root.SU:
        command = f"su -c {shlex.quote(command)}"
    return transport.run(command, timeout_s=timeout_s)


def _read(transport: Transport, profile: PhoneProfile, values: Mapping[str, str]) -> dict[str, str]:
    paths = " ".join(map(shlex.quote, values))
    result = run_as_root(transport, profile, f"grep -H '' /dev/null {paths}")
    content = files(result.stdout)
    for path in values:
        if path not in content:
            raise InputError(
                f"{profile.serial} has no readable setting {path}: {one_line(result.stderr)}"
            )
    return {path: content[path] for path in values}


def _write(transport: Transport, profile: PhoneProfile, values: Mapping[str, str]) -> None:
    if failed := _try_write(transport, profile, values):
        raise failed


def _try_write(
    transport: Transport,
    profile: PhoneProfile,
    values: Mapping[str, str],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> DeviceError | None:
    """Write all values, in one command, and return what is wrong with the first that is not there.

    Raises:
        DeviceError: The device did not answer.
    """
    paths = " ".join(map(shlex.quote, values))
    command = f"{_write_commands(values)}; grep -H '' /dev/null {paths}"
    result = run_as_root(transport, profile, command, timeout_s=timeout_s)
    now = files(result.stdout)
    for path, value in values.items():
        if now.get(path) != value:
            reason = one_line(result.stderr) or f"it is {one_line(now.get(path, ''))!r} now"
            return DeviceError(
                f"{profile.serial} did not take {value!r} for {path} ({reason}): choose a value "
                f"that the kernel offers"
            )
    return None


def _write_commands(values: Mapping[str, str]) -> str:
    return "; ".join(
        f"printf '%s\\n' {shlex.quote(value)} > {shlex.quote(path)}"
        for path, value in values.items()
    )


def _start_helper(
    transport: Transport,
    profile: PhoneProfile,
    old: Mapping[str, str],
    silence_s: int,
    root: str,
) -> DetachedRun:
    """Start the process on the device that restores when nobody is heard of any more.

    It counts its own seconds and looks for the marks of the host, so that neither a changed
    wall clock nor a missing ``find -newer`` can mislead it.
    """
    restore = _write_commands(dict(reversed(list(old.items()))))
    script = (
        f"n=0; while [ ! -f done ] && [ $n -lt {silence_s} ]; do sleep 1; n=$((n+1)); "
        f"if [ -f heard ]; then rm -f heard; n=0; fi; done; [ -f done ] || {{ {restore}; }}"
    )
    if profile.root is Root.SU:
        script = f"su -c {shlex.quote(script)}"
    return detached.start(transport, script, root=root)
