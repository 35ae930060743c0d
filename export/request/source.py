"""What network a build is of, as the user named it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["InputTensor", "ModuleSource", "ZooSource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooSource:
    """A model of the zoo, by the names a user types; None takes the data set's own value.

    With a `largest_batch` the files take any batch from `batch` to that.
    """

    model: str
    variant: str = "ours"
    dataset: str = "cifar100"
    num_classes: int | None = None
    resolution: int | None = None
    batch: int = 1
    largest_batch: int | None = None

    @property
    def batch_range(self) -> tuple[int, int] | None:
        """Return the least and largest batch of its files; None where they have one."""
        return None if self.largest_batch is None else (self.batch, self.largest_batch)

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
        batch: The least and largest first dimension that files take, where that is open; `shape`
            has the least.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    name: str = ""
    batch: tuple[int, int] | None = None


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
    def batch_range(self) -> tuple[int, int] | None:
        """Return the least and largest batch of its files; None where they have one."""
        return next((tensor.batch for tensor in self.inputs if tensor.batch is not None), None)

    @property
    def label(self) -> str:
        """Return how progress and tables call it."""
        return self.target + (" padding-free" if self.padding_free else "")
