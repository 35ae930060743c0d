"""Writing the files of one set, running each and describing it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from export.network.network import Network
from export.request.request import BuildRequest
from export.sets.files import output_errors, sha256_file
from export.sets.manifest import Artifact, FloatPrice, MissingFormat, ReferenceData
from pfd_models.errors import ModuleError, UnsupportedOperatorError

if TYPE_CHECKING:
    from export.formats import WriteOptions
    from export.graph.program import Program
    from export.half.judge import HalfPrecision
    from export.parity import ReferenceRun
    from export.quantization.build import EightBit

__all__ = ["Made", "Report", "make_files", "price_layers", "save_reference"]

Report = Callable[[str], None]
"""Called with the name of each step as it begins."""

Made: TypeAlias = Artifact | MissingFormat
"""A format's file, or why the network has none."""

REFERENCE_SAMPLES = 2
"""How many of the parity samples are kept for verification on a device."""


def make_files(
    folder: Path,
    request: BuildRequest,
    network: Network,
    program: Program,
    reference: ReferenceRun | EightBit | HalfPrecision,
    build_id: str,
    formats: Sequence[str],
    kept: Sequence[Artifact],
    processes: int,
    report: Report,
) -> dict[str, Made]:
    """Write each format into a folder and hold its file against the reference.

    Args:
        folder: Where the files are staged.
        request: What was asked for.
        network: Whose `stem` the files bear.
        program: What every format is written from.
        reference: What the files are held to.
        build_id: Goes inside each file.
        formats: Each after the one it is made from.
        kept: Files that the output folder has already.
        processes: How many may compute at once.
        report: Told the name of each format as it begins.

    Returns:
        Every format of `formats` and `kept`: its file, or why the network has none.

    Raises:
        ParityError: A file computes something else.
    """
    from export.formats import find_chains

    base = _options(request, network, build_id)
    made: dict[str, Made] = {a.format: a for a in kept}

    def make_chain(chain: tuple[str, ...], report: Report) -> list[Made]:
        for name in chain:
            report(name)
            made[name] = _make_file(folder, request, name, program, reference, base, network, made)
        return [made[name] for name in chain]

    for ended in _run_chains(make_chain, find_chains(formats), processes, report):
        made.update({one.format: one for one in ended})
    return made


def _run_chains(
    make_chain: Callable[[tuple[str, ...], Report], list[Made]],
    chains: Sequence[tuple[str, ...]],
    processes: int,
    report: Report,
) -> list[list[Made]]:
    """Make the chains of formats, side by side where `processes` and the system allow it."""
    from export.formats._beside import is_possible, run_side_by_side

    if processes < len(chains) or not is_possible():
        return [make_chain(chain, report) for chain in chains]
    *apart, here = chains
    for name in (name for chain in apart for name in chain):
        report(name)  # here: a fork may not use what this process reports through
    calls = [partial(make_chain, chain, lambda step: None) for chain in apart]
    return run_side_by_side([*calls, partial(make_chain, here, report)])


def _make_file(
    folder: Path,
    request: BuildRequest,
    name: str,
    program: Program,
    reference: ReferenceRun | EightBit | HalfPrecision,
    options: WriteOptions,
    network: Network,
    made: Mapping[str, Artifact | MissingFormat],
) -> Artifact | MissingFormat:
    """Write one format, run the file on the parity inputs and return its facts.

    Or return why the format cannot express the network.
    """
    from export import parity
    from export.formats import get_format

    format_module = get_format(name)
    if (needed := format_module.NEEDS) is not None:
        source = made[needed]
        if isinstance(source, MissingFormat):
            return MissingFormat(format=name, reason=f"made from .{needed}: {source.reason}")
        options = replace(options, made_from=_find(source, folder, request))
    path = folder / f"{network.stem}.{name}"
    try:
        with output_errors(path):
            written = format_module.write(program, path, options)
    except (ModuleError, UnsupportedOperatorError) as error:
        return MissingFormat(format=name, reason=str(error))
    begin = time.perf_counter()
    run = format_module.load(path)
    inputs, outputs, cost = written.inputs, written.outputs, None
    if isinstance(reference, parity.ReferenceRun):
        found = [run(sample) for sample in reference.inputs]
        figures = parity.compare(reference, found, what=path.name)
    else:
        figures, cost = reference.judge(run, what=path.name, kind=name)
        inputs = reference.describe(inputs, are_inputs=True)
        outputs = reference.describe(outputs, are_inputs=False)
    seconds = {**written.seconds, f"check {name}": time.perf_counter() - begin}
    if written.backend:
        renamed = path.with_stem(f"{path.stem}_{written.backend}")
        path = path.rename(renamed)
    return Artifact(
        file=path.name,
        format=name,
        backend=written.backend,
        precision=request.precision,
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
        inputs=inputs,
        outputs=outputs,
        delegates=written.delegates,
        leftovers=written.leftovers,
        parity=figures,
        build_seconds=seconds,
        cost=cost,
    )


def _options(request: BuildRequest, network: Network, build_id: str) -> WriteOptions:
    from export.formats import WriteOptions

    image = network.spec.get("input", {})
    identity = {
        "name": network.name,
        "variant": network.variant,
        "dataset": network.dataset,
        "build_id": build_id,
        "manifest": f"{network.stem}.json",
        "precision": request.precision,
        "colour_order": str(image.get("colour_order", "")),
        "mean": ",".join(map(repr, image.get("mean", ()))),
        "std": ",".join(map(repr, image.get("std", ()))),
        "value_range": ",".join(map(repr, image.get("value_range", ()))),
    }
    if network.app is not None:
        identity |= {
            "preprocess": network.app.preprocess,
            "head": network.app.head,
            "labels": "\n".join(network.app.labels),
        }
    return WriteOptions(
        identity={k: v for k, v in identity.items() if v},
        backend=request.backend,
        tflite_io=request.tflite_io,
        pte_io=request.pte_io,
        image=image,
        app=network.app,
    )


def price_layers(
    folder: Path,
    request: BuildRequest,
    network: Network,
    eight_bit: EightBit,
    program: Program,
    build_id: str,
    made: Mapping[str, Made],
) -> tuple[FloatPrice, ...]:
    """Say what the layers that an 8-bit network keeps in float cost each of its files.

    Args:
        folder: Where new files are staged.
        request: What was asked for.
        network: Whose files these are.
        eight_bit: What they were written from.
        program: The network in float.
        build_id: Of the set.
        made: From `make_files`.
    """
    from export.formats import with_needed
    from export.pipeline.float_prices import measure_prices

    artifacts = [a for name in with_needed(tuple(made)) if isinstance(a := made[name], Artifact)]
    places = [(a, _find(a, folder, request)) for a in artifacts]
    return measure_prices(eight_bit, program, places, _options(request, network, build_id))


def _find(artifact: Artifact, folder: Path, request: BuildRequest) -> Path:
    """Return where a file lies: staged, or in the output folder since an earlier build."""
    staged = folder / artifact.file
    return staged if staged.exists() else request.out / artifact.file


def save_reference(folder: Path, network: Network, reference: ReferenceRun) -> ReferenceData:
    """Write the samples that a device is verified with into the folder of a set."""
    from export import parity

    count = min(REFERENCE_SAMPLES, len(reference.inputs))
    path = folder / f"{network.stem}_reference.npz"
    with output_errors(path):
        parity.save_samples(reference, path, count)
    return ReferenceData(
        file=path.name, sha256=sha256_file(path), size_bytes=path.stat().st_size, samples=count
    )
