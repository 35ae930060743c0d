import inspect

import pytest

from export.formats import Format, get_format, list_formats
from pfd_models.errors import SpecError


def test_an_unknown_format_is_one_line_with_the_nearest():
    with pytest.raises(SpecError, match="unknown format 'tflit': did you mean 'tflite'"):
        get_format("tflit")


@pytest.mark.parametrize("name", list_formats())
def test_every_format_has_what_the_protocol_asks(name):
    module = get_format(name)
    assert module.NEEDS is None or module.NEEDS in list_formats()
    for function in (name for name in vars(Format) if not name.startswith("_")):
        wanted = inspect.signature(getattr(Format, function)).parameters
        found = inspect.signature(getattr(module, function)).parameters
        assert ["self", *found] == list(wanted), function
