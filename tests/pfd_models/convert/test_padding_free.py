"""to_padding_free on small hand-made modules: what is computed, what is kept, what is refused."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pfd_models.convert import to_padding_free
from pfd_models.errors import ConversionError


def depthwise(channels=4, kernel=3, stride=2, padding=None, **options):
    padding = kernel // 2 if padding is None else padding
    return nn.Conv2d(
        channels, channels, kernel, stride, padding, groups=channels, bias=False, **options
    )


def randomised(model):
    """Give every normalisation statistics and weights that are not the identity."""
    generator = torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.uniform_(0.5, 2, generator=generator)
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.copy_(torch.randn(module.num_features, generator=generator))
    return model.eval()


def normalised(bn, x):
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)


def image(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def conv_bn_act(act=None):
    return nn.Sequential(depthwise(), nn.BatchNorm2d(4), act or nn.ReLU6(inplace=True))


class Attributes(nn.Module):
    """The same chain with attributes, registered in another order than it is run in."""

    def __init__(self, act):
        super().__init__()
        self.act = act
        self.norm = nn.BatchNorm2d(4)
        self.point = nn.Conv2d(4, 6, 1)
        self.conv = depthwise()

    def forward(self, x):
        return self.point(self.act(self.norm(self.conv(x))))


class HomeMadeSwish(nn.Module):
    def forward(self, x):
        return x * F.relu6(x + 3.0) / 6.0


def test_pool_is_added_after_the_activation_of_a_sequential_chain():
    model = randomised(conv_bn_act())
    x = 10 * image(2, 4, 9, 10)
    conv, bn, _ = model
    expected = F.relu6(normalised(bn, F.conv2d(x, conv.weight, stride=2, groups=4)))
    expected = expected + F.max_pool2d(x, 3, 2)
    (site,), result = (c := to_padding_free(model, x)).sites, c.model(x)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
    assert result.max() > 6, "the sum must not be clipped by the activation"
    assert site.name == "0"
    assert (site.output_before, site.output_after) == ((2, 4, 5, 5), (2, 4, 4, 4))
    assert "after the activation" in str(site)
    assert "\n" not in str(site)


@pytest.mark.parametrize("act", [nn.Hardswish(), nn.SiLU(), HomeMadeSwish(), nn.PReLU()])
def test_chain_is_recognised_among_attributes_by_execution(act):
    model = randomised(Attributes(act))
    x = image(1, 4, 8, 8)
    raw = F.conv2d(x, model.conv.weight, stride=2, groups=4)
    expected = model.point(act(normalised(model.norm, raw)) + F.max_pool2d(x, 3, 2))
    torch.testing.assert_close(to_padding_free(model, x).model(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("position", ["norm", "conv"])
def test_position_can_be_chosen(position):
    model = randomised(conv_bn_act())
    x = image(1, 4, 9, 9)
    conv, bn, _ = model
    raw, pooled = F.conv2d(x, conv.weight, stride=2, groups=4), F.max_pool2d(x, 3, 2)
    expected = {
        "conv": F.relu6(normalised(bn, raw + pooled)),
        "norm": F.relu6(normalised(bn, raw) + pooled),
    }
    result = to_padding_free(model, x, add_after=position).model(x)
    torch.testing.assert_close(result, expected[position], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(result, expected["conv" if position == "norm" else "norm"])


def test_without_activation_the_pool_is_added_to_the_raw_convolution():
    model = randomised(nn.Sequential(depthwise(), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1)))
    x = image(1, 4, 9, 9)
    raw = F.conv2d(x, model[0].weight, stride=2, groups=4) + F.max_pool2d(x, 3, 2)
    expected = model[2](normalised(model[1], raw))
    converted = to_padding_free(model, x)
    torch.testing.assert_close(converted.model(x), expected, rtol=1e-6, atol=1e-6)
    assert "after the convolution" in str(converted.sites[0])


@pytest.mark.parametrize(
    "spoiler", [nn.ChannelShuffle(2), nn.Dropout(), nn.Identity(), nn.LPPool2d(1, 1)]
)
def test_what_is_no_activation_is_not_taken_for_one(spoiler):
    model = randomised(nn.Sequential(depthwise(), nn.BatchNorm2d(4), spoiler, nn.ReLU()))
    assert "after the convolution" in str(to_padding_free(model, image(1, 4, 9, 9)).sites[0])


class SecondReader(nn.Module):
    """The convolution's raw output is also used elsewhere, so nothing may be moved into it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act = depthwise(), nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, x):
        raw = self.conv(x)
        return self.act(self.norm(raw)) + raw


def test_an_output_with_a_second_reader_keeps_its_chain_apart():
    model = randomised(SecondReader())
    x = image(1, 4, 9, 9)
    raw = F.conv2d(x, model.conv.weight, stride=2, groups=4) + F.max_pool2d(x, 3, 2)
    expected = F.relu(normalised(model.norm, raw)) + raw
    torch.testing.assert_close(to_padding_free(model, x).model(x), expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    kernel=st.sampled_from([3, 5, 7, 9]),
    height=st.integers(3, 40),
    width=st.integers(3, 40),
)
def test_every_odd_kernel_lands_on_the_size_of_an_unpadded_3x3(kernel, height, width):
    x = image(1, 4, height, width)
    converted = to_padding_free(depthwise(kernel=kernel), x)
    assert converted.model(x).shape[-2:] == ((height - 3) // 2 + 1, (width - 3) // 2 + 1)
    assert converted.sites[0].output_after == tuple(converted.model(x).shape)


def test_the_original_is_untouched_and_the_copy_keeps_weights_and_modes():
    model = nn.Sequential(conv_bn_act(), conv_bn_act(nn.ReLU(inplace=True)))
    model[0].train()
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    x = image(2, 4, 16, 16)
    converted = to_padding_free(model, x).model
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert model[0][0].padding == (1, 1)
    assert model[0].training
    assert not model[1].training
    assert converted[0].training
    assert all(m.training for m in converted[0].modules())
    assert not any(m.training for m in converted[1].modules())
    assert converted[1][0].body[2].inplace
    kept = sorted(float(p.detach().sum()) for p in model.parameters())
    assert sorted(float(p.detach().sum()) for p in converted.parameters()) == kept
    statistics = converted[0][0].body[1]
    assert int(statistics.num_batches_tracked) == 0, "the trial runs must not move statistics"


def test_a_model_that_is_one_convolution_becomes_one_block():
    conv = depthwise(kernel=5)
    x = image(1, 4, 8, 8)
    expected = F.conv2d(x, conv.weight, stride=2, padding=1, groups=4) + F.max_pool2d(x, 3, 2)
    torch.testing.assert_close(to_padding_free(conv, x).model(x), expected)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = depthwise()
        self.alias = self.first
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.alias(self.first(x)))


def test_a_convolution_used_twice_is_rewritten_at_both_uses():
    model = randomised(Twice())
    x = image(1, 4, 21, 21)
    converted = to_padding_free(model, x)
    assert len(converted.sites) == 1
    assert converted.model.first is converted.model.alias
    y = x
    for _ in range(2):
        y = F.conv2d(y, model.first.weight, stride=2, groups=4) + F.max_pool2d(y, 3, 2)
    torch.testing.assert_close(converted.model(x), normalised(model.norm, y), rtol=1e-5, atol=1e-6)


def test_converting_twice_finds_nothing_the_second_time():
    x = image(1, 4, 16, 16)
    once = to_padding_free(conv_bn_act(), x).model
    with pytest.raises(ConversionError, match="besides the 1 that are padding-free already"):
        to_padding_free(once, x)


class Parts(nn.Module):
    """A second site that the forward pass never reaches."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = depthwise(), depthwise()

    def forward(self, x):
        return self.used(x)


def test_a_site_that_is_not_run_is_left_and_named():
    converted = to_padding_free(Parts(), image(1, 4, 8, 8))
    assert [site.name for site in converted.sites] == ["used"]
    assert converted.left == ("unused: the example input does not reach it",)


class Residual(nn.Module):
    """A site with a branch beside it."""

    def __init__(self, shortcut):
        super().__init__()
        self.body, self.shortcut = conv_bn_act(), shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def test_a_branch_of_another_size_is_refused_with_site_and_sizes():
    with pytest.raises(ConversionError) as caught:
        to_padding_free(Residual(nn.AvgPool2d(2)), image(1, 4, 16, 16))
    line = str(caught.value)
    assert "\n" not in line
    for part in ("1x4x7x7 (from site body.0)", "1x4x8x8", "add"):
        assert part in line


def test_a_sum_that_only_broadcasting_would_save_is_refused():
    # 4x4 -> 2x2 beside 2x2 in the original; 4x4 -> 1x1 beside 2x2 would add without an error.
    with pytest.raises(ConversionError, match=r"1x4x1x1 \(from site body\.0\).*1x4x2x2"):
        to_padding_free(Residual(nn.AvgPool2d(2)), image(1, 4, 4, 4))


class Excited(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pool = depthwise(), nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.conv(x)
        return x * self.pool(x)


def test_a_broadcast_that_the_original_had_is_allowed():
    assert to_padding_free(Excited(), image(1, 4, 16, 16)).model(image(1, 4, 16, 16)).shape[-1] == 7


def test_two_sites_that_meet_agree():
    model = Residual(depthwise(kernel=5))
    x = image(1, 4, 16, 16)
    converted = to_padding_free(model, x)
    assert {site.name for site in converted.sites} == {"body.0", "shortcut"}
    assert converted.model(x).shape == (1, 4, 7, 7)


class BorrowsWeight(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = depthwise()

    def forward(self, x):
        return self.conv(x) * self.conv.weight.sum()


class Reflecting(nn.Conv2d):
    """A convolution that pads by itself and does not say so."""

    def forward(self, x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, stride=2, groups=self.groups)


@pytest.mark.parametrize(
    ("model", "side", "message"),
    [
        (nn.Conv2d(4, 8, 3, 2, 1), 16, "no stride-2 depthwise convolution to rewrite"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, (2, 1), 1, groups=4)), 16, "no stride-2 depthwise"),
        (nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, groups=4)), 16, "0: 4 pooled channels.* to 8"),
        (nn.Sequential(depthwise(kernel=4, padding=1)), 16, "0: a 4x4 kernel"),
        (nn.Sequential(nn.Conv2d(4, 4, (3, 5), 2, 1, groups=4)), 16, "0: a 3x5 kernel"),
        (nn.Sequential(depthwise(dilation=2)), 16, r"0: dilation \(2, 2\)"),
        (nn.Sequential(conv_bn_act(), conv_bn_act()), 4, r"1\.0: the map that reaches it, 1x4x1x1"),
        (BorrowsWeight(), 16, "does not run once rewritten: AttributeError"),
        (nn.Sequential(nn.ZeroPad2d(1), depthwise(padding=0)), 16, "1: it has no outer padding"),
        (nn.Sequential(Reflecting(4, 4, 3, 2, 1, groups=4)), 16, "pads by itself"),
        (nn.Sequential(nn.Conv2d(3, 8, 3), depthwise()), 16, "shapes cannot agree in 0: conv2d"),
        (
            nn.Sequential(depthwise(), nn.Flatten(), nn.Linear(4 * 8 * 8, 10)),
            16,
            r"1x196 \(from site 0\)",
        ),
    ],
)
def test_refusals_are_one_line_that_names_the_site(model, side, message):
    with pytest.raises(ConversionError, match=message) as caught:
        to_padding_free(model, image(1, 4, side, side))
    assert "\n" not in str(caught.value)


def test_unknown_position_names_the_known_ones():
    with pytest.raises(ConversionError, match=r"did you mean 'activation'"):
        to_padding_free(conv_bn_act(), image(1, 4, 8, 8), add_after="activations")


def test_reflecting_padding_of_a_5x5_follows_its_new_size():
    conv = depthwise(kernel=5, padding_mode="reflect")
    x = image(1, 4, 9, 9)
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    expected = F.conv2d(padded, conv.weight, stride=2, groups=4) + F.max_pool2d(x, 3, 2)
    torch.testing.assert_close(to_padding_free(conv, x).model(x), expected)
