"""Both conversions on networks that nobody tuned them for."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from pfd_models import create_model
from pfd_models.convert import to_bsconv, to_padding_free
from pfd_models.errors import ConversionError

TORCHVISION = {
    "mobilenet_v2": (4, "activation"),
    "mobilenet_v3_large": (4, "activation"),
    "mobilenet_v3_small": (4, "activation"),
    "shufflenet_v2_x1_0": (6, "convolution"),
    "mnasnet1_0": (4, "activation"),
    "efficientnet_b0": (4, "activation"),
}
TIMM = {
    "mobilenetv3_large_100": (4, "activation"),
    "mobilenetv2_100": (4, "activation"),
    "ghostnet_100": (8, "convolution"),
    "efficientnet_lite0": (4, "activation"),
    "tf_mobilenetv3_large_100": (4, "activation"),
    "tf_efficientnet_lite0": (4, "activation"),
    "mobilenetv4_conv_small": (2, "activation"),
    "lcnet_100": (4, "activation"),
    "repvit_m1": (3, "convolution"),
}
REFUSED = {
    "mobileone_s0": r"stages\.0\.0: add of .* \(from site stages\.0\.0\.conv_kxk\.0\.conv\)",
    "fastvit_t8": "48 pooled channels cannot be added to 96",
    "efficientformerv2_s0": "reshape of",
    "convnext_femto": "ConvNeXt has no stride-2 depthwise convolution",
    "resnet18": "ResNet has no stride-2 depthwise convolution",
}
X = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def build(name):
    torch.manual_seed(0)
    if name in TORCHVISION:
        return torchvision.models.get_model(name, weights=None).eval()
    return timm.create_model(name, pretrained=False).eval()


@pytest.mark.parametrize("name", [*TORCHVISION, *TIMM])
def test_every_stride_2_depthwise_convolution_becomes_a_site(name):
    model = build(name)
    count, position = {**TORCHVISION, **TIMM}[name]
    converted = to_padding_free(model, X)
    found = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    found = [n for n in found if model.get_submodule(n).stride == (2, 2)]
    found = [n for n in found if model.get_submodule(n).groups > 1]
    assert sorted(site.name for site in converted.sites) == sorted(found)
    assert len(found) == count
    assert {position} == {site.after.rsplit("after the ", 1)[1] for site in converted.sites}
    for site in converted.sites:
        assert all(
            after == (before - 3) // 2 + 1
            for before, after in zip(site.input_after[2:], site.output_after[2:], strict=True)
        )
    assert sum(p.numel() for p in converted.model.parameters()) == sum(
        p.numel() for p in model.parameters()
    )
    with torch.no_grad():
        before, after = model(X), converted.model(X)
    assert before.shape == after.shape
    assert not torch.equal(before, after)


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_rewritten_is_refused_in_one_line(name):
    with pytest.raises(ConversionError, match=REFUSED[name]) as caught:
        to_padding_free(build(name), X)
    assert "\n" not in str(caught.value)


def test_merged_branches_can_be_rewritten():
    from timm.utils.model import reparameterize_model

    assert to_padding_free(reparameterize_model(build("mobileone_s0")), X).sites


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", "tf_efficientnet_lite0", "shufflenet_v2_x1_0"]
)
def test_a_rewritten_network_exports_and_computes_the_same(name):
    model = to_padding_free(build(name), X).model
    program = torch.export.export(model, (X,))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(X), model(X))


def test_a_rewritten_network_trains():
    model = to_padding_free(build("mobilenet_v2").train(), X).model
    model(torch.cat([X, -X])).square().mean().backward()
    assert model.training
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("kind", ["U", "S"])
def test_dense_convolutions_of_a_resnet_become_blueprints(kind):
    model = timm.create_model("resnet18", pretrained=False).eval()
    dense = {
        n: m
        for n, m in model.named_modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
    }
    converted = to_bsconv(model, kind, example_input=X)
    assert [site.name for site in converted.sites] == list(dense)
    # Counted by hand from the definition: 1x1 and 3x3 depthwise, or two 1x1 with BN and 3x3.
    gained = 0
    for conv in dense.values():
        cin, cout = conv.in_channels, conv.out_channels
        gained -= 9 * cin * cout
        middle = -(-cin // 4)
        gained += 9 * cout + (
            cin * cout if kind == "U" else middle * (cin + cout) + 2 * (middle + cout)
        )
    params = [sum(p.numel() for p in m.parameters()) for m in (model, converted.model)]
    assert params[1] - params[0] == gained
    with torch.no_grad():
        assert converted.model(X).shape == (1, 1000)
    for site in converted.sites:
        assert site.output_before == site.output_after


def test_bsconv_takes_the_stem_and_leaves_1x1_and_grouped_convolutions():
    model = torchvision.models.mobilenet_v3_small(weights=None)
    converted = to_bsconv(model, "U")
    assert [site.name for site in converted.sites] == ["features.0.0"]
    stem = converted.model.features[0][0]
    assert [tuple(c.weight.shape) for c in stem] == [(16, 3, 1, 1), (16, 1, 3, 3)]
    assert stem[1].stride == (2, 2)


def test_bsconv_leaves_what_is_no_plain_convolution_and_says_so():
    with pytest.raises(ConversionError, match="conv_stem: a Conv2dSame is not a plain"):
        to_bsconv(timm.create_model("tf_mobilenetv3_small_075", pretrained=False), "U")


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3)), "u", "unknown BSConv kind 'u'.*(U, S)"),
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8)), "U", "no dense 3x3 or"),
    ],
)
def test_bsconv_refusals(model, kind, message):
    with pytest.raises(ConversionError, match=message):
        to_bsconv(model, kind)


def test_bsconv_carries_stride_padding_dilation_and_bias():
    conv = nn.Conv2d(3, 8, 5, stride=2, padding=4, dilation=2, bias=True, padding_mode="reflect")
    block = to_bsconv(conv, "U").model
    x = torch.randn(2, 3, 20, 21)
    assert block(x).shape == conv(x).shape
    depthwise = block[-1]
    assert (depthwise.stride, depthwise.padding, depthwise.dilation) == ((2, 2), (4, 4), (2, 2))
    assert depthwise.bias is not None
    assert depthwise.padding_mode == "reflect"


def test_bsconv_keeps_the_original():
    conv = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    weight = conv[0].weight.clone()
    to_bsconv(conv, "S")
    assert torch.equal(conv[0].weight, weight)


# The zoo's own networks


def twins(name, one, other):
    """Two variants with the same weights: their state dicts agree but for names."""
    first, second = (create_model(name, variant).eval() for variant in (one, other))
    for module in first.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.normal_(module.bias, std=0.3)
    values = first.state_dict().values()
    second.load_state_dict(dict(zip(second.state_dict(), values, strict=True)))
    return first, second


@pytest.mark.parametrize(
    "name", ["mobilenetv3_large", "mobilenetv3_large_set2", "shufflenetv2", "shufflenetv2_x0_5"]
)
def test_converting_the_original_gives_the_zoo_s_padding_free_network(name):
    torch.manual_seed(0)
    original, padding_free = twins(name, "orig", "down")
    x = torch.randn(2, 3, 32, 32)
    converted = to_padding_free(original, x)
    with torch.no_grad():
        assert torch.equal(converted.model(x), padding_free(x))
        assert not torch.equal(original(x), padding_free(x))
    assert original.spec.variant == "orig"
    assert not hasattr(converted.model, "spec"), "it is not the network that its spec describes"


@pytest.mark.parametrize("name", ["mobilenetv3_large", "shufflenetv2", "ghostnet"])
def test_the_zoo_s_padding_free_networks_have_nothing_left_to_rewrite(name):
    with pytest.raises(ConversionError, match="padding-free already"):
        to_padding_free(create_model(name, "ours").eval(), torch.zeros(1, 3, 32, 32))


def test_circular_kernels_as_long_as_the_map_cannot_follow():
    with pytest.raises(
        ConversionError, match=r"columns does not run once rewritten: .*length 8 got a map of 7x7"
    ):
        to_padding_free(create_model("parc_mobilenetv2", "orig"), torch.zeros(1, 3, 32, 32))


def test_blueprints_of_a_resnet_are_the_zoo_s():
    plain, zoo = create_model("resnet20", "orig"), create_model("resnet20_bsconvu", "orig")
    converted = to_bsconv(plain, "U").model
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (converted, zoo)]
    assert shapes[0] == shapes[1]
