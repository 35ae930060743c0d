"""Counts that families state of networks beside the paper's, and the same counted here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pfd_models.paper.measuring import measure
from pfd_models.zoo.registry import Figures, load_families

__all__ = ["StatedRow", "measure_stated_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedRow:
    """A network whose counts its family states.

    Attributes:
        model: Its name.
        variant: Name of the variant.
        dataset: Name of the data-set shape.
        stated: What the family says, and where that is published.
        params: True number of parameters.
        macs: Multiply-accumulates by `thop_counts`.
    """

    model: str
    variant: str
    dataset: str
    stated: Figures
    params: int
    macs: int

    @property
    def is_exact(self) -> bool:
        """Return whether every count that is stated is the one measured here."""
        return self.stated.params == self.params and self.stated.macs in (None, self.macs)


def measure_stated_rows() -> Iterator[StatedRow]:
    """Build and count every network of which a family states counts, by name."""
    entries = {id(entry): entry for _, entry in sorted(load_families().items())}
    for entry in entries.values():
        for (model, variant, dataset), stated in entry.figures.items():
            params, counted = measure(model, variant, dataset)
            yield StatedRow(
                model=model,
                variant=variant,
                dataset=dataset,
                stated=stated,
                params=params,
                macs=counted.macs,
            )
