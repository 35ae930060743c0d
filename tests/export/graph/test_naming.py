import collections

import pytest
import torch
from torch import nn

from export.graph.program import capture

Pair = collections.namedtuple("Pair", "left right")


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x + 1, x + 2)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda a, b: a, ("output_0",)),
        (lambda a, b: (a, b), ("output_0", "output_1")),
        (lambda a, b: {"boxes": a, "scores": b}, ("boxes", "scores")),
        (lambda a, b: {"boxes": a}, ("boxes",)),
        (lambda a, b: {"maps": [a, b]}, ("maps_0", "maps_1")),
        (lambda a, b: {"aux": {"mask": a}, "out": b}, ("aux_mask", "out")),
        (lambda a, b: Pair(a, b), ("left", "right")),
        (lambda a, b: (a, {"mask": b}), ("output_0", "mask")),
        (lambda a, b: [{"box": a}, {"box": b}], ("output_0_box", "output_1_box")),
        (lambda a, b: {0: a, 1: b}, ("output_0", "output_1")),
        (lambda a, b: {"image": a, "out": b}, ("image_output", "out")),
        (lambda a, b: {"a": {"b": a}, "a_b": b}, ("a_b", "a_b_")),
    ],
)
def test_keys_of_the_result_become_names(make, names):
    program = capture(Returns(make).eval(), (torch.zeros(1, 3, 5, 5),))
    assert tuple(spec.name for spec in program.outputs) == names
    assert [spec.name for spec in program.inputs] == ["image"]
    results = program.run((torch.zeros(1, 3, 5, 5),))
    assert [r.max().item() for r in results] == [1.0, 2.0][: len(names)]


def test_inputs_have_the_names_that_are_given():
    program = capture(Returns(lambda a, b: b).eval(), (torch.zeros(1, 3, 5, 5),), names=("pixels",))
    assert [spec.name for spec in program.inputs] == ["pixels"]


def test_an_image_that_is_nhwc_in_the_module_has_no_layout_to_turn():
    program = capture(Returns(lambda a, b: b).eval(), (torch.zeros(1, 6, 7, 3),))
    (image,) = program.inputs
    assert (image.name, image.layout) == ("image", "")
