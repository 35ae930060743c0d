"""Does the bench's interval hold the truth as often as it says, and what does that cost?

    python tools/coverage.py                         coverage, false alarms and device time
    python tools/coverage.py --compare               the same campaigns decided by other rules
    python tools/coverage.py --calibrate             where the factor comes from that widens
    python tools/coverage.py --heats                 how long a heat should be
    python tools/coverage.py --fit-weather FILE      where the weather's constants come from
    python tools/coverage.py --turn-statistics FILE  what to make of a turn and of its heat

Campaigns are simulated, with stopping on, on devices that misbehave in known ways: turns of
processes that are alive at once or, with --pairing blocks, one process after the other. FILE holds
samples of a real computer. Exit status 1 says that coverage or false alarms are not what the bench
promises.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

from android_bench.statistics.design import Design, Pairing
from android_bench.statistics.intervals import trimmed_t
from android_bench.statistics.monitor import precision_to_resolve
from android_bench.statistics.stopping import HEAT_INFLATION, INFLATION, Rule, choose_rule
from android_bench.statistics.study.conditions import CONDITIONS, Conditions, find_conditions
from android_bench.statistics.study.coverage import Coverage, Share, judge
from android_bench.statistics.study.rivals import make_rivals
from android_bench.statistics.study.simulated_heats import simulate_heats
from android_bench.statistics.study.turn_statistics import STATISTICS, measure_errors
from android_bench.statistics.study.weather import NOISY_HOST
from android_bench.statistics.study.weather_fit import fit_weather, read_samples
from pfd_models.errors import InputError, PfdError

LEAST_COVERED = 0.93
MOST_ALARMS = 0.05
EFFECT = 0.01
MODES = {
    "compare": "other stopping rules, same data",
    "calibrate": "coverage over the widening factor",
    "heats": "device time over the length of a heat",
}
BUDGETS = {Pairing.TURNS: 120.0, Pairing.BLOCKS: 300.0}  # device seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: As typed; None takes those of the process.

    Returns:
        The exit status.
    """
    args = _parser().parse_args(arguments)
    try:
        if args.fit_weather:
            return show_fit(args.fit_weather)
        if args.turn_statistics:
            return show_turn_statistics(args.turn_statistics)
        if args.variants < 2:
            raise InputError(f"--variants {args.variants}: a comparison needs at least 2 variants")
        pairing = Pairing(args.pairing)
        if args.mode == "heats" and pairing is not Pairing.TURNS:
            raise InputError("--heats is about turns: leave out --pairing blocks")
        design = Design(
            labels=tuple(f"variant {i}" for i in range(args.variants)),
            precision=args.precision,
            budget_seconds=BUDGETS[pairing] if args.budget is None else args.budget,
            confidence=args.confidence,
            pairing=pairing,
        )
        chosen = [find_conditions(name) for name in args.conditions] or list(CONDITIONS)
        run = {"compare": compare, "calibrate": calibrate, "heats": show_heat_lengths}.get(
            args.mode, check
        )
        return run(design, chosen, args.campaigns, args.seed)
    except PfdError as error:
        print(f"coverage: {error}", file=sys.stderr)
        return error.exit_status


def check(design: Design, chosen: Sequence[Conditions], campaigns: int, seed: int) -> int:
    """Print what the bench promises and what it keeps, one line per condition.

    Returns:
        1 if a promise is not kept, else 0.
    """
    rule = choose_rule(design)
    resolving = _resolve(design, EFFECT)
    print(
        f"{campaigns} campaigns each of {len(design.labels)} variants in {design.pairing.value},"
        f" rule: {rule.name}, stopped at ±{design.precision:.2%} or {design.budget_seconds:g} s,"
        f"\nnominal {design.confidence:.0%}; in brackets 95 % binomial intervals. The last two"
        f" columns: true effects of {EFFECT:.0%} and\n{EFFECT / 2:.1%}, stopped at"
        f" ±{resolving.precision:.2%} and ±{_resolve(design, EFFECT / 2).precision:.2%} or"
        f" {resolving.budget_seconds:g} s: campaigns that resolve them, and the median, and nine of"
        " ten,\nof their device time.\n"
    )
    print(
        f"{'conditions':<11}{'covered, true effect 1 %':<26}{'A/A false alarms':<22}{'control':>7}"
        f"{'seconds':>9}{'1 % resolved':>20}{'0.5 % resolved':>22}"
    )
    broken = []
    for how in chosen:
        first = seed + 3 * CONDITIONS.index(how)  # whichever others are chosen
        (effect,) = judge((rule,), design, how, 1.0 + EFFECT, campaigns, first)
        (null,) = judge((rule,), design, how, 1.0, campaigns, first + 1)
        (whole, half) = (
            judge((rule,), _resolve(design, size), how, 1.0 + size, campaigns, first + 2)[0]
            for size in (EFFECT, EFFECT / 2)
        )
        print(
            f"{how.name:<11}{_percent(effect.covered):<26}{_percent(null.claimed):<22}"
            f"{null.control_missed.fraction:>7.1%}{effect.median_seconds:>9.0f}"
            f"{_power(whole):>20}{_power(half):>22}",
            flush=True,
        )
        if min(effect.covered.fraction, null.covered.fraction) < LEAST_COVERED:
            broken.append(f"{how.name}: covers in less than {LEAST_COVERED:.0%}")
        if null.claimed.fraction > MOST_ALARMS:
            broken.append(f"{how.name}: more than {MOST_ALARMS:.0%} false alarms")
    print("\n" + ("; ".join(broken) if broken else "every promise kept"))
    return 1 if broken else 0


def compare(design: Design, chosen: Sequence[Conditions], campaigns: int, seed: int) -> int:
    """Print what other rules make of the same campaigns; always returns 0."""
    print(
        f"{campaigns} A/A campaigns each, in {design.pairing.value}, stopped at"
        f" ±{design.precision:.2%} or {design.budget_seconds:g} s, nominal"
        f" {design.confidence:.0%}.\n"
        "'at will': campaigns of which some interval on the way left out the truth, as somebody"
        " who stops\nat the first verdict would report. 'reached': precision within the budget.\n"
    )
    print(
        f"{'conditions':<11}{'rule':<28}{'covered':<24}{'at will':>9}{'reached':>9}"
        f"{'mean s':>9}{'p90 s':>8}"
    )
    for how in chosen:
        seconds = how.block_seconds if design.pairing is Pairing.BLOCKS else 2.0 * how.start_seconds
        most = int(design.budget_seconds / (len(design.labels) * seconds))
        rules = (choose_rule(design), *make_rivals(design, most))
        for one in judge(rules, design, how, 1.0, campaigns, seed):
            print(
                f"{one.conditions:<11}{one.rule:<28}{_percent(one.covered):<24}"
                f"{one.peeked_wrongly.fraction:>9.1%}{one.reached.fraction:>9.1%}"
                f"{one.mean_seconds:>9.0f}{one.p90_seconds:>8.0f}",
                flush=True,
            )
        print()
    return 0


def calibrate(design: Design, chosen: Sequence[Conditions], campaigns: int, seed: int) -> int:
    """Print coverage over the factor that widens the interval; always returns 0."""
    used = HEAT_INFLATION if design.pairing is Pairing.TURNS else INFLATION
    first = choose_rule(design).first_look(design)
    rules = tuple(
        Rule(name=f"{f:.2f}", interval=partial(trimmed_t, inflation=f), min_rounds=first)
        for f in (1.0 + 0.02 * step for step in range(14))
    )
    print(
        f"coverage in {campaigns} A/A campaigns each, in {design.pairing.value}, by the factor that"
        f" widens the interval; the bench uses {used:.2f}\n"
    )
    print(f"{'conditions':<11}" + "".join(f"{rule.name:>7}" for rule in rules))
    worst = [1.0] * len(rules)
    for how in chosen:
        covered = [one.covered.fraction for one in judge(rules, design, how, 1.0, campaigns, seed)]
        worst = [min(pair) for pair in zip(worst, covered, strict=True)]
        print(f"{how.name:<11}" + "".join(f"{share:>7.1%}" for share in covered), flush=True)
    print(f"{'worst':<11}" + "".join(f"{share:>7.1%}" for share in worst))
    return 0


def show_heat_lengths(
    design: Design, chosen: Sequence[Conditions], campaigns: int, seed: int
) -> int:
    """Print what resolving 1 % takes by the length of a heat and the twin; always returns 0."""
    rule, resolving = choose_rule(design), _resolve(design, EFFECT)
    print(
        f"{campaigns} campaigns each of {len(design.labels)} variants in turns, true effect"
        f" {EFFECT:.0%}, stopped at ±{resolving.precision:.2%}, by what the turns\nof a heat take"
        " together: campaigns that resolve it, and the median, and nine of ten, of their device"
        " time.\n"
    )
    titles = ("with the bench's twins", "no twin")
    print(f"{'conditions':<11}{'turns':>7}{titles[0]:>32}{titles[1]:>22}")
    for how in chosen:
        for seconds in (0.4, 0.7, 1.0, 1.5, 3.0):
            cells = []
            for twins in (True, False):
                simulation = partial(simulate_heats, turn_seconds=seconds, twins=twins)
                (one,) = judge((rule,), resolving, how, 1.0 + EFFECT, campaigns, seed, simulation)
                cells.append(_power(one, digits=1))
            print(f"{how.name:<11}{seconds:>5} s{cells[0]:>32}{cells[1]:>22}", flush=True)
    return 0


def show_fit(path: Path) -> int:
    """Print the weather that fits samples, and how well; always returns 0."""
    fit = fit_weather(read_samples(path), NOISY_HOST)
    print(f"{'weather':<30}{'fitted':>10}{'in use':>10}")
    for field in fields(NOISY_HOST):
        value, used = getattr(fit.weather, field.name), getattr(NOISY_HOST, field.name)
        print(f"{field.name:<30}{value:>10.4g}{used:>10.4g}")
    print(f"{'noise of an inference':<30}{fit.noise:>10.4g}")
    print(f"\n{'moment':<42}{'samples':>10}{'simulated':>11}")
    for name, value in fit.measured.items():
        print(f"{name:<42}{value:>10.4f}{fit.simulated[name]:>11.4f}")
    return 0


def show_turn_statistics(path: Path) -> int:
    """Print by how much heats of one second would err; always returns 0."""
    campaigns, trims = read_samples(path), (0.0, 0.1, 0.2, 0.25, 0.3, 0.4)
    print(
        "error of a heat whose turns take one second, in %: standard deviation / robust, by the"
        " share of pairs\nthat is left out at each end\n"
    )
    print(f"{'a turn is':<34}" + "".join(f"{trim:>12.0%}" for trim in trims))
    for discards, kept in ((1, 2), (1, 4), (2, 2), (2, 4), (2, 6), (2, 10), (2, 14)):
        for name, statistic in STATISTICS.items():
            errors = measure_errors(campaigns, statistic, discards=discards, kept=kept, trims=trims)
            cells = [f"{100 * e.spread:.2f} / {100 * e.robust:.2f}" for e in errors]
            title = f"{name} of {kept} after {discards}"
            print(f"{title:<34}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
    return 0


def _resolve(design: Design, effect: float) -> Design:
    """The design that resolves a true effect in four of five campaigns."""
    precision = precision_to_resolve(
        effect, confidence=design.confidence, comparisons=len(design.candidates)
    )
    return replace(design, precision=precision, budget_seconds=4.0 * design.budget_seconds)


def _power(found: Coverage, digits: int = 0) -> str:
    """Campaigns that resolve the effect, with the median and nine tenths of their time."""
    median, most = found.median_seconds, found.p90_seconds
    return f"{found.resolved.fraction:.0%} {median:.{digits}f} s, {most:.{digits}f} s"


def _percent(share: Share) -> str:
    low, high = share.bounds()
    return f"{share.fraction:6.1%} [{low:.1%}, {high:.1%}]"


def _parser() -> argparse.ArgumentParser:
    known = ", ".join(each.name for each in CONDITIONS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    for name, text in MODES.items():
        mode.add_argument(f"--{name}", dest="mode", action="store_const", const=name, help=text)
    mode.add_argument(
        "--fit-weather", type=Path, metavar="FILE", help="fit the weather to samples (.npz)"
    )
    mode.add_argument(
        "--turn-statistics", type=Path, metavar="FILE", help="try statistics of turns on samples"
    )
    parser.add_argument(
        "--pairing",
        choices=[pairing.value for pairing in Pairing],
        default=Pairing.TURNS.value,
        help="how near to each other variants are measured (turns)",
    )
    parser.add_argument("--campaigns", type=_whole, default=1000, help="per condition (1000)")
    parser.add_argument("--variants", type=_whole, default=2, help="baseline included (2)")
    parser.add_argument("--precision", type=float, default=0.01, help="half-width to stop (0.01)")
    parser.add_argument(
        "--budget", type=float, help="device seconds (120 for turns, 300 for blocks)"
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="nominal (0.95)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (0)")
    parser.add_argument(
        "--conditions", nargs="+", default=[], metavar="NAME", help=f"some of: {known}"
    )
    return parser


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: give a whole number of at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
