from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats
from scripts import load_script

from android_bench.statistics import intervals
from android_bench.statistics.comparison import Round, Verdict
from android_bench.statistics.design import Design, Pairing, round_order
from android_bench.statistics.monitor import Monitor, Reason, precision_to_resolve
from android_bench.statistics.stopping import (
    HEATS_RULE,
    MIXTURE_T_RULE,
    TRIMMED_T_RULE,
    choose_rule,
    split_confidence,
)
from android_bench.statistics.study.alpha_spending import boundaries, obrien_fleming, pocock
from android_bench.statistics.study.conditions import CONDITIONS, find_conditions
from android_bench.statistics.study.coverage import Share, judge
from android_bench.statistics.study.rivals import make_rivals
from android_bench.statistics.study.run_rule import run_rule
from android_bench.statistics.study.simulated_campaigns import simulate
from pfd_models.errors import InputError

TWO = Design(labels=("orig", "ours"))
NAMES = [each.name for each in CONDITIONS if each.weather is None]
ALL_NAMES = [each.name for each in CONDITIONS]
ALL_INTERVALS = [
    intervals.trimmed_t,
    intervals.mean_t,
    intervals.signed_rank,
    intervals.two_stage,
    intervals.mixture_t,
    intervals.asymptotic_sequence,
]


def draws(n: int, series: int = 1, seed: int = 0) -> np.ndarray:
    return 0.01 + 0.02 * np.random.default_rng(seed).standard_normal((series, n))


# ---------------------------------------------------------------- intervals, each by another way


def test_mean_t_is_the_textbook_interval():
    series = draws(17)
    centre, half = intervals.mean_t(series, 0.9)
    low, high = stats.ttest_1samp(series[0], 0.0).confidence_interval(0.9)
    assert (centre[0] - half[0], centre[0] + half[0]) == pytest.approx((low, high))


@pytest.mark.parametrize("n", [4, 9, 10, 29, 60])
def test_trimmed_t_is_the_trimmed_mean_and_the_winsorised_spread(n):
    series = stats.t.rvs(2.5, size=(1, n), random_state=n)
    centre, half = intervals.trimmed_t(series, 0.95)
    cut = n // 10
    winsorised = stats.mstats.winsorize(series[0], limits=(cut / n, cut / n))
    kept = n - 2 * cut
    error = np.sqrt((n - 1) * np.var(winsorised, ddof=1) / (kept * (kept - 1)))
    assert centre[0] == pytest.approx(stats.trim_mean(series[0], 0.1))
    assert half[0] == pytest.approx(stats.t.ppf(0.975, kept - 1) * error)


def test_signed_rank_ends_where_wilcoxons_test_begins_to_reject():
    series = draws(40)
    centre, half = intervals.signed_rank(series, 0.95)
    just = 1e-9
    for end, outwards in ((centre + half, 1.0), (centre - half, -1.0)):
        inside = stats.wilcoxon(series[0] - (end - outwards * just), method="approx").pvalue
        outside = stats.wilcoxon(series[0] - (end + outwards * just), method="approx").pvalue
        assert outside < inside
        assert outside == pytest.approx(0.05, abs=0.003)


@pytest.mark.parametrize("n", [8, 20, 60])
def test_mixture_t_ends_where_the_mixed_likelihood_ratio_reaches_one_over_alpha(n):
    alpha, tuned_for = 0.05, 30
    series = draws(n)
    _, half = intervals.mixture_t(series, 1.0 - alpha, tuned_for)
    t = half[0] / (series.std(ddof=1) / np.sqrt(n))
    spread = np.sqrt((-2.0 * np.log(alpha) + np.log(1.0 - 2.0 * np.log(alpha))) / tuned_for)

    def mixed(effect: float) -> float:
        density = stats.nct.pdf(t, n - 1, effect * np.sqrt(n))
        return float(density * stats.norm.pdf(effect, 0.0, spread))

    ratio = integrate.quad(mixed, -12 * spread, 12 * spread, limit=400)[0] / stats.t.pdf(t, n - 1)
    assert ratio == pytest.approx(1.0 / alpha, rel=1e-4)


def test_mixture_t_says_nothing_while_the_series_is_too_short():
    _, half = intervals.mixture_t(draws(4), 0.95)
    assert half[0] == np.inf


def test_asymptotic_sequence_is_the_published_boundary():
    series, alpha, n = draws(30), 0.05, 30
    _, half = intervals.asymptotic_sequence(series, 1 - alpha, tuned_for=n)
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / n
    margin = np.sqrt(2 * (n * rho2 + 1) / (n**2 * rho2) * np.log(np.sqrt(n * rho2 + 1) / alpha))
    assert half[0] == pytest.approx(series.std(ddof=1) * margin)


def test_two_stage_knows_only_the_first_rounds_spread():
    series = draws(30)
    stretched = series.copy()
    stretched[:, 12:] *= 5.0
    assert intervals.two_stage(series, 0.95)[1] == intervals.two_stage(stretched, 0.95)[1]


@pytest.mark.parametrize("interval", ALL_INTERVALS)
def test_every_interval_follows_shift_and_scale(interval):
    series = draws(25, series=3)
    centre, half = interval(series, 0.95)
    moved_centre, moved_half = interval(5.0 + 3.0 * series, 0.95)
    assert moved_centre == pytest.approx(5.0 + 3.0 * centre)
    assert moved_half == pytest.approx(3.0 * half)


@pytest.mark.parametrize("interval", ALL_INTERVALS)
def test_no_interval_is_made_of_nonsense(interval):
    with pytest.raises(InputError, match="3 complete rounds: an interval needs at least 4"):
        interval(draws(3), 0.95)
    broken = draws(20)
    broken[0, 4] = np.nan
    with pytest.raises(InputError, match="not a finite number"):
        interval(broken, 0.95)


@pytest.mark.parametrize(
    ("spending", "published"),
    [  # Jennison and Turnbull (2000), five equal looks, two-sided 5 %
        (pocock, [2.438, 2.427, 2.410, 2.397, 2.386]),
        (obrien_fleming, [4.877, 3.357, 2.680, 2.290, 2.031]),
    ],
)
def test_boundaries_are_the_published_ones(spending, published):
    assert boundaries([0.2, 0.4, 0.6, 0.8, 1.0], 0.05, spending) == pytest.approx(
        published, abs=0.002
    )


@pytest.mark.parametrize("fractions", [[], [0.5], [0.5, 0.4, 1.0], [0.0, 1.0]])
def test_impossible_looks_are_refused(fractions):
    with pytest.raises(InputError, match="information fractions"):
        boundaries(fractions, 0.05, pocock)


# ---------------------------------------------------------------- the monitor


def follow(design: Design, log_ratios: np.ndarray, elapsed: np.ndarray):
    """Feed a monitor the rounds of one simulated campaign until it stops."""
    monitor = Monitor(design)
    for number, row in enumerate(log_ratios):
        labels = round_order(design, number)
        effects = dict(zip(design.candidates, row, strict=True))
        medians = {label: 1e6 * float(np.exp(effects.get(label, 0.0))) for label in labels}
        decision = monitor.update(Round(number=number, medians_ns=medians), float(elapsed[number]))
        if decision.stop:
            return monitor, decision
    raise AssertionError("the campaign did not stop")


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("name", ["quiet", "tails", "phone"])
def test_the_monitor_stops_where_the_judged_rule_stops_and_reports_its_interval(k, name):
    design = Design(labels=("a", "b", "c")[:k], budget_seconds=200.0)
    data = simulate(design, 1.01, find_conditions(name), seed=5, campaigns=4)
    judged = run_rule(
        TRIMMED_T_RULE, design, data.log_ratios, data.elapsed_seconds, data.true_log_ratios
    )
    for i in range(4):
        monitor, decision = follow(design, data.log_ratios[i], data.elapsed_seconds[i])
        assert len(monitor.rounds) == judged.rounds[i]
        reached = (judged.half_width[i] <= np.log1p(design.precision)).all()
        assert decision.reason is (Reason.PRECISION if reached else Reason.BUDGET)
        for one, centre, half in zip(
            decision.comparisons, judged.centre[i], judged.half_width[i], strict=True
        ):
            assert np.log([one.low, one.ratio, one.high]) == pytest.approx(
                [centre - half, centre, centre + half], abs=1e-12
            )


def exact_rounds(n: int, design: Design = TWO, effect: float = 0.0) -> list[Round]:
    """Rounds that differ by ±1 % around an effect, in turns."""
    return [
        Round(
            number=number,
            medians_ns={
                label: 1e6 * float(np.exp(effect + 0.01 * (-1) ** number))
                if label in design.candidates
                else 1e6
                for label in round_order(design, number)
            },
        )
        for number in range(n)
    ]


def test_it_goes_on_until_the_interval_is_narrow_enough():
    monitor = Monitor(TWO)
    decisions = [monitor.update(r, 1.0 + r.number) for r in exact_rounds(40)]
    assert decisions[2].comparisons == ()
    assert decisions[2].control is None
    assert [d.reason for d in decisions[:11]] == [Reason.GOES_ON] * 11
    first = next(i for i, d in enumerate(decisions) if d.stop)
    assert decisions[first].reason is Reason.PRECISION
    assert decisions[first].comparisons[0].half_width <= 0.01
    assert decisions[first].seconds_left == 0.0
    assert all(not d.stop and d.seconds_left > 0.0 for d in decisions[:first])


def test_no_precision_is_believed_before_twelve_rounds():
    loose = replace(TWO, precision=0.5)
    monitor = Monitor(loose)
    decisions = [monitor.update(r, 1.0 + r.number) for r in exact_rounds(12, loose)]
    assert [d.stop for d in decisions] == [False] * 11 + [True]


def test_the_budget_ends_a_campaign_that_is_not_precise_and_says_not_resolved():
    short = replace(TWO, budget_seconds=9.0)
    monitor = Monitor(short)
    decisions = [monitor.update(r, 1.0 + r.number) for r in exact_rounds(9, short)]
    assert [d.reason for d in decisions] == [Reason.GOES_ON] * 8 + [Reason.BUDGET]
    assert decisions[-1].comparisons[0].verdict is Verdict.NOT_RESOLVED


def test_a_budget_too_short_for_any_interval_gives_none():
    short = replace(TWO, budget_seconds=1.0)
    decision = Monitor(short).update(exact_rounds(1, short)[0], 1.5)
    assert decision.reason is Reason.BUDGET
    assert decision.comparisons == ()


def test_the_estimate_of_the_time_left_comes_true():
    loose = replace(TWO, budget_seconds=1e6, precision=0.002)
    monitor = Monitor(loose)
    decisions = [monitor.update(r, 1.0 + r.number) for r in exact_rounds(500, loose)]
    end = next(i for i, d in enumerate(decisions) if d.stop)
    assert 100.0 + decisions[99].seconds_left == pytest.approx(1.0 + end, rel=0.15)


def test_a_campaign_of_one_variant_stops_on_its_control():
    one = Design(labels=("orig",), budget_seconds=1e6)
    rng = np.random.default_rng(0)
    monitor = Monitor(one)
    for number in range(2000):
        medians = {round_order(one, number)[0]: 1e6 * float(np.exp(0.02 * rng.standard_normal()))}
        decision = monitor.update(Round(number=number, medians_ns=medians), float(number))
        if decision.stop:
            break
    assert decision.reason is Reason.PRECISION
    assert decision.comparisons == ()
    assert decision.control is not None
    assert decision.control.half_width <= 0.01


def test_a_resumed_monitor_decides_as_one_that_was_not_interrupted():
    rounds = exact_rounds(20)
    whole, resumed = Monitor(TWO), Monitor(TWO, rounds[:13])
    decisions = [whole.update(r, 1.0 + r.number) for r in rounds[:14]]
    assert resumed.update(rounds[13], 14.0) == decisions[-1]


def test_a_round_out_of_order_is_refused():
    rounds = exact_rounds(3)
    monitor = Monitor(TWO, rounds)
    with pytest.raises(InputError, match="round 2 comes after round 2"):
        monitor.update(rounds[2], 3.0)


# ---------------------------------------------------------------- precision for an effect


def test_the_precision_to_resolve_an_effect_is_seven_tenths_of_it():
    assert precision_to_resolve(0.01) == pytest.approx(0.0070, abs=0.0001)
    assert precision_to_resolve(0.01, power=0.5) == pytest.approx(0.01)
    assert precision_to_resolve(0.01, comparisons=3) > precision_to_resolve(0.01)


@pytest.mark.parametrize("wrong", [{"effect": 0.0}, {"effect": 0.01, "power": 0.4}])
def test_an_impossible_wish_is_refused(wrong):
    with pytest.raises(InputError, match="it must be"):
        precision_to_resolve(**wrong)


# ---------------------------------------------------------------- coverage, with stopping on


def is_below(share: Share, promise: float) -> bool:
    """Whether a share is below a promise by more than chance explains: 1 in 100,000."""
    return stats.binom.cdf(share.count, share.of, promise) < 1e-5


def is_above(share: Share, promise: float) -> bool:
    """Whether a share is above a promise by more than chance explains: 1 in 100,000."""
    return stats.binom.sf(share.count - 1, share.of, promise) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_the_interval_covers_a_true_effect_in_93_of_100_campaigns(name):
    (one,) = judge(
        (TRIMMED_T_RULE,), TWO, find_conditions(name), true_ratio=1.01, campaigns=1000, seed=100
    )
    assert one.covered.fraction >= 0.93
    assert not is_below(one.covered, 0.95)


@pytest.mark.parametrize("name", NAMES)
def test_equal_variants_raise_5_false_alarms_in_100_campaigns_at_most(name):
    (one,) = judge(
        (TRIMMED_T_RULE,), TWO, find_conditions(name), true_ratio=1.0, campaigns=4000, seed=200
    )
    assert not is_above(one.claimed, 0.05)
    assert not is_above(one.control_missed, 0.05)
    assert one.claimed == one.claimed_wrongly


def test_blocks_keep_their_promises_in_weather_too():
    for ratio in (1.0, 1.01):
        (one,) = judge((TRIMMED_T_RULE,), TWO, find_conditions("weather"), ratio, 150, seed=100)
        assert one.covered.fraction >= 0.93
        assert not is_above(one.control_missed, 0.05)


@pytest.mark.parametrize("name", ["quiet", "wander"])
def test_a_rule_that_looks_freely_at_plain_intervals_is_caught_by_the_same_test(name):
    freely, *_ = make_rivals(TWO, 300)
    (one,) = judge((freely,), TWO, find_conditions(name), true_ratio=1.0, campaigns=4000, seed=200)
    assert one.covered.fraction < 0.93
    assert is_above(one.claimed, 0.05)


def test_stopping_by_hand_at_the_first_verdict_is_what_the_sequence_is_for():
    for name in ("quiet", "wander"):
        ours, sequence = judge(
            (TRIMMED_T_RULE, MIXTURE_T_RULE), TWO, find_conditions(name), 1.0, 1000, seed=300
        )
        assert ours.peeked_wrongly.fraction > 0.05
        assert not is_above(sequence.peeked_wrongly, 0.05)


def test_a_true_one_percent_effect_is_resolved_within_three_minutes():
    fine = replace(TWO, precision=precision_to_resolve(0.01), budget_seconds=180.0)
    (one,) = judge(
        (TRIMMED_T_RULE,), fine, find_conditions("quiet"), true_ratio=1.01, campaigns=400, seed=400
    )
    assert not is_below(one.resolved, 0.8)
    assert one.claimed_wrongly.count == 0
    assert one.p90_seconds < 180.0


def test_several_variants_are_covered_together():
    three = replace(TWO, labels=("orig", "ours", "stem"))
    (one,) = judge(
        (TRIMMED_T_RULE,), three, find_conditions("wander"), true_ratio=1.0, campaigns=400, seed=500
    )
    assert not is_below(one.covered, 0.95)
    assert split_confidence(0.95, 2) == pytest.approx(0.975)


def test_a_share_knows_its_exact_binomial_interval():
    low, high = Share(count=0, of=20).bounds()
    assert (low, high) == pytest.approx((0.0, 1.0 - 0.025 ** (1 / 20)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ALL_NAMES)
def test_ten_thousand_campaigns_keep_every_promise(name, seed):
    for ratio in (1.0, 1.01, 1.3):
        for precision in (0.005, 0.01, 0.03):
            design = replace(TWO, precision=precision)
            (one,) = judge((TRIMMED_T_RULE,), design, find_conditions(name), ratio, 10_000, seed)
            assert one.covered.fraction >= 0.95
            assert one.control_missed.fraction <= 0.05


HELD_OUT = [  # none of these served to choose the rule or to calibrate it
    *(
        replace(find_conditions("wander"), name=f"wander {seconds} s", wander_seconds=seconds)
        for seconds in (0.3, 0.7, 1.0, 4.0, 8.0, 20.0)
    ),
    replace(find_conditions("tails"), name="tails and wander", wander=0.03, noise=0.008),
    replace(find_conditions("quiet"), name="infinite kurtosis", noise_df=2.2),
    replace(find_conditions("quiet"), name="noisy", noise=0.05),
    replace(find_conditions("quiet"), name="still", noise=0.002),
    replace(find_conditions("steps"), name="restless governor", steps_per_minute=30.0, step=0.3),
    replace(find_conditions("tails"), name="mostly loaded", load_per_minute=30.0, load_seconds=0.5),
    replace(find_conditions("phone"), name="short blocks", overhead_seconds=0.5, inferences=30),
]


@pytest.mark.slow
@pytest.mark.parametrize("how", HELD_OUT, ids=lambda how: how.name)
def test_conditions_that_the_rule_was_not_calibrated_on_are_covered_too(how):
    (one,) = judge((TRIMMED_T_RULE,), TWO, how, 1.0, 4000, seed=7)
    assert one.covered.fraction >= 0.94
    assert not is_below(one.covered, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("k", [3, 4, 8])
@pytest.mark.parametrize("name", ALL_NAMES)
def test_many_variants_are_covered_together(k, name):
    design = Design(labels=tuple("abcdefgh"[:k]))
    (one,) = judge((TRIMMED_T_RULE,), design, find_conditions(name), 1.0, 1000, seed=8)
    assert one.covered.fraction >= 0.95


# ---------------------------------------------------------------- the command

PAGE_COMMANDS = [
    "",
    "--pairing blocks",
    "--compare",
    "--pairing blocks --compare",
    "--calibrate --campaigns 4000",
    "--pairing blocks --calibrate --campaigns 4000",
    "--heats --campaigns 400 --budget 10 --conditions weather",
]


@pytest.fixture(scope="module")
def command(repository):
    return load_script(repository / "tools" / "coverage.py")


@pytest.mark.parametrize("pairing", ["turns", "blocks"])
def test_the_command_prints_coverage_alarms_and_device_time(command, capsys, pairing):
    # One in three sets of a hundred campaigns shows more alarms than promised; this seed does not.
    few = ["--campaigns", "100", "--conditions", "quiet", "--seed", "1", "--budget", "60"]
    few += ["--pairing", pairing]
    assert command.main(few) == 0
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.startswith("quiet")]
    assert line.count("%") >= 9
    assert line.count(" s") == 4
    assert f"2 variants in {pairing}" in printed
    assert printed.strip().endswith("every promise kept")


def test_the_command_says_no_when_a_promise_is_broken(command, capsys, monkeypatch):
    narrow = replace(HEATS_RULE, interval=partial(intervals.trimmed_t, inflation=0.7))
    monkeypatch.setattr(command, "choose_rule", lambda design: narrow)
    assert command.main(["--campaigns", "100", "--conditions", "quiet", "--budget", "20"]) == 1
    assert "quiet: covers in less than 93%" in capsys.readouterr().out


@pytest.mark.parametrize("pairing", [Pairing.TURNS, Pairing.BLOCKS])
def test_the_command_compares_and_calibrates(command, capsys, pairing):
    few = ["--campaigns", "20", "--conditions", "drift", "--budget", "60"]
    design = replace(TWO, pairing=pairing)
    assert command.main(["--compare", "--pairing", pairing.value, *few]) == 0
    compared = capsys.readouterr().out
    assert all(rule.name in compared for rule in (choose_rule(design), *make_rivals(design, 60)))
    assert command.main(["--calibrate", "--pairing", pairing.value, *few]) == 0
    assert "worst" in capsys.readouterr().out


def test_the_command_shows_what_heats_of_other_lengths_take(command, capsys):
    few = ["--campaigns", "20", "--conditions", "quiet", "--budget", "10"]
    assert command.main(["--heats", *few]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("quiet")]
    assert [line.split()[1] for line in lines] == ["0.4", "0.7", "1.0", "1.5", "3.0"]


def test_the_command_shows_what_samples_say(command, capsys, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    samples = tmp_path / "samples.npz"
    np.savez(
        samples,
        c0_ns=(1e6 * np.exp(0.05 * rng.standard_normal(12_000))).astype(np.int32),
        c0_block=np.repeat(np.arange(40), 300),
        c0_slowed=np.repeat(np.arange(40) % 2 == 1, 300),
    )
    assert command.main(["--turn-statistics", str(samples)]) == 0
    assert "mean of 4 after 2" in capsys.readouterr().out
    monkeypatch.setattr(command, "fit_weather", partial(command.fit_weather, trials=1))
    assert command.main(["--fit-weather", str(samples)]) == 0
    printed = capsys.readouterr().out
    assert "slowdown" in printed
    assert "pairs of blocks, spread" in printed


@pytest.mark.slow
@pytest.mark.parametrize("arguments", PAGE_COMMANDS)
def test_the_page_shows_what_the_command_prints(command, capsys, arguments):
    page = Path(__file__).parents[3] / "docs" / "statistics.md"
    assert f"python tools/coverage.py {arguments}".strip() in page.read_text(encoding="utf-8")
    command.main(arguments.split())
    assert capsys.readouterr().out.strip() in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--conditions", "drfit"], "did you mean 'drift'"),
        (["--precision", "0"], "precision is 0.0"),
        (["--variants", "1"], "at least 2 variants"),
        (["--heats", "--pairing", "blocks"], "--heats is about turns"),
        (["--fit-weather", "nowhere.npz"], "cannot read samples from nowhere.npz"),
    ],
)
def test_the_command_refuses_bad_input_in_one_line(command, capsys, arguments, message):
    assert command.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
