import threading
import time

import pytest
from fuzzing.scripted import ReplayTransport

from android_bench.cancellation import Cancellation, Cancelled
from android_bench.devices.phone import launcher as launcher_module
from android_bench.devices.phone.launcher import PhoneLauncher, clear_runs, with_reconnect
from android_bench.errors import ConnectionLostError, ProtocolError
from android_bench.transports import detached
from android_bench.virtual_phone import hooks
from pfd_models.errors import DeviceError


@pytest.fixture
def soon():
    """Give a cancellation that comes as soon as something was heard, and when that was."""

    class Soon:
        def __init__(self):
            self.cancellation = Cancellation()
            self.at = None

        def cancel(self, *_):
            if self.at is None:
                self.at = time.monotonic()
                self.cancellation.cancel()

        def require_within_a_second(self):
            assert self.at is not None
            assert time.monotonic() - self.at < 1.0

    return Soon()


def sleepers(phone):
    lines = [" ".join(line) for line in phone.request("processes")["processes"]]
    return [line for line in lines if "sleep 6" in line]


def test_lines_and_status_arrive(direct, phone):
    heard = []
    launch = PhoneLauncher(transport=direct)
    ended = launch(
        ["sh", "-c", "echo a b; echo err >&2; exit 9"], timeout_s=30, on_line=heard.append
    )
    assert (ended.status, ended.stderr, heard) == (9, "err\n", ["a b"])
    assert detached.runs(direct) == []


def test_a_run_that_is_followed_ends_within_a_second_when_cancelled(direct, phone, soon):
    launch = PhoneLauncher(transport=direct.cancelled_by(soon.cancellation))
    with pytest.raises(Cancelled):
        launch(["sh", "-c", "echo begun; sleep 66"], timeout_s=60, on_line=soon.cancel)
    soon.require_within_a_second()
    # What it started is gone with it, although the user was in a hurry.
    assert detached.runs(direct) == []
    assert sleepers(phone) == []


def test_a_lost_cable_in_a_run_is_not_waited_for_when_cancelled(direct, phone, soon):
    def pull(line):
        hooks.kill_daemon(phone)
        threading.Timer(0.5, soon.cancel).start()

    launch = PhoneLauncher(transport=direct.cancelled_by(soon.cancellation))
    with pytest.raises(Cancelled):
        launch(["sh", "-c", "echo begun; sleep 67"], timeout_s=60, on_line=pull)
    soon.require_within_a_second()
    hooks.start_daemon(phone)
    direct.wait(20)
    assert len(detached.runs(direct)) == 1
    clear_runs(direct)  # as the next bench does
    assert detached.runs(direct) == []
    assert sleepers(phone) == []


def test_ctrl_c_while_the_phone_is_gone_waits_for_nothing(direct, phone):
    class Interrupted(PhoneLauncher):
        def _follow(self, run, timeout_s, on_line):
            hooks.kill_daemon(phone)
            raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Interrupted(transport=direct)(["sleep", "68"], timeout_s=60, on_line=print)
    assert time.monotonic() - begin < 5  # a start on the emulated phone included
    hooks.start_daemon(phone)
    direct.wait(20)
    clear_runs(direct)


def test_waiting_for_a_phone_ends_when_cancelled(direct, phone, soon):
    hooks.kill_daemon(phone)
    cancelled = direct.cancelled_by(soon.cancellation)
    timer = threading.Timer(0.5, soon.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        with_reconnect(cancelled, lambda: cancelled.run("true"), 600)
    soon.require_within_a_second()
    timer.join()


def test_a_phone_that_stays_away_is_given_up(direct, phone, one_line):
    hooks.kill_daemon(phone)
    with pytest.raises(ConnectionLostError) as error:
        with_reconnect(direct, lambda: direct.run("true"), 1.0)
    one_line(error, 3, "virtual was gone for 1 s", "--resume")


def test_what_must_be_told_that_the_host_lives_is_told(direct, phone, monkeypatch):
    monkeypatch.setattr(launcher_module, "_KEEP_ALIVE_S", 0.2)
    told = []
    launch = PhoneLauncher(transport=direct, keep_alive=lambda: told.append(time.monotonic()))
    launch(["sleep", "2"], timeout_s=30, on_line=print)
    assert len(told) >= 2

    def lost():
        raise DeviceError("another bench took over")

    with pytest.raises(DeviceError, match="took over"):
        PhoneLauncher(transport=direct, keep_alive=lost)(
            ["sleep", "69"], timeout_s=9, on_line=print
        )
    assert sleepers(phone) == []


def test_a_line_that_never_ends_is_given_up(monkeypatch, one_line):
    monkeypatch.setattr(launcher_module, "_LONGEST_LINE_BYTES", 100_000)
    answer = b"running 999999 0\n" + b"y" * 60_000
    transport = ReplayTransport(answer)
    with pytest.raises(ProtocolError) as error:
        PhoneLauncher(transport=transport)(["pfd_bench"], timeout_s=30, on_line=print)
    one_line(error, 3, "replay", "a line that does not end")
