"""Variants: which exist, what they put where, and what they refuse."""

import dataclasses

import pytest
import torch
from torch import nn

from pfd_models import (
    EmbeddingDownsample,
    HybridStem,
    PaddingFreeDownsample,
    create_model,
    get_spec,
    list_models,
    list_variants,
    variants,
)
from pfd_models.errors import SpecError
from pfd_models.variants import FeatureMapError, Variant, load_variants
from pfd_models.variants.paper import Padded, PaddingFree
from pfd_models.zoo.registry import get_architecture

FOUR = ("orig", "stem", "down", "ours")
REPLACEABLE = [m for m in list_models() if get_architecture(m).replaceable_blocks]


def parts(model, kind):
    return [name for name, module in model.named_modules() if isinstance(module, kind)]


def test_the_papers_variants_come_first():
    assert list_variants() == (*FOUR, "efv2")


def test_every_model_has_the_papers_four_and_the_second_set_also_efv2():
    have = {model: list_variants(model) for model in list_models()}
    assert {m for m, v in have.items() if v == (*FOUR, "efv2")} == set(REPLACEABLE)
    assert {m for m, v in have.items() if v == FOUR} == set(list_models()) - set(REPLACEABLE)
    assert {"ghostnet", "mobilenetv3_large_set2", "parc_mobilenetv2", "shufflenetv2"} <= set(
        REPLACEABLE
    )


@pytest.mark.parametrize("model", list_models())
def test_the_four_are_two_stems_times_two_downsamplings(model):
    with torch.device("meta"):
        networks = {variant: create_model(model, variant) for variant in FOUR}
    found = {
        variant: (len(parts(network, HybridStem)), bool(parts(network, PaddingFreeDownsample)))
        for variant, network in networks.items()
    }
    assert found == {
        "orig": (0, False),
        "stem": (1, False),
        "down": (0, True),
        "ours": (1, True),
    }


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        ("mobilenetv3_large", 3),
        ("mobilenetv3_large_set2", 3),
        ("parc_mobilenetv2", 3),
        ("ghostnet", 3),
        ("shufflenetv2", 6),
        ("resnet20", 2),
        ("wrn40_3", 4),
        ("wrn40_8_bsconvu", 2),
    ],
)
def test_every_stride_2_step_is_replaced(model, steps):
    network = create_model(model, "down")
    assert len(parts(network, PaddingFreeDownsample)) == steps
    padded = [
        name
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d)
        and m.stride == (2, 2)
        and m.padding[0] > (m.kernel_size[0] - 3) // 2
    ]
    assert padded == []


@pytest.mark.parametrize("model", REPLACEABLE)
def test_efv2_replaces_whole_blocks_and_attends_where_the_paper_does(model):
    network = create_model(model, "efv2")
    blocks = [m for m in network.modules() if isinstance(m, EmbeddingDownsample)]
    attend = [block.attention is not None for block in blocks]
    shuffles = model.startswith("shufflenetv2")
    assert attend == ([False, False, True] if shuffles else [False, True, True])
    assert parts(network, HybridStem) == []


def test_efv2_takes_the_networks_own_normalisation_outside_the_attention():
    block = next(
        m
        for m in create_model("mobilenetv3_large_set2", "efv2").modules()
        if isinstance(m, EmbeddingDownsample) and m.attention is not None
    )
    inside = {m.eps for m in block.attention.modules() if isinstance(m, nn.BatchNorm2d)}
    assert block.embed.bn.eps == 1e-3
    assert inside == {1e-5}


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("downsample", [Padded(), PaddingFree()])
def test_the_announced_side_is_the_real_one(downsample, kernel):
    for side in range(3, 40):
        conv = downsample.conv(
            lambda padding: nn.Conv2d(1, 1, kernel, stride=2, padding=padding),
            kernel=kernel,
            pool=kernel,
        )
        assert conv(torch.zeros(1, 1, side, side)).shape[2] == downsample.side(side, stage="x")


def test_a_map_that_is_too_small_is_named():
    assert Padded().side(1, stage="stage 4") == 1
    with pytest.raises(FeatureMapError, match="stage 4 gets a 2x2 map and needs at least 3x3"):
        PaddingFree().side(2, stage="stage 4")


def test_a_shortcut_has_the_form_whose_size_fits():
    forms = {"padded": nn.Identity, "unpadded": nn.Flatten}
    assert type(Padded().shortcut(**forms)) is nn.Identity
    assert type(PaddingFree().shortcut(**forms)) is nn.Flatten


def test_a_convolution_without_pool_only_loses_its_padding():
    made = PaddingFree().conv(
        lambda padding: nn.Conv2d(1, 1, 5, stride=2, padding=padding), kernel=5, pool=None
    )
    assert type(made) is nn.Conv2d
    assert made.padding == (1, 1)


@pytest.mark.parametrize(
    ("model", "dataset", "message"),
    [
        ("mobilenetv3_large", "cifar100", "use mobilenetv3_large_set2$"),
        ("mobilenetv3_large_bsconvs", "cifar100", "use mobilenetv3_large_set2$"),
        ("resnet20", "cifar100", "it has orig, stem, down, ours$"),
        ("ghostnet", "imagenet", "defined for the strides of small images, as cifar100, not imag"),
        ("mobilenetv3_large", "imagenet", "it has orig, stem, down, ours$"),
    ],
)
def test_a_refused_variant_says_why_and_what_to_do(model, dataset, message):
    for refuse in (get_spec, create_model):
        with pytest.raises(SpecError, match=message) as error:
            refuse(model, "efv2", dataset)
        assert "\n" not in str(error.value)
        assert str(error.value).startswith(f"{model} has no variant 'efv2' for {dataset}: ")


def test_an_unknown_variant_names_the_models_own():
    with pytest.raises(SpecError) as error:
        get_spec("resnet20", "our")
    assert str(error.value) == (
        "unknown variant 'our' for resnet20: did you mean 'ours' or 'orig'? "
        "(orig, stem, down, ours)"
    )


def test_a_variants_name_does_not_depend_on_case():
    assert get_spec("resnet20", "Ours") == get_spec("resnet20", "ours")


def test_two_files_cannot_define_one_variant(tmp_path, monkeypatch):
    before = load_variants()
    (tmp_path / "mine.py").write_text(
        "from pfd_models.variants.paper import VARIANTS\nVARIANT = VARIANTS[0]\n"
    )
    monkeypatch.setattr(variants, "__path__", [*variants.__path__, str(tmp_path)])
    assert load_variants() == before
    with pytest.raises(SpecError, match=r"mine\.py: a variant 'orig' is defined already"):
        list_variants()


def test_a_variant_is_immutable():
    variant = load_variants()["ours"]
    assert isinstance(variant, Variant)
    with pytest.raises(dataclasses.FrozenInstanceError):
        variant.name = "theirs"
