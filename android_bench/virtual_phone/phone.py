"""The outside of the virtual phone: start it, find a running one, talk to it, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from android_bench.errors import VirtualPhoneError
from android_bench.virtual_phone import kernel, packages
from android_bench.virtual_phone.daemon import ADBD_PORT, adb_command

__all__ = ["DEFAULT_NAME", "VirtualPhone", "find", "missing", "start"]

# The phone that `up` starts and `run` uses.
DEFAULT_NAME = "default"

_START_TIMEOUT_S = 60.0
_LONGEST_SOCKET_PATH = 107  # sun_path of unix(7), less the final zero


class VirtualPhone:
    """A running virtual phone, known by its folder.

    Attributes:
        folder: Holds its sockets and logs; only its owner can enter.
        serial: What the platform adb calls it.
    """

    serial = f"127.0.0.1:{ADBD_PORT}"

    def __init__(self, folder: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self.folder = folder
        self._process = process

    def request(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Have the phone carry out one operation of ``control.py`` and return its reply.

        Raises:
            VirtualPhoneError: The phone has stopped, or the operation failed there.
        """
        reply, handles = self._exchange(operation, arguments)
        for handle in handles:
            os.close(handle)
        if "error" in reply:
            raise VirtualPhoneError(f"the virtual phone could not {operation}: {reply['error']}")
        return reply

    def dial(self) -> socket.socket:
        """Return a new TCP connection to adbd; its two ends are in the phone's own network.

        Raises:
            OSError: As connecting to a phone's port would, when adbd is dead or unreachable.
        """
        reply, handles = self._exchange("dial", {})
        if "error" in reply:
            raise OSError(reply["errno"], reply["error"])
        return socket.socket(fileno=handles[0])

    def _exchange(
        self, operation: str, arguments: dict[str, Any]
    ) -> tuple[dict[str, Any], list[int]]:
        message = json.dumps({"do": operation, **arguments}).encode() + b"\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_START_TIMEOUT_S)
                connection.connect(str(self.folder / "control.sock"))
                connection.sendall(message)
                data, handles, _, _ = socket.recv_fds(connection, 1 << 16, 1)
                while not data.endswith(b"\n"):
                    more = connection.recv(1 << 16)
                    if not more:
                        raise ConnectionResetError("the reply ended early")
                    data += more
        except OSError as error:
            raise VirtualPhoneError(
                f"the virtual phone in {self.folder} does not answer ({error}): start it again "
                f"with `python -m android_bench.virtual_phone up`"
            ) from error
        return json.loads(data), handles

    def environment(self) -> dict[str, str]:
        """Return what a program needs in its environment to use this phone with ``adb``."""
        return {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "ADB_SERVER_SOCKET": f"localfilesystem:{self.folder / 'adb.sock'}",
            "ANDROID_SERIAL": self.serial,
        }

    def enter(self) -> None:
        """Move this process into the phone's user and network namespaces, for good.

        The files stay the machine's. Only a process with a single thread can do this.
        """
        process = int((self.folder / "pid").read_text())
        with contextlib.ExitStack() as handles:
            opened = {
                kind: handles.enter_context(open(f"/proc/{process}/ns/{name}", "rb"))
                for name, kind in (("user", kernel.CLONE_NEWUSER), ("net", kernel.CLONE_NEWNET))
            }
            for kind, handle in opened.items():
                kernel.setns(handle.fileno(), kind)

    def stop(self) -> None:
        """Stop the phone and remove its folder; what ran in it is gone."""
        with contextlib.suppress(VirtualPhoneError):
            self.request("stop")
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process.wait(timeout=_START_TIMEOUT_S)
        else:
            _wait_for_end(int((self.folder / "pid").read_text()))
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> VirtualPhone:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def missing() -> str | None:
    """Return what this machine lacks for a virtual phone, or None; fetches nothing."""
    if sys.platform != "linux":
        return f"the virtual phone needs Linux (namespaces), and this is {platform.system()}"
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"the virtual phone needs an x86-64 computer, and this is {platform.machine()}"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return "the virtual phone is made of Debian packages, and apt-get is missing"
    child = os.fork()
    if child == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID)
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        return (
            "the virtual phone needs user namespaces, and this machine allows none: "
            "`sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=1000`"
        )
    return None


def start(name: str | None = None, *, outlive: bool = False) -> VirtualPhone:
    """Start a virtual phone, fetching what it is made of the first time.

    Args:
        name: To find it again under with ``find``; without one it is this process's alone.
        outlive: Whether it goes on when this process ends.

    Raises:
        VirtualPhoneError: The machine cannot run one, or one of that name runs already.
    """
    lack = missing()
    if lack is not None:
        raise VirtualPhoneError(lack)
    for wanted in packages.ALL:
        packages.unpacked(wanted)
    folder = _new_folder(name)
    with _removed_on_failure(folder):
        _write_adb_command(folder)
        with (folder / "daemon.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "android_bench.virtual_phone.daemon", str(folder)],
                stdin=subprocess.DEVNULL if outlive else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
                start_new_session=True,
            )
        (folder / "pid").write_text(str(process.pid))
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        if line != "ready\n":
            process.wait()
            words = (folder / "daemon.log").read_text(errors="replace").splitlines()
            last = words[-1] if words else "it ended without a word"
            reason = json.loads(line)["failed"] if line.startswith("{") else last
            raise VirtualPhoneError(f"cannot start the virtual phone: {reason}")
        phone = VirtualPhone(folder, None if outlive else process)
        if outlive:
            process.stdout.close()
            process.returncode = 0  # it is not ours to wait for
        _connect_adb(phone)
    return phone


def find(name: str) -> VirtualPhone | None:
    """Return the running phone of that name, or None; remnants of a dead one are removed."""
    folder = _parent_folder() / name
    if not folder.is_dir():
        return None
    phone = VirtualPhone(folder)
    try:
        phone.request("alive")
    except VirtualPhoneError:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return phone


def _parent_folder() -> Path:
    """Return this user's folder of phones; in /tmp, since socket paths must be short."""
    folder = Path(tempfile.gettempdir()) / f"pfd-phone-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077 or folder.is_symlink():
        raise VirtualPhoneError(
            f"{folder} can be entered by others than you: remove it, or set TMPDIR to a folder "
            f"of your own"
        )
    return folder


def _new_folder(name: str | None) -> Path:
    parent = _parent_folder()
    for left in parent.glob("own-*"):
        # A phone whose starter was killed has ended with it and left its folder.
        with contextlib.suppress(OSError, ValueError):
            if not Path(f"/proc/{int((left / 'pid').read_text())}").exists():
                shutil.rmtree(left, ignore_errors=True)
    if len(os.fsencode(parent / (name or "own-12345678") / "control.sock")) > _LONGEST_SOCKET_PATH:
        raise VirtualPhoneError(
            f"the path {parent} is too long for a socket in it: set TMPDIR to a shorter one"
        )
    if name is None:
        return Path(tempfile.mkdtemp(prefix="own-", dir=parent))
    if find(name) is not None:
        raise VirtualPhoneError(f"a virtual phone named {name!r} is already up: use it or stop it")
    folder = parent / name
    folder.mkdir(mode=0o700)
    return folder


@contextlib.contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write_adb_command(folder: Path) -> None:
    """Put an ``adb`` into the phone's bin folder that starts the unpacked one."""
    (folder / "bin").mkdir()
    script = folder / "bin" / "adb"
    command = shlex.join(adb_command(packages.unpacked(packages.ADB)))
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)


def _connect_adb(phone: VirtualPhone) -> None:
    """Have the adb server inside own the phone."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    said = ""
    while time.monotonic() < deadline:
        if (phone.folder / "adb.sock").exists():
            done = subprocess.run(
                [str(phone.folder / "bin/adb"), "connect", phone.serial],
                env={**os.environ, **phone.environment()},
                capture_output=True,
                text=True,
                timeout=_START_TIMEOUT_S,
            )
            said = (done.stdout + done.stderr).strip()
            if "connected to" in said:
                return
        time.sleep(0.05)
    phone.stop()
    raise VirtualPhoneError(f"the virtual phone's adb server does not connect: {said}")


def _wait_for_end(process: int) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
