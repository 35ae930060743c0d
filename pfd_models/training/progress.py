"""Where a run is: what has been done of it, and what came out of each epoch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

__all__ = ["EpochRecord", "Progress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """What one epoch ended with.

    Attributes:
        epoch: Counted from 1.
        learning_rate: It was trained with.
        train_loss: Mean over the images it saw, each before its own update.
        val_loss: Mean over the validation images, with the regulariser where there is one.
        top1: Percent.
        top5: Percent.
        seconds: Wall time of training, without the validation.
        images_per_second: Over the training.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    top1: float
    top5: float
    seconds: float
    images_per_second: float


@dataclass(slots=True, kw_only=True)
class Progress:
    """What has been done; the only state of a run besides the network's and the optimiser's.

    Attributes:
        epoch: The epoch that goes on or comes next, from 0.
        step: Updates done in it.
        loss_sum: Of the losses of the images it saw.
        images: How many it saw.
        seconds: It took so far.
        history: Every finished epoch.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    images: int = 0
    seconds: float = 0.0
    history: list[EpochRecord] = field(default_factory=list)

    @property
    def best(self) -> EpochRecord | None:
        """Return the first epoch with the highest top-1; None before the first has ended."""
        return max(self.history, key=lambda record: record.top1, default=None)

    def end_epoch(self, record: EpochRecord) -> None:
        """Keep an epoch's result and stand before the next."""
        self.history.append(record)
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.images, self.seconds = 0.0, 0, 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; `from_dict` undoes it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Progress:
        """Build from what `to_dict` gave.

        Raises:
            TypeError: A field is unknown or missing.
        """
        return cls(**{**plain, "history": [EpochRecord(**record) for record in plain["history"]]})
