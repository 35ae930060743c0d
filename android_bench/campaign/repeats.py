"""What a disturbed block means for its campaign: again, another round, wider limits, or the end."""

from __future__ import annotations

from collections.abc import Sequence

from android_bench.campaign.limits import widen_limits
from android_bench.records import Block, Flag, Limits
from android_bench.statistics.design import is_disturbed
from pfd_models.errors import DeviceError

__all__ = ["MOST_ROUNDS_GIVEN_UP", "after_giving_up", "disturbed_text"]

MOST_ROUNDS_GIVEN_UP = 3  # in a row; then the device is not one to measure on
_DIED = frozenset({Flag.ENGINE_CRASHED, Flag.HARNESS_KILLED})


def disturbed_text(block: Block, *, gave_up: bool) -> str:
    """Say what disturbed a block and what follows."""
    what = "its round is given up and run again" if gave_up else "it is measured again"
    return f"block {block.index} of {block.label} was disturbed ({_words(block)}): {what}"


def after_giving_up(blocks: Sequence[Block], limits: Limits) -> Limits:
    """Return the limits to go on with after a round was given up.

    Args:
        blocks: Of the campaign, in order of running; the last one made the round fail.
        limits: Those that it broke.

    Raises:
        DeviceError: The engine died each time, or the device does not come to rest.
    """
    last = blocks[-1]
    attempts = [block for block in blocks if block.index == last.index]
    if all(block.flags & _DIED for block in attempts):
        raise DeviceError(
            f"{last.engine} died in each of {len(attempts)} attempts at {last.label} "
            f"({_words(last)}): try the file by itself, or another engine"
        )
    if all(Flag.LOADED_HOST in block.flags for block in attempts):
        wider = widen_limits(limits, [block.run.after for block in attempts])
        if wider != limits:
            return wider
    if _given_up_in_a_row(blocks) >= MOST_ROUNDS_GIVEN_UP:
        raise DeviceError(
            f"{MOST_ROUNDS_GIVEN_UP} rounds in a row were disturbed ({_words(last)}): let the "
            "device come to rest, then go on with --resume"
        )
    return limits


def _words(block: Block) -> str:
    return ", ".join(sorted(flag.value for flag in block.flags))


def _given_up_in_a_row(blocks: Sequence[Block]) -> int:
    """Count the last rounds that were given up, one after the other."""
    last_of_round = {block.round: block for block in blocks}  # in order of running
    count = 0
    for block in reversed(last_of_round.values()):
        if not is_disturbed(block):
            break
        count += 1
    return count
