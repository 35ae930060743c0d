"""Two sequences side by side, in order, with the best sum of likenesses.

Source: Needleman and Wunsch, 1970, without a price for gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["match"]

A = TypeVar("A")
B = TypeVar("B")


def match(
    old: Sequence[A], new: Sequence[B], likeness: Callable[[A, B], int]
) -> list[tuple[int | None, int | None]]:
    """Return places in both, in order; None where the other one has nothing of the kind.

    Args:
        old: The first sequence.
        new: The second one.
        likeness: How well two elements go together; 0 for not at all.
    """
    scores = [[likeness(a, b) for b in new] for a in old]
    best = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        for j in range(len(new) - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1])
            if scores[i][j] > 0:
                best[i][j] = max(best[i][j], best[i + 1][j + 1] + scores[i][j])
    pairs: list[tuple[int | None, int | None]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        score = scores[i][j] if i < len(old) and j < len(new) else 0
        if score > 0 and best[i][j] == best[i + 1][j + 1] + score:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif j == len(new) or (i < len(old) and best[i][j] == best[i + 1][j]):
            pairs.append((i, None))
            i += 1
        else:
            pairs.append((None, j))
            j += 1
    return pairs
