"""Backends: listed by their files, each with what it takes and why it cannot be used."""

from __future__ import annotations

import pytest

from export.formats.pte.backends import get_backend, list_backends
from pfd_models.errors import SpecError


def test_backends_are_listed_by_their_files():
    assert {"portable", "xnnpack"} <= set(list_backends())
    with pytest.raises(SpecError, match="did you mean 'xnnpack'"):
        get_backend("xnpack")


@pytest.mark.parametrize("name", ["portable", "xnnpack"])
def test_backends_state_what_they_take(name):
    backend = get_backend(name)
    assert "fp32" in backend.precisions
    assert backend.unavailable() is None
    assert len(backend.partitioners()) == (name == "xnnpack")


def test_an_unavailable_backend_says_why(monkeypatch):
    from export.formats.pte.backends import portable

    monkeypatch.setattr(portable, "unavailable", lambda: "its SDK is missing")
    with pytest.raises(SpecError, match="its SDK is missing"):
        get_backend("portable")
