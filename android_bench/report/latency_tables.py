"""Modelled latencies as tables for the console; each says that it is a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from android_bench.arm_cost.latency_document import FittedTable
from android_bench.arm_cost.latency_model import Features
from android_bench.arm_cost.latency_validation import (
    HeldOut,
    Validation,
    choose_best,
    choose_shown,
    validate_choice,
)
from android_bench.report.tables import make_table, plain_name

__all__ = ["estimate_table", "left_out_lines", "network_table", "validation_table"]

Validations = Mapping[str, Validation]


def validation_table(table: FittedTable, validations: Validations, *, show_all: bool) -> Table:
    """Return a row for each predictor: what it errs by on networks it was not fitted on.

    Below them stands what one errs by who lets the other networks choose the predictor too.
    """
    made = make_table(
        "predictor",
        "mean error",
        "largest",
        "of",
        "wrong order",
        "constants, ns",
        title=f"{_title(table)}: {len(table.networks)} networks, each left out once",
    )
    for name, one in _shown(validations, show_all).items():
        constants = ", ".join(f"{k} {v:.3g}" for k, v in one.fit.constants_ns.items())
        made.add_row(name, *_error_cells(one), constants)
    choice = validate_choice(table.networks)
    if choice is not None:
        times = Counter(choice.chosen.values()).most_common()
        by = ", ".join(f"{name} ({count})" for name, count in times)
        made.add_section()
        made.add_row("chosen by the others", *_error_cells(choice), by)
    return made


def _error_cells(one: HeldOut) -> list[str | Text]:
    worst, error = one.worst
    return [
        f"{100 * one.mean_error:.1f} %",
        f"{100 * error:+.1f} %",
        plain_name(worst),
        f"{len(one.wrong_pairs)} of {one.pairs} pairs",
    ]


def network_table(table: FittedTable, validations: Validations, *, show_all: bool) -> Table:
    """Return a row for each network: measured, and modelled by each predictor without it."""
    shown = _shown(validations, show_all)
    made = make_table("network", "measured, ms", *(f"{name}, model" for name in shown))
    for network in table.networks:
        cells = [
            f"{one.predicted_ms[network.name]:.2f} ({100 * one.errors[network.name]:+.0f} %)"
            for one in shown.values()
        ]
        made.add_row(plain_name(network.name), f"{network.latency_ms:g}", *cells)
    return made


def left_out_lines(table: FittedTable, validations: Validations, *, show_all: bool) -> list[str]:
    """Return what the tables do not show: pairs in the wrong order, predictors, networks."""
    shown = _shown(validations, show_all)
    lines = [
        f"{name} has {pair.faster} slower than {pair.slower}, which takes "
        f"{100 * pair.difference:.0f} % longer on the phone"
        for name, one in shown.items()
        for pair in one.wrong_pairs
    ]
    lines += [
        f"not shown, for it ranks worse than plain instruction counts: {name} "
        f"({len(one.wrong_pairs)} of {one.pairs} pairs in the wrong order, mean error "
        f"{100 * one.mean_error:.1f} %); --all shows it"
        for name, one in validations.items()
        if name not in shown
    ]
    lines += [f"left out: {name}: {reason}" for name, reason in table.left_out.items()]
    return lines


def estimate_table(
    table: FittedTable,
    validations: Validations,
    files: Mapping[str, Features],
    *,
    show_all: bool,
) -> Table:
    """Return a row for each file: its modelled latency by the best predictor, or by all.

    Args:
        table: The fit.
        validations: Of its predictors.
        files: Name to what a predictor may use.
        show_all: Whether predictors that rank worse than instruction counts are shown.
    """
    best = choose_best(validations)
    shown = _shown(validations, True) if show_all else {best.fit.predictor: best}
    made = make_table(
        "file",
        *(f"{name}, model, ms" for name in shown),
        "on networks left out it erred by",
        title=f"{_title(table)}: a model, nothing was measured here",
    )
    worst = max(abs(error) for error in best.errors.values())
    erred = f"{100 * best.mean_error:.0f} % in the mean, {100 * worst:.0f} % at most"
    for name, features in files.items():
        cells = [f"{one.fit.predict_ms(features):.3f}" for one in shown.values()]
        made.add_row(plain_name(name), *cells, erred)
    return made


def _shown(validations: Validations, show_all: bool) -> Validations:
    return validations if show_all else choose_shown(validations)


def _title(table: FittedTable) -> str:
    way = table.way
    counted = f"counted: {way.engine} {way.engine_version} on {way.core}"
    if not table.counted_runtime:
        counted += ", another runtime than the one that measured"
    return f"{table.device}, {table.runtime}; {counted}"
