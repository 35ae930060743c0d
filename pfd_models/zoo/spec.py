"""What a network is, as plain data: equal specifications build equal modules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from pfd_models.errors import SpecError, unknown

__all__ = ["DATASETS", "DatasetShape", "InputSpec", "ModelSpec", "Option", "dataset_shape"]

Option: TypeAlias = bool | int | float | str

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CIFAR_MEAN = (0.50707516, 0.48654887, 0.44091784)
_CIFAR_STD = (0.26733429, 0.25643846, 0.27615047)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetShape:
    """The shape of a data set's images and labels, not the images.

    Attributes:
        name: As the user types it.
        resolution: Side of the square images the paper's networks see.
        num_classes: Number of labels.
        small_input: Whether networks take the strides for small images (three halvings instead
            of five).
        mean: Of each channel, values in 0 to 1, for networks that do not normalise themselves.
        std: Of each channel, likewise.
        source: Where the figures come from.
    """

    name: str
    resolution: int
    num_classes: int
    small_input: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


DATASETS: Mapping[str, DatasetShape] = MappingProxyType(
    {
        shape.name: shape
        for shape in (
            DatasetShape(
                name="cifar100",
                resolution=32,
                num_classes=100,
                small_input=True,
                mean=_CIFAR_MEAN,
                std=_CIFAR_STD,
                source="CIFAR-100; normalisation of the paper's hyper-parameter set 2",
            ),
            DatasetShape(
                name="stanford_dogs",
                resolution=224,
                num_classes=120,
                small_input=False,
                mean=_IMAGENET_MEAN,
                std=_IMAGENET_STD,
                source="Stanford Dogs; ImageNet's normalisation where the network has none",
            ),
            DatasetShape(
                name="imagenet",
                resolution=224,
                num_classes=1000,
                small_input=False,
                mean=_IMAGENET_MEAN,
                std=_IMAGENET_STD,
                source="ILSVRC 2012; the usual normalisation",
            ),
            DatasetShape(
                name="vegfru292",
                resolution=224,
                num_classes=292,
                small_input=False,
                mean=_IMAGENET_MEAN,
                std=_IMAGENET_STD,
                source="VegFru, all 292 classes; normalisation of the paper's VegFru recipe",
            ),
        )
    }
)

_DATASET_ALIASES = {"dogs": "stanford_dogs", "vegfru": "vegfru292"}


def dataset_shape(name: str) -> DatasetShape:
    """Return the shape of a data set.

    Raises:
        SpecError: No such data set; the line names the nearest ones.
    """
    lowered = name.lower()
    shape = DATASETS.get(_DATASET_ALIASES.get(lowered, lowered))
    if shape is None:
        raise SpecError(unknown("data set", name, DATASETS))
    return shape


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """The image a network takes.

    A pixel is first scaled to `value_range`, then normalised: (value - mean) / std per channel.

    Attributes:
        channels: Number of channels.
        height: Rows in pixels.
        width: Columns in pixels.
        mean: Subtracted from each channel; zeros where the network normalises by itself.
        std: Each channel is divided by it; ones where the network normalises by itself.
        value_range: Of a pixel before normalisation.
        layout: Order of the dimensions, batch first.
        colour_order: Of the channels.
    """

    channels: int = 3
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    value_range: tuple[float, float] = (0.0, 1.0)
    layout: str = "NCHW"
    colour_order: str = "RGB"

    def __post_init__(self) -> None:
        if min(self.channels, self.height, self.width) < 1:
            raise SpecError(
                f"an input of {self.channels}x{self.height}x{self.width} is empty; give a "
                "resolution of at least 1"
            )
        if not len(self.mean) == len(self.std) == self.channels:
            raise SpecError(
                f"{self.channels} channels need as many means and deviations, got "
                f"{len(self.mean)} and {len(self.std)}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (channels, height, width)."""
        return self.channels, self.height, self.width


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Everything that decides how a network is built.

    Attributes:
        model: Registered name; `get_spec` knows it.
        variant: Name of the variant.
        dataset: Name of the data-set shape it was made for.
        num_classes: Length of the output.
        input: The image it takes.
        small_input: Whether it takes the strides for small images.
        replaceable_blocks: Whether each of its stride-2 steps is a block that a variant can
            replace as a whole.
        options: What else the family needs (depth, width, head), sorted by name.
        source: Publication and the paper's table.
    """

    model: str
    variant: str
    dataset: str
    num_classes: int
    input: InputSpec
    small_input: bool
    replaceable_blocks: bool = False
    options: tuple[tuple[str, Option], ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise SpecError(f"{self.num_classes} classes: a network needs at least 1")
        object.__setattr__(self, "options", tuple(sorted(self.options)))

    @property
    def resolution(self) -> int:
        """Return the side of the square input in pixels."""
        return self.input.height

    def option(self, name: str) -> Any:
        """Return an option's value.

        Raises:
            SpecError: The specification has no such option.
        """
        for key, value in self.options:
            if key == name:
                return value
        raise SpecError(unknown("option", name, [k for k, _ in self.options], owner=self.model))

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; `from_dict` undoes it."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["input"] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self.input).items()
        }
        plain["options"] = dict(self.options)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ModelSpec:
        """Build a specification from what `to_dict` gave, also after JSON.

        Raises:
            SpecError: A field is missing, unknown or of the wrong kind.
        """
        values = dict(plain)
        try:
            image: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values["input"].items()
            }
            values["input"] = InputSpec(**image)
            values["options"] = tuple(values.get("options", {}).items())
            return cls(**values)
        except (AttributeError, KeyError, TypeError) as error:
            raise SpecError(
                f"not a model specification: {error}; write it with ModelSpec.to_dict"
            ) from error
