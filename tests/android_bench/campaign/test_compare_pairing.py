"""Turns and blocks say the same of one pair of files, and the tool that shows it on hardware."""

import dataclasses

import pytest
from scripts import load_script

from android_bench.campaign.campaign import run_campaign
from android_bench.records import Pairing
from android_bench.store import open_store


@pytest.fixture
def pair(standin_host):
    standin_host.make_set("orig", 1_000_000, suffixes=(".pte",))
    standin_host.make_set("ours", 930_000, suffixes=(".pte",))
    return standin_host


def test_turns_and_blocks_agree_on_a_quiet_device(pair):
    found = {}
    with pair.bench() as bench:
        for pairing in Pairing:
            rules = dataclasses.replace(pair.rules, pairing=pairing, precision=0.002)
            (found[pairing],) = run_campaign(bench, pair.contest(), rules).comparisons
    for one in found.values():
        assert one.covers(0.93)
        assert one.half_width <= 0.002


def test_the_tool_puts_both_ways_side_by_side(pair, repository, capsys):
    tool = load_script(repository / "tools" / "compare_pairing.py")
    files = ("--artifacts", "artifacts/*.pte", "--threads", "1")
    assert tool.main([*files, "--store", "p.sqlite"]) == 0
    printed = capsys.readouterr().out
    (row,) = [line for line in printed.splitlines() if "toynet" in line]
    assert row.count("±") == 3
    assert "apart" not in row
    assert "0 of 1 are apart" in printed
    assert tool.main(["--show", "--store", "p.sqlite"]) == 0
    assert capsys.readouterr().out == printed
    with open_store("p.sqlite") as store:
        assert [c.rules.pairing for c in store.campaigns()] == list(Pairing)


def test_a_store_that_is_not_there_is_one_line(pair, repository, capsys):
    tool = load_script(repository / "tools" / "compare_pairing.py")
    assert tool.main(["--show", "--store", "none.sqlite"]) == 2
    assert capsys.readouterr().err.startswith("compare_pairing: ")
