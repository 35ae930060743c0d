"""Names of weights in the paper's reference repository, for checkpoints trained with it.

The reference repository gives the same layers other names, and not even the same ones in each of
its files: a convolution with its normalisation is ``conv`` and ``norm``, ``conv`` and ``bn``, or
``0`` and ``1``. So each key of this zoo is translated to every name it may have there; a checkpoint
fits when each key is found under exactly one of them and nothing is left over. docs/checkpoints.md
has the translation as tables.

What is needed of a network is its state dict's keys, so ranks and offsets follow what is there:
an absent expansion shifts the numbers that come after it, as it does in the reference.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

__all__ = ["ignored_keys", "reference_names"]

_Rule: TypeAlias = tuple[str, str | Callable[[re.Match[str]], str]]
_Prefixes: TypeAlias = Callable[[Collection[str]], Sequence[_Rule]]

# Applied to every key after its prefix is translated, each as often as it matches.
_INNER: tuple[_Rule, ...] = (
    (r"\.body\.", "."),  # a pool beside a convolution has no weights and no level of its own
    (r"\.first\.", ".stem_1."),
    (r"\.branch\.", ".stem_1_1."),
    (r"\.fuse\.", ".stem_3."),
    (r"\bembed\.conv\.", "<proj>."),
    (r"\bembed\.bn\.", "<norm>."),
    (r"\battention\.query_local\.", "attn.q.local.0."),
    (r"\battention\.query\.", "attn.q.proj."),
    (r"\battention\.key\.", "attn.k."),
    (r"\battention\.value\.", "attn.v."),
    (r"\battention\.value_local\.", "attn.v_local."),
    (r"\battention\.project\.conv\.", "attn.proj.1."),
    (r"\battention\.project\.bn\.", "attn.proj.2."),
    (r"\battention\.bias$", "attn.attention_biases"),
    (r"\.pointwise\.", ".pw."),
    (r"\.reduce\.", ".pw1."),
    (r"\.reduce_bn\.", ".bn1."),
    (r"\.expand\.", ".pw2."),
    (r"\.expand_bn\.", ".bn2."),
    (r"\.depthwise\.", ".dw."),
    (r"\.conv\.", ".<conv>."),
    (r"\.bn\.", ".<bn>."),
)
# What a placeholder may be there.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "<conv>": ("conv", "0"),
    "<bn>": ("bn", "norm", "bn1", "1"),
    "<proj>": ("proj", "conv"),
    "<norm>": ("norm", "bn"),
    "<.dwconv>": ("", ".dwconv"),
}


def reference_names(build_name: str, keys: Collection[str]) -> dict[str, tuple[str, ...]] | None:
    """Translate the keys of a network of this zoo.

    Args:
        build_name: Name of the function that is registered for the architecture.
        keys: The network's state dict's keys.

    Returns:
        For each key the names it may have in the reference repository, or None where the
        repository has no such network.
    """
    prefixes = _FAMILIES.get(build_name)
    if prefixes is None:
        return None
    rules = [(re.compile(pattern), new) for pattern, new in prefixes(keys)]
    inner = [(re.compile(pattern), new) for pattern, new in _INNER]
    names = {}
    for key in keys:
        name = key
        for pattern, new in rules:
            if pattern.match(key):
                name = pattern.sub(new, key, count=1)
                break
        for pattern, new in inner:
            name = pattern.sub(new, name)
        names[key] = _spellings(name)
    return names


def ignored_keys(build_name: str, keys: Collection[str]) -> re.Pattern[str]:
    """Return the pattern of a checkpoint's keys that hold nothing this zoo's network needs.

    Args:
        build_name: As in `reference_names`.
        keys: The network's state dict's keys.
    """
    patterns = [
        r".*attention_bias_idxs",  # numbering of the offsets; compared, not loaded
        r".*\.ab",  # the biases gathered by it, a copy
        r"(.*\.)?total_(ops|params)",  # what the thop counter leaves in a module
    ]
    if build_name == "ghostnet" and "stem.fuse.conv.weight" in keys:
        # The reference keeps the original stem's normalisation beside the new stem, uncalled.
        patterns.append(r"bn1\..*")
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _spellings(name: str) -> tuple[str, ...]:
    parts = re.split("(" + "|".join(_SPELLINGS) + ")", name)
    choices = (_SPELLINGS.get(part, (part,)) for part in parts)
    return tuple("".join(choice) for choice in itertools.product(*choices))


def _rank(keys: Collection[str], block: str, roles: Sequence[str], role: str) -> int:
    """Return how many of a block's parts that have weights come before the one named."""
    before = roles[: roles.index(role)]
    return sum(any(k.startswith(f"{block}.{other}.") for k in keys) for other in before)


def _number_members(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Number members of consecutive groups: (group, member) from 0."""
    return [(group, member) for group, size in enumerate(sizes) for member in range(size)]


def _mobilenetv3_set1(keys: Collection[str]) -> Sequence[_Rule]:
    units = [f"backbone.stage{s + 1}.unit{u + 1}" for s, u in _number_members((1, 2, 3, 6, 3))]
    parts = {"expand": "conv1", "depthwise": "conv2", "project": "conv3"}
    squeeze = {"reduce": "conv1", "expand": "conv2"}
    return (
        (r"normalise\.", "backbone.data_bn."),
        (r"stem\.", "backbone.init_conv."),
        (
            r"blocks\.(\d+)\.squeeze\.(\w+)\.",
            lambda m: f"{units[int(m[1])]}.se_unit.{squeeze[m[2]]}.",
        ),
        (r"blocks\.(\d+)\.(\w+)\.", lambda m: f"{units[int(m[1])]}.{parts[m[2]]}."),
        (r"last\.", "backbone.final_conv1."),
        (r"head\.hidden\.", "backbone.final_conv2.conv."),
        (r"head\.classifier\.", "classifier.conv."),
    )


def _mobilenetv3_set2(keys: Collection[str]) -> Sequence[_Rule]:
    roles = ("expand", "depthwise", "squeeze", "project")
    squeeze = {"reduce": "fc1", "expand": "fc2"}

    def part(match: re.Match[str]) -> str:
        rank = _rank(keys, f"blocks.{match[1]}", roles, match[2])
        return f"features.{int(match[1]) + 1}.block.{rank}."

    return (
        (r"stem\.", "features.0."),
        (r"blocks\.(\d+)\.(?=embed|attention)", lambda m: f"features.{int(m[1]) + 1}.block.0.0."),
        (r"blocks\.(\d+)\.(squeeze)\.(\w+)\.", lambda m: f"{part(m)}{squeeze[m[3]]}."),
        (r"blocks\.(\d+)\.(\w+)\.", part),
        (r"last\.", "features.16."),
        (r"head\.hidden\.", "classifier.0."),
        (r"head\.classifier\.", "classifier.3."),
    )


def _parc_mobilenetv2(keys: Collection[str]) -> Sequence[_Rule]:
    roles = ("expand", "depthwise", "project")
    features = {
        f"{s}.{b}": number
        for number, (s, b) in enumerate(_number_members((1, 2, 3, 4, 3, 3, 1)), 1)
    }
    circular = {
        "expand.": "pw_expand.",
        "columns.conv.": "gcc_H.gcc_conv.",
        "columns.position": "gcc_H.pe",
        "rows.conv.": "gcc_W.gcc_conv.",
        "rows.position": "gcc_W.pe",
        "bn.": "bn.",
        "project.conv.": "pw_linear.0.",
        "project.bn.": "pw_linear.1.",
    }

    def is_circular(block: str) -> bool:
        return f"stages.{block}.columns.conv.weight" in keys

    def block_part(match: re.Match[str]) -> str:
        block, rest = match[1], match[2]
        home = f"features.{features[block]}"
        if is_circular(block):
            return f"{home}.{circular[rest]}"
        role, _, layer = rest.partition(".")
        rank = _rank(keys, f"stages.{block}", roles, role)
        if role == "project":  # not a stack of its own there
            return f"{home}.conv.{rank + (layer == 'bn.')}."
        return f"{home}.conv.{rank}.{layer}"

    return (
        (r"stem\.", "features.0."),
        (
            r"stages\.(\d+\.\d+)\.(?=embed|attention)",
            lambda m: f"features.{features[m[1]]}.conv.0.",
        ),
        (r"stages\.(\d+\.\d+)\.((?:columns|rows)\.(?:conv\.|position)|bn\.)", block_part),
        (r"stages\.(\d+\.\d+)\.(project\.(?:conv|bn)\.)", block_part),
        (r"stages\.(\d+\.\d+)\.((?:expand|depthwise)\.)", block_part),
        (r"last\.", f"features.{len(features) + 1}."),
        (r"classifier\.", "classifier.1."),
    )


def _ghostnet(keys: Collection[str]) -> Sequence[_Rule]:
    blocks = [f"blocks.{s}.{b}" for s, b in _number_members((1, 1, 1, 1, 1, 1, 5, 1, 4))]
    modules = {"expand": "ghost1", "project": "ghost2"}
    parts = {"primary": "primary_conv", "cheap": "cheap_operation"}
    layers = {"conv": 0, "bn": 1}
    return (
        (r"stem\.conv\.", "conv_stem."),
        (r"stem\.bn\.", "bn1."),
        (r"stem\.", "conv_stem."),
        (r"blocks\.(\d+)\.(?=embed|attention)", lambda m: f"{blocks[int(m[1])]}.downsampling."),
        (
            r"blocks\.(\d+)\.(expand|project)\.(primary|cheap)\.",
            lambda m: f"{blocks[int(m[1])]}.{modules[m[2]]}.{parts[m[3]]}.",
        ),
        (
            r"blocks\.(\d+)\.depthwise\.(?:body\.)?(conv|bn)\.",
            lambda m: f"{blocks[int(m[1])]}.{m[2]}_dw.",
        ),
        (
            r"blocks\.(\d+)\.squeeze\.(\w+)\.",
            lambda m: f"{blocks[int(m[1])]}.se.conv_{m[2]}.",
        ),
        (
            r"blocks\.(\d+)\.shortcut\.(\d)\.(conv|bn)\.",
            lambda m: f"{blocks[int(m[1])]}.shortcut.{2 * int(m[2]) + layers[m[3]]}.",
        ),
        (r"last\.", "blocks.9.0."),
        (r"hidden\.", "conv_head."),
    )


def _shufflenetv2(keys: Collection[str]) -> Sequence[_Rule]:
    def unit(match: re.Match[str]) -> str:
        return f"stage{int(match[1]) + 2}.{match[2]}."

    # Position of each convolution and normalisation in the reference's flat sequences.
    branch = {
        "0.conv.": "branch2.0.",
        "0.bn.": "branch2.1.",
        "1.conv.": "branch2.3<.dwconv>.",
        "1.bn.": "branch2.4.",
        "2.conv.": "branch2.5.",
        "2.bn.": "branch2.6.",
    }
    branch1 = {
        "0.": "branch1.0<.dwconv>.",
        "1.": "branch1.1.",
        "2.conv.": "branch1.2.",
        "2.bn.": "branch1.3.",
    }
    branch2 = {
        "0.conv.": "branch2.0.",
        "0.bn.": "branch2.1.",
        "1.": "branch2.3<.dwconv>.",
        "2.": "branch2.4.",
        "3.conv.": "branch2.5.",
        "3.bn.": "branch2.6.",
    }
    home = r"stages\.(\d+)\.(\d+)\."
    layer = r"(\d\.(?:conv\.|bn\.)?)"
    return (
        (r"stem\.0\.", "conv1."),
        (r"stem\.", "conv_stem."),
        (home + r"(?=embed|attention)", unit),
        (home + r"branch\." + layer, lambda m: unit(m) + branch[m[3]]),
        (home + r"branch1\." + layer + r"(?:body\.)?", lambda m: unit(m) + branch1[m[3]]),
        (home + r"branch2\." + layer + r"(?:body\.)?", lambda m: unit(m) + branch2[m[3]]),
        (r"last\.", "conv5."),
        (r"classifier\.", "fc."),
    )


def _unit_of_resnet(match: re.Match[str]) -> str:
    return f"backbone.stage{int(match[1]) + 1}.unit{int(match[2]) + 1}."


def _resnet(keys: Collection[str]) -> Sequence[_Rule]:
    home = r"stages\.(\d+)\.(\d+)\."
    return (
        (r"normalise\.", "backbone.data_bn."),
        (r"stem\.(?=conv\.|bn\.)", "backbone.init_unit.conv."),
        (r"stem\.", "backbone.init_unit."),
        (home + r"conv1\.project\.", lambda m: _unit_of_resnet(m) + "conv1.conv2."),
        (home + r"shortcut\.", lambda m: _unit_of_resnet(m) + "projection."),
        (home, _unit_of_resnet),
        (r"classifier\.", "classifier.conv."),
    )


def _wrn(keys: Collection[str]) -> Sequence[_Rule]:
    # A normalisation comes before its convolution there, so its place in the stem is 0.
    layers = {"bn": 0, "conv": 2}
    parts = {"branch": "stem_1_1", "fuse": "stem_3"}
    home = r"stages\.(\d+)\.(\d+)\."
    return (
        (r"normalise\.", "backbone.data_bn."),
        (r"stem\.first\.", "backbone.init_unit.stem_1.0."),
        (
            r"stem\.(branch|fuse)\.(bn|conv)\.",
            lambda m: f"backbone.init_unit.{parts[m[1]]}.{layers[m[2]]}.",
        ),
        (r"stem\.", "backbone.init_unit.conv.conv."),
        (home + r"conv1\.project\.", lambda m: _unit_of_resnet(m) + "conv1.conv2."),
        (home + r"conv2\.", lambda m: _unit_of_resnet(m) + "conv2.conv."),
        (home + r"shortcut\.project\.", lambda m: _unit_of_resnet(m) + "projection.conv2."),
        (home + r"shortcut\.(?=\d)", lambda m: _unit_of_resnet(m) + "projection."),
        (home + r"shortcut\.(?:body\.)?", lambda m: _unit_of_resnet(m) + "projection.conv."),
        (home, _unit_of_resnet),
        (r"last\.0\.", "backbone.final_activation.bn."),
        (r"classifier\.", "classifier.conv."),
    )


_FAMILIES: Mapping[str, _Prefixes] = {
    "mobilenetv3_large_set1": _mobilenetv3_set1,
    "mobilenetv3_large_set2": _mobilenetv3_set2,
    "parc_mobilenetv2": _parc_mobilenetv2,
    "ghostnet": _ghostnet,
    "shufflenetv2": _shufflenetv2,
    "resnet": _resnet,
    "wrn": _wrn,
}
