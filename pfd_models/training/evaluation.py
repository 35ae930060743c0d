"""The accuracy of one file on a split of a data set, whoever computes its scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pfd_models.checkpoints import load_weights
from pfd_models.checkpoints.file import read_checkpoint
from pfd_models.errors import RunError, WeightsError
from pfd_models.training.datasets import ImageSet, Split
from pfd_models.training.distributed import Processes
from pfd_models.training.loader import Shard, batches, make_loader
from pfd_models.training.scores import Scores, measure
from pfd_models.training.transforms import Normalise
from pfd_models.zoo.factory import build_model
from pfd_models.zoo.spec import ModelSpec

__all__ = ["CHECKPOINT_SUFFIXES", "Evaluation", "Scorer", "evaluate", "load_checkpoint"]

CHECKPOINT_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """What gives scores, and what it must be fed.

    Attributes:
        score: From uint8 images (N, 3, side, side) to float32 scores (N, classes), N at most
            `batch_size`.
        side: Of its images in pixels.
        batch_size: Images a call.
        num_classes: Of its scores.
        runtime: Who computes, for people.
        device: Where it takes images and gives scores.
    """

    score: Callable[[Tensor], Tensor]
    side: int
    batch_size: int
    num_classes: int
    runtime: str
    device: torch.device


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was found about one file.

    Attributes:
        path: The file.
        runtime: Who computed.
        scores: The accuracy.
        seconds: It took, loading and decoding included.
    """

    path: Path
    runtime: str
    scores: Scores
    seconds: float


def evaluate(
    path: Path,
    load: Callable[[Path], Scorer],
    *,
    data: ImageSet,
    split: Split,
    num_classes: int,
    workers: int = 0,
) -> Evaluation:
    """Measure one file on a split.

    Args:
        path: The file.
        load: Makes a scorer of it, as `load_checkpoint` does.
        data: Tells how images are prepared.
        split: The images.
        num_classes: Of the data set.
        workers: Processes that load images.

    Raises:
        InputError: The file cannot be read or does not say what it is, or has other classes.
    """
    begin = time.perf_counter()
    scorer = load(path)
    if scorer.num_classes != num_classes:
        raise RunError(
            f"{path} gives {scorer.num_classes} scores, the data set has {num_classes} classes; "
            "name the data set it was trained for"
        )
    shard = Shard(images=len(split.labels), batch_size=scorer.batch_size, processes=Processes())
    loader = make_loader(split, data.prepare(scorer.side), shard, workers=workers)
    scores = measure(scorer.score, batches(loader), device=scorer.device)
    return Evaluation(
        path=path, runtime=scorer.runtime, scores=scores, seconds=time.perf_counter() - begin
    )


def load_checkpoint(
    path: Path, *, spec: ModelSpec | None, device: torch.device, batch_size: int
) -> Scorer:
    """Build a network and fill it from a checkpoint.

    Args:
        path: PyTorch weights.
        spec: The network of weights that do not say what they are.
        device: Where it runs.
        batch_size: Images a call.

    Raises:
        WeightsError: The file is no checkpoint, does not say what it is, or does not fit.
    """
    if path.suffix not in CHECKPOINT_SUFFIXES:
        raise WeightsError(
            f"{path} is no PyTorch checkpoint ({', '.join(CHECKPOINT_SUFFIXES)}); a file that "
            f"export.build made is run by: python -m export.evaluate --dataset NAME {path}"
        )
    if spec is None:
        stored = read_checkpoint(path)
        plain = stored.get("spec") if isinstance(stored, Mapping) else None
        if plain is None:
            raise WeightsError(f"{path} does not say what network it is; give --model")
        spec = ModelSpec.from_dict(plain)
    model = build_model(spec)
    load_weights(model, path)
    model = model.eval().to(device)
    normalise = Normalise(spec.input).to(device)

    def score(pixels: Tensor) -> Tensor:
        found: Tensor = model(normalise(pixels))
        return found.float()

    return Scorer(
        score=score,
        side=spec.resolution,
        batch_size=batch_size,
        num_classes=spec.num_classes,
        runtime=f"PyTorch on {device.type}",
        device=device,
    )
