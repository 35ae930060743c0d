"""How long a build takes, step by step, beside the stock chain.

Ours: capture, passes, ``.pte``, ``.onnx``, ``.tflite``. Stock: ``torch.onnx.export`` and onnxsim,
``torch.export`` and ExecuTorch's own lowering, and litert-torch where it is installed (the extra
``peers``). Both start from the same module in fresh processes, which take turns in the order
ours, stock, stock, ours, so that a slow minute of the machine hits both; medians are compared.
The whole chain of ours counts the passes, which stock has none of.

    python tools/bench_export.py --model shufflenetv2,ghostnet --variant ours --repeats 5
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CHAINS = ("ours", "stock")
CLOCKS = ("cpu", "wall")
CHAIN = "whole chain"
LIBRARIES = (
    "executorch.backends.xnnpack.partition.xnnpack_partitioner", "executorch.exir", "onnx",
    "onnxsim", "torch.onnx._internal.exporter._core",
)  # fmt: skip
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


def import_libraries() -> None:
    """Import what both chains use, so that no later step of either counts it."""
    for name in LIBRARIES:
        importlib.import_module(name)


def run_ours(module: Any, x: Any, folder: Path) -> Seconds:
    """Build the three files with this project's chain."""
    seconds: Seconds = {}
    with time_step(seconds, "import"):
        import_libraries()
        from export.formats import WriteOptions, get_format
        from export.graph.program import capture
        from export.passes import run_passes
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
    import torch

    seconds: Seconds = {}
    with time_step(seconds, "import"):
        import_libraries()
        import onnx
        import onnxsim
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
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


def run_here(chain: str, model: str, variant: str, dataset: str) -> None:
    """Run one chain in this process and print its seconds as the last line."""
    import torch

    torch.set_num_threads(1)
    module, x = make_module(model, variant, dataset)
    with tempfile.TemporaryDirectory() as folder:
        seconds = RUNNERS[chain](module, x, Path(folder))
    print("\n" + json.dumps(seconds))


def run_apart(chain: str, model: str, variant: str, dataset: str) -> Seconds:
    """Run one chain in a fresh process."""
    command = [sys.executable, __file__, "--here", chain]
    command += ["--model", model, "--variant", variant, "--dataset", dataset]
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        sys.exit(f"the {chain} chain failed on {model}/{variant}:\n{result.stderr[-2000:]}")
    seconds: Seconds = json.loads(result.stdout.strip().splitlines()[-1])
    return seconds


def compare(model: str, variant: str, dataset: str, repeats: int) -> dict[str, Any]:
    """Run both chains in turns; the rows of the table and every figure they come from."""
    runs: dict[str, list[Seconds]] = {chain: [] for chain in CHAINS}
    for number in range(repeats):
        for chain in CHAINS if number % 2 == 0 else reversed(CHAINS):
            print(f"{model}/{variant}: repeat {number + 1} of {repeats}, {chain}", file=sys.stderr)
            runs[chain].append(run_apart(chain, model, variant, dataset))
    both = {chain: list(runs[chain][0]) for chain in CHAINS}
    if "tflite" not in both["stock"]:
        both["ours"].remove("tflite")  # nothing to compare it with
    rows = [compare_steps(step, [step], [step], runs) for step in runs["ours"][0]]
    rows.append(compare_steps(CHAIN, both["ours"], both["stock"], runs))
    return {"model": model, "variant": variant, "dataset": dataset, "rows": rows, "runs": runs}


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
    print(f"\nMedians of {repeats} fresh processes of each chain, interleaved, one thread each.\n")
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
    parser.add_argument("--repeats", type=int, default=5, help="fresh processes of each chain")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--here", choices=CHAINS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}; give at least 1")
    if options.here:
        run_here(options.here, options.model, options.variant, options.dataset)
        return
    results = []
    for model in options.model.split(","):
        for variant in options.variant.split(","):
            results.append(compare(model, variant, options.dataset, options.repeats))
    print_table(results, options.repeats)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
