"""Text from outside (names of devices, files, operators) made safe to show.

Three places read markup into text: the browser, Plotly's labels, and the terminal. Jinja
escapes for the first; here are the other two, and the characters that deceive in all three.
"""

from __future__ import annotations

import unicodedata

__all__ = ["escape_controls", "escape_for_plot"]


def escape_controls(text: str, longest: int = 200) -> str:
    r"""Return the text with every character that moves, hides or reverses others spelled out.

    Control characters (also a terminal's escape), direction marks, zero-width and undecodable
    characters appear as ``\u202e``; a very long text is cut.
    """
    shown = "".join(_spell_out(c) if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _spell_out(character: str) -> str:
    if character == " ":
        return character
    return character.encode("unicode_escape").decode("ascii")


def escape_for_plot(text: str) -> str:
    """Return the text for a label of a Plotly figure, which reads tags and entities.

    Source: Plotly's reference, "text" attributes accept a subset of HTML.
    """
    shown = escape_controls(text)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        shown = shown.replace(character, entity)
    return shown
