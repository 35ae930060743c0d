"""What adds something by lying in a folder is found there; its neighbours' helpers are not."""

from __future__ import annotations

import importlib
import sys
import textwrap

import pytest

from android_bench.report.exports import list_formats as list_export_formats
from export.formats import list_formats
from export.formats.pte.backends import list_backends
from export.onnx_to_tflite import ops
from pfd_models import list_models, list_variants
from pfd_models.training.datasets import list_image_sets
from pfd_models.zoo import registry

REGISTRIES = {
    "pfd_models.families": (
        list_models,
        """
        from pfd_models.families._shared import WIDTH
        from pfd_models.zoo.registry import architecture

        @architecture(source="nobody")
        def added(spec, variant):
            raise NotImplementedError(WIDTH)
        """,
    ),
    "pfd_models.variants": (
        list_variants,
        """
        from dataclasses import replace
        from pfd_models.variants._shared import WIDTH
        from pfd_models.variants import paper

        VARIANT = replace(paper.VARIANTS[0], name="added")
        """,
    ),
    "pfd_models.training.datasets": (list_image_sets, "from ._shared import WIDTH\n"),
    "android_bench.report.exports": (list_export_formats, "from ._shared import WIDTH\n"),
    "export.formats": (list_formats, "from ._shared import WIDTH\n"),
    "export.formats.pte.backends": (list_backends, "from ._shared import WIDTH\n"),
    "export.onnx_to_tflite.ops": (
        ops.lowerings,
        """
        from export.onnx_to_tflite.ops import lowers
        from export.onnx_to_tflite.ops._shared import WIDTH

        @lowers("added")
        def lower(node, build):
            raise NotImplementedError(WIDTH)
        """,
    ),
}


@pytest.fixture(params=REGISTRIES)
def added(request, tmp_path, monkeypatch):
    """A registry whose folder got a file ``added`` and its helper ``_shared``; forgotten later."""
    package = importlib.import_module(request.param)
    listing, source = REGISTRIES[request.param]
    listing()  # whatever registers at import is part of what is kept
    monkeypatch.setattr(registry, "_ARCHITECTURES", dict(registry._ARCHITECTURES))
    monkeypatch.setattr(ops, "_registry", dict(ops._registry))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    (tmp_path / "_shared.py").write_text("WIDTH = 8  # a helper of its neighbours\n")
    (tmp_path / "added.py").write_text(textwrap.dedent(source))
    importlib.invalidate_caches()
    yield listing
    for name in ("added", "_shared"):
        sys.modules.pop(f"{request.param}.{name}", None)


def test_a_file_in_the_folder_is_listed_and_a_helper_beside_it_is_not(added):
    names = tuple(added())
    assert "added" in names
    assert not [name for name in names if "_shared" in name]
