"""What network a build is of, as the user named it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ModuleSource", "ZooSource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooSource:
    """A model of the zoo, by the names a user types; None takes the data set's own value."""

    model: str
    variant: str = "ours"
    dataset: str = "cifar100"
    num_classes: int | None = None
    resolution: int | None = None
    batch: int = 1

    @property
    def label(self) -> str:
        """Return how progress and tables call it."""
        return f"{self.model}/{self.variant}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSource:
    """A user's own module.

    Attributes:
        target: ``package.module:factory``; the factory is called without arguments.
        input_shapes: One shape per input, batch first, as ``(1, 3, 224, 224)``.
        padding_free: Convert its stride-2 depthwise convolutions first.
        search_path: Folder put first on the import path.
    """

    target: str
    input_shapes: tuple[tuple[int, ...], ...]
    padding_free: bool = False
    search_path: str = ""

    @property
    def label(self) -> str:
        """Return how progress and tables call it."""
        return self.target + (" padding-free" if self.padding_free else "")
