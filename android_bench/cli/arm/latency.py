"""`pfd-arm fit` and `estimate`: latencies that are modelled from counts, and say so."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from android_bench.arm_cost.block_cycles import Analyser, find_analyser
from android_bench.arm_cost.core import find_core
from android_bench.arm_cost.counting import count_file
from android_bench.arm_cost.latency_document import (
    FittedTable,
    read_latency_document,
    require_same_way,
    way_of,
    write_latency_document,
)
from android_bench.arm_cost.latency_model import Features, MeasuredNetwork, features_of
from android_bench.arm_cost.phone_tables import (
    Network,
    PhoneTable,
    choose_tables,
    read_networks,
    read_tables,
)
from android_bench.campaign.contest import BenchFile, files_of, find_files
from android_bench.cli.arm.files import count_chosen
from android_bench.cli.artifacts import find_or_build_one
from android_bench.cli.printing import print_line, print_table
from android_bench.cli.progress import Display
from android_bench.records import ArmCount, ArtifactRecord
from android_bench.report.latency_tables import (
    estimate_table,
    left_out_lines,
    network_table,
    validation_table,
)
from export.request.request import BuildRequest
from export.request.source import InputTensor, ModuleSource
from pfd_models.errors import GateError, InputError, PfdError

__all__ = ["estimate", "fit"]

_COUNTED_FORMAT = "tflite"
_Counted = tuple[BenchFile, ArmCount]


def fit(options: argparse.Namespace) -> int:
    """Fit a model of latency on tables that phones measured, and say what it errs by."""
    tables = choose_tables(read_tables(options.phones), options.table)
    networks = read_networks(options.networks)
    wanted = {
        row.model: networks[row.model]
        for table in tables
        for row in table.float32_rows
        if row.model in networks
    }
    if not wanted:
        raise InputError(
            f"no network of {options.phones} has a builder: name them in a file of --networks"
        )
    analyser = find_analyser() if options.cycles else None
    with Display() as display:
        counted = _count_networks(options, wanted, display)
    features = {
        network: _features(found[1], found[0].record, analyser)
        for network, found in counted.items()
        if not isinstance(found, PfdError)
    }
    joined = [_join(table, networks, counted, features, analyser) for table in tables]
    fitted = [table for table in joined if table is not None]
    if not fitted:
        raise InputError("no table has two networks that were counted; leave --no-build out")
    for table in fitted:
        validations = table.validate_all()
        print_table(validation_table(table, validations, show_all=options.show_all))
        print_table(network_table(table, validations, show_all=options.show_all))
        for line in left_out_lines(table, validations, show_all=options.show_all):
            print_line(line)
    if options.json is not None:
        write_latency_document(options.json, fitted)
    return 0


def estimate(options: argparse.Namespace) -> int:
    """Estimate the latency of files from their counts and a fit: a model, not a measurement."""
    tables = read_latency_document(options.fit).tables
    options.runtime = options.runtime or sorted({table.way.engine for table in tables})
    analyser = find_analyser() if any(table.cycles_by for table in tables) else None
    files = count_chosen(options, with_operators=False)
    features = {file.file: _features(file.count, file.artifact, analyser) for file in files}
    for table in tables:
        for file in files:
            require_same_way(table, file.count, file.file)
        _require_same_analyser(table, analyser)
        validations = table.validate_all()
        print_table(estimate_table(table, validations, features, show_all=options.show_all))
    return 0


def _require_same_analyser(table: FittedTable, analyser: Analyser | None) -> None:
    title = analyser.title(table.way.core) if analyser else ""
    if table.cycles_by and table.cycles_by != title:
        raise InputError(
            f"the cycles of {table.id} are by {table.cycles_by}, and here is {title}: make the fit "
            "again with pfd-arm fit --cycles"
        )


def _features(
    count: ArmCount, record: ArtifactRecord | None, analyser: Analyser | None
) -> Features:
    return features_of(
        count.counts,
        macs=record.macs if record else None,
        params=record.params if record else None,
        cycles=analyser.count_cycles(count) if analyser else None,
    )


def _count_networks(
    options: argparse.Namespace, wanted: Mapping[str, Network], display: Display
) -> dict[Network, _Counted | PfdError]:
    """Build and count each network once; what cannot be built or counted stands with its reason."""
    core = find_core(options.core)
    ready = _find_ready(options.artifacts or ())
    counted: dict[Network, _Counted | PfdError] = {}
    for network in dict.fromkeys(wanted.values()):
        try:
            file = ready.get(network) or _build(network, options, display)
            display.step(f"counting {file.path.name} on {core.title}")
            use_cache = not options.no_cache
            count = count_file(file.path, core, with_operators=False, use_cache=use_cache)
        except (InputError, GateError) as error:
            counted[network] = error
            display.say(f"left out: {network.target}: {error}")
        else:
            counted[network] = file, count
    return counted


def _find_ready(patterns: Sequence[str]) -> dict[Network, BenchFile]:
    """Return the networks among sets that are there, by what they were built of."""
    files = [file for file in find_files(patterns) if _is_counted(file)] if patterns else []
    return {
        Network(target=file.record.model, side=file.record.resolution): file
        for file in files
        if file.record.resolution is not None
    }


def _is_counted(file: BenchFile) -> bool:
    return file.artifact.format == _COUNTED_FORMAT and file.artifact.precision == "fp32"


def _build(network: Network, options: argparse.Namespace, display: Display) -> BenchFile:
    manifest = find_or_build_one(
        _request(network, options.out), display, build=not options.no_build
    )
    return next(file for file in files_of(manifest) if _is_counted(file))


def _request(network: Network, out: Path) -> BuildRequest:
    shape = (1, 3, network.side, network.side)
    return BuildRequest(
        source=ModuleSource(target=network.target, inputs=(InputTensor(shape=shape),)),
        formats=(_COUNTED_FORMAT,),
        out=out,
        # Its weights are random, and what it computes is not asked here.
        allow_flat_output=True,
    )


def _join(
    table: PhoneTable,
    networks: Mapping[str, Network],
    counted: Mapping[Network, _Counted | PfdError],
    features: Mapping[Network, Features],
    analyser: Analyser | None,
) -> FittedTable | None:
    """Put beside each row what was counted; None where fewer than two were."""
    measured: list[MeasuredNetwork] = []
    left_out: dict[str, str] = {}
    way = None
    for row in table.float32_rows:
        if row.model not in networks:
            left_out[row.model] = "no builder is named for it"
            continue
        found = counted[networks[row.model]]
        if isinstance(found, PfdError):
            left_out[row.model] = str(found)
            continue
        way = way_of(found[1])
        of = features[networks[row.model]]
        measured.append(MeasuredNetwork(name=row.model, latency_ms=row.ms, features=of))
    if way is None or len(measured) < 2:
        return None
    return FittedTable(
        id=table.id,
        device=table.device,
        runtime=table.runtime,
        counted_runtime=table.is_counted_runtime,
        source=table.source,
        way=way,
        networks=tuple(measured),
        left_out=left_out,
        cycles_by=analyser.title(way.core) if analyser else "",
    )
