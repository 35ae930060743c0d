"""What quantisation costs on digits, and what training in integers takes back.

    python tools/qat_digits.py --jobs 4

trains each network in float by the recipe `digits`, quantises it as `export.build` does, then
fine-tunes it as `python -m pfd_models.train --qat` does, and prints mean and 95 % interval over the
seeds; docs/quantization.md shows what it printed. All accuracies are over the 360 held-out images.
The same command again trains only what is missing.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from export.quantization.qat.preparation import prepare
from pfd_models import build_model, get_spec
from pfd_models.training.ablation import Interrupted, Row, run_cells
from pfd_models.training.config import RunConfig
from pfd_models.training.datasets import find_image_set, open_splits
from pfd_models.training.distributed import Processes
from pfd_models.training.engine import Speed
from pfd_models.training.loader import Shard, batches, make_loader
from pfd_models.training.progress import EpochRecord
from pfd_models.training.qat import Qat, load_in_integers
from pfd_models.training.recipes import RECIPES
from pfd_models.training.scores import measure
from pfd_models.training.transforms import Normalise

MODELS = "shufflenetv2,mobilenetv3_large,ghostnet,parc_mobilenetv2,resnet20"
"""One network a family."""

RESOLUTION = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Top-1 of one network and seed, percent.

    Attributes:
        exact: In float.
        quantized: The same network, quantised after its training.
        trained: Recipe of the training in integers to its best epoch's and its last one's.
    """

    exact: float
    quantized: float
    trained: dict[str, tuple[float, float]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, a row a network and recipe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", default=MODELS, help=f"default: {MODELS}")
    parser.add_argument("--variant", default="ours", help="default: ours")
    parser.add_argument("--seeds", default="0,1,2", help="default: 0,1,2")
    parser.add_argument("--epochs", type=int, help="of the float training (default: the recipe's)")
    parser.add_argument("--qat-epochs", default="", help="a comma list (default: the recipe's)")
    parser.add_argument("--rates", default="", help="of learning, a list (default: the recipe's)")
    parser.add_argument("--folder", type=Path, default=Path("runs/qat"), help="keeps the runs")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args(arguments)
    models, seeds = options.models.split(","), [int(seed) for seed in options.seeds.split(",")]
    work = partial(_measure, options)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=spawn) as pool:
        found = list(pool.map(work, *zip(*itertools.product(models, seeds), strict=True)))
    print("| model | float | int8, after training | loss | trained in int8, best | loss | last |")
    print("|---|---|---|---|---|---|---|")
    for number, model in enumerate(models):
        own = found[number * len(seeds) :][: len(seeds)]
        for name in own[0].trained:
            print(_line(f"`{model}`{name}", own, name))
    return 0


def _line(title: str, found: Sequence[Found], name: str) -> str:
    best = [f.trained[name][0] for f in found]
    columns = (
        [f.exact for f in found],
        [f.quantized for f in found],
        [f.exact - f.quantized for f in found],
        best,
        [f.exact - b for f, b in zip(found, best, strict=True)],
        [f.trained[name][1] for f in found],
    )
    return f"| {title} | {' | '.join(map(_interval, columns))} |"


def _interval(values: Sequence[float]) -> str:
    row = Row(variant="", top1=tuple(values), last_top1=(), printed=())
    width = row.half_width
    return f"{row.mean:z.2f}" + ("" if width is None else f" ± {width:.2f}")


def _measure(options: argparse.Namespace, model: str, seed: int) -> Found:
    """Train one network with one seed, in a process of its own."""
    torch.set_num_threads(1)
    spec = get_spec(model, options.variant, "cifar100", 10, RESOLUTION)
    recipe = RECIPES["digits"]
    if options.epochs:
        recipe = recipe.replace_values({"epochs": options.epochs})
    config = RunConfig(
        spec=spec,
        recipe=recipe,
        dataset="digits",
        seed=seed,
        speed=Speed(channels_last=True),
        folder=options.folder / f"{model}_{options.variant}_{seed}",
    )
    exact, _ = _train(config)
    qat = Qat(weights=config.folder / "best.pt", prepare=prepare)
    trained = {}
    for name, values in _recipes(options):
        trained[name] = _train(
            replace(
                config,
                recipe=RECIPES["qat"].replace_values(values),
                qat=qat,
                folder=config.folder.with_name(f"{config.folder.name}_qat{name.replace(' ', '_')}"),
            )
        )
    return Found(
        exact=exact.top1,
        quantized=_measure_quantized(config, qat),
        trained={name: (best.top1, last.top1) for name, (best, last) in trained.items()},
    )


def _recipes(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each recipe of the training in integers, with what tells it from the others."""
    rates = [float(rate) for rate in options.rates.split(",") if rate]
    epochs = [int(count) for count in options.qat_epochs.split(",") if count]
    for rate, count in itertools.product(rates or [None], epochs or [None]):
        given = {"learning_rate": rate, "epochs": count}
        values = {name: value for name, value in given.items() if value is not None}
        yield "".join(f" {name} {value:g}" for name, value in values.items()), values


def _train(config: RunConfig) -> tuple[EpochRecord, EpochRecord]:
    """Train what is not trained yet, and return the best and the last epoch."""
    cpu = torch.device("cpu")
    (cell,) = run_cells([config], device=cpu, processes=Processes(), report=None)
    if isinstance(cell, Interrupted):
        raise KeyboardInterrupt
    return cell.best, cell.last


def _measure_quantized(config: RunConfig, qat: Qat) -> float:
    """Return the top-1 of the network as the training in integers begins."""
    splits = open_splits(config.dataset, None)
    _, data = find_image_set(config.dataset)
    transform = data.prepare(config.spec.resolution)
    model = build_model(config.spec)
    network = load_in_integers(qat, model, config.spec, splits.train, transform, config.seed)
    shard = Shard(images=len(splits.val.labels), batch_size=60, processes=Processes())
    loader = make_loader(splits.val, transform, shard, workers=0)
    normalise = Normalise(config.spec.input)
    cpu = torch.device("cpu")
    scores = measure(lambda pixels: network(normalise(pixels)), batches(loader), device=cpu)
    return scores.top1


if __name__ == "__main__":
    sys.exit(main())
