"""What the harness reads about a device, from a recorded one."""

import pytest

from android_bench.harness.lines import LineReader
from android_bench.harness.process import run_here


@pytest.fixture
def phone(tmp_path):
    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    cpu = "sys/devices/system/cpu"
    write(f"{cpu}/online", "0-1,4\n")
    for number, khz, cap in ((0, "1800000", "2000000"), (1, "0", "2000000"), (4, "2600000", "x")):
        write(f"{cpu}/cpu{number}/cpufreq/scaling_cur_freq", f"{khz}\n")
        write(f"{cpu}/cpu{number}/cpufreq/scaling_max_freq", f"{cap}\n")
    for zone, kind, temp in ((0, "cpu", "45200"), (1, "cpu", "-273000"), (2, "skin", "33000")):
        write(f"sys/class/thermal/thermal_zone{zone}/type", f"{kind}\n")
        write(f"sys/class/thermal/thermal_zone{zone}/temp", f"{temp}\n")
    write("sys/class/thermal/thermal_zone3/type", "dead\n")  # and no temperature
    write("sys/class/hwmon/hwmon0/name", "k10temp\n")
    write("sys/class/hwmon/hwmon0/temp1_input", "51000\n")
    write("sys/class/hwmon/hwmon0/temp1_label", "Tctl\n")
    write("sys/class/hwmon/hwmon0/temp2_input", "52000\n")
    write("proc/loadavg", "1.25 0.50 0.25 1/100 4242\n")
    write("proc/stat", "cpu  10 20 30 400 5 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    return tmp_path


def test_readings_of_a_phone_are_read_as_they_are(awkward, always, phone):
    lines = []
    reader = LineReader("1+0", lines.append)
    command = [*awkward.harness.command, *always, "--engine", "awkward", "--iterations", "1"]
    command += ["--model", awkward.job("ok x").model]
    ended = run_here([*command, "--sys-root", str(phone)], timeout_s=20, on_line=reader.feed)
    result = reader.result(ended)
    before = result.run.before
    assert before.online_cpus == (0, 1, 4)
    assert before.freq_khz == {0: 1_800_000, 1: None, 4: 2_600_000}
    assert before.freq_cap_khz == {0: 2_000_000, 1: 2_000_000, 4: None}
    assert before.temp_mc == {
        "cpu": 45_200,
        "skin": 33_000,
        "k10temp/Tctl": 51_000,
        "k10temp/temp2": 52_000,
    }
    assert before.load_1min == 1.25
    raw = next(line for line in lines if line["type"] == "reading")
    assert ["cpu", -273_000] in raw["temp_mc"]  # told as it is; the host does not believe it
    assert raw["cpu_ticks"] == [10, 20, 30, 400, 5, 6, 7, 8]
    # The recorded clock stands still: no share of nothing.
    assert result.run.after.other_busy_fraction is None


def test_a_device_that_tells_nothing_is_read_as_nothing(awkward, always, tmp_path):
    empty, reader = tmp_path / "empty", LineReader("1+0")
    empty.mkdir()
    command = [*awkward.harness.command, *always, "--engine", "awkward", "--iterations", "1"]
    command += ["--model", awkward.job("ok x").model]
    ended = run_here([*command, "--sys-root", str(empty)], timeout_s=20, on_line=reader.feed)
    before = reader.result(ended).run.before
    assert (before.online_cpus, dict(before.freq_khz), dict(before.temp_mc)) == ((), {}, {})
    assert before.load_1min is None
