"""Ending a command from outside: SIGTERM ends it as cleanly as Ctrl-C does."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from android_bench.cli.printing import print_error
from pfd_models.errors import PfdError

__all__ = ["INTERRUPTED", "interrupt_on_sigterm", "run_verb"]

Options = argparse.Namespace

INTERRUPTED = 130
"""Exit status: 128 and the number of SIGINT, as shells have it."""


@contextlib.contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Raise KeyboardInterrupt in this block when the process is asked to end.

    Only the main thread can hear signals; in another the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def run_verb(verb: Callable[[Options], int], options: Options) -> int:
    """Do what a verb says and return the exit status; what goes wrong is one line."""
    with interrupt_on_sigterm():
        try:
            return verb(options)
        except PfdError as error:
            print_error(str(error))
            return error.exit_status
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            return INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
