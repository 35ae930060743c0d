"""The command line of a run: the reference's flags, this project's, and what they become."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from pfd_models.errors import RunError, SpecError
from pfd_models.training.config import RunConfig
from pfd_models.training.datasets import find_image_set, list_image_sets
from pfd_models.training.engine import Speed
from pfd_models.training.qat import CALIBRATION_SAMPLES, Prepare, Qat
from pfd_models.training.recipes import RECIPES, Recipe, default_recipe, get_recipe
from pfd_models.variant_names import parse_variant
from pfd_models.zoo.factory import get_spec
from pfd_models.zoo.spec import DATASETS, ModelSpec

__all__ = [
    "RECIPE_FLAGS",
    "LineParser",
    "add_data_arguments",
    "add_qat_arguments",
    "add_run_arguments",
    "gpu_id_of",
    "qat_of",
    "recipe_of",
    "run_config",
    "spec_of",
    "speed_of",
]

RECIPE_FLAGS: dict[str, tuple[str, ...]] = {
    "epochs": ("-e", "--epochs"),
    "batch_size": ("-b", "--batch-size"),
    "learning_rate": ("-l", "--learning-rate", "--lr"),
    "momentum": ("-m", "--momentum"),
    "nesterov": ("--nesterov",),
    "weight_decay": ("-w", "--weight-decay"),
    "schedule": ("--decay",),
    "milestones": ("-s", "--schedule"),
    "gamma": ("--gamma",),
    "final_factor": ("--final-factor", "--lrf"),
    "alpha": ("--alpha",),
    "workers": ("-j", "--workers"),
}
"""Every field of a recipe to the flags that replace it; short ones are the reference's."""

_RECIPE_OPTIONS: dict[str, dict[str, Any]] = {
    "epochs": {"type": int},
    "batch_size": {"type": int, "help": "images an update, over all processes"},
    "learning_rate": {"type": float},
    "momentum": {"type": float},
    "nesterov": {"action": argparse.BooleanOptionalAction},
    "weight_decay": {"type": float},
    "schedule": {"choices": ("steps", "cosine"), "help": "how the learning rate falls"},
    "milestones": {"type": int, "nargs": "+", "help": "epochs after which it drops"},
    "gamma": {"type": float, "help": "factor of a drop"},
    "final_factor": {"type": float, "help": "what a cosine leaves of it"},
    "alpha": {"type": float, "help": "weight of BSConv-S's regulariser"},
    "workers": {"type": int, "help": "processes that load images"},
}


class LineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, as the rest of the program does."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        sys.stderr.write(f"error: {message}; see --help\n")
        raise SystemExit(2)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where images come from and where the work is done."""
    sets = ", ".join(list_image_sets())
    parser.add_argument("-d", "--dataset", required=True, help=sets)
    parser.add_argument(
        "-r",
        "--data-root",
        "--data-path",
        "--data_path",
        type=Path,
        metavar="FOLDER",
        help="the folder that holds it, or will after --download",
    )
    parser.add_argument(
        "--shape",
        metavar="NAME",
        help=f"whose strides and normalisation networks take: {', '.join(DATASETS)} (default: the "
        "data set's)",
    )
    parser.add_argument("--download", action="store_true", help="fetch it, checked by its MD5")
    parser.add_argument(
        "-g", "--gpu-id", type=int, help="a GPU's number, -1 for the CPU (default: a GPU if any)"
    )
    parser.add_argument("--device", help="another way to say it: cpu, cuda, cuda:0")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's fields and the options of speed."""
    recipe = parser.add_argument_group("recipe", "each replaces one value of the recipe")
    recipe.add_argument("--recipe", help=f"{', '.join(RECIPES)} (default: the paper's)")
    for name, flags in RECIPE_FLAGS.items():
        recipe.add_argument(*flags, dest=name, default=None, **_RECIPE_OPTIONS[name])
    speed = parser.add_argument_group("speed")
    speed.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="default: off")
    speed.add_argument("--channels-last", action="store_true", help="memory layout of images")
    speed.add_argument(
        "--compile",
        nargs="?",
        const="default",
        default="",
        choices=("default", "reduce-overhead", "max-autotune"),
        help="run torch.compile",
    )
    speed.add_argument("--accumulate", type=int, default=1, help="parts of a batch (default: 1)")
    speed.add_argument("--deterministic", action="store_true", help="only repeatable kernels")
    parser.add_argument("--resolution", type=int, help="pixels; the data set's when not given")
    parser.add_argument(
        "--num-classes", "--num_classes", type=int, help="must be the data set's, if given"
    )


def add_qat_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what fine-tunes a trained network in 8-bit integers."""
    qat = parser.add_argument_group("quantisation-aware training")
    qat.add_argument(
        "--qat", action="store_true", help="fine-tune the network in the exporter's integers"
    )
    qat.add_argument("--weights", type=Path, metavar="FILE", help="the trained float network")
    qat.add_argument(
        "--calibration-samples",
        type=int,
        metavar="N",
        help=f"training images that fix the scales (default: {CALIBRATION_SAMPLES})",
    )


def qat_of(options: argparse.Namespace, prepare: Prepare | None) -> Qat | None:
    """Return what a run in integers begins with, None for a run in float.

    Args:
        options: Of a parser with `add_qat_arguments`.
        prepare: Makes a network in integers, where ``--qat`` is given.

    Raises:
        SpecError: Options that do not go together.
    """
    if not options.qat or prepare is None:
        if options.weights is not None or options.calibration_samples is not None:
            raise SpecError(
                "--weights and --calibration-samples go with --qat; a run in float begins anew, or "
                "goes on with --resume"
            )
        return None
    if options.weights is None:
        raise SpecError("--qat fine-tunes a trained network: name its checkpoint with --weights")
    samples = options.calibration_samples
    return Qat(
        weights=options.weights,
        prepare=prepare,
        samples=CALIBRATION_SAMPLES if samples is None else samples,
    )


def gpu_id_of(options: argparse.Namespace) -> int | None:
    """Return the GPU that was asked for, -1 for the CPU, None where nobody said.

    Raises:
        RunError: ``--device`` names neither, or another than ``--gpu-id``.
    """
    asked: int | None = options.gpu_id
    if asked is not None and asked < -1:
        raise RunError(f"there is no GPU {asked}; give 0 or more, or -1 for the CPU")
    if options.device is None:
        return asked
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", options.device)
    if match is None:
        raise RunError(f"unknown device {options.device!r}; use cpu, cuda or cuda:0")
    named = -1 if options.device == "cpu" else int(match[1] or 0)
    if asked not in (None, named):
        raise RunError(f"--gpu-id {asked} and --device {options.device} are not the same")
    return named


def spec_of(options: argparse.Namespace, model: str, variant: str) -> ModelSpec:
    """Return the network for the data set that the options name.

    Raises:
        SpecError: No such network or data set.
    """
    _, data = find_image_set(options.dataset)
    num_classes = options.num_classes or data.num_classes
    if num_classes is None:
        num_classes = _count_folders(options.data_root)
    return get_spec(model, variant, options.shape or data.shape, num_classes, options.resolution)


def _count_folders(root: Path | None) -> int | None:
    """Return the number of classes of a folder of images; None where it cannot be read yet."""
    if root is None or not (root / "train").is_dir():
        return None
    return sum(entry.is_dir() for entry in (root / "train").iterdir()) or None


def recipe_of(options: argparse.Namespace, spec: ModelSpec, default: str = "") -> Recipe:
    """Return the recipe, with what the options replace.

    Args:
        options: Of a parser with the recipe's arguments.
        spec: The network.
        default: Where the options name none; empty takes the paper's.

    Raises:
        SpecError: No such recipe, or a value out of range.
    """
    name, _ = find_image_set(options.dataset)
    wanted = options.recipe or default
    recipe = get_recipe(wanted) if wanted else default_recipe(spec, name)
    given = {field: getattr(options, field) for field in RECIPE_FLAGS}
    values = {field: value for field, value in given.items() if value is not None}
    if "milestones" in values:
        values["milestones"] = tuple(values["milestones"])
        values.setdefault("schedule", "steps")
    return recipe.replace_values(values)


def speed_of(options: argparse.Namespace) -> Speed:
    """Return the options of speed."""
    return Speed(
        amp=options.amp,
        channels_last=options.channels_last,
        compile=options.compile,
        accumulate=options.accumulate,
        deterministic=options.deterministic,
    )


def run_config(
    options: argparse.Namespace,
    *,
    model: str,
    variant: str,
    seed: int,
    folder: Path | None,
    qat: Qat | None = None,
) -> RunConfig:
    """Put together one run.

    Args:
        options: Of a parser with both groups of arguments.
        model: Name of the network.
        variant: Name of the variant.
        seed: Of the run.
        folder: Of the run; None makes its name from what it is.
        qat: Where it trains in integers.

    Raises:
        SpecError: Something unknown or out of range.
    """
    if options.resolution is not None and options.resolution < 1:
        raise SpecError(f"resolution {options.resolution} is too small; give 1 or more")
    if options.num_classes is not None and options.num_classes < 1:
        raise SpecError(f"{options.num_classes} classes are too few; leave --num-classes out")
    name, _ = find_image_set(options.dataset)
    spec = spec_of(options, model, variant)
    recipe = recipe_of(options, spec, "" if qat is None else "qat")
    word = parse_variant(spec.variant).file_word
    title = f"{spec.model}_{word}_{name}_{spec.resolution}_{recipe.name}_seed{seed}"
    return RunConfig(
        spec=spec,
        recipe=recipe,
        dataset=name,
        data_root=options.data_root,
        download=options.download,
        seed=seed,
        speed=speed_of(options),
        folder=folder or Path("runs") / title,
        qat=qat,
    )
