"""What does not fit is one line of bearable length, whatever it repeats of the text."""

from dataclasses import dataclass
from enum import Enum

import pytest

from pfd_models.errors import InputError
from pfd_models.plain_data import from_plain


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Painted:
    colour: Colour


def test_a_value_of_megabytes_is_shown_by_its_ends():
    with pytest.raises(
        InputError, match=r"Invalid enum value 'green-.* … .*-green' - at `"
    ) as error:
        from_plain(Painted, {"colour": "green-" * 100_000 + "green"}, what="the paint")
    assert len(str(error.value)) < 400


def test_a_field_whose_name_is_megabytes_is_shown_by_its_ends():
    with pytest.raises(InputError, match=r"has no field 'x+ … x+'") as error:
        from_plain(Painted, {"colour": "red", "x" * 1_000_000: 1}, what="the paint")
    assert len(str(error.value)) < 500
