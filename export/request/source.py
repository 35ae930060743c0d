"""What network a build is of, as the user named it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["InputTensor", "ModuleSource", "ZooSource"]


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
class InputTensor:
    """One tensor that a module takes.

    Attributes:
        shape: Batch first, as ``(1, 3, 224, 224)``.
        dtype: NumPy's name.
        name: The parameter of ``forward`` it goes to; ``batch.ids`` goes into the dictionary
            and ``state.0`` into the tuple that a parameter takes. Empty: by position.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSource:
    """A user's own module.

    Attributes:
        target: ``package.module:factory``, with literal arguments where the factory takes some,
            as ``net:make(width=0.5)``; or a library's own name of a network, ``timm:NAME`` and
            ``torchvision:NAME``.
        inputs: What its ``forward`` takes.
        padding_free: Apply the paper's recipe first: padding-free downsampling, hybrid stem.
        to_float32: Convert its weights to float32 first.
        search_path: Folder put first on the import path.
    """

    target: str
    inputs: tuple[InputTensor, ...]
    padding_free: bool = False
    to_float32: bool = False
    search_path: str = ""

    @property
    def label(self) -> str:
        """Return how progress and tables call it."""
        return self.target + (" padding-free" if self.padding_free else "")
