"""The mathematics of training: one update of the weights, one evaluation.

The default is plain eager float32 and equals a loop written from the recipe bit for bit; what is
faster (mixed precision, channels_last, torch.compile) or larger (several processes, accumulation)
is an option.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from pfd_models.layers.bsconv import OrthonormalRows, orthonormality_regulariser
from pfd_models.training.distributed import Processes
from pfd_models.training.loader import LEAST_IMAGES, Batch
from pfd_models.training.recipes import Recipe
from pfd_models.training.scores import Scores, measure
from pfd_models.training.transforms import Normalise
from pfd_models.zoo.spec import ModelSpec

__all__ = ["Amp", "Engine", "Speed", "evaluate", "make_engine", "update"]

Amp: TypeAlias = Literal["off", "bf16", "fp16"]
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Options that change how fast a run is, and its numbers only by rounding.

    Attributes:
        amp: Data type of convolutions and products; ``off`` is float32.
        channels_last: Whether images lie in memory channel by channel.
        compile: Mode of torch.compile; empty leaves it out.
        accumulate: Parts that a batch is worked through in, to save memory.
        deterministic: Refuse operators whose result may differ from run to run.
    """

    amp: Amp = "off"
    channels_last: bool = False
    compile: str = ""
    accumulate: int = 1
    deterministic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Engine:
    """A network with all that trains it.

    Attributes:
        model: The network.
        forward: The same behind DistributedDataParallel where there are several processes.
        optimiser: Of its parameters.
        scaler: Keeps float16 gradients from vanishing; passes everything on otherwise.
        normalise: From uint8 to what the network takes.
        device: Where all of them are.
        alpha: Weight of the regulariser; 0 where the network has none.
        speed: How it is run.
        processes: Who takes part.
    """

    model: nn.Module
    forward: nn.Module
    optimiser: torch.optim.SGD
    scaler: torch.amp.GradScaler
    normalise: Normalise
    device: torch.device
    alpha: float
    speed: Speed
    processes: Processes

    def scores(self, network: nn.Module, pixels: Tensor) -> Tensor:
        """Return float32 scores (N, classes) of uint8 images (N, 3, H, W)."""
        images = self.normalise(pixels)
        if self.speed.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with _autocast(self.device, self.speed.amp):
            found: Tensor = network(images)
        return found.float()

    def regularisation(self) -> Tensor | float:
        """Return what is added to a loss, 0 where nothing is."""
        return self.alpha * orthonormality_regulariser(self.model) if self.alpha else 0.0


def make_engine(
    model: nn.Module,
    spec: ModelSpec,
    recipe: Recipe,
    *,
    device: torch.device,
    speed: Speed,
    processes: Processes,
) -> Engine:
    """Put a network on its device and make what trains it.

    Args:
        model: Fresh or restored, on the CPU.
        spec: Tells the normalisation.
        recipe: Tells the optimiser.
        device: Where to train.
        speed: How to run it.
        processes: Who takes part.
    """
    model = model.to(device)
    if speed.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    if speed.compile:
        model.compile(mode=None if speed.compile == "default" else speed.compile)
    forward: nn.Module = model
    if processes.count > 1:
        # Each process keeps its own batch statistics; an evaluation takes the main one's.
        forward = DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            forward_sync_buffers=False,
        )
    return Engine(
        model=model,
        forward=forward,
        optimiser=torch.optim.SGD(
            model.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
        ),
        scaler=torch.amp.GradScaler(device.type, enabled=speed.amp == "fp16"),
        normalise=Normalise(spec.input).to(device),
        device=device,
        alpha=recipe.alpha if _is_regularised(model) else 0.0,
        speed=speed,
        processes=processes,
    )


def update(engine: Engine, batch: Batch, images: int) -> Tensor:
    """Change the weights once.

    Args:
        engine: In training mode.
        batch: This process's part.
        images: Of the batch over all processes: parts may differ in size and count by it.

    Returns:
        The sum of this part's losses, on the device; waits for nothing.
    """
    engine.optimiser.zero_grad(set_to_none=True)
    pixels = batch.pixels.to(engine.device, non_blocking=True)
    labels = batch.labels.to(engine.device, non_blocking=True)
    parts = max(1, min(engine.speed.accumulate, len(labels) // LEAST_IMAGES))
    total = torch.zeros((), device=engine.device, dtype=torch.float64)
    pairs = list(zip(pixels.chunk(parts), labels.chunk(parts), strict=True))
    for number, (some, theirs) in enumerate(pairs, start=1):
        share = len(theirs) * engine.processes.count / images
        with _gradients_stay(engine.forward, stay=number < len(pairs)):
            scores = engine.scores(engine.forward, some)
            loss = functional.cross_entropy(scores, theirs) + engine.regularisation()
            engine.scaler.scale(loss if share == 1 else loss * share).backward()
        total += loss.detach() * len(theirs)
    engine.scaler.step(engine.optimiser)
    engine.scaler.update()
    return total


@torch.no_grad()
def evaluate(engine: Engine, found: Iterable[Batch]) -> Scores:
    """Measure the network on a split, in evaluation mode; its mode is put back.

    Args:
        engine: Whose network is measured. The loss gets the regulariser that training has.
        found: This process's part of the images.
    """
    engine.processes.share_buffers(engine.model)
    was_training = engine.model.training
    engine.model.eval()
    found_scores = measure(
        lambda pixels: engine.scores(engine.model, pixels),
        found,
        device=engine.device,
        processes=engine.processes,
    )
    engine.model.train(was_training)
    loss = found_scores.loss + float(engine.regularisation())
    return dataclasses.replace(found_scores, loss=loss)


def _is_regularised(model: nn.Module) -> bool:
    rows = (m for m in model.modules() if isinstance(m, OrthonormalRows))
    return any(m.orthonormal_weight() is not None for m in rows)


def _autocast(device: torch.device, amp: Amp) -> contextlib.AbstractContextManager[None]:
    if amp == "off":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[amp])  # type: ignore[return-value]  # torch's own context manager


def _gradients_stay(forward: nn.Module, *, stay: bool) -> contextlib.AbstractContextManager[None]:
    """Keep gradients in this process until the last part of a batch."""
    if stay and isinstance(forward, DistributedDataParallel):
        return forward.no_sync()  # type: ignore[no-any-return]  # untyped in torch
    return contextlib.nullcontext()
