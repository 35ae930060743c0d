"""Which stride-2 depthwise convolutions of anyone's network can lose their padding, and where.

Convolutions that halve maps of one size, run one behind the other, are one site: the branches of a
unit must shrink together, or their sizes do not agree. Sites are numbered as they run, from 1.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pfd_models.convert.flow import Flow, record_flow
from pfd_models.convert.surgery import copy_module
from pfd_models.errors import ConversionError
from pfd_models.layers.downsample import PaddingFreeDownsample, padding_free_padding
from pfd_models.layers.stem import HybridStem

__all__ = [
    "ModuleSite",
    "choose_sites",
    "find_candidates",
    "group_sites",
    "list_module_sites",
    "pads_at_run_time",
    "refuse_empty",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSite:
    """One down-sampling step of anyone's network.

    Attributes:
        number: Of the site, the first being 1.
        names: Of its convolutions, as ``named_modules`` writes them, in the order they run.
        input_shape: (N, C, H, W) of what reaches the first of them.
    """

    number: int
    names: tuple[str, ...]
    input_shape: tuple[int, ...]


def list_module_sites(
    model: nn.Module, example_input: Tensor | tuple[Any, ...]
) -> tuple[ModuleSite, ...]:
    """Return the sites that ``to_padding_free(..., sites=...)`` numbers.

    Args:
        model: Any module that runs on the example input; not changed.
        example_input: As in `to_padding_free`.

    Raises:
        ConversionError: There is none, or the model does not run.
    """
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    twin = copy_module(model)
    flow = record_flow(twin, inputs)
    padded, unpadded = find_candidates(twin)
    sites = group_sites(twin, padded, flow)
    if not sites:
        raise ConversionError(refuse_empty(twin, unpadded))
    return sites


def find_candidates(model: nn.Module) -> tuple[list[str], list[str]]:
    """Name the stride-2 depthwise convolutions outside the paper's blocks: padded, and not."""
    done = {
        inner
        for block in model.modules()
        if isinstance(block, PaddingFreeDownsample | HybridStem)
        for inner in block.modules()
    }
    padded: list[str] = []
    unpadded: list[str] = []
    for name, module in model.named_modules():
        if (
            isinstance(module, nn.Conv2d)
            and module not in done
            and module.groups == module.in_channels > 1
            and module.stride == (2, 2)
            and max(module.kernel_size) > 1
        ):
            (unpadded if _is_unpadded(module) else padded).append(name)
    return padded, unpadded


def group_sites(model: nn.Module, padded: Sequence[str], flow: Flow) -> tuple[ModuleSite, ...]:
    """Return the sites that the padded candidates make, without those that did not run."""
    order = {module: place for place, module in enumerate(flow.calls)}
    reached = [name for name in padded if model.get_submodule(name) in order]
    groups: list[list[tuple[str, tuple[int, ...]]]] = []
    for name in sorted(reached, key=lambda name: order[model.get_submodule(name)]):
        shape = flow.calls[model.get_submodule(name)][0][0]
        if not groups or groups[-1][0][1][-2:] != shape[-2:]:
            groups.append([])
        groups[-1].append((name, shape))
    return tuple(
        ModuleSite(number=number, names=tuple(name for name, _ in group), input_shape=group[0][1])
        for number, group in enumerate(groups, start=1)
    )


def choose_sites(
    sites: Sequence[ModuleSite], chosen: Collection[int] | None, owner: str
) -> tuple[ModuleSite, ...]:
    """Return the sites of these numbers; all where None.

    Raises:
        ConversionError: None is chosen, or one that is not there.
    """
    if chosen is None:
        return tuple(sites)
    if not chosen:
        raise ConversionError("no site is chosen; give the numbers of some, the first being 1")
    for number in sorted(chosen):
        if not 1 <= number <= len(sites):
            raise ConversionError(
                f"{owner} has no down-sampling site {number}; its sites are 1 to {len(sites)}"
            )
    return tuple(site for site in sites if site.number in chosen)


def refuse_empty(model: nn.Module, unpadded: Sequence[str], more: Sequence[str] = ()) -> str:
    """Say in one line that a network has no site, and what came near one."""
    done = sum(isinstance(module, PaddingFreeDownsample) for module in model.modules())
    already = f" besides the {done} that are padding-free already" if done else ""
    near = "; ".join((*(f"{name}: it has no outer padding to lose" for name in unpadded), *more))
    return f"{type(model).__name__} has no stride-2 depthwise convolution to rewrite{already}" + (
        f" ({near})" if near else "; choose a network that downsamples with one"
    )


def _is_unpadded(conv: nn.Conv2d) -> bool:
    """Say whether a convolution has a padding-free one's padding, as GhostNet's shortcut there.

    It is left without a pool: the paper adds none to that shortcut, and where a network pads
    with a layer of its own before the convolution, the pool would see those zeros.
    """
    side = conv.kernel_size[0]
    if pads_at_run_time(conv) or conv.kernel_size != (side, side) or side % 2 == 0:
        return False
    padding = padding_free_padding(side)
    return conv.padding in ((padding, padding), "valid" if padding == 0 else None)


def pads_at_run_time(conv: nn.Conv2d) -> bool:
    """Say whether a subclass computes its padding from the map, as timm's Conv2dSame."""
    return type(conv) is not nn.Conv2d and "same" in type(conv).__name__.lower()
