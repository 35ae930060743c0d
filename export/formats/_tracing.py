"""Two ways to make PyTorch's re-tracing of a graph faster that do not change its result.

Both exporters re-trace a network many times. The changes hold for the time of one export and
are taken back exactly; `LOCK` keeps a second export of the same process out meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["LOCK", "replace_method", "speed_up_tracing"]

LOCK = threading.RLock()
"""Held while functions of torch or ExecuTorch are replaced."""


@contextlib.contextmanager
def speed_up_tracing() -> Iterator[None]:
    """Re-trace without collecting garbage and without copying provenance; holds `LOCK`."""
    from torch.fx.traceback import NodeSource

    with (
        LOCK,
        # Millions of live graph objects make each collection slow, and nothing here is garbage
        # that could not wait a few seconds.
        _pause_collector(),
        # Where a node came from is recorded as a chain that is never changed once made, yet
        # copied in depth for every node of every re-trace.
        replace_method(NodeSource, "__deepcopy__", lambda source, memo: source),
    ):
        yield


@contextlib.contextmanager
def replace_method(owner: type, name: str, function: Any) -> Iterator[None]:
    """Replace a method of a class inside, and restore exactly what was there."""
    own = owner.__dict__.get(name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


@contextlib.contextmanager
def _pause_collector() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.freeze()  # a collection that a library asks for looks at new objects only
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
