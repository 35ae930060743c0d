import threading
import time

import pytest

from android_bench.cancellation import NEVER, Cancellation, Cancelled


def test_a_sleep_ends_when_another_thread_cancels():
    cancellation = Cancellation()
    timer = threading.Timer(0.1, cancellation.cancel)
    timer.start()
    begin = time.monotonic()
    with pytest.raises(Cancelled):
        cancellation.sleep(60)
    assert time.monotonic() - begin < 5
    timer.join()


def test_what_is_cancelled_stays_so():
    cancellation = Cancellation()
    cancellation.raise_if_cancelled()
    cancellation.sleep(0)
    assert not cancellation.is_cancelled
    cancellation.cancel()
    cancellation.cancel()
    assert cancellation.is_cancelled
    with pytest.raises(Cancelled):
        cancellation.raise_if_cancelled()
    with pytest.raises(Cancelled):
        cancellation.sleep(0)


def test_being_cancelled_means_what_ctrl_c_means():
    assert issubclass(Cancelled, KeyboardInterrupt)
    assert not issubclass(Cancelled, Exception)


def test_what_everybody_shares_cannot_be_cancelled():
    with pytest.raises(RuntimeError, match="of your own"):
        NEVER.cancel()
    NEVER.raise_if_cancelled()
