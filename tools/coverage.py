"""Does the bench's interval hold the truth as often as it says, and what does that cost?

    python tools/coverage.py                 coverage, false alarms and device time per condition
    python tools/coverage.py --compare       the same campaigns decided by other rules
    python tools/coverage.py --calibrate     where the factor that widens the interval comes from

Campaigns are simulated, with stopping on, on devices that misbehave in known ways. Exit status
1 says that coverage or false alarms are not what the bench promises.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from android_bench.statistics.design import Design
from android_bench.statistics.intervals import trimmed_t
from android_bench.statistics.monitor import precision_to_resolve
from android_bench.statistics.stopping import INFLATION, TRIMMED_T_RULE, Rule
from android_bench.statistics.study.coverage import Share, judge
from android_bench.statistics.study.rivals import make_rivals
from android_bench.statistics.study.simulated_device import CONDITIONS, Conditions, conditions
from pfd_models.errors import InputError, PfdError

LEAST_COVERED = 0.93
MOST_ALARMS = 0.05
EFFECT = 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: As typed; None takes those of the process.

    Returns:
        The exit status.
    """
    args = _parser().parse_args(arguments)
    try:
        if args.variants < 2:
            raise InputError(f"--variants {args.variants}: a comparison needs at least 2 variants")
        design = Design(
            labels=tuple(f"variant {i}" for i in range(args.variants)),
            precision=args.precision,
            budget_seconds=args.budget,
            confidence=args.confidence,
        )
        chosen = [conditions(name) for name in args.conditions] or list(CONDITIONS)
        if args.compare:
            return compare(design, chosen, args.campaigns, args.seed)
        if args.calibrate:
            return calibrate(design, chosen, args.campaigns, args.seed)
        return check(design, chosen, args.campaigns, args.seed)
    except PfdError as error:
        print(f"coverage: {error}", file=sys.stderr)
        return error.exit_status


def check(design: Design, chosen: Sequence[Conditions], campaigns: int, seed: int) -> int:
    """Print what the bench promises and what it keeps, one line per condition.

    Returns:
        1 if a promise is not kept, else 0.
    """
    resolving = replace(
        design,
        precision=precision_to_resolve(
            EFFECT, confidence=design.confidence, comparisons=len(design.candidates)
        ),
        budget_seconds=4.0 * design.budget_seconds,
    )
    print(
        f"{campaigns} campaigns each of {len(design.labels)} variants, rule: {TRIMMED_T_RULE.name},"
        f" stopped at ±{design.precision:.2%} or {design.budget_seconds:g} s, nominal"
        f" {design.confidence:.0%}; in brackets 95 % binomial intervals.\nThe last column:"
        f" a true {EFFECT:.0%} effect, stopped at ±{resolving.precision:.2%} or"
        f" {resolving.budget_seconds:g} s.\n"
    )
    print(
        f"{'conditions':<11}{'covered, true effect 1 %':<28}{'A/A false alarms':<26}"
        f"{'control':>8}{'seconds':>9}   1 % resolved in"
    )
    broken = []
    for number, how in enumerate(chosen):
        first = seed + 3 * number
        (effect,) = judge((TRIMMED_T_RULE,), design, how, 1.0 + EFFECT, campaigns, first)
        (null,) = judge((TRIMMED_T_RULE,), design, how, 1.0, campaigns, first + 1)
        (power,) = judge((TRIMMED_T_RULE,), resolving, how, 1.0 + EFFECT, campaigns, first + 2)
        print(
            f"{how.name:<11}{_percent(effect.covered):<28}{_percent(null.claimed):<26}"
            f"{null.control_missed.fraction:>8.1%}{effect.median_seconds:>9.0f}   "
            f"{power.resolved.fraction:.0%} of campaigns, median {power.median_seconds:.0f} s,"
            f" nine of ten within {power.p90_seconds:.0f} s"
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
        f"{campaigns} A/A campaigns each, stopped at ±{design.precision:.2%} or"
        f" {design.budget_seconds:g} s, nominal {design.confidence:.0%}.\n"
        "'at will': campaigns of which some interval on the way left out the truth, as somebody"
        " who stops\nat the first verdict would report. 'reached': precision within the budget.\n"
    )
    print(
        f"{'conditions':<11}{'rule':<27}{'covered':<24}{'at will':>9}{'reached':>9}"
        f"{'mean s':>9}{'p90 s':>8}"
    )
    for how in chosen:
        round_seconds = len(design.labels) * how.block_seconds
        rules = (TRIMMED_T_RULE, *make_rivals(design, int(design.budget_seconds / round_seconds)))
        for one in judge(rules, design, how, 1.0, campaigns, seed):
            print(
                f"{one.conditions:<11}{one.rule:<27}{_percent(one.covered):<24}"
                f"{one.peeked_wrongly.fraction:>9.1%}{one.reached.fraction:>9.1%}"
                f"{one.mean_seconds:>9.0f}{one.p90_seconds:>8.0f}",
                flush=True,
            )
        print()
    return 0


def calibrate(design: Design, chosen: Sequence[Conditions], campaigns: int, seed: int) -> int:
    """Print coverage over the factor that widens the interval; always returns 0."""
    factors = [1.0 + 0.02 * step for step in range(13)]
    rules = tuple(
        Rule(name=f"{factor:.2f}", interval=partial(trimmed_t, inflation=factor))
        for factor in factors
    )
    print(f"coverage in {campaigns} A/A campaigns each; the bench uses {INFLATION:.2f}\n")
    print(f"{'conditions':<11}" + "".join(f"{rule.name:>7}" for rule in rules))
    worst = [1.0] * len(rules)
    for how in chosen:
        covered = [one.covered.fraction for one in judge(rules, design, how, 1.0, campaigns, seed)]
        worst = [min(pair) for pair in zip(worst, covered, strict=True)]
        print(f"{how.name:<11}" + "".join(f"{share:>7.1%}" for share in covered), flush=True)
    print(f"{'worst':<11}" + "".join(f"{share:>7.1%}" for share in worst))
    return 0


def _percent(share: Share) -> str:
    low, high = share.bounds()
    return f"{share.fraction:6.1%} [{low:.1%}, {high:.1%}]"


def _parser() -> argparse.ArgumentParser:
    known = ", ".join(each.name for each in CONDITIONS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--compare", action="store_true", help="other stopping rules, same data")
    mode.add_argument("--calibrate", action="store_true", help="coverage over the widening factor")
    parser.add_argument("--campaigns", type=_whole, default=1000, help="per condition (1000)")
    parser.add_argument("--variants", type=_whole, default=2, help="baseline included (2)")
    parser.add_argument("--precision", type=float, default=0.01, help="half-width to stop (0.01)")
    parser.add_argument("--budget", type=float, default=300.0, help="device seconds (300)")
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
