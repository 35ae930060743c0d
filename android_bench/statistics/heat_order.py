"""Which heat comes next and in which order its processes take turns. Pure: no clock, no device.

A heat has one process of every variant and, at first and then every second time, a **twin**: a
second process of the baseline under the control's label. The twin is the A/A control; comparisons
use both processes of the baseline, so that most of what it costs comes back as precision. The
first heats all have one, so that the control has an interval as soon as a comparison may have one.

Turns follow the rows of a Williams design for as many processes, each row followed by its mirror
image, all in an order drawn afresh for each heat from the campaign's seed: A B B A for two.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from android_bench.statistics.design import Design, FlaggedRun, is_disturbed, williams_rows
from android_bench.statistics.intervals import MIN_ROUNDS
from android_bench.statistics.pace import Burst, Pace
from pfd_models.errors import InputError

__all__ = ["TWIN_EVERY", "HeatPlan", "RanHeat", "draw_mask", "has_twin", "next_heat", "order_turns"]

TWIN_EVERY = 2  # heats, after the first `MIN_ROUNDS`


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatPlan:
    """One heat to run.

    Attributes:
        number: From 0; a heat that is given up keeps its number, a repeat too.
        attempt: 0, or how often this heat has been disturbed already.
        children: Label of each process, in the order of starting them.
        bursts: What each does in its turns.
        order: (turns,) the process of each turn, as a number into `children`.
        cpu_mask: What all processes are pinned to; 0 leaves them where the campaign is.
    """

    number: int
    attempt: int
    children: tuple[str, ...]
    bursts: tuple[Burst, ...]
    order: tuple[int, ...]
    cpu_mask: int = 0


class RanHeat(FlaggedRun, Protocol):
    """What the plan needs to know of a heat that has run; `statistics.turns.Heat` is one."""

    @property
    def number(self) -> int:
        """As planned."""


def next_heat(design: Design, pace: Pace, ran: Iterable[RanHeat]) -> HeatPlan:
    """The heat to run now, given every heat that has run, in order.

    A campaign is resumed by calling this with the heats in the store.

    Args:
        design: What is measured.
        pace: How long turns and heats are.
        ran: Every heat so far, repeats included, in order of running.

    Returns:
        The disturbed heat again, or the next one; there is always one.

    Raises:
        InputError: if the heats are not those that this campaign would have planned.
    """
    number = attempt = good = 0
    for heat in ran:
        if heat.number != number:
            raise InputError(
                f"heat {heat.number} ran where this campaign plans heat {number}: they belong to"
                " another campaign, or one is missing; start a new campaign"
            )
        if is_disturbed(heat) and attempt + 1 < design.max_attempts:
            attempt += 1
            continue
        number, attempt, good = number + 1, 0, good + (not is_disturbed(heat))
    labels = [*design.labels, *([design.control_label] if has_twin(design, good) else [])]
    draw = random.Random(f"{design.seed}/heat/{number}")  # seeds the same on every platform
    children = tuple(draw.sample(labels, len(labels)))
    bursts = tuple(pace.burst(design.variant_of(label)) for label in children)
    return HeatPlan(
        number=number,
        attempt=attempt,
        children=children,
        bursts=bursts,
        order=order_turns(len(children), pace.count_rows(bursts), draw),
        cpu_mask=draw_mask(design, pace, number),
    )


def draw_mask(design: Design, pace: Pace, number: int) -> int:
    """Return what the processes of a heat are pinned to; 0 where the pace leaves that open.

    Drawn and not taken in turn: every second heat has a twin, and none may be tied to a core.
    """
    if not pace.cpu_masks:
        return 0
    return random.Random(f"{design.seed}/mask/{number}").choice(pace.cpu_masks)


def has_twin(design: Design, good_heats: int) -> bool:
    """Say whether the baseline's twin takes part in the heat after so many good ones."""
    return good_heats < MIN_ROUNDS or good_heats % TWIN_EVERY == 0 or not design.candidates


def order_turns(processes: int, rows: int, draw: random.Random) -> tuple[int, ...]:
    """The process of each turn of a heat.

    Args:
        processes: How many take turns.
        rows: Turns of each; even, as each row is followed by its mirror image.
        draw: Which process plays which letter, and which row comes when.

    Returns:
        (processes * rows,) numbers from 0.
    """
    order: list[int] = []
    while len(order) < processes * rows:
        letters = draw.sample(range(processes), processes)
        for row in draw.sample(williams_rows(processes), processes):
            turns = [letters[letter] for letter in row]
            order += [*turns, *reversed(turns)]
    return tuple(order[: processes * rows])
