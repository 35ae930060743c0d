"""Capturing a module: what is named, what is kept as it was, and what is refused in one line."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.graph.program import capture
from pfd_models.errors import ModuleError


class Net(nn.Module):
    def __init__(self, forward=None):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.step = forward or (lambda self, x: x.mean((2, 3)))

    def forward(self, x):
        return self.step(self, self.norm(self.conv(x)))


IMAGE = torch.randn(1, 3, 8, 8)


def refusal(module, *inputs):
    with pytest.raises(ModuleError) as caught:
        capture(module, inputs or (IMAGE,))
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_names_shapes_and_layouts():
    program = capture(Net(), (IMAGE,))
    (image,), (scores,) = program.inputs, program.outputs
    assert (image.name, image.shape, image.dtype, image.layout) == (
        "image", (1, 3, 8, 8), "float32", "NCHW",
    )  # fmt: skip
    assert (scores.name, scores.shape, scores.layout) == ("scores", (1, 4), "NC")


def test_several_inputs_and_outputs_are_numbered_but_for_those_with_a_key():
    class Two(nn.Module):
        def forward(self, a, b):
            return a + b, {"more": (a * b).flatten(2)}

    program = capture(Two(), (torch.randn(1, 5, 4, 4), torch.randn(1, 5, 4, 4)))
    assert [s.name for s in program.inputs] == ["input_0", "input_1"]
    assert [s.name for s in program.outputs] == ["output_0", "more"]
    assert [s.layout for s in program.outputs] == ["NCHW", ""]


def test_training_flags_and_weights_are_left_as_they_were():
    module = Net()
    module.train()
    module.norm.eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    program = capture(module, (IMAGE,))
    assert (module.training, module.conv.training, module.norm.training) == (True, True, False)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    with torch.no_grad():
        expected = module.eval()(IMAGE)
    assert torch.equal(program.run([IMAGE])[0], expected)


def test_channels_last_weights_and_inputs_become_contiguous():
    module = Net().to(memory_format=torch.channels_last)
    program = capture(module, (IMAGE.to(memory_format=torch.channels_last),))
    assert all(t.is_contiguous() for t in (*program.example, *program.exported.state_dict.values()))
    assert not module.conv.weight.is_contiguous()  # the user's own stay


def test_a_branch_on_data_names_the_line():
    def branch(self, x):
        if x.sum() > 0:  # the offending line
            return x
        return x * 2

    line = refusal(Net(branch))
    assert "Net does not trace" in line
    assert f"test_program.py:{branch.__code__.co_firstlineno + 1}" in line
    assert "if x.sum() > 0:" in line


def test_a_shape_that_depends_on_data_names_the_line():
    class Select(nn.Module):
        def forward(self, x):
            return x[x > 0]

    line = refusal(Select())
    assert f"test_program.py:{Select.forward.__code__.co_firstlineno + 1}" in line
    assert "return x[x > 0]" in line
    assert "depends on data" in line


def test_a_number_taken_from_data_is_refused():
    line = refusal(Net(lambda self, x: x * x.max().item()))
    assert "test_program.py" in line


def test_a_wrong_input_shape_names_the_line_and_the_shape():
    line = refusal(Net(), torch.randn(1, 5, 8, 8))
    assert "does not run" in line
    assert "1x5x8x8" in line
    assert "test_program.py" in line


def test_an_error_of_the_module_itself_names_its_line():
    def fail(self, x):
        raise ValueError("no such head")

    line = refusal(Net(fail))
    assert "no such head" in line
    assert f"test_program.py:{fail.__code__.co_firstlineno + 1}" in line


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (lambda self, x: (x, 3), "returns a int"),
        (lambda self, x: None, "returns"),
        (lambda self, x: {"scores": x, "name": "cat"}, "returns a str"),
    ],
    ids=["number", "nothing", "text"],
)
def test_outputs_that_are_no_tensors_are_refused(result, says):
    assert says in refusal(Net(result))


def test_a_module_that_changes_its_buffer_is_refused():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x):
            self.calls += 1
            return x + self.calls

    module = Counter()
    line = refusal(module)
    assert "'calls'" in line
    assert "self.calls += 1" in line
    assert module.calls == 0  # capturing has not run it


def test_a_module_that_changes_its_input_is_refused():
    class Writes(nn.Module):
        def forward(self, x):
            return x.add_(1)

    line = refusal(Writes(), IMAGE.clone())
    assert "changes its input 'x' in place" in line
    assert "return x.add_(1)" in line


def test_writing_into_a_value_of_its_own_is_fine():
    class Writes(nn.Module):
        def forward(self, x):
            y = x * 2
            y.add_(1)
            return y

    assert torch.equal(capture(Writes(), (IMAGE,)).run([IMAGE])[0], IMAGE * 2 + 1)


def test_control_flow_in_the_graph_is_refused():
    class Cond(nn.Module):
        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))

    assert "branches on data" in refusal(Cond())


def test_a_module_that_caches_a_tensor_in_itself_is_captured():
    class Caches(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.cache = nn.Parameter(torch.randn(4)), {}

        def forward(self, x):
            if "index" not in self.cache:
                self.cache["index"] = self.table[torch.tensor([3, 2, 1, 0])]
            return x * self.cache["index"]

    module, x = Caches(), torch.randn(2, 4)
    assert torch.equal(capture(module, (x,)).run([x])[0], x * module.table.detach().flip(0))


def test_dropout_that_stays_on_in_eval_is_named():
    class Drops(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.1)

    line = refusal(Drops())
    assert "draws random numbers in eval mode" in line
    assert "training=self.training" in line
    assert "'return F.dropout(x, 0.1)'" in line


def test_dropout_that_is_off_in_eval_is_no_random_number():
    heads = (
        lambda self, x: F.dropout(x, 0.1, self.training) + F.rrelu(x, training=self.training),
        lambda self, x: F.scaled_dot_product_attention(x, x, x) + F.dropout(x, 0.0),
    )
    for head in heads:
        assert capture(Net(head), (IMAGE,)).outputs[0].shape == (1, 4, 6, 6)


def test_a_batch_norm_without_statistics_is_named():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    line = refusal(module)
    assert "normalises by the batch it is given (it has no running statistics" in line
    assert "track_running_stats=True" in line


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_part_of_torchscript_that_does_not_trace_is_named():
    class Branches(nn.Module):
        def forward(self, x):
            if x.sum() > 0:
                return x
            return x * 2

    line = refusal(nn.Sequential(nn.Conv2d(3, 4, 3), torch.jit.script(Branches())))
    assert "its part '1' is TorchScript; give the Python module" in line
