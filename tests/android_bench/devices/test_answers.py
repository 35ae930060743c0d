import pytest

from android_bench.devices import cores
from android_bench.devices.answers import one_line, thermal_status, whole_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("4242", 4242),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("9" * 25, None),
        ("9" * 5000, None),  # int() itself would raise
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1_000", None),
        ("1.0", None),
        ("٣", None),
        ("²", None),
        (" 1", None),
    ],
)
def test_a_number_is_plain_digits_that_can_be_stored(text, number):
    assert whole_number(text) == number


def test_a_number_beyond_belief_is_none():
    assert whole_number("1023", highest=1023) == 1023
    assert whole_number("1024", highest=1023) is None


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0-1023", tuple(range(1024))),
        ("99999", ()),
        ("0-99999", ()),
        ("0,1024,5", (0, 5)),
        ("3-1", ()),
        ("0-" + "9" * 5000, ()),
        ("1-2-3", ()),
    ],
)
def test_core_numbers_are_capped(text, cpus):
    assert cores.cpu_list(text) == cpus


def test_a_core_of_two_clusters_is_of_one():
    policy = f"{cores.CPU_FOLDER}/cpufreq/policy"
    content = {
        f"{policy}0/related_cpus": "0 1 2 3",
        f"{policy}0/cpuinfo_max_freq": "9" * 25,
        f"{policy}4/related_cpus": "2 3 4 5",
        f"{policy}4/cpuinfo_max_freq": "2600000",
        "/proc/cpuinfo": "processor : 99999\nCPU part : 0xd05\n",
    }
    found = [(cluster.cpus, cluster.max_khz, cluster.core) for cluster in cores.clusters(content)]
    assert found == [((0, 1, 2, 3), None, ""), ((4, 5), 2_600_000, "")]


def test_a_megabyte_becomes_a_line():
    assert one_line("x" * 1_000_000).endswith("…")
    assert len(one_line("\x1b[31m\n" * 100_000)) <= 120
    assert one_line(" a\tb\u202ec ") == "a b c"


def test_a_thermal_status_is_one_digit():
    assert thermal_status("x\nThermal Status: 3\n") == 3
    assert thermal_status("Thermal Status: 33") is None
    assert thermal_status("Thermal Status: ٣") is None
