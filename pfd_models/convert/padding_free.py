"""Rewrite the stride-2 depthwise convolutions of anyone's network to padding-free ones.

Source: the padding-free downsampling paper, section on the downsampling module. At each site

* the convolution loses its outer ring of padding: a k x k kernel gets padding (k - 3) / 2 (3x3: 0,
  5x5: 1, 7x7: 2), so that any kernel maps a side of H to floor((H - 3) / 2) + 1;
* a 3x3 stride-2 max pool of the *same input*, without padding, is added.

Where the pool is added differs between the paper's networks. The rule here, for anyone's:

* ``add_after="activation"`` (default): if the convolution's output goes, as executed, to a
  normalisation alone and that one's output to an elementwise activation alone (or if the
  normalisation contains the activation), all registered in the same parent, then after the
  activation, as in the paper's MobileNetV3 and ParC-MobileNetV2: the sum is not activated again.
  Otherwise right on the convolution's output, before anything else, as in its ShuffleNetV2.
* ``add_after="norm"``: after the normalisation where one follows alone, as in its GhostNet.
* ``add_after="conv"``: always right on the convolution's output.

Every weight is kept. No other operator is touched, so a branch that runs beside a site must land
on the same size by itself or hold a site too; where it does not, the conversion is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pfd_models.convert.candidates import (
    choose_sites,
    find_candidates,
    group_sites,
    pads_at_run_time,
    refuse_empty,
)
from pfd_models.convert.flow import Flow, record_flow
from pfd_models.convert.sites import Conversion, Site
from pfd_models.convert.surgery import copy_module, replace_everywhere
from pfd_models.errors import ConversionError, unknown
from pfd_models.layers.downsample import PaddingFreeDownsample, padding_free_padding

__all__ = ["AddAfter", "find_activation", "is_activation", "is_norm", "to_padding_free"]

AddAfter = Literal["activation", "norm", "conv"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A site before it is rewritten: the convolution and what its body takes along."""

    name: str
    conv: nn.Conv2d
    followers: tuple[nn.Module, ...]
    position: str


def to_padding_free(
    model: nn.Module,
    example_input: Tensor | tuple[Any, ...],
    *,
    add_after: AddAfter = "activation",
    sites: Collection[int] | None = None,
) -> Conversion:
    """Return a copy of `model` whose stride-2 depthwise convolutions are padding-free.

    A site is an nn.Conv2d (or a subclass) with as many groups as input channels, stride 2 both
    ways and a kernel larger than 1x1, that the model runs on the example input and that is
    neither inside a `PaddingFreeDownsample` or `HybridStem` nor already without outer padding.
    The copy keeps weights, devices, training modes and in-place flags; only names change: the
    convolution ``a.b`` becomes ``a.b.body`` or, with what it takes along, ``a.b.body.0``.

    Args:
        model: Any module that runs on the example input; not changed.
        example_input: One tensor or a tuple of positional arguments. Its sizes decide whether
            the maps are large enough: convert with the resolution you will deploy.
        add_after: Where the pool is added; the module's docstring has the rule.
        sites: Numbers of the sites to rewrite, as `list_module_sites` has them; None: all.

    Returns:
        The copy, and each site with its shapes before and after.

    Raises:
        ConversionError: There is no site or not one of that number, a site cannot be rewritten, a
            map is too small, or the rewritten model does not run because two shapes no longer
            agree; one line that names the site and the sizes.
    """
    if add_after not in get_args(AddAfter):
        raise ConversionError(unknown("add_after", add_after, get_args(AddAfter)))
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    converted = copy_module(model)
    original = record_flow(converted, inputs)
    candidates, unpadded = find_candidates(converted)
    every = group_sites(converted, candidates, original)
    reached = {name for site in every for name in site.names}
    unreached = [
        f"{name}: the example input does not reach it" for name in candidates if name not in reached
    ]
    if not every:
        raise ConversionError(refuse_empty(converted, unpadded, unreached))
    chosen = choose_sites(every, sites, type(model).__name__)
    found = [
        _describe(converted, name, original, add_after) for site in chosen for name in site.names
    ]
    left = (
        *(f"{name}: it has no outer padding to lose" for name in unpadded),
        *unreached,
        *(
            f"{name}: site {site.number} is not chosen"
            for site in every
            if site not in chosen
            for name in site.names
        ),
    )
    befores = [_conv_text(site.conv) for site in found]
    blocks = []
    for site in found:
        converted, block = _rewrite(converted, site)
        blocks.append(block)
    names: dict[nn.Module, str] = {b: site.name for b, site in zip(blocks, found, strict=True)}
    after = record_flow(converted, inputs, sites=names, like=original)
    records = tuple(
        _site(site, before, block, original, after)
        for site, before, block in zip(found, befores, blocks, strict=True)
    )
    return Conversion(model=converted, sites=records, left=left)


def _describe(model: nn.Module, name: str, flow: Flow, add_after: AddAfter) -> _Found:
    """Check that a convolution can be rewritten and find what its body takes along."""
    conv = model.get_submodule(name)
    assert isinstance(conv, nn.Conv2d)  # for the type checker: find_candidates saw to it
    where = name or type(model).__name__
    height, width = conv.kernel_size
    if height != width or height % 2 == 0:
        raise ConversionError(
            f"{where}: a {height}x{width} kernel has no padding-free form; "
            "only odd square kernels of 3x3 and larger have"
        )
    if conv.dilation != (1, 1):
        raise ConversionError(
            f"{where}: dilation {conv.dilation} has no padding-free form; only dilation 1 has"
        )
    if conv.out_channels != conv.in_channels:
        raise ConversionError(
            f"{where}: {conv.in_channels} pooled channels cannot be added to "
            f"{conv.out_channels}; only depthwise convolutions with multiplier 1 can be rewritten"
        )
    norm = flow.sole_consumer(conv) if add_after != "conv" else None
    if norm is None or not is_norm(norm) or not _same_parent(model, conv, norm):
        return _Found(name=name, conv=conv, followers=(), position="convolution")
    if add_after == "norm":
        return _Found(name=name, conv=conv, followers=(norm,), position="normalisation")
    if find_activation(norm) is not None:
        return _Found(name=name, conv=conv, followers=(norm,), position="activation")
    activation = flow.sole_consumer(norm)
    if activation and _same_parent(model, conv, activation) and is_activation(activation):
        return _Found(name=name, conv=conv, followers=(norm, activation), position="activation")
    return _Found(name=name, conv=conv, followers=(), position="convolution")


def _same_parent(model: nn.Module, first: nn.Module, second: nn.Module) -> bool:
    parents = [m for m in model.modules() if first in m._modules.values()]
    return any(second in parent._modules.values() for parent in parents)


def is_norm(module: nn.Module) -> bool:
    """Say whether a module is a normalisation, by its class's name."""
    return "norm" in type(module).__name__.lower()


def find_activation(norm: nn.Module) -> nn.Module | None:
    """Return the activation inside a normalisation, as timm's BatchNormAct2d has one."""
    return next((child for child in norm.children() if is_activation(child)), None)


def is_activation(module: nn.Module) -> bool:
    """Say whether a module without weights acts on each element and changes some.

    Names would miss home-made activations, so the module is tried: it must give the same on a
    map and on the map with its elements in another order, and not be the identity.
    """
    if isinstance(module, nn.PReLU):
        return True
    if any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
        return False
    sample = torch.linspace(-8, 8, 2 * 4 * 4 * 4).reshape(2, 4, 4, 4)
    order = torch.randperm(sample.numel(), generator=torch.Generator().manual_seed(0))
    trial = copy.deepcopy(module).eval()
    try:
        with torch.no_grad():
            plain = trial(sample.clone())
            mixed = trial(sample.flatten()[order].reshape(sample.shape))
    except Exception:  # whatever refuses a plain map is no activation
        return False
    return (
        isinstance(plain, Tensor)
        and plain.shape == sample.shape
        and torch.equal(plain.flatten()[order], mixed.flatten())
        and not torch.equal(plain, sample)
    )


def _rewrite(model: nn.Module, site: _Found) -> tuple[nn.Module, PaddingFreeDownsample]:
    """Put a PaddingFreeDownsample in the convolution's place, identities in its followers'."""
    conv = _change_padding(site.conv)
    body = nn.Sequential(conv, *site.followers) if site.followers else conv
    block = PaddingFreeDownsample(body)
    block.training = block.pool.training = body.training = site.conv.training
    for follower in site.followers:
        identity = nn.Identity()
        identity.training = follower.training
        replace_everywhere(model, follower, identity, inside=block)
    return replace_everywhere(model, site.conv, block, inside=block), block


def _change_padding(conv: nn.Conv2d) -> nn.Conv2d:
    """Give the convolution the padding of the module's docstring, and keep its weights.

    A convolution that computes its padding from the map at run time (timm's Conv2dSame) becomes
    a plain one around the same weights; others are changed where they are, so that what hangs
    on them (parametrisations, hooks) stays.
    """
    padding = padding_free_padding(conv.kernel_size[0])
    if pads_at_run_time(conv):
        plain = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            stride=2,
            padding=padding,
            groups=conv.groups,
            bias=conv.bias is not None,
            device="meta",
        )
        plain.weight, plain.bias = conv.weight, conv.bias
        plain.training = conv.training
        return plain
    conv.padding = (padding, padding)
    conv._reversed_padding_repeated_twice = [padding] * 4
    return conv


def _conv_text(conv: nn.Conv2d) -> str:
    same = pads_at_run_time(conv)
    padding = conv.padding if isinstance(conv.padding, str) else f"p{conv.padding[0]}"
    kernel = f"{conv.kernel_size[0]}x{conv.kernel_size[1]}"
    return f"depthwise {kernel} s2 {'same' if same else padding}"


def _site(
    found: _Found, before: str, block: PaddingFreeDownsample, original: Flow, after: Flow
) -> Site:
    """Record a rewritten site."""
    conv = next(module for module in block.body.modules() if isinstance(module, nn.Conv2d))
    input_before, output_before = original.calls[found.conv][0]
    input_after, output_after = after.calls[block][0]
    return Site(
        name=found.name,
        before=before,
        after=f"{_conv_text(conv)} + max pool 3x3 s2 p0, added after the {found.position}",
        input_before=input_before,
        output_before=output_before,
        input_after=input_after,
        output_after=output_after,
    )
