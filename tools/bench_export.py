"""How long a build takes, step by step, beside the stock chain.

Ours: capture, passes, ``.pte``, ``.onnx``, ``.tflite``. Stock: ``torch.onnx.export`` and onnxsim,
``torch.export`` and ExecuTorch's own lowering, and litert-torch where it is installed (the extra
``peers``). Each run is a process of its own, forked from one that has imported the libraries and
done nothing yet, so imports, equal for both, are not counted. The chains take turns in the order
ours, stock, stock, ours, two at a time where there are two cores, so that a slow minute of the
machine hits both; medians are compared. The whole chain of ours counts the passes, which stock has
none of.

    python tools/bench_export.py --model shufflenetv2,ghostnet --variant ours --repeats 5
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CHAINS = ("ours", "stock")
CLOCKS = ("cpu", "wall")
CHAIN = "whole chain"
LIBRARIES = (
    "executorch.backends.xnnpack.partition.xnnpack_partitioner", "executorch.exir", "onnx",
    "onnxsim", "torch.onnx._internal.exporter._core", "export.formats.onnx", "export.formats.pte",
    "export.formats.tflite", "export.graph.program", "export.onnx_to_tflite", "export.passes",
)  # fmt: skip
"""Imported before anything is timed."""

Seconds = dict[str, dict[str, float]]
"""Wall and CPU seconds of each step."""


@contextlib.contextmanager
def time_step(seconds: Seconds, step: str) -> Iterator[None]:
    """Note the wall and CPU seconds of what runs inside."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    seconds[step] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def make_module(model: str, variant: str, dataset: str) -> tuple[Any, Any]:
    """Return the module to export and an input for it, weights from a fixed seed."""
    import torch

    from pfd_models import create_model, get_spec

    torch.manual_seed(0)
    spec = get_spec(model, variant, dataset)
    shape = (1, spec.input.channels, spec.input.height, spec.input.width)
    return create_model(model, variant, dataset).eval(), torch.randn(shape)


def run_ours(module: Any, x: Any, folder: Path) -> Seconds:
    """Build the three files with this project's chain."""
    from export.formats import WriteOptions, get_format
    from export.graph.program import capture
    from export.passes import run_passes

    seconds: Seconds = {}
    with time_step(seconds, "capture"):
        program = capture(module, (x,))
    with time_step(seconds, "passes"):
        program = run_passes(program)
    for name in ("pte", "onnx"):
        with time_step(seconds, name):
            get_format(name).write(program, folder / f"net.{name}", WriteOptions())
    with time_step(seconds, "tflite"):
        options = WriteOptions(made_from=folder / "net.onnx")
        get_format("tflite").write(program, folder / "net.tflite", options)
    return seconds


def run_stock(module: Any, x: Any, folder: Path) -> Seconds:
    """Build the same files with each project's own tool, as its documentation says."""
    import onnx
    import onnxsim
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    seconds: Seconds = {}
    with time_step(seconds, "capture"):
        exported = torch.export.export(module, (x,))
    with time_step(seconds, "pte"):
        edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        with (folder / "net.pte").open("wb") as file:
            edge.to_executorch().write_to_file(file)
    with time_step(seconds, "onnx"):
        program = torch.onnx.export(module, (x,), dynamo=True, verbose=False)
        simplified, _ = onnxsim.simplify(program.model_proto)
        onnx.save(simplified, folder / "net.onnx")
    if importlib.util.find_spec("litert_torch") is not None:
        with time_step(seconds, "tflite"):
            import litert_torch

            litert_torch.convert(module, (x,)).export(str(folder / "net.tflite"))
    return seconds


RUNNERS: dict[str, Callable[[Any, Any, Path], Seconds]] = {"ours": run_ours, "stock": run_stock}


def run_chain(chain: str, model: str, variant: str, dataset: str) -> Seconds:
    """Run one chain in this process, which nothing else uses, and return its seconds."""
    import torch

    torch.set_num_threads(1)
    with open(os.devnull, "wb") as sink:  # what the libraries say while they work
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    module, x = make_module(model, variant, dataset)
    with tempfile.TemporaryDirectory() as folder:
        return RUNNERS[chain](module, x, Path(folder))


def start_processes(jobs: int) -> ProcessPoolExecutor:
    """Return a pool whose every task gets a process of its own, libraries imported."""
    # Before the server starts that all processes are forked from.
    os.environ.update(OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    context = multiprocessing.get_context("forkserver")
    peers = ("litert_torch",) if importlib.util.find_spec("litert_torch") else ()
    context.set_forkserver_preload([*LIBRARIES, *peers])
    return ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1)


def order_runs(repeats: int) -> list[str]:
    """Return the chains in the order in which they run: ours, stock, stock, ours, ..."""
    return [c for i in range(repeats) for c in (CHAINS if i % 2 == 0 else CHAINS[::-1])]


def compare(
    pool: ProcessPoolExecutor, model: str, variant: str, dataset: str, repeats: int
) -> dict[str, Any]:
    """Run both chains in turns; the rows of the table and every figure they come from."""
    runs: dict[str, list[Seconds]] = {chain: [] for chain in CHAINS}
    order = order_runs(repeats)
    ended = [pool.submit(run_chain, chain, model, variant, dataset) for chain in order]
    for number, (chain, run) in enumerate(zip(order, ended, strict=True), 1):
        try:
            runs[chain].append(run.result())
        except Exception as error:  # a library's own
            pool.shutdown(wait=False, cancel_futures=True)
            sys.exit(f"the {chain} chain failed on {model}/{variant}: {error}")
        print(f"{model}/{variant}: {number} of {len(order)} runs done", file=sys.stderr)
    network = {"model": model, "variant": variant, "dataset": dataset}
    return {**network, "rows": make_rows(runs), "runs": runs}


def make_rows(runs: dict[str, list[Seconds]]) -> list[dict[str, Any]]:
    """Return a row a step, and one of the whole chain: of what both chains make."""
    both = {chain: list(runs[chain][0]) for chain in CHAINS}
    if "tflite" not in both["stock"]:
        both["ours"].remove("tflite")  # nothing to compare it with
    rows = [compare_steps(step, [step], [step], runs) for step in runs["ours"][0]]
    return [*rows, compare_steps(CHAIN, both["ours"], both["stock"], runs)]


def compare_steps(
    name: str, ours: list[str], stock: list[str], runs: dict[str, list[Seconds]]
) -> dict[str, Any]:
    """Return medians of the sums of steps, and their ratios where both chains have them."""
    row: dict[str, Any] = {"step": name}
    for clock in CLOCKS:
        for chain, steps in zip(CHAINS, (ours, stock), strict=True):
            if all(step in runs[chain][0] for step in steps):
                sums = [sum(run[step][clock] for step in steps) for run in runs[chain]]
                row[f"{chain}_{clock}"] = statistics.median(sums)
        if f"stock_{clock}" in row:
            row[f"ratio_{clock}"] = row[f"ours_{clock}"] / row[f"stock_{clock}"]
    return row


def print_table(results: list[dict[str, Any]], repeats: int) -> None:
    """Print all networks as one Markdown table."""
    print(f"\nMedians of {repeats} processes of each chain, interleaved, one thread each.\n")
    print(
        "| network | step | ours CPU s | stock CPU s | ratio | ours wall s | stock wall s | ratio |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for result in results:
        network = f"{result['model']} {result['variant']} {result['dataset']}"
        for row in result["rows"]:
            keys = [f"{what}_{clock}" for clock in CLOCKS for what in (*CHAINS, "ratio")]
            cells = [f"{row[key]:.2f}" if key in row else "" for key in keys]
            print("|", " | ".join([network, row["step"], *cells]), "|")
    if importlib.util.find_spec("litert_torch") is None:
        print(f"\n{CHAIN}: without .tflite on both sides, litert-torch is not installed here.")


def main() -> None:
    """Parse, measure, print; ``--json`` keeps every raw figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="shufflenetv2", help="comma list of zoo models")
    parser.add_argument("--variant", default="ours", help="comma list of variants")
    parser.add_argument("--dataset", default="vegfru292", help="data-set shape")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each chain")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes at once"
    )
    options = parser.parse_args()
    for name in ("repeats", "jobs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}; give at least 1")
    with start_processes(options.jobs) as pool:
        results = [
            compare(pool, model, variant, options.dataset, options.repeats)
            for model in options.model.split(",")
            for variant in options.variant.split(",")
        ]
    print_table(results, options.repeats)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
