"""Calls side by side, each but the last in a forked process of its own.

A fork shares what is loaded already (PyTorch, ExecuTorch, the captured network), so nothing is
imported or sent a second time. It is right only where no other thread of this process computes.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from pfd_models.errors import ModuleError

__all__ = ["is_possible", "run_side_by_side"]

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def is_possible() -> bool:
    """Whether this system forks: on others a forked process of these libraries may not go on."""
    return sys.platform == "linux"


def run_side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run all calls at once and return what each returned, in order.

    Args:
        calls: The last runs in this process. What the others return, or raise, is pickled.

    Raises:
        ModuleError: A process was killed.
        Exception: What a call raised; the others are ended.
    """
    *apart, here = calls
    context = multiprocessing.get_context("fork")
    running = []
    try:
        for call in apart:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(call, sender, os.getpid()), daemon=True)
            with warnings.catch_warnings():
                # Python warns of threads; the ones here only wait to pass on progress.
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            sender.close()
            running.append((process, receiver))
        own = here()
        results = [*(_receive(receiver) for _, receiver in running), own]
    except BaseException:
        for process, _ in running:
            process.terminate()
        raise
    finally:
        for process, receiver in running:
            process.join()
            receiver.close()
    return results


def _run(call: Callable[[], Any], sender: Connection, parent: int) -> None:
    # Whoever ends the build ends this process too.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    try:
        sender.send((call(), None))
    except Exception as error:  # the edge of the process
        sender.send((None, error))


def _receive(receiver: Connection) -> Any:
    try:
        result, error = receiver.recv()
    except EOFError:
        raise ModuleError(
            "a format's process was killed in native code or by lack of memory; try --jobs "
            f"{os.cpu_count()}, which makes the formats one after the other"
        ) from None
    if error is not None:
        raise error
    return result
