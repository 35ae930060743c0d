"""The zoo computes what the paper's networks compute: the order of steps, which no count shows.

Each network is computed a second time by `seed_networks`, plain functions written from the
architecture tables, on the same weights in float64. A wrong order, tried on purpose, must differ.
"""

from __future__ import annotations

from functools import partial

import pytest
import seed_networks as seed
import torch

from pfd_models import create_model
from pfd_models.checkpoints import load_weights

VARIANTS = {
    "orig": {},
    "stem": {"stem": True},
    "down": {"down": True},
    "ours": {"stem": True, "down": True},
    "efv2": {"efv2": True},
}
FOUR = ("orig", "stem", "down", "ours")
# model: data sets with their variants, the function that computes it
NETWORKS = {
    "mobilenetv3_large": seed.mobilenetv3_set1,
    "mobilenetv3_large_bsconvs": seed.mobilenetv3_set1,
    "mobilenetv3_large_set2": seed.mobilenetv3_set2,
    "parc_mobilenetv2": seed.parc_mobilenetv2,
    "ghostnet": seed.ghostnet,
    "shufflenetv2": seed.shufflenetv2,
    "shufflenetv2_x0_5": partial(seed.shufflenetv2, widths=(48, 96, 192, 1024)),
    "resnet20": partial(seed.resnet, units=3),
    "resnet20_bsconvs_p1d6": partial(seed.resnet, units=3, blueprint="S", share=1 / 6),
    "resnet20_bsconvu": partial(seed.resnet, units=3, blueprint="U"),
    "resnet110_bsconvu": partial(seed.resnet, units=18, blueprint="U"),
    "wrn16_3": partial(seed.resnet, units=2, width=3, wide=True, dense_shortcut=True),
    "wrn40_3": partial(seed.resnet, units=6, width=3, wide=True, dense_shortcut=True),
    "wrn16_2_bsconvu": partial(seed.resnet, units=2, width=2, wide=True, blueprint="U"),
}
# Of the structure of another here: one variant by default, all with the slow tests.
REPEATING = {"resnet110_bsconvu", "wrn40_3", "mobilenetv3_large_bsconvs", "shufflenetv2_x0_5"}


def marks(model, variant):
    return [pytest.mark.slow] if model in REPEATING and variant != "ours" else []


CIFAR = [
    pytest.param(model, variant, marks=marks(model, variant))
    for model in NETWORKS
    for variant in VARIANTS
    if variant != "efv2" or model.startswith(("mobilenetv3_large_set2", "parc", "ghost", "shuffle"))
]
LARGE = [
    ("mobilenetv3_large", "ours", "stanford_dogs", 120, seed.mobilenetv3_set1),
    ("mobilenetv3_large", "ours", "imagenet", 1000, partial(seed.mobilenetv3_set1, full_head=True)),
    ("mobilenetv3_large_set2", "ours", "vegfru292", 292, seed.mobilenetv3_set2),
    ("parc_mobilenetv2", "ours", "vegfru292", 292, seed.parc_mobilenetv2),
    ("ghostnet", "ours", "vegfru292", 292, seed.ghostnet),
    ("shufflenetv2", "orig", "vegfru292", 292, seed.shufflenetv2),
    ("shufflenetv2", "ours", "vegfru292", 292, seed.shufflenetv2),
]
X32 = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
X224 = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def zoo_output(tmp_path, weights, x, model, variant, dataset="cifar100"):
    """Load weights in the reference's naming into the zoo's network and run it."""
    path = tmp_path / "reference.pth"
    torch.save(weights, path)
    network = create_model(model, variant, dataset).double().eval()
    assert load_weights(network, path).names == "reference"
    with torch.no_grad():
        return network(x)


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


@pytest.mark.parametrize(("model", "variant"), CIFAR)
def test_network_computes_what_the_architecture_tables_say(model, variant, tmp_path):
    net = seed.Net(**VARIANTS[variant])
    with torch.no_grad():
        expected = NETWORKS[model](net, X32)
    assert relative(expected[:1], expected[1:]) > 1e-3, "the output must depend on the image"
    actual = zoo_output(tmp_path, net.weights, X32, model, variant)
    assert actual.shape == (2, 100)
    assert relative(actual, expected) < 1e-11


@pytest.mark.parametrize(("model", "variant", "dataset", "classes", "compute"), LARGE)
def test_network_for_224_computes_what_the_tables_say(
    model, variant, dataset, classes, compute, tmp_path
):
    net = seed.Net(**VARIANTS[variant], small=False, classes=classes)
    with torch.no_grad():
        expected = compute(net, X224)
    assert (
        relative(zoo_output(tmp_path, net.weights, X224, model, variant, dataset), expected) < 1e-11
    )


# What the reference does, and a mistake that gives the same shapes and counts.
MISTAKES = [
    ("mobilenetv3_large", "add_at", "norm"),
    ("mobilenetv3_large", "add_at", "conv"),
    ("mobilenetv3_large", "stem_order", "pool first"),
    ("mobilenetv3_large", "stem_residual", True),
    ("mobilenetv3_large_set2", "add_at", "norm"),
    ("mobilenetv3_large_set2", "add_at", "conv"),
    ("mobilenetv3_large_set2", "squeeze", "before the sum"),
    ("mobilenetv3_large_set2", "stem_eps", 1e-3),
    ("mobilenetv3_large_set2", "stem_order", "pool first"),
    ("mobilenetv3_large_set2", "stem_residual", True),
    ("mobilenetv3_large_set2", "pool", 5),
    ("parc_mobilenetv2", "add_at", "norm"),
    ("parc_mobilenetv2", "add_at", "conv"),
    ("parc_mobilenetv2", "halves", "first along W"),
    ("parc_mobilenetv2", "stem_order", "pool first"),
    ("parc_mobilenetv2", "stem_residual", True),
    ("ghostnet", "add_at", "conv"),
    ("ghostnet", "pool", "3x3"),
    ("ghostnet", "shortcut_pool", "3x3"),
    ("ghostnet", "stem_order", "pool first"),
    ("ghostnet", "stem_residual", True),
    ("shufflenetv2", "add_at", "norm"),
    ("shufflenetv2", "stem_order", "pool first"),
    ("shufflenetv2", "stem_residual", True),
    ("resnet20", "add_at", "norm"),
    ("resnet20", "add_at", "conv"),
    ("resnet20", "stem_residual", False),
    ("wrn16_3", "add_at", "norm"),
    ("wrn16_3", "add_at", "conv"),
    ("wrn16_3", "shortcut_from", "raw"),
    ("wrn16_3", "stem_residual", False),
]


@pytest.mark.parametrize(("model", "question", "wrong"), MISTAKES)
def test_a_wrong_order_is_told_apart(model, question, wrong):
    right = seed.Net(**VARIANTS["ours"])
    with torch.no_grad():
        expected = NETWORKS[model](right, X32)
        names = set(right.weights)
        mistaken = seed.Net(right.weights, **VARIANTS["ours"], **{question: wrong})
        different = NETWORKS[model](mistaken, X32)
    assert question in right.asked
    assert set(right.weights) == names, "the mistake must leave the weights as they are"
    assert different.shape == expected.shape
    assert relative(different, expected) > 1e-5


def test_weights_in_another_block_are_told_apart(tmp_path):
    """The comparison itself can fail: two blocks of the same shape, exchanged."""
    net = seed.Net(**VARIANTS["ours"])
    with torch.no_grad():
        expected = seed.ghostnet(net, X32)
    one, two = "blocks.6.1.ghost2.primary_conv.0.weight", "blocks.6.2.ghost2.primary_conv.0.weight"
    net.weights[one], net.weights[two] = net.weights[two], net.weights[one]
    assert relative(zoo_output(tmp_path, net.weights, X32, "ghostnet", "ours"), expected) > 1e-3
