"""Every network of the zoo: built, counted, run, trained one step, compared with others'."""

import functools
import itertools

import pytest
import timm
import torch
import torchvision
from torch import nn

from pfd_models import (
    DATASETS,
    ModelSpec,
    ParCOperator,
    bsconv_profile,
    build_model,
    count_params,
    create_model,
    get_spec,
    layer_macs,
    list_models,
    list_variants,
    thop_counts,
)
from pfd_models.errors import SpecError
from pfd_models.paper.published import load_published_rows
from pfd_models.zoo.registry import get_architecture

# Deep and wide networks are swept with the slow tests; by default a small one of the same
# structure stands for each. ShuffleNetV2's widths have x0_5.
LARGE = {
    "resnet110_bsconvu": "resnet20_bsconvu",
    "wrn40_3": "wrn16_3",
    "wrn40_8_bsconvu": "wrn16_2_bsconvu",
    "shufflenetv2_x1_5": None,
    "shufflenetv2_x2_0": None,
}
MODELS = [
    *(model for model in list_models() if model not in LARGE),
    *filter(None, LARGE.values()),
    *(pytest.param(model, marks=pytest.mark.slow) for model in LARGE),
]
CASES = [
    pytest.param(model, variant, marks=[pytest.mark.slow] if model in LARGE else [])
    for model in (*list_models(), *filter(None, LARGE.values()))
    for variant in list_variants(model)
]
PAPERS = {get_architecture(row.model).build.__module__ for row in load_published_rows()}
MOBILE = [  # of the paper's families, whose maps its text and tables give
    model
    for model in list_models()
    if (entry := get_architecture(model)).build.__module__ in PAPERS and len(entry.datasets) > 1
]


@functools.lru_cache(maxsize=8)
def built(spec):
    """Build once, with whatever weights: for shapes and counts."""
    return build_model(spec).eval()


@torch.no_grad()
def output_shape(spec):
    return tuple(built(spec)(torch.randn(2, *spec.input.shape)).shape)


def representative_specs():
    """Every variant for small and for large images, and every data set in the default variant."""
    large = {(variant, "imagenet") for variant in ("orig", "stem", "down")}
    for model in list_models():
        for variant, dataset in itertools.product(
            list_variants(model), get_architecture(model).datasets
        ):
            if dataset == "cifar100" or variant == "ours" or (variant, dataset) in large:
                yield get_spec(model, variant, dataset)


# ---- counts ----


@functools.cache
def counts(spec):
    """Return everything that is counted: parameters, both counters, products."""
    model, shape = built(spec), spec.input.shape
    return {
        "params": count_params(model),
        "bsconv_profile": bsconv_profile(model, shape),
        "thop_0_0_31": thop_counts(model, shape),
        "products": sum(layer_macs(model, shape).values()),
    }


COUNTED = [row for row in load_published_rows() if row.counter]
# Each network once, where its maps are smallest; the tables' own counts of every row stand in
# tests/pfd_models/paper.
ONCE = {(row.model, row.variant): row for row in reversed(COUNTED) if row.dataset == "cifar100"}


def wrong_counts(row):
    """What is not as the reference's code has it, of a row of the paper."""
    found = counts(get_spec(row.model, row.variant, row.dataset))
    spare = 32 if (row.model, row.variant) == ("ghostnet", "ours") else 0  # never called
    pairs = {
        "params": (found["params"], row.params - spare),
        "counted params": (found[row.counter].params, row.params_counted),
        "macs": (found[row.counter].macs, row.macs),
        "thop": (found["thop_0_0_31"].macs, row.macs_by_counter["thop_0_0_31"]),
        "products": (found["products"], row.macs_by_counter["torch_flop_counter_half"]),
    }
    return {what: pair for what, pair in pairs.items() if pair[0] != pair[1]}


def test_every_network_of_the_paper_has_its_exact_counts():
    assert len(ONCE) == 32
    assert [key for key, row in ONCE.items() if wrong_counts(row)] == []


@pytest.mark.slow
def test_every_row_of_the_paper_has_its_exact_counts():
    assert len(COUNTED) == 66
    assert [(row, wrong) for row in COUNTED if (wrong := wrong_counts(row))] == []


# ---- shapes ----


@pytest.mark.slow
def test_every_model_gives_scores_at_every_data_set_it_is_defined_for():
    specs = list(representative_specs())
    wrong = [s for s in specs if output_shape(s) != (2, s.num_classes)]
    assert wrong == []
    assert {s.dataset for s in specs} == set(DATASETS)


@pytest.mark.parametrize("model", MODELS)
def test_resolution_and_classes_are_free(model):
    for variant in list_variants(model):
        spec = get_spec(model, variant, num_classes=7, resolution=50)
        assert spec.resolution == 50
        assert output_shape(spec) == (2, 7)


@pytest.mark.parametrize(("model", "variant"), CASES)
def test_every_parameter_receives_a_gradient(model, variant):
    torch.manual_seed(1)
    network = create_model(model, variant, num_classes=3)
    scores = network(torch.randn(4, *network.spec.input.shape))
    assert scores.shape == (4, 3)
    nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2, 0])).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("variant", ["orig", "stem", "down", "ours"])
def test_circular_kernels_are_as_long_as_the_maps(dataset, variant):
    for resolution in (None, 75):
        model = built(get_spec("parc_mobilenetv2", variant, dataset, resolution=resolution))
        seen = []

        def see(layer, inputs, _output, seen=seen):
            seen.append((layer.length, *inputs[0].shape[2:]))

        handles = [
            m.register_forward_hook(see) for m in model.modules() if isinstance(m, ParCOperator)
        ]
        with torch.no_grad():
            model(torch.zeros(1, *model.spec.input.shape))
        for handle in handles:
            handle.remove()
        assert len(seen) == 8
        assert all(length == height == width for length, height, width in seen)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("variant", ["down", "ours"])
def test_the_least_resolution_in_the_refusal_works_and_one_less_does_not(model, variant):
    with pytest.raises(SpecError, match=r"needs at least 3x3; use a resolution of at least") as e:
        get_spec(model, variant, resolution=2)
    least = int(str(e.value).rsplit(" ", 1)[1])
    assert output_shape(get_spec(model, variant, resolution=least)) == (2, 100)
    with pytest.raises(SpecError, match=f"resolution {least - 1} is too small for {model}"):
        create_model(model, variant, resolution=least - 1)


@pytest.mark.parametrize("model", MODELS)
def test_padded_networks_take_any_resolution(model):
    assert output_shape(get_spec(model, "orig", resolution=5)) == (2, 100)


# ---- what a specification promises ----


@pytest.mark.parametrize("model", MODELS)
def test_equal_specifications_and_seeds_give_equal_networks(model):
    spec = get_spec(model)
    torch.manual_seed(7)
    first = create_model(model)
    torch.manual_seed(7)
    get_spec(model, "orig")  # must not draw from the generator
    second = build_model(ModelSpec.from_dict(spec.to_dict()))
    assert first.spec == second.spec == spec
    a, b = first.state_dict(), second.state_dict()
    assert list(a) == list(b)
    assert all(torch.equal(a[k], b[k]) for k in a)
    weight = next(k for k in a if k.endswith("conv.weight"))
    assert not torch.equal(a[weight], create_model(model).state_dict()[weight])


@pytest.mark.parametrize(
    ("variant", "dataset", "last_side"),
    [
        ("orig", "cifar100", 4),
        ("orig", "imagenet", 7),
        ("ours", "cifar100", 3),
        ("ours", "imagenet", 6),
    ],
)
@pytest.mark.parametrize("model", MOBILE)
def test_the_last_map_has_the_side_of_the_paper(model, variant, dataset, last_side):
    network = built(get_spec(model, variant, dataset))
    sides = []
    handle = network.last.register_forward_hook(lambda _m, _x, y: sides.append(tuple(y.shape[2:])))
    with torch.no_grad():
        network(torch.zeros(1, *network.spec.input.shape))
    handle.remove()
    assert sides == [(last_side, last_side)]


def test_set_1_normalises_inside_and_set_2_outside():
    assert get_spec("mobilenetv3_large").input.mean == (0, 0, 0)
    assert isinstance(create_model("mobilenetv3_large").normalise, nn.BatchNorm2d)
    assert get_spec("mobilenetv3_large_set2").input.mean == DATASETS["cifar100"].mean
    assert isinstance(create_model("mobilenetv3_large_set2").normalise, nn.Identity)


def test_the_two_published_wide_networks_have_different_shortcuts():
    plain = built(get_spec("wrn40_3", "ours")).stages[1][0].shortcut
    blueprint = built(get_spec("wrn40_8_bsconvu", "ours")).stages[1][0].shortcut
    assert type(plain).__name__ == "PaddingFreeDownsample"
    assert [type(m).__name__ for m in blueprint] == [
        "Conv2d",
        "BatchNorm2d",
        "Conv2d",
        "BatchNorm2d",
    ]
    assert blueprint[0].groups == blueprint[0].in_channels


# ---- the same network as others have it ----


def borrow(ours, theirs):
    """Copy weights in the order of registration, reshaping 1x1 convolutions and linear layers."""
    own, foreign = ours.state_dict(), theirs.state_dict()
    assert len(own) == len(foreign)
    ours.load_state_dict(
        {
            name: value.reshape(own[name].shape)
            for name, value in zip(own, foreign.values(), strict=True)
        }
    )


def settle(network, images):
    """Give normalisations weights and statistics that matter, and drop nothing."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.momentum = 1.0  # keep the statistics of exactly these images
    with torch.no_grad():
        network.train()(images)
    return network.eval()


@pytest.mark.parametrize(
    ("theirs", "model"),
    [
        (torchvision.models.shufflenet_v2_x0_5, "shufflenetv2_x0_5"),
        (torchvision.models.shufflenet_v2_x1_0, "shufflenetv2"),
        (torchvision.models.shufflenet_v2_x1_5, "shufflenetv2_x1_5"),
        (torchvision.models.shufflenet_v2_x2_0, "shufflenetv2_x2_0"),
        (torchvision.models.mobilenet_v3_large, "mobilenetv3_large_set2"),
        (functools.partial(timm.create_model, "ghostnet_100"), "ghostnet"),
    ],
)
def test_originals_compute_what_other_libraries_compute(theirs, model):
    torch.manual_seed(3)
    scale = torch.linspace(0.2, 3, 8).reshape(8, 1, 1, 1)
    images = torch.randn(8, 3, 64, 64) * scale + torch.randn(8, 3, 1, 1)
    reference = settle(theirs(), images)
    ours = create_model(model, "orig", "imagenet").eval()
    with torch.no_grad():
        before = ours(images)
        borrow(ours, reference)
        want, got = reference(images), ours(images)
    assert (want[1:] - want[:-1]).abs().amax() > 1e-2 * want.abs().amax()  # inputs matter
    assert not torch.allclose(before, want, rtol=1e-2)
    torch.testing.assert_close(got, want)


# ---- initial weights ----


def test_set_2_starts_as_its_recipe_says():
    for model in ("mobilenetv3_large_set2", "parc_mobilenetv2"):
        for module in create_model(model, "efv2").modules():
            if isinstance(module, nn.Linear):
                assert module.weight.std().item() == pytest.approx(0.01, rel=0.05)
                assert not module.bias.any()
            elif isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * module.weight[0, 0].numel()
                spread = module.weight.std().item() * fan_out**0.5
                if module.weight.numel() > 1000:
                    assert spread == pytest.approx(2**0.5, rel=0.15)
                assert module.bias is None or not module.bias.any()


def test_position_embeddings_start_small_but_not_zero():
    positions = [p for n, p in create_model("parc_mobilenetv2").named_parameters() if "posi" in n]
    assert len(positions) == 6
    assert all(p.std().item() == pytest.approx(0.02, rel=0.1) for p in positions)


@pytest.mark.parametrize("model", ["mobilenetv3_large", "resnet20", "wrn40_3"])
def test_set_1_starts_as_its_library_does(model):
    network = create_model(model, "orig")
    *convolutions, classifier = (m for m in network.modules() if isinstance(m, nn.Conv2d))
    for conv in convolutions:
        bound = (6 / conv.weight[0].numel()) ** 0.5  # He's uniform rule
        assert conv.weight.abs().max() <= bound
        assert conv.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)
        assert conv.bias is None or not conv.bias.any()
    fans = classifier.in_channels + classifier.out_channels
    assert classifier.weight.std().item() == pytest.approx((2 / fans) ** 0.5, rel=0.1)


def test_replaced_convolutions_start_with_pytorchs_defaults():
    network = create_model("resnet110_bsconvu", "orig")
    pairs = [m for m in network.modules() if type(m).__name__ == "BSConvU"]
    assert len(pairs) == 109  # the stem and two a unit
    for pair in pairs:
        for conv in pair:
            assert conv.weight.abs().max() <= conv.weight[0].numel() ** -0.5
