"""Architecture strings of the reference repository, and other spellings of a name."""

import pytest

from pfd_models import create_model, get_spec, list_models
from pfd_models.errors import SpecError
from pfd_models.zoo.legacy_names import LegacyName, translate


@pytest.mark.parametrize(
    ("string", "name"),
    [
        ("cifar_mobilenetv3_large_w1", "mobilenetv3_large"),
        ("cifar_mobilenetv3_large_w1_bsconvs_p1d6", "mobilenetv3_large_bsconvs"),
        ("CIFAR_MobileNetV3_Large_w1", "mobilenetv3_large"),
        ("cifar_mobilenetv3_large_w2d2", "mobilenetv3_large"),
        ("cifar_mobilenetv3_large_w3d4", "mobilenetv3_large_x0.75"),
        ("cifar_mobilenetv3_large_w6d8", "mobilenetv3_large_x3d4"),
        ("cifar_mobilenetv3_large_w2_bsconvs_p1d6", "mobilenetv3_large_x2_bsconvs"),
        ("cifar_resnet20", "resnet20"),
        ("cifar_resnet56", "resnet56"),
        ("cifar_resnet110_bsconvu", "resnet110_bsconvu"),
        ("cifar_resnet302_bsconvs_p1d4", "resnet302_bsconvs_p1d4"),
        ("cifar_wrn40_3", "wrn40_3"),
        ("cifar_wrn40_8_bsconvu", "wrn40_8_bsconvu"),
        ("cifar_wrn16_10_bsconvs_p1d2", "wrn16_10_bsconvs_p1d2"),
    ],
)
def test_strings_for_small_images_mean_the_zoos_networks(string, name):
    assert get_spec(string, "orig") == get_spec(name, "orig")


@pytest.mark.parametrize("suffix", ["", "_bsconvs_p1d6"])
def test_strings_without_cifar_mean_the_strides_for_large_images(suffix):
    zoo = "mobilenetv3_large" + suffix.removesuffix("_p1d6")
    string = "mobilenetv3_large_w1" + suffix
    assert get_spec(string, dataset="dogs") == get_spec(zoo, dataset="dogs")
    assert not get_spec(string, "orig", "cifar100").small_input
    assert get_spec(zoo, "orig", "cifar100").small_input


def test_strides_for_large_images_on_small_ones_name_the_way_out():
    with pytest.raises(SpecError, match="use the name mobilenetv3_large for the strides of small"):
        create_model("mobilenetv3_large_w1", dataset="cifar100")
    assert create_model("mobilenetv3_large_w1", resolution=61).spec.resolution == 61


def test_the_string_decides_the_strides_whatever_the_data_set():
    spec = get_spec("cifar_mobilenetv3_large_w1", dataset="stanford_dogs", resolution=64)
    assert spec.small_input


def test_other_spellings_are_one_network():
    spellings = ("shufflenetv2", "shufflenetv2_x1_0", "ShuffleNetV2_x1.0")
    assert len({get_spec(spelling) for spelling in spellings}) == 1
    assert get_spec("shufflenetv2_x0.5").model == "shufflenetv2_x0_5"


def test_the_zoos_own_names_are_no_strings():
    assert [name for name in list_models() if translate(name) is not None] == []
    assert translate("cifar_resnet20") == LegacyName(model="resnet20", small_input=True)


@pytest.mark.parametrize(
    ("string", "message"),
    [
        ("cifar_mobilenetv1_w1_bsconvu", "only v3_large is in the paper"),
        ("mobilenetv2_w3d4", "only v3_large is in the paper"),
        ("mobilenetv3_small_w1", "only v3_large is in the paper"),
        ("cifar_mobilenetv3_large_w1_bsconvu", "BSConv-U is defined for mobilenetv1 only"),
        ("cifar_mobilenetv3_large_w0", "the width 0 is out of range"),
        ("cifar_mobilenetv3_large_w1d17", "the width 1/17 is out of range"),
        ("cifar_mobilenetv3_large_w99", "the width 99 is out of range; use 1/16 to 16"),
        ("cifar_mobilenetv3_large_w1d0", "unknown model"),
        ("preresnet18", "pre-activation ResNets are not in the paper"),
        ("cifar_preresnet20_bsconvu", "pre-activation ResNets are not in the paper"),
        ("resnet18", "the 224x224 ResNets are not in the paper"),
        ("resnet10_bsconvu", "the 224x224 ResNets are not in the paper"),
        ("cifar_resnet32", "no such depth; use 20, 56, 110, 302, 602"),
        ("cifar_wrn22_4", "no such depth; use 16, 28, 40"),
        ("cifar_resnet20_bsconvs_p0d6", r"share p must be in \(0, 1\], got 0"),
        ("cifar_resnet20_bsconvs_p7d6", r"share p must be in \(0, 1\], got 7/6"),
        ("resnet20_bsconvs", "unknown model"),
        ("shufflenetv2_x3_0", "unknown model 'shufflenetv2_x3_0': did you mean 'shufflenetv2"),
        ("vgg16", "unknown model 'vgg16'"),
        ("", "unknown model ''"),
    ],
)
def test_what_the_zoo_does_not_hold_is_refused_in_one_line(string, message):
    with pytest.raises(SpecError, match=message) as error:
        get_spec(string)
    assert "\n" not in str(error.value)


def test_widths_truncate_channels():
    network = create_model("cifar_mobilenetv3_large_w7d20", "orig")
    assert network.stem.conv.out_channels == int(16 * 7 / 20) == 5
    assert network.last.conv.out_channels == 960  # the last convolution only grows
    wide = (
        create_model("mobilenetv3_large_x1d2", "orig"),
        create_model("mobilenetv3_large_x2", "orig"),
    )
    assert [n.last.conv.out_channels for n in wide] == [960, 1920]
    assert [n.blocks[0].depthwise.conv.groups for n in wide] == [8, 32]


def test_the_subspace_share_of_a_string_reaches_the_convolutions():
    network = create_model("cifar_resnet20_bsconvs_p1d4", "orig")
    block = network.stages[2][0].conv1.conv
    assert block.reduce.weight.shape[:2] == (8, 32)
    assert network.regularisation_loss().item() > 0
