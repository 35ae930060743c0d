"""A network that has learned a little about digits, for whoever measures accuracy."""

from __future__ import annotations

import pytest
import torch

MODEL, CLASSES, SIDE = "shufflenetv2_x0_5", 10, 16


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run of three epochs; ``trained.weights`` is its best checkpoint."""
    from pfd_models import get_spec
    from pfd_models.training.config import RunConfig
    from pfd_models.training.recipes import RECIPES
    from pfd_models.training.run import train

    torch.set_num_threads(1)
    spec = get_spec(MODEL, "ours", "cifar100", CLASSES, SIDE)
    recipe = RECIPES["digits"].replace_values({"epochs": 3})
    folder = tmp_path_factory.mktemp("digits") / "run"
    return train(RunConfig(spec=spec, recipe=recipe, dataset="digits", folder=folder))
