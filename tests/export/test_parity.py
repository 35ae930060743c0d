import numpy as np
import pytest
import torch
from torch import nn

from export import parity
from export.network.inputs import make_inputs
from export.sets.manifest import PARITY_LIMIT
from pfd_models.errors import ParityError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))


@pytest.fixture
def reference():
    return parity.make_reference(Net().eval(), make_inputs([(1, 3, 8, 8)], seed=0))


def outputs_of(reference):
    return [[a.astype(np.float32) for a in sample] for sample in reference.outputs]


def test_the_yardstick_is_float64_and_eager_has_its_own_distance(reference):
    assert reference.outputs[0][0].dtype == np.float64
    assert 0 < reference.eager_relative_linf < 1e-5
    assert reference.limit <= PARITY_LIMIT


def test_equal_outputs_pass_and_say_how_close(reference):
    figures = parity.compare(reference, outputs_of(reference), what="net.onnx")
    assert figures.samples == 8
    assert figures.relative_linf < 1e-7
    assert figures.sqnr_db > 140


def test_an_error_above_the_limit_fails(reference):
    outputs = outputs_of(reference)
    outputs[3][0][0, 2] += 1.5 * reference.limit * np.abs(outputs[3][0]).max()
    with pytest.raises(ParityError, match=r"net\.pte does not compute"):
        parity.compare(reference, outputs, what="net.pte")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_value_that_is_not_finite_fails(reference, value):
    outputs = outputs_of(reference)
    outputs[7][0][0, 0] = value
    with pytest.raises(ParityError, match="not finite"):
        parity.compare(reference, outputs, what="net.pte")


def test_a_shape_that_would_broadcast_fails(reference):
    outputs = [[a[:, :1] for a in sample] for sample in outputs_of(reference)]
    with pytest.raises(ParityError, match="returns shapes"):
        parity.compare(reference, outputs, what="net.pte")


def test_broad_noise_fails_although_one_output_is_huge():
    exact = [[np.array([[1e4, 1.0, 1.0]])], [np.array([[-1e4, 2.0, 1.0]])]]
    reference = parity.ReferenceRun(inputs=[], outputs=exact, eager_relative_linf=None)
    found = [[a + 0.9] for (a,) in exact]
    assert parity.relative_linf(exact[0], found[0]) < PARITY_LIMIT
    assert parity.compare(reference, found, what="x").sqnr_db > parity.LEAST_SQNR_DB
    noisy = [[a + 9.0] for (a,) in exact]
    with pytest.raises(ParityError):
        parity.compare(reference, noisy, what="x")


def test_a_network_that_ignores_its_input_is_refused():
    net = Net().eval()
    with torch.no_grad():
        net.head.weight.zero_()
    with pytest.raises(ParityError, match="barely depend on the input"):
        parity.make_reference(net, make_inputs([(1, 3, 8, 8)], seed=0))


class Pixels(Net):
    """Takes pixels of 0 to 255, which it scales itself."""

    def forward(self, x):
        return super().forward(x / 255)


def test_a_network_of_pixels_is_judged_by_what_it_does_between_inputs():
    """Noise around zero is no image to it; its outputs still differ by more than files may."""
    inputs = make_inputs([(1, 3, 8, 8)], seed=0)
    reference = parity.make_reference(Pixels().eval(), inputs)
    spread = max(parity.relative_linf(reference.outputs[0], o) for o in reference.outputs[1:])
    assert parity.SPREAD_MULTIPLE * reference.limit < spread < 1e-2


def test_the_line_about_flat_outputs_says_what_to_do():
    net = Net().eval()
    with torch.no_grad():
        net.head.weight.zero_()
    inputs = make_inputs([(1, 3, 8, 8)], seed=0)
    with pytest.raises(ParityError, match=r"needs 2\.0e-04; give other inputs$"):
        parity.make_reference(net, inputs, advice="give other inputs")
    reference = parity.make_reference(net, inputs, allow_flat=True)
    assert parity.compare(reference, outputs_of(reference), what="net.pte").relative_linf < 1e-6


class Classes(Net):
    """A class, a mask and the scores they come from."""

    def forward(self, x):
        scores = super().forward(x)
        return scores.argmax(1), scores > 0, scores


@pytest.fixture
def classes():
    return parity.make_reference(Classes().eval(), make_inputs([(1, 3, 8, 8)], seed=0))


def found_by(reference):
    """What a file returns: the same, floats in float32."""
    return [[a.astype(np.float32) if a.dtype.kind == "f" else a for a in s] for s in
            reference.outputs]  # fmt: skip


@pytest.mark.parametrize("index", [0, 1])
def test_whole_numbers_and_booleans_are_compared_exactly(classes, index):
    assert parity.compare(classes, found_by(classes), what="net.pte").relative_linf < 1e-6
    outputs = [[a.copy() for a in sample] for sample in found_by(classes)]
    outputs[5][index][0] = ~outputs[5][index][0] if index else (outputs[5][index][0] + 1) % 5
    with pytest.raises(ParityError, match=rf"values of output {index} differ") as caught:
        parity.compare(classes, outputs, what="net.pte")
    assert "\n" not in str(caught.value)


def test_whole_numbers_need_not_differ_between_inputs():
    class Background(Net):
        def forward(self, x):
            return super().forward(x).argmax(1) * 0

    reference = parity.make_reference(Background().eval(), make_inputs([(1, 3, 8, 8)], seed=0))
    figures = parity.compare(reference, found_by(reference), what="net.pte")
    assert (figures.relative_linf, figures.sqnr_db) == (0.0, 240.0)


def test_whole_numbers_of_several_batches_are_held_to_the_reference_too():
    inputs = [*make_inputs([(1, 3, 8, 8)], seed=0), *make_inputs([(3, 3, 8, 8)], seed=1)]
    reference = parity.make_reference(Classes().eval(), inputs)
    outputs = found_by(reference)
    outputs[-1][0] = (outputs[-1][0] + 1) % 5
    with pytest.raises(ParityError, match="3 of 3 int64 values of output 0 differ"):
        parity.compare(reference, outputs, what="net.pte")


def test_a_tie_that_the_last_digit_decides_is_left_open():
    class Tied(nn.Module):
        def forward(self, x):
            second = torch.cat([x[..., :1], -x[..., 1:]], -1)  # one tie in 200 places
            return torch.stack([x, second / 3.0 * 3.0]).argmax(0)

    tied = parity.make_reference(Tied(), make_inputs([(1, 200)], seed=0))
    outputs = [[a.copy() for a in sample] for sample in tied.outputs]
    open_places = [i for i, masks in enumerate(tied.undecided) if masks[0][0, 0]]
    assert open_places
    outputs[open_places[0]][0][0, 0] ^= 1
    parity.compare(tied, outputs, what="net.pte")
    outputs[open_places[0]][0][0, 1] ^= 1
    with pytest.raises(ParityError, match="1 of 200 int64 values"):
        parity.compare(tied, outputs, what="net.pte")


def test_whole_numbers_that_are_all_ties_are_refused():
    class Digits(nn.Module):
        def forward(self, x):
            return (x * 1e9).long()

    with pytest.raises(ParityError, match="output 0 is int64 and 100% of it changes"):
        parity.make_reference(Digits(), make_inputs([(1, 1, 4, 4)], seed=0))


def test_a_network_with_nan_weights_is_refused():
    net = Net().eval()
    with torch.no_grad():
        net.conv.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ParityError, match="not finite"):
        parity.make_reference(net, make_inputs([(1, 3, 8, 8)], seed=0))


def test_a_module_that_refuses_float64_is_held_to_float32():
    class Stubborn(Net):
        def forward(self, x):
            return self.head(self.conv(x).relu().mean((2, 3)).float())

    reference = parity.make_reference(Stubborn().eval(), make_inputs([(1, 3, 8, 8)], 0))
    assert reference.eager_relative_linf is None
    assert reference.limit == PARITY_LIMIT


@pytest.mark.parametrize("error", [1.5, np.nan])
def test_a_rewrite_that_changes_the_result_is_refused_by_name(reference, error):
    """On the second sample, so that the first one's distance cannot hide a NaN."""
    given = outputs_of(reference)
    parity.check_rewrite(reference, lambda sample: given.pop(0), ["fold_constants"])
    given = outputs_of(reference)
    given[1][0][0, 2] += error * reference.limit * np.abs(given[1][0]).max()
    with pytest.raises(ParityError, match=r"rewrites \(fold_constants, slice_rolls\) moved"):
        parity.check_rewrite(reference, lambda _: given.pop(0), ["fold_constants", "slice_rolls"])
