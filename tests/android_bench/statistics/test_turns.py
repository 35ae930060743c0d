from __future__ import annotations

import math

import numpy as np
import pytest
from heats import make_heat

from android_bench.records import Flag, TurnSamples
from android_bench.statistics.comparison import (
    Verdict,
    collect_heats,
    compare,
    compare_control,
    control_log_ratios,
    log_ratios,
)
from android_bench.statistics.design import Design, Pairing
from android_bench.statistics.monitor import Monitor, Reason
from android_bench.statistics.stopping import (
    HEATS_RULE,
    MIN_HEATS,
    MIXTURE_T_HEATS_RULE,
    MIXTURE_T_RULE,
    TRIMMED_T_RULE,
    choose_rule,
)
from android_bench.statistics.summary import summarise_turns
from android_bench.statistics.turns import Heat, average_turns, flag_turns, measure_heat
from pfd_models.errors import InputError

TWO = Design(labels=("orig", "ours"), pairing=Pairing.TURNS)
TWIN = TWO.control_label
NONE = {"orig": 0, "ours": 0}
ONE = {"orig": 1, "ours": 1}


def rows_of(levels: list[list[float]], inferences: int = 3) -> list[tuple[int, list[float]]]:
    """Turns of rows, odd ones reversed: in each row the level in ns of each process."""
    turns = []
    for number, row in enumerate(levels):
        order = range(len(row)) if number % 2 == 0 else range(len(row) - 1, -1, -1)
        turns += [(child, [row[child]] * inferences) for child in order]
    return turns


def constant_heat(ratio: float, rows: int = 8, **change) -> TurnSamples:
    return make_heat(("orig", "ours"), rows_of([[1e6, 1e6 * ratio]] * rows), **change)


def heats(design: Design, log_effects: list[float], controls: list[float] = ()) -> list[Heat]:
    """Heats of candidates that all differ by an effect; the first ones have a twin."""
    made = []
    for number, effect in enumerate(log_effects):
        logs = dict.fromkeys(design.candidates, effect)
        if number < len(controls):
            logs[design.control_label] = controls[number]
        made.append(Heat(number=number, log_ratios=logs, n_pairs=20))
    return made


def noisy(seed: int, n: int, centre: float = 0.0, spread: float = 0.005) -> list[float]:
    return list(centre + spread * np.random.default_rng(seed).standard_normal(n))


# ---------------------------------------------------------------- from turns to a number


def test_the_mean_of_a_turn_leaves_out_the_discards_of_its_process():
    turns = [(0, [90, 10, 30]), (1, [70, 50, 20]), (1, [5]), (0, [])]
    means = average_turns(make_heat(("orig", "ours"), turns), [1, 2])
    assert means[:2].tolist() == [20.0, 20.0]
    assert np.isnan(means[2:]).all()  # a turn cut short has none that counts


def test_a_heat_is_the_log_ratio_within_its_rows():
    heat = measure_heat(TWO, constant_heat(1.05), ONE, number=3)
    assert heat.number == 3
    assert heat.log_ratios == {"ours": pytest.approx(math.log(1.05), rel=1e-6)}
    assert heat.n_pairs == 8
    assert heat.excluded == {}
    assert heat.flags == frozenset()


def test_which_process_is_the_baseline_is_told_by_its_label():
    levels = [[1.05e6, 1e6]] * 6
    heat = measure_heat(TWO, make_heat(("ours", "orig"), rows_of(levels)), NONE, number=0)
    assert heat.log_ratios["ours"] == pytest.approx(math.log(1.05), rel=1e-6)


def test_what_happens_to_a_whole_row_cancels():
    weather = np.random.default_rng(0).uniform(1.0, 1.4, 12)
    levels = [[1e6 * w, 1.01e6 * w] for w in weather]
    heat = measure_heat(TWO, make_heat(("orig", "ours"), rows_of(levels)), NONE, number=0)
    assert heat.log_ratios["ours"] == pytest.approx(math.log(1.01), abs=1e-5)


def test_a_quarter_of_the_rows_may_be_hit_at_either_end():
    levels = [[1e6, 1e6]] * 8
    levels[1], levels[5], levels[6] = [1e6, 1.4e6], [1e6, 1.3e6], [1.4e6, 1e6]
    heat = measure_heat(TWO, make_heat(("orig", "ours"), rows_of(levels)), NONE, number=0)
    assert heat.log_ratios["ours"] == pytest.approx(0.0, abs=1e-9)


def test_a_twin_is_the_control_and_a_second_baseline():
    levels = [[1.00e6, 1.05e6, 1.02e6]] * 6
    heat = measure_heat(TWO, make_heat(("orig", "ours", TWIN), rows_of(levels)), NONE, number=0)
    assert heat.log_ratios[TWIN] == pytest.approx(math.log(1.02), rel=1e-6)
    half = 0.5 * math.log(1.02)
    assert heat.log_ratios["ours"] == pytest.approx(math.log(1.05) - half, rel=1e-6)


def test_a_twin_does_not_shift_the_ratio_where_bursts_skew_the_turns():
    rng, design = np.random.default_rng(0), TWO
    slow = 1.0 + 0.4 * (rng.random((2000, 3)) < 0.15)  # every process alike, in some turns
    samples = make_heat(("orig", "ours", TWIN), rows_of((1e6 * slow).tolist(), inferences=1))
    heat = measure_heat(design, samples, NONE, number=0)
    assert heat.log_ratios["ours"] == pytest.approx(0.0, abs=0.001)


def test_a_row_that_was_cut_off_does_not_count():
    turns = [*rows_of([[1e6, 1e6]] * 6), (0, [5e6] * 3)]
    heat = measure_heat(TWO, make_heat(("orig", "ours"), turns), NONE, number=0)
    assert heat.n_pairs == 6
    assert heat.log_ratios["ours"] == pytest.approx(0.0)


def test_too_few_pairs_make_a_partial_heat_that_claims_nothing():
    heat = measure_heat(TWO, constant_heat(1.0, rows=2), NONE, number=0)
    assert heat.log_ratios == {}
    assert heat.flags == {Flag.PARTIAL}
    empty = {name: [] for name in ("turn_child", "turn_begin_ns", "turn_end_ns", "turn_freq_khz")}
    nothing = TurnSamples(
        children=("orig", "ours"), turn_first=[0], samples_ns=[], cpus=[], **empty
    )
    assert measure_heat(TWO, nothing, NONE, number=0).flags == {Flag.PARTIAL}


def test_what_is_known_of_the_whole_heat_stays_with_it():
    flags = frozenset({Flag.HARNESS_KILLED})
    assert measure_heat(TWO, constant_heat(1.0), NONE, number=0, flags=flags).flags == flags


@pytest.mark.parametrize(
    ("children", "turns", "message"),
    [
        (("orig", "our"), [], "unknown label 'our'.*did you mean 'ours'"),
        (("orig", TWIN), [], "no process of 'ours'"),
        (
            ("orig", "ours"),
            [(0, [1]), (0, [1]), (1, [1]), (1, [1])],
            r"row 0 .* processes \[0, 0\]",
        ),
    ],
)
def test_a_heat_of_another_plan_is_refused(children, turns, message):
    with pytest.raises(InputError, match=message):
        measure_heat(TWO, make_heat(children, turns or [(0, [1]), (1, [1])]), NONE, number=0)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_log_ratio_that_is_no_number_is_refused(wrong):
    with pytest.raises(InputError, match="heat 7: the log-ratio of 'ours' is"):
        Heat(number=7, log_ratios={"ours": wrong}, n_pairs=9)


# ---------------------------------------------------------------- flags


def excluded(samples: TurnSamples, cpu_mask: int = 0) -> dict[Flag, int]:
    return dict(measure_heat(TWO, samples, NONE, number=0, cpu_mask=cpu_mask).excluded)


def test_a_sample_on_a_core_that_is_not_allowed_excludes_its_pair():
    cpus = [0] * 48
    cpus[20] = 2  # in the seventh turn of sixteen
    assert excluded(constant_heat(1.0, cpus=cpus), cpu_mask=0b01) == {Flag.WRONG_CORE: 1}
    assert excluded(constant_heat(1.0, cpus=cpus), cpu_mask=0b101) == {}
    assert excluded(constant_heat(1.0, cpus=cpus)) == {}


def test_a_core_is_lost_when_no_later_sample_is_on_an_allowed_one():
    cpus = [0] * 30 + [2] * 18
    assert excluded(constant_heat(1.0, cpus=cpus), cpu_mask=0b01) == {Flag.CORE_LOST: 3}


def test_an_unknown_core_disturbs_nothing():
    assert excluded(constant_heat(1.0, cpus=[-1] * 48), cpu_mask=0b01) == {}


def test_a_frequency_step_between_the_halves_of_a_pair_excludes_it():
    khz = [2_000_000] * 16
    khz[5] = 1_700_000
    khz[6] = khz[7] = 1_700_000  # both halves: no step between them
    assert excluded(constant_heat(1.0, freq_khz=khz)) == {Flag.THROTTLED: 1}
    khz[4] = -1  # unknown
    assert excluded(constant_heat(1.0, freq_khz=khz)) == {}


def clocks(begin: dict[int, int] = {}, end: dict[int, int] = {}) -> TurnSamples:  # noqa: B006
    """A heat whose turns begin or end some ns later than they did."""
    heat = constant_heat(1.0)
    begins, ends = heat.turn_begin_ns.copy(), heat.turn_end_ns.copy()
    for row, changes in ((begins, begin), (ends, end)):
        for turn, ns in changes.items():
            row[turn] += ns
    facts = {name: getattr(heat, name) for name in ("children", "turn_child", "turn_first")}
    return TurnSamples(
        **facts,
        turn_begin_ns=begins,
        turn_end_ns=ends,
        turn_freq_khz=heat.turn_freq_khz,
        samples_ns=heat.samples_ns,
        cpus=heat.cpus,
    )


@pytest.mark.parametrize(
    "jumped",
    [
        clocks(end={5: -1_000}),  # shorter than its samples
        clocks(end={5: 150_000_000}, begin={6: 150_000_000, 7: 150_000_000}),  # much longer
        clocks(begin={6: -3_000_000}, end={6: -3_000_000}),  # begins before the one before ended
    ],
    ids=["short", "long", "back"],
)
def test_a_clock_that_jumped_excludes_the_pair(jumped):
    found = excluded(jumped)
    assert set(found) == {Flag.CLOCK_JUMP}
    assert 1 <= found[Flag.CLOCK_JUMP] <= 2


def test_a_heat_with_most_pairs_excluded_is_partial():
    cpus = [0] * 15 + [3] * 33
    heat = measure_heat(TWO, constant_heat(1.0, cpus=cpus), NONE, number=0, cpu_mask=1)
    assert heat.n_pairs == 2
    assert heat.flags == {Flag.PARTIAL}
    assert heat.excluded == {Flag.CORE_LOST: 6}


def test_flags_are_told_turn_by_turn():
    cpus = [0] * 48
    cpus[20] = 2
    flags = flag_turns(constant_heat(1.0, cpus=cpus), cpu_mask=1)
    assert np.flatnonzero(flags[Flag.WRONG_CORE]).tolist() == [6]
    assert not flags[Flag.CORE_LOST].any()
    assert not flags[Flag.CLOCK_JUMP].any()


# ---------------------------------------------------------------- from heats to statements


def test_good_heats_are_collected_in_order_and_disturbed_ones_left_out():
    good = heats(TWO, [0.1, 0.2])
    partial = Heat(number=2, log_ratios={}, n_pairs=1, flags=frozenset({Flag.PARTIAL}))
    killed = Heat(
        number=3,
        log_ratios={"ours": 0.3},
        n_pairs=9,
        flags=frozenset({Flag.ENGINE_CRASHED}),
    )
    assert collect_heats(TWO, [good[1], partial, killed, good[0]]) == good


def test_two_good_heats_with_one_number_are_refused():
    with pytest.raises(InputError, match="two good heats have number 0"):
        collect_heats(TWO, [*heats(TWO, [0.1]), *heats(TWO, [0.2])])


def test_heats_take_the_place_of_rounds_in_a_comparison():
    made = heats(TWO, noisy(0, 12, centre=math.log(1.02)), controls=noisy(1, 6))
    assert log_ratios(TWO, made, "ours").tolist() == [h.log_ratios["ours"] for h in made]
    assert len(control_log_ratios(TWO, made)) == 6
    (one,) = compare(TWO, made)
    assert one.rule == HEATS_RULE.name
    assert one.verdict is Verdict.SLOWER
    assert one.covers(1.02)
    assert one.n_rounds == 12
    assert one.noise_floor is not None
    control = compare_control(TWO, made)
    assert control is not None
    assert control.verdict is Verdict.NOT_RESOLVED
    assert control.n_rounds == 6


def test_a_twin_that_is_another_file_is_seen_by_the_control():
    control = compare_control(TWO, heats(TWO, noisy(0, 12), controls=noisy(1, 12, centre=0.05)))
    assert control is not None
    assert control.verdict is Verdict.SLOWER


def test_before_its_first_look_the_rule_claims_nothing_that_peeking_would_not():
    made = heats(TWO, noisy(0, MIN_HEATS - 1))
    assert compare(TWO, made) == compare(TWO, made, MIXTURE_T_HEATS_RULE)


@pytest.mark.parametrize(
    ("pairing", "planned", "by_hand"),
    [
        (Pairing.TURNS, HEATS_RULE, MIXTURE_T_HEATS_RULE),
        (Pairing.BLOCKS, TRIMMED_T_RULE, MIXTURE_T_RULE),
    ],
)
def test_the_design_says_which_rule_makes_the_interval(pairing, planned, by_hand):
    design = Design(labels=("orig", "ours"), pairing=pairing)
    assert choose_rule(design) is planned
    assert choose_rule(design, by_hand=True) is by_hand


def test_a_monitor_of_heats_stops_at_the_first_look_that_is_narrow_enough():
    monitor = Monitor(TWO)
    decisions = [monitor.update(heat, 1.5 * (heat.number + 1)) for heat in heats(TWO, noisy(0, 8))]
    first = next(i for i, decision in enumerate(decisions) if decision.stop)
    assert first >= MIN_HEATS - 1
    assert decisions[first].reason is Reason.PRECISION
    assert decisions[first].comparisons[0].half_width <= TWO.precision
    assert not any(decision.stop for decision in decisions[: MIN_HEATS - 1])


def test_a_heat_out_of_order_is_refused():
    monitor = Monitor(TWO, heats(TWO, [0.0, 0.0]))
    with pytest.raises(InputError, match="heat 1 comes after heat 1"):
        monitor.update(heats(TWO, [0.0, 0.0])[1], 3.0)


def test_a_campaign_of_one_variant_stops_on_its_twin():
    one = Design(labels=("orig",), pairing=Pairing.TURNS, budget_seconds=1e6)
    monitor = Monitor(one)
    for heat in heats(one, [0.0] * 40, controls=noisy(3, 40)):
        decision = monitor.update(heat, float(heat.number))
        if decision.stop:
            break
    assert decision.reason is Reason.PRECISION
    assert decision.comparisons == ()
    assert decision.control is not None


# ---------------------------------------------------------------- summaries


def test_a_summary_of_turns_is_of_the_samples_that_count_with_the_twins():
    first = make_heat(
        ("orig", "ours", TWIN), [(0, [90, 10, 20]), (1, [50] * 3), (2, [80, 30])], cpus=[0] * 8
    )
    second = make_heat(("ours", "orig"), [(1, [70, 40]), (0, [50])], freq_khz=[1_500_000, -1])
    found = summarise_turns(
        TWO,
        "orig",
        [first, second],
        1,
        threads=2,
        n_disturbed=3,
        load_ns=[5, 7, None],
        vm_hwm_kib=[None, 400],
    )
    assert (found.n_samples, found.n_blocks, found.n_disturbed) == (4, 2, 3)
    assert (found.median_ns, found.min_ns) == (25.0, 10.0)
    assert (found.cold_load_ns, found.first_inference_ns, found.peak_memory_kib) == (6.0, None, 400)
    assert (found.threads, found.cores, found.mean_freq_khz) == (2, (0,), 1_500_000.0)


def test_turns_without_a_sample_that_counts_cannot_be_summarised():
    with pytest.raises(InputError, match="no turn of 'ours' has a sample that counts"):
        summarise_turns(TWO, "ours", [constant_heat(1.0)], 3, threads=1)
