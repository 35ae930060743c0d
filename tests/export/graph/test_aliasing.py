"""Which memory a call writes into: the storages decide, not what a schema allows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.graph.aliasing import owns_memory
from export.graph.program import capture
from export.passes import functionalize_mutations, max_rewrite_error, run_passes
from pfd_models.errors import ModuleError


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def camera(x):
    """Pixels as a camera gives them, channels last, normalised in place."""
    y = x.permute(0, 3, 1, 2).contiguous()
    y.sub_(127.5)
    y[:, :1].mul_(2.0)
    return y.div_(128.0)


FRAME = torch.randint(0, 256, (1, 6, 4, 3), generator=torch.Generator().manual_seed(0)).float()


def test_a_contiguous_copy_of_the_input_may_be_changed_in_place():
    module, before = Call(camera), FRAME.clone()
    program = capture(module, (FRAME,))
    assert torch.equal(program.run([FRAME])[0], camera(FRAME))
    assert max_rewrite_error(program, run_passes(program), [(FRAME,)]) == 0.0
    assert torch.equal(FRAME, before)


def test_a_view_of_the_input_may_not():
    def writes(x):
        y = x.permute(0, 3, 1, 2).permute(0, 2, 3, 1).contiguous()  # the input's own memory
        return y.sub_(1.0)

    with pytest.raises(ModuleError, match="changes its input 'x' in place"):
        capture(Call(writes), (FRAME.clone(),))


def test_the_argument_that_is_written_need_not_be_the_first():
    def writes(x):
        torch.add(x, 1.0, out=x)
        return x * 2

    with pytest.raises(ModuleError, match="changes its input 'x' in place"):
        capture(Call(writes), (FRAME.clone(),))


def test_a_piece_that_was_split_off_before_a_write_sees_it():
    def function(x):
        y = x * 2.0
        first, _ = y.chunk(2, 1)
        y.add_(1.0)
        return first - y[:, 3:]

    program = capture(Call(function), (FRAME,))
    for passes in ((functionalize_mutations,), None):
        after = run_passes(program, passes) if passes else run_passes(program)
        assert max_rewrite_error(program, after, [(FRAME,)]) == 0.0


def test_a_view_that_begins_inside_does_not_own_its_memory():
    packed = torch.randn(6, 4)
    assert owns_memory(packed)
    assert owns_memory(packed[3:].clone())
    assert not any(map(owns_memory, (packed[3:], packed[:3], packed.t(), packed.expand(2, 6, 4))))
