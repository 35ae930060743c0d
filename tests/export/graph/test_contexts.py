"""Context managers that users leave in ``forward``: none of them changes a float32 result."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from export.graph.program import capture
from export.passes import max_rewrite_error, run_passes
from pfd_models.errors import ModuleError

CONTEXTS = {
    "autocast off": lambda: torch.autocast("cpu", enabled=False),
    "autocast of another device": lambda: torch.autocast("cuda", enabled=False),
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
    "inference_mode": torch.inference_mode,
    "profiler": lambda: torch.profiler.record_function("head"),
}


class Net(nn.Module):
    """A convolution outside the context and a head inside it."""

    def __init__(self, *contexts):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 5)
        self.contexts = contexts

    def forward(self, x):
        y = self.conv(x).relu()
        with contextlib.ExitStack() as stack:
            for make in self.contexts:
                stack.enter_context(make())
            z = self.head(y.float().mean((2, 3)))
            return z * 2, z + 1


IMAGE = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
def test_a_region_under_a_context_is_part_of_the_graph(context):
    module = Net(context).eval()
    program = capture(module, (IMAGE,))
    operators = [str(n.target) for n in program.exported.graph.nodes if n.op == "call_function"]
    assert "aten.linear.default" in operators
    assert not any("wrap_with" in name for name in operators)
    with torch.no_grad():
        expected = module(IMAGE)
    assert all(map(torch.equal, program.run([IMAGE]), expected))
    assert max_rewrite_error(program, run_passes(program), [(IMAGE,)]) == 0.0


def test_contexts_inside_contexts_are_inlined_too():
    module = Net(CONTEXTS["enable_grad"], CONTEXTS["autocast off"], CONTEXTS["enable_grad"]).eval()
    program = capture(module, (IMAGE,))
    assert not dict(program.exported.graph_module.named_children())
    with torch.no_grad():
        expected = module(IMAGE)
    assert all(map(torch.equal, program.run([IMAGE]), expected))


def test_a_branch_on_data_under_a_context_is_still_refused():
    class Branches(nn.Module):
        def forward(self, x):
            with torch.enable_grad():
                return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))

    with pytest.raises(ModuleError, match="branches on data"):
        capture(Branches(), (IMAGE,))


def test_autocast_that_is_on_is_refused_in_its_own_words():
    module = Net(lambda: torch.autocast("cpu", dtype=torch.bfloat16))
    with pytest.raises(ModuleError, match="computes under autocast to bfloat16") as caught:
        capture(module, (IMAGE,))
    assert "data" not in str(caught.value)
    assert "\n" not in str(caught.value)
