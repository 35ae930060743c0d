from __future__ import annotations

import math

import numpy as np
import pytest
from heats import make_heat

from android_bench.records import Block, Flag, Reading, TimedRun, TurnSamples
from android_bench.statistics.comparison import Comparison
from android_bench.statistics.design import Design, Pairing
from android_bench.statistics.undisturbed import (
    compare_undisturbed_blocks,
    compare_undisturbed_turns,
    explain_disagreement,
)
from pfd_models.errors import InputError

TWO = Design(labels=("orig", "ours"), pairing=Pairing.TURNS)
DISCARDS = {"orig": 1, "ours": 1}


def stormy_heats(ratio: float, count: int, seed: int, storm: float = 0.5) -> list[TurnSamples]:
    """Heats of two processes: most turns are slowed by half at most, and `ours` much more."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        own = 1e6 * np.exp(0.0024 * rng.standard_normal(2)) * np.array([1.0, ratio])
        turns = []
        for turn in range(80):
            child = (turn + turn // 2) % 2  # A B B A
            slow = rng.uniform(0.0, storm) * (rng.random() < 0.6) * (1.0 + child)
            noise = rng.exponential(0.003, 5)
            turns.append((child, own[child] * (1.0 + slow + noise)))
        made.append(make_heat(("orig", "ours"), turns))
    return made


def block(number: int, label: str, samples_ns, flags=()) -> Block:
    samples = np.asarray(samples_ns, dtype=np.int64)
    return Block(
        campaign_id="c",
        index=2 * number,
        label=label,
        artifact_sha256="0" * 64,
        engine="executorch",
        threads=1,
        cpu_mask=1,
        round=number,
        position=0,
        started_utc="2026-01-31T12:00:00+00:00",
        run=TimedRun(
            samples_ns=samples,
            cpus=np.zeros(len(samples), dtype=np.int16),
            before=Reading(at_ns=0),
            after=Reading(at_ns=1),
            harness_version="1",
        ),
        flags=frozenset(flags),
    )


def figure(low: float, ratio: float, high: float, label: str = "ours") -> Comparison:
    return Comparison(
        label=label,
        baseline="orig",
        ratio=ratio,
        low=low,
        high=high,
        confidence=0.95,
        n_rounds=9,
        noise_floor=None,
        rule="x",
    )


# ---------------------------------------------------------------- turns


def test_what_slows_most_turns_does_not_move_the_figure():
    (one,) = compare_undisturbed_turns(TWO, stormy_heats(1.02, 12, seed=0), DISCARDS)
    assert one.ratio == pytest.approx(1.02, abs=0.004)
    assert one.covers(1.02)
    assert one.high - one.low < 0.01
    assert (one.label, one.baseline, one.n_rounds) == ("ours", "orig", 12)


def test_the_interval_holds_the_truth_for_few_heats_and_for_many():
    for count, campaigns in ((5, 40), (12, 20)):
        found = [
            compare_undisturbed_turns(TWO, stormy_heats(1.02, count, seed=s), DISCARDS)[0]
            for s in range(campaigns)
        ]
        covered = sum(one.covers(1.02) for one in found)
        assert covered >= 0.88 * campaigns  # 95 % are meant: 3 standard deviations below
        bias = np.mean([math.log(one.ratio / 1.02) for one in found])
        assert abs(bias) < 0.001


def test_equal_heats_give_equal_intervals():
    heats = stormy_heats(1.0, 6, seed=3)
    assert compare_undisturbed_turns(TWO, heats, DISCARDS) == compare_undisturbed_turns(
        TWO, heats, DISCARDS
    )


def test_too_few_heats_give_no_figure():
    assert compare_undisturbed_turns(TWO, stormy_heats(1.0, 3, seed=0), DISCARDS) == ()


def test_discards_and_disturbed_turns_are_left_out():
    turns = []
    for turn in range(16):
        child = (turn + turn // 2) % 2
        turns.append((child, [9e5, 1e6 * (1.01 if child else 1.0), 2e6]))  # a first one too fast
    clean = make_heat(("orig", "ours"), turns)
    jumped = clean.turn_end_ns.copy()
    jumped[0] = clean.turn_begin_ns[0]  # shorter than its samples
    facts = {n: getattr(clean, n) for n in ("children", "turn_child", "turn_first", "cpus")}
    samples = clean.samples_ns.copy()
    samples[1] = 1  # in that turn
    heat = TurnSamples(
        **facts,
        turn_begin_ns=clean.turn_begin_ns,
        turn_end_ns=jumped,
        turn_freq_khz=clean.turn_freq_khz,
        samples_ns=samples,
    )
    (one,) = compare_undisturbed_turns(TWO, [heat] * 4, DISCARDS)
    assert one.ratio == pytest.approx(1.01, rel=1e-6)


def test_the_twin_is_a_second_baseline():
    turns = []
    for _ in range(8):
        turns += [(0, [5, 1_000_000]), (1, [5, 1_050_000]), (2, [5, 1_020_000])]
    heat = make_heat(("orig", "ours", TWO.control_label), turns)
    (one,) = compare_undisturbed_turns(TWO, [heat] * 4, DISCARDS)
    assert one.ratio == pytest.approx(1.05 / math.sqrt(1.02), rel=1e-6)


# ---------------------------------------------------------------- blocks


def test_the_lowest_quarter_of_block_minima_is_compared():
    rng = np.random.default_rng(0)
    blocks = []
    for number in range(40):
        for label, ns in (("orig", 1e6), ("ours", 1.01e6)):
            slow = rng.uniform(0.0, 0.4)
            blocks.append(block(number, label, ns * (1.0 + slow) * rng.uniform(1.0, 1.1, 30)))
    blocks.append(block(40, "orig", [1, 1]))  # a round that is not complete
    blocks.append(block(3, "ours", [1, 1], {Flag.THROTTLED}))
    (one,) = compare_undisturbed_blocks(TWO, blocks)
    lowest = {
        label: np.sort([b.run.samples_ns.min() for b in blocks[:80] if b.label == label])[
            :10
        ].mean()
        for label in ("orig", "ours")
    }
    assert one.ratio == pytest.approx(lowest["ours"] / lowest["orig"])
    assert one.covers(1.01)
    assert one.n_rounds == 40


def test_too_few_rounds_give_no_figure():
    blocks = [block(n, label, [10, 11]) for n in range(3) for label in ("orig", "ours")]
    assert compare_undisturbed_blocks(TWO, blocks) == ()


def test_several_variants_share_the_confidence():
    three = Design(labels=("orig", "ours", "stem"))
    rng = np.random.default_rng(0)
    blocks = [
        block(n, label, 1e6 * rng.uniform(1.0, 1.1, 5)) for n in range(20) for label in three.labels
    ]
    wide, narrow = (
        compare_undisturbed_blocks(three, blocks),
        compare_undisturbed_blocks(TWO, [b for b in blocks if b.label != "stem"]),
    )
    assert [one.label for one in wide] == ["ours", "stem"]
    assert wide[0].ratio == narrow[0].ratio
    assert wide[0].low <= narrow[0].low
    assert wide[0].high >= narrow[0].high


# ---------------------------------------------------------------- when the two figures disagree


def test_figures_whose_intervals_overlap_need_no_explanation():
    assert explain_disagreement(figure(0.98, 0.99, 1.00), figure(0.995, 1.005, 1.01)) == ""


def test_a_disagreement_says_who_suffered_more():
    text = explain_disagreement(figure(1.04, 1.05, 1.06), figure(1.0, 1.01, 1.02))
    assert text.startswith("ours against orig is +5.00% as the device was, but +1.00% at un")
    assert "slowed ours more than orig" in text
    assert "\n" not in text
    other = explain_disagreement(figure(0.94, 0.95, 0.96), figure(1.0, 1.01, 1.02))
    assert "slowed orig more than ours" in other


def test_figures_of_two_variants_are_not_compared():
    with pytest.raises(InputError, match="of 'ours' and of 'stem'"):
        explain_disagreement(figure(1.0, 1.0, 1.0), figure(1.0, 1.0, 1.0, label="stem"))
