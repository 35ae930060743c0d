"""A variant at some of a network's down-sampling sites: how it is spelled, what is built."""

import pytest
import torch

from pfd_models import PaddingFreeDownsample, create_model, get_spec, list_models, list_sites
from pfd_models.errors import SpecError
from pfd_models.variant_names import parse_variant, split_variants


def shapes_of(model):
    return [(name, tuple(p.shape)) for name, p in model.named_parameters()]


def blocks(model):
    return [n for n, m in model.named_modules() if isinstance(m, PaddingFreeDownsample)]


def test_sites_are_spelled_in_one_way():
    assert get_spec("shufflenetv2", "DOWN@3,2,3").variant == "down@2,3"
    assert parse_variant("down@2,3").file_word == "down-2-3"
    assert parse_variant("ours").file_word == "ours"


def test_a_list_of_variants_keeps_the_sites_of_each_together():
    assert split_variants("orig, down@2,3,ours@1") == ["orig", "down@2,3", "ours@1"]
    assert split_variants("orig,2") == ["orig", "2"]


@pytest.mark.parametrize("text", ["down@", "down@0", "down@2,,3", "down@x", "down@-1", "down@1.5"])
def test_what_is_no_number_of_a_site_is_refused(text):
    with pytest.raises(SpecError, match=r"is no site; write the numbers .* as down@2,3$"):
        get_spec("shufflenetv2", text)


def test_only_the_chosen_sites_are_padding_free():
    with torch.device("meta"):
        model = create_model("shufflenetv2", "down@2,3")
    assert blocks(model) == [
        f"stages.{stage}.0.{branch}" for stage in (1, 2) for branch in ("branch1.0", "branch2.1")
    ]


def test_a_family_that_asks_for_the_side_first_numbers_its_sites_as_the_others():
    with torch.device("meta"):
        model = create_model("resnet20", "down@2")
    assert blocks(model) == ["stages.2.0.conv1"]


@pytest.mark.parametrize("model", list_models())
def test_all_sites_are_the_variant_and_each_alone_runs(model):
    dataset = "cifar100"
    with torch.device("meta"):
        sites = list_sites(model, dataset)
        every = ",".join(str(site.number) for site in sites)
        whole = create_model(model, f"down@{every}", dataset)
        down = create_model(model, "down", dataset)
        assert shapes_of(whole) == shapes_of(down)
        assert str(whole) == str(down)
        image = torch.zeros(1, 3, 32, 32)
        for site in sites:
            one = create_model(model, f"down@{site.number}", dataset).eval()
            assert one(image).shape == (1, 100)
            assert str(one) != str(down)


def test_the_stem_is_that_of_the_variant_named():
    with torch.device("meta"):
        plain, hybrid = (create_model("ghostnet", f"{v}@1") for v in ("down", "ours"))
    assert blocks(plain) == blocks(hybrid)
    assert "HybridStem" in str(hybrid)
    assert "HybridStem" not in str(plain)


def test_sites_are_listed_with_their_maps():
    assert [(s.number, s.stage, s.side, s.side_after) for s in list_sites("shufflenetv2")] == [
        (1, "stage 2", 32, 16),
        (2, "stage 3", 16, 8),
        (3, "stage 4", 8, 4),
    ]
    assert [s.side for s in list_sites("mobilenetv3_large", "imagenet")] == [112, 56, 28, 14]


def test_a_site_that_does_not_exist_is_one_line():
    with pytest.raises(SpecError) as caught:
        get_spec("shufflenetv2", "down@2,7")
    assert str(caught.value) == (
        "shufflenetv2 has no down-sampling site 7 at these strides; its sites are 1 to 3"
    )


@pytest.mark.parametrize("variant", ["orig@1", "stem@1"])
def test_a_variant_that_halves_as_orig_has_no_sites_to_choose(variant):
    with pytest.raises(SpecError, match=r"use down@2,3, or ours@2,3"):
        get_spec("shufflenetv2", variant)


def test_a_variant_with_sites_that_is_unknown_is_told_by_its_whole_name():
    with pytest.raises(SpecError, match="unknown variant 'dwon@2' for shufflenetv2"):
        get_spec("shufflenetv2", "dwon@2")


def test_another_mechanism_takes_sites_too():
    with torch.device("meta"):
        model = create_model("shufflenetv2", "efv2@3")
    assert str(model).count("EmbeddingDownsample") == 1
    with pytest.raises(SpecError, match="which the paper does in its second set"):
        get_spec("resnet20", "efv2@1")


def test_the_least_resolution_is_that_of_the_chosen_sites():
    with pytest.raises(SpecError, match=r"shufflenetv2/down@3: .* a resolution of at least 9"):
        get_spec("shufflenetv2", "down@3", resolution=8)
