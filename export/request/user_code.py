"""A user's own code as the request names it, and the files that decide it. Nothing is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from export.request.source import InputTensor
from pfd_models.errors import SpecError, unknown

__all__ = [
    "DTYPES",
    "LIBRARIES",
    "Target",
    "check_inputs",
    "parse_batch",
    "parse_input",
    "parse_range",
    "parse_shape",
    "parse_target",
]

DTYPES = ("float32", "uint8", "int8", "int16", "int32", "int64", "bool")
"""What a file's input can be."""

LIBRARIES = ("timm", "torchvision")
"""Packages whose networks have names of their own."""

_WIDE_OR_NARROW = ("float16", "bfloat16", "float64", "half", "double")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What ``--module`` names.

    Attributes:
        module: To import.
        factory: Found in it, as ``make`` or ``Net.small``; a network's name for a library.
        args: For the factory.
        kwargs: For the factory, by name.
    """

    module: str
    factory: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def parse_input(text: str) -> InputTensor:
    """Read an input as ``[name:][dtype:]shape``, for example ``ids:int64:1,16``.

    Raises:
        SpecError: A part of it is no name, no dtype that a file can take, or no fixed shape.
    """
    *before, shape = text.split(":")
    if len(before) > 2:
        raise SpecError(f"--input {text!r} has too many parts; write it as name:dtype:1,3,224,224")
    known = (*DTYPES, *_WIDE_OR_NARROW)
    name, dtype = "", "float32"
    if len(before) == 2:
        name, dtype = before
    elif before and before[0] in known:
        (dtype,) = before
    elif before:
        (name,) = before
    if dtype in _WIDE_OR_NARROW:
        raise SpecError(
            f"--input {text!r}: files take float32; leave {dtype} out, and give --to float32 where "
            "the module's weights are of another precision"
        )
    if dtype not in DTYPES:
        raise SpecError(f"--input {text!r}: {unknown('dtype', dtype, DTYPES)}")
    first, *rest = name.split(".")
    if (
        before
        and name
        and not (first.isidentifier() and all(p.isidentifier() or p.isdecimal() for p in rest))
    ):
        raise SpecError(
            f"--input {text!r}: {name!r} is no parameter of forward; write its name, as image, "
            "or a place in the dictionary or tuple it takes, as batch.ids or state.0"
        )
    number, *sizes = shape.replace("x", ",").split(",")
    if ".." not in number:
        return InputTensor(shape=parse_shape(shape), dtype=dtype, name=name)
    batch = parse_batch(number, f"--input {text!r}")
    fixed = parse_shape(",".join((str(batch[0]), *sizes)))
    return InputTensor(shape=fixed, dtype=dtype, name=name, batch=batch)


def parse_batch(text: str, option: str) -> tuple[int, int]:
    """Read a batch, ``4``, or a range of them, ``1..8``, as the least and the largest.

    Args:
        text: What the user wrote.
        option: How the error line calls it.

    Raises:
        SpecError: It is neither, or the range holds less than two.
    """
    least, dots, largest = text.partition("..")
    if not (least.isdecimal() and largest.isdecimal() == bool(dots) and int(least) > 0):
        raise SpecError(f"{option}: {text!r} is no batch; write 4, or 1..8 for any from 1 to 8")
    if dots and not int(least) < int(largest):
        raise SpecError(
            f"{option}: the batches {text} are none or one; write a number alone, or 1..8"
        )
    return int(least), int(largest or least)


def check_inputs(inputs: Sequence[InputTensor]) -> None:
    """Refuse inputs that no call can pass.

    Raises:
        SpecError: A name is given twice or inside another, an input without a name stands
            behind one that has one, or two inputs leave their batch open in different ranges.
    """
    ranges = {tensor.batch for tensor in inputs} - {None}
    if len(ranges) > 1:
        told = " and ".join(f"{low}..{high}" for low, high in sorted(filter(None, ranges)))
        raise SpecError(
            f"--input: the batches {told} differ; one call has one batch, give one range"
        )
    names = [tensor.name for tensor in inputs]
    given = [name for name in names if name]
    for name in given:
        if given.count(name) > 1 or any(other.startswith(f"{name}.") for other in given):
            raise SpecError(f"--input gives {name!r} twice; give each tensor a place of its own")
    if "" in names[names.index(given[0]) :] if given else False:
        raise SpecError(
            f"--input: an input without a name stands behind {given[0]!r}; name it, or write the "
            "inputs without names first, as in a call"
        )


def parse_shape(text: str) -> tuple[int, ...]:
    """Read a shape as ``1,3,224,224`` or ``1x3x224x224``.

    Raises:
        SpecError: It is no list of positive whole numbers.
    """
    parts = text.replace("x", ",").split(",")
    try:
        shape = tuple(int(part) for part in parts)
    except ValueError:
        shape = ()
    if any(re.fullmatch(r"\s*(-1|\?|None|[A-Za-z]\w*)\s*", p) for p in parts) and len(parts) > 1:
        raise SpecError(
            f"--input {text!r} leaves a size open; files have fixed shapes, so write the sizes "
            "that you will run, as 1,3,224,224, or 1..8,3,224,224 for any batch from 1 to 8"
        )
    if not shape or min(shape) < 1:
        raise SpecError(f"--input {text!r} is no shape; write it as 1,3,224,224")
    return shape


def parse_target(text: str) -> Target:
    """Read ``package.module:factory`` or ``package.module:factory(1, width=0.5)``.

    The arguments are literals (numbers, text, True, False, None, and lists, tuples, sets and
    dictionaries of them); nothing is evaluated.

    Raises:
        SpecError: It names no module or no factory, or an argument is no literal.
    """
    name, _, call = (part.strip() for part in text.partition(":"))
    if "/" in name or name.endswith(".py"):
        raise SpecError(_advise_dots(text, name, call))
    if not (name and call):
        raise SpecError(f"--module {text!r} names no factory; write it as package.module:factory")
    if wrong := [part for part in name.split(".") if not part.isidentifier()]:
        raise SpecError(_advise_name(text, wrong[0]))
    wanted = SpecError(
        f"--module {text!r}: {call!r} is no factory; write its name, with arguments where it "
        "takes some, as make or make(width=0.5)"
    )
    try:
        tree = ast.parse(call, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise wanted from error
    args, keywords = (tree.args, tree.keywords) if isinstance(tree, ast.Call) else ([], [])
    factory = ast.unparse(tree.func if isinstance(tree, ast.Call) else tree)
    if not all(part.isidentifier() for part in factory.split(".")):
        raise wanted
    return Target(
        module=name,
        factory=factory,
        args=tuple(_literal(text, arg) for arg in args),
        kwargs={str(k.arg): _literal(text, k.value, k.arg or "**") for k in keywords},
    )


def _literal(text: str, node: ast.expr, name: str = "") -> Any:
    try:
        if name == "**":
            raise ValueError(name)
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        shown = ast.unparse(node)
        shown = f"{name}{shown}" if name == "**" else f"{name}={shown}" if name else shown
        raise SpecError(
            f"--module {text!r}: the argument {shown} is no literal; give numbers, text, True, "
            "False, None, or lists, tuples and dictionaries of them"
        ) from error


def _advise_dots(text: str, name: str, call: str) -> str:
    """Say what to write in place of a path."""
    path = PurePosixPath(name.removesuffix(".py"))
    parts = [part for part in path.parts if part != "."]
    if wrong := [part for part in parts if not part.isidentifier() and part not in ("/", "..")]:
        return _advise_name(text, wrong[-1])
    call = call or "FACTORY"
    if path.is_absolute() or ".." in parts:
        folder = PurePosixPath(*parts[:-1])
        return (
            f"--module {text!r} is a path; run the command in {folder} and write {parts[-1]}:{call}"
        )
    return f"--module {text!r} is a path; write it with dots, as {'.'.join(parts)}:{call}"


def _advise_name(text: str, part: str) -> str:
    renamed = re.sub(r"\W", "_", part)
    return (
        f"--module {text!r}: Python cannot import {part!r}, which is no name of its; rename that "
        f"file or folder to {renamed if renamed.isidentifier() else f'_{renamed}'}"
    )


def parse_range(text: str) -> tuple[float, float]:
    """Read the lowest and the highest value of an input as ``0,255``.

    Raises:
        SpecError: It is not two numbers.
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise SpecError(f"--input-range {text!r} is no range; write it as 0,255") from None
    return low, high
