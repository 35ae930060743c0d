"""Some sites of anyone's network: how they are numbered, what is converted, what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pfd_models import HybridStem, PaddingFreeDownsample, list_module_sites, to_paper_recipe
from pfd_models.convert import to_padding_free
from pfd_models.errors import ConversionError, SpecError
from pfd_models.variant_names import parse_sites

X = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def halve(channels, kernel=3):
    return nn.Conv2d(channels, channels, kernel, 2, kernel // 2, groups=channels)


class Branches(nn.Module):
    """A stem, a unit of two branches that shrink together, and one more halving."""

    def __init__(self, last=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.last = halve(8, last)
        self.left = nn.Sequential(halve(4), nn.Conv2d(4, 4, 1))
        self.right = nn.Sequential(nn.Conv2d(4, 4, 1), halve(4))

    def forward(self, x):
        x = self.stem(x)
        return self.last(torch.cat([self.left(x), self.right(x)], dim=1))


def converted(model):
    return [name for name, m in model.named_modules() if isinstance(m, PaddingFreeDownsample)]


def test_branches_that_must_shrink_together_are_one_site():
    found = [(s.number, s.names, s.input_shape) for s in list_module_sites(Branches(), X)]
    assert found == [
        (1, ("left.0", "right.1"), (1, 4, 32, 32)),
        (2, ("last",), (1, 8, 16, 16)),
    ]


def test_only_the_chosen_sites_are_converted_and_the_others_told():
    conversion = to_padding_free(Branches(), X, sites={1})
    assert converted(conversion.model) == ["left.0", "right.1"]
    assert [site.name for site in conversion.sites] == ["left.0", "right.1"]
    assert conversion.left == ("last: site 2 is not chosen",)
    assert conversion.model(X).shape == (1, 8, 8, 8)
    assert to_padding_free(Branches(), X, sites={2}).model(X).shape == (1, 8, 7, 7)


def test_all_sites_chosen_are_the_conversion_without_a_choice():
    model = Branches()
    chosen, every = (to_padding_free(model, X, sites=sites) for sites in ({1, 2}, None))
    assert torch.equal(chosen.model(X), every.model(X))
    assert chosen.left == every.left == ()


def test_a_site_that_cannot_be_converted_does_not_hinder_another():
    model = Branches(last=4)
    with pytest.raises(ConversionError, match="last: a 4x4 kernel has no padding-free form"):
        to_padding_free(model, X)
    assert converted(to_padding_free(model, X, sites={1}).model) == ["left.0", "right.1"]


@pytest.mark.parametrize(
    ("sites", "stems", "blocks"),
    [
        (("stem",), 1, []),
        (("2",), 0, ["last"]),
        (("stem", "2"), 1, ["last"]),
        (None, 1, ["last", "left.0", "right.1"]),
    ],
)
def test_the_recipe_is_applied_where_it_is_asked_for(sites, stems, blocks):
    conversion = to_paper_recipe(Branches(), X, sites=sites)
    assert sum(isinstance(m, HybridStem) for m in conversion.model.modules()) == stems
    assert converted(conversion.model) == blocks


@pytest.mark.parametrize(
    ("sites", "line"),
    [
        ({3}, "Branches has no down-sampling site 3; its sites are 1 to 2"),
        ({0, 1}, "Branches has no down-sampling site 0; its sites are 1 to 2"),
        (set(), "no site is chosen; give the numbers of some, the first being 1"),
    ],
)
def test_a_site_that_does_not_exist_is_one_line(sites, line):
    with pytest.raises(ConversionError) as caught:
        to_padding_free(Branches(), X, sites=sites)
    assert str(caught.value) == line


def test_a_network_without_a_stride_2_depthwise_convolution_has_no_sites():
    with pytest.raises(ConversionError) as caught:
        list_module_sites(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1)), X)
    assert str(caught.value) == (
        "Sequential has no stride-2 depthwise convolution to rewrite; choose a network that "
        "downsamples with one"
    )


def test_a_stem_that_is_asked_for_and_has_no_hybrid_form_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 4, 5, 2, 2), halve(4))
    with pytest.raises(ConversionError, match="does not begin the hybrid stem"):
        to_paper_recipe(model, X, sites=("stem", "1"))


def test_sites_on_a_command_line_are_sorted_and_each_is_taken_once():
    assert parse_sites("3, stem,1,3") == ("stem", "1", "3")


@pytest.mark.parametrize("text", ["", "stem,", "0", "two", "-1"])
def test_what_is_no_site_on_a_command_line_is_refused(text):
    with pytest.raises(SpecError, match=r"is no site; write stem and the numbers"):
        parse_sites(text)
