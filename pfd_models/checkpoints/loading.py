"""Weights in and out: strict, whole or not at all, and never by running what is in a file.

Three kinds of file are read: what `save_weights` wrote, a state dict with the module's own keys
(bare, in safetensors, or inside what a training script saved), and a state dict with the keys of
the paper's reference repository. docs/checkpoints.md describes them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pfd_models.checkpoints.file import read_checkpoint
from pfd_models.checkpoints.quantized import refuse_quantized
from pfd_models.checkpoints.reference_names import ignored_keys, reference_names
from pfd_models.checkpoints.selection import Selection, find_state_dict, strip_prefix
from pfd_models.errors import SpecError, WeightsError
from pfd_models.files import atomic_write
from pfd_models.zoo.spec import ModelSpec

__all__ = ["LoadedWeights", "load_weights", "save_weights"]

_FORMAT = "pfd-weights"
_SCHEMA_VERSION = 1
# What must agree between the network that was saved and the one that is filled. Resolution and
# data set need not: where they change a weight, its shape tells.
_ARCHITECTURE = ("model", "variant", "num_classes", "small_input", "options")
_SHOWN = 3
_SHOWN_LEFT = 6
_NOTHING = re.compile("(?!)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWeights:
    """What was read.

    Attributes:
        path: The file.
        names: Whose keys the file has: this zoo's or the reference repository's.
        ignored: The file's keys that hold nothing the network needs.
        told: One line on what was taken and what was left; empty where the file holds the
            network's weights and nothing else.
    """

    path: Path
    names: Literal["zoo", "reference"]
    ignored: tuple[str, ...] = ()
    told: str = ""


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write a module's weights and, for a network of this zoo, what it is; whole or not at all.

    Args:
        model: Any module; one of `create_model` has a ``spec``, which is saved with it.
        path: The file; its folder is made when missing.

    Raises:
        OutputError: The folder cannot be written or the disk is full.
    """
    spec = getattr(model, "spec", None)
    buffer = io.BytesIO()
    torch.save(
        {
            "format": _FORMAT,
            "schema_version": _SCHEMA_VERSION,
            "spec": spec.to_dict() if isinstance(spec, ModelSpec) else None,
            "state_dict": {k: v.detach().cpu() for k, v in model.state_dict().items()},
        },
        buffer,
    )
    atomic_write(Path(path), buffer.getvalue())


def load_weights(model: nn.Module, path: str | Path, *, key: str = "") -> LoadedWeights:
    """Fill a module with the weights of a file; all of them fit or the module is not touched.

    The file is read with ``weights_only``: pickled objects are refused, not run. What training
    adds to a network (wrappers' prefixes, averaging counters, other heads) is left.

    Args:
        model: Any module with this zoo's keys; the reference repository's keys are understood
            for networks of `create_model`.
        path: A file written by `save_weights`, `torch.save` or safetensors.
        key: Where in the file the weights are, as ``state_dict_ema``; needed where it holds
            several.

    Raises:
        WeightsError: The file is missing, corrupt or no checkpoint, or holds another
            architecture; one line that says which field or how many and which keys differ. Or
            it was trained in integers.
    """
    path = Path(path)
    stored = read_checkpoint(path)
    refuse_quantized(stored, path)
    is_ours = isinstance(stored, Mapping) and stored.get("format") == _FORMAT
    if is_ours:
        _check_header(model, stored, path)
    own = model.state_dict()
    selection = strip_prefix(find_state_dict(stored, path, key), own, path)
    weights = selection.weights
    translated = _translate(model, own, weights)
    ours = _Fit.of(
        own,
        found={key: value for key, value in weights.items() if key in own},
        extra=[key for key in weights if key not in own],
    )
    theirs = None if translated is None else _Fit.of(own, *translated)
    fit = theirs if theirs is not None and theirs.differences < ours.differences else ours
    if fit.differences:
        raise WeightsError(f"{path} does not fit {_name(model)}: {fit.describe()}")
    if fit is theirs:
        _check_numbering(model, weights, path)
    model.load_state_dict(fit.matched)
    names: Literal["zoo", "reference"] = "reference" if fit is theirs else "zoo"
    return LoadedWeights(
        path=path,
        names=names,
        ignored=(*fit.ignored, *selection.left),
        told="" if is_ours else _tell(selection, own, fit.ignored),
    )


def _tell(selection: Selection, own: Mapping[str, Tensor], ignored: Sequence[str]) -> str:
    """Say in one line what was taken of a file and what was left; nothing where it is all."""
    left = [*selection.left, *ignored, *selection.beside]
    kinds = {v.dtype for v in selection.weights.values() if v.is_floating_point()}
    cast = kinds - {v.dtype for v in own.values()}
    if not (left or selection.place or selection.prefix or cast):
        return ""
    line = f"took {len(selection.weights) - len(ignored)} tensors"
    if selection.place:
        line += f" of {selection.place!r}"
    if cast:
        line += f" in {' and '.join(sorted(str(c).removeprefix('torch.') for c in cast))}"
    if selection.prefix:
        line += f" without the prefix {selection.prefix!r}"
    if left:
        more = f" and {len(left) - _SHOWN_LEFT} more" if len(left) > _SHOWN_LEFT else ""
        line += f"; left {', '.join(left[:_SHOWN_LEFT])}{more}"
    return line


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """How a checkpoint's tensors, under this zoo's keys, meet a module's."""

    matched: dict[str, Tensor]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    ignored: tuple[str, ...]

    @classmethod
    def of(
        cls,
        own: Mapping[str, Tensor],
        found: Mapping[str, Tensor],
        extra: Sequence[str],
        ignore: re.Pattern[str] = _NOTHING,
    ) -> _Fit:
        # Files from before PyTorch 0.4.1 have no batch counters; only momentum=None reads them.
        counters = {k: v for k, v in own.items() if k.endswith("num_batches_tracked")}
        return cls(
            matched={**counters, **found},
            missing=tuple(k for k in own if k not in found and k not in counters),
            unexpected=tuple(key for key in extra if not ignore.fullmatch(key)),
            reshaped=tuple(
                f"{key} {_shape(value)} for {_shape(own[key])}"
                for key, value in found.items()
                if value.shape != own[key].shape
            ),
            ignored=tuple(key for key in extra if ignore.fullmatch(key)),
        )

    @property
    def differences(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.reshaped)

    def describe(self) -> str:
        """Say in one line how many keys differ and name the first."""
        parts = []
        for kind in ("missing", "unexpected", "reshaped"):
            keys = getattr(self, kind)
            if keys:
                more = ", ..." if len(keys) > _SHOWN else ""
                word = "of another shape" if kind == "reshaped" else kind
                parts.append(f"{len(keys)} {word} ({', '.join(keys[:_SHOWN])}{more})")
        return f"of {len(self.matched) + len(self.missing)} keys {'; '.join(parts)}"


def _check_header(model: nn.Module, stored: Mapping[str, Any], path: Path) -> None:
    """Compare what the file says it holds with the network that is filled."""
    version = stored.get("schema_version")
    if version != _SCHEMA_VERSION:
        raise WeightsError(
            f"{path} has schema version {version}, this program reads {_SCHEMA_VERSION}; "
            "use the version of this program that wrote it"
        )
    spec = getattr(model, "spec", None)
    if stored.get("spec") is None or not isinstance(spec, ModelSpec):
        return
    try:
        saved = ModelSpec.from_dict(stored["spec"])
    except SpecError as error:
        raise WeightsError(f"{path} is damaged: {error}") from error
    for field in _ARCHITECTURE:
        was, wanted = getattr(saved, field), getattr(spec, field)
        if was != wanted:
            raise WeightsError(
                f"{path} holds {saved.model}/{saved.variant}, not {_name(model)}: its {field} is "
                f"{_plain(was)}, not {_plain(wanted)}"
            )


def _translate(
    model: nn.Module, own: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str], re.Pattern[str]] | None:
    """Put a reference checkpoint's tensors under this zoo's keys.

    Returns:
        The tensors, the file's keys that are left over, and the pattern of those that may be;
        None for a module that the reference repository does not have.
    """
    build = _build_name(model)
    names = None if build is None else reference_names(build, own)
    if build is None or names is None:
        return None
    found: dict[str, Tensor] = {}
    rest = dict(weights)
    for key, spellings in names.items():
        present = [name for name in spellings if name in rest]
        if len(present) == 1:
            found[key] = rest.pop(present[0])
    return found, list(rest), ignored_keys(build, own)


def _check_numbering(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Hold the reference's numbering of attention offsets, where stored, to this zoo's.

    Two numberings of the same length would load and compute something else.
    """
    stored = [v for k, v in weights.items() if k.endswith("attention_bias_idxs")]
    own = [b for name, b in model.named_buffers() if name.endswith("bias_index")]
    for theirs, ours in zip(stored, own, strict=bool(stored)):
        if not torch.equal(theirs, ours.cpu()):
            raise WeightsError(
                f"{path} numbers the attention's offsets in another way than {_name(model)}"
            )


def _build_name(model: nn.Module) -> str | None:
    """Return the registered function that built a network of this zoo."""
    spec = getattr(model, "spec", None)
    if not isinstance(spec, ModelSpec):
        return None
    from pfd_models.zoo.registry import get_architecture  # imports every family

    return get_architecture(spec.model).build.__name__


def _name(model: nn.Module) -> str:
    spec = getattr(model, "spec", None)
    if isinstance(spec, ModelSpec):
        return f"{spec.model}/{spec.variant} with {spec.num_classes} classes"
    return type(model).__name__


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{name}={option}" for name, option in value) or "none"
    return repr(value)
