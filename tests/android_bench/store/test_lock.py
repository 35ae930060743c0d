"""One bench on a device at a time, whichever host, process or store it comes from."""

import concurrent.futures
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import event, text

from android_bench.store import device_lock, lock, open_store
from android_bench.store.lock import STALE_S
from pfd_models.errors import DeviceError, OutputError

HOLDER = """
import sys, time
from pathlib import Path
from android_bench.store import device_lock, open_store
with open_store(sys.argv[1]) as store, device_lock(store, "serial/1", folder=Path(sys.argv[2])):
    print("held", flush=True)
    time.sleep(600)
"""


def start_holder(url, folder):
    """Start a process that holds the device until it is killed."""
    root = str(Path(__file__).parents[3])
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url, str(folder)],
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def enter(lock):
    with lock:
        pass


def test_a_second_bench_on_the_device_is_refused_and_a_crash_leaves_it_free(tmp_path, refusal):
    url, folder = f"sqlite:///{tmp_path / 'b.sqlite'}", tmp_path / "locks"
    holder = start_holder(url, folder)
    with open_store(url) as store, open_store(f"{url}2") as elsewhere:
        for other in (store, elsewhere):  # whatever store it writes to
            refusal(
                DeviceError,
                lambda other=other: enter(device_lock(other, "serial/1", folder=folder)),
                "'serial/1' is in use",
                f"pid {holder.pid}",
                "wait",
            )
        enter(device_lock(store, "another", folder=folder))
        holder.kill()
        holder.communicate()
        with device_lock(store, "serial/1", folder=folder) as lock:
            lock.renew()
        enter(device_lock(store, "serial/1", folder=folder))


def test_the_row_holds_off_another_host(any_store, tmp_path, refusal):
    store, folder = any_store, tmp_path  # two hosts, each with its own lock folder
    with device_lock(store, "tcp:phone", folder=folder / "1", host="one") as held:
        refusal(
            DeviceError,
            lambda: enter(device_lock(store, "tcp:phone", folder=folder / "2", host="two")),
            f"pid {os.getpid()} on one",
            f"{STALE_S:.0f} s",
        )
        silence = text("UPDATE locks SET heartbeat_s = heartbeat_s - :s")
        with store.writing() as connection:
            connection.execute(silence, {"s": STALE_S / 2})
        held.renew()
        with store.writing() as connection:
            connection.execute(silence, {"s": STALE_S / 2})
        with pytest.raises(DeviceError, match="in use"):
            enter(device_lock(store, "tcp:phone", folder=folder / "2", host="two"))
        with store.writing() as connection:
            connection.execute(silence, {"s": STALE_S})
        with device_lock(store, "tcp:phone", folder=folder / "2", host="two") as taken:
            refusal(DeviceError, held.renew, "was taken by another bench", "resume")
            taken.renew()
    enter(device_lock(store, "tcp:phone", folder=folder / "1", host="one"))


def pass_time(store, seconds):
    """Let the row look as it will after some seconds without a renewal."""
    with store.writing() as connection:
        back = text("UPDATE locks SET heartbeat_s = heartbeat_s - :s")
        connection.execute(back, {"s": seconds})


def heartbeat(store):
    with store.reading() as connection:
        return connection.execute(text("SELECT heartbeat_s FROM locks")).scalar_one()


@pytest.mark.parametrize("wrong_by_s", [-10 * STALE_S, 10 * STALE_S])
def test_hosts_whose_clocks_differ_agree(postgres_url, tmp_path, monkeypatch, refusal, wrong_by_s):
    right = time.time

    def wrong():
        return right() + wrong_by_s

    with open_store(postgres_url) as store:

        def refused(clock):
            monkeypatch.setattr(time, "time", clock)
            other = device_lock(store, "tcp:phone", folder=tmp_path / "2", host="two")
            refusal(DeviceError, lambda: enter(other), "on one")

        monkeypatch.setattr(time, "time", wrong)
        with device_lock(store, "tcp:phone", folder=tmp_path / "1", host="one") as held:
            refused(right)
            refused(wrong)
            held.renew()
            refused(right)
            held.renew()
            refused(wrong)
            pass_time(store, STALE_S + 1)
            with device_lock(store, "tcp:phone", folder=tmp_path / "2", host="two"):
                refusal(DeviceError, held.renew, "was taken")


def test_of_many_hosts_that_try_at_once_one_gets_the_device(any_url, tmp_path):
    hosts = [f"host{number}" for number in range(6)]
    ready, decided = threading.Barrier(len(hosts)), threading.Barrier(len(hosts))

    def attempt(store, host):
        ready.wait(60)
        try:
            with device_lock(store, "tcp:phone", folder=tmp_path / host, host=host):
                decided.wait(60)
                return True
        except DeviceError:
            decided.wait(60)
            return False

    with open_store(any_url) as store, concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
        for _ in range(5):
            with store.writing() as connection:  # what a host left that is gone
                stale = "INSERT INTO locks VALUES ('tcp:phone', 'x', 'gone', 1, 'long ago', 0)"
                connection.execute(text(stale))
            got = list(pool.map(attempt, [store] * len(hosts), hosts))
            assert sum(got) == 1


class Renewals:
    """Hears when the lock's own thread has renewed."""

    def __init__(self, store):
        self._heard = threading.Semaphore(0)
        event.listen(store._engine, "commit", self._hear)

    def _hear(self, connection):
        if threading.current_thread().name == "device-lock":
            self._heard.release()

    def wait(self):
        assert self._heard.acquire(timeout=60)

    def clear(self):
        """Forget those so far and say whether there were any."""
        before = 0
        while self._heard.acquire(blocking=False):
            before += 1
        return before > 0


def test_a_lock_outlives_a_pass_longer_than_its_life(any_store, tmp_path, monkeypatch, refusal):
    monkeypatch.setattr(lock, "RENEW_S", 0.01)
    renewals = Renewals(any_store)
    with device_lock(any_store, "tcp:phone", folder=tmp_path / "1", host="one") as held:
        for _ in range(3):
            pass_time(any_store, 0.9 * STALE_S)
            late = heartbeat(any_store)
            while heartbeat(any_store) < late + 0.5 * STALE_S:
                renewals.wait()
        other = device_lock(any_store, "tcp:phone", folder=tmp_path / "2", host="two")
        refusal(DeviceError, lambda: enter(other), "on one")
        held.renew()


def test_while_a_block_is_timed_the_lock_is_quiet_but_not_for_ever(store, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "RENEW_S", 0.01)
    renewals = Renewals(store)
    with device_lock(store, "s", folder=tmp_path) as held:
        renewals.wait()
        with held.quiet():
            renewals.clear()
            time.sleep(0.2)  # of what should not happen there is no event
            assert not renewals.clear()
        renewals.wait()
        monkeypatch.setattr(lock, "QUIET_S", 0.05)
        with held.quiet():
            renewals.clear()
            renewals.wait()


def test_a_store_that_fails_for_a_while_is_renewed_when_it_is_back(store, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "RENEW_S", 0.01)
    monkeypatch.setattr(lock, "_RETRY_S", 0.01)
    renewals, failed = Renewals(store), threading.Event()
    with device_lock(store, "s", folder=tmp_path):

        def fail(connection):
            if threading.current_thread().name == "device-lock":
                failed.set()
                raise DeviceError("the server is gone")

        event.listen(store._engine, "begin", fail)
        assert failed.wait(60)
        renewals.clear()
        event.remove(store._engine, "begin", fail)
        renewals.wait()


def test_leaving_without_a_store_hides_no_error(store, tmp_path):
    with (  # noqa: PT012
        pytest.raises(KeyError, match="what went wrong"),
        device_lock(store, "s", folder=tmp_path),
    ):
        with store.writing() as connection:
            connection.execute(text("DROP TABLE locks"))
        raise KeyError("what went wrong")


def test_a_lock_folder_that_cannot_be_used_is_one_line(store, tmp_path, refusal):
    (tmp_path / "file").write_text("")
    refusal(
        OutputError,
        lambda: enter(device_lock(store, "s", folder=tmp_path / "file" / "x")),
        "cannot lock",
        "not a directory",
    )
