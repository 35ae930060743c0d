"""to_hybrid_stem and to_paper_recipe: what is computed, what is kept, what is refused."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from pfd_models import HybridStem, count_params, create_model, to_hybrid_stem, to_paper_recipe
from pfd_models.convert import to_padding_free
from pfd_models.errors import ConversionError

X = torch.randn(1, 3, 12, 14, generator=torch.Generator().manual_seed(2))


def stem(act=None, stride=2, **options):
    options = {"kernel_size": 3, "stride": stride, "padding": 1, "bias": False, **options}
    return nn.Sequential(nn.Conv2d(3, 4, **options), nn.BatchNorm2d(4), act or nn.ReLU())


def by_hand(model, converted, x, *, stride=1, act=F.relu):
    """Depthwise branch and pool of the first convolution, branch first, and 1x1 over both."""
    (block,) = [m for m in converted.modules() if isinstance(m, HybridStem)]
    first = model(x)
    branch = act(block.branch.bn(F.conv2d(first, block.branch.conv.weight, None, stride, 1, 1, 4)))
    pool = F.max_pool2d(first, 3, stride, 1)
    fused = F.conv2d(torch.cat([branch, pool], 1), block.fuse.conv.weight)
    return act(block.fuse.bn(fused))


@pytest.mark.parametrize("act", [nn.ReLU(inplace=True), nn.Hardswish(), nn.SiLU()])
@torch.no_grad()
def test_branches_follow_the_networks_own_first_convolution(act):
    model = stem(act).eval()
    twin = copy.deepcopy(model)
    converted = to_hybrid_stem(model, X)
    kind = {nn.ReLU: F.relu, nn.Hardswish: F.hardswish, nn.SiLU: F.silu}[type(act)]
    torch.testing.assert_close(converted.model(X), by_hand(twin, converted.model, X, act=kind))
    (site,) = converted.sites
    assert (site.name, site.output_before, site.output_after) == ("0", (1, 4, 6, 7), (1, 4, 6, 7))
    assert "hybrid stem" in str(site)
    assert "\n" not in str(site)


@torch.no_grad()
def test_a_max_pool_behind_the_stem_gives_its_stride_to_the_branches():
    model = nn.Sequential(stem(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 5, 1)).eval()
    converted = to_hybrid_stem(model, X)
    expected = model[2](by_hand(model[0], converted.model, X, stride=2))
    torch.testing.assert_close(converted.model(X), expected)
    assert not any(isinstance(m, nn.MaxPool2d) and m.padding == 1 and m.stride == 2
                   for m in converted.model.children())  # fmt: skip
    assert converted.sites[0].output_after == (1, 4, 3, 4)


def test_every_weight_and_mode_is_kept_and_the_original_untouched():
    model = nn.Sequential(stem(), nn.Conv2d(4, 4, 1)).train()
    before = copy.deepcopy(model.state_dict())
    converted = to_hybrid_stem(model, X).model
    after = converted.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert list(model.state_dict()) == list(before)
    assert all(m.training for m in converted.modules())
    assert type(model[0][2]) is nn.ReLU


@torch.no_grad()
def test_an_activation_inside_the_normalisation_is_found():
    model = timm.create_model("mobilenetv3_small_050").eval()
    converted = to_hybrid_stem(model, torch.zeros(1, 3, 64, 64)).model
    block = converted.bn1
    assert isinstance(block, HybridStem)
    assert [type(block.branch.act), type(block.fuse.act)] == [nn.Hardswish] * 2


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(504, 2)), "runs no nn.Conv2d"),
        (stem(kernel_size=7, padding=3), "0: a 7x7 s2 of 3 channels does not begin"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), "0: no normalisation alone follows"),
        (nn.Sequential(*stem()[:2], nn.Conv2d(4, 4, 1)), "no activation module alone follows"),
        (Functional(), "conv: no activation module alone follows.*make it a module"),
    ],
)
def test_a_network_that_begins_in_another_way_is_refused_in_one_line(model, line):
    with pytest.raises(ConversionError, match=line) as caught:
        to_hybrid_stem(model.eval(), X)
    assert "\n" not in str(caught.value)


def test_converting_twice_is_refused():
    once = to_hybrid_stem(stem().eval(), X).model
    with pytest.raises(ConversionError, match="has the hybrid stem already"):
        to_hybrid_stem(once, X)


def test_the_stem_s_own_branch_is_no_site_of_the_downsampling():
    model = nn.Sequential(stem(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1, groups=4))
    x = torch.zeros(1, 3, 32, 32)
    converted = to_padding_free(to_hybrid_stem(model.eval(), x).model, x)
    assert [site.name for site in converted.sites] == ["2"]


# ---- the whole recipe ----


def test_the_recipe_is_both_and_tells_what_it_left():
    body = nn.Conv2d(4, 4, 3, 2, 1, groups=4)
    both = to_paper_recipe(nn.Sequential(stem(), body).eval(), X)
    assert [site.name for site in both.sites] == ["0.0", "1"]
    assert both.left == ()
    down = to_paper_recipe(nn.Sequential(stem(kernel_size=5, padding=2), body).eval(), X)
    assert [site.name for site in down.sites] == ["1"]
    assert down.left[0].startswith("stem: 0.0: a 5x5")


@pytest.mark.parametrize(
    ("make", "model"),
    [
        (torchvision.models.shufflenet_v2_x1_0, "shufflenetv2"),
        (torchvision.models.shufflenet_v2_x0_5, "shufflenetv2_x0_5"),
        (torchvision.models.mobilenet_v3_large, "mobilenetv3_large_set2"),
        (lambda: timm.create_model("ghostnet_100"), "ghostnet"),
    ],
)
def test_the_recipe_gives_other_libraries_networks_the_size_of_the_zoo_s(make, model):
    converted = to_paper_recipe(make().eval(), torch.zeros(1, 3, 224, 224)).model
    assert count_params(converted) == count_params(create_model(model, "ours", "imagenet"))


@pytest.mark.parametrize(
    "name", ["mobilenetv2_050", "mobilenetv4_conv_small_050", "lcnet_035", "tinynet_e"]
)
def test_the_recipe_reaches_mobile_networks_of_timm(name):
    model = timm.create_model(name).eval()
    x = torch.zeros(1, 3, 96, 96)
    converted = to_paper_recipe(model, x)
    assert converted.left == ()
    assert "hybrid stem" in str(converted.sites[0])
    assert len(converted.sites) > 1
    with torch.no_grad():
        assert converted.model(x).shape == model(x).shape
