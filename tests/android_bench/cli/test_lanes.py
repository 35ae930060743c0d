"""Several devices at once: on one screen, and each for itself."""

import contextlib
import dataclasses
import io

import pytest
import virtual_time
from bench_rig import StandinDevice, own_locks
from rich.console import Console

from android_bench.campaign import series
from android_bench.campaign.campaign import Bench
from android_bench.cancellation import Cancelled
from android_bench.cli import lanes
from android_bench.cli.progress import Display
from android_bench.errors import ConnectionLostError, NoDeviceError
from android_bench.store import device_lock, open_store


def test_each_lane_has_its_name_and_all_stop_together():
    out = io.StringIO()
    display = Display(Console(file=out, width=80))
    left, right = display.add_lane("left"), display.add_lane("right\x1b[31m")
    left.step("connecting")
    right.note("hot")
    assert "left: connecting" in out.getvalue()
    assert "warning: right" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    display.stop()
    for lane in (left, right):
        with pytest.raises(Cancelled):
            lane.step("more")


@pytest.fixture
def phones(standin_host, monkeypatch, tmp_path):
    """Let any serial but ``absent`` be a phone of its own."""
    standin_host.make_set("orig", latency_ns=1_000_000)
    standin_host.make_set("ours", latency_ns=900_000)
    own_locks(monkeypatch, tmp_path)

    @contextlib.contextmanager
    def open_bench(device, *, serial, store, target, governor, watch, cancellation):
        if serial == "absent":
            raise NoDeviceError("no device 'absent' is connected: check the cable")
        phone = StandinDevice()
        phone._record = dataclasses.replace(phone.record, serial=serial)
        virtual_time.run_on(phone.clock, monkeypatch)
        with open_store(store) as opened, device_lock(opened, serial) as lock:
            yield Bench(device=phone, store=opened, lock=lock, watch=watch)

    monkeypatch.setattr(lanes, "open_bench", open_bench)


FILES = ("--artifacts", "artifacts/*.pte", "--cores", "any")


def fail_on(monkeypatch, serial, error):
    """Have campaigns on one phone end with an error."""
    real = series.run_campaign

    def run_campaign(bench, contest, rules):
        if bench.device.record.serial == serial:
            raise error
        return real(bench, contest, rules)

    monkeypatch.setattr(series, "run_campaign", run_campaign)


def measured():
    with open_store("bench.sqlite") as store:
        return {store.device(record.device_id).serial for record in store.campaigns()}


def test_one_phone_that_is_absent_and_one_that_goes_leave_the_third(phones, adb_bench, monkeypatch):
    fail_on(monkeypatch, "going", ConnectionLostError("going was gone for 600 s"))
    assert adb_bench("--serial", "absent,going,there", *FILES) == 3
    told = [line for line in adb_bench.err.splitlines() if line.startswith("error: ")]
    assert len(told) == 2
    assert told[0].startswith("error: absent: no device")
    assert told[1].startswith("error: going: toynet")
    assert adb_bench.out.count("ours is faster than orig") == 1
    assert measured() == {"there"}


def test_a_fault_of_ours_in_one_lane_comes_after_what_the_others_finished(
    phones, adb_bench, monkeypatch, capsys
):
    fail_on(monkeypatch, "left", ZeroDivisionError("nobody thought of this"))
    with pytest.raises(ZeroDivisionError):
        adb_bench("--serial", "left,right", *FILES)
    assert "ours is faster than orig" in capsys.readouterr().out
    assert measured() == {"right"}


def test_only_one_device_is_qualified_at_a_time(phones, adb_bench):
    assert adb_bench("qualify", "--serial", "left,right", *FILES) == 2
    assert "one device at a time" in adb_bench.error
    assert adb_bench("qualify", "--serial", "left,absent", *FILES) == 3
    assert "qualify takes one device at a time" in adb_bench.err


def test_where_no_phone_can_be_opened_nothing_is_built(phones, adb_bench, monkeypatch):
    def build(*facts):
        raise AssertionError("nobody could use what is built")

    monkeypatch.setattr("android_bench.cli.main.find_or_build", build)
    monkeypatch.setattr(lanes.DeviceChoice, "find_serials", lambda choice: ["absent"] * 2)
    assert adb_bench("--all", "--model", "shufflenetv2") == 3
    assert adb_bench.err.count("error: absent: no device") == 2
