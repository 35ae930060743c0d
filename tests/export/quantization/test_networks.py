"""Every network of the zoo in every variant: int8 in one delegate, equal bits."""

from __future__ import annotations

import pytest

import pfd_models
from export import BuildRequest, ZooSource, make_artifacts
from export.request.calibration import CalibrationSource
from pfd_models.errors import SpecError


def is_defined(model, variant):
    try:
        pfd_models.get_spec(model, variant, "cifar100")
    except SpecError:
        return False
    return True


NETWORKS = [
    (model, variant)
    for model in pfd_models.list_models()
    for variant in pfd_models.list_variants()
    if is_defined(model, variant)
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "variant"), NETWORKS)
def test_int8_of_every_network_has_one_delegate_and_equal_bits(model, variant, tmp_path):
    source = ZooSource(model=model, variant=variant)
    noise = CalibrationSource(kind="synthetic", count=16)
    request = BuildRequest(source=source, out=tmp_path, precision="int8", calibration=noise)
    manifest = make_artifacts(request).manifest
    for kind in ("pte", "tflite"):
        artifact = manifest.artifact(kind)
        assert (artifact.delegates, artifact.leftovers) == (1, ()), kind
    if variant != "efv2":
        assert manifest.quantization.kept_float == ()
        assert manifest.artifact("pte").parity.relative_linf == 0.0
        assert manifest.artifact("tflite").parity.relative_linf == 0.0
    assert manifest.artifact("pte").cost == manifest.artifact("tflite").cost
