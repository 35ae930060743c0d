"""The rows of the paper's tables, and which network of the zoo each is.

``golden.json`` holds, row by row, what the paper prints (``readme_*``) and the exact integers
that its reference code gives under each counter.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from pfd_models.zoo.spec import dataset_shape

__all__ = ["PublishedRow", "load_published_rows"]

_SET_1 = {
    "MobileNetv3-large": "mobilenetv3_large",
    "MobileNetv3-large(BSConv-S)": "mobilenetv3_large_bsconvs",
    "MobileNetv3-large-bsconvs": "mobilenetv3_large_bsconvs",
    "ResNet-20": "resnet20",
    "ResNet-110(BSConv-U)": "resnet110_bsconvu",
    "WideResNet-40-3": "wrn40_3",
    "WideResNet-40-8(BSConv-U)": "wrn40_8_bsconvu",
}
_SET_2 = {
    "MobileNetv3-large": "mobilenetv3_large_set2",
    "Parc-MobileNet-v2": "parc_mobilenetv2",
    "GhostNet": "ghostnet",
    "ShuffleNet-v2": "shufflenetv2",
}
_SET_1_TABLES = ("CIFAR-100 set 1", "Stanford Dogs", "ImageNet")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One row of a table.

    Attributes:
        table: Title of the table.
        label: How the table calls the network.
        model: Its name in this zoo.
        variant: Name of the variant.
        dataset: Name of the data-set shape; empty where the paper does not say.
        counter: ``bsconv_profile`` or ``thop_0_0_31``; empty in the latency table.
        params: Parameters of the reference's module; None in the latency table.
        params_counted: Parameters that the table's counter sees in the reference's module.
        macs: What the table's counter gives.
        macs_by_counter: What others give.
        printed_params: As printed, with unit; empty where the table has none.
        printed_macs: As printed, with unit; empty where the table has none.
        printed_accuracy: Top-1 in percent as printed; None where the table has none.
        printed_latency: Device to time as printed.
        note: What was found out about the row.
    """

    table: str
    label: str
    model: str
    variant: str
    dataset: str
    counter: str
    params: int | None
    params_counted: int | None
    macs: int | None
    macs_by_counter: Mapping[str, int]
    printed_params: str
    printed_macs: str
    printed_accuracy: float | None
    printed_latency: Mapping[str, str]
    note: str

    @property
    def has_printed_counts(self) -> bool:
        """Return whether the paper prints parameters or multiply-accumulates for the row."""
        return bool(self.printed_params or self.printed_macs)

    @property
    def reference_only_params(self) -> int:
        """Return how many parameters the reference registers, never calls, and the zoo leaves out.

        They sit in a normalisation that GhostNet's hybrid stem makes superfluous.
        """
        if self.model != "ghostnet" or self.params is None or self.params_counted is None:
            return 0
        return self.params - self.params_counted if self.variant == "ours" else 0


@functools.cache
def load_published_rows() -> tuple[PublishedRow, ...]:
    """Return every row, in the tables' order."""
    text = resources.files("pfd_models.paper").joinpath("golden.json").read_text(encoding="utf-8")
    return tuple(_row(plain) for plain in json.loads(text))


def _row(plain: Mapping[str, Any]) -> PublishedRow:
    names = _SET_1 if plain["table"] in _SET_1_TABLES else _SET_2
    dataset = plain["dataset"]
    known = not dataset.startswith("unspecified")
    return PublishedRow(
        table=plain["table"],
        label=plain["model"],
        model=names[plain["model"]],
        variant=plain["variant"],
        dataset=dataset_shape(dataset).name if known else "",
        counter=plain["counter"] or "",
        params=plain["params_exact"],
        params_counted=plain.get("params_thop", plain["params_exact"]),
        macs=plain["macs_exact"],
        macs_by_counter=MappingProxyType(plain.get("macs_by_counter") or {}),
        printed_params=plain["readme_params"] or "",
        printed_macs=plain["readme_flops"] or "",
        printed_accuracy=plain["readme_accuracy"],
        printed_latency=MappingProxyType(plain["readme_latency"] or {}),
        note=plain["note"],
    )
