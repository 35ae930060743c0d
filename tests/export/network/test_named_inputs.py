import pytest
import torch
from torch import nn

from export.network.named_inputs import take_named_inputs
from export.request.source import InputTensor
from pfd_models.errors import ModuleError


class Keywords(nn.Module):
    def forward(self, image, *, scale, offset=0):
        return image * scale + offset


class Nested(nn.Module):
    def forward(self, batch, state):
        return batch["ids"] + batch["extra"]["mask"] * 10, state[0] - state[1]


def named(module, *names):
    return take_named_inputs(module.eval(), [InputTensor(shape=(1,), name=n) for n in names])


def test_without_names_the_module_is_itself():
    module = Keywords()
    assert named(module, "", "") is module


def test_a_name_is_a_keyword_and_no_name_a_place():
    x, y, z = torch.tensor([2.0]), torch.tensor([3.0]), torch.tensor([1.0])
    assert named(Keywords(), "", "offset", "scale")(x, z, y).item() == 7
    assert named(Keywords(), "scale", "image")(x, y).item() == 6
    assert not named(Keywords(), "scale", "image").training


def test_dotted_names_fill_dictionaries_and_tuples():
    values = [torch.tensor([float(n)]) for n in (1, 2, 3, 5)]
    one, other = named(Nested(), "batch.ids", "state.1", "batch.extra.mask", "state.0")(*values)
    assert (one.item(), other.item()) == (1 + 30, 5 - 2)


def test_a_parameter_that_forward_lacks_is_one_line():
    with pytest.raises(
        ModuleError, match=r"unknown input 'scal' for Keywords.forward: did you mean"
    ):
        named(Keywords(), "scal")


def test_a_dictionary_s_entry_is_said_to_be_one():
    class TakesBatch(nn.Module):
        def forward(self, batch):
            return batch["ids"]

    with pytest.raises(ModuleError, match=r"if batch is a dictionary, write batch\.ids"):
        named(TakesBatch(), "ids")
