import time

import pytest

from android_bench.devices.phone.held_settings import hold_settings
from android_bench.devices.phone.profile import read_profile
from android_bench.errors import UnfitDeviceError
from android_bench.transports import detached
from android_bench.virtual_phone import hooks
from pfd_models.errors import DeviceError, InputError

POLICY = "/sys/devices/system/cpu/cpufreq/policy4"
GOVERNOR = f"{POLICY}/scaling_governor"
HIGHEST = f"{POLICY}/scaling_max_freq"


@pytest.fixture
def rooted(direct, phone):
    hooks.kill_daemon(phone)
    hooks.start_daemon(phone, as_root=True)
    direct.wait(20)
    return direct


def value(transport, path):
    return transport.run(f"cat {path}").stdout.strip()


def test_settings_hold_inside_and_are_back_afterwards(rooted):
    wanted = {HIGHEST: "1700000", GOVERNOR: "performance"}
    with hold_settings(rooted, read_profile(rooted), wanted) as settings:
        assert {path: value(rooted, path) for path in wanted} == wanted
        assert settings.old == {HIGHEST: "2600000", GOVERNOR: "schedutil"}
        settings.keep_alive()
    assert (value(rooted, HIGHEST), value(rooted, GOVERNOR)) == ("2600000", "schedutil")
    assert detached.runs(rooted, root="/data/local/tmp/pfd/settings") == []


def test_they_are_back_after_an_error_too(rooted):
    profile = read_profile(rooted)
    with (
        pytest.raises(ZeroDivisionError),
        hold_settings(rooted, profile, {GOVERNOR: "performance"}),
    ):
        _ = 1 / 0
    assert value(rooted, GOVERNOR) == "schedutil"


def test_the_device_restores_by_itself_when_the_host_is_gone(rooted, phone):
    profile = read_profile(rooted)
    # Entered and never left, as by a host that was killed.
    context = hold_settings(rooted, profile, {GOVERNOR: "performance"}, silence_s=2)
    context.__enter__()
    hooks.kill_daemon(phone)
    path = GOVERNOR.removeprefix("/")
    assert phone.request("read", path=path)["text"].strip() == "performance"
    end = time.monotonic() + 15
    while phone.request("read", path=path)["text"].strip() != "schedutil":
        assert time.monotonic() < end, "the helper did not restore"
        time.sleep(0.2)
    hooks.start_daemon(phone)
    rooted.wait(20)
    context.__exit__(None, None, None)


def test_signs_of_life_keep_the_settings(rooted):
    profile = read_profile(rooted)
    with hold_settings(rooted, profile, {GOVERNOR: "performance"}, silence_s=3) as settings:
        for _ in range(4):
            settings.keep_alive()
            time.sleep(1.0)
        assert value(rooted, GOVERNOR) == "performance"


def test_what_is_set_already_is_not_touched(rooted, phone):
    with hold_settings(rooted, read_profile(rooted), {GOVERNOR: "schedutil"}) as settings:
        assert settings.old == {}
        assert detached.runs(rooted, root="/data/local/tmp/pfd/settings") == []
        settings.keep_alive()


def test_a_value_that_is_not_taken_puts_everything_back(rooted, phone, one_line):
    profile = read_profile(rooted)
    stubborn = "/proc/sys/kernel/random/uuid"  # another value at every look
    with (
        pytest.raises(DeviceError) as error,
        hold_settings(rooted, profile, {HIGHEST: "1700000", stubborn: "x"}),
    ):
        pass
    one_line(error, 3, stubborn)
    assert value(rooted, HIGHEST) == "2600000"


def test_without_root_nothing_is_hold_settings(direct, one_line):
    with (
        pytest.raises(UnfitDeviceError) as error,
        hold_settings(direct, read_profile(direct), {GOVERNOR: "performance"}),
    ):
        pass
    one_line(error, 3, "root", "virtual")
    assert value(direct, GOVERNOR) == "schedutil"


@pytest.mark.parametrize("path", ["/data/x", "/sys/../etc/passwd", "sys/x", "/sys/absent"])
def test_only_settings_are_settings(rooted, path):
    with pytest.raises(InputError), hold_settings(rooted, read_profile(rooted), {path: "1"}):
        pass
