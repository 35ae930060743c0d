"""One file adds a model, one file adds a variant; nothing else is edited."""

import importlib
import sys

import pytest
import torch

import pfd_models
from pfd_models import families, variants
from pfd_models.errors import SpecError
from pfd_models.zoo import registry

FAMILY = '''
"""A network of two convolutions."""

from torch import nn

from pfd_models.layers.conv import ConvBNAct
from pfd_models.zoo.registry import Figures, architecture


class TinyNet(nn.Module):
    def __init__(self, spec, variant):
        super().__init__()
        self.stem = variant.stem(
            plain=lambda: ConvBNAct(3, 4, 3), channels=4, act=nn.ReLU, stride=1
        )
        self.down = variant.downsample.block(
            lambda: variant.downsample.conv(
                lambda padding: ConvBNAct(4, 4, 3, stride=2, padding=padding), kernel=3, pool=3
            ),
            in_channels=4, out_channels=4, side=spec.resolution, attention=False,
        )
        variant.downsample.side(spec.resolution, stage="the only stage")
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, spec.num_classes)
        )

    def forward(self, x):
        return self.head(self.down(self.stem(x)))


@architecture(
    source="nobody",
    datasets=("cifar100", "imagenet"),
    replaceable_blocks=True,
    figures={("tinynet", "orig", "cifar100"): Figures(params=768, macs=159124, source="by hand")},
)
def tinynet(spec, variant):
    return TinyNet(spec, variant)
'''

VARIANT = '''
"""Downsample with an average pool in front, whatever the family."""

from torch import nn

from pfd_models.variants import Variant
from pfd_models.variants.paper import Padded, plain_stem


class Averaged(Padded):
    def block(self, default, *, in_channels, out_channels, side, attention, norm=nn.BatchNorm2d):
        return nn.Sequential(
            nn.AvgPool2d(3, stride=2, padding=1), nn.Conv2d(in_channels, out_channels, 1)
        )


def supports(spec):
    return None if spec.replaceable_blocks else "it replaces blocks"


VARIANT = Variant(name="averaged", stem=plain_stem, downsample=Averaged(), supports=supports)
'''


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Put a file into a folder on a package's path; everything is as before afterwards."""
    monkeypatch.setattr(registry, "_ARCHITECTURES", dict(registry.load_families()))
    before = set(sys.modules)

    def put(package, name, source):
        folder = tmp_path / package.__name__
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(source)
        if str(folder) not in package.__path__:
            monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        importlib.invalidate_caches()

    yield put
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_family_file_is_listed_built_and_counted(add):
    assert "tinynet" not in pfd_models.list_models()
    add(families, "tinynet", FAMILY)
    assert "tinynet" in pfd_models.list_models()
    assert pfd_models.list_variants("tinynet") == ("orig", "stem", "down", "ours", "efv2")
    for variant in pfd_models.list_variants("tinynet"):
        model = pfd_models.create_model("tinynet", variant, num_classes=5)
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    model = pfd_models.create_model("tinynet", "orig")
    (figures,) = registry.get_architecture("tinynet").figures.values()
    assert pfd_models.count_params(model) == figures.params
    assert pfd_models.thop_counts(model, (3, 32, 32)).macs == figures.macs
    with pytest.raises(SpecError, match=r"the only stage gets a 2x2 map.*of at least 3"):
        pfd_models.get_spec("tinynet", resolution=2)
    with pytest.raises(SpecError, match="did you mean 'tinynet'"):
        pfd_models.get_spec("tinnynet")


def test_without_the_file_the_model_is_unknown():
    with pytest.raises(SpecError, match="unknown model 'tinynet'"):
        pfd_models.get_spec("tinynet")


def test_a_variant_file_is_listed_and_reaches_every_family(add):
    assert "averaged" not in pfd_models.list_variants()
    add(variants, "averaged", VARIANT)
    assert pfd_models.list_variants()[-2:] == ("averaged", "efv2")
    assert "averaged" not in pfd_models.list_variants("resnet20")
    for model in ("ghostnet", "shufflenetv2", "parc_mobilenetv2", "mobilenetv3_large_set2"):
        network = pfd_models.create_model(model, "averaged")
        pools = [m for m in network.modules() if isinstance(m, torch.nn.AvgPool2d)]
        assert len(pools) == 3
        assert network.eval()(torch.randn(1, 3, 32, 32)).shape == (1, 100)
    with pytest.raises(SpecError, match=r"resnet20 has no variant 'averaged' .* replaces blocks"):
        pfd_models.get_spec("resnet20", "averaged")


def test_a_new_model_and_a_new_variant_meet(add):
    add(families, "tinynet", FAMILY)
    add(variants, "averaged", VARIANT)
    assert "averaged" in pfd_models.list_variants("tinynet")


def test_a_name_is_registered_once(add):
    add(families, "again", FAMILY.replace("def tinynet", "def ghostnet"))
    with pytest.raises(SpecError, match=r"again\.py:31: .*a model 'ghostnet' is already reg"):
        pfd_models.list_models()


def test_a_listed_name_must_parse_to_itself(add):
    source = FAMILY.replace(
        "    source=", "    names=('a',), parse=lambda name: None,\n    source="
    )
    add(families, "unparsed", source)
    with pytest.raises(SpecError, match="'a' is not the name of what it parses to"):
        pfd_models.list_models()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def broken(:\n", r"bad\.py:1: SyntaxError"),
        ("import no_such_package\n", r"bad\.py:1: ModuleNotFoundError: .*no_such_package"),
        (FAMILY + "1 / 0\n", r"bad\.py:39: ZeroDivisionError"),
        (FAMILY.replace('source="nobody",', ""), r"bad\.py:31: TypeError: .*'source'"),
    ],
)
def test_a_bad_family_file_leaves_the_other_models_alone_and_is_named(add, source, reason):
    add(families, "bad", source)
    model = pfd_models.create_model("shufflenetv2_x0_5", "ours")
    assert model.spec.model == "shufflenetv2_x0_5"
    with pytest.raises(SpecError, match=f"unknown model 'tinynet'.*{reason}") as caught:
        pfd_models.get_spec("tinynet")
    assert "\n" not in str(caught.value)
    with pytest.raises(SpecError, match=f"not every model can be listed: .*{reason}.*mend"):
        pfd_models.list_models()


def test_a_bad_family_file_that_is_mended_counts_again(add):
    add(families, "bad", "1 / 0\n")
    with pytest.raises(SpecError):
        pfd_models.list_models()
    add(families, "bad", FAMILY)
    assert "tinynet" in pfd_models.list_models()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0\n", r"bad\.py:1: ZeroDivisionError"),
        ("x = 1\n", r"bad\.py: it defines no VARIANT"),
        ("VARIANT = 'ours'\n", r"bad\.py: it defines no VARIANT"),
        (VARIANT.replace('"averaged"', '"ours"'), r"bad\.py: a variant 'ours' is defined already"),
        (VARIANT + "VARIANTS = (VARIANT, VARIANT)\n", r"bad\.py: a variant 'averaged' is defined"),
    ],
)
def test_a_bad_variant_file_leaves_the_other_variants_alone_and_is_named(add, source, reason):
    add(variants, "bad", source)
    assert pfd_models.create_model("shufflenetv2_x0_5", "ours").spec.variant == "ours"
    with pytest.raises(SpecError, match=f"unknown variant 'averaged'.*{reason}.*mend") as caught:
        pfd_models.get_spec("ghostnet", "averaged")
    assert "\n" not in str(caught.value)
    with pytest.raises(SpecError, match=f"not every variant can be listed: .*{reason}.*mend"):
        pfd_models.list_variants()
