"""Several devices on one screen."""

import io

import pytest
from rich.console import Console

from android_bench.cli.progress import Display


def test_each_lane_has_its_name_and_all_stop_together():
    out = io.StringIO()
    display = Display(Console(file=out, width=80))
    left, right = display.add_lane("left"), display.add_lane("right\x1b[31m")
    left.step("connecting")
    right.note("hot")
    assert "left: connecting" in out.getvalue()
    assert "warning: right" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    display.stop()
    for lane in (left, right):
        with pytest.raises(KeyboardInterrupt):
            lane.step("more")
