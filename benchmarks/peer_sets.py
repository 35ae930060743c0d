"""The files of one network that `peers.py` compares: ours, and those of other tools.

Ours are made here; `peer_files.py` makes the others in an environment of theirs. Each of those is
run in its own runtime, held against PyTorch, and described by a manifest, which the bench wants.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_files import BY_PROGRAM, MAKERS

from android_bench.campaign.contest import BenchFile
from export.formats import get_format
from export.network.network import make_network
from export.pipeline import make_artifacts
from export.quantization.cost import measure_cost
from export.request.calibration import parse_calibration
from export.request.request import BuildRequest
from export.request.source import ModuleSource, ZooSource
from export.sets.files import sha256_file
from export.sets.manifest import (
    Artifact,
    Manifest,
    Parity,
    ReferenceData,
    TensorSpec,
    load_manifest,
)

ENGINES = {"pte": "executorch", "tflite": "litert"}
SAMPLES = 24  # of noise, for calibration and comparison


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A network that files are made of.

    Attributes:
        name: As tables call it.
        source: Where it comes from.
        pixels: A side of its image.
    """

    name: str
    source: ZooSource | ModuleSource
    pixels: int

    @property
    def arguments(self) -> list[str]:
        """Return what tells `peer_files` the same."""
        if isinstance(self.source, ModuleSource):
            return ["--module", self.source.target, "--resolution", str(self.pixels)]
        names = (self.source.model, self.source.variant, self.source.dataset)
        return ["--model", names[0], "--variant", names[1], "--dataset", names[2]]


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


def make_files(
    subject: Subject, options: argparse.Namespace
) -> tuple[dict[str, Manifest], list[PeerFile]]:
    """Return our sets by precision, and the peers' files."""
    source, pixels = subject.source, subject.pixels
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
    folder = options.out / f"{re.sub(r'[^A-Za-z0-9_]+', '_', subject.name)}_peers"
    wanted = [
        name
        for name, (_, precision, _) in MAKERS.items()
        if precision in options.precision and (options.onnx2tf or name not in BY_PROGRAM)
    ]
    program = ["--onnx2tf", options.onnx2tf] if options.onnx2tf else []
    told = ask_peers(subject, samples, folder, wanted, options.peer_python, program)
    network, _ = make_network(BuildRequest(source=source))
    images = np.load(samples)["input_0"][:, None]
    with torch.inference_mode():
        exact = [network.module(torch.from_numpy(image)).numpy() for image in images]
    return ours, [describe(one, ours["fp32"], images, exact, folder) for one in told]


def ask_peers(
    subject: Subject,
    samples: Path,
    folder: Path,
    wanted: Sequence[str],
    python: str,
    program: Sequence[str],
) -> list[dict[str, Any]]:
    """Run the other tools in processes of their own, but for files that are there."""
    told = []
    for name in wanted:
        path = folder / f"{name}.{MAKERS[name][0]}"
        if path.exists():
            told.append({"peer": name, "file": str(path)})
            continue
        command = [python, str(Path(__file__).with_name("peer_files.py")), name]
        command += [*program, *subject.arguments, "--samples", str(samples), "--out", str(folder)]
        print(f"{subject.name}: {name}", file=sys.stderr, flush=True)
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
