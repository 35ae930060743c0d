"""What a phone's commands print: runs, profile, state, core lists, services, lock, cache."""

from android_bench.devices import cores
from android_bench.devices.answers import MARK, thermal_status
from android_bench.devices.phone import cache, governor
from android_bench.devices.phone.device import device_record
from android_bench.devices.phone.lock import locked
from android_bench.devices.phone.profile import Root, read_profile
from android_bench.devices.phone.state import read_state
from android_bench.records import Reading
from android_bench.transports import detached
from android_bench.transports.detached import DetachedRun, RunState
from android_bench.transports.local import LocalTransport
from android_bench.virtual_phone import rootfs
from fuzzing import Input, target
from fuzzing.scripted import ReplayTransport
from pfd_models.plain_data import to_plain

_RUN = DetachedRun(run_id="run", folder="/data/local/tmp/pfd/runs/run")


def _require_storable(value: object) -> None:
    """Require that a database takes every number of a record."""
    if isinstance(value, dict):
        for each in value.values():
            _require_storable(each)
    elif isinstance(value, list):
        for each in value:
            _require_storable(each)
    elif isinstance(value, int):
        assert abs(value) < 2**63, value
    elif isinstance(value, str):
        assert len(value) < 5000, len(value)


@target(
    "detached-run",
    b"running 12 0\nsome output\n",
    b"0 5 3\nhello",
    b"lost 0 0\n",
    b"137 99999999999 0\nbytes \xff\x00",
    b" 12 0\n",
)
def check_detached(given: Input) -> None:
    detached.runs(ReplayTransport(given.data))
    transport = ReplayTransport(given.data, stderr=given.data[:50], exit_code=len(given.cuts) % 2)
    status = detached.poll(transport, _RUN)
    assert (status.exit_code is not None) is (status.state is RunState.ENDED)
    assert len(status.stdout) <= len(given.data)


def _grep(content: dict[str, str]) -> str:
    lines = [
        f"/{path}:{line}\n"
        for path, text in content.items()
        if path.startswith("sys/")
        for line in text.splitlines()
    ]
    return "".join(lines)


_FILES = rootfs.files()
_PROFILE = (
    "".join(f"[{name}]: [{value}]\n" for name, value in rootfs.PROPERTIES.items())
    + f"{MARK} files\n{_grep(_FILES)}"
    + "".join(f"/proc/cpuinfo:{line}\n" for line in _FILES["dev/cpuinfo"].splitlines())
    + "/proc/sys/kernel/random/boot_id:0ab1-22\n/proc/sys/kernel/osrelease:5.10.66\n"
    + f"MemTotal:       11717808 kB\n{MARK} user\n2000\n/system/xbin/su\n"
    + f"{MARK} battery\n{_FILES['dev/dumpsys/battery']}{MARK} power\n"
    + f"{_FILES['dev/dumpsys/power']}{MARK} thermalservice\n{_FILES['dev/dumpsys/thermalservice']}"
    + f"{MARK} low_power\n0\n"
)


@target("device-profile", _PROFILE, _PROFILE[-1200:], f"{MARK} files\nMemTotal: {'9' * 25} kB\n")
def check_profile(given: Input) -> None:
    record = device_record(read_profile(ReplayTransport(given.data)))
    _require_storable(to_plain(record))
    assert all(cpu <= cores.HIGHEST_CPU for cluster in record.clusters for cpu in cluster.cpus)


_STATE = (
    f"{MARK} files\n{_grep(_FILES)}"
    "/proc/uptime:1234.56 9876.54\n/proc/loadavg:0.52 0.58 0.59 1/1000 4242\n"
    "/proc/sys/kernel/random/boot_id:0ab1-22\n"
    "/proc/stat:cpu  10132153 290696 3084719 46828483 16683 0 25195 0 175628 0\n"
    f"{MARK} clock\n1767225600\n{MARK} thermalservice\n{_FILES['dev/dumpsys/thermalservice']}"
)


@target("device-state", _STATE, _STATE[-700:])
def check_state(given: Input) -> None:
    state = read_state(ReplayTransport(given.data))
    reading = state.reading(state, 0)
    assert isinstance(reading, Reading)
    _require_storable(to_plain(reading))


@target("cpu-lists", "0-3,6\n", "4 5 6 7", "0-7", "99999", "0-1023", "3-1", "1,,2,-,5-")
def check_cpu_lists(given: Input) -> None:
    found = cores.cpu_list(given.text)
    assert list(found) == sorted(set(found))
    assert all(0 <= cpu <= cores.HIGHEST_CPU for cpu in found)
    policy = f"{cores.CPU_FOLDER}/cpufreq/policy0"
    clusters = cores.clusters(
        {
            f"{policy}/related_cpus": given.text[:1000],
            f"{policy}/cpuinfo_max_freq": given.text[:100].strip(),
            f"{cores.CPU_FOLDER}/present": given.text[:1000],
            "/proc/cpuinfo": given.text,
        }
    )
    covered = [cpu for cluster in clusters for cpu in cluster.cpus]
    assert sorted(covered) == sorted(set(covered))


@target(
    "dumpsys",
    _FILES["dev/dumpsys/battery"],
    _FILES["dev/dumpsys/power"],
    _FILES["dev/dumpsys/thermalservice"],
    "Can't find service: thermalservice\n",
)
def check_dumpsys(given: Input) -> None:
    status = thermal_status(given.text)
    assert status is None or 0 <= status <= 9
    services = "".join(
        f"{MARK} {name}\n{given.text}\n" for name in ("battery", "power", "thermalservice")
    )
    read_profile(ReplayTransport(f"{MARK} files\n{services}{MARK} low_power\n1\n".encode()))


@target(
    "device-lock",
    "a1b2.0f-11.1234\nlaptop, process 12 [b pid:[4026531836] 991]\n",
    "a1b2.0f-11.1234\n\x1b]0;owned\x07, process 99999999999999999999 [a b c]\n",
    "\n\n",
)
def check_lock(given: Input) -> None:
    exit_code = (0, 11, 12, 12)[len(given.cuts) % 4]
    transport = ReplayTransport(given.data, stderr=given.data[:200], exit_code=exit_code)
    with locked(transport) as lock:
        lock.renew()


_CACHED = "0123456789abcdef0123456789abcdef-orig_net.pte"
_LISTING = (
    f"1767225600\n1767000000 1000000 {_CACHED}\n1 5 f{_CACHED[1:]}\n\n"
    "Filesystem     1K-blocks    Used Available Use% Mounted on\n"
    "/dev/block/dm-9 113000000 1000 2000 1% /data\n"
)


@target("phone-cache", _LISTING, f"{_CACHED}\n", "3\n120\tfiles\n40\tharness\n")
def check_cache(given: Input) -> None:
    transport = ReplayTransport(given.data)
    freed = cache.clean_cache(transport)
    assert 0 <= freed.files < 2**63
    cache._make_room(transport, 1_000_000, ())
    for file in cache._cached_files(given.text):
        assert "/" not in file.name
        assert file.idle_s >= 0


_ROOTED = read_profile(LocalTransport())
_CLOCKS = "".join(line + "\n" for line in _grep(_FILES).splitlines() if "cpufreq" in line)


@target("kernel-clocks", _CLOCKS, _CLOCKS[:300])
def check_clocks(given: Input) -> None:
    import dataclasses

    rooted = dataclasses.replace(_ROOTED, root=Root.ADBD)
    policies = governor._read_policies(ReplayTransport(given.data), rooted)
    for wanted in ("performance", "fixed:1700000", f"fixed:{given.text[:30]}", given.text[:30]):
        governor._governor_values(policies, wanted)
