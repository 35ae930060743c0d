"""Why a module cannot be captured: one line that names the place in the user's source."""

from __future__ import annotations

import contextlib
import copy
import linecache
import re
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from export.graph.aliasing import memory_owners, written_arguments
from pfd_models.errors import ModuleError

__all__ = ["explain_failure", "require_static", "require_tensors"]

_LIBRARY = re.compile(r"[\\/](torch|torch_xla|functorch)[\\/]|^<|[\\/]importlib[\\/]")
_THIS_FOLDER = Path(__file__).resolve().parent
_STDLIB = Path(sysconfig.get_path("stdlib"))


def require_static(name: str, exported: ExportedProgram) -> None:
    """Refuse what no file format here can hold.

    Args:
        name: How the line calls the module.
        exported: Its graph.

    Raises:
        ModuleError: A shape, a number or a branch depends on data, a result is random or of
            another precision, a batch norm has no statistics, or the module writes into an input
            or a buffer.
    """
    for node in exported.graph.nodes:
        if node.op != "call_function":
            continue
        if (what := _refuse_call(node)) is not None:
            problem, advice = what
            where = _line_of(node) or f", in {node.target}"
            raise ModuleError(f"{name} {problem}{where}; {advice}")
    _require_stateless(name, exported)


def _refuse_call(node: fx.Node) -> tuple[str, str] | None:
    """Return what is wrong with a call and what to do about it, or None."""
    advice = "make it independent of the input's values"
    if node.target is torch.ops.higher_order.wrap_with_autocast:
        dtype = str(node.args[1]).removeprefix("torch.")
        return f"computes under autocast to {dtype}", "leave torch.autocast out of forward"
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return "branches on data", advice
    values = tree_leaves(node.meta.get("val"))
    if any(
        isinstance(v, torch.SymInt | torch.SymFloat | torch.SymBool)
        or (isinstance(v, Tensor) and any(not isinstance(d, int) for d in v.shape))
        for v in values
    ):
        return "has a shape or number that depends on data", advice
    if isinstance(node.target, torch._ops.OpOverload):
        if _is_random(node, node.target):
            return (
                "draws random numbers in eval mode (as dropout does that is called without "
                "training=self.training)",
                "let forward leave them out when self.training is false",
            )
        if node.target is torch.ops.aten.batch_norm.default and node.args[5]:
            return (
                "has a batch norm that normalises by the batch it is given (it has no running "
                "statistics, or training=True)",
                "make it with track_running_stats=True and train it",
            )
    return None


def _is_random(node: fx.Node, target: torch._ops.OpOverload) -> bool:
    """Whether a call's result is another each time: tagged so, and not switched off."""
    if torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    given = {
        a.name: node.kwargs.get(a.name, node.args[i] if i < len(node.args) else a.default_value)
        for i, a in enumerate(target._schema.arguments)
    }
    if given.get("train", given.get("training", True)) is False:
        return False
    return bool(given.get("p", given.get("dropout_p", 1.0)) != 0.0)


def _require_stateless(name: str, exported: ExportedProgram) -> None:
    """Refuse a graph that writes into an input, a buffer or a parameter."""
    owners, signature = memory_owners(exported.graph), exported.graph_signature
    state = {**signature.inputs_to_buffers, **signature.inputs_to_parameters}
    for node in exported.graph.nodes:
        for argument in written_arguments(node):
            if owners[argument].op != "placeholder":
                continue
            written, where = owners[argument].name, _line_of(node)
            if written in signature.user_inputs:
                raise ModuleError(
                    f"{name} changes its input {written!r} in place{where}; let forward work on "
                    "a copy"
                )
            raise ModuleError(
                f"{name} changes its buffer {state.get(written, written)!r} while it runs{where}; "
                "files hold networks without state, so make forward leave it alone"
            )


def require_tensors(name: str, values: Iterable[object]) -> None:
    """Refuse outputs that no file can return.

    Args:
        name: How the line calls the module.
        values: What it returns, flattened.

    Raises:
        ModuleError: There is none, or one is no tensor.
    """
    values = list(values)
    if not values:
        raise ModuleError(f"{name} returns nothing; let forward return a tensor")
    for value in values:
        if not isinstance(value, Tensor):
            raise ModuleError(
                f"{name} returns a {type(value).__name__} ({value!r}) beside or instead of "
                "tensors; let forward return tensors only"
            )


def explain_failure(
    name: str, module: nn.Module, example: tuple[Tensor, ...], error: Exception
) -> ModuleError:
    """Tell a module that does not run at all from one that runs and cannot be traced.

    Args:
        name: How the line calls the module.
        module: What was captured.
        example: Its inputs.
        error: What the capture raised.

    Returns:
        The error to raise instead.
    """
    try:
        copy.deepcopy(module)(*(x.clone() for x in example))
    except Exception as own:
        return ModuleError(_explain(f"{name} does not run", own, example))
    scripted = [p for p, part in module.named_modules() if isinstance(part, torch.jit.ScriptModule)]
    if scripted:
        return ModuleError(
            f"{name} does not trace: its part {scripted[0]!r} is TorchScript; give the Python "
            "module it was made from"
        )
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


def _line_of(node: fx.Node) -> str:
    return _user_line(_frames_of_trace(node.meta.get("stack_trace") or ""))


def _user_line(frames: list[tuple[str, int]]) -> str:
    """Return ``, at file:line, 'source'`` for the innermost frame of the user's own code."""
    for filename, line in reversed(frames):
        path = Path(filename)
        if _LIBRARY.search(filename) or _is_ours_or_pythons(path):
            continue
        with contextlib.suppress(ValueError):
            path = path.relative_to(Path.cwd())
        source = linecache.getline(filename, line).strip()
        return f", at {path}:{line}" + (f", {source[:80]!r}" if source else "")
    return ""


def _is_ours_or_pythons(path: Path) -> bool:
    if path.resolve().is_relative_to(_THIS_FOLDER):
        return True
    return path.is_relative_to(_STDLIB) and "site-packages" not in path.parts
