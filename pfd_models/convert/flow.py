"""Run a model once and record which module's output goes where.

A conversion must know what follows a convolution as *executed*: the order of registration says
nothing about it, and tracing fails on networks that merely run. So every module is watched with
hooks and every torch function with a function mode, and tensors are followed by identity.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from pfd_models.convert.sites import size_text
from pfd_models.errors import ConversionError

__all__ = ["Flow", "Shape", "record_flow"]

Shape = tuple[int, ...]
_ELEMENTWISE = frozenset({"add", "iadd", "radd", "sub", "isub", "rsub", "mul", "imul", "rmul"})


class Flow(TorchFunctionMode):
    """What one run of a model did.

    Attributes:
        calls: Input and output shape of each call of a module, in order; modules that take or
            give no tensor are missing.
        broadcasts: (module name, function) of each addition, subtraction or multiplication whose
            operands differed in height or width.
    """

    def __init__(
        self, model: nn.Module, sites: Mapping[nn.Module, str], allowed: Flow | None
    ) -> None:
        super().__init__()
        self.calls: dict[nn.Module, list[tuple[Shape, Shape]]] = {}
        self.broadcasts: set[tuple[str, str]] = set()
        self._names = {module: name for name, module in model.named_modules()}
        self._sites = sites
        self._allowed = allowed
        self._stack: list[nn.Module] = []
        self._output: dict[nn.Module, Tensor] = {}
        self._source: dict[nn.Module, tuple[nn.Module, ...]] = {}
        self._users: dict[int, list[tuple[nn.Module, ...]]] = {}
        self._site_of: dict[int, str] = {}
        self._alive: list[Tensor] = []  # an identity is only unique while its tensor lives

    def shapes(self, module: nn.Module) -> tuple[Shape, Shape] | None:
        """Return input and output shape of the module's first call, None where it never ran."""
        calls = self.calls.get(module)
        return calls[0] if calls else None

    def sole_consumer(self, module: nn.Module) -> nn.Module | None:
        """Return the module that alone takes `module`'s output, or None.

        None also where the output goes to a function called in some module's own code, to
        several modules, or out of the model, and where either module runs more than once.
        """
        if len(self.calls.get(module, ())) != 1:
            return None
        around = self._source[module]
        consumers: set[nn.Module | None] = set()
        for stack in self._users.get(id(self._output[module]), ()):
            inner = [user for user in stack if user not in around and user is not module]
            consumers.add(inner[0] if inner else None)
        if len(consumers) != 1:
            return None
        (consumer,) = consumers
        return consumer if consumer and len(self.calls.get(consumer, ())) == 1 else None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the function and note who called it on what."""
        kwargs = kwargs or {}
        operands = _tensors((args, kwargs))
        name = getattr(func, "__name__", str(func)).strip("_")
        self._refuse_new_broadcast(name, operands)
        try:
            result = func(*args, **kwargs)
        except (RuntimeError, ValueError) as error:
            raise ConversionError(self._clash(name, operands, str(error))) from error
        results = _tensors(result)
        if results or result is None:  # a size or a dtype that was read is no use of the tensor
            for operand in operands:
                self._note_use(operand)
        site = next((self._site_of[id(t)] for t in operands if id(t) in self._site_of), None)
        for tensor in results:
            self._alive.append(tensor)
            if site is not None:
                self._site_of.setdefault(id(tensor), site)
        return result

    def enter(self, module: nn.Module, inputs: Any) -> None:
        """Note that a module begins with these inputs."""
        self._stack.append(module)
        tensors = _tensors(inputs)
        for tensor in tensors:
            self._note_use(tensor)
        site = self._sites.get(module)
        if site is not None and tensors and min(tensors[0].shape[-2:]) < 3:
            raise ConversionError(
                f"{site}: the map that reaches it, {size_text(tuple(tensors[0].shape))}, is "
                "smaller than its 3x3 windows; use a larger input or rewrite fewer sites"
            )

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Note that a module ends with this output."""
        self._stack.pop()
        taken, given = _tensors(inputs), _tensors(output)
        if not taken or not given:
            return
        shapes = (tuple(taken[0].shape), tuple(given[0].shape))
        self.calls.setdefault(module, []).append(shapes)
        self._alive.append(given[0])
        self._output[module] = given[0]
        self._source[module] = tuple(self._stack)
        if module in self._sites:
            self._site_of[id(given[0])] = self._sites[module]

    def _note_use(self, tensor: Tensor) -> None:
        self._alive.append(tensor)
        self._users.setdefault(id(tensor), []).append(tuple(self._stack))

    def _refuse_new_broadcast(self, name: str, operands: list[Tensor]) -> None:
        """Stop at an addition that only broadcasting saves and that the original did not have.

        A map that shrank to 1x1 would be added to a larger one without an error.
        """
        maps = {t.shape[-2:] for t in operands if t.dim() == 4}
        if name not in _ELEMENTWISE or len(maps) < 2:
            return
        key = (self._here(), name)
        self.broadcasts.add(key)
        if self._allowed is not None and key not in self._allowed.broadcasts:
            if self._stack[-1] in self._sites:  # the rewritten block's own sum
                given, pooled = (size_text(tuple(t.shape)) for t in operands[:2])
                raise ConversionError(
                    f"{self._sites[self._stack[-1]]}: the convolution pads by itself: it gives "
                    f"{given} beside the pool's {pooled}; put a plain nn.Conv2d in its place"
                )
            reason = (
                "a branch beside a site must shrink with it; merge or rewrite that branch first"
            )
            raise ConversionError(self._clash(name, operands, reason))

    def _here(self) -> str:
        return self._names.get(self._stack[-1], "") if self._stack else ""

    def _clash(self, function: str, operands: list[Tensor], reason: str) -> str:
        """Say in one line where shapes do not agree and which site each operand comes from."""
        parts = []
        for tensor in operands:
            site = self._site_of.get(id(tensor))
            parts.append(size_text(tuple(tensor.shape)) + (f" (from site {site})" if site else ""))
        where = self._here() or "the model itself"
        first = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
        return f"shapes cannot agree in {where}: {function} of {' and '.join(parts)}: {first}"


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


@contextlib.contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without in-place modules, and everything as before afterwards.

    An in-place activation returns its own input, which hides who consumed what.
    """
    training = {module: module.training for module in model.modules()}
    in_place = [module for module in training if getattr(module, "inplace", None) is True]
    try:
        model.eval()
        for module in in_place:
            module.inplace = False  # type: ignore[assignment]  # a plain bool in every activation
        with torch.no_grad():
            yield
    finally:
        for module in in_place:
            module.inplace = True  # type: ignore[assignment]  # as above
        for module, mode in training.items():
            module.training = mode


def record_flow(
    model: nn.Module,
    inputs: tuple[Any, ...],
    *,
    sites: Mapping[nn.Module, str] | None = None,
    like: Flow | None = None,
) -> Flow:
    """Run `model` on `inputs` in evaluation mode, without gradients, and record it.

    Args:
        model: Left as it was: modes and in-place flags are put back, statistics do not move.
        inputs: Positional arguments of the model.
        sites: Modules whose outputs are to be named in messages, with their names; a map
            smaller than 3x3 that reaches one is refused.
        like: A run of the model before it was rewritten: broadcasts that were not in it are
            refused.

    Raises:
        ConversionError: The model does not run; one line with the module, the function and the
            shapes.
    """
    flow = Flow(model, sites or {}, like)
    handles = []
    for module in model.modules():
        handles.append(
            module.register_forward_pre_hook(
                lambda m, args, kwargs: flow.enter(m, (args, kwargs)), with_kwargs=True
            )
        )
        handles.append(
            module.register_forward_hook(
                lambda m, args, kwargs, output: flow.leave(m, (args, kwargs), output),
                with_kwargs=True,
            )
        )
    try:
        with _at_rest(model), flow:
            model(*inputs)
    except ConversionError:
        raise
    except Exception as error:  # a user's forward may raise anything; it becomes one line
        where = flow._here() or type(model).__name__
        what = str(error).strip().splitlines()
        raise ConversionError(
            f"{where} does not run {'on the example input' if like is None else 'once rewritten'}: "
            f"{type(error).__name__}: "
            f"{what[0] if what else 'no message'}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return flow
