"""Qualification: the truth is known, so campaigns can be judged."""

import dataclasses

import pytest
from bench_rig import Rig

from android_bench.campaign.campaign import run_campaign
from android_bench.campaign.qualify import HANDICAPS, find_resolution, judge_campaign, qualify
from android_bench.campaign.result import read_result
from android_bench.report.console import qualify_lines, qualify_table
from android_bench.statistics.comparison import Verdict, collect_rounds, compare
from android_bench.statistics.stopping import TRIMMED_T_RULE
from android_bench.store import open_store
from pfd_models.errors import InputError


@pytest.fixture(scope="module")
def marks(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("qualify"))
    rig.make_set("ours", suffixes=(".pte",))
    rules = dataclasses.replace(rig.rules, precision=0.004)
    with rig.bench() as bench:
        (file,) = rig.files()
        outcomes = list(qualify(bench, file, "executorch", rules, (0.0, 0.01, 0.05)))
    assert [outcome.failures for outcome in outcomes] == [()] * 3
    return rig, [judge_campaign(outcome.result) for outcome in outcomes]


def test_the_handicap_reaches_the_harness_and_the_interval_holds_it(marks):
    _, found = marks
    assert [mark.handicap for mark in found] == [0.0, 0.01, 0.05]
    for mark in found:
        slowed = {block.run.handicap_ppm for block in mark.result.blocks if "slowed" in block.label}
        plain = {
            block.run.handicap_ppm for block in mark.result.blocks if "slowed" not in block.label
        }
        assert slowed == {round(mark.handicap * 1e6)}
        assert plain == {0}
        assert mark.covered
        assert mark.seconds > 0
    assert [mark.comparison.verdict for mark in found] == [
        Verdict.NOT_RESOLVED,
        Verdict.SLOWER,
        Verdict.SLOWER,
    ]
    assert find_resolution(found) == 0.01


def test_the_statistics_are_not_told(marks):
    """Equal samples give equal comparisons, whatever the record says of a handicap."""
    _, found = marks
    one = found[2].result
    hidden = [
        dataclasses.replace(block, run=dataclasses.replace(block.run, handicap_ppm=0))
        for block in one.blocks
    ]
    design = one.campaign.design
    assert compare(design, collect_rounds(design, hidden), TRIMMED_T_RULE) == one.comparisons


def test_stored_campaigns_are_judged_again_from_the_store(marks):
    rig, found = marks
    with open_store(rig.url) as store:
        again = [judge_campaign(read_result(store, m.result.campaign.campaign_id)) for m in found]
    assert [(m.handicap, m.covered, m.comparison) for m in again] == [
        (m.handicap, m.covered, m.comparison) for m in found
    ]


def test_a_campaign_of_variants_has_no_known_truth(rig):
    rig.make_set("orig")
    rig.make_set("ours")
    with rig.bench() as bench:
        result = run_campaign(bench, rig.contest(), rig.rules)
    with pytest.raises(InputError, match="compares variants and its truth is unknown"):
        judge_campaign(result)


def test_a_wrong_truth_is_not_covered(marks):
    _, found = marks
    lied = dataclasses.replace(found[1], handicap=0.05)
    assert found[1].covered
    assert not lied.covered
    lines = qualify_lines([found[0], lied])
    assert lines[0] == "1 of 2 intervals hold the true ratio"
    assert qualify_table([lied]).columns[3]._cells == ["NO"]


def test_what_is_resolved_needs_all_larger_handicaps_too(marks):
    _, found = marks
    missed = dataclasses.replace(found[0], handicap=0.05)  # not resolved where 5 % was added
    assert find_resolution([found[0], found[1], missed]) is None
    assert "no handicap" in qualify_lines([found[0], missed])[1]
    assert "1.00% and more" in qualify_lines(found)[1]


@pytest.mark.parametrize("handicaps", [(), (0.01, 0.01), (-0.1,), (11.0,)])
def test_handicaps_that_make_no_sense_are_refused(rig, handicaps):
    rig.make_set("ours", suffixes=(".pte",))
    with rig.bench() as bench, pytest.raises(InputError, match="handicap"):
        list(qualify(bench, rig.files()[0], "executorch", rig.rules, handicaps))


def test_the_command_says_what_the_device_resolves(standin_host, adb_bench):
    standin_host.make_set("ours", suffixes=(".pte",))
    files = ("--artifacts", "artifacts/*.pte")
    arguments = (*files, "--handicaps", "0,2%", "--budget", "20s", "--seed", "5")
    assert adb_bench("qualify", *arguments, "--json", "q.json") == 0
    assert "this device resolves 2.00% and more in the given time" in adb_bench.out
    assert "2 of 2 intervals hold the true ratio" in adb_bench.out
    with open_store("bench.sqlite") as store:
        assert [c.rules.purpose for c in store.campaigns()] == ["qualify", "qualify"]
    assert HANDICAPS == (0.0, 0.005, 0.01, 0.02, 0.05)
