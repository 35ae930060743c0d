"""Who is told how a run goes."""

from __future__ import annotations

from typing import Protocol

from pfd_models.training.config import RunConfig
from pfd_models.training.progress import EpochRecord, Progress

__all__ = ["Report", "Silent"]


class Report(Protocol):
    """Who is told how a run goes."""

    def begin(self, config: RunConfig, params: int, images: tuple[int, int]) -> None:
        """Hear what is trained, its parameters, and the images to train and validate on."""

    def step(self, progress: Progress, steps: int, learning_rate: float) -> None:
        """Hear where an epoch is."""

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Hear how an epoch ended."""


class Silent:
    """Tells nobody."""

    def begin(self, config: RunConfig, params: int, images: tuple[int, int]) -> None:
        """Do nothing."""

    def step(self, progress: Progress, steps: int, learning_rate: float) -> None:
        """Do nothing."""

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Do nothing."""
