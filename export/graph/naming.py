"""What the outputs of a module are called in a file: the keys under which it returns them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any

from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

__all__ = ["flatten_outputs", "name_outputs"]


def name_outputs(exported: ExportedProgram, *, taken: Collection[str] = ()) -> tuple[str, ...]:
    """Return the name of each output, empty where the module gives it none.

    ``{"boxes": b, "aux": {"mask": m}}`` gives ``boxes`` and ``aux_mask``; fields of a named tuple
    count as keys. Places in lists and tuples are numbers (``{"maps": [a, b]}``: ``maps_0``,
    ``maps_1``), which are left out in front where that is clear (``(a, {"mask": m})``: ``mask``).
    What has no key at all has no name.

    Args:
        exported: With the structure of what the module returned.
        taken: Names that an output may not have, as those of the inputs.
    """
    spec = exported.call_spec.out_spec
    if spec is None:
        return ()
    tree = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    paths = [[_part(key) for key in path] for path, _ in pytree.tree_flatten_with_path(tree)[0]]
    short = ["_".join(_drop_places(path)) for path in paths]
    names: list[str] = []
    for path, name in zip(paths, short, strict=True):
        if name and short.count(name) > 1 and path[0].isdecimal():
            name = "_".join(["output", *path])
        while name and (name in taken or name in names):
            name += "_output" if name in taken else "_"
        names.append(name)
    return tuple(names)


def _drop_places(path: Sequence[str]) -> list[str]:
    """Return a path from its first key on; nothing where it has none."""
    return list(itertools.dropwhile(str.isdecimal, path))


def _part(key: Any) -> str:
    if isinstance(key, pytree.MappingKey):
        return str(key.key)
    if isinstance(key, pytree.GetAttrKey):
        return str(key.name)
    return str(key.idx)


def flatten_outputs(exported: ExportedProgram) -> None:
    """Let the program return its outputs as one tuple.

    Files know no dictionaries, and ExecuTorch cannot store named tuples that nobody registered.
    """
    signature = exported.module_call_graph[0].signature
    if signature is not None and not signature.out_spec.is_leaf():
        signature.out_spec = pytree.tree_structure(tuple(range(signature.out_spec.num_leaves)))
