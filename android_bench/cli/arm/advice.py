"""Advice before training: networks are built at subsets of their sites, and counted."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from android_bench.arm_cost.advice import MOST_EXHAUSTIVE, advise
from android_bench.arm_cost.core import Core, find_core
from android_bench.arm_cost.counting import ENGINES, count_file
from android_bench.arm_cost.document import CountedFile
from android_bench.campaign.contest import files_of
from android_bench.cli.artifacts import ArtifactChoice, SetBuilder
from android_bench.cli.progress import Display
from android_bench.records import Counts
from android_bench.report.arm_advice import AdvicePage
from export.request.calibration import CalibrationSource, parse_calibration
from export.request.request import BuildRequest, Precision
from export.request.source import ConvertibleSite, ModuleSource, ZooSource
from export.request.user_code import check_inputs, parse_input, parse_target
from pfd_models.errors import ConversionError, InputError, SpecError, unknown

__all__ = ["advise_networks"]

Source = ZooSource | ModuleSource
Sites = frozenset[str]
_FORMATS = {engine: suffix.removeprefix(".") for suffix, engine in ENGINES.items()}


def advise_networks(options: argparse.Namespace) -> tuple[list[AdvicePage], list[CountedFile]]:
    """Return what to print of every network, engine and precision, and all files counted.

    Raises:
        InputError: The options do not say one kind of network, or it has no site.
        DeviceError: Emulator or compiler is missing, or a run broke off.
    """
    sources, core = _read_sources(options), find_core(options.core)
    engines = list(dict.fromkeys(options.runtime or ENGINES.values()))
    for engine in engines:
        if engine not in ENGINES.values():
            raise InputError(unknown("runtime", engine, ENGINES.values()))
    calibration = None
    if options.calibration:
        calibration = parse_calibration(
            options.calibration, count=options.calibration_samples, data_root=options.data_root
        )
    pages: list[AdvicePage] = []
    files: dict[str, CountedFile] = {}
    with Display() as display, SetBuilder(display) as builder:
        for source in sources:
            sites = builder.list_sites(source)
            if options.exhaustive and len(sites) > MOST_EXHAUSTIVE:
                raise InputError(
                    f"--exhaustive: {source.label} has {len(sites)} sites and so "
                    f"{2 ** len(sites)} subsets; leave it out above {MOST_EXHAUSTIVE} sites"
                )
            for precision in options.precision:
                subsets = _Subsets(
                    options=options,
                    core=core,
                    display=display,
                    builder=builder,
                    source=source,
                    sites=sites,
                    precision=precision,
                    calibration=None if precision == "fp32" else calibration,
                    engines=engines,
                    refused={},
                )
                for engine in engines:
                    pages.append(_advise(subsets, engine, files))
    return pages, list(files.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subsets:
    """What builds and counts a network of one precision with some of its sites converted."""

    options: argparse.Namespace
    core: Core
    display: Display
    builder: SetBuilder
    source: Source
    sites: Sequence[ConvertibleSite]
    precision: Precision
    calibration: CalibrationSource | None
    engines: Sequence[str]
    refused: dict[Sites, str]

    def convert(self, chosen: Sites) -> Source:
        return self.source.at_sites(chosen, [site.name for site in self.sites])

    def count(self, chosen: Sites, engine: str) -> CountedFile | None:
        """Count the file of an engine; None, and the reason kept, where it cannot be built."""
        request = BuildRequest(
            source=self.convert(chosen),
            formats=tuple(_FORMATS[engine] for engine in self.engines),
            precision=self.precision,
            calibration=self.calibration,
            out=self.options.out,
            verbose=self.options.verbose,
        )
        try:
            manifest = self.builder.find_or_build(request)
        except (ConversionError, SpecError) as error:
            if not chosen:
                raise
            self.refused[chosen] = str(error)
            return None
        file = next(
            (f for f in files_of(manifest) if ENGINES.get(f.path.suffix) == engine),
            None,
        )
        if file is None:
            form = _FORMATS[engine]
            reason = next(m.reason for m in manifest.missing_formats if m.format == form)
            raise InputError(
                f"{request.source.label} has no {form} to count: {reason}; leave {engine} out of "
                "--runtime"
            )
        self.display.step(f"counting {file.path.name} on {self.core.title}")
        count = count_file(
            file.path, self.core, with_operators=False, use_cache=not self.options.no_cache
        )
        return CountedFile(file=file.path.name, artifact=file.record, count=count)


def _advise(subsets: _Subsets, engine: str, files: dict[str, CountedFile]) -> AdvicePage:
    first: list[CountedFile] = []

    def count(chosen: Sites) -> Counts | None:
        file = subsets.count(chosen, engine)
        if file is None:
            return None
        first.append(file)
        files[file.file] = file
        return file.count.counts

    options = subsets.options
    names = [site.name for site in subsets.sites]
    advice = advise(names, count, exhaustive=options.exhaustive)
    cheapest = subsets.convert(advice.cheapest)
    return AdvicePage(
        network=subsets.source.at_sites((), names).label,
        precision=subsets.precision,
        count=first[0].count,
        sites=tuple((site.name, site.told) for site in subsets.sites),
        advice=advice,
        refused=dict(subsets.refused),
        cheapest=_name(cheapest),
        command=_command(cheapest, subsets.precision, options),
    )


def _name(source: Source) -> str:
    if isinstance(source, ZooSource):
        return source.variant
    sites = ",".join(source.padding_free_sites)
    return f"--padding-free-sites {sites}" if sites else "the module as it is"


def _command(source: Source, precision: Precision, options: argparse.Namespace) -> str:
    """Return the command line that builds a choice."""
    words = ["python", "-m", "export.build"]
    if isinstance(source, ZooSource):
        words += ["--model", source.model, "--variant", source.variant]
        if source.dataset != ArtifactChoice().dataset:
            words += ["--dataset", source.dataset]
        if source.resolution is not None:
            words += ["--resolution", str(source.resolution)]
    else:
        words += ["--module", source.target, "--input", *options.input]
        if source.padding_free_sites:
            words += ["--padding-free-sites", ",".join(source.padding_free_sites)]
    if precision != "fp32":
        words += ["--precision", precision]
        if options.calibration:
            words += ["--calibration", options.calibration]
    return shlex.join(words)


def _read_sources(options: argparse.Namespace) -> list[Source]:
    if bool(options.model) == bool(options.module):
        raise SpecError("say what to advise on: --model NAME, or --module package.module:factory")
    if options.model:
        if options.input:
            raise SpecError("--input goes with --module, not with --model; leave it out")
        return [
            ZooSource(
                model=model,
                variant="orig",
                dataset=options.dataset,
                resolution=options.resolution,
            )
            for model in options.model
        ]
    if options.resolution is not None or options.dataset != ArtifactChoice().dataset:
        raise SpecError("--dataset and --resolution go with --model; with --module give --input")
    if not options.input:
        raise SpecError("--module needs the input's shape: --input 1,3,224,224")
    parse_target(options.module)
    inputs = tuple(parse_input(text) for text in options.input)
    check_inputs(inputs)
    return [ModuleSource(target=options.module, inputs=inputs, search_path=os.getcwd())]
