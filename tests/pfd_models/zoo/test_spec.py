"""Specifications: what they promise and how they cross into JSON."""

import dataclasses
import json

import pytest

from pfd_models import (
    DATASETS,
    InputSpec,
    ModelSpec,
    build_model,
    get_spec,
    list_models,
    list_variants,
)
from pfd_models.errors import SpecError

CASES = [(model, variant) for model in list_models() for variant in list_variants(model)]


def test_every_specification_survives_json():
    specs = [get_spec(model, variant) for model, variant in CASES]
    again = [ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) for spec in specs]
    assert again == specs
    assert len(set(specs)) == len(specs) == len(CASES)


def test_a_specification_says_what_goes_in():
    spec = get_spec("ghostnet", "ours", "vegfru292")
    assert spec.input.shape == (3, 224, 224)
    assert spec.resolution == 224
    assert spec.num_classes == 292
    assert spec.input.layout == "NCHW"
    assert spec.input.colour_order == "RGB"
    assert spec.input.value_range == (0, 1)
    assert spec.input.mean == (0.485, 0.456, 0.406)
    assert not spec.small_input
    assert "VegFru" in spec.source
    assert "1911.11907" in spec.source


def test_classes_and_resolution_override_the_data_set_but_not_the_strides():
    spec = get_spec("ghostnet", num_classes=5, resolution=64)
    assert (spec.num_classes, spec.resolution, spec.small_input) == (5, 64, True)


def test_only_imagenet_has_the_full_head():
    full = {
        name: get_spec("mobilenetv3_large", dataset=name).option("full_head") for name in DATASETS
    }
    assert full == {
        "cifar100": False,
        "stanford_dogs": False,
        "imagenet": True,
        "vegfru292": False,
    }


def test_a_specification_cannot_be_changed():
    spec = get_spec("resnet20")
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.num_classes = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.input.height = 3


def test_options_are_sorted_so_that_equality_does_not_depend_on_order():
    spec = get_spec("resnet20")
    shuffled = dataclasses.replace(spec, options=tuple(reversed(spec.options)))
    assert shuffled == spec


def test_an_unknown_option_names_the_known_ones():
    with pytest.raises(SpecError, match=r"unknown option 'widht' for resnet20: did you mean 'wid"):
        get_spec("resnet20").option("widht")


@pytest.mark.parametrize(("alias", "name"), [("dogs", "stanford_dogs"), ("ImageNet", "imagenet")])
def test_data_sets_have_aliases(alias, name):
    assert get_spec("ghostnet", dataset=alias) == get_spec("ghostnet", dataset=name)


def test_an_unknown_data_set_names_the_nearest():
    with pytest.raises(SpecError, match=r"unknown data set 'cifar10': did you mean 'cifar100'\?"):
        get_spec("ghostnet", dataset="cifar10")


def test_a_network_for_small_images_names_the_data_sets_it_has():
    with pytest.raises(SpecError, match="resnet20 is not defined for imagenet; use cifar100"):
        get_spec("resnet20", dataset="imagenet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 0}, "0 classes"),
        ({"resolution": 0}, "3x0x0 is empty"),
        ({"resolution": -32}, "3x-32x-32 is empty"),
    ],
)
def test_impossible_sizes_are_refused(change, message):
    with pytest.raises(SpecError, match=message):
        get_spec("ghostnet", **change)


def test_each_channel_needs_its_normalisation():
    with pytest.raises(SpecError, match="3 channels need as many means and deviations, got 1 and"):
        InputSpec(height=4, width=4, mean=(0.5,), std=(0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    "damage",
    [
        lambda plain: plain.pop("model"),
        lambda plain: plain.pop("input"),
        lambda plain: plain["input"].pop("height"),
        lambda plain: plain.update(colour="red"),
        lambda plain: plain.update(num_classes="many"),
        lambda plain: plain.update(input=3),
        lambda plain: plain.update(options=[1]),
    ],
)
def test_a_damaged_specification_is_refused_in_one_line(damage):
    plain = get_spec("resnet20").to_dict()
    damage(plain)
    with pytest.raises(SpecError, match="not a model specification") as error:
        ModelSpec.from_dict(plain)
    assert "\n" not in str(error.value)


def test_a_specification_of_an_unknown_network_cannot_be_built():
    with pytest.raises(SpecError, match="unknown model 'ghostnets'"):
        build_model(dataclasses.replace(get_spec("ghostnet"), model="ghostnets"))
