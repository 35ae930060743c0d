"""One weight with one wrong bit is caught in each format, so parity is not vacuous."""

import numpy as np
import pytest
import torch

from export import parity
from export.formats import get_format, list_formats
from pfd_models import create_model
from pfd_models.errors import ParityError


@pytest.fixture(scope="module")
def reference(built):
    with np.load(built.path(built.reference)) as data:
        inputs = [[sample] for sample in data["input_0"]]
        outputs = [[sample.astype(np.float64)] for sample in data["output_0"]]
    return parity.ReferenceRun(inputs=inputs, outputs=outputs, eager_relative_linf=None)


def classifier_weights():
    """The last layer's weights as the build initialised them: no rewrite touches them."""
    torch.manual_seed(0)
    model = create_model("shufflenetv2", "ours")
    last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
    return last.weight.detach().numpy().reshape(-1)


@pytest.mark.parametrize("name", list_formats())
def test_one_flipped_bit_of_one_weight_is_caught(built, reference, name, tmp_path):
    artifact, file_format = built.artifact(name), get_format(name)
    good = built.path(artifact)
    outputs = [*map(file_format.load(good), reference.inputs)]
    assert parity.compare(reference, outputs, what=good.name).relative_linf < 1e-4

    content = good.read_bytes()
    weights = classifier_weights()
    for weight in sorted(weights, key=abs, reverse=True):
        pattern = np.float32(weight).tobytes()
        if content.count(pattern) == 1:
            break
    else:
        pytest.fail(f"no weight of the classifier stands once in {good.name}")
    flipped = np.float32(-weight).tobytes()  # the sign bit alone
    bad = tmp_path / good.name
    bad.write_bytes(content.replace(pattern, flipped))
    outputs = [*map(file_format.load(bad), reference.inputs)]
    with pytest.raises(ParityError, match="does not compute what the module computes"):
        parity.compare(reference, outputs, what=bad.name)


@pytest.mark.parametrize("name", list_formats())
def test_a_file_found_alone_says_what_it_is(built, name):
    identity = get_format(name).read_identity(built.path(built.artifact(name)))
    assert identity["name"] == "shufflenetv2"
    assert identity["variant"] == "ours"
    assert identity["dataset"] == "cifar100"
    assert identity["build_id"] == built.build_id
    assert identity["manifest"] == f"{built.stem}.json"
    assert [float(x) for x in identity["mean"].split(",")] == built.spec["input"]["mean"]
