"""What several folders of the exporter's tests share."""

from __future__ import annotations

import sys

import pytest

from export.request.source import InputTensor, ModuleSource


@pytest.fixture
def write_factory(tmp_path, monkeypatch):
    """Write a user's file and return the source that names its factory."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # a build puts the file's folder in front

    def write(name, text, factory="make"):
        (tmp_path / f"{name}.py").write_text(text)
        return ModuleSource(
            target=f"{name}:{factory}",
            inputs=(InputTensor(shape=(1, 3, 8, 8)),),
            search_path=str(tmp_path),
        )

    return write
