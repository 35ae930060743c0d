import textwrap

import pytest

import export.formats
from export.formats import get_format, list_formats
from pfd_models.errors import SpecError


def test_a_format_is_its_file(tmp_path, monkeypatch):
    """One file added, none edited: the new format is listed, found and runs."""
    (tmp_path / "shouting.py").write_text(
        textwrap.dedent("""
            NEEDS = None
            def write(program, path, options):
                path.write_text("LOUD")
            def run(path, inputs):
                return [path.read_text()]
        """)
    )
    monkeypatch.setattr(export.formats, "__path__", [*export.formats.__path__, str(tmp_path)])
    assert "shouting" in list_formats()
    written = tmp_path / "x"
    get_format("shouting").write(None, written, None)
    assert get_format("shouting").run(written, []) == ["LOUD"]


def test_an_unknown_format_is_one_line_with_the_nearest():
    with pytest.raises(SpecError, match="unknown format 'tflit': did you mean 'tflite'"):
        get_format("tflit")


@pytest.mark.parametrize("name", list_formats())
def test_every_format_has_what_the_protocol_asks(name):
    module = get_format(name)
    assert module.NEEDS is None or module.NEEDS in list_formats()
    assert callable(module.write)
    assert callable(module.run)
