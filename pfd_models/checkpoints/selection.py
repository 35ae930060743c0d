"""Which of a file's tensors are the wanted network's: training scripts save more than that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pfd_models.errors import WeightsError

__all__ = ["Selection", "find_state_dict", "strip_prefix"]

_PLAIN = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
_AVERAGED = ("ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "ema")
_WRAPPERS = (*_PLAIN, *_AVERAGED)
_PREFIXES = ("module.", "_orig_mod.")  # DataParallel's and torch.compile's
_BOOKKEEPING = ("n_averaged", "total_ops", "total_params")
"""Last parts of keys that averaging and profilers leave among the weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A state dict that was found in a file.

    Attributes:
        weights: Its tensors.
        place: Keys that lead to it, joined by dots; empty at the top.
        prefix: What was taken off every key.
        beside: Keys of the file beside it, on the way to it.
        left: Tensors among the weights that are none of the network's.
    """

    weights: dict[str, Tensor]
    place: str = ""
    prefix: str = ""
    beside: tuple[str, ...] = ()
    left: tuple[str, ...] = field(default=())


def find_state_dict(stored: Any, path: Path, key: str = "") -> Selection:
    """Find the state dict in what a training script saved.

    Args:
        stored: What `read_checkpoint` returned.
        path: For messages.
        key: Where it lies, keys joined by dots; where they end at a state dict, the rest is the
            prefix of the wanted weights' keys in it. Empty: where it usually does.

    Raises:
        WeightsError: There is none, or there are several and the key does not choose.
    """
    node = stored
    way: list[str] = []
    beside: list[str] = []
    rest = key.split(".") if key else []
    while isinstance(node, Mapping):
        found = next(
            (
                ".".join(rest[:n])
                for n in range(len(rest), 0, -1)
                if isinstance(node.get(".".join(rest[:n])), Mapping)
            ),
            None,
        )
        if found is None:
            found = _choose(node, path, way) if not rest else None
        if found is None:
            break
        rest = rest[found.count(".") + 1 :] if rest else []
        beside += [str(k) for k in node if k != found]
        way.append(found)
        node = node[found]
    weights = _require_tensors(node, stored, path)
    prefix = ".".join(rest)
    if prefix:
        inside = {k: v for k, v in weights.items() if k.startswith(f"{prefix}.")}
        if not inside:
            raise WeightsError(
                f"{path} holds nothing under {key!r}; it has {_list(_top_keys(stored))}"
                + (f", and in {'.'.join(way)} {_list(_top_keys(weights))}" if way else "")
            )
        beside += [k for k in weights if k not in inside]
        weights = {k.removeprefix(f"{prefix}."): v for k, v in inside.items()}
    return Selection(
        weights=weights,
        place=".".join(filter(None, (*way, prefix))),
        beside=tuple(beside),
    )


def strip_prefix(found: Selection, own: Mapping[str, Tensor], path: Path) -> Selection:
    """Take off what wrappers put before the network's keys, and set aside what they added.

    Args:
        found: From `find_state_dict`.
        own: The network's state dict.
        path: For messages.

    Raises:
        WeightsError: The network's keys are there under several prefixes.
    """
    left = [k for k in found.weights if k not in own and k.rpartition(".")[2] in _BOOKKEEPING]
    weights = {k: v for k, v in found.weights.items() if k not in left}
    prefix = ""
    while weights and (
        common := next((p for p in _PREFIXES if all(k.startswith(p) for k in weights)), None)
    ):
        weights = {k.removeprefix(common): v for k, v in weights.items()}
        prefix += common
    prefixes = _find_prefixes(weights, own)
    if len(prefixes) > 1:
        raise WeightsError(
            f"{path} holds the network several times; choose with --weights-key "
            + " or ".join(".".join(filter(None, (found.place, p[:-1]))) for p in prefixes)
        )
    for part in prefixes:
        left += [k for k in weights if not k.startswith(part)]
        weights = {k.removeprefix(part): v for k, v in weights.items() if k.startswith(part)}
        prefix += part
    # Whole modules that the network does not have belong to the training: losses, other heads.
    known = {k.partition(".")[0] for k in own}
    if all(_fits(weights.get(k), v) for k, v in own.items() if not _is_counter(k)):
        others = [k for k in weights if k.partition(".")[0] not in known]
        left += others
        weights = {k: v for k, v in weights.items() if k not in others}
    return Selection(
        weights=weights,
        place=found.place,
        prefix=prefix,
        beside=found.beside,
        left=tuple(left),
    )


def _find_prefixes(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Return every prefix under which all of a network's keys are there with their shapes."""
    needed = {k: v for k, v in own.items() if not _is_counter(k)}
    if not needed or needed.keys() <= weights.keys():
        return []
    first = max(needed, key=len)  # the rarest ending
    prefixes = [k.removesuffix(first) for k in weights if k.endswith(f".{first}")]
    return [p for p in prefixes if all(_fits(weights.get(p + k), v) for k, v in needed.items())]


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def _fits(found: Tensor | None, own: Tensor) -> bool:
    return found is not None and found.shape == own.shape


def _choose(node: Mapping[str, Any], path: Path, way: list[str]) -> str | None:
    """Return under which key of a saved dictionary the weights are, None where it is they."""
    present = [k for k in _WRAPPERS if isinstance(node.get(k), Mapping) and _has_tensors(node[k])]
    if len(present) > 1:
        choices = " or ".join(".".join((*way, k)) for k in present)
        raise WeightsError(
            f"{path} holds several sets of weights; choose with --weights-key {choices}"
        )
    return present[0] if present else None


def _has_tensors(node: Any) -> bool:
    if isinstance(node, Mapping):
        return any(_has_tensors(value) for value in node.values())
    return isinstance(node, Tensor)


def _require_tensors(node: Any, stored: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(node, Mapping) or not node:
        raise WeightsError(f"{path} holds a {type(stored).__name__}, not a state dict")
    strangers = [str(k) for k, v in node.items() if not isinstance(v, Tensor)]
    if strangers:
        raise WeightsError(
            f"{path} holds no state dict: {strangers[0]!r} is no tensor; a state dict is looked "
            f"for at the top and under {', '.join(_WRAPPERS)}; say where it is with --weights-key"
        )
    return {str(key): value for key, value in node.items()}


def _top_keys(node: Any) -> list[str]:
    names = [str(k).partition(".")[0] for k in node] if isinstance(node, Mapping) else []
    return list(dict.fromkeys(names))


def _list(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
