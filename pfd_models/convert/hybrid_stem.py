"""Give anyone's network the paper's hybrid stem.

Source: the padding-free downsampling paper, section on the stem block. The network's own first
convolution with its normalisation and activation stays what it is, weights and names included.
Behind the activation come the stem's two branches, a depthwise 3x3 convolution and a max pool side
by side, and the 1x1 convolution that fuses them (`HybridStem`), with fresh weights drawn from
torch's global generator. A max pool that follows (3x3, stride 2, as ShuffleNet's) is taken out and
the branches halve the map in its place, as in the paper's ShuffleNetV2.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

from torch import Tensor, nn

from pfd_models.convert.flow import Flow, record_flow
from pfd_models.convert.padding_free import find_activation, is_activation, is_norm, to_padding_free
from pfd_models.convert.sites import Conversion, Site
from pfd_models.convert.surgery import copy_module, replace_everywhere
from pfd_models.errors import ConversionError
from pfd_models.layers.stem import HybridStem
from pfd_models.variant_names import STEM

__all__ = ["to_hybrid_stem", "to_paper_recipe"]


def to_hybrid_stem(model: nn.Module, example_input: Tensor | tuple[Any, ...]) -> Conversion:
    """Return a copy of `model` whose first convolution is followed by the hybrid stem's branches.

    The first convolution is the first nn.Conv2d that runs: a dense 3x3 one on an image of at most
    4 channels, whose output goes to a normalisation alone and that one's to an activation alone
    (or the normalisation contains the activation). The copy keeps every weight, all names but
    that of the activation (``act`` becomes ``act.first``), devices and training modes.

    Args:
        model: Any module that runs on the example input; not changed.
        example_input: One tensor or a tuple of positional arguments.

    Returns:
        The copy, and the stem as its one site.

    Raises:
        ConversionError: The network begins in another way, or has the hybrid stem already.
    """
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    converted = copy_module(model)
    flow = record_flow(converted, inputs)
    if any(isinstance(module, HybridStem) for module in converted.modules()):
        raise ConversionError(f"{type(model).__name__} has the hybrid stem already")
    name, conv = _find_first(converted, flow)
    act, last = _find_followers(name, conv, flow)
    pool = flow.sole_consumer(last)
    halves = _halves(pool)
    stem = HybridStem(
        conv.out_channels,
        act=lambda: copy.deepcopy(act),
        branch_stride=2 if halves else 1,
    )
    stem = stem.to(conv.weight).train(conv.training)
    stem.first = last
    if halves and pool is not None:
        identity = nn.Identity()
        identity.training = pool.training
        replace_everywhere(converted, pool, identity, inside=stem)
    converted = replace_everywhere(converted, last, stem, inside=stem)
    after = record_flow(converted, inputs, like=flow)
    end = pool if halves and pool is not None else last
    site = Site(
        name=name,
        before=f"stem {_text(conv)}" + (" and max pool 3x3 s2" if halves else ""),
        after=f"hybrid stem: {_text(conv)}, then depthwise 3x3 and max pool 3x3 at stride "
        f"{2 if halves else 1}, fused by 1x1",
        input_before=flow.calls[conv][0][0],
        output_before=flow.calls[end][0][1],
        input_after=after.calls[conv][0][0],
        output_after=after.calls[stem][0][1],
    )
    return Conversion(model=converted, sites=(site,))


def to_paper_recipe(
    model: nn.Module,
    example_input: Tensor | tuple[Any, ...],
    *,
    sites: Collection[str] | None = None,
) -> Conversion:
    """Return a copy of `model` with padding-free downsampling and the hybrid stem.

    Both of the paper's changes, as in its variant ``ours``. Where the first layers have no hybrid
    form, they stay and ``left`` says why.

    Args:
        model: Any module that runs on the example input; not changed.
        example_input: As in `to_padding_free`.
        sites: Where to apply it: ``"stem"``, and numbers of sites as `list_module_sites` has
            them, as ``("stem", "2")``; None: everywhere.

    Raises:
        ConversionError: As `to_padding_free`, and as `to_hybrid_stem` where `sites` name the stem.
    """
    if sites is None:
        down = to_padding_free(model, example_input)
        try:
            stem = to_hybrid_stem(down.model, example_input)
        except ConversionError as error:
            left = (*down.left, f"stem: {error}")
            return Conversion(model=down.model, sites=down.sites, left=left)
        return Conversion(model=stem.model, sites=(*stem.sites, *down.sites), left=down.left)
    numbers = {int(site) for site in sites if site != STEM}
    if STEM not in sites:
        return to_padding_free(model, example_input, sites=numbers)
    if not numbers:
        return to_hybrid_stem(model, example_input)
    down = to_padding_free(model, example_input, sites=numbers)
    stem = to_hybrid_stem(down.model, example_input)
    return Conversion(model=stem.model, sites=(*stem.sites, *down.sites), left=down.left)


def _find_first(model: nn.Module, flow: Flow) -> tuple[str, nn.Conv2d]:
    """Return the convolution that runs first, if it is one the paper's stem begins with.

    Raises:
        ConversionError: It is not, or there is none.
    """
    names = {module: name for name, module in model.named_modules()}
    first = next((m for m in flow.calls if isinstance(m, nn.Conv2d)), None)
    if first is None:
        raise ConversionError(f"{type(model).__name__} runs no nn.Conv2d to begin a stem with")
    name = names[first] or type(model).__name__
    if first.groups != 1 or first.in_channels > 4 or first.kernel_size != (3, 3):
        raise ConversionError(
            f"{name}: a {_text(first)} of {first.in_channels} channels does not begin the hybrid "
            "stem; it takes a dense 3x3 convolution of the image"
        )
    return name, first


def _find_followers(name: str, conv: nn.Conv2d, flow: Flow) -> tuple[nn.Module, nn.Module]:
    """Return the activation behind the convolution's normalisation, and the module that ends both.

    The two differ where the normalisation contains its activation.

    Raises:
        ConversionError: They do not follow one another as modules, each with one reader.
    """
    norm = flow.sole_consumer(conv)
    if norm is None or not is_norm(norm):
        raise ConversionError(
            f"{name}: no normalisation alone follows the first convolution, as the hybrid stem "
            "needs it"
        )
    inside = find_activation(norm)
    if inside is not None:
        return inside, norm
    activation = flow.sole_consumer(norm)
    if activation is None or not is_activation(activation):
        raise ConversionError(
            f"{name}: no activation module alone follows the first normalisation, as the hybrid "
            "stem needs it; where forward calls a function, make it a module"
        )
    return activation, activation


def _halves(module: nn.Module | None) -> bool:
    """Say whether a module is the max pool that ShuffleNet and ResNet have behind their stem."""
    return (
        isinstance(module, nn.MaxPool2d)
        and module.kernel_size in (3, (3, 3))
        and module.stride in (2, (2, 2))
        and module.padding in (1, (1, 1))
        and not module.ceil_mode
    )


def _text(conv: nn.Conv2d) -> str:
    return f"{conv.kernel_size[0]}x{conv.kernel_size[1]} s{conv.stride[0]}"
