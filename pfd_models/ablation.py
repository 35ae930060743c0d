"""`python -m pfd_models.ablation`: train the rows of an ablation table, beside the paper's.

Example:
    python -m pfd_models.ablation --model shufflenetv2 --variants orig,stem,down,ours,efv2 \
        --dataset cifar100 --data-root cifar100 --seeds 0,1,2
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfd_models.errors import DataError, PfdError, SpecError
from pfd_models.variant_names import parse_variant, split_variants

if TYPE_CHECKING:
    from pfd_models.training.ablation import Row

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, train what is missing, print the table, return the exit status."""
    from pfd_models.training.distributed import end_with

    options = _parse(arguments)
    try:
        return _run(options)
    except PfdError as error:
        return end_with(
            error, shared=not isinstance(error, DataError)
        )  # a process may meet one alone


def _run(options: argparse.Namespace) -> int:
    from pfd_models.training.ablation import Cell, Interrupted, check_seeds, rows_of, run_cells
    from pfd_models.training.arguments import gpu_id_of, run_config
    from pfd_models.training.display import Display
    from pfd_models.training.distributed import choose_device, processes

    seeds = _numbers(options.seeds)
    check_seeds(seeds)
    variants = split_variants(options.variants)
    if not variants:
        raise SpecError(f"no variants in {options.variants!r}; give for example orig,ours")
    out = options.out or Path("runs") / f"ablation_{options.model}_{options.dataset}"
    configs = [
        run_config(
            options,
            model=options.model,
            variant=variant,
            seed=seed,
            folder=out / f"{parse_variant(variant).file_word}_seed{seed}",
        )
        for seed in seeds
        for variant in variants
    ]
    device = choose_device(gpu_id_of(options))
    cells: list[Cell] = []
    status = 0
    with contextlib.ExitStack() as stack:
        together = stack.enter_context(processes(device))
        display = stack.enter_context(Display()) if together.is_main else None
        for found in run_cells(configs, device=device, processes=together, report=display):
            if isinstance(found, Interrupted):
                status = 128 + found.signal
                break
            cells.append(found)
    if together.is_main:
        rows = rows_of(cells, configs[0].spec.model, configs[0].dataset)
        text = _as_json(rows) if options.json else _as_table(rows, configs[0].recipe.name)
        sys.stdout.write(text + "\n")
        if status:
            sys.stdout.write(
                f"interrupted after {len(cells)} of {len(configs)} runs: the same command goes on\n"
            )
    return status


def _as_table(rows: Sequence[Row], recipe: str) -> str:
    header = ("variant", "seeds", "top-1 % (best epoch)", "last epoch", "top-1 % (paper's)")
    cells = [header]
    for row in rows:
        half = row.half_width
        measured = f"{row.mean:.2f}" + ("" if half is None else f" +- {half:.2f}")
        last = sum(row.last_top1) / len(row.last_top1)
        printed = "; ".join(f"{value:.2f} ({table})" for table, value in row.printed) or "-"
        cells.append((row.variant, str(len(row.top1)), measured, f"{last:.2f}", printed))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)) for row in cells]
    notes = [
        f"Means over seeds of runs with recipe {recipe}; +- is half the 95 % interval of the mean "
        "(Student's t), absent for one seed.",
        "The paper prints one figure a row and no spread.",
    ]
    return "\n".join([*(line.rstrip() for line in lines), "", *notes])


def _as_json(rows: Sequence[Row]) -> str:
    plain: list[dict[str, Any]] = [
        {
            **dataclasses.asdict(row),
            "mean": row.mean,
            "half_width_95": row.half_width,
            "printed": dict(row.printed),
        }
        for row in rows
    ]
    return json.dumps(plain, indent=2)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise SpecError(f"seeds {text!r} are no numbers; give for example 0,1,2") from error


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    from pfd_models.training.arguments import LineParser, add_data_arguments, add_run_arguments

    parser = LineParser(
        prog="python -m pfd_models.ablation",
        description="Train the rows of an ablation table with the same seeds; call again to go on.",
    )
    parser.add_argument("--model", required=True, help="a name of the zoo")
    parser.add_argument("--variants", default="orig,stem,down,ours", help="a comma list")
    parser.add_argument("--seeds", default="0,1,2", help="a comma list (default: 0,1,2)")
    add_data_arguments(parser)
    add_run_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the runs")
    parser.add_argument("--json", action="store_true", help="print a JSON list, one object a row")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
