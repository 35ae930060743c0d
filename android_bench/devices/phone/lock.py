"""One bench at a time on a device, whichever computer it comes from.

The lock is a folder on the device, made by ``mkdir``, which either makes it or fails. It holds
who took it and in which boot. A lock of an earlier boot, or one whose owner has not renewed it
for long, belongs to nobody any more and is taken over.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import socket
from collections.abc import Iterator

from android_bench.devices.answers import one_line
from android_bench.transports import Transport
from pfd_models.errors import DeviceError

__all__ = ["Lock", "locked"]

_FOLDER = "/data/local/tmp/pfd/lock"
_STALE_S = 900
_BOOT = "/proc/sys/kernel/random/boot_id"


class Lock:
    """A lock that is held; ``renew`` it between blocks."""

    def __init__(self, transport: Transport, token: str) -> None:
        self._transport = transport
        self.token = token

    def renew(self) -> None:
        """Say that the owner still lives.

        Raises:
            DeviceError: Another bench has taken the lock over meanwhile.
        """
        script = f"""
            [ "$(cat {_FOLDER}/token 2>/dev/null)" = {self.token} ] || exit 12
            cut -d. -f1 /proc/uptime > {_FOLDER}/renewed; cat {_BOOT} > {_FOLDER}/boot
        """
        if self._transport.run(script).exit_code == 12:
            raise DeviceError(
                f"another bench took over {self._transport.serial}: run one at a time"
            )


@contextlib.contextmanager
def locked(transport: Transport, *, stale_s: int = _STALE_S) -> Iterator[Lock]:
    """Hold the device's lock within a ``with`` block.

    Raises:
        DeviceError: Another bench holds it; says which.
    """
    token = secrets.token_hex(8)
    owner = shlex.quote(f"{_here()}, process {os.getpid()}")
    script = f"""
        mkdir -p {os.path.dirname(_FOLDER)} || exit 11
        now=$(cut -d. -f1 /proc/uptime)
        if [ -d {_FOLDER} ]; then
            renewed=$(cat {_FOLDER}/renewed 2>/dev/null)
            if [ "$(cat {_FOLDER}/boot 2>/dev/null)" != "$(cat {_BOOT})" ] ||
               [ $((now - ${{renewed:-0}})) -gt {stale_s} ]; then rm -rf {_FOLDER}; fi
        fi
        mkdir {_FOLDER} || {{ [ -d {_FOLDER} ] || exit 11; cat {_FOLDER}/owner; exit 12; }}
        cat {_BOOT} > {_FOLDER}/boot; echo $now > {_FOLDER}/renewed
        echo {owner} > {_FOLDER}/owner; echo {token} > {_FOLDER}/token
    """
    result = transport.run(script)
    if result.exit_code == 12 and _is_dead(result.stdout):
        transport.run(f"rm -rf {_FOLDER}")
        result = transport.run(script)
    if result.exit_code == 12:
        raise DeviceError(
            f"another bench is using {transport.serial} ({one_line(result.stdout)}): wait until "
            f"it has ended"
        )
    if result.exit_code:
        raise DeviceError(
            f"cannot lock {transport.serial}: {one_line(result.stderr)}; see that "
            f"/data/local/tmp can be written"
        )
    try:
        yield Lock(transport, token)
    finally:
        # Only what is still ours; when the cable is gone, the lock grows stale by itself.
        with contextlib.suppress(DeviceError):
            transport.run(f'[ "$(cat {_FOLDER}/token 2>/dev/null)" = {token} ] && rm -rf {_FOLDER}')


def _here() -> str:
    return one_line(socket.gethostname())


def _is_dead(owner: str) -> bool:
    """Say whether a lock's owner was a process of this computer that is gone."""
    host, _, process = owner.strip().rpartition(", process ")
    if host != _here() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
