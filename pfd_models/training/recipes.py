"""The paper's recipes as data: every value with where it comes from.

The paper prints two sets of hyper-parameters; where it is silent, the value is the one that its
reference repository sets, and the source says so.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from pfd_models.errors import SpecError, unknown
from pfd_models.variant_names import parse_variant
from pfd_models.zoo.registry import get_architecture
from pfd_models.zoo.spec import ModelSpec

__all__ = ["FROM_COMMAND_LINE", "RECIPES", "Recipe", "default_recipe", "get_recipe"]

FROM_COMMAND_LINE = "given by the user"
"""The source of a value that replaced a recipe's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained: stochastic gradient descent on the cross entropy.

    Attributes:
        name: As the user types it.
        epochs: Passes over the training images.
        batch_size: Images an update of the weights, over all processes together.
        learning_rate: Of the first epoch.
        momentum: Of the optimiser.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: On all parameters, biases and normalisations included.
        schedule: ``steps`` multiplies the rate by `gamma` after each of `milestones`; ``cosine``
            lets it fall to `final_factor` of itself.
        milestones: Epochs after which the rate drops; empty for ``cosine``.
        gamma: The factor of a drop.
        final_factor: What is left of the rate at the end of a cosine.
        alpha: Weight of BSConv-S's regulariser; nothing for networks without one.
        workers: Processes that load images; the result does not depend on it.
        sources: Field to where its value comes from.
    """

    name: str
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: Literal["steps", "cosine"]
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    final_factor: float = 0.1
    alpha: float = 0.1
    workers: int = 4
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        """Refuse values that no training can use."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} {getattr(self, name)} is too small; give 1 or more")
        for name in ("weight_decay", "alpha", "gamma", "final_factor", "workers"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SpecError(f"{name} {getattr(self, name)} is out of range; give 0 or more")
        if not 0 < self.learning_rate < math.inf:
            raise SpecError(f"learning_rate {self.learning_rate} is not above 0")
        if not 0 <= self.momentum < 1:
            raise SpecError(f"momentum {self.momentum} is out of range; give 0 or more, below 1")
        if self.nesterov and self.momentum == 0:
            raise SpecError("nesterov needs a momentum above 0; give one, or --no-nesterov")
        if self.schedule not in ("steps", "cosine"):
            raise SpecError(unknown("schedule", self.schedule, ("steps", "cosine")))
        if list(self.milestones) != sorted(set(self.milestones)) or min((1, *self.milestones)) < 1:
            given = " ".join(map(str, self.milestones))
            raise SpecError(f"milestones {given} do not rise; give epochs such as 100 150 180")

    def learning_rate_at(self, epoch: int) -> float:
        """Return the rate of an epoch, counted from 0."""
        if self.schedule == "steps":
            drops = sum(milestone <= epoch for milestone in self.milestones)
            return self.learning_rate * self.gamma**drops
        fallen = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.learning_rate * (fallen * (1 - self.final_factor) + self.final_factor)

    def replace_values(self, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe with some fields replaced, and their sources told.

        Raises:
            SpecError: A value is out of range, or a field unknown.
        """
        known = [f.name for f in dataclasses.fields(self) if f.name not in ("name", "sources")]
        for name in values:
            if name not in known:
                raise SpecError(unknown("recipe field", name, known))
        sources = dict(self.sources) | dict.fromkeys(values, FROM_COMMAND_LINE)
        return dataclasses.replace(self, **values, sources=sources)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return plain | {"milestones": list(self.milestones), "sources": dict(self.sources)}


_FIRST = "paper, hyper-parameter set 1; the reference's training script for BSConv networks"
_SECOND = "paper, hyper-parameter set 2; the reference's training script"
_UNUSED = "not used by this schedule"
_REGULARISER = "the reference's default; BSConv (arXiv:2003.13549), section 3.3"
_NO_REGULARISER = "its networks have no BSConv-S regulariser; BSConv's default otherwise"
_SMOKE = "this project's choice for a smoke run; no recipe of the paper"
_QAT = "this project's choice, measured on digits; docs/quantization.md"

_SET_1 = Recipe(
    name="set1",
    epochs=200,
    batch_size=128,
    learning_rate=0.1,
    momentum=0.9,
    nesterov=False,
    weight_decay=1e-4,
    schedule="steps",
    milestones=(100, 150, 180),
    gamma=0.1,
    final_factor=0.1,
    alpha=0.1,
    workers=4,
    sources=MappingProxyType(
        {
            "epochs": _FIRST,
            "batch_size": _FIRST,
            "learning_rate": _FIRST,
            "momentum": _FIRST,
            "nesterov": "the reference's script leaves PyTorch's default",
            "weight_decay": _FIRST,
            "schedule": _FIRST,
            "milestones": _FIRST,
            "gamma": _FIRST,
            "final_factor": _UNUSED,
            "alpha": _REGULARISER,
            "workers": "the reference's default",
        }
    ),
)
_SET_2 = Recipe(
    name="set2",
    epochs=300,
    batch_size=64,
    learning_rate=0.03,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    schedule="cosine",
    final_factor=0.1,
    workers=2,
    sources=MappingProxyType(
        {
            "epochs": _SECOND,
            "batch_size": _SECOND,
            "learning_rate": _SECOND,
            "momentum": _SECOND,
            "nesterov": _SECOND,
            "weight_decay": _SECOND,
            "schedule": f"{_SECOND}; set once an epoch",
            "milestones": _UNUSED,
            "gamma": _UNUSED,
            "final_factor": "the reference's default of --lrf",
            "alpha": _NO_REGULARISER,
            "workers": "the reference's default",
        }
    ),
)
_EFV2_SOURCE = "paper, comparison with EfficientFormerV2's downsampling: as hyper-parameter set 2"
_VEGFRU_SOURCE = "paper, VegFru-292; the reference's training script"

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            _SET_1,
            _SET_2,
            dataclasses.replace(
                _SET_2,
                name="efv2",
                sources=MappingProxyType(
                    {
                        name: _EFV2_SOURCE if source.startswith("paper") else source
                        for name, source in _SET_2.sources.items()
                    }
                ),
            ),
            dataclasses.replace(
                _SET_2,
                name="vegfru",
                epochs=100,
                learning_rate=0.1,
                schedule="steps",
                milestones=(30, 60, 90),
                sources=MappingProxyType(
                    {
                        name: _VEGFRU_SOURCE if source.startswith("paper") else source
                        for name, source in _SET_2.sources.items()
                    }
                    | {"milestones": _VEGFRU_SOURCE, "gamma": _VEGFRU_SOURCE}
                    | {"final_factor": _UNUSED}
                ),
            ),
            Recipe(
                name="digits",
                epochs=20,
                batch_size=64,
                learning_rate=0.03,
                momentum=0.9,
                nesterov=True,
                weight_decay=1e-4,
                schedule="cosine",
                final_factor=0.0,
                workers=0,
                sources=MappingProxyType(
                    {
                        f.name: _SMOKE
                        for f in dataclasses.fields(Recipe)
                        if f.name not in ("name", "sources")
                    }
                ),
            ),
            Recipe(
                name="qat",
                epochs=3,
                batch_size=64,
                learning_rate=1e-5,
                momentum=0.9,
                nesterov=True,
                weight_decay=0.0,
                schedule="cosine",
                final_factor=0.0,
                workers=0,
                sources=MappingProxyType(
                    {
                        f.name: _QAT
                        for f in dataclasses.fields(Recipe)
                        if f.name not in ("name", "sources")
                    }
                ),
            ),
        )
    }
)
"""Every recipe by name."""


def get_recipe(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        SpecError: No such recipe; the line names the nearest ones.
    """
    recipe = RECIPES.get(name.lower())
    if recipe is None:
        raise SpecError(unknown("recipe", name, RECIPES))
    return recipe


def default_recipe(spec: ModelSpec, dataset: str) -> Recipe:
    """Return the recipe that the paper uses for a network on a data set.

    Set 1's networks are those that normalise their input themselves. ImageNet has no recipe in
    the paper; it gets that of the network's set.
    """
    if dataset in RECIPES:
        return RECIPES[dataset]
    if get_architecture(spec.model).normalises_input:
        return RECIPES["set1"]
    if dataset == "vegfru292":
        return RECIPES["vegfru"]
    return RECIPES["efv2" if parse_variant(spec.variant).base == "efv2" else "set2"]
