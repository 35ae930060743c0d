import dataclasses
import time

import pytest
from fuzzing.scripted import ReplayTransport

from android_bench.cancellation import Cancellation, Cancelled
from android_bench.devices.phone import governor
from android_bench.devices.phone.governor import use_governor
from android_bench.devices.phone.held_settings import hold_settings
from android_bench.devices.phone.profile import Root, read_profile
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


# -- clocks ------------------------------------------------------------------------------------

LITTLE = "/sys/devices/system/cpu/cpufreq/policy0"


def clocks(transport):
    """Governor, lowest and highest clock of each cluster."""
    names = ("scaling_governor", "scaling_min_freq", "scaling_max_freq")
    files = [f"{policy}/{name}" for policy in (LITTLE, POLICY) for name in names]
    values = transport.run(f"cat {' '.join(files)}").stdout.split()
    return [tuple(values[:3]), tuple(values[3:])]


BEFORE = [("schedutil", "500000", "2000000"), ("schedutil", "774000", "2600000")]


def test_performance_is_for_all_clusters_and_gone_afterwards(rooted):
    with use_governor(rooted, read_profile(rooted), "performance") as held:
        assert [governor for governor, _, _ in clocks(rooted)] == ["performance"] * 2
        assert held.old == dict.fromkeys((f"{LITTLE}/scaling_governor", GOVERNOR), "schedutil")
        held.keep_alive()
    assert clocks(rooted) == BEFORE


@pytest.mark.parametrize(
    ("khz", "little", "big"),
    [
        ("1700000", "1600000", "1700000"),  # not offered by the little ones: the nearest below
        ("500000", "500000", "774000"),  # nothing below: the lowest there is
        ("2600000", "2000000", "2600000"),
    ],
)
def test_a_fixed_clock_is_for_all_clusters_and_gone_afterwards(rooted, khz, little, big):
    with use_governor(rooted, read_profile(rooted), f"fixed:{khz}") as held:
        assert clocks(rooted) == [("schedutil", little, little), ("schedutil", big, big)]
        assert set(held.new.values()) <= {little, big}
    assert clocks(rooted) == BEFORE


def test_the_lowest_is_never_above_the_highest_on_the_way():
    policy = governor._Policy(
        folder="/sys/p", governors=(), frequencies_khz=(1, 2, 3), range_khz=(1, 3), now_khz=(2, 3)
    )
    names = [path.rpartition("/")[2] for path in governor._governor_values([policy], "fixed:1")]
    assert names == ["scaling_min_freq", "scaling_max_freq"]
    names = [path.rpartition("/")[2] for path in governor._governor_values([policy], "fixed:3")]
    assert names == ["scaling_max_freq", "scaling_min_freq"]


def test_a_kernel_that_lists_no_clocks_takes_any_in_its_range():
    policy = governor._Policy(
        folder="/sys/p",
        governors=(),
        frequencies_khz=(),
        range_khz=(400, 3000),
        now_khz=(400, 3000),
    )
    assert set(governor._governor_values([policy], "fixed:1234").values()) == {"1234"}
    with pytest.raises(InputError, match="400 to 3000"):
        governor._governor_values([policy], "fixed:3001")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("powersave", ["'powersave'", "performance or fixed:KHZ"]),
        ("fixed", ["'fixed'", "performance or fixed:KHZ"]),
        ("fixed:", ["''", "policy0: 500000", "policy4: 774000"]),
        ("fixed:1700001", ["1700001", "1600000 2000000"]),
        ("fixed:-5", ["'-5'"]),
        ("fixed:" + "9" * 5000, ["policy4"]),
        ("fixed:1,7\n", ["'1,7'"]),
    ],
)
def test_what_the_kernel_does_not_offer_is_refused_before_anything_changes(
    rooted, one_line, wanted, words
):
    with pytest.raises(InputError) as error, use_governor(rooted, read_profile(rooted), wanted):
        pass
    one_line(error, 2, *words)
    assert clocks(rooted) == BEFORE


def test_a_governor_that_one_cluster_lacks_is_refused(rooted, phone, one_line):
    phone.request(
        "write", path=f"{POLICY[1:]}/scaling_available_governors", text="schedutil userspace\n"
    )
    with (
        pytest.raises(InputError) as error,
        use_governor(rooted, read_profile(rooted), "performance"),
    ):
        pass
    one_line(error, 2, "policy4", "schedutil userspace", "fixed:KHZ")
    assert clocks(rooted) == BEFORE


def test_without_root_or_clocks_it_says_which(direct, phone, one_line):
    profile = read_profile(direct)
    with pytest.raises(UnfitDeviceError) as error, use_governor(direct, profile, "performance"):
        pass
    one_line(error, 3, "root")
    rooted = dataclasses.replace(profile, root=Root.ADBD)
    with (
        pytest.raises(UnfitDeviceError) as error,
        use_governor(ReplayTransport(b""), rooted, "performance"),
    ):
        pass
    one_line(error, 3, "offers no clock", "--governor")


def test_after_a_long_outage_the_clocks_are_held_again(rooted, phone):
    with use_governor(rooted, read_profile(rooted), "performance", silence_s=1) as held:
        end = time.monotonic() + 20
        while value(rooted, GOVERNOR) != "schedutil":
            assert time.monotonic() < end, "the helper did not restore"
            time.sleep(0.1)
        held.keep_alive()
        assert value(rooted, GOVERNOR) == "performance"
        hooks.reboot(phone)
        hooks.kill_daemon(phone)
        hooks.start_daemon(phone, as_root=True)
        rooted.wait(20)
        phone.request("write", path=GOVERNOR[1:], text="schedutil\n")
        held.keep_alive()
        assert value(rooted, GOVERNOR) == "performance"
    assert clocks(rooted) == BEFORE
    assert detached.runs(rooted, root="/data/local/tmp/pfd/settings") == []


def test_an_interrupt_and_a_lanes_stop_restore_too(rooted):
    profile, cancellation = read_profile(rooted), Cancellation()
    with pytest.raises(KeyboardInterrupt), use_governor(rooted, profile, "performance"):
        raise KeyboardInterrupt
    assert clocks(rooted) == BEFORE

    def measure():
        lane = rooted.cancelled_by(cancellation)
        with use_governor(lane, profile, "performance") as held:
            cancellation.cancel()
            held.keep_alive()

    with pytest.raises(Cancelled):
        measure()
    assert clocks(rooted) == BEFORE
