import os
import time

import pytest

from android_bench.devices.host import HostReadings, read_device
from android_bench.records import Cluster

STAT = "cpu  {user} 0 100 {idle} 0 0 0 {steal} 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n"


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def phone_like(tmp_path):
    """Record a machine of four big and four little Arm cores with three sensors."""
    files = {
        "sys/devices/system/cpu/present": "0-7\n",
        "sys/devices/system/cpu/online": "0-6\n",
        "proc/loadavg": "1.25 1.0 0.5 1/2 3\n",
        "proc/meminfo": "MemTotal:        8000000 kB\nMemFree: 1 kB\n",
        "proc/stat": STAT.format(user=1000, idle=9000, steal=0),
        "etc/os-release": 'NAME="x"\nPRETTY_NAME="Test OS 1"\n',
        "etc/machine-id": "0123\n",
        "sys/firmware/devicetree/base/model": "Example Board\0",
        "sys/class/thermal/thermal_zone0/type": "cpu\n",
        "sys/class/thermal/thermal_zone0/temp": "45000\n",
        "sys/class/thermal/thermal_zone1/type": "cpu\n",
        "sys/class/thermal/thermal_zone1/temp": "47000\n",
        "sys/class/thermal/thermal_zone2/type": "broken\n",
        "sys/class/thermal/thermal_zone2/temp": "\n",
        "sys/class/hwmon/hwmon0/name": "k10temp\n",
        "sys/class/hwmon/hwmon0/temp1_input": "-1500\n",
        "sys/class/hwmon/hwmon0/temp1_label": "Tctl\n",
    }
    cpuinfo = []
    for cpu in range(8):
        part, top, capacity = ("0xd0d", 2_600_000, 1024) if cpu > 3 else ("0xd05", 2_000_000, 400)
        cpuinfo.append(f"processor\t: {cpu}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n")
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        files |= {
            f"{folder}/cpu_capacity": f"{capacity}\n",
            f"{folder}/cpufreq/cpuinfo_min_freq": "500000\n",
            f"{folder}/cpufreq/cpuinfo_max_freq": f"{top}\n",
            f"{folder}/cpufreq/scaling_governor": "schedutil\n",
            f"{folder}/cpufreq/scaling_cur_freq": f"{1_000_000 + cpu}\n",
            f"{folder}/cpufreq/scaling_max_freq": f"{top}\n",
        }
    files["proc/cpuinfo"] = "\n".join(cpuinfo)
    write(tmp_path, files)
    return tmp_path


def test_a_machine_is_what_its_kernel_says(phone_like):
    device = read_device(phone_like)
    big = {"core": "Cortex-A77", "min_khz": 500_000, "max_khz": 2_600_000, "governor": "schedutil"}
    little = big | {"core": "Cortex-A55", "max_khz": 2_000_000}
    assert device.clusters == (
        Cluster(cpus=(0, 1, 2, 3), **little),
        Cluster(cpus=(4, 5, 6, 7), **big),
    )
    assert (device.cpu_count, device.memory_kib) == (8, 8_000_000)
    assert (device.model, device.os) == ("Example Board", "Test OS 1")
    assert device.thermal_zones == ("cpu", "cpu#2", "k10temp/Tctl")
    assert device.virtual is None
    assert "0123" not in device.serial


def test_readings_are_the_kernels(phone_like):
    reading = HostReadings(phone_like).read()
    assert reading.online_cpus == (0, 1, 2, 3, 4, 5, 6)
    assert reading.freq_khz == {cpu: 1_000_000 + cpu for cpu in range(7)}
    assert reading.freq_cap_khz[6] == 2_600_000
    assert reading.temp_mc == {"cpu": 45000, "cpu#2": 47000, "k10temp/Tctl": -1500}
    assert reading.hottest_mc == 47000
    assert reading.load_1min == 1.25


def test_load_is_that_between_two_readings(phone_like):
    readings = HostReadings(phone_like)
    assert readings.read().other_busy_fraction is None  # no time has passed
    write(phone_like, {"proc/stat": STAT.format(user=1000 + 30000, idle=9000 + 60000, steal=10000)})
    later = readings.read()
    assert later.steal_fraction == pytest.approx(0.1)
    assert later.other_busy_fraction == pytest.approx(0.3, abs=0.005)  # less what this test used


def test_what_the_kernel_does_not_tell_is_none(tmp_path):
    device = read_device(tmp_path)
    assert device.cpu_count == os.cpu_count()
    assert (device.memory_kib, device.thermal_zones, device.virtual) == (None, (), None)
    assert [(c.min_khz, c.max_khz, c.governor) for c in device.clusters] == [(None, None, "")]
    reading = HostReadings(tmp_path).read()
    assert (reading.hottest_mc, reading.load_1min, reading.other_busy_fraction) == (None,) * 3


def test_this_computer_can_be_read():
    device = read_device()
    assert device.cpu_count >= 1
    assert device.memory_kib > 1000
    assert device.serial.startswith("host-")
    assert read_device() == device
    readings = HostReadings()
    time.sleep(0.05)
    first, second = readings.read(), readings.read()
    assert second.at_ns > first.at_ns
    assert first.cpu in first.online_cpus


def test_ones_own_time_is_not_the_load_of_others():
    readings = HostReadings()
    begin, used = time.monotonic(), time.process_time()
    while time.monotonic() < begin + 0.5:
        pass
    reading = readings.read()
    available = (time.monotonic() - begin) * len(reading.online_cpus)
    own = (time.process_time() - used) / available
    assert own > 0.02
    assert reading.other_busy_fraction <= 1 - own - reading.steal_fraction + 0.06  # clock ticks
