"""Calls side by side: all results in order, errors and deaths told, nothing left running."""

from __future__ import annotations

import multiprocessing
import os
import threading

import pytest

from export.formats._beside import is_possible, run_side_by_side
from pfd_models.errors import ModuleError, ParityError

pytestmark = pytest.mark.skipif(not is_possible(), reason="the system does not fork safely")


def fail():
    raise ParityError("not equal")


def wait_for_ever():
    threading.Event().wait()


def test_results_come_in_order_from_processes_of_their_own():
    first, second, own = run_side_by_side([os.getpid, os.getpid, os.getpid])
    assert own == os.getpid()
    assert len({first, second, own}) == 3


def test_an_error_apart_is_raised_here():
    with pytest.raises(ParityError, match="not equal"):
        run_side_by_side([fail, os.getpid])


def test_an_error_here_ends_the_others():
    with pytest.raises(ParityError, match="not equal"):
        run_side_by_side([wait_for_ever, fail])
    assert multiprocessing.active_children() == []


def test_a_process_that_is_killed_is_one_line():
    with pytest.raises(ModuleError, match=r"killed in native code .* try --jobs \d") as caught:
        run_side_by_side([lambda: os._exit(9), os.getpid])
    assert "\n" not in str(caught.value)
