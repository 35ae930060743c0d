"""From a request to what each layer loses: quantise, compare, print, write."""

from __future__ import annotations

import contextlib
import json
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from export.cli.progress import Display, make_console
from export.cli.workers import explain_unexpected
from export.network.network import make_network
from export.network.threads import one_thread
from export.quiet import quiet_logs
from export.request.request import BuildRequest
from export.sets.files import atomic_write
from pfd_models.errors import ModuleError, PfdError, SpecError, UnsupportedOperatorError
from pfd_models.plain_data import to_plain

if TYPE_CHECKING:
    from rich.console import Console

    from export.network.inputs import Arrays
    from export.quantization.sensitivity.handed_out import HandedOut
    from export.quantization.sensitivity.result import LayerRow, Sensitivity

__all__ = ["FOLDER", "analyse", "analyse_all", "print_sensitivity", "write_sensitivity"]

FOLDER = "sensitivity"
"""Below the output folder, so that no pattern of artifacts matches its files."""

SHOWN = 15
"""Rows of the table: the layers that alone cost most. The files have all."""


def analyse_all(requests: Sequence[BuildRequest]) -> None:
    """Analyse each 8-bit request in turn; print it and write its files."""
    console = make_console()
    for request in requests:
        if request.precision != "int8":
            continue
        with Display() as display:
            sensitivity = analyse(request, partial(display.step, request.source.label))
        print_sensitivity(sensitivity, console)
        paths = write_sensitivity(sensitivity, request.out)
        console.print(f"in {paths[0]} and beside it", markup=False, emoji=False, soft_wrap=True)


def analyse(
    request: BuildRequest, report: Callable[[str], None] = lambda step: None
) -> Sensitivity:
    """Measure what each layer of a network loses in 8 bits.

    Args:
        request: Of precision ``int8``. Layers that its `keep_float` names are left out; its
            `max_loss` changes nothing, for the layers are what it chooses from, and neither does
            its head, for losses are those of the scores in front of it.
        report: Told the name of each step as it begins.

    Raises:
        InputError: Something in the request is wrong; the subclasses say what.
        PfdError: Something went wrong that nobody foresaw.
    """
    _refuse_trained(request)
    if request.precision != "int8" or request.calibration is None:
        raise SpecError("the sensitivity of layers is one of int8; give --calibration")
    try:
        with one_thread():
            return _analyse(request, report)
    except PfdError:
        raise
    except Exception as error:  # the edge of the command
        if request.verbose:
            traceback.print_exc()
        raise explain_unexpected(error) from error


def _refuse_trained(request: BuildRequest) -> None:
    from pfd_models.checkpoints import load_quantized

    if request.weights is not None and load_quantized(request.weights) is not None:
        raise SpecError(
            f"{request.weights} was trained in integers (--qat), and what each layer loses is "
            "found by quantising a float network; give the checkpoint that the training began with"
        )


def _analyse(request: BuildRequest, report: Callable[[str], None]) -> Sensitivity:
    import torch

    from export.graph.program import capture
    from export.network.app import wrap_for_app
    from export.network.pixels import choose_network_inputs
    from export.passes import run_passes
    from export.quantization.calibration import load_network_calibration
    from export.quantization.cost import measure_cost
    from export.quantization.quantize import quantize, simplify
    from export.quantization.recipe import find_ranges
    from export.quantization.scales import choose_scales
    from export.quantization.sensitivity import alone, inside
    from export.quantization.sensitivity.handed_out import hand_out
    from export.quantization.sensitivity.result import LayerRow, Sensitivity

    source = request.calibration
    assert source is not None  # `analyse` asked

    @contextlib.contextmanager
    def step(name: str) -> Iterator[None]:
        report(name)
        with quiet_logs(verbose=request.verbose):
            yield

    with step("model"):
        network, _ = make_network(request)
        network = wrap_for_app(network, replace(request.app, head="none", labels=None))
        (example, *_), _ = choose_network_inputs(request, network)
        tensors = tuple(map(torch.from_numpy, example))
        program = run_passes(capture(network.module, tensors, names=network.input_names))
    with step("quantize"):
        data = load_network_calibration(request, network, source)
        simplified = simplify(program, request.keep_float)
        graph = simplified.module.graph
        affines = choose_scales(graph, find_ranges(graph, data.samples))
        quantized = quantize(program, data.samples, keep=request.keep_float)
    with step("alone"):
        held = data.held[: alone.SAMPLES]
        labels = data.labels[: len(held) * len(held[0][0])]
        losses = alone.measure_alone(simplified, affines, data.samples, held, labels)
    with step("inside"), tempfile.TemporaryDirectory() as folder:
        handed = hand_out(quantized)
        files, missing = _write_files(handed, request, Path(folder))
        values = inside.follow(simplified, affines, quantized, handed, data.held, files)
    results = {row: simplified.find_result(row) for row in simplified.layers}
    return Sensitivity(
        stem=f"{network.stem.removesuffix('_fp32')}_int8",
        calibration=source.label,
        is_synthetic=source.kind == "synthetic",
        followed=min(inside.SAMPLES, len(data.held)),
        whole=measure_cost(
            [program.run(sample)[0].numpy() for sample in held],
            [quantized.program.run(sample)[0].numpy() for sample in held],
            labels,
        ),
        kept_float=quantized.kept_float,
        layers=tuple(
            LayerRow(
                name=loss.name,
                operators=loss.operators,
                alone=loss.cost,
                inside_db=None if (v := values.get(results[loss.name])) is None else v.sqnr_db,
                steps={} if v is None else v.steps,
            )
            for loss in losses
        ),
        missing=missing,
    )


def _write_files(
    handed: HandedOut, request: BuildRequest, folder: Path
) -> tuple[dict[str, Callable[[Arrays], Arrays]], dict[str, str]]:
    """Write and load a file of each format, or say why there is none."""
    from export.formats import WriteOptions, get_format, with_needed

    files: dict[str, Callable[[Arrays], Arrays]] = {}
    missing: dict[str, str] = {}
    for name in with_needed(request.formats):
        made, path = get_format(name), folder / f"inside.{name}"
        if made.NEEDS in missing:
            missing[name] = missing[str(made.NEEDS)]
            continue
        source = None if made.NEEDS is None else path.with_suffix(f".{made.NEEDS}")
        options = WriteOptions(backend=request.backend, made_from=source, delegation=False)
        try:
            made.write(handed.program, path, options)
        except (ModuleError, UnsupportedOperatorError) as error:
            missing[name] = str(error)
        else:
            files[name] = made.load(path)
    return {kind: run for kind, run in files.items() if kind in request.formats}, missing


def write_sensitivity(sensitivity: Sensitivity, out: Path) -> tuple[Path, ...]:
    """Write the figure, the data and the node data of Model Explorer, and return the paths."""
    from export.cli.sensitivity_figure import draw
    from export.quantization.sensitivity.node_data import make_node_data

    stem = out / FOLDER / sensitivity.stem
    texts = {
        f"{stem}.html": draw(sensitivity),
        f"{stem}.json": json.dumps(to_plain(sensitivity), indent=2, allow_nan=False) + "\n",
        f"{stem}_nodes.json": json.dumps(make_node_data(sensitivity), indent=2) + "\n",
    }
    for path, text in texts.items():
        atomic_write(Path(path), text)
    return tuple(map(Path, texts))


def print_sensitivity(sensitivity: Sensitivity, console: Console) -> None:
    """Print the layers that cost most, and where the runs part."""
    table = Table("layer", "alone: SQNR dB", "top-1 agreement", "inside: SQNR dB")
    for kind in sensitivity.formats:
        table.add_column(f".{kind}: steps off")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in sensitivity.ranked[:SHOWN]:
        table.add_row(*_cells(row, sensitivity.formats))
    console.print(table)
    for line in _sum_up(sensitivity):
        console.print(line, markup=False, emoji=False, soft_wrap=True)


def _cells(row: LayerRow, formats: tuple[str, ...]) -> list[str]:
    agreement = "-" if row.alone.agreement is None else f"{row.alone.agreement:.1%}"
    inside = "-" if row.inside_db is None else f"{row.inside_db:.1f}"
    steps = [str(row.steps.get(kind, "-")) for kind in formats]
    return [row.name, f"{row.alone.sqnr_db:.1f}", agreement, inside, *steps]


def _sum_up(sensitivity: Sensitivity) -> Iterator[str]:
    from export.quantization.sensitivity.result import DIVERGED_DB

    whole, layers = sensitivity.whole, sensitivity.layers
    agreement = "" if whole.agreement is None else f", top-1 agreement {whole.agreement:.1%}"
    yield (
        f"{sensitivity.stem}: {len(layers)} layers compute in integers, the "
        f"{min(SHOWN, len(layers))} shown cost most alone; all together {whole.sqnr_db:.1f} dB"
        f"{agreement}, on {whole.samples} held samples; calibrated on {sensitivity.calibration}"
    )
    if (row := sensitivity.first_diverged) is not None:
        yield (
            f"float run: the integers first leave it in {row.name}, {row.inside_db:.1f} dB (less "
            f"than {DIVERGED_DB:.0f} dB)"
        )
    else:
        known = [row for row in layers if row.inside_db is not None]
        if known:
            least = min(known, key=lambda row: row.inside_db or 0.0)
            yield (
                f"float run: no layer is below {DIVERGED_DB:.0f} dB of it; the lowest is "
                f"{least.name}, {least.inside_db:.1f} dB"
            )
    for kind in sensitivity.formats:
        if (row := sensitivity.first_unequal(kind)) is None:
            yield f".{kind}: equals the integer reference in every layer"
        else:
            most = max(layers, key=lambda each: each.steps.get(kind, 0))
            yield (
                f".{kind}: first differs from the integer reference in {row.name}, by "
                f"{row.steps[kind]} steps; most in {most.name}, by {most.steps[kind]}"
            )
    for kind, reason in sensitivity.missing.items():
        yield f".{kind}: {reason}"
    for line in sensitivity.kept_float:
        yield f"in float: {line}"
