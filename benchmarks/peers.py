"""This project's files beside those of other tools, of the same networks with the same weights.

    python benchmarks/peers.py --model shufflenetv2,ghostnet --variant orig,ours --resolution 32 \
        --precision fp32,int8 --peer-python peers/bin/python

For each network the peers' files are made from the module that ours are made of: ExecuTorch's own
lowering for XNNPACK (int8: PT2E with XNNPACKQuantizer), litert-torch with channels last (int8:
ai-edge-quantizer's static recipe). litert-torch and ai-edge-quantizer are the extra `peers`; give
--peer-python the interpreter of an environment that has them. Each file is run in its own runtime
and held against PyTorch. Then the files of one engine take turns in the native harness, one thread,
and the table gives how much longer the peer takes, and int8 beside float32 of our own.

int8 is calibrated on noise here, which says nothing about accuracy and does not change the time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_files import MAKERS

from android_bench import CampaignResult, Display, open_bench, open_store, read_result
from android_bench.campaign.bench import Bench
from android_bench.campaign.contest import BenchFile, Contest
from android_bench.campaign.series import run_series
from android_bench.campaign.series_plan import SeriesOptions, make_rules
from export.formats import get_format
from export.network.network import make_network
from export.pipeline import make_artifacts
from export.quantization.cost import measure_cost
from export.request.calibration import parse_calibration
from export.request.request import BuildRequest
from export.request.source import ZooSource
from export.sets.files import sha256_file
from export.sets.manifest import (
    Artifact,
    Manifest,
    Parity,
    ReferenceData,
    TensorSpec,
    load_manifest,
)
from pfd_models.errors import GateError, PfdError

DATASETS = {32: "cifar100", 224: "imagenet"}
ENGINES = {"pte": "executorch", "tflite": "litert"}
MODELS = ("mobilenetv3_large", "parc_mobilenetv2", "ghostnet", "shufflenetv2")
SAMPLES = 24  # of noise, for calibration and comparison


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PeerFile:
    """A file of another tool, or why there is none.

    Attributes:
        peer: Its name in `peer_files.MAKERS`.
        file: As the bench takes it; None where the tool failed.
        note: Its error line; of a file, its size and its signal-to-noise ratio.
    """

    peer: str
    file: BenchFile | None
    note: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one comparison says.

    Attributes:
        network: Model, variant and pixels.
        files: What is divided by what.
        ratio: Latency of the first over that of the second, its interval beside it.
    """

    network: str
    files: str
    ratio: float
    low: float
    high: float


def main() -> int:
    """Make the files, measure them, print tables; a tool that fails on a network is a line."""
    options = _parser().parse_args()
    display = Display()
    rows: list[Row] = []
    notes: list[str] = []
    try:
        if options.show:
            for line in table(read_store(options.store), []):
                print(line)
            return 0
        with open_bench("host", store=options.store, watch=display) as bench:
            for model in options.model:
                for variant in options.variant:
                    for pixels in options.resolution:
                        network = f"{model} {variant} {pixels}"
                        try:
                            made = make_files(model, variant, pixels, options)
                        except GateError as error:  # of ours: it is a result, not an end
                            notes.append(f"{network}: ours: {error}")
                            continue
                        notes += [f"{network}: {note}" for note in describe_files(*made)]
                        rows += measure(bench, network, *made, options)
    except PfdError as error:
        print(f"peers: {error}", file=sys.stderr)
        return error.exit_status
    for line in table(rows, notes):
        print(line)
    return 0


# -- the files ---------------------------------------------------------------------------------


def make_files(
    model: str, variant: str, pixels: int, options: argparse.Namespace
) -> tuple[dict[str, Manifest], list[PeerFile]]:
    """Return our sets by precision, and the peers' files."""
    source = ZooSource(model=model, variant=variant, dataset=DATASETS[pixels])
    samples = options.out / f"noise_{pixels}.npz"
    if not samples.exists():
        options.out.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(0).standard_normal((SAMPLES, 3, pixels, pixels))
        np.savez(samples, input_0=noise.astype(np.float32))  # type: ignore[arg-type]  # one array
    ours = {
        precision: make_artifacts(
            BuildRequest(
                source=source,
                formats=tuple(ENGINES),
                precision=precision,
                calibration=parse_calibration(str(samples)) if precision == "int8" else None,
                out=options.out,
            )
        ).manifest
        for precision in dict.fromkeys(("fp32", *options.precision))
    }
    folder = options.out / f"{model}_{variant}_{pixels}_peers"
    wanted = [name for name, (_, precision, _) in MAKERS.items() if precision in options.precision]
    told = ask_peers(source, samples, folder, wanted, options.peer_python)
    network, _ = make_network(BuildRequest(source=source))
    images = np.load(samples)["input_0"][:, None]
    with torch.inference_mode():
        exact = [network.module(torch.from_numpy(image)).numpy() for image in images]
    return ours, [describe(one, ours["fp32"], images, exact, folder) for one in told]


def ask_peers(
    source: ZooSource, samples: Path, folder: Path, wanted: Sequence[str], python: str
) -> list[dict[str, Any]]:
    """Run the other tools in processes of their own, but for files that are there."""
    told = []
    for name in wanted:
        path = folder / f"{name}.{MAKERS[name][0]}"
        if path.exists():
            told.append({"peer": name, "file": str(path)})
            continue
        command = [python, str(Path(__file__).with_name("peer_files.py")), name]
        command += ["--model", source.model, "--variant", source.variant]
        command += ["--dataset", source.dataset, "--samples", str(samples), "--out", str(folder)]
        print(f"{source.label}: {name}", file=sys.stderr, flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("PEER ")]
        if lines:
            told.append(json.loads(lines[-1].removeprefix("PEER ")))
        else:
            last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
            told.append({"peer": name, "error": last[:300]})
    return told


def describe(
    told: dict[str, Any],
    ours: Manifest,
    images: np.ndarray[Any, Any],
    exact: Sequence[np.ndarray[Any, Any]],
    folder: Path,
) -> PeerFile:
    """Run a peer's file, and write the manifest that the bench wants of it."""
    if "error" in told:
        return PeerFile(peer=told["peer"], file=None, note=f"failed: {told['error']}")
    path = Path(told["file"])
    kind, precision, _ = MAKERS[told["peer"]]
    run = get_format(kind).load(path)
    integers = integer_tensors(path) if kind == "tflite" else {}
    fed = [_store(image, integers.get("input")) for image in images]
    outputs = [run([image])[0] for image in fed]
    numbers = [_read(output, integers.get("output")) for output in outputs]
    sqnr = measure_cost(exact, numbers).sqnr_db
    # The harness is held to what the file computed here: that it runs the same file, not that the
    # file is right, which the note says.
    stored = folder / f"{told['peer']}_reference.npz"
    arrays = {"input_0": np.stack(fed[:2]), "output_0": np.stack(outputs[:2])}
    np.savez(stored, **arrays)  # type: ignore[arg-type]  # the stubs take the names for options
    twin = ours.artifact(kind)
    shape = tuple(images.shape[1:])
    if kind == "tflite":
        shape = (shape[0], *shape[2:], shape[1])
    artifact = Artifact(
        file=path.name,
        format=kind,
        backend="",
        precision=precision,
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
        inputs=(
            TensorSpec(
                name="",
                shape=shape,
                layout="NHWC" if kind == "tflite" else "NCHW",
                dtype=str(fed[0].dtype),
            ),
        ),
        outputs=(dataclasses.replace(twin.outputs[0], dtype=str(outputs[0].dtype)),),
        delegates=None,
        leftovers=(),
        parity=Parity(
            samples=len(images),
            relative_linf=0.0,
            sqnr_db=sqnr,
            eager_relative_linf=None,
            limit=ours.artifact(kind).parity.limit,
        ),
        build_seconds={},
    )
    manifest = dataclasses.replace(
        ours,
        stem=told["peer"],
        variant=f"{ours.variant} {told['peer']}",
        artifacts=(artifact,),
        missing_formats=(),
        passes=(),
        reference=ReferenceData(
            file=stored.name,
            sha256=sha256_file(stored),
            size_bytes=stored.stat().st_size,
            samples=2,
        ),
    )
    manifest = load_manifest(manifest.save(folder))
    megabytes = path.stat().st_size / 1e6
    note = f"{megabytes:.1f} MB, {sqnr:.0f} dB"
    return PeerFile(
        peer=told["peer"],
        file=BenchFile(manifest=manifest, artifact=manifest.artifacts[0]),
        note=note,
    )


def describe_files(ours: dict[str, Manifest], peers: Sequence[PeerFile]) -> list[str]:
    """Lines on what each file weighs and how near it comes to the float32 network."""
    lines = []
    for precision, manifest in ours.items():
        for artifact in manifest.artifacts:
            near = artifact.parity.sqnr_db if artifact.cost is None else artifact.cost.sqnr_db
            megabytes = artifact.size_bytes / 1e6
            lines.append(f"ours {precision} .{artifact.format}: {megabytes:.1f} MB, {near:.0f} dB")
    return [*lines, *(f"{peer.peer}: {peer.note}" for peer in peers)]


def integer_tensors(path: Path) -> dict[str, tuple[float, int]]:
    """Return scale and zero point of a TFLite file's input and output, where they are integers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    details = {
        "input": interpreter.get_input_details()[0],
        "output": interpreter.get_output_details()[0],
    }
    return {name: d["quantization"] for name, d in details.items() if d["dtype"] == np.int8}


def _store(image: np.ndarray[Any, Any], affine: tuple[float, int] | None) -> np.ndarray[Any, Any]:
    if affine is None:
        return image
    return np.clip(np.round(image / affine[0]) + affine[1], -128, 127).astype(np.int8)


def _read(output: np.ndarray[Any, Any], affine: tuple[float, int] | None) -> np.ndarray[Any, Any]:
    return output if affine is None else (output.astype(np.float32) - affine[1]) * affine[0]


# -- measuring ---------------------------------------------------------------------------------


def measure(
    bench: Bench,
    network: str,
    ours: dict[str, Manifest],
    peers: Sequence[PeerFile],
    options: argparse.Namespace,
) -> list[Row]:
    """Let the files of each engine and precision take turns."""
    rules = make_rules(
        bench,
        SeriesOptions(precision=options.aim, budget_seconds=options.budget),
        threads=1,
    )
    rows = []
    for kind, engine in ENGINES.items():
        for precision in options.precision:
            mine = f"ours {precision}"
            entries = {mine: _file(ours[precision], kind)}
            for peer in peers:
                if peer.file is not None and MAKERS[peer.peer][:2] == (kind, precision):
                    entries[peer.peer] = peer.file
            if precision != "fp32":
                entries["ours fp32"] = _file(ours["fp32"], kind)
            if len(entries) < 2:
                continue
            contest = Contest(
                name=f"{network} {precision} with {engine}",
                engine=engine,
                entries=tuple(entries.items()),
            )
            for outcome in run_series(bench, [(contest, rules)]):
                for failure in outcome.failures:
                    print(f"{contest.name}: {failure.error}", file=sys.stderr)
                if outcome.result is not None:
                    rows += read_rows(network, kind, outcome.result)
    return rows


def _file(manifest: Manifest, kind: str) -> BenchFile:
    return BenchFile(manifest=manifest, artifact=manifest.artifact(kind))


def read_rows(network: str, kind: str, result: CampaignResult) -> list[Row]:
    """Turn a campaign into rows: what a peer takes over ours, and int8 over float32 of ours."""
    rows = []
    for one in result.comparisons:
        if one.label == "ours fp32":  # the other way round: int8 over float32
            files = f".{kind} {one.baseline} / {one.label}"
            rows.append(
                Row(
                    network=network,
                    files=files,
                    ratio=1 / one.ratio,
                    low=1 / one.high,
                    high=1 / one.low,
                )
            )
        else:
            files = f".{kind} {one.label} / {one.baseline}"
            rows.append(
                Row(network=network, files=files, ratio=one.ratio, low=one.low, high=one.high)
            )
    return rows


def read_store(path: str) -> list[Row]:
    """Return the rows of an earlier run."""
    rows = []
    with open_store(path, create=False) as store:
        for record in store.campaigns():
            model, variant, pixels, *_ = record.name.split()
            kind = next(kind for kind, engine in ENGINES.items() if engine == record.arms[0].engine)
            result = read_result(store, record.campaign_id)
            rows += read_rows(f"{model} {variant} {pixels}", kind, result)
    return rows


def table(rows: Sequence[Row], notes: Sequence[str]) -> list[str]:
    """Lines of the page: a row a comparison, geometric means, and what is to say of the files."""
    lines = ["| network | latency of | ratio | interval |", "|---|---|--:|--:|"]
    for row in rows:
        lines.append(
            f"| {row.network} | {row.files} | {row.ratio:.2f} | {row.low:.2f} to {row.high:.2f} |"
        )
    for files in dict.fromkeys(row.files for row in rows):
        ratios = [row.ratio for row in rows if row.files == files]
        mean = statistics.geometric_mean(ratios)
        lines.append(f"| geometric mean of {len(ratios)} | {files} | {mean:.2f} | |")
    return [*lines, "", *(f"- {note}" for note in notes)]


def _parser() -> argparse.ArgumentParser:
    def names(text: str) -> list[str]:
        return text.split(",")

    def sides(text: str) -> list[int]:
        return [int(side) for side in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=names, default=list(MODELS), help="comma list")
    parser.add_argument("--variant", type=names, default=["orig", "ours"], help="comma list")
    parser.add_argument("--resolution", type=sides, default=[32], help="32, 224 or both")
    parser.add_argument("--precision", type=names, default=["fp32", "int8"], help="comma list")
    parser.add_argument("--aim", type=float, default=0.01, help="half-width to stop at (0.01)")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds a campaign (20)")
    parser.add_argument("--peer-python", default=sys.executable, help="environment of the peers")
    parser.add_argument("--out", type=Path, default=Path("artifacts/peers"))
    parser.add_argument("--store", default="bench.sqlite")
    parser.add_argument("--show", action="store_true", help="measure nothing: print what is stored")
    return parser


if __name__ == "__main__":
    sys.exit(main())
