from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.records import Block, Flag, Reading, TimedRun
from android_bench.statistics.comparison import (
    Round,
    Verdict,
    collect_rounds,
    compare,
    compare_control,
    control_log_ratios,
    log_ratios,
)
from android_bench.statistics.design import Design, round_order
from android_bench.statistics.stopping import MIXTURE_T_RULE
from android_bench.statistics.summary import quantile, summarise
from pfd_models.errors import InputError

TWO = Design(labels=("orig", "ours"))


def block(
    number: int, position: int, label: str, samples_ns, flags=(), *, attempt=0, **change
) -> Block:
    samples = np.asarray(samples_ns, dtype=np.int64)
    facts = {
        "campaign_id": "c",
        "index": 10 * number + position,
        "attempt": attempt,
        "label": label,
        "artifact_sha256": "0" * 64,
        "engine": "executorch",
        "threads": 1,
        "cpu_mask": 1,
        "round": number,
        "position": position,
        "started_utc": "2026-01-31T12:00:00+00:00",
        "flags": frozenset(flags),
    }
    run = {
        "samples_ns": samples,
        "cpus": np.zeros(len(samples), dtype=np.int16),
        "load_ns": 5_000_000,
        "first_inference_ns": 9_000_000,
        "warmup_inferences": 10,
        "vm_hwm_kib": 40_000,
        "before": Reading(at_ns=0, freq_khz={0: 2_000_000}),
        "after": Reading(at_ns=1, freq_khz={0: 1_800_000}),
        "harness_version": "1",
    }
    measured = TimedRun(**(run | {n: v for n, v in change.items() if n in run}))
    changed = {n: v for n, v in change.items() if n not in run}
    return Block(**(facts | changed), run=measured)


def rounds(design: Design, log_effects: dict[str, list[float]]) -> list[Round]:
    """Rounds in which the baseline takes 1 ms and a variant exp(its effect) of it."""
    n = len(next(iter(log_effects.values())))
    made = []
    for number in range(n):
        medians = {}
        for label in round_order(design, number):
            effect = log_effects.get(label, [0.0] * n)[number]
            medians[label] = 1e6 * math.exp(effect)
        made.append(Round(number=number, medians_ns=medians))
    return made


def noisy(seed: int, n: int, centre: float = 0.0, spread: float = 0.02) -> list[float]:
    return list(centre + spread * np.random.default_rng(seed).standard_normal(n))


# ---------------------------------------------------------------- blocks become rounds


def test_a_round_is_complete_when_every_variant_has_a_good_block():
    control = TWO.control_label
    blocks = [
        block(0, 0, "orig", [10, 11, 12]),
        block(0, 1, "ours", [20, 21, 22]),
        block(1, 0, "ours", [30, 31, 32]),
        block(1, 1, control, [40, 41, 42], {Flag.THROTTLED}),
        block(1, 1, control, [50, 51, 52], attempt=1),
        block(2, 0, "ours", [60]),
    ]
    assert collect_rounds(TWO, reversed(blocks)) == [
        Round(number=0, medians_ns={"orig": 11.0, "ours": 21.0}),
        Round(number=1, medians_ns={control: 51.0, "ours": 31.0}),
    ]


def test_a_round_that_was_given_up_does_not_count():
    blocks = [block(0, 0, "orig", [10]), block(0, 1, "ours", [20], {Flag.LOADED_HOST})]
    assert collect_rounds(TWO, blocks) == []


def test_an_empty_block_of_a_crashed_engine_is_left_out():
    blocks = [block(0, 0, "orig", [10]), block(0, 1, "ours", [], {Flag.ENGINE_CRASHED})]
    assert collect_rounds(TWO, blocks) == []


def test_two_good_blocks_in_one_place_are_refused():
    with pytest.raises(InputError, match="two good blocks of 'orig' in round 0"):
        collect_rounds(TWO, [block(0, 0, "orig", [10]), block(0, 0, "orig", [10], attempt=1)])


def test_a_foreign_label_is_refused_with_the_near_one():
    with pytest.raises(InputError, match=r"unknown label 'our'.*did you mean 'ours'"):
        collect_rounds(TWO, [block(0, 0, "our", [10])])


@pytest.mark.parametrize("median", [0.0, -1.0, float("nan"), float("inf")])
def test_a_median_without_a_logarithm_is_refused(median):
    with pytest.raises(InputError, match="round 7: the median of 'ours'"):
        Round(number=7, medians_ns={"orig": 1.0, "ours": median})


# ---------------------------------------------------------------- comparisons


def test_a_slower_variant_has_a_ratio_above_one():
    (one,) = compare(TWO, rounds(TWO, {"ours": noisy(0, 40, centre=math.log(1.05))}))
    assert one.low > 1.0
    assert one.verdict is Verdict.SLOWER
    assert one.ratio == pytest.approx(1.05, abs=0.01)
    assert one.covers(1.05)
    assert not one.covers(1.0)
    assert one.n_rounds == 40


def test_a_faster_variant_has_a_ratio_below_one():
    (one,) = compare(TWO, rounds(TWO, {"ours": noisy(0, 40, centre=math.log(0.95))}))
    assert one.high < 1.0
    assert one.verdict is Verdict.FASTER


def test_no_winner_is_declared_within_the_noise():
    (one,) = compare(TWO, rounds(TWO, {"ours": noisy(0, 40, centre=0.001)}))
    assert one.low < 1.0 < one.high
    assert one.verdict is Verdict.NOT_RESOLVED


def test_the_half_width_is_a_fraction_of_the_ratio():
    (one,) = compare(TWO, rounds(TWO, {"ours": noisy(0, 40, centre=math.log(2.0))}))
    assert one.half_width == pytest.approx(one.high / one.ratio - 1.0)
    assert one.half_width == pytest.approx(one.ratio / one.low - 1.0)
    assert 0.004 < one.half_width < 0.012


def test_a_few_bursts_do_not_move_the_estimate():
    clean = noisy(0, 40, centre=0.05)
    hit = list(clean)
    hit[3], hit[17], hit[30] = 1.5, 0.9, -0.8
    (with_bursts,) = compare(TWO, rounds(TWO, {"ours": hit}))
    (without,) = compare(TWO, rounds(TWO, {"ours": clean}))
    assert abs(math.log(with_bursts.ratio / without.ratio)) < 0.003
    assert abs(np.mean(hit) - np.mean(clean)) > 0.03  # where a mean would have gone
    assert with_bursts.half_width < 1.5 * without.half_width


@pytest.mark.parametrize("n", range(4, 12))
def test_a_campaign_that_ends_before_its_first_look_claims_nothing_that_peeking_would_not(n):
    made = rounds(TWO, {"ours": [-0.2 + 0.001 * (i % 3) for i in range(n)]})
    assert compare(TWO, made) == compare(TWO, made, MIXTURE_T_RULE)
    assert all(one.rule == MIXTURE_T_RULE.name for one in compare(TWO, made))


@given(
    effects=st.lists(st.floats(-0.5, 0.5), min_size=12, max_size=60),
    scale=st.floats(1e-3, 1e3),
)
def test_changing_sides_inverts_the_interval_and_units_do_not_matter(effects, scale):
    made = rounds(TWO, {"ours": effects})
    (there,) = compare(TWO, made)
    other = Design(labels=("ours", "orig"))
    turned = [
        Round(
            number=r.number,
            medians_ns={
                other.variant_of(TWO.variant_of(label)): scale * ns
                for label, ns in r.medians_ns.items()
            },
        )
        for r in made
    ]
    (back,) = compare(other, turned)
    assert back.ratio == pytest.approx(1.0 / there.ratio, rel=1e-9)
    assert back.low == pytest.approx(1.0 / there.high, rel=1e-9)
    assert back.high == pytest.approx(1.0 / there.low, rel=1e-9)


def test_more_variants_make_each_interval_wider():
    effects = noisy(0, 40)
    four = Design(labels=("orig", "ours", "stem", "down"))
    (alone,) = compare(TWO, rounds(TWO, {"ours": effects}))
    together = compare(four, rounds(four, dict.fromkeys(("ours", "stem", "down"), effects)))
    assert [one.label for one in together] == ["ours", "stem", "down"]
    assert {one.baseline for one in together} == {"orig"}
    # Bonferroni: 98.3 % instead of 95 % each; the t quantiles of 31 degrees of freedom.
    for one in together:
        assert math.log(one.high / one.ratio) / math.log(alone.high / alone.ratio) == pytest.approx(
            2.5284 / 2.0395, rel=1e-3
        )


def test_an_interval_for_whoever_stopped_by_hand_is_wider_and_says_its_name():
    made = rounds(TWO, {"ours": noisy(0, 40)})
    (planned,), (by_hand,) = compare(TWO, made), compare(TWO, made, MIXTURE_T_RULE)
    assert by_hand.half_width > 1.3 * planned.half_width
    assert by_hand.rule != planned.rule


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_rounds_give_no_comparison(n):
    made = rounds(TWO, {"ours": [0.0] * n})
    assert compare(TWO, made) == ()
    assert compare_control(TWO, made) is None


def test_a_variant_that_is_not_compared_is_refused():
    with pytest.raises(InputError, match="unknown label 'orig'"):
        log_ratios(TWO, rounds(TWO, {"ours": [0.0] * 4}), "orig")


# ---------------------------------------------------------------- the A/A control


def test_the_control_uses_each_baseline_block_once():
    made = rounds(TWO, {"orig": list(np.arange(1, 9) / 100.0), TWO.control_label: [0.0] * 8})
    baseline = [r.medians_ns["orig"] for r in made if "orig" in r.medians_ns]
    assert len(baseline) == 4
    assert control_log_ratios(TWO, made) == pytest.approx(-np.log(np.array(baseline) / 1e6))


def test_the_control_sees_a_second_label_that_is_not_the_same_file():
    made = rounds(TWO, {TWO.control_label: noisy(1, 60, centre=0.1)})
    control = compare_control(TWO, made)
    assert control is not None
    assert control.verdict is Verdict.SLOWER
    assert control.label == "orig (A/A)"


def test_the_noise_floor_is_the_controls_width_at_as_many_rounds():
    n = 400
    noise = {label: noisy(i, n) for i, label in enumerate(("orig", TWO.control_label, "ours"))}
    (one,) = compare(TWO, rounds(TWO, noise))
    assert one.noise_floor == pytest.approx(one.half_width, rel=0.15)


def test_the_noise_floor_is_none_while_the_control_is_too_short():
    (one,) = compare(TWO, rounds(TWO, {"ours": noisy(0, 7)}))
    assert one.noise_floor is None


# ---------------------------------------------------------------- summaries


def test_a_summary_is_computed_from_all_samples_of_the_good_blocks():
    good = [block(0, 0, "orig", range(100, 151)), block(1, 1, "orig", range(150, 201))]
    bad = block(2, 0, "orig", [10_000], {Flag.LOADED_HOST})
    found = summarise([*good, bad])
    samples = np.r_[100:151, 150:201]
    assert found.label == "orig"
    assert (found.n_samples, found.n_blocks, found.n_disturbed) == (102, 2, 1)
    assert found.median_ns == np.median(samples) == 150.0
    assert found.p10_ns == pytest.approx(np.percentile(samples, 10))
    assert found.p90_ns == pytest.approx(np.percentile(samples, 90))
    assert found.min_ns == 100.0
    assert found.mad_ns == 25.0 == np.median(np.abs(samples - 150.0))
    assert (found.cold_load_ns, found.first_inference_ns) == (5e6, 9e6)
    assert (found.threads, found.cores, found.peak_memory_kib) == (1, (0,), 40_000)
    assert found.mean_freq_khz == 1_900_000
    assert found.sustained_ratio is None


def test_what_was_not_read_stays_unknown():
    unread = block(
        0,
        0,
        "orig",
        [5, 6],
        cpus=np.array([-1, -1]),
        load_ns=None,
        first_inference_ns=None,
        vm_hwm_kib=None,
        before=Reading(at_ns=0),
        after=Reading(at_ns=1),
    )
    found = summarise([unread])
    assert found.cores == ()
    assert found.cold_load_ns is found.first_inference_ns is found.peak_memory_kib is None
    assert found.mean_freq_khz is None


def test_a_device_that_gets_slower_shows_in_the_sustained_ratio():
    getting_slower = [block(i, 0, "orig", [ns]) for i, ns in enumerate([100, 101, 102, 110, 120])]
    assert summarise(getting_slower).sustained_ratio == pytest.approx(1.2)


def test_baseline_and_control_are_summarised_under_one_name():
    both = [block(0, 0, "orig", [100]), block(1, 1, TWO.control_label, [200])]
    assert summarise(both, label="orig").median_ns == 150.0
    with pytest.raises(InputError, match="do not belong together: label"):
        summarise(both)


def test_blocks_of_two_files_are_not_mixed():
    with pytest.raises(InputError, match="artifact_sha256"):
        summarise(
            [block(0, 0, "orig", [100]), block(1, 0, "orig", [100], artifact_sha256="1" * 64)]
        )


def test_nothing_good_is_nothing_to_summarise():
    with pytest.raises(InputError, match="no undisturbed block of 'orig' among 1"):
        summarise([block(0, 0, "orig", [100], {Flag.THROTTLED})])
    with pytest.raises(InputError, match="among 0"):
        summarise([])


@pytest.mark.parametrize(
    ("values", "p", "message"),
    [
        ([], 0.5, "no values"),
        ([1.0, float("nan"), float("inf")], 0.5, "2 of 3 values are not finite"),
        ([1.0], 1.5, "quantile 1.5"),
        ([1.0], float("nan"), "quantile nan"),
    ],
)
def test_a_quantile_of_nonsense_is_refused(values, p, message):
    with pytest.raises(InputError, match=message):
        quantile(values, p)
