"""What a campaign will run, in which order, and until when. Pure: no clock, no device.

The unit of a campaign of blocks is the **round**: one block of every variant, close together in
time, so that what the device does slowly (heat, a frequency step) falls on all of them alike.
The unit of a campaign of turns is the heat (`android_bench.statistics.heat_order`).

Order: the rows of a Williams design, each followed at once by its mirror image. For two
variants that is A B B A, B A A B; for k it is a cycle of 2k rounds in which every variant
stands in every position and follows every other one equally often, and a linear drift
cancels in each pair of rounds. The row that starts a cycle, and which variant plays which
letter, are drawn afresh from the seed for each cycle.

The **A/A control** costs no device time: of the two baseline blocks in a round and its mirror
image one carries a second, hidden label (`Design.control_label`). Comparisons use both;
the control compares them with each other.

A **disturbed** block (throttled, a core lost, a loaded host) is measured again at once, in its
place. When `Design.max_attempts` did not help, the round is given up, stays on record, and
its row is run again as a new round: balance is kept and nothing is dropped silently.

Source: Williams, "Experimental designs balanced for the estimation of residual effects of
treatments", Aust. J. Sci. Res. A 2 (1949), section 3.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from android_bench.records import Design, Flag, Pairing
from pfd_models.errors import InputError

__all__ = [
    "DISTURBING",
    "BlockPlan",
    "Design",
    "FlaggedRun",
    "Pairing",
    "RanBlock",
    "is_disturbed",
    "next_block",
    "round_order",
    "williams_rows",
]

# A block that merely got warmer is a good block: drift falls on both sides of a pair.
DISTURBING = frozenset(Flag) - {Flag.TEMPERATURE_ROSE}


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPlan:
    """One block to run: a fresh process measuring one variant.

    Attributes:
        index: Number of the place in the plan, from 0; a repeat keeps it.
        round: Number of the round, from 0.
        position: Place in the round, from 0.
        attempt: 0, or how often this place has been disturbed already.
        label: The variant, or the control's label.
    """

    index: int
    round: int
    position: int
    attempt: int
    label: str


class FlaggedRun(Protocol):
    """A block or a heat that has run."""

    @property
    def flags(self) -> frozenset[Flag]:
        """What disturbed it."""


class RanBlock(FlaggedRun, Protocol):
    """What the plan needs to know of a block that has run; `records.Block` is one."""

    @property
    def round(self) -> int:
        """Number of its round."""

    @property
    def position(self) -> int:
        """Place in the round."""


def is_disturbed(run: FlaggedRun) -> bool:
    """Say whether a flag forbids to use the times of a block or heat, so that it runs again."""
    return not run.flags.isdisjoint(DISTURBING)


def next_block(design: Design, ran: Iterable[RanBlock]) -> BlockPlan:
    """The block to run now, given everything that has run, in order.

    A campaign is resumed by calling this with the blocks in the store.

    Args:
        design: What is measured.
        ran: Every block so far, repeats included, in order of running.

    Returns:
        The disturbed block again, or the next one; there is always one.

    Raises:
        InputError: if the blocks are not those this campaign would have planned.
    """
    index = slot = round_number = position = attempt = 0
    for block in ran:
        if (block.round, block.position) != (round_number, position):
            raise InputError(
                f"block {index} ran as round {block.round}, position {block.position}, but this"
                f" campaign plans round {round_number}, position {position}: the seed, the"
                " variants or the order of the blocks differ; start a new campaign"
            )
        if is_disturbed(block) and attempt + 1 < design.max_attempts:
            attempt += 1
            continue
        index, attempt = index + 1, 0
        if is_disturbed(block):  # the round is given up; its row is run again as a new round
            round_number, position = round_number + 1, 0
        elif position + 1 < len(design.labels):
            position += 1
        else:
            slot, round_number, position = slot + 1, round_number + 1, 0
    label = round_order(design, slot)[position]
    return BlockPlan(
        index=index, round=round_number, position=position, attempt=attempt, label=label
    )


def round_order(design: Design, slot: int) -> tuple[str, ...]:
    """The labels of one round, in order of running.

    Args:
        design: What is measured.
        slot: Number of the row, which is the round's number less the rounds given up before.

    Returns:
        k labels: each variant once, the baseline under one of its two labels.
    """
    k = len(design.labels)
    cycle, place = divmod(slot, 2 * k)
    pair, is_mirror = divmod(place, 2)
    draw = random.Random(f"{design.seed}/{cycle}")  # a string seeds the same on every platform
    letters = draw.sample(design.labels, k)
    row = williams_rows(k)[draw.sample(range(k), k)[pair]]
    order = [letters[letter] for letter in (reversed(row) if is_mirror else row)]

    # Which of the two baseline blocks is the control alternates from pair to pair.
    start = random.Random(f"{design.seed}/control").randrange(2)
    if (start + slot // 2 + is_mirror) % 2 == 0:
        order[order.index(design.baseline)] = design.control_label
    return tuple(order)


def williams_rows(k: int) -> tuple[tuple[int, ...], ...]:
    """The k rows of a cyclic Williams square; with their mirror images the design is balanced.

    Args:
        k: Number of treatments.

    Returns:
        (k, k) letters 0 to k-1; each letter once per row and once per column.
    """
    zigzag = [0] + [(i + 1) // 2 if i % 2 else k - i // 2 for i in range(1, k)]
    return tuple(tuple((letter + shift) % k for letter in zigzag) for shift in range(k))
