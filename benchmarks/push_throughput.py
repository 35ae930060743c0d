"""How fast does each client send a file to the virtual phone, beside the platform adb?

    python benchmarks/push_throughput.py

All talk to the same daemon in turn, several times. Only sending is timed: the hash on the device
and the rename are the same few commands whoever sends. Exit status 1 says that the default client
is slower than 0.9 of the platform adb.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from android_bench.transports import adb_server, adb_shell, file_sync
from android_bench.transports.packets import SocketPipe
from android_bench.transports.streams import Deadline, Link
from android_bench.virtual_phone import phone as virtual_phone
from android_bench.virtual_phone.phone import VirtualPhone
from pfd_models.errors import DeviceError, PfdError

ALLOWED = 0.9
_REMOTE = "/data/local/tmp/throughput.bin"
_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """One client.

    Attributes:
        client: ``adb push``, ``adb-server`` or ``adb-shell``.
        mb_per_s: Megabytes a second, the median over rounds.
        ratio: To the platform adb's, the median of the rounds' own ratios.
    """

    client: str
    mb_per_s: float
    ratio: float


def push_throughput(
    phone: VirtualPhone, *, size_bytes: int = 50_000_000, rounds: int = 7
) -> Sequence[Throughput]:
    """Send one file through every client, in turn and in both orders.

    Args:
        phone: A running virtual phone.
        size_bytes: Of the file; random bytes.
        rounds: How often.

    Raises:
        DeviceError: A client failed.
    """
    address = adb_server.server_address(phone.environment()["ADB_SERVER_SOCKET"])
    server = adb_server.over_server(phone.serial, address)
    server.wait(_LIMIT_S)  # has the server connect again, should the daemon have died before
    server.close()
    links: dict[str, Link] = {
        "adb-server": adb_server.AdbServerLink(phone.serial, address),
        "adb-shell": adb_shell.AdbShellLink("virtual", SocketPipe(lambda deadline: phone.dial())),
    }
    with tempfile.TemporaryDirectory(prefix="pfd-throughput-") as folder:
        local = Path(folder, "random.bin")
        local.write_bytes(os.urandom(size_bytes))
        clients: dict[str, Callable[[], None]] = {"adb push": lambda: _adb_push(phone, local)}
        for name, link in links.items():
            clients[name] = partial(_send, link, local)
        seconds: dict[str, list[float]] = {name: [] for name in clients}
        for name in clients:
            clients[name]()  # starts what has to be started
        for number in range(rounds):
            order = list(clients) if number % 2 == 0 else list(reversed(clients))
            for name in order:
                begin = time.perf_counter()
                clients[name]()
                seconds[name].append(time.perf_counter() - begin)
    for link in links.values():
        link.close()
    adb = seconds["adb push"]
    return [
        Throughput(
            client=name,
            mb_per_s=size_bytes / 1e6 / statistics.median(taken),
            ratio=statistics.median(a / t for a, t in zip(adb, taken, strict=True)),
        )
        for name, taken in seconds.items()
    ]


def _send(link: Link, local: Path) -> None:
    deadline = Deadline(_LIMIT_S, "sending")
    file_sync.send(link, local, _REMOTE, lambda sent: None, deadline)


def _adb_push(phone: VirtualPhone, local: Path) -> None:
    done = subprocess.run(
        [str(phone.folder / "bin/adb"), "-s", phone.serial, "push", str(local), _REMOTE],
        env={**os.environ, **phone.environment()},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise DeviceError(f"adb push failed: {(done.stdout + done.stderr).strip()[:200]}")


def main() -> int:
    """Print how fast each client sends; return the exit status."""
    try:
        with virtual_phone.start() as running:
            found = push_throughput(running)
    except PfdError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    for one in found:
        print(f"{one.client:10s} {one.mb_per_s:7.0f} MB/s  {one.ratio:5.2f} x adb push")
    by_server = next(one for one in found if one.client == "adb-server")
    return 0 if by_server.ratio >= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
