"""Campaigns whose variants take turns."""

import dataclasses
import json

import pytest

from android_bench.campaign.campaign import resume_campaign, run_campaign
from android_bench.campaign.pace import PACE, read_pace
from android_bench.campaign.result import read_result
from android_bench.records import Flag, Pairing
from android_bench.report.console import verdict_lines
from android_bench.report.json_document import result_json
from android_bench.report.page import report_page
from android_bench.statistics.design import is_disturbed
from pfd_models.errors import DeviceError


def in_turns(rig, **rules):
    return dataclasses.replace(rig.rules, pairing=Pairing.TURNS, **rules)


def run(rig, **rules):
    with rig.bench() as bench:
        return run_campaign(bench, rig.contest(), in_turns(rig, **rules))


@pytest.fixture
def two(rig):
    rig.make_set("orig", 1_000_000)
    rig.make_set("ours", 900_000)
    return rig


def test_every_sample_is_kept_with_its_heat_its_turn_and_its_place(two):
    result = run(two, precision=1e-4, budget_seconds=15)  # long enough for the control
    assert result.complete
    assert result.heats
    for heat in result.heats:
        turns, bursts = heat.turns, [child.burst for child in heat.children]
        lengths = (turns.turn_first[1:] - turns.turn_first[:-1]).tolist()
        assert lengths == [bursts[child] for child in turns.turn_child]
        assert turns.turn_first[-1] == len(turns.samples_ns)
    twins = ["orig (A/A)" in heat.turns.children for heat in result.heats]
    assert any(twins)
    assert not all(twins)
    assert result.control is not None


def test_what_the_pilot_decided_is_on_record(two):
    result = run(two)
    (event,) = [event for event in result.events if event.kind == PACE]
    assert event.message.startswith("turns: orig ")
    assert read_pace(result.events) == result.pace
    assert [burst.label for burst in result.pace.bursts] == ["orig", "ours"]
    for heat in result.heats:
        for child in heat.children:
            variant = result.campaign.design.variant_of(child.label)
            assert child.discards == result.pace.burst(variant).discards


def test_the_second_figure_stands_beside_the_typical_one(two):
    result = run(two)
    (typical,), (undisturbed,) = result.comparisons, result.undisturbed
    assert typical.ratio == pytest.approx(0.9, rel=0.01)
    assert undisturbed.ratio == pytest.approx(0.9, rel=0.02)
    assert any("at undisturbed speed" in line for line in verdict_lines(result))
    (plain,) = json.loads(result_json([result]))["campaigns"]
    assert len(plain["heats"]) == len(result.heats)
    assert plain["undisturbed"][0]["label"] == "ours"
    assert "faster" in report_page([result])


def test_a_child_that_dies_ends_its_heat_and_not_the_campaign(rig):
    rig.make_set("orig", 1_000_000)
    rig.make_set("ours", 900_000, heat={"4": "crash"})  # the pilot needs two
    result = run(rig)
    assert result.complete
    bad, again, *_ = [h for h in result.heats if h.number == 1]
    assert Flag.ENGINE_CRASHED in bad.flags
    assert len(bad.turns.turn_child) > 0  # the turns before are kept
    assert (again.number, again.attempt) == (bad.number, bad.attempt + 1)
    assert sum(map(is_disturbed, result.judged)) == 1
    assert [e.kind for e in result.events].count("repeated") == 1


def test_a_child_that_dies_each_time_ends_the_campaign_and_says_what_to_try(rig, one_line):
    rig.make_set("orig", 1_000_000)
    rig.make_set("ours", 900_000, heat={"1": "well", "2": "well", "*": "crash"})
    with pytest.raises(DeviceError) as error:
        run(rig)
    one_line(error, 3, "3 attempts", "--pairing blocks")


def test_a_pilot_that_crashes_is_one_line(rig, one_line):
    rig.make_set("orig", 1_000_000)
    rig.make_set("ours", 900_000, heat={"*": "crash"})
    with pytest.raises(DeviceError) as error:
        run(rig)
    one_line(error, 3, "pilot heat", "crashed")


def test_an_interrupted_campaign_goes_on_at_its_next_heat_with_the_same_pace(two):
    class Interrupt:
        def __init__(self, listener):
            self._listener, self._heats = listener, 0

        def __getattr__(self, name):
            return getattr(self._listener, name)

        def block(self, *facts):
            self._heats += 1
            if self._heats == 3:
                raise KeyboardInterrupt

    with two.bench() as bench:
        stopped = dataclasses.replace(bench, watch=Interrupt(bench.watch))
        with pytest.raises(KeyboardInterrupt):
            run_campaign(stopped, two.contest(), in_turns(two))
        before = read_result(bench.store, "last")
        assert len(before.heats) == 3
        assert not before.complete
        after = resume_campaign(bench, before.campaign.campaign_id)
    assert after.heats[:3] == before.heats
    assert after.complete
    assert [event.kind for event in after.events].count(PACE) == 1
    plain = [heat.number for heat in after.heats]
    assert plain == sorted(plain)


def test_one_variant_takes_turns_with_its_twin(rig):
    rig.make_set("orig", 1_000_000)
    result = run(rig)
    assert result.complete
    assert result.comparisons == ()
    assert {label for heat in result.heats for label in heat.turns.children} == {
        "orig",
        "orig (A/A)",
    }


def test_load_does_not_disturb_a_heat_as_it_falls_on_all_alike(rig):
    rig.make_set("orig", 1_000_000)
    rig.make_set("ours", 900_000, heat={"*": "loaded"})
    result = run(rig)
    assert result.complete
    assert not any(map(is_disturbed, result.judged))


def test_the_command_takes_turns_and_says_both_figures(two, standin_host, adb_bench):
    arguments = ("run", "--artifacts", "artifacts/*.pte", "--pairing", "turns", "--budget", "60")
    assert adb_bench(*arguments) == 0
    assert "at undisturbed speed" in adb_bench.out
    assert adb_bench("report", "last", "-o", "page.html") == 0
