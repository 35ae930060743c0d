"""Verbs and options that only phones know: clean, build for one, holding its clocks."""

import pytest
from bench_rig import StandinDevice, own_locks

from android_bench.campaign import opening
from android_bench.cli import main
from android_bench.devices.phone.cache import Freed
from android_bench.errors import NoDeviceError, UnfitDeviceError
from android_bench.store import open_store

PTE = ("--artifacts", "artifacts/*.pte", "--budget", "1s")


class Transport:
    """A connection that remembers whether it was closed."""

    def __init__(self, serial):
        self.serial = serial
        self.closed = False

    def close(self):
        self.closed = True


class Phone(StandinDevice):
    """A stand-in whose clocks can be held."""

    def __init__(self):
        super().__init__()
        self.held = []

    def hold_governor(self, wanted):
        if wanted == "fixed:9999999":
            raise UnfitDeviceError("changing settings needs root, and there is none")
        self.held.append(wanted)


@pytest.fixture
def phone(standin_host, monkeypatch, tmp_path):
    """Let any serial be one phone."""
    standin_host.make_set("orig", suffixes=(".pte",))
    own_locks(monkeypatch, tmp_path)
    made = Phone()
    monkeypatch.setattr(opening, "open_transport", lambda serial, cancellation: Transport(serial))
    monkeypatch.setattr(opening, "phone_device", lambda transport, target, say: made)
    return made


@pytest.mark.parametrize("wanted", ["performance", "fixed:1200000"])
def test_the_governor_is_held_while_a_phone_is_measured_and_recorded(phone, adb_bench, wanted):
    assert adb_bench("--serial", "X", "--governor", wanted, "--cores", "any", *PTE) == 0
    assert phone.held == [wanted]
    assert f"setting the governor to {wanted}" in adb_bench.err
    with open_store("bench.sqlite") as store:
        assert store.campaign("last").rules.governor == wanted


def test_a_phone_that_does_not_let_its_clocks_be_held_is_not_measured(phone, adb_bench):
    assert adb_bench("--serial", "X", "--governor", "fixed:9999999", *PTE) == 3
    assert "needs root" in adb_bench.error
    with open_store("bench.sqlite") as store:
        assert store.campaigns() == ()


def test_this_computers_governor_is_its_own_tools_business(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",))
    assert adb_bench("--governor", "performance", *PTE) == 2
    assert "--governor performance is for rooted phones" in adb_bench.error


def test_a_campaign_goes_on_only_under_the_same_governor(phone, adb_bench, monkeypatch):
    def stop(*facts):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("android_bench.cli.progress.Display.block", stop)
        call = ("--serial", "X", "--governor", "performance", "--cores", "any", *PTE)
        assert adb_bench(*call) == 130
    assert adb_bench("--serial", "X", "--resume") == 2
    assert "was measured with --governor performance: give it again" in adb_bench.error
    assert adb_bench("--serial", "X", "--governor", "performance", "--resume") == 0
    with open_store("bench.sqlite") as store:
        assert len(store.campaigns()) == 1


def test_a_start_temperature_is_a_limit_of_the_campaign(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",))
    assert adb_bench("--start-temperature", "45", *PTE) == 0
    with open_store("bench.sqlite") as store:
        assert store.campaign("last").rules.limits.start_temperature_mc == 45_000


def test_clean_says_what_it_removed_from_each_phone(adb_bench, monkeypatch):
    opened = []

    def open_transport(serial):
        opened.append(Transport(serial))
        return opened[-1]

    monkeypatch.setattr(main, "open_transport", open_transport)
    monkeypatch.setattr(main, "clean_cache", lambda t: Freed(files=21, size_bytes=23_700_000))
    assert adb_bench("clean", "--serial", "left,right") == 0
    assert adb_bench.out == ("left: 21 files removed, 23.7 MB\nright: 21 files removed, 23.7 MB\n")
    assert [transport.closed for transport in opened] == [True, True]


def test_clean_goes_on_with_the_next_phone(adb_bench, monkeypatch):
    def open_transport(serial):
        if serial == "gone":
            raise NoDeviceError("no device 'gone' is connected: check the cable")
        return Transport(serial)

    monkeypatch.setattr(main, "open_transport", open_transport)
    monkeypatch.setattr(main, "clean_cache", lambda t: Freed(files=0, size_bytes=0))
    assert adb_bench("clean", "--serial", "gone,there") == 3
    assert "no device 'gone' is connected" in adb_bench.error
    assert "there: 0 files removed" in adb_bench.out


@pytest.mark.parametrize("verb", ["clean", "doctor"])
def test_a_verb_for_phones_wants_a_phone(adb_bench, verb):
    assert adb_bench(verb) == 2
    assert "give --serial X, or --device virtual" in adb_bench.error


def test_build_makes_the_harness_alone(adb_bench):
    assert adb_bench("build") == 0
    assert "pfd_bench\nversion " in adb_bench.out
    assert adb_bench("build", "--target", "vax") == 2
    assert "unknown target 'vax'" in adb_bench.error
