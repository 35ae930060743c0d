"""One thread for everything that decides a file's bytes.

PyTorch shares sums and products out over its threads, and another share rounds otherwise: with as
many threads as the machine has cores, calibrated statistics and folded constants, and so the bytes
of the files, would depend on the machine. One thread is also quicker where cores are busy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = ["one_thread"]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute on one thread inside, and on as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
