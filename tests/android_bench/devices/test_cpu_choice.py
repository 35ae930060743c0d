import types

import pytest

from android_bench.devices.cpu_choice import choose_cpus, describe_mask
from android_bench.records import Cluster
from pfd_models.errors import DeviceError, InputError


def cluster(cpus, mhz, core=""):
    khz = None if mhz is None else mhz * 1000
    return Cluster(cpus=tuple(cpus), core=core, max_khz=khz)


def device(make, *clusters, usable=None, **changes):
    cpus = tuple(sorted(cpu for each in clusters for cpu in each.cpus))
    record = make.device(clusters=tuple(clusters), cpu_count=len(cpus), **changes)
    return types.SimpleNamespace(record=record, usable_cpus=cpus if usable is None else usable)


def bits(cpus):
    return sum(1 << cpu for cpu in cpus)


A55, A76, A53, A73 = "Cortex-A55", "Cortex-A76", "Cortex-A53", "Cortex-A73"


@pytest.mark.parametrize(
    ("clusters", "threads", "chosen"),
    [
        ([cluster(range(4), 2000), cluster(range(4, 8), 2600)], 1, (4, 5, 6, 7)),
        # One thread on the prime core alone: a mask of two kinds would let it move between them.
        ([cluster(range(4), 1800), cluster(range(4, 7), 2400), cluster([7], 2800)], 1, (7,)),
        (
            [cluster(range(4), 1800), cluster(range(4, 7), 2400), cluster([7], 2800)],
            2,
            (4, 5, 6, 7),
        ),
        ([cluster(range(6), 2000), cluster([6, 7], 2200)], 2, (6, 7)),
        # Frequencies that do not tell: the in-order kind is slow.
        ([cluster(range(4), None, A55), cluster(range(4, 8), None, A76)], 1, (4, 5, 6, 7)),
        ([cluster(range(4), 2000, A53), cluster(range(4, 8), 2000, A73)], 1, (4, 5, 6, 7)),
        ([cluster(range(4), 2000, A55), cluster(range(4, 8), None, A76)], 1, (4, 5, 6, 7)),
        ([cluster(range(4), None, A76), cluster(range(4, 8), None, A55)], 4, (0, 1, 2, 3)),
        ([cluster(range(4), None, A55), cluster([4], None, "part 0xfff")], 1, (4,)),
        ([cluster(range(8), 2000, A53)], 8, range(8)),
        ([cluster([0, 1], None)], 1, (0, 1)),
    ],
)
def test_the_fastest_clusters_that_hold_the_threads_are_chosen(make, clusters, threads, chosen):
    assert choose_cpus(device(make, *clusters), threads) == bits(chosen)


def test_only_cpus_that_may_be_used_count(make):
    clusters = [cluster(range(4), 2000), cluster(range(4, 8), 2600)]
    assert choose_cpus(device(make, *clusters, usable=(0, 1, 4)), 1) == bits([4])
    assert choose_cpus(device(make, *clusters, usable=(0, 1)), 1) == bits([0, 1])
    with pytest.raises(DeviceError, match="CPU 5 cannot be used on this device; it has 0,1,4"):
        choose_cpus(device(make, *clusters, usable=(0, 1, 4)), 1, "5")
    with pytest.raises(DeviceError, match="4 threads need 4 CPUs, there are 3"):
        choose_cpus(device(make, *clusters, usable=(0, 1, 4)), 4)


def test_an_emulated_phone_pins_nothing_where_its_fast_cores_are_missing(make):
    clusters = [cluster(range(4), 2000), cluster(range(4, 8), 2600)]
    phone = {"kind": "android", "virtual": True}
    assert choose_cpus(device(make, *clusters, usable=(0, 1), **phone), 1) == 0
    assert choose_cpus(device(make, *clusters, usable=(0, 5), **phone), 1) == bits([5])


@pytest.mark.parametrize("text", ["", "4-", "a", "1,,2", "0-99999", "1 2", "7-4"])
def test_a_list_that_cannot_be_read_is_refused(make, text):
    with pytest.raises(InputError, match="give auto, any, or CPU numbers"):
        choose_cpus(device(make, cluster(range(8), 2000)), 1, text)


def test_lists_and_no_pinning(make):
    one = device(make, cluster(range(8), 2000))
    assert choose_cpus(one, 1, "4-5,7") == bits([4, 5, 7])
    assert choose_cpus(one, 1, "any") == 0
    assert describe_mask(bits([4, 5, 7])) == "CPU 4,5,7"
    assert describe_mask(0) == "any CPU"
