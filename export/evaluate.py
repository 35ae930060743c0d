"""`python -m export.evaluate`: accuracy of shipped files, beside the checkpoint they came from.

Each file runs in its own runtime: the figures are the file's, not those of the module.

Example:
    python -m export.evaluate --dataset cifar100 --data-root cifar100 --weights best.pt \
        artifacts/*.pte artifacts/*.onnx artifacts/*.tflite
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pfd_models.errors import InputError, SpecError, unknown
from pfd_models.evaluate import Job, checkpoint_jobs, make_parser, run_jobs

if TYPE_CHECKING:
    from torch import Tensor

    from export.sets.manifest import TensorSpec
    from pfd_models.training.evaluation import Scorer

__all__ = ["load_shipped", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print the table and return the exit status."""
    parser = make_parser(
        "python -m export.evaluate",
        "Measure the accuracy of shipped files, beside the checkpoint they came from.",
    )
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help=".pte, .onnx, .tflite")
    parser.add_argument(
        "--weights",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint, which runs in PyTorch; may be given again",
    )
    options = parser.parse_args(arguments)
    return run_jobs(options, _jobs(options))


def _jobs(options: argparse.Namespace) -> Iterator[Job]:
    if not options.weights and not options.files:
        raise SpecError("say what to measure: files of export.build, --weights FILE, or both")
    yield from checkpoint_jobs(options)
    for path in options.files:
        yield path, load_shipped


def load_shipped(path: Path) -> Scorer:
    """Load a file that `export.build` made, once, for the images its manifest describes.

    Args:
        path: The file; its manifest lies beside it.

    Raises:
        InputError: The file cannot be read, does not say what it is, or has no manifest.
        IntegrityError: It is not the one that its manifest describes.
    """
    import torch

    from export.formats import get_format, list_formats
    from export.sets.manifest import load_manifest
    from pfd_models.training.evaluation import Scorer
    from pfd_models.training.transforms import Normalise
    from pfd_models.zoo.spec import ModelSpec

    kind = path.suffix.removeprefix(".")
    if kind not in list_formats():
        known = [f".{name}" for name in list_formats()]
        raise InputError(
            f"{path}: {unknown('kind of shipped file', path.suffix, known)}; give a checkpoint as "
            f"--weights {path}"
        )
    if not path.is_file():
        raise InputError(f"{path} is missing; build it with python -m export.build")
    file_format = get_format(kind)
    name = file_format.read_identity(path).get("manifest")
    if name is None:
        raise InputError(f"{path} does not name its manifest; build it with python -m export.build")
    manifest = load_manifest(path.parent / name)
    artifact = next((a for a in manifest.artifacts if a.file == path.name), None)
    if artifact is None:
        raise InputError(f"{path} is not in the manifest {name} beside it; build it again")
    run = file_format.load(path)
    spec = ModelSpec.from_dict(manifest.spec)
    takes_bytes = manifest.app is not None and manifest.app.preprocess == "uint8"
    normalise = Normalise(spec.input)
    image = artifact.inputs[0]
    least, most = image.batch or (image.shape[0], image.shape[0])

    def score(pixels: Tensor) -> Tensor:
        images = pixels.permute(0, 2, 3, 1) if takes_bytes else normalise(pixels)
        missing = max(0, least - len(images))  # the last batch of a split may be too small
        fed = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
        found = run([_as_fed(fed, image).contiguous().numpy()])
        outputs = [torch.from_numpy(array)[: len(images)] for array in found]
        return _as_scores(outputs, spec.num_classes)

    return Scorer(
        score=score,
        side=spec.resolution,
        batch_size=most,
        num_classes=spec.num_classes,
        runtime=f"the {kind} runtime, {artifact.precision}",
        device=torch.device("cpu"),
    )


def _as_scores(outputs: Sequence[Tensor], num_classes: int) -> Tensor:
    """Return a row of scores for each image, of whatever head the file has.

    Places alone, or the best places with their scores, become rows in which the others are last.
    """
    import torch

    *scores, last = outputs
    if last.is_floating_point():
        return last.float()
    places = last.long().view(len(last), -1)
    best = scores[0].float() if scores else torch.ones(places.shape)
    return torch.full((len(places), num_classes), -torch.inf).scatter(1, places, best)


def _as_fed(images: Tensor, spec: TensorSpec) -> Tensor:
    """Store images as the integers that an int8 file takes; a uint8 file is loaded as such too."""
    import torch

    if spec.scale is None or spec.zero_point is None:
        return images
    zero_point = spec.zero_point - (128 if spec.dtype == "uint8" else 0)
    return (torch.round(images / spec.scale) + zero_point).clamp(-128, 127).to(torch.int8)


if __name__ == "__main__":
    sys.exit(main())
