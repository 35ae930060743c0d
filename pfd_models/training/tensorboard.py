"""Scalars for TensorBoard, one of each an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pfd_models.errors import RunError
from pfd_models.files import output_errors
from pfd_models.training.progress import EpochRecord

__all__ = ["Scalars"]


class Scalars:
    """TensorBoard's writer; a context manager that flushes after each epoch.

    Args:
        folder: For the event files.
        first: The first epoch that will be written; what an earlier run wrote of it or later is
            struck out.

    Raises:
        RunError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, first: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RunError(
                "training writes TensorBoard's files and tensorboard is not installed; "
                "pip install 'pfd-mobile[train]'"
            ) from error
        self._folder = folder
        with output_errors(folder):
            self._writer: Any = SummaryWriter(str(folder), purge_step=first)  # type: ignore[no-untyped-call]  # untyped in torch

    def __enter__(self) -> Scalars:
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.close()

    def write(self, record: EpochRecord) -> None:
        """Write an epoch's figures."""
        figures = {
            "loss/train": record.train_loss,
            "loss/val": record.val_loss,
            "accuracy/top1_percent": record.top1,
            "accuracy/top5_percent": record.top5,
            "learning_rate": record.learning_rate,
            "images_per_second": record.images_per_second,
        }
        with output_errors(self._folder):
            for name, value in figures.items():
                self._writer.add_scalar(name, value, record.epoch)
            self._writer.flush()
