"""How the values of options are written: one function each, for argparse."""

from __future__ import annotations

import argparse
import math
import re

from export.request.request import PRECISIONS
from pfd_models.errors import unknown
from pfd_models.variant_names import split_variants

__all__ = [
    "read_celsius",
    "read_counts",
    "read_governor",
    "read_names",
    "read_positive",
    "read_precisions",
    "read_seconds",
    "read_seed",
    "read_share",
    "read_shares",
    "read_text",
    "read_variants",
]

_LONGEST_BUDGET_S = 1e6  # twelve days
_LARGEST_SEED = 2**63 - 1  # what every database can hold
_LARGEST_COUNT = 100_000  # of pixels and threads
_LONGEST_QUOTE = 60


def _quote(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…")


def read_text(text: str) -> str:
    """Refuse what is empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def read_variants(text: str) -> list[str]:
    """Read a comma list of different variants."""
    return _differ(split_variants(text), text)


def read_names(text: str) -> list[str]:
    """Read a comma list of different names."""
    return _differ([name.strip() for name in text.split(",") if name.strip()], text)


def _differ(names: list[str], text: str) -> list[str]:
    if not names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{_quote(text)} is no list of different names")
    return names


def read_precisions(text: str) -> list[str]:
    """Read a comma list of what files compute in."""
    names = read_names(text)
    for name in names:
        if not math.isnan(_number(name.removesuffix("%"))):
            raise argparse.ArgumentTypeError(
                f"{_quote(text)} is a share: give --half-width {text.strip()[:20]}; this option "
                f"names what files compute in ({', '.join(PRECISIONS)})"
            )
        if name not in PRECISIONS:
            raise argparse.ArgumentTypeError(unknown("precision", name, PRECISIONS))
    return names


def _number(text: str) -> float:
    """Read a decimal number; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def read_share(text: str) -> float:
    """Read ``3%`` or ``0.03``."""
    number, is_percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    share = _number(number) / (100 if is_percent else 1)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{_quote(text)} is no share: give 3% or 0.03")
    return share


def read_shares(text: str) -> list[float]:
    """Read a comma list of shares."""
    return [read_share(part) for part in text.split(",")]


def read_seconds(text: str) -> float:
    """Read ``120``, ``90s``, ``5m`` or ``5min``."""
    for suffix, factor in (("min", 60.0), ("m", 60.0), ("s", 1.0), ("", 1.0)):
        if text.endswith(suffix):
            seconds = _number(text.removesuffix(suffix)) * factor
            break
    if not 0 <= seconds <= _LONGEST_BUDGET_S:
        raise argparse.ArgumentTypeError(f"{_quote(text)} is no time: give 120, 90s or 5m")
    return seconds


def read_celsius(text: str) -> int:
    """Read degrees Celsius as thousandths of one."""
    degrees = _number(text.strip().removesuffix("C").removesuffix("°"))
    if not 0 <= degrees <= 150:
        raise argparse.ArgumentTypeError(f"{_quote(text)} is no temperature: give degrees, as 45")
    return round(1000 * degrees)


def read_governor(text: str) -> str:
    """Read ``performance`` or ``fixed:KHZ``."""
    if text != "performance" and not re.fullmatch(r"fixed:[1-9][0-9]{3,8}", text):
        raise argparse.ArgumentTypeError(
            f"{_quote(text)} is no governor: give performance, or fixed:KHZ as fixed:1200000"
        )
    return text


def _count(text: str, most: int) -> int:
    is_whole = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    if not is_whole or int(text) > most:
        raise argparse.ArgumentTypeError(f"{_quote(text)} is no whole number from 0 to {most}")
    return int(text)


def read_seed(text: str) -> int:
    """Read a whole number that every database can hold."""
    return _count(text, _LARGEST_SEED)


def read_positive(text: str) -> int:
    """Read a whole number from 1."""
    if _count(text, _LARGEST_COUNT) < 1:
        raise argparse.ArgumentTypeError(f"{_quote(text)} is not 1 or more")
    return int(text)


def read_counts(text: str) -> list[int]:
    """Read a comma list of whole numbers from 1."""
    return [read_positive(part) for part in read_names(text)]
