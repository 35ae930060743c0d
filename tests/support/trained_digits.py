"""A small network that has learned a little about digits, for whoever measures accuracy."""

from __future__ import annotations

import importlib
import sys

import pytest

FAMILY = '''
"""Two convolutions: a network whose training and building take a second or two."""

from torch import nn

from pfd_models.layers.conv import ConvBNAct
from pfd_models.zoo.registry import architecture


@architecture(source="nobody")
def digitnet(spec, variant):
    return nn.Sequential(
        ConvBNAct(3, 16, 3, stride=2),
        ConvBNAct(16, 32, 3, stride=2),
        nn.Flatten(),
        nn.Linear(32 * (spec.resolution // 4) ** 2, spec.num_classes),
    )
'''


@pytest.fixture(scope="module")
def digitnet(tmp_path_factory):
    """The name of a model that the zoo has meanwhile."""
    from pfd_models import families
    from pfd_models.zoo import registry

    folder = tmp_path_factory.mktemp("families")
    (folder / "digitnet.py").write_text(FAMILY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_ARCHITECTURES", dict(registry.load_families()))
        patch.setattr(families, "__path__", [*families.__path__, str(folder)])
        importlib.invalidate_caches()
        yield "digitnet"
    sys.modules.pop("pfd_models.families.digitnet", None)


@pytest.fixture(scope="module")
def trained(digitnet, tmp_path_factory):
    """A finished run of two epochs; ``trained.weights`` is its best checkpoint."""
    import torch

    from pfd_models import get_spec
    from pfd_models.training.config import RunConfig
    from pfd_models.training.recipes import RECIPES
    from pfd_models.training.run import train

    torch.set_num_threads(1)
    spec = get_spec(digitnet, "orig", "cifar100", 10, 16)
    recipe = RECIPES["digits"].replace_values({"epochs": 2})
    folder = tmp_path_factory.mktemp("digits") / "run"
    return train(RunConfig(spec=spec, recipe=recipe, dataset="digits", folder=folder))
