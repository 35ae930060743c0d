"""A network captured as a graph: the value that passes rewrite and formats write.

Capture happens once. Everything later works on the exported graph, so that all files hold
the same network.
"""

from __future__ import annotations

import contextlib
import copy
import linecache
import re
import sysconfig
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from export.graph.aliasing import memory_owners, mutates
from export.sets.manifest import PassRecord, TensorSpec
from pfd_models.errors import ModuleError

__all__ = ["Program", "capture"]

_LIBRARY = re.compile(r"[\\/](torch|torch_xla|functorch)[\\/]|^<|[\\/]importlib[\\/]")
_THIS_FILE = Path(__file__).resolve()
_STDLIB = Path(sysconfig.get_path("stdlib"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An exported network with everything a file format needs to know of it.

    Attributes:
        exported: The graph with its weights, in PyTorch's training dialect of ATen.
        example: Inputs of the shapes and dtypes the graph was captured with, contiguous.
        inputs: Name, shape, dtype and layout of each input, PyTorch's layout.
        outputs: The same for each output.
        passes: Which rewrites were run and what they did.
        seconds: Wall seconds of each step so far.
    """

    exported: ExportedProgram
    example: tuple[Tensor, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    passes: tuple[PassRecord, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run the graph in eager mode and return its outputs, flattened."""
        with torch.no_grad():
            return _flatten(self.module()(*inputs))

    def module(self) -> fx.GraphModule:
        """Return the graph as a module of its own; the program is not changed by editing it."""
        return self.exported.module(check_guards=False)  # type: ignore[return-value]  # it is one


def capture(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> Program:
    """Export a module once, in eval mode, for static shapes.

    Args:
        module: Any module; its training flags are as before afterwards.
        example_inputs: Positional inputs; only their shapes and dtypes matter.

    Raises:
        ModuleError: It does not trace, its output or a shape depends on data, it returns
            something other than tensors, or it changes its own buffers. The line names the
            place in the module's source where that is known.
    """
    start = time.perf_counter()
    example = tuple(x.detach().contiguous() for x in example_inputs)
    name = type(module).__name__
    with _eval_mode(_contiguous(module)) as still, torch.no_grad():
        try:
            with warnings.catch_warnings():
                # As of a module that caches a tensor in itself; the graph is checked below.
                warnings.simplefilter("ignore")
                exported = torch.export.export(still, example, strict=False)
        except Exception as error:
            raise _refusal(name, still, example, error) from error
    _check_static(name, exported)
    outputs = _output_values(name, exported)
    return Program(
        exported=exported,
        example=example,
        inputs=_specs(example, _is_image, "image", "input"),
        outputs=_specs(outputs, lambda t: t.dim() == 2, "scores", "output"),
        seconds={"export": time.perf_counter() - start},
    )


def _flatten(outputs: object) -> list[Tensor]:
    return list(tree_leaves(outputs))


def _is_image(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and tensor.shape[1] in (1, 3)


def _specs(
    tensors: Sequence[Tensor], is_known: Callable[[Tensor], bool], known: str, other: str
) -> tuple[TensorSpec, ...]:
    """Name each tensor: `known` if exactly one is recognised, the others by number."""
    recognised = [i for i, tensor in enumerate(tensors) if is_known(tensor)]
    return tuple(
        TensorSpec(
            name=known if recognised == [i] else f"{other}_{i}",
            shape=tuple(int(d) for d in tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            layout={2: "NC", 4: "NCHW"}.get(tensor.dim(), ""),
        )
        for i, tensor in enumerate(tensors)
    )


def _contiguous(module: nn.Module) -> nn.Module:
    """Return the module itself, or a copy with contiguous weights where some are not.

    Weights in channels-last order make the lowering insert conversions between dimension
    orders, which no delegate takes.
    """
    state = [*module.parameters(), *module.buffers()]
    if all(tensor.is_contiguous() for tensor in state):
        return module
    return copy.deepcopy(module).to(memory_format=torch.contiguous_format)


@contextlib.contextmanager
def _eval_mode(module: nn.Module) -> Iterator[nn.Module]:
    """Evaluate inside, and leave every submodule's training flag as it was."""
    was = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield module
    finally:
        for part, training in was:
            part.training = training


def _check_static(name: str, exported: ExportedProgram) -> None:
    """Refuse what no file format here can hold, naming the line that made it."""
    for node in exported.graph.nodes:
        if node.op != "call_function":
            continue
        values = tree_leaves(node.meta.get("val"))
        dynamic = any(
            isinstance(v, torch.SymInt | torch.SymFloat | torch.SymBool)
            or (isinstance(v, Tensor) and any(not isinstance(d, int) for d in v.shape))
            for v in values
        )
        branches = isinstance(node.target, torch._ops.HigherOrderOperator)
        if dynamic or branches:
            what = "branches on data" if branches else "has a shape or number that depends on data"
            where = _user_line(_frames_of_trace(node.meta.get("stack_trace") or ""))
            raise ModuleError(
                f"{name} {what}{where or f', in {node.target}'}; "
                "make it independent of the input's values"
            )
    owners, signature = memory_owners(exported.graph), exported.graph_signature
    for node in exported.graph.nodes:
        if not mutates(node) or owners[node.args[0]].op != "placeholder":
            continue
        written = owners[node.args[0]].name
        where = _user_line(_frames_of_trace(node.meta.get("stack_trace") or ""))
        if written in signature.user_inputs:
            raise ModuleError(
                f"{name} changes its input {written!r} in place{where}; let forward work on a copy"
            )
        state = {**signature.inputs_to_buffers, **signature.inputs_to_parameters}
        raise ModuleError(
            f"{name} changes its buffer {state.get(written, written)!r} while it runs{where}; "
            "files hold networks without state, so make forward leave it alone"
        )


def _output_values(name: str, exported: ExportedProgram) -> list[Tensor]:
    arguments = next(n for n in exported.graph.nodes if n.op == "output").args[0]
    values = [a.meta["val"] if isinstance(a, fx.Node) else a for a in arguments]
    if not values:
        raise ModuleError(f"{name} returns nothing; let forward return a tensor")
    for value in values:
        if not isinstance(value, Tensor):
            raise ModuleError(
                f"{name} returns a {type(value).__name__} ({value!r}) beside or instead of "
                "tensors; let forward return tensors only"
            )
    return values


def _refusal(
    name: str, module: nn.Module, example: tuple[Tensor, ...], error: Exception
) -> ModuleError:
    """Tell a module that does not run at all from one that runs and cannot be traced."""
    try:
        copy.deepcopy(module)(*(x.clone() for x in example))
    except Exception as own:
        return ModuleError(_explain(f"{name} does not run", own, example))
    return ModuleError(_explain(f"{name} does not trace", error, example))


def _explain(what: str, error: Exception, example: tuple[Tensor, ...]) -> str:
    """Say in one line what failed, where in the user's source, and why."""
    frames = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    cause = error
    while isinstance(cause.__cause__ or cause.__context__, Exception):
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]  # checked above
        frames = [
            (f.filename, f.lineno or 0) for f in traceback.extract_tb(cause.__traceback__)
        ] + frames
    where = _user_line(frames) or _user_line(_frames_of_trace(str(error)))
    kind = type(error).__name__
    if kind in ("GuardOnDataDependentSymNode", "UserError", "DataDependentOutputException") or (
        "data-dependent" in str(error).lower()
    ):
        reason = "the result depends on the input's values; compute it from shapes instead"
    else:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        shapes = ", ".join("x".join(str(d) for d in x.shape) for x in example)
        reason = f"{lines[0][:200] if lines else kind} (input {shapes})"
    return f"{what}{where}: {reason}"


def _frames_of_trace(trace: str) -> list[tuple[str, int]]:
    return [(m[1], int(m[2])) for m in re.finditer(r'File "([^"]+)", line (\d+)', trace)]


def _user_line(frames: list[tuple[str, int]]) -> str:
    """Return ``, at file:line, 'source'`` for the innermost frame of the user's own code."""
    for filename, line in reversed(frames):
        path = Path(filename)
        if _LIBRARY.search(filename) or path.resolve() == _THIS_FILE or _is_pythons_own(path):
            continue
        with contextlib.suppress(ValueError):
            path = path.relative_to(Path.cwd())
        source = linecache.getline(filename, line).strip()
        return f", at {path}:{line}" + (f", {source[:80]!r}" if source else "")
    return ""


def _is_pythons_own(path: Path) -> bool:
    return path.is_relative_to(_STDLIB) and "site-packages" not in path.parts
