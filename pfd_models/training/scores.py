"""Accuracy of whatever gives scores: a network, or a file that was made from one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pfd_models.training.distributed import Processes
from pfd_models.training.loader import Batch

__all__ = ["Scores", "measure", "right_answers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a measurement found.

    Attributes:
        images: How many were seen.
        loss: Mean cross entropy; with the regulariser where training has one.
        top1: Percent of images whose class has the highest score.
        top5: Percent of images whose class is among the five highest.
    """

    images: int
    loss: float
    top1: float
    top5: float


@torch.no_grad()
def measure(
    score: Callable[[Tensor], Tensor],
    found: Iterable[Batch],
    *,
    device: torch.device,
    processes: Processes | None = None,
) -> Scores:
    """Measure on a split; each image counts once, however the split is shared out.

    Args:
        score: From uint8 images (N, 3, H, W) to float32 scores (N, classes).
        found: This process's part of the images.
        device: Where scores are.
        processes: Who takes part; this process alone if not given.
    """
    # Loss, images, right answers, right answers among five: sums, so that shards may be uneven.
    sums = torch.zeros(4, device=device, dtype=torch.float64)
    for batch in found:
        labels = batch.labels.to(device, non_blocking=True)
        scores = score(batch.pixels.to(device, non_blocking=True))
        sums[0] += functional.cross_entropy(scores, labels, reduction="sum")
        sums[1] += len(labels)
        sums[2:] += right_answers(scores, labels)
    loss, images, one, five = (processes or Processes()).add(sums).tolist()
    return Scores(
        images=int(images), loss=loss / images, top1=100 * one / images, top5=100 * five / images
    )


def right_answers(scores: Tensor, labels: Tensor) -> Tensor:
    """Count the images whose class has the highest score, and one of the five highest.

    Args:
        scores: (N, classes).
        labels: (N,).

    Returns:
        Two counts; where there are fewer than five classes all count for the second.
    """
    hits = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
    return torch.stack([hits[:, :1].sum(), hits.sum()])
