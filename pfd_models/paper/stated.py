"""Counts that families state of networks beside the paper's, and the same counted here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from pfd_models.paper.counting import count_params, thop_counts
from pfd_models.zoo.factory import create_model, get_spec
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
            with torch.device("meta"):  # counts need shapes, not values
                module = create_model(model, variant, dataset)
                shape = get_spec(model, variant, dataset).input.shape
                macs = thop_counts(module, shape).macs
            yield StatedRow(
                model=model,
                variant=variant,
                dataset=dataset,
                stated=stated,
                params=count_params(module),
                macs=macs,
            )
