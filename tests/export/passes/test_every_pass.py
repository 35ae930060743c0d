"""What holds for all passes: each is listed, says why it exists, and fires where it should.

One row per rewrite: a graph where the pass fires, how often, what it removes and what it leaves;
how exact it is; and a twin, alike but for the one thing that matters, where it must not fire.
"""

from __future__ import annotations

import copy
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import export.passes
from export.graph.program import capture
from export.passes import PASSES


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pass, a graph it rewrites and one it leaves alone.

    Attributes:
        fires: Where it fires.
        removes: The operator that is gone afterwards.
        leaves: Operators that stand there instead, with their number.
        twin: Where it must not fire.
        shape: Of the input of both.
        rewrites: How often it fires.
        error: 0.0 where the rewrite must be bit-equal, else the relative limit.
        outside: What no delegate takes.
    """

    name: str
    fires: Any
    removes: str
    leaves: dict[str, int]
    twin: Any
    shape: tuple[int, ...] = (2, 8, 12, 12)
    rewrites: int = 1
    error: float = 0.0
    outside: list[str] = field(default_factory=list)


def write_into_own(x: Tensor) -> Tensor:
    y = x * 2.0
    y.add_(1.0)
    return y.relu_()


def write_through_view(x: Tensor) -> Tensor:
    y = x * 2.0
    view = y[:, :4]
    y.relu_()
    return view + 1.0


class Biased(nn.Module):
    """Adds a bias gathered from a parameter, as attention with relative positions does."""

    def __init__(self, *, constant: bool) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(20))
        self.register_buffer("index", torch.arange(144).reshape(12, 12) % 20)
        self.constant = constant

    def forward(self, x: Tensor) -> Tensor:
        if self.constant:
            return x + self.table[self.index]
        return x + x.flatten()[self.index]


class Positional(nn.Module):
    """Adds a parameter that is expanded first, as ParC's positional embedding is."""

    def __init__(self, *, expand: bool) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(1, 8, 12, 1))
        self.expand = expand

    def forward(self, x: Tensor) -> Tensor:
        added = self.embedding.expand(1, 8, 12, 12) if self.expand else self.embedding
        return x + added


class Sloped(nn.Module):
    """A PReLU over tokens, or over a map."""

    def __init__(self, *, rank: int) -> None:
        super().__init__()
        self.slopes, self.rank = nn.PReLU(8), rank

    def forward(self, x: Tensor) -> Tensor:
        return self.slopes(x.flatten(2) if self.rank == 3 else x)


class Recurrent(nn.Module):
    """The outputs of a bidirectional recurrent layer, without its last state."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer(4, 5, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


def concatenated(make: Callable[[Tensor], list[Tensor]]) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.cat(make(x), 1)


def normalized(layer: nn.Module, *between: nn.Module) -> nn.Module:
    """A layer with six channels and a norm that has seen a batch."""
    norm = nn.BatchNorm2d(6)
    torch.manual_seed(1)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        tensor.data = torch.rand(6) + 0.5
    return nn.Sequential(layer, *between, norm).eval()


def scaled(layer: nn.Module) -> nn.Module:
    """A layer that reads an image after its normalisation."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer((x - 0.4) / 0.2)

    return Scaled()


def heads(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x * 1.5, x + 0.5, x - 0.5


CASES = [
    Case(
        name="functionalize_mutations",
        fires=write_into_own,
        removes="relu_.default",
        leaves={"relu.default": 1, "add.Tensor": 1},
        twin=write_through_view,
        rewrites=2,
    ),
    Case(
        name="unroll_recurrence",
        fires=Recurrent(nn.GRU),
        removes="gru.input",
        leaves={"tanh.default": 6, "linear.default": 8},
        twin=nn.Linear(4, 5),
        shape=(1, 3, 4),
        error=1e-5,
    ),
    Case(
        name="fold_constants",
        fires=Biased(constant=True),
        removes="index.Tensor",
        leaves={"add.Tensor": 1},
        twin=Biased(constant=False),
    ),
    Case(
        name="remove_noops",
        fires=lambda x: F.relu(x)[:, :8],
        removes="alias.default",
        leaves={"relu.default": 1},
        twin=lambda x: F.relu(x)[:, :7],
    ),
    Case(
        name="convert_before_moves",
        fires=lambda x: (x.int().permute(1, 2, 0).unsqueeze(0) / 4).to(x.dtype),
        removes="",
        leaves={"to.dtype": 3, "permute.default": 1},
        twin=lambda x: x.int().to(x.dtype).permute(1, 2, 0).unsqueeze(0) / 4,
        shape=(3, 12, 12),
        outside=["dim_order_ops._to_dim_order_copy.default"],
    ),
    Case(
        name="fold_batch_norms",
        fires=normalized(nn.Conv2d(8, 6, 3, bias=False)),
        removes="batch_norm.default",
        leaves={"conv2d.default": 1},
        twin=normalized(nn.Conv2d(8, 6, 3), nn.ReLU()),
        error=1e-6,
    ),
    Case(
        name="fold_normalisation",
        fires=scaled(nn.Conv2d(8, 6, 3)),
        removes="sub.Tensor",
        leaves={"conv2d.default": 1},
        twin=scaled(nn.MaxPool2d(3)),
        rewrites=2,
        error=1e-6,
    ),
    Case(
        name="slice_rolls",
        fires=lambda x: x.roll((1, 2), (2, 3)),
        removes="roll.default",
        leaves={"slice.Tensor": 4, "cat.default": 2},
        twin=lambda x: x.flip(3),
    ),
    Case(
        name="slice_chunks",
        fires=concatenated(lambda x: list(x.chunk(2, 1))[::-1]),
        removes="chunk.default",
        leaves={"slice.Tensor": 2},
        twin=lambda x: x[:, 4:],
    ),
    Case(
        name="unstride_slices",
        fires=lambda x: x[:, :, 1::2, ::3],
        removes="slice.Tensor.step",
        leaves={"avg_pool2d.default": 1},
        twin=lambda x: x[:, :, 2:8, 1:5],
        rewrites=2,
    ),
    Case(
        name="reshape_squeezes",
        fires=lambda x: x.mean((2, 3), keepdim=True).squeeze(3).unsqueeze(1),
        removes="squeeze.dim",
        leaves={"reshape.default": 2},
        twin=lambda x: x.flatten(1),
        rewrites=2,
    ),
    Case(
        name="concatenate_repeats",
        fires=lambda x: x.repeat(1, 2, 1, 1).repeat_interleave(2, dim=3),
        removes="repeat.default",
        leaves={"cat.default": 2},
        twin=lambda x: torch.cat([x, x], 1),
        rewrites=2,
    ),
    Case(
        name="decompose_nearest",
        fires=lambda x: F.interpolate(F.interpolate(x, size=(23, 24)), scale_factor=2.5),
        removes="upsample_nearest2d.vec",
        leaves={"cat.default": 2, "linear.default": 2},
        twin=lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        rewrites=2,
    ),
    Case(
        name="decompose_unfold",
        fires=lambda x: F.unfold(x, (3, 2), dilation=(1, 2), padding=1, stride=2),
        removes="im2col.default",
        leaves={"conv2d.default": 1},
        twin=lambda x: F.conv2d(x, torch.ones(8, 1, 3, 3), groups=8),
    ),
    Case(
        name="concatenate_pads",
        fires=lambda x: F.pad(x, (1, 2, 0, 1), mode="reflect"),
        removes="pad.default",
        leaves={"cat.default": 2, "slice.Tensor": 4},
        twin=lambda x: F.pad(x, (1, 2, 0, 1)),
    ),
    Case(
        name="copy_repeated_inputs",
        fires=concatenated(lambda x: [x, x]),
        removes="",
        leaves={"cat.default": 1, "mul.Tensor": 1},
        twin=concatenated(lambda x: [x, x, x + 1.0]),
    ),
    Case(
        name="decompose_adaptive_pools",
        fires=nn.AdaptiveMaxPool2d(4),
        removes="adaptive_max_pool2d.default",
        leaves={"max_pool2d.default": 1},
        twin=nn.MaxPool2d(4),
    ),
    Case(
        name="pad_average_pools",
        fires=nn.AvgPool2d(3, 2, 1),
        removes="",
        leaves={"avg_pool2d.default": 1, "constant_pad_nd.default": 1},
        twin=nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    ),
    Case(
        name="decompose_hardsigmoid",
        fires=F.hardsigmoid,
        removes="hardsigmoid.default",
        leaves={"add.Tensor": 1, "hardtanh.default": 1, "div.Tensor": 1},
        twin=F.hardswish,
    ),
    Case(
        name="decompose_tanh_gelu",
        fires=lambda x: F.gelu(x, approximate="tanh"),
        removes="gelu.default",
        leaves={"tanh.default": 1},
        twin=F.gelu,
        error=1e-6,
    ),
    Case(
        name="decompose_elu",
        fires=lambda x: F.celu(F.selu(F.elu(x, 0.7)), 1.3),
        removes="elu.default",
        leaves={"exp.default": 3, "relu.default": 3},
        twin=F.leaky_relu,
        rewrites=3,
        error=1e-6,
    ),
    Case(
        name="decompose_prelu",
        fires=Sloped(rank=3),
        removes="prelu.default",
        leaves={"relu.default": 1, "clamp.default": 1},
        twin=Sloped(rank=4),
    ),
    Case(
        name="decompose_softplus",
        fires=lambda x: F.mish(x) + F.softplus(x, 2.0) + F.logsigmoid(x),
        removes="mish.default",
        leaves={"log.default": 3, "exp.default": 3},
        twin=lambda x: F.softplus(x, threshold=1.0),
        rewrites=3,
        error=1e-6,
    ),
    Case(
        name="decompose_log_softmax",
        fires=lambda x: F.log_softmax(x, 1) - x.logsumexp((1, 3), keepdim=True),
        removes="log_softmax.int",
        leaves={"amax.default": 2, "log.default": 2},
        twin=lambda x: F.softmax(x, 1),
        rewrites=2,
        error=1e-6,
    ),
    Case(
        name="expand_powers",
        fires=lambda x: x**2.0 + x**3 + x.abs() ** 0.5 + 1.0 / (x.abs() + 1.0),
        removes="pow.Tensor_Scalar",
        leaves={"sqrt.default": 1, "div.Tensor": 1},
        twin=lambda x: x.abs() ** 0.75,
        rewrites=4,
    ),
    Case(
        name="multiply_alpha",
        fires=lambda x: torch.rsub(torch.add(x, x.relu(), alpha=2), 1.5, alpha=3),
        removes="",
        leaves={"mul.Tensor": 2, "add.Tensor": 1, "rsub.Scalar": 1},
        twin=lambda x: torch.rsub(torch.add(x, x.relu()), 1.5),
        rewrites=2,
        error=1e-6,
    ),
    Case(
        name="decompose_layer_norm",
        fires=nn.LayerNorm(12),
        removes="layer_norm.default",
        leaves={"linear.default": 2, "rsqrt.default": 1},
        twin=nn.BatchNorm2d(8),
        error=1e-5,
    ),
    Case(
        name="decompose_group_norm",
        fires=nn.Sequential(nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True)),
        removes="group_norm.default",
        leaves={"mean.dim": 4, "rsqrt.default": 2},
        twin=nn.LayerNorm(12),
        rewrites=2,
        error=1e-5,
    ),
    Case(
        name="decompose_variance",
        fires=lambda x: x.var(1, keepdim=True) + x.std((2, 3), keepdim=True),
        removes="var.correction",
        leaves={"mean.dim": 4, "sqrt.default": 1},
        twin=lambda x: x.mean(1, keepdim=True),
        rewrites=2,
        error=1e-5,
    ),
    Case(
        name="pool_maxima",
        fires=lambda x: x.amax((2, 3), keepdim=True) + x.max(1, keepdim=True)[0] + x.amin(3, True),
        removes="amax.default",
        leaves={"max_pool2d.default": 3, "neg.default": 2},
        twin=lambda x: x.max(1)[1].float(),
        rewrites=3,
    ),
    Case(
        name="keep_mean_dims",
        fires=lambda x: x.mean((2, 3)),
        removes="",
        leaves={"mean.dim": 1, "reshape.default": 1},
        twin=lambda x: x.mean((2, 3), keepdim=True),
    ),
    Case(
        name="reduce_by_product",
        fires=lambda x: F.normalize(x, dim=1) * x.mean(1, keepdim=True) + x.sum(3, keepdim=True),
        removes="linalg_vector_norm.default",
        leaves={"linear.default": 3},
        twin=lambda x: x.mean((2, 3), keepdim=True),
        rewrites=3,
        error=1e-5,
    ),
    Case(
        name="decompose_attention",
        fires=lambda x: F.scaled_dot_product_attention(*heads(x)),
        removes="scaled_dot_product_attention.default",
        leaves={"bmm.default": 2, "softmax.int": 1},
        twin=lambda x: torch.bmm(x.flatten(0, 1), x.flatten(0, 1)).softmax(-1),
        error=1e-5,
    ),
    Case(
        name="flatten_matmuls",
        fires=lambda x: x @ x.transpose(2, 3),
        removes="matmul.default",
        leaves={"bmm.default": 1},
        twin=lambda x: torch.bmm(x.flatten(0, 1), x.flatten(0, 1)),
    ),
    Case(
        name="flatten_softmax",
        fires=lambda x: x.softmax(-1),
        removes="",
        leaves={"softmax.int": 1, "reshape.default": 2},
        twin=lambda x: x.flatten(2).softmax(-1),
    ),
    Case(
        name="broadcast_expands",
        fires=Positional(expand=True),
        removes="expand.default",
        leaves={"add.Tensor": 1},
        twin=Positional(expand=False),
    ),
    Case(
        name="use_float_scalars",
        fires=lambda x: (x + 3) * 2 - (1 - x / 6),
        removes="",
        leaves={"add.Tensor": 1, "mul.Tensor": 1},
        twin=lambda x: (x + 3.0) * 2.0 - (1.0 - x / 6.0),
        rewrites=4,
    ),
]


def test_every_pass_file_is_in_the_tuple_and_in_this_table():
    files = {m.name for m in pkgutil.iter_modules(export.passes.__path__) if m.name[0] != "_"}
    listed = [p.__name__.rpartition(".")[2] for p in PASSES]
    assert sorted(listed) == sorted(files)
    assert sorted(case.name for case in CASES) == sorted(files)


@pytest.mark.parametrize("rewrite", PASSES, ids=lambda p: p.__name__.rpartition(".")[2])
def test_docstring_gives_reason_and_algebra(rewrite):
    assert "Reason:" in rewrite.__doc__
    assert "Algebra" in rewrite.__doc__


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fires_and_computes_the_same(rig, case):
    outcome = rig.alone(_pass(case), case.fires, torch.randn(case.shape))
    assert outcome.rewrites == case.rewrites
    assert case.removes not in outcome.after
    assert {op: outcome.after[op] for op in case.leaves} == case.leaves
    assert outcome.error <= case.error


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_does_not_fire_on_the_twin(rig, case):
    outcome = rig.alone(_pass(case), case.twin, torch.randn(case.shape))
    assert outcome.rewrites == 0
    assert outcome.after == outcome.before
    assert outcome.error == 0.0


USUAL = [case for case in CASES if case.shape == Case.shape]


class Together(nn.Module):
    """What fires in every case, from one input."""

    def __init__(self, functions: list[Any]) -> None:
        super().__init__()
        self.functions = functions
        self.layers = nn.ModuleList(f for f in functions if isinstance(f, nn.Module))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(x) for function in self.functions)


def test_one_delegate_takes_all_results_side_by_side(rig):
    everything = Together([copy.deepcopy(case.fires) for case in USUAL])
    outcome = rig.delegated(everything, torch.randn(1, *Case.shape[1:]))
    assert (outcome.delegates, outcome.left) == (1, [])
    # The rig puts a convolution in front, so no normalisation reads the image itself here.
    assert {case.name for case in USUAL} - {"fold_normalisation"} <= set(outcome.fired)
    errors = {case.name: error for case, error in zip(USUAL, outcome.errors, strict=True)}
    assert {name: error for name, error in errors.items() if not error <= 1e-5} == {}


@pytest.mark.parametrize(
    "case",
    # All by themselves with the slow tests, to see which one it is.
    [pytest.param(c, marks=[pytest.mark.slow] if c in USUAL else []) for c in CASES],
    ids=lambda case: case.name,
)
def test_one_delegate_takes_the_result(rig, case):
    outcome = rig.delegated(case.fires, torch.randn(1, *case.shape[1:]))
    assert (outcome.delegates, outcome.left) == (1, case.outside)
    assert outcome.error <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=["double", "half"])
def test_no_pass_changes_a_type(rig, dtype):
    """Constants that a pass inserts take the type of what they meet."""
    wrong = []
    for case in CASES:
        module = case.fires if isinstance(case.fires, nn.Module) else rig.call(case.fires)
        x = torch.randn(case.shape, dtype=dtype)
        captured = capture(copy.deepcopy(module).to(dtype), (x,))
        graph_module = captured.module()
        graph_module.graph.eliminate_dead_code()
        (before,) = captured.run([x])
        assert _pass(case).rewrite(graph_module.graph) == case.rewrites
        graph_module.recompile()
        with torch.no_grad():
            after = graph_module(x)
        error = float((after - before).abs().max() / before.abs().max())
        if after.dtype != dtype or not error < (1e-9 if dtype == torch.float64 else 2e-2):
            wrong.append((case.name, after.dtype, error))
    assert wrong == []


def _pass(case: Case):
    return importlib.import_module(f"export.passes.{case.name}")
