"""What is drawn while a campaign runs, on a terminal."""

import io

from rich.console import Console

from android_bench.campaign.campaign import run_campaign
from android_bench.cli.progress import Display, done_share
from android_bench.statistics.monitor import Decision, Reason


def drawn(width=160):
    return Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False)


def test_a_terminal_sees_the_interval_and_the_aim_after_every_block(rig):
    rig.make_set("orig", suffixes=(".pte",))
    rig.make_set("ours", suffixes=(".pte",), latency_ns=900_000)
    console = drawn()
    with Display(console) as display:
        rig.listener = display
        with rig.bench() as bench:
            result = run_campaign(bench, rig.contest(), rig.rules)
    text = console.file.getvalue()
    assert f"{len(result.blocks)} blocks" in text
    assert f"±{result.comparisons[0].half_width:.2%} · aim ±1.00%" in text
    assert "precision reached" in text
    assert display._progress.live.auto_refresh is False  # nothing of ours runs during a block


def test_a_warning_stands_in_one_line_and_names_are_only_text():
    console = drawn()
    with Display(console) as display:
        display.note("a [bold]name[/] with \x1b[2J in it")
    (line,) = [x for x in console.file.getvalue().splitlines() if "name" in x]
    assert "warning: " in line
    assert "[bold]name[/] with \\x1b[2J in it" in line


def test_the_share_that_is_done_never_passes_one():
    facts = {"comparisons": (), "control": None}
    going = Decision(reason=Reason.GOES_ON, seconds_left=30.0, **facts)
    assert done_share(going, 10.0) == 0.25
    assert done_share(Decision(reason=Reason.GOES_ON, seconds_left=float("inf"), **facts), 9.0) == 0
    assert done_share(Decision(reason=Reason.BUDGET, seconds_left=0.0, **facts), 99.0) == 1.0
