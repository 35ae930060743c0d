import inspect

import pytest

from export.formats import Format, find_chains, get_format, list_formats, with_needed
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


def test_a_format_brings_along_what_it_is_made_from():
    assert with_needed(("tflite", "pte")) == ("onnx", "tflite", "pte")
    assert with_needed(("onnx", "tflite")) == ("onnx", "tflite")


def test_formats_made_from_each_other_are_one_chain():
    assert find_chains(("onnx", "pte", "tflite")) == [("pte",), ("onnx", "tflite")]
    assert find_chains(("tflite",)) == [("tflite",)]  # its .onnx lies there already
