"""What is known of a network besides its graph: its work and its state."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from export.network.network import count_macs, digest_state, make_network
from export.request.request import BuildRequest
from export.request.source import InputTensor


class Packed(nn.Module):
    """Hands a view of its own parameter to a submodule, as attention with packed weights does."""

    def __init__(self):
        super().__init__()
        self.packed = nn.Parameter(torch.randn(64, 32))
        self.activation = nn.Tanh()

    def forward(self, x):
        return nn.functional.linear(x, self.activation(self.packed[32:]))


def test_work_is_counted_where_a_submodule_gets_a_view_of_a_parameter():
    module = Packed()
    assert count_macs(module, (torch.zeros(4, 32),)) == 32 * 32
    assert module.packed.requires_grad


def test_the_digest_of_a_state_knows_names_values_and_types():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    first = digest_state(module)
    assert first == digest_state(module)
    module[1].running_mean[0] += 1e-7
    second = digest_state(module)
    assert len({first, second, digest_state(module.half()), digest_state(nn.Sequential())}) == 4


@pytest.mark.parametrize(
    ("changes", "name", "stem"),
    [
        ({}, "", "my_net_make_1x3x8x8_fp32"),
        ({}, "mine", "mine_1x3x8x8_fp32"),
        ({"padding_free": True}, "mine", "mine_pfd_1x3x8x8_fp32"),
        (
            {"inputs": (InputTensor(shape=(1, 3, 8, 8)), InputTensor(shape=(1, 5)))},
            "",
            "my_net_make_1x3x8x8_1x5_fp32",
        ),
    ],
)
def test_files_of_a_users_module_are_called_after_its_path_or_as_asked(
    write_factory, changes, name, stem
):
    make = "def make():\n    return nn.Sequential(nn.Conv2d(3, 3, 3, 2, 1, groups=3))\n"
    source = write_factory("my_net", f"from torch import nn\n\n\n{make}")
    source = dataclasses.replace(source, **changes)
    network, _ = make_network(BuildRequest(source=source, name=name))
    assert network.stem == stem
