"""Images that a module takes or gives in NHWC by itself stay so in every file."""

import numpy as np
import pytest
import torch
from torch import nn

from export.formats import WriteOptions, pte
from export.graph.program import capture


class Net(nn.Module):
    """A convolution of grey images between a way to turn what comes and one for what goes."""

    def __init__(self, before, after=lambda y: y):
        super().__init__()
        self.before, self.after, self.conv = before, after, nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return self.after(self.conv(self.before(x)))


GREY = (1, 10, 12, 1)


@pytest.mark.parametrize(
    "turn",
    [
        lambda x: x.permute(0, 3, 1, 2),
        lambda x: x.movedim(-1, 1) * 2.0,
        lambda x: (x.float() / 255.0 - 0.5).permute(0, 3, 1, 2).contiguous(),
        lambda x: x.view(1, 1, 10, 12),
    ],
)
def test_a_grey_image_is_nhwc_where_the_module_turns_it(turn):
    program = capture(Net(turn, lambda y: y.permute(0, 2, 3, 1) * 0.5), (torch.zeros(GREY),))
    assert [(spec.name, spec.layout) for spec in program.inputs] == [("image", "")]
    assert [spec.layout for spec in program.outputs] == [""]


def test_a_signal_that_is_as_narrow_is_not():
    program = capture(nn.Conv2d(10, 4, (3, 1)), (torch.zeros(GREY),))
    assert [spec.layout for spec in (*program.inputs, *program.outputs)] == ["NCHW", "NCHW"]
    both = Net(lambda x: x.permute(0, 3, 1, 2) + x.mean((1, 2, 3)))
    assert capture(both, (torch.zeros(GREY),)).inputs[0].layout == "NCHW"


def test_a_grey_network_takes_nhwc_in_a_pte(tmp_path):
    torch.manual_seed(0)
    net, image = Net(lambda x: x).eval(), torch.randn(1, 1, 10, 12)
    path = tmp_path / "grey.pte"
    written = pte.write(capture(net, (image,)), path, WriteOptions(pte_io="nhwc"))
    assert (written.delegates, written.inputs[0].shape) == (1, GREY)
    (found,) = pte.load(path)([image.numpy()])
    with torch.no_grad():
        assert np.abs(found - net(image).numpy()).max() < 1e-6
