"""Names to networks: a dictionary, a decorator and the folder of families.

A family file registers builders with `architecture`; it is discovered by being in
``pfd_models/families``. Nothing else lists models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from torch import nn

from pfd_models.discovery import BrokenFile, import_whole_files, tell_broken
from pfd_models.errors import SpecError, unknown
from pfd_models.variants import Variant
from pfd_models.zoo import legacy_names
from pfd_models.zoo.spec import DATASETS, ModelSpec, Option

__all__ = [
    "Architecture",
    "Figures",
    "ParsedName",
    "architecture",
    "find_model",
    "get_architecture",
    "list_models",
    "load_families",
]

Builder: TypeAlias = Callable[[ModelSpec, Variant], nn.Module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Published counts of a network, which a test recomputes.

    Attributes:
        params: Parameters.
        macs: Multiply-accumulates by `thop_counts`; None where nobody published any.
        source: Where they are published.
    """

    params: int
    macs: int | None = None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedName:
    """What a name says.

    Attributes:
        model: The canonical name: different spellings of a network share it.
        options: What the family needs to know.
    """

    model: str
    options: Mapping[str, Option]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # a registration is itself
class Architecture:
    """One registered builder.

    Attributes:
        names: The names that are listed.
        build: Makes the network.
        parse: Reads a name, in lower case; None where it is not one of this architecture's.
        datasets: The data-set shapes it is defined for.
        dataset_options: Options that a data set decides.
        normalises_input: Whether its first layer normalises the image.
        replaceable_blocks: Whether every stride-2 step goes through `Downsampling.block`.
        figures: Published counts by (name, variant, data set), for networks that are not in the
            paper; the paper's rows are in golden.json.
        source: Publication and the paper's table.
    """

    names: tuple[str, ...]
    build: Builder
    parse: Callable[[str], ParsedName | None]
    datasets: tuple[str, ...]
    dataset_options: Mapping[str, Mapping[str, Option]]
    normalises_input: bool
    replaceable_blocks: bool
    figures: Mapping[tuple[str, str, str], Figures]
    source: str


_FAMILIES = "pfd_models.families"  # by name: family files import this module to register
_ARCHITECTURES: dict[str, Architecture] = {}


def architecture(
    *,
    source: str,
    names: tuple[str, ...] = (),
    parse: Callable[[str], ParsedName | None] | None = None,
    datasets: tuple[str, ...] = tuple(DATASETS),
    dataset_options: Mapping[str, Mapping[str, Option]] = MappingProxyType({}),
    normalises_input: bool = False,
    replaceable_blocks: bool = False,
    figures: Mapping[tuple[str, str, str], Figures] = MappingProxyType({}),
) -> Callable[[Builder], Builder]:
    """Register a builder; see `Architecture` for what is said about it.

    Without `names` the builder's own name is the model's; without `parse` a name has no options.

    Raises:
        ValueError: A name is already registered, or `parse` does not read it as itself.
    """

    def register(build: Builder) -> Builder:
        listed = names or (build.__name__,)
        entry = Architecture(
            names=listed,
            build=build,
            parse=parse or (lambda name: _plain_name(name, listed)),
            datasets=datasets,
            dataset_options=dataset_options,
            normalises_input=normalises_input,
            replaceable_blocks=replaceable_blocks,
            figures=figures,
            source=source,
        )
        for name in listed:
            if name in _ARCHITECTURES:
                raise ValueError(f"{build.__module__}: a model {name!r} is already registered")
            parsed = entry.parse(name)
            if parsed is None or parsed.model != name:
                raise ValueError(
                    f"{build.__module__}: {name!r} is not the name of what it parses to"
                )
            _ARCHITECTURES[name] = entry
        return build

    return register


def _plain_name(name: str, listed: tuple[str, ...]) -> ParsedName | None:
    return ParsedName(model=name, options={}) if name in listed else None


def load_families() -> Mapping[str, Architecture]:
    """Import every family file, also one added since, and return what they registered.

    A file that cannot be imported registers nothing and leaves the others alone; `list_models`
    and an unknown name tell of it.
    """
    return _load()[0]


def _load() -> tuple[Mapping[str, Architecture], tuple[BrokenFile, ...]]:
    modules, broken = import_whole_files(_FAMILIES)
    if broken:  # it may have registered a network before it failed
        whole = {module.__name__ for module in modules}
        for name, entry in list(_ARCHITECTURES.items()):
            home = entry.build.__module__
            if home.startswith(f"{_FAMILIES}.") and home not in whole:
                del _ARCHITECTURES[name]
    return _ARCHITECTURES, broken


def list_models() -> tuple[str, ...]:
    """Return the listed names, sorted; parametric families build more than they list.

    Raises:
        SpecError: A family file cannot be imported, so the list would not be whole.
    """
    found, broken = _load()
    if broken:
        raise SpecError(f"not every model can be listed: {tell_broken(broken)}")
    return tuple(sorted(found))


def get_architecture(name: str) -> Architecture:
    """Return the registered builder behind a name.

    Raises:
        SpecError: No such model; the line names the nearest ones.
    """
    return find_model(name)[0]


def find_model(name: str) -> tuple[Architecture, ParsedName, bool | None]:
    """Read a name of any spelling.

    Returns:
        Builder, what the name says, and whether the strides are those for small images where the
        name decides it, else None.

    Raises:
        SpecError: As `get_architecture`.
    """
    lowered = name.lower()
    legacy = legacy_names.translate(lowered)
    known, broken = _load()
    wanted = lowered if legacy is None else legacy.model
    for entry in dict.fromkeys(known.values()):
        if parsed := entry.parse(wanted):
            return entry, parsed, None if legacy is None else legacy.small_input
    line = unknown("model", name, sorted(known))
    raise SpecError(
        f"{line}; a family file is missing here: {tell_broken(broken)}" if broken else line
    )
