import time
from dataclasses import replace

import pytest

from android_bench.devices import cores
from android_bench.devices.answers import one_line as shorten
from android_bench.devices.phone import profile as profile_module
from android_bench.devices.phone import readiness
from android_bench.devices.phone.profile import Root, read_profile
from android_bench.errors import UnfitDeviceError
from android_bench.transports.adb import parse_properties
from android_bench.transports.local import LocalTransport
from android_bench.virtual_phone import hooks
from pfd_models.errors import InputError


def test_the_virtual_phone_is_read_as_what_it_wears(transport):
    profile = read_profile(transport)
    assert profile.model == "Virtual Dimensity 1000+"
    assert (profile.soc, profile.abi, profile.android) == ("MT6889Z/CZA", "arm64-v8a", "12")
    little, big = profile.clusters
    assert (little.core, little.cpus, little.max_khz) == ("Cortex-A55", (0, 1, 2, 3), 2_000_000)
    assert (big.core, big.cpus, big.max_khz) == ("Cortex-A77", (4, 5, 6, 7), 2_600_000)
    assert big.governor == "schedutil"
    assert "performance" in big.governors
    assert profile.thermal_zones == ("mtktscpu", "mtktsbattery", "mtktsAP", "mtktspa")
    assert profile.thermal_status == 0
    assert profile.battery.level_percent == 87
    assert profile.battery.temp_c == 29.0
    assert profile.root is Root.NONE
    assert profile.virtual


def test_what_it_lacks_is_told_with_advice(direct, phone):
    before = {issue.what for issue in readiness.find_issues(read_profile(direct))}
    assert before == {"it is emulated", "charging"}
    hooks.heat(phone, 45.0, status=2)
    hooks.set_battery(phone, level="12", status="3", USB_powered="false", temperature="402")
    hooks.set_power_saving(phone, on=True)
    hooks.set_screen(phone, on=False)
    hooks.set_core(phone, 6, online=False)
    issues = readiness.find_issues(read_profile(direct))
    assert {issue.what for issue in issues} == {
        "it is emulated",
        "battery at 12 %",
        "battery at 40.2 °C",
        "thermal status 2",
        "power saving is on",
        "the screen is off",
        "cores 6 offline",
    }
    assert all(issue.advice for issue in issues)


def test_a_rooted_phone_is_known(direct, phone):
    hooks.kill_daemon(phone)
    hooks.start_daemon(phone, as_root=True)
    direct.wait(20)
    assert read_profile(direct).root is Root.ADBD


def test_a_system_server_that_hangs_costs_time_but_not_the_profile(direct, phone, monkeypatch):
    quick = profile_module._READ.replace("timeout 10", "timeout 1")
    monkeypatch.setattr(profile_module, "_READ", quick)
    hooks.hang_dumpsys(phone, hanging=True)
    begin = time.monotonic()
    profile = read_profile(direct)
    assert time.monotonic() - begin < 15
    assert (profile.battery, profile.thermal_status, profile.screen_on) == (None, None, None)
    assert profile.soc == "MT6889Z/CZA"


@pytest.mark.parametrize(
    "hostile",
    [
        "line\nbreak\r\n[ro.product.cpu.abi]",
        "\x1b]0;title\x07\x1b[31mred",
        "$(reboot); `id`; '\"",
        "x" * 5000,
        "\u202egnirts",
    ],
)
def test_hostile_strings_become_one_bearable_line(direct, phone, hostile):
    hooks.set_property(phone, "ro.product.model", hostile)
    hooks.set_property(phone, "ro.soc.model", hostile)
    profile = read_profile(direct)
    for text in (profile.model, profile.soc):
        assert text
        assert text.isprintable()
        assert len(text) <= 120
    assert profile.abi == "arm64-v8a"


@pytest.mark.parametrize(
    ("abi", "abilist", "words"),
    [
        ("armeabi-v7a", "armeabi-v7a,armeabi", ["armeabi-v7a", "32-bit"]),
        ("x86_64", "x86_64,x86", ["x86_64", "another processor"]),
        ("", "", ["nothing known"]),
    ],
)
def test_a_phone_of_another_abi_is_refused(direct, phone, one_line, abi, abilist, words):
    readiness.require_abi(read_profile(direct))
    hooks.set_property(phone, "ro.product.cpu.abi", abi)
    hooks.set_property(phone, "ro.product.cpu.abilist", abilist)
    with pytest.raises(UnfitDeviceError) as error:
        readiness.require_abi(read_profile(direct))
    one_line(error, 3, "arm64-v8a", "virtual", *words)


def test_an_android_that_is_too_old_is_refused(direct, phone, one_line):
    hooks.set_property(phone, "ro.build.version.sdk", "24")
    hooks.set_property(phone, "ro.build.version.release", "7.0")
    with pytest.raises(UnfitDeviceError) as error:
        readiness.require_abi(read_profile(direct))
    one_line(error, 3, "Android 7.0", "API 26")


def elf(path, machine, bits=2):
    path.write_bytes(b"\x7fELF" + bytes([bits, 1, 1]) + bytes(11) + machine.to_bytes(2, "little"))
    return path


def test_a_program_for_another_processor_is_refused_before_it_is_pushed(direct, tmp_path, one_line):
    profile = read_profile(direct)
    readiness.require_runs(profile, elf(tmp_path / "right", 0xB7))
    with pytest.raises(UnfitDeviceError) as error:
        readiness.require_runs(profile, elf(tmp_path / "wrong", 0x3E))
    one_line(error, 3, "wrong", "x86_64", "arm64-v8a", "--target")
    (tmp_path / "text").write_text("hello, I am no program at all")
    with pytest.raises(InputError) as error:
        readiness.require_runs(profile, tmp_path / "text")
    one_line(error, 2, "text", "ELF")
    with pytest.raises(InputError) as error:
        readiness.require_runs(profile, tmp_path / "absent")
    one_line(error, 2, "absent")


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,6", (0, 1, 2, 3, 6)), ("4 5 6 7\n", (4, 5, 6, 7)), ("", ()), ("evil,1-x,2", (2,))],
)
def test_lists_of_cores(text, cpus):
    assert cores.cpu_list(text) == cpus


def test_a_phone_without_cpufreq_is_grouped_by_kind():
    content = {
        "/sys/devices/system/cpu/present": "0-3",
        "/proc/cpuinfo": "".join(
            f"processor\t: {n}\nCPU part\t: {part}\n\n"
            for n, part in enumerate(["0xd05", "0xd05", "0xd0d", "0xfff"])
        ),
    }
    found = [(c.core, c.cpus, c.max_khz) for c in cores.clusters(content)]
    assert found == [
        ("Cortex-A55", (0, 1), None),
        ("Cortex-A77", (2,), None),
        ("implementer 0x41 part 0xfff", (3,), None),
    ]


def test_properties_may_hold_brackets_and_lines():
    text = "[a]: [1]\n[b]: [x]: [y]]\n[c]: [two\nlines]\n[d]: []\n"
    assert parse_properties(text) == {"a": "1", "b": "x]: [y]", "c": "two\nlines", "d": ""}
    assert parse_properties("") == {}


def test_this_computer_has_a_profile():
    profile = read_profile(LocalTransport())
    assert profile.serial == "host"
    assert len(profile.cpus) >= 1
    assert profile.sdk is None
    assert replace(profile, virtual=True) != profile or profile.virtual


def test_long_and_control_characters_are_cut():
    assert shorten("a\x00b\x7fc\td") == "a b c d"
    assert shorten("y" * 500).endswith("…")
