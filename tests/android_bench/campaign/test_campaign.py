"""The walk of a campaign, with a harness that does as it is told."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from bench_rig import QUICK, stored

from android_bench.campaign.campaign import resume_campaign, run_campaign
from android_bench.campaign.extra_passes import run_passes
from android_bench.campaign.journal import limits_now, seconds_before
from android_bench.campaign.result import read_result
from android_bench.records import Flag, Pairing, Role
from android_bench.statistics.comparison import Verdict
from android_bench.statistics.design import is_disturbed
from export.sets.manifest import Quantization
from pfd_models.errors import DeviceError, InputError, ParityError


@pytest.fixture
def pair(rig):
    """Two variants, the second 10 % faster."""
    rig.make_set("orig", latency_ns=1_000_000)
    rig.make_set("ours", latency_ns=900_000)
    return rig


def kinds(store, campaign_id):
    return [event.kind for event in store.events(campaign_id)]


class Stop(Exception):
    """Ends a campaign from outside, as a killed process would."""


def stop_after(rig, blocks, error=Stop):
    heard = rig.listener.block

    def block(count, disturbed, decision, elapsed_s):
        heard(count, disturbed, decision, elapsed_s)
        if count == blocks:
            raise error

    rig.listener.block = block
    return lambda: setattr(rig.listener, "block", heard)


def test_a_real_difference_is_found_and_everything_about_it_is_stored(pair):
    with pair.bench() as bench:
        result = run_campaign(bench, pair.contest(), pair.rules)
        again = read_result(bench.store, result.campaign.campaign_id)
    (comparison,) = result.comparisons
    assert comparison.verdict is Verdict.FASTER
    assert comparison.ratio == pytest.approx(0.9, rel=0.01)
    assert comparison.half_width <= pair.rules.precision
    assert result.complete
    assert again.comparisons == result.comparisons
    assert {a.role for a in result.campaign.arms} == set(Role)
    assert result.campaign.arm("orig (A/A)").artifact_sha256 == (
        result.campaign.arm("orig").artifact_sha256
    )
    assert [event.kind for event in again.events] == ["started", "stopped"]
    assert result.campaign.rules == pair.rules
    assert pair.listener.reasons[0].value == "precision reached"


def test_blocks_alternate_in_fresh_processes_and_keep_every_sample(pair):
    with pair.bench() as bench:
        result = run_campaign(bench, pair.contest(), pair.rules)
    blocks, started = result.blocks, pair.device.launcher.runs("time")
    assert len({run.pid for run in started}) == len(started) == len(blocks)
    assert [Path(run.options["--model"]).name for run in started] == [
        result.artifact(block.label).file for block in blocks
    ]
    first = [b.label.partition(" ")[0] for b in blocks[:4]]
    assert first in (["orig", "ours", "ours", "orig"], ["ours", "orig", "orig", "ours"])
    assert all(len(block.run.samples_ns) == QUICK.iterations for block in blocks)
    assert len({block.run.samples_ns.tobytes() for block in blocks}) == len(blocks)
    assert all(np.all(block.run.cpus == 0) for block in blocks)


def test_variants_that_take_turns_are_compared_in_heats_of_fresh_processes(pair):
    rules = dataclasses.replace(pair.rules, pairing=Pairing.TURNS)
    with pair.bench() as bench:
        result = run_campaign(bench, pair.contest(), rules)
        heats = bench.store.heats(result.campaign.campaign_id)
    (comparison,) = result.comparisons
    assert comparison.verdict is Verdict.FASTER
    assert comparison.ratio == pytest.approx(0.9, rel=0.01)
    started = pair.device.launcher.runs("heat")
    assert len(started) == len(heats) + 2  # a look at how slow it is, and the pilot
    assert len({run.pid for run in started}) == len(started)
    assert result.blocks == ()


def test_outputs_are_verified_once_a_file_before_anything_is_recorded(pair):
    with pair.bench() as bench:
        result = run_campaign(bench, pair.contest(), pair.rules)
    assert [s for s in pair.listener.steps if "verifying" in s] == [
        "verifying the outputs of orig",
        "verifying the outputs of ours",
    ]
    data = result.events[0].data["relative_linf"]
    assert data == {"orig": 1e-6, "ours": 1e-6, "orig (A/A)": 1e-6}


def test_how_far_an_8_bit_file_is_off_is_told_in_steps_of_its_output(pair):
    contest = pair.contest()
    (label, file), *others = contest.entries
    record = Quantization(
        recipe="", calibration="", is_synthetic=False, samples=1, seed=0,
        inputs=((0.1, 0),), outputs=((5e-7, 0),),
    )  # fmt: skip
    manifest = dataclasses.replace(file.manifest, quantization=record)
    stored = dataclasses.replace(file, manifest=manifest)
    with pair.bench() as bench:
        result = run_campaign(
            bench,
            dataclasses.replace(contest, entries=((label, stored), *others)),
            dataclasses.replace(pair.rules, budget_seconds=1.0),
        )
    assert result.events[0].message == (
        f"outputs verified; steps off the integer reference: {label} 2"  # 1e-6 of a largest of 1
    )


def test_a_mismatch_stops_before_anything_is_timed(rig):
    rig.make_set("orig")
    rig.make_set("ours", verify={"*": "mismatch"})
    with rig.bench() as bench:
        with pytest.raises(ParityError, match="away"):
            run_campaign(bench, rig.contest(), rig.rules)
        assert bench.store.campaigns() == ()
    called = {path.name for path in (rig.folder / "calls").iterdir()}
    assert called == {
        "toynet_orig_cifar100_4_fp32_xnnpack.pte.verify",
        "toynet_ours_cifar100_4_fp32_xnnpack.pte.verify",
    }


def test_one_variant_is_measured_alone_against_itself(rig):
    rig.make_set("ours")
    with rig.bench() as bench:
        result = run_campaign(bench, rig.contest(), rig.rules)
    assert result.comparisons == ()
    assert result.control.verdict is Verdict.NOT_RESOLVED
    assert result.complete


def test_the_budget_ends_a_campaign_that_is_not_precise(pair):
    rules = dataclasses.replace(pair.rules, precision=1e-5, budget_seconds=1.0)
    with pair.bench() as bench:
        result = run_campaign(bench, pair.contest(), rules)
    assert result.events[-1].message == "budget spent"
    assert result.complete
    ends_ns = [block.run.after.at_ns for block in result.blocks]
    a_round_s = 2 * (ends_ns[-1] - ends_ns[-2]) / 1e9
    assert 1.0 <= seconds_before(result.events, ends_ns) <= 1.0 + a_round_s


def test_a_disturbed_block_is_kept_flagged_and_measured_again(rig):
    rig.make_set("orig")
    rig.make_set("ours", time={"3": "loaded", "5": "crash", "6": "die_late"})
    with rig.bench() as bench:
        result = run_campaign(bench, rig.contest(), rig.rules)
    bad = [block for block in result.blocks if is_disturbed(block)]
    assert [block.flags for block in bad] == [
        {Flag.LOADED_HOST},
        {Flag.ENGINE_CRASHED, Flag.PARTIAL},
        {Flag.HARNESS_KILLED, Flag.PARTIAL},
    ]
    assert [block.attempt for block in bad] == [0, 0, 1]
    assert len(bad[2].run.samples_ns) == QUICK.iterations // 2
    for block in bad:
        later = [b.attempt for b in result.blocks if b.index == block.index]
        assert block.attempt + 1 in later
    repeated = [event for event in result.events if event.kind == "repeated"]
    assert [event.block_index for event in repeated] == [block.index for block in bad]
    assert "loaded_host" in repeated[0].message


def test_a_computer_that_is_never_idle_is_said_once_and_recorded(pair):
    pair.device.busy = 0.5
    with pair.bench() as bench:
        result = run_campaign(bench, pair.contest(), pair.rules)
    raised = [event for event in result.events if event.kind == "limits_raised"]
    assert len(raised) == len(pair.listener.notes) == 1
    assert raised[0].data["other_busy"] == pytest.approx(0.5 * 1.25)
    assert "62%" in raised[0].message
    assert result.campaign.rules.limits.other_busy == 0.10  # what was asked for stays
    assert limits_now(pair.rules.limits, result.events).other_busy == pytest.approx(0.625)


def test_an_idle_computer_keeps_its_limits(pair):
    with pair.bench() as bench:
        result = run_campaign(bench, pair.contest(), pair.rules)
    assert pair.listener.notes == []
    assert "limits_raised" not in {event.kind for event in result.events}


def test_load_that_begins_later_costs_one_round_and_then_raises_the_limits(rig):
    rig.make_set("orig")
    rig.make_set("ours", time={"*": "loaded"})
    with rig.bench() as bench:
        result = run_campaign(bench, rig.contest(), rig.rules)
    assert [e.kind for e in result.events if e.kind != "stopped"] == [
        "started",
        "repeated",
        "repeated",
        "gave_up",
        "limits_raised",
    ]
    assert sum(is_disturbed(block) for block in result.blocks) == 3
    assert result.complete


def test_an_engine_that_dies_each_time_ends_the_campaign(rig):
    rig.make_set("orig")
    rig.make_set("ours", time={str(n): "crash" for n in range(2, 99)})
    with rig.bench() as bench:
        with pytest.raises(DeviceError, match="died in each of 3 attempts"):
            run_campaign(bench, rig.contest(), rig.rules)
        (record,) = bench.store.campaigns()
        assert kinds(bench.store, record.campaign_id)[-1] == "failed"
        assert not read_result(bench.store, "last").complete


def test_a_killed_campaign_goes_on_at_its_next_block(pair):
    undo = stop_after(pair, 7)
    with pytest.raises(Stop), pair.bench() as bench:
        run_campaign(bench, pair.contest(), pair.rules)
    undo()
    with pair.bench() as bench:
        before = bench.store.blocks(bench.store.campaign("last").campaign_id)
        result = resume_campaign(bench, "last")
    assert len(before) == 7
    assert result.blocks[:7] == before
    assert [block.index for block in result.blocks] == list(range(len(result.blocks)))
    assert result.complete
    assert [e.kind for e in result.events] == ["started", "resumed", "stopped"]
    assert result.events[1].data["blocks"] == 7
    assert result.comparisons[0].verdict is Verdict.FASTER


def test_the_same_seed_gives_the_same_order_with_and_without_an_interruption(pair):
    with pair.bench() as bench:
        whole = run_campaign(bench, pair.contest(), pair.rules)
    undo = stop_after(pair, 9)
    with pytest.raises(Stop), pair.bench() as bench:
        run_campaign(bench, pair.contest(), pair.rules)
    undo()
    with pair.bench() as bench:
        parts = resume_campaign(bench, bench.store.campaigns()[-1].campaign_id)
    both = zip(whole.blocks, parts.blocks, strict=False)
    assert all(a.label == b.label for a, b in both)


def test_the_time_between_sessions_does_not_count(pair):
    undo = stop_after(pair, 5)
    with pytest.raises(Stop), pair.bench() as bench:
        run_campaign(bench, pair.contest(), pair.rules)
    undo()
    with pair.bench() as bench:
        record = bench.store.campaign("last")
        events, blocks = (
            bench.store.events(record.campaign_id),
            bench.store.blocks(record.campaign_id),
        )
        ends_ns = [block.run.after.at_ns for block in blocks]
        spent = seconds_before(events, ends_ns)
        first = events[0].data["at_ns"]
        assert spent == pytest.approx((blocks[-1].run.after.at_ns - first) / 1e9)
        # A session that began an hour later and measured nothing adds nothing.
        later = dataclasses.replace(
            events[0],
            kind="resumed",
            data={"blocks": len(blocks), "at_ns": first + 3_600_000_000_000},
        )
        assert seconds_before([*events, later], ends_ns) == pytest.approx(spent)


def test_a_campaign_stopped_by_hand_says_so_and_gets_the_wider_interval(pair):
    undo = stop_after(pair, 40, KeyboardInterrupt)
    rules = dataclasses.replace(pair.rules, precision=1e-5)
    with pytest.raises(KeyboardInterrupt), pair.bench() as bench:
        run_campaign(bench, pair.contest(), rules)
    undo()
    result = stored(url=pair.url)
    assert result.events[-1].kind == "interrupted"
    assert not result.complete
    assert result.comparisons[0].rule == "mixture t sequence"
    assert result.comparisons[0].half_width > pair.listener.decisions[-1].comparisons[0].half_width


def test_a_finished_campaign_is_not_measured_again(pair):
    with pair.bench() as bench:
        run_campaign(bench, pair.contest(), pair.rules)
        with pytest.raises(InputError, match="is finished"):
            resume_campaign(bench, "last")


def test_resuming_wants_the_same_files(pair):
    undo = stop_after(pair, 5)
    with pytest.raises(Stop), pair.bench() as bench:
        run_campaign(bench, pair.contest(), pair.rules)
    undo()
    pair.make_set("ours", latency_ns=800_000)
    with pair.bench() as bench:
        with pytest.raises(InputError, match=r"toynet_ours.*not where it was"):
            resume_campaign(bench, "last")
        assert len(bench.store.blocks(bench.store.campaign("last").campaign_id)) == 5


def test_resuming_wants_the_same_device_unchanged(pair):
    undo = stop_after(pair, 5)
    with pytest.raises(Stop), pair.bench() as bench:
        run_campaign(bench, pair.contest(), pair.rules)
    undo()
    pair.device._record = dataclasses.replace(pair.device.record, kernel="another")
    with pair.bench() as bench, pytest.raises(InputError, match="before its kernel changed"):
        resume_campaign(bench, "last")


def test_profile_and_memory_have_passes_of_their_own(pair):
    contest = pair.contest()
    with pair.bench() as bench:
        timed = run_campaign(bench, contest, pair.rules)
        assert run_passes(bench, contest, pair.rules, timed, ("profile", "memory")) == ()
        result = read_result(bench.store, timed.campaign.campaign_id)
    assert [profile.label for profile in result.profiles] == ["orig", "ours"]
    assert result.profiles[0].operators[0].delegate == "XnnpackBackend"
    assert [memory.vm_hwm_kib for memory in result.memory] == [9_500, 9_500]
    assert dict(result.memory[0].rss_kib)["loaded"] == 8_000


def test_the_tensors_of_a_channels_last_file_are_turned(rig):
    from android_bench.campaign.reference_files import write_reference

    rig.make_set("ours")
    for file in (*rig.files("*.pte"), *rig.files("*.tflite")):
        written = write_reference(file.manifest, file.artifact, rig.folder)
        with np.load(file.manifest.path(file.manifest.reference)) as stored:
            images, scores = stored["input_0"], stored["output_0"]
        turned = images if file.artifact.format == "pte" else images.transpose(0, 1, 3, 4, 2)
        assert written.inputs[0].read_bytes() == np.ascontiguousarray(turned).tobytes()
        assert written.expected[0].read_bytes() == scores.tobytes()
