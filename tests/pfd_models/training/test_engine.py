"""One update and one evaluation, held against loops written out from the recipe."""

import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score
from torch import nn
from torch.nn import functional

from pfd_models import build_model, get_spec, orthonormality_regulariser
from pfd_models.training.distributed import Processes
from pfd_models.training.engine import Speed, evaluate, make_engine, update
from pfd_models.training.loader import Batch
from pfd_models.training.recipes import RECIPES
from pfd_models.training.scores import right_answers
from pfd_models.zoo.spec import InputSpec, ModelSpec


def batch(images=12, side=16, classes=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        pixels=torch.randint(0, 256, (images, 3, side, side), generator=generator).byte(),
        labels=torch.randint(0, classes, (images,), generator=generator),
    )


def spec_of(model):
    return get_spec(model, "orig", num_classes=10, resolution=16)


def engine_of(spec, recipe="set1", seed=1, **speed):
    torch.manual_seed(seed)
    engine = make_engine(
        build_model(spec),
        spec,
        RECIPES[recipe],
        device=torch.device("cpu"),
        speed=Speed(**speed),
        processes=Processes(),
    )
    engine.model.train()
    return engine


def plain_loop(spec, recipe, batches, alpha=0.0, seed=1):
    """The recipe, written out: what the reference's scripts compute."""
    torch.manual_seed(seed)
    model = build_model(spec)
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=0.9,
        weight_decay=1e-4,
        nesterov=recipe.nesterov,
    )
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.input.mean, spec.input.std))
    losses = []
    for b in batches:
        images = (b.pixels.float() / 255 - mean) / std
        loss = functional.cross_entropy(model(images), b.labels)
        if alpha:
            loss = loss + alpha * orthonormality_regulariser(model)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return model, losses


def differing(a, b):
    a, b = a.state_dict(), b.state_dict()
    return [key for key in a if not torch.equal(a[key], b[key])]


@pytest.mark.parametrize(
    ("model", "recipe", "alpha"),
    [
        ("resnet20", "set1", 0.0),
        ("mobilenetv3_large_bsconvs", "set1", 0.1),
        ("mobilenetv3_large_set2", "set2", 0.0),  # with dropout
    ],
)
def test_the_default_equals_a_plain_loop_bit_for_bit(model, recipe, alpha):
    spec = spec_of(model)
    given = [batch(seed=s) for s in range(3)]
    plain, losses = plain_loop(spec, RECIPES[recipe], given, alpha)
    engine = engine_of(spec, recipe)
    ours = [float(update(engine, b, 12)) / 12 for b in given]
    assert differing(engine.model, plain) == []
    assert ours == pytest.approx(losses, rel=1e-7)
    if alpha:
        without, _ = plain_loop(spec, RECIPES[recipe], given, 0.0)
        assert "blocks.0.project.conv.weight" in differing(without, plain)


def test_the_regulariser_is_only_there_where_the_network_has_one():
    assert engine_of(spec_of("mobilenetv3_large_bsconvs")).alpha == 0.1
    assert engine_of(spec_of("mobilenetv3_large")).alpha == 0.0


class Bare(nn.Module):
    """No batch statistics: parts of a batch then add up exactly to the whole."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))


def bare_engine(**speed):
    image = InputSpec(height=16, width=16, mean=(0.0,) * 3, std=(1.0,) * 3)
    spec = ModelSpec(
        model="bare", variant="orig", dataset="cifar100", num_classes=10, input=image,
        small_input=True,
    )  # fmt: skip
    torch.manual_seed(1)
    return make_engine(
        Bare(), spec, RECIPES["set1"],
        device=torch.device("cpu"), speed=Speed(**speed), processes=Processes(),
    )  # fmt: skip


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_of_a_batch_add_up_to_the_whole(parts):
    whole, cut = bare_engine(), bare_engine(accumulate=parts)
    calls = []
    cut.model.register_forward_hook(lambda m, x, y: calls.append(len(y)))
    for s in range(3):
        one, other = (float(update(e, batch(seed=s), 12)) for e in (whole, cut))
        assert other == pytest.approx(one, rel=1e-6)
    assert len(calls) == 3 * -(-12 // -(-12 // parts))
    assert max(calls) < 12
    for a, b in zip(whole.model.parameters(), cut.model.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_smaller_last_batch_is_averaged_over_its_own_images():
    engine, other = bare_engine(), bare_engine()
    small = batch(images=5)
    update(engine, small, 5)
    loss = functional.cross_entropy(other.model(small.pixels / 255), small.labels)
    loss.backward()
    other.optimiser.step()
    assert differing(engine.model, other.model) == []


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_computes_in_it_and_keeps_float32_weights(amp):
    engine = engine_of(spec_of("resnet20"), amp=amp)
    seen = []
    conv = next(m for m in engine.model.modules() if isinstance(m, nn.Conv2d))
    conv.register_forward_hook(lambda m, x, y: seen.append(y.dtype))
    plain = engine_of(spec_of("resnet20"))
    exact, found = (float(update(e, batch(), 12)) for e in (plain, engine))
    assert seen == [{"bf16": torch.bfloat16, "fp16": torch.float16}[amp]]
    assert all(p.dtype == torch.float32 for p in engine.model.parameters())
    assert found == pytest.approx(exact, rel=0.03)
    assert found != exact
    assert engine.scaler.is_enabled() == (amp == "fp16")


def test_a_float16_overflow_skips_the_update_and_lowers_the_scale():
    engine = engine_of(spec_of("resnet20"), amp="fp16")
    update(engine, batch(), 12)
    before = {k: v.clone() for k, v in engine.model.named_parameters()}
    scale = engine.scaler.get_scale()
    parameter = next(iter(engine.model.parameters()))
    handle = parameter.register_hook(lambda g: torch.full_like(g, torch.inf))
    update(engine, batch(seed=1), 12)
    handle.remove()
    assert all(torch.equal(before[k], v) for k, v in engine.model.named_parameters())
    assert engine.scaler.get_scale() < scale


def test_channels_last_changes_the_layout_and_hardly_the_numbers():
    plain, engine = (engine_of(spec_of("resnet20"), channels_last=c) for c in (False, True))
    seen = []
    engine.model.register_forward_pre_hook(
        lambda m, x: seen.append(x[0].is_contiguous(memory_format=torch.channels_last))
    )
    one, other = (float(update(e, batch(), 12)) for e in (plain, engine))
    assert seen == [True]
    assert other == pytest.approx(one, rel=1e-4)


def test_compile_is_asked_for_and_keeps_the_weights_names(monkeypatch):
    asked = []
    real = nn.Module.compile
    monkeypatch.setattr(
        nn.Module,
        "compile",
        lambda self, **options: (asked.append(options), real(self, backend="eager"))[1],
    )
    spec = spec_of("resnet20")
    engine = engine_of(spec, compile="reduce-overhead")
    assert asked == [{"mode": "reduce-overhead"}]
    assert list(engine.model.state_dict()) == list(build_model(spec).state_dict())
    plain = engine_of(spec)
    one, other = (float(update(e, batch(), 12)) for e in (plain, engine))
    assert other == pytest.approx(one, rel=1e-5)
    engine_of(spec, compile="default")
    assert asked[1] == {"mode": None}


# ---- evaluation ----


def test_top_1_and_top_5_equal_scikit_learns():
    generator = np.random.default_rng(0)
    scores = generator.standard_normal((200, 12)).astype(np.float32)
    labels = generator.integers(0, 12, 200)
    ours = right_answers(torch.from_numpy(scores), torch.from_numpy(labels)).tolist()
    theirs = [
        top_k_accuracy_score(labels, scores, k=k, normalize=False, labels=range(12)) for k in (1, 5)
    ]
    assert ours == theirs
    few = right_answers(torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([1, 1]))
    assert few.tolist() == [1, 2]


def test_an_evaluation_counts_each_image_once_in_evaluation_mode():
    engine = engine_of(spec_of("mobilenetv3_large_bsconvs"))
    for s in range(3):
        update(engine, batch(seed=s), 12)
    parts = [batch(images=n, seed=n) for n in (7, 7, 3)]
    found = evaluate(engine, parts)
    assert engine.model.training
    engine.model.eval()
    with torch.no_grad():
        scores = torch.cat([engine.model(p.pixels / 255) for p in parts])
        regulariser = 0.1 * float(orthonormality_regulariser(engine.model))
    labels = torch.cat([p.labels for p in parts])
    loss = float(functional.cross_entropy(scores, labels))
    assert found.images == 17
    assert found.top1 == pytest.approx(100 * float((scores.argmax(1) == labels).float().mean()))
    assert regulariser > 0.01
    assert found.loss == pytest.approx(loss + regulariser, rel=1e-5)
    assert evaluate(engine, parts[:1]).images == 7
    assert not engine.model.training
