"""Ending a wait early, also in a thread that Ctrl-C never reaches.

Python raises KeyboardInterrupt in the main thread alone, so a lane that waits in a worker thread
has to ask. Whoever starts the lane keeps a `Cancellation` and calls `cancel`; every wait below
looks at it at least twice a second and raises `Cancelled`.

This room imports nothing: every layer that waits may use it.
"""

from __future__ import annotations

import threading
from typing import NoReturn

__all__ = ["NEVER", "Cancellation", "Cancelled"]


class Cancelled(KeyboardInterrupt):
    """A wait was ended by `Cancellation.cancel`.

    It is a KeyboardInterrupt because it means the same, "the user wants this to end now": what
    restores, journals and says the right words after Ctrl-C does so after a lane's stop too, and
    no ``except Exception`` takes it for a failure of the device.
    """


class Cancellation:
    """Says whether what runs with it should end; made by whoever may end it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    def cancel(self) -> None:
        """End every wait that has this cancellation, now and later; from any thread."""
        self._event.set()

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` once `cancel` was called."""
        if self._event.is_set():
            raise Cancelled("stopped")

    def sleep(self, seconds: float) -> None:
        """Wait that long.

        Raises:
            Cancelled: `cancel` was called, before or meanwhile.
        """
        self._event.wait(max(0.0, seconds))
        self.raise_if_cancelled()


class _Never(Cancellation):
    """The default of every wait; nobody may cancel what everybody shares."""

    def cancel(self) -> NoReturn:
        """Refuse."""
        raise RuntimeError("NEVER is shared by all waits: make a Cancellation of your own")


NEVER = _Never()
