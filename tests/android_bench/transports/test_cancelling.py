"""Every wait of a transport ends within a second of being cancelled, from another thread."""

import contextlib
import socket
import threading
import time

import pytest

from android_bench.cancellation import NEVER, Cancellation, Cancelled
from android_bench.transports import adb_server, adb_shell
from android_bench.transports.local import LocalTransport
from android_bench.virtual_phone import hooks

SOON_S = 0.5


@pytest.fixture
def soon():
    """A cancellation that comes soon, and a check that something ended by it within a second."""
    timers = []

    @contextlib.contextmanager
    def cancelled(cancellation, *, after_s=SOON_S):
        at = []

        def cancel():
            at.append(time.monotonic())
            cancellation.cancel()

        timers.append(threading.Timer(after_s, cancel))
        timers[-1].start()
        with pytest.raises(Cancelled):
            yield
        assert at, "it ended before it was cancelled"
        assert time.monotonic() - at[0] < 1.0

    yield cancelled
    for timer in timers:
        timer.join()


def test_waiting_for_a_lost_cable(transport, phone, soon):
    hooks.kill_daemon(phone)
    cancellation = Cancellation()
    with soon(cancellation):
        transport.cancelled_by(cancellation).wait(600)


def test_waiting_for_a_phone_that_says_nothing(transport, phone, soon):
    hooks.freeze_daemon(phone)
    cancellation = Cancellation()
    with soon(cancellation):
        transport.cancelled_by(cancellation).wait(600)
    hooks.thaw_daemon(phone)


def test_a_command_that_takes_long(transport, phone, soon):
    cancellation = Cancellation()
    with soon(cancellation):
        transport.cancelled_by(cancellation).run("sleep 60", timeout_s=120)
    # The way out is not cancelled.
    assert transport.cancelled_by(NEVER).run("echo bye").stdout == "bye\n"
    lines = [" ".join(line) for line in phone.request("processes")["processes"]]
    assert not [line for line in lines if "sleep 60" in line]


def test_what_was_cancelled_before_does_not_begin(transport):
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        transport.cancelled_by(cancellation).run("true")
    assert transport.run("true").exit_code == 0


def test_a_push_and_a_pull(transport, phone, tmp_path, soon):
    source = tmp_path / "large"
    source.write_bytes(bytes(30_000_000))
    remote = "/data/local/tmp/large"
    cancellation = Cancellation()

    def freeze(sent, total):
        hooks.freeze_daemon(phone)

    with soon(cancellation):
        transport.cancelled_by(cancellation).push(source, remote, progress=freeze)
    hooks.thaw_daemon(phone)
    transport.wait(20)
    transport.push(source, remote)
    hooks.freeze_daemon(phone)
    cancellation = Cancellation()
    with soon(cancellation):
        transport.cancelled_by(cancellation).pull(remote, tmp_path / "back")
    hooks.thaw_daemon(phone)
    assert not (tmp_path / "back").exists()


def test_this_computer_too(soon):
    cancellation = Cancellation()
    with soon(cancellation):
        LocalTransport().cancelled_by(cancellation).run("sleep 63 & sleep 64", timeout_s=120)
    assert LocalTransport().run("ps ax -o args | grep -c '^sleep 6[34]'").stdout.strip() == "0"


@pytest.fixture
def silent_port():
    """A port where connections are accepted and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_port_that_says_nothing(silent_port, soon):
    for cancellation, call in (
        (c := Cancellation(), lambda c=c: adb_server.list_devices(f"tcp:{silent_port}", c)),
        (
            c := Cancellation(),
            lambda c=c: adb_shell.over_tcp(silent_port).cancelled_by(c).run("true", timeout_s=60),
        ),
    ):
        with soon(cancellation):
            call()


def test_a_host_that_drops_everything(soon):
    # A listener whose queue is full answers nobody, as a host behind a firewall.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with contextlib.ExitStack() as filled:
            for _ in range(4):
                connection = filled.enter_context(socket.socket())
                connection.setblocking(False)
                connection.connect_ex(("127.0.0.1", port))
            cancellation = Cancellation()
            with soon(cancellation):
                adb_server.list_devices(f"tcp:127.0.0.1:{port}", cancellation)


def test_an_adb_program_that_hangs(monkeypatch, tmp_path, soon):
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\nexec sleep 65\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    cancellation = Cancellation()
    with soon(cancellation):
        adb_server.start_server(cancellation)
