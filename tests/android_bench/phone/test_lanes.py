"""Several devices on one screen, and how fast files get to one."""

import io

import pytest
from rich.console import Console

from android_bench.progress import Display
from android_bench.virtual_phone.throughput import push_throughput


def test_each_lane_has_its_name_and_all_stop_together():
    out = io.StringIO()
    display = Display(Console(file=out, width=80))
    left, right = display.lane("left"), display.lane("right\x1b[31m")
    left.step("connecting")
    right.note("hot")
    assert "left: connecting" in out.getvalue()
    assert "warning: right" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    display.stop()
    for lane in (left, right):
        with pytest.raises(KeyboardInterrupt):
            lane.step("more")


def test_every_client_sends_beside_the_platform_adb(kept_phone):
    found = push_throughput(kept_phone, size_bytes=2_000_000, rounds=1)
    assert [one.client for one in found] == ["adb push", "adb-server", "adb-shell"]
    assert found[0].ratio == 1.0
    assert all(one.mb_per_s > 0 for one in found)
