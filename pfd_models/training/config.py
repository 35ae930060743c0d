"""What a run is: everything that decides its result, and where it is kept."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pfd_models.errors import SpecError
from pfd_models.training.engine import Speed
from pfd_models.training.qat import Qat
from pfd_models.training.randomness import SOURCES
from pfd_models.training.recipes import Recipe
from pfd_models.zoo.spec import ModelSpec

__all__ = ["RunConfig"]

_FREE = ("recipe.name", "recipe.workers", "recipe.sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """One training run.

    Attributes:
        spec: The network.
        recipe: How it is trained.
        dataset: Name of the data set.
        data_root: The folder that holds it; None where it needs none.
        download: Fetch what is missing of it.
        seed: Every random source's seed is made from it.
        speed: How the mathematics is run.
        folder: Where everything of the run is kept.
        qat: Where it trains in integers; None trains in float.
    """

    spec: ModelSpec
    recipe: Recipe
    dataset: str
    data_root: Path | None = None
    download: bool = False
    seed: int = 0
    speed: Speed = field(default_factory=Speed)
    folder: Path
    qat: Qat | None = None

    def __post_init__(self) -> None:
        """Refuse what no run can have."""
        if self.seed < 0:
            raise SpecError(f"seed {self.seed} is negative; give 0 or more")
        if self.speed.accumulate < 1:
            raise SpecError(f"accumulate {self.speed.accumulate} is too small; give 1 or more")
        if self.qat is not None and (self.speed.amp != "off" or self.speed.compile):
            raise SpecError(
                "--qat counts in float32 and runs a graph of its own; leave out --amp and --compile"
            )

    def check_shares(self, count: int) -> None:
        """Refuse a batch that processes cannot share evenly.

        Raises:
            SpecError: The batch size is no multiple; the line names the nearest that are.
        """
        parts = count * self.speed.accumulate
        size = self.recipe.batch_size
        if size % parts:
            below, above = size // parts * parts, -(-size // parts) * parts
            use = f"{below} or {above}" if below else str(above)
            raise SpecError(
                f"a batch of {size} images cannot be shared evenly by {count} processes with "
                f"{self.speed.accumulate} parts each; use --batch-size {use}"
            )

    def decisive(self, count: int) -> dict[str, Any]:
        """Return, by name, what must stay the same when a run goes on.

        Args:
            count: Number of processes.
        """
        spec = {f"model.{k}": v for k, v in self.spec.to_dict().items() if k != "source"}
        recipe = {f"recipe.{k}": v for k, v in self.recipe.to_dict().items()}
        kept = {k: v for k, v in recipe.items() if k not in _FREE}
        return {
            **spec,
            **kept,
            "dataset": self.dataset,
            "seed": self.seed,
            "amp": self.speed.amp,
            "accumulate": self.speed.accumulate,
            "processes": count,
            **({} if self.qat is None else self.qat.decisive()),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "model": self.spec.to_dict(),
            "recipe": self.recipe.to_dict(),
            "dataset": self.dataset,
            "data_root": None if self.data_root is None else str(self.data_root),
            "seed": self.seed,
            "random_sources": dict(SOURCES),
            "speed": dataclasses.asdict(self.speed),
            **({} if self.qat is None else self.qat.decisive()),
        }
