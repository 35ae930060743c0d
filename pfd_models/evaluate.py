"""`python -m pfd_models.evaluate`: accuracy of weights and of shipped files alike.

Examples:
    python -m pfd_models.evaluate --dataset cifar100 --data-root cifar100 --weights best.pt
    python -m pfd_models.evaluate --dataset cifar100 --data-root cifar100 \
        --weights artifacts/shufflenetv2_ours_cifar100_32_fp32.tflite artifacts/*.onnx
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfd_models.errors import InputError, PfdError, RunError, WeightsError, unknown

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pfd_models.training.datasets import ImageSet, Split
    from pfd_models.training.scores import Scores
    from pfd_models.zoo.spec import ModelSpec

__all__ = ["Measured", "evaluate_file", "main"]

_WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".tar")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scorer:
    """What gives scores, and what it must be fed.

    Attributes:
        score: From uint8 images (N, 3, side, side) to float32 scores (N, classes).
        side: Of its images in pixels.
        batch_size: Images a call; a file's is fixed.
        num_classes: Of its scores.
        runtime: Who computes.
    """

    score: Callable[[Tensor], Tensor]
    side: int
    batch_size: int
    num_classes: int
    runtime: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found about one file.

    Attributes:
        path: The file.
        runtime: Who computed.
        scores: The accuracy.
        seconds: It took, loading and decoding included.
    """

    path: Path
    runtime: str
    scores: Scores
    seconds: float


def evaluate_file(
    path: Path,
    *,
    data: ImageSet,
    split: Split,
    num_classes: int,
    spec: ModelSpec | None = None,
    device: torch.device | None = None,
    batch_size: int = 128,
    workers: int = 0,
) -> Measured:
    """Measure one file on a split.

    Args:
        path: PyTorch weights, or a file that `export.build` made with its manifest beside it.
        data: Tells how images are prepared.
        split: The images.
        num_classes: Of the data set.
        spec: The network of weights that do not say what they are.
        device: For PyTorch weights; a shipped file runs on the CPU.
        batch_size: For PyTorch weights.
        workers: Processes that load images.

    Raises:
        InputError: The file cannot be read or does not say what it is, or has other classes.
        IntegrityError: A shipped file is not the one its manifest describes.
    """
    import torch

    from pfd_models.training.distributed import Processes
    from pfd_models.training.loader import Shard, batches, make_loader
    from pfd_models.training.scores import measure

    begin = time.perf_counter()
    device = device or torch.device("cpu")
    quiet: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if path.suffix in _WEIGHTS:
        scorer = _of_weights(path, spec, device, batch_size)
    else:
        from export.quiet import quiet_logs

        quiet = quiet_logs()
        with quiet_logs():
            scorer, device = _of_file(path), torch.device("cpu")
    if scorer.num_classes != num_classes:
        raise RunError(
            f"{path} gives {scorer.num_classes} scores, the data set has {num_classes} classes; "
            "name the data set it was trained for"
        )
    shard = Shard(images=len(split.labels), batch_size=scorer.batch_size, processes=Processes())
    loader = make_loader(split, data.prepare(scorer.side), shard, workers=workers)
    with quiet:
        scores = measure(scorer.score, batches(loader), device=device)
    return Measured(
        path=path, runtime=scorer.runtime, scores=scores, seconds=time.perf_counter() - begin
    )


def _of_weights(
    path: Path, spec: ModelSpec | None, device: torch.device, batch_size: int
) -> _Scorer:
    from pfd_models.checkpoints import load_weights
    from pfd_models.checkpoints.file import read_checkpoint
    from pfd_models.training.transforms import Normalise
    from pfd_models.zoo.factory import build_model
    from pfd_models.zoo.spec import ModelSpec

    if spec is None:
        stored = read_checkpoint(path)
        plain = stored.get("spec") if isinstance(stored, Mapping) else None
        if plain is None:
            raise WeightsError(f"{path} does not say what network it is; give --model")
        spec = ModelSpec.from_dict(plain)
    model = build_model(spec)
    load_weights(model, path)
    model = model.eval().to(device)
    normalise = Normalise(spec.input).to(device)

    def score(pixels: Tensor) -> Tensor:
        found: Tensor = model(normalise(pixels))
        return found.float()

    return _Scorer(
        score=score,
        side=spec.resolution,
        batch_size=batch_size,
        num_classes=spec.num_classes,
        runtime=f"PyTorch on {device.type}",
    )


def _of_file(path: Path) -> _Scorer:
    """Return what runs a shipped file, by the manifest that lies beside it."""
    import torch

    from export.formats import get_format, list_formats
    from export.sets.manifest import load_manifest
    from pfd_models.training.transforms import Normalise
    from pfd_models.zoo.spec import ModelSpec

    kind = path.suffix.removeprefix(".")
    if kind not in list_formats():
        known = (*_WEIGHTS, *(f".{name}" for name in list_formats()))
        raise InputError(f"{path}: {unknown('kind of file', path.suffix, known)}")
    if not path.is_file():
        raise InputError(f"{path} is missing; build it with python -m export.build")
    runner = get_format(kind)
    identity = runner.read_identity(path)  # type: ignore[attr-defined]  # every format has one
    manifest = load_manifest(path.parent / identity["manifest"])
    artifact = next((a for a in manifest.artifacts if a.file == path.name), None)
    if artifact is None:
        raise InputError(f"{path} is not in the manifest {identity['manifest']} beside it")
    spec = ModelSpec.from_dict(manifest.spec)
    normalise = Normalise(spec.input)
    size = artifact.inputs[0].shape[0]

    def score(pixels: Tensor) -> Tensor:
        images = normalise(pixels)
        missing = size - len(images)  # the last batch of a split may be smaller than the file's
        fed = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
        scores = torch.from_numpy(runner.run(path, [fed.numpy()])[0])
        return scores[: len(images)].float()

    return _Scorer(
        score=score,
        side=spec.resolution,
        batch_size=size,
        num_classes=spec.num_classes,
        runtime=f"the {kind} runtime, {artifact.precision}",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print the table and return the exit status."""
    options = _parse(arguments)
    try:
        _run(options)
    except PfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    from pfd_models.training.arguments import gpu_id_of, spec_of
    from pfd_models.training.datasets import find_image_set, open_splits
    from pfd_models.training.distributed import choose_device

    device = choose_device(gpu_id_of(options))
    _, data = find_image_set(options.dataset)
    spec = spec_of(options, options.model, options.variant) if options.model else None
    splits = open_splits(options.dataset, options.data_root, download=options.download)
    found = []
    for path in options.weights:
        measured = evaluate_file(
            path,
            data=data,
            split=splits.val,
            num_classes=len(splits.classes),
            spec=spec,
            device=device,
            batch_size=options.batch_size,
            workers=options.workers,
        )
        found.append(measured)
        if not options.json:
            sys.stdout.write(_line(measured) + "\n")
            sys.stdout.flush()
    if options.json:
        sys.stdout.write(json.dumps([_plain(measured) for measured in found], indent=2) + "\n")


def _line(found: Measured) -> str:
    scores = found.scores
    return (
        f"{found.path}: top-1 {scores.top1:.2f} %, top-5 {scores.top5:.2f} % of {scores.images:,} "
        f"images, loss {scores.loss:.4f} ({found.runtime}, {found.seconds:.1f} s)"
    )


def _plain(found: Measured) -> dict[str, Any]:
    return {
        "file": str(found.path),
        "runtime": found.runtime,
        "images": found.scores.images,
        "top1_percent": found.scores.top1,
        "top5_percent": found.scores.top5,
        "loss": found.scores.loss,
        "seconds": found.seconds,
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    from pfd_models.training.arguments import LineParser, add_data_arguments

    parser = LineParser(
        prog="python -m pfd_models.evaluate",
        description="Measure the accuracy of weights and of shipped files.",
    )
    parser.add_argument(
        "--weights", type=Path, nargs="+", required=True, metavar="FILE", help=".pt, .pte, ..."
    )
    add_data_arguments(parser)
    what = parser.add_argument_group("for PyTorch weights that do not say what they are")
    what.add_argument("--model", help="a name of the zoo")
    what.add_argument("--variant", default="ours", help="default: ours")
    what.add_argument("--num-classes", type=int, help="the data set's when not given")
    what.add_argument("--resolution", type=int, help="the data set's when not given")
    parser.add_argument("-b", "--batch-size", type=int, default=128, help="default: 128")
    parser.add_argument("-j", "--workers", type=int, default=0, help="default: 0")
    parser.add_argument("--json", action="store_true", help="print a JSON list, one object a file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
