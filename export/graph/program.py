"""A network captured as a graph: the value that passes rewrite and formats write.

Capture happens once. Everything later works on the exported graph, so that all files hold
the same network.
"""

from __future__ import annotations

import contextlib
import copy
import time
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from export.graph.contexts import inline_contexts
from export.graph.image_layout import find_channels_last
from export.graph.naming import flatten_outputs, name_outputs
from export.graph.refusal import explain_failure, require_static, require_tensors
from export.sets.manifest import PassRecord, TensorSpec

__all__ = ["Program", "capture", "copy_in_order", "dynamic_shapes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An exported network with everything a file format needs to know of it.

    Attributes:
        exported: The graph with its weights, in PyTorch's training dialect of ATen.
        example: Inputs of the shapes and dtypes the graph was captured with, contiguous.
        inputs: Name, shape, dtype and layout of each input, PyTorch's layout; where the batch is
            open, the shape has the least one and the example another.
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
            return list(tree_leaves(self.module()(*inputs)))

    def module(self) -> fx.GraphModule:
        """Return the graph as a module of its own; the program is not changed by editing it."""
        return self.exported.module(check_guards=False)  # type: ignore[return-value]  # it is one


def capture(
    module: nn.Module, example_inputs: tuple[Tensor, ...], *, names: Sequence[str] = ()
) -> Program:
    """Export a module once, in eval mode, for static shapes.

    Args:
        module: Any module; its training flags are as before afterwards.
        example_inputs: Positional inputs; only their shapes and dtypes matter.
        names: Of the inputs in the files; where one is empty or missing, it is found here.

    Raises:
        ModuleError: It does not trace, its output or a shape depends on data, it returns
            something other than tensors, or it changes its own buffers. The line names the
            place in the module's source where that is known.
    """
    start = time.perf_counter()
    example = tuple(copy_in_order(x) for x in example_inputs)
    name = type(module).__name__
    with _eval_mode(_contiguous(module)) as still, torch.no_grad():
        try:
            with warnings.catch_warnings():
                # As of a module that caches a tensor in itself; the graph is checked below.
                warnings.simplefilter("ignore")
                exported = torch.export.export(still, example, strict=False)
        except Exception as error:
            raise explain_failure(name, still, example, error) from error
    inline_contexts(exported)
    require_static(name, exported)
    outputs = _output_values(exported)
    require_tensors(name, outputs)
    taken, given = find_channels_last(exported, example, outputs)
    images = [i for i, tensor in enumerate(example) if i in taken or _is_image(tensor)]
    inputs = _specs(example, names, images, taken, "image", "input")
    output_names = name_outputs(exported, taken={spec.name for spec in inputs})
    flatten_outputs(exported)
    rows = [i for i, tensor in enumerate(outputs) if tensor.dim() == 2]
    return Program(
        exported=exported,
        example=example,
        inputs=inputs,
        outputs=_specs(outputs, output_names, rows, given, "scores", "output"),
        seconds={"export": time.perf_counter() - start},
    )


def dynamic_shapes(inputs: Sequence[TensorSpec]) -> tuple[dict[int, object] | None, ...] | None:
    """Return what ``torch.export`` needs to leave the batch open; None where it is fixed."""
    batches = {spec.batch for spec in inputs} - {None}
    if not batches:
        return None
    (batch,) = batches  # one range for all that have one
    assert batch is not None
    dim = torch.export.Dim("batch", min=batch[0], max=batch[1])
    return tuple(None if spec.batch is None else {0: dim} for spec in inputs)


def _is_image(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and tensor.shape[1] in (1, 3)


def _specs(
    tensors: Sequence[Tensor],
    names: Sequence[str],
    recognised: Sequence[int],
    turned: Collection[int],
    known: str,
    other: str,
) -> tuple[TensorSpec, ...]:
    """Name each tensor: as given, `known` if exactly one is recognised, the others by number.

    Those that are turned are NHWC already: every format leaves them as they are.
    """
    given = [*names, *[""] * (len(tensors) - len(names))]
    return tuple(
        TensorSpec(
            name=given[i] or (known if recognised == [i] else f"{other}_{i}"),
            shape=tuple(int(d) for d in tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            layout="" if i in turned else {2: "NC", 4: "NCHW"}.get(tensor.dim(), ""),
        )
        for i, tensor in enumerate(tensors)
    )


def copy_in_order(tensor: Tensor) -> Tensor:
    """Return a copy whose strides descend, also where an axis of one would allow others.

    A ``.pte`` takes the strides at their word and refuses inputs with others.
    """
    return tensor.detach().clone(memory_format=torch.contiguous_format)


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


def _output_values(exported: ExportedProgram) -> list[Tensor]:
    arguments = next(n for n in exported.graph.nodes if n.op == "output").args[0]
    return [a.meta["val"] if isinstance(a, fx.Node) else a for a in arguments]
