"""What network a build is of, as the user named it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from pfd_models.variant_names import STEM, sort_sites

__all__ = ["ConvertibleSite", "InputTensor", "ModuleSource", "ZooSource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertibleSite:
    """A place of a network where the paper's recipe can be applied alone.

    Attributes:
        name: ``stem``, or the number of a down-sampling step, the first being ``1``.
        told: Which place that is, for a reader.
    """

    name: str
    told: str


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

    def at_sites(self, chosen: Collection[str], every: Collection[str]) -> ZooSource:
        """Return the network with the recipe at the chosen ones of its sites only."""
        numbers = [site for site in sort_sites(chosen) if site != STEM]
        if not numbers:
            return replace(self, variant="stem" if STEM in chosen else "orig")
        base = "ours" if STEM in chosen else "down"
        whole = len(numbers) == sum(site != STEM for site in every)
        return replace(self, variant=base if whole else f"{base}@{','.join(numbers)}")


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
        padding_free_sites: Where to apply it: ``stem`` and numbers of down-sampling steps; empty:
            everywhere.
        to_float32: Convert its weights to float32 first.
        search_path: Folder put first on the import path.
    """

    target: str
    inputs: tuple[InputTensor, ...]
    padding_free: bool = False
    padding_free_sites: tuple[str, ...] = ()
    to_float32: bool = False
    search_path: str = ""

    @property
    def batch_range(self) -> tuple[int, int] | None:
        """Return the least and largest batch of its files; None where they have one."""
        return next((tensor.batch for tensor in self.inputs if tensor.batch is not None), None)

    @property
    def label(self) -> str:
        """Return how progress and tables call it."""
        where = f" at {','.join(self.padding_free_sites)}" if self.padding_free_sites else ""
        return self.target + (f" padding-free{where}" if self.padding_free else "")

    def at_sites(self, chosen: Collection[str], every: Collection[str]) -> ModuleSource:
        """Return the module with the recipe at the chosen ones of its sites only."""
        sites = sort_sites(chosen)
        return replace(self, padding_free=bool(sites), padding_free_sites=sites)
