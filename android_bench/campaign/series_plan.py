"""What a call compares with what, and by which rules: from a user's options to a list to do."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from android_bench.campaign.bench import Bench
from android_bench.campaign.contest import BenchFile, Contest, contests_of
from android_bench.devices.cpu_choice import choose_cpus
from android_bench.records import Limits, Pairing, Rules

__all__ = [
    "DEFAULTS",
    "PRECISION",
    "SeriesOptions",
    "Todo",
    "choose_pairing",
    "make_rules",
    "plan_series",
]

DEFAULTS = Rules()

PRECISION = 0.005
"""Half-width at which measuring stops when nothing else is asked for."""

Todo = Sequence[tuple[Contest, Rules]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesOptions:
    """How to measure, as a user says it before anything is known of the device.

    Attributes:
        runtimes: Names of engines; empty takes every one that runs one of the files.
        threads: A comparison for each number.
        cores: As `choose_cpus` takes it: ``auto``, ``any``, or a list as ``4-7``.
        precision: Half-width of the ratio's interval at which measuring stops, as 0.01.
        budget_seconds: Device time of one comparison, after which it stops in any case.
        seed: Of the order of blocks; None draws one.
        pairing: Blocks one after the other, or variants that take turns; None leaves it to
            `choose_pairing`.
        start_temperature_mc: Hottest zone at which a block may start, in thousandths of a degree
            Celsius; None leaves it to the bench.
    """

    runtimes: Sequence[str] = ()
    threads: Sequence[int] = (1,)
    cores: str = "auto"
    precision: float = PRECISION
    budget_seconds: float = DEFAULTS.budget_seconds
    seed: int | None = None
    start_temperature_mc: int | None = None
    pairing: Pairing | None = None


def plan_series(bench: Bench, files: Sequence[BenchFile], options: SeriesOptions) -> Todo:
    """Return what to compare with what, and how, in order.

    Raises:
        InputError: An engine is unknown or runs none of the files, or a rule makes no sense.
        DeviceError: The device has no such cores, or too few for the threads.
    """
    contests = contests_of(files, bench.device.harness.engines, options.runtimes)
    each_rules = [make_rules(bench, options, threads) for threads in options.threads]
    for contest in contests:
        each_rules[0].design(contest.labels)  # refuses what no campaign can be run with
    if options.cores == "auto" and not all(rules.cpu_mask for rules in each_rules):
        usable = ",".join(map(str, bench.device.usable_cpus))
        bench.watch.note(
            f"nothing is pinned: this emulated phone has only this computer's CPUs ({usable}), "
            "and its fast cores are none of them; the records say so"
        )
    return [(contest, rules) for rules in each_rules for contest in contests]


def make_rules(bench: Bench, options: SeriesOptions, threads: int) -> Rules:
    """Return the rules of one comparison.

    Raises:
        InputError, DeviceError: As `choose_cpus`.
    """
    limits = Limits()
    if options.start_temperature_mc is not None:
        limits = dataclasses.replace(limits, start_temperature_mc=options.start_temperature_mc)
    cpu_mask = choose_cpus(bench.device, threads, options.cores)
    return Rules(
        threads=threads,
        cpu_mask=cpu_mask,
        precision=options.precision,
        budget_seconds=options.budget_seconds,
        seed=secrets.randbits(32) if options.seed is None else options.seed,
        limits=limits,
        governor=bench.governor,
        pairing=options.pairing or choose_pairing(threads, cpu_mask),
    )


def choose_pairing(threads: int, cpu_mask: int) -> Pairing:
    """Return how variants are measured when nothing else is asked for.

    Turns, but for several threads that are pinned nowhere: no turn is long enough for a scheduler
    to notice that two threads of one process share a CPU, and pinned ones get a CPU each.

    Args:
        threads: Of each process.
        cpu_mask: Bit i set: the campaign may use CPU i; 0 when it is not pinned.
    """
    return Pairing.TURNS if threads == 1 or cpu_mask else Pairing.BLOCKS
