"""The recipes hold the paper's values, each with its source, and give its learning rates."""

import dataclasses
import math

import pytest
import torch

from pfd_models import get_spec
from pfd_models.errors import SpecError
from pfd_models.training.arguments import RECIPE_FLAGS
from pfd_models.training.recipes import (
    FROM_COMMAND_LINE,
    RECIPES,
    Recipe,
    default_recipe,
    get_recipe,
)

FIELDS = [f.name for f in dataclasses.fields(Recipe) if f.name not in ("name", "sources")]


def values(recipe):
    return {name: getattr(recipe, name) for name in FIELDS}


def test_set_1_is_that_of_the_references_bsconv_script():
    assert values(RECIPES["set1"]) | {"final_factor": None} == {
        "epochs": 200,
        "batch_size": 128,
        "learning_rate": 0.1,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 1e-4,
        "schedule": "steps",
        "milestones": (100, 150, 180),
        "gamma": 0.1,
        "final_factor": None,
        "alpha": 0.1,
        "workers": 4,
    }


def test_set_2_efv2_and_vegfru_are_those_of_the_references_scripts():
    second = {
        "epochs": 300,
        "batch_size": 64,
        "learning_rate": 0.03,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 1e-4,
        "schedule": "cosine",
        "final_factor": 0.1,
        "workers": 2,
    }
    for name in ("set2", "efv2"):
        assert values(RECIPES[name]).items() >= second.items()
    vegfru = second | {
        "epochs": 100,
        "learning_rate": 0.1,
        "schedule": "steps",
        "milestones": (30, 60, 90),
        "gamma": 0.1,
    }
    assert values(RECIPES["vegfru"]).items() >= vegfru.items()


@pytest.mark.parametrize("name", RECIPES)
def test_every_value_has_a_source(name):
    recipe = get_recipe(name.upper())
    assert set(recipe.sources) == set(FIELDS)
    assert all(recipe.sources.values())


def test_every_field_can_be_replaced_by_a_flag():
    assert set(RECIPE_FLAGS) == set(FIELDS)


def pytorchs_rates(recipe, make):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.learning_rate)
    schedule = make(optimiser)
    for _ in range(recipe.epochs):
        yield optimiser.param_groups[0]["lr"]
        optimiser.step()
        schedule.step()


def test_steps_fall_as_pytorchs_own():
    for recipe in (RECIPES["set1"], RECIPES["vegfru"]):
        theirs = pytorchs_rates(
            recipe,
            lambda o, r=recipe: torch.optim.lr_scheduler.MultiStepLR(o, r.milestones, r.gamma),
        )
        ours = [recipe.learning_rate_at(e) for e in range(recipe.epochs)]
        assert ours == pytest.approx(list(theirs), rel=1e-12)
    assert RECIPES["set1"].learning_rate_at(99) == 0.1
    assert RECIPES["set1"].learning_rate_at(100) == pytest.approx(0.01)
    assert RECIPES["set1"].learning_rate_at(199) == pytest.approx(1e-4)


def test_the_cosine_falls_as_the_references_lambda():
    recipe = RECIPES["set2"]
    theirs = pytorchs_rates(
        recipe,
        lambda o: torch.optim.lr_scheduler.LambdaLR(
            o, lambda e: (1 + math.cos(math.pi * e / 300)) / 2 * (1 - 0.1) + 0.1
        ),
    )
    assert [recipe.learning_rate_at(e) for e in range(300)] == pytest.approx(list(theirs))
    assert recipe.learning_rate_at(0) == 0.03
    assert recipe.learning_rate_at(300) == pytest.approx(0.003)


def test_replaced_values_tell_that_they_are_the_users():
    recipe = RECIPES["set1"].replace_values({"epochs": 3, "milestones": (1, 2)})
    assert (recipe.epochs, recipe.milestones, recipe.batch_size) == (3, (1, 2), 128)
    told = [name for name, source in recipe.sources.items() if source == FROM_COMMAND_LINE]
    assert sorted(told) == ["epochs", "milestones"]
    assert RECIPES["set1"].epochs == 200
    with pytest.raises(SpecError, match="unknown recipe field 'epoch': did you mean 'epochs'"):
        recipe.replace_values({"epoch": 3})


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"epochs": 0}, "epochs 0 is too small"),
        ({"batch_size": 0}, "batch_size 0 is too small"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 is not above 0"),
        ({"learning_rate": math.nan}, "learning_rate nan is not above 0"),
        ({"momentum": 1.0}, "momentum 1.0 is out of range"),
        ({"weight_decay": -1.0}, "weight_decay -1.0 is out of range"),
        ({"alpha": math.inf}, "alpha inf is out of range"),
        ({"workers": -1}, "workers -1 is out of range"),
        ({"milestones": (20, 10)}, "milestones 20 10 do not rise"),
        ({"milestones": (0, 10)}, "milestones 0 10 do not rise"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin': did you mean 'cosine'"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov needs a momentum above 0"),
    ],
)
def test_impossible_values_are_refused_in_one_line(values, match):
    with pytest.raises(SpecError, match=match):
        RECIPES["set1"].replace_values(values)


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(SpecError, match="unknown recipe 'set3': did you mean 'set"):
        get_recipe("set3")


@pytest.mark.parametrize(
    ("model", "variant", "shape", "dataset", "recipe"),
    [
        ("mobilenetv3_large", "ours", "cifar100", "cifar100", "set1"),
        ("cifar_wrn40_3", "orig", "cifar100", "cifar100", "set1"),
        ("mobilenetv3_large_bsconvs", "ours", "stanford_dogs", "stanford_dogs", "set1"),
        ("mobilenetv3_large_set2", "ours", "cifar100", "cifar100", "set2"),
        ("shufflenetv2", "stem", "cifar100", "cifar100", "set2"),
        ("shufflenetv2", "efv2", "cifar100", "cifar100", "efv2"),
        ("ghostnet", "ours", "vegfru292", "vegfru292", "vegfru"),
        ("ghostnet", "ours", "cifar100", "digits", "digits"),
    ],
)
def test_the_default_is_the_one_the_paper_uses(model, variant, shape, dataset, recipe):
    assert default_recipe(get_spec(model, variant, shape), dataset).name == recipe
