"""File formats. A format's name is its file's name in this folder; nothing else lists them.

A format module has three functions and one constant::

    NEEDS: str | None        # the format whose file this one is made from, or None
    def write(program: Program, path: Path, options: WriteOptions) -> Written
    def load(path: Path) -> Run
    def read_identity(path: Path) -> dict[str, str]

What `load` returns takes and gives arrays in PyTorch's layout whatever the file's own layout is,
so parity compares like with like.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

from export.sets.manifest import AppInterface, Leftover, TensorSpec
from pfd_models.discovery import import_file, list_files
from pfd_models.errors import SpecError, unknown

if TYPE_CHECKING:
    import numpy as np

    from export.graph.program import Program

__all__ = [
    "Format",
    "Run",
    "WriteOptions",
    "Written",
    "find_chains",
    "get_format",
    "kept_axes",
    "list_formats",
    "turn_images",
    "with_needed",
]

Run: TypeAlias = "Callable[[Sequence[np.ndarray[Any, Any]]], list[np.ndarray[Any, Any]]]"
"""A loaded file: from its inputs to its outputs, both in order. The arrays it returns are the
caller's own and stay as they are when it is called again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """What a format needs to know besides the program.

    Attributes:
        identity: Key-value pairs that go inside the file, so that it says what it is.
        backend: The delegate of a ``.pte``.
        tflite_io: Layout of a ``.tflite``'s image inputs and outputs.
        pte_io: Layout of a ``.pte``'s.
        made_from: The file of the format that `NEEDS` names.
        image: How the files want their image, with ``mean`` and ``std``; empty where unknown.
        app: What the files do for an app.
        delegation: Ask the runtime what stayed outside (costs a little time).
    """

    identity: Mapping[str, str] = field(default_factory=dict)
    backend: str = "xnnpack"
    tflite_io: Literal["nhwc", "nchw"] = "nhwc"
    pte_io: Literal["nhwc", "nchw"] = "nchw"
    made_from: Path | None = None
    image: Mapping[str, Any] = field(default_factory=dict)
    app: AppInterface | None = None
    delegation: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What `write` made: the facts an `Artifact` needs that only the writer knows.

    Attributes:
        inputs: The file's inputs in its own layout.
        outputs: The file's outputs in its own layout.
        delegates: Delegate calls at run time; None where the format has none.
        leftovers: What stayed outside the delegate, with cause and fix.
        seconds: Wall seconds per step.
        backend: The delegate used, empty where the format has none.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    delegates: int | None
    leftovers: tuple[Leftover, ...]
    seconds: Mapping[str, float]
    backend: str = ""


class Format(Protocol):
    """What a format module offers."""

    NEEDS: str | None

    def write(self, program: Program, path: Path, options: WriteOptions) -> Written:
        """Write the program to a file at `path` (a temporary name; the caller publishes it)."""

    def load(self, path: Path) -> Run:
        """Load a file, once, to be run on this machine on one thread.

        Raises:
            InputError: It is missing or no file of this format.
        """

    def read_identity(self, path: Path) -> dict[str, str]:
        """Return the key-value pairs that `write` put into a file.

        Raises:
            InputError: It is missing, no file of this format, or does not say what it is.
        """


def kept_axes(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, TensorSpec]:
    """Return the four-dimensional tensors that are not NCHW, by place: ``input_0``, ``output_1``.

    A file with images in NHWC turns the others and leaves these: they are NHWC in the module.
    """
    return {
        f"{kind}_{i}": spec
        for kind, specs in (("input", inputs), ("output", outputs))
        for i, spec in enumerate(specs)
        if len(spec.shape) == 4 and spec.layout != "NCHW"
    }


def turn_images(
    arrays: Sequence[np.ndarray[Any, Any]], kind: Literal["input", "output"], kept: Collection[str]
) -> list[np.ndarray[Any, Any]]:
    """Turn what goes into an NHWC file from NCHW, and what comes out of it back.

    Args:
        arrays: All inputs or all outputs, in order.
        kind: Which of the two they are.
        kept: From `kept_axes`.
    """
    import numpy as np

    axes = (0, 2, 3, 1) if kind == "input" else (0, 3, 1, 2)
    return [
        np.ascontiguousarray(array.transpose(axes))
        if array.ndim == 4 and f"{kind}_{i}" not in kept
        else array
        for i, array in enumerate(arrays)
    ]


def list_formats() -> tuple[str, ...]:
    """Return the names of all formats, in alphabetical order."""
    return list_files(__name__)


def get_format(name: str) -> Format:
    """Return the format module called `name`.

    Raises:
        SpecError: There is none; the line names the nearest.
    """
    if name not in list_formats():
        raise SpecError(unknown("format", name, list_formats()))
    return cast("Format", import_file(__name__, name))


def with_needed(formats: Sequence[str]) -> tuple[str, ...]:
    """Order formats so that each comes after the one it is made from, which is added."""
    ordered: dict[str, None] = {}
    for name in formats:
        needed = get_format(name).NEEDS
        ordered.update(dict.fromkeys((*(with_needed((needed,)) if needed else ()), name)))
    return tuple(ordered)


def find_chains(formats: Sequence[str]) -> list[tuple[str, ...]]:
    """Group formats, ordered as `with_needed` returns them, so that no group needs another."""
    chains: list[tuple[str, ...]] = []
    for name in formats:
        needed = get_format(name).NEEDS
        joined = [chain for chain in chains if needed in chain]
        chains = [chain for chain in chains if needed not in chain]
        chains.append((*(n for chain in joined for n in chain), name))
    return chains
