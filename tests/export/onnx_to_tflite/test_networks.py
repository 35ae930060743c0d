"""Whole networks: the zoo's and strangers', one delegate each, as right as onnxruntime.

Untrained networks collapse to outputs that hardly depend on the input, so the batch norms'
statistics are taken from noise first, and outputs of different inputs must differ. The yardstick is
a float64 run of the module.
"""

from __future__ import annotations

import copy
import functools
import time

import numpy as np
import pytest
import torch

from export.formats._shortcuts import speed_up_onnx_export
from export.network.batch_norm import calibrate_batchnorm
from export.onnx_to_tflite import inspect
from pfd_models import list_models, list_variants

#: TRANSPOSEs that the mathematics needs: the attention of each EfficientFormerV2 downsampling
#: brings heads in front of positions for queries, keys and values, and back for the result.
ATTENTION_TRANSPOSES = 4


@functools.cache
def stranger_model(name):
    """A stranger and its ONNX form at 224, made once."""
    module = stranger(name).eval()
    calibrate_batchnorm(module, [(1, 3, 224, 224)], seed=0)
    return module, onnx_model(module, (1, 3, 224, 224))


def onnx_model(module, shape):
    import onnxsim

    with speed_up_onnx_export():
        program = torch.onnx.export(module, (torch.randn(shape),), dynamo=True, verbose=False)
    simplified, checked = onnxsim.simplify(program.model_proto)
    assert checked
    return simplified


def check_network(tools, module, model):
    """Convert a network; hold the file to a float64 run of the module, as onnxruntime is."""
    conversion = tools.convert(model)
    name = model.graph.input[0].name
    exact = copy.deepcopy(module).double()
    outputs, errors, floors = [], [], []
    for seed in range(3):
        feeds = tools.seeded(model, seed)
        with torch.no_grad():
            want = exact(torch.from_numpy(feeds[name]).double()).numpy()
        (theirs,) = tools.run_onnx(model, feeds).values()
        stored = {name: tools.stored(feeds[name], "nhwc")}
        (ours,) = tools.run_tflite(conversion.data, stored).values()
        errors.append(tools.relative_error(ours, want))
        floors.append(tools.relative_error(theirs, want))
        outputs.append(ours)
    # Float32 itself is up to 2e-5 away from the truth in these networks, in every runtime.
    assert max(errors) <= max(1e-5, 2 * max(floors)), (errors, floors)
    assert max(errors) <= 1e-4
    # A hundred times the tolerance: what is compared does depend on the input.
    assert tools.relative_error(outputs[0], outputs[1]) > 1e-3
    found = inspect(conversion.data)
    assert (found.delegates, found.leftovers) == (1, {})
    return found


def stranger(name):
    import torchvision

    if hasattr(torchvision.models, name):
        return getattr(torchvision.models, name)(num_classes=100)
    import timm

    return timm.create_model(name, num_classes=100)


@pytest.mark.parametrize(
    ("name", "transposes"),
    [
        ("shufflenet_v2_x1_0", 0),
        *[
            pytest.param(name, transposes, marks=pytest.mark.slow)
            for name, transposes in (
                ("mobilenet_v2", 0),
                ("mobilenet_v3_large", 0),
                ("mnasnet1_0", 0),
                ("efficientnet_b0", 0),
                ("ghostnet_100", 0),
                ("efficientformerv2_s0", 36),
                ("resnet18", 0),
                ("squeezenet1_1", 0),
                ("convnext_tiny", 0),
                ("regnet_y_400mf", 0),
                ("repvit_m0_9", 0),
                ("mobilenetv4_conv_small", 0),
                ("vgg11", 0),
            )
        ],
    ],
)
def test_strangers(tools, name, transposes):
    found = check_network(tools, *stranger_model(name))
    assert found.transposes == transposes


#: One network of each structure; the others differ in depth, width or counts only. GhostNet's and
#: ShuffleNetV2's own are converted in tests/export/formats and for the README; torchvision's above.
REPRESENTATIVE = {
    ("mobilenetv3_large", "ours"),
    ("parc_mobilenetv2", "ours"),
    ("resnet20", "ours"),
    ("shufflenetv2", "efv2"),
}


def zoo():
    cases = []
    for name in list_models():
        for variant in list_variants(name):
            mark = () if (name, variant) in REPRESENTATIVE else (pytest.mark.slow,)
            cases.append(pytest.param(name, variant, marks=mark))
    return cases


def test_the_representatives_are_in_the_zoo():
    assert {(case.values) for case in zoo() if not case.marks} == REPRESENTATIVE


@pytest.mark.parametrize(("name", "variant"), zoo())
def test_zoo(tools, name, variant):
    from pfd_models import create_model

    module, shape = create_model(name, variant, "cifar100").eval(), (1, 3, 32, 32)
    calibrate_batchnorm(module, [shape], seed=0)
    found = check_network(tools, module, onnx_model(module, shape))
    attentions = found.ops.get("SOFTMAX", 0)
    assert found.transposes == ATTENTION_TRANSPOSES * attentions
    assert (attentions > 0) == (variant == "efv2")


def test_converting_takes_well_under_a_second(tools):
    _, model = stranger_model("shufflenet_v2_x1_0")
    tools.convert(model)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        tools.convert(model)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5, seconds
    assert np.isfinite(seconds).all()
