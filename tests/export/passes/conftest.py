"""What every pass is held to: it fires, it computes the same, and one delegate takes the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from export.formats import WriteOptions, pte
from export.graph.program import capture
from export.passes import max_rewrite_error, run_passes


@dataclass(frozen=True)
class Alone:
    """One pass, run by itself."""

    rewrites: int
    before: Counter[str]
    after: Counter[str]
    error: float


@dataclass(frozen=True)
class Delegated:
    """All passes, then ExecuTorch: the file against the module in eager mode, by output."""

    delegates: int
    left: list[str]
    fired: list[str]
    errors: list[float]

    @property
    def error(self) -> float:
        (error,) = self.errors
        return error


class Call(nn.Module):
    """A function as a module, its parameters and buffers by name."""

    def __init__(self, function: Callable[..., Any], **tensors: Tensor) -> None:
        super().__init__()
        self.function = function
        self.names = tuple(tensors)
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs, **{name: getattr(self, name) for name in self.names})


@dataclass(frozen=True)
class Rig:
    """Runs a module or function through one pass, or through the whole chain."""

    folder: Any
    call: type[Call] = field(default=Call)

    def alone(self, rewrite: ModuleType, module: Any, *inputs: Tensor) -> Alone:
        module = _module(module)
        captured = capture(module, inputs)
        rewritten = run_passes(captured, (rewrite,))
        return Alone(
            rewrites=rewritten.passes[0].rewrites,
            before=_operators(captured),
            after=_operators(rewritten),
            error=max_rewrite_error(captured, rewritten, [inputs, [x * 3 + 1 for x in inputs]]),
        )

    def delegated(self, module: Any, *inputs: Tensor) -> Delegated:
        """Put a convolution in front, so that values lie channels last as in a network."""
        torch.manual_seed(0)
        module = _module(module).eval()
        if inputs[0].dim() == 4:
            channels = inputs[0].shape[1]
            module = nn.Sequential(nn.Conv2d(channels, channels, 1), module).eval()
        program = run_passes(capture(module, inputs))
        path = self.folder / "case.pte"
        written = pte.write(program, path, WriteOptions())
        with torch.no_grad():
            outputs = module(*inputs)
        expected = outputs if isinstance(outputs, tuple) else (outputs,)
        found = pte.load(path)([x.numpy() for x in inputs])
        assert written.delegates is not None
        return Delegated(
            delegates=written.delegates,
            left=[leftover.op for leftover in written.leftovers],
            fired=[record.name for record in program.passes if record.rewrites],
            errors=[
                float(abs(ours - theirs.numpy()).max() / theirs.abs().max())
                for ours, theirs in zip(found, expected, strict=True)
            ],
        )


@pytest.fixture
def rig(tmp_path):
    torch.manual_seed(0)
    return Rig(tmp_path)


def _module(module: Any) -> nn.Module:
    return module if isinstance(module, nn.Module) else Call(module)


def _operators(program: Any) -> Counter[str]:
    return Counter(
        str(node.target).removeprefix("aten.")
        for node in program.exported.graph.nodes
        if node.op == "call_function"
    )
