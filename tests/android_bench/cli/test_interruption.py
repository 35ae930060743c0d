"""Ctrl-C and SIGTERM: heeded within a second, and the last line is true."""

import contextlib
import dataclasses
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from bench_rig import StandinDevice, own_locks, stored

from android_bench.campaign.bench import Bench
from android_bench.cli import lanes, main
from android_bench.cli.interruption import interrupt_on_sigterm
from android_bench.cli.progress import Display
from android_bench.store import device_lock, open_store

KEPT = "interrupted: what is measured so far is kept, --resume goes on"


@pytest.fixture
def host(standin_host):
    standin_host.make_set("orig", latency_ns=1_000_000)
    standin_host.make_set("ours", latency_ns=900_000)
    return standin_host


def interrupt(*facts, **more):
    raise KeyboardInterrupt


def in_the_second_campaign(action):
    """Return a `Display.block` that does something in the second campaign of a call."""
    real = Display.block

    def block(display, *facts):
        real(display, *facts)
        with open_store("bench.sqlite") as store:
            if len(store.campaigns()) == 2:
                action()

    return block


def test_what_is_finished_is_printed_and_then_the_line(host, adb_bench, monkeypatch):
    monkeypatch.setattr(Display, "block", in_the_second_campaign(interrupt))
    call = ("--artifacts", "artifacts/*", "--budget", "60s", "--json", "r.json")
    assert adb_bench(*call, "--fail-if-slower", "1%") == 130
    assert "with executorch, 1 thread: ours is faster than orig" in adb_bench.out
    (finished,) = json.loads(Path("r.json").read_text())["campaigns"]
    assert finished["complete"]
    assert adb_bench.err.splitlines()[-1] == KEPT


def test_sigterm_ends_a_campaign_as_cleanly(host, adb_bench, monkeypatch):
    assert threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    end = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    monkeypatch.setattr(Display, "block", in_the_second_campaign(end))
    assert adb_bench("--artifacts", "artifacts/*", "--budget", "60s") == 130
    assert adb_bench.err.splitlines()[-1] == KEPT
    assert "ours is faster than orig" in adb_bench.out
    assert stored().events[-1].kind == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is handler
    with open_store("bench.sqlite") as store, device_lock(store, host.device.record.serial):
        pass  # the lock was given up


def test_a_thread_that_hears_no_signals_runs_all_the_same():
    ran = []

    def run():
        with interrupt_on_sigterm():
            ran.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ran == [True]


@pytest.mark.parametrize("verb", [(), ("qualify",)])
def test_before_a_campaign_has_begun_there_is_nothing_to_promise(
    host, adb_bench, monkeypatch, verb
):
    monkeypatch.setattr("android_bench.campaign.campaign.verify", interrupt)
    assert adb_bench(*verb, "--artifacts", "artifacts/*.pte", "--json", "r.json") == 130
    assert adb_bench.err.splitlines()[-1] == "interrupted"
    assert adb_bench.out == ""
    assert not Path("r.json").exists()


def test_a_qualification_that_is_interrupted_tells_what_it_has(host, adb_bench, monkeypatch):
    monkeypatch.setattr(Display, "block", in_the_second_campaign(interrupt))
    call = ("qualify", "--artifacts", "artifacts/*ours*.pte", "--handicaps", "2%,5%")
    assert adb_bench(*call) == 130
    assert adb_bench.err.splitlines()[-1] == KEPT
    assert "1 of 1 intervals hold the true ratio" in adb_bench.out


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (("list",), "open_store"),
        (("show", "last"), "open_store"),
        (("compare", "last"), "open_store"),
        (("report", "last"), "open_store"),
        (("export", "last", "-o", "x.csv"), "open_store"),
        (("devices",), "look_for_phones"),
        (("doctor", "--device", "virtual"), "examine"),
        (("clean", "--device", "virtual"), "open_transport"),
        (("build",), "build_main"),
    ],
)
def test_a_verb_that_does_not_measure_promises_nothing(
    host, adb_bench, monkeypatch, arguments, place
):
    monkeypatch.setattr(main, place, interrupt)
    assert adb_bench(*arguments) == 130
    assert adb_bench.err == "interrupted\n"


# -- lanes -------------------------------------------------------------------------------------


class WaitingDevice(StandinDevice):
    """A device that is never calm: every look at it takes a minute."""

    def __init__(self, serial, cancellation, waiting):
        super().__init__()
        self._record = dataclasses.replace(self._record, serial=serial)
        self._cancellation, self._waiting = cancellation, waiting

    def read(self):
        self._waiting.release()
        self._cancellation.sleep(60.0)
        return super().read()


@pytest.fixture
def waiting(host, monkeypatch, tmp_path):
    """Two phones whose lanes wait for something; gives a semaphore that counts them."""
    own_locks(monkeypatch, tmp_path)
    count = threading.Semaphore(0)

    @contextlib.contextmanager
    def open_bench(device, *, serial, store, target, governor, watch, cancellation):
        with open_store(store) as opened, device_lock(opened, serial) as lock:
            phone = WaitingDevice(serial, cancellation, count)
            yield Bench(device=phone, store=opened, lock=lock, watch=watch)

    monkeypatch.setattr(lanes, "open_bench", open_bench)
    return count


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_lanes_that_wait_are_ended_within_a_second(waiting, adb_bench, number):
    sent = []

    def send():
        for _ in range(2):
            assert waiting.acquire(timeout=60)
        sent.append(time.monotonic())
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    files = ("--artifacts", "artifacts/*.pte", "--cores", "any")
    assert adb_bench("--serial", "left,right", *files) == 130
    took = time.monotonic() - sent[0]
    sender.join()
    assert took < 1.0
    assert adb_bench.err.splitlines()[-1] == "interrupted"
