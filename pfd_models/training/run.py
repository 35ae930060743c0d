"""The walk of a training run, top to bottom."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from pfd_models.checkpoints import save_weights
from pfd_models.errors import DivergenceError, RunError
from pfd_models.paper.counting import count_params
from pfd_models.training.config import RunConfig
from pfd_models.training.datasets import find_image_set, open_splits
from pfd_models.training.distributed import Processes
from pfd_models.training.engine import Engine, evaluate, make_engine, update
from pfd_models.training.folder import RunFolder
from pfd_models.training.interruption import Interruption
from pfd_models.training.loader import Batch, Order, Shard, batches, make_loader
from pfd_models.training.progress import EpochRecord, Progress
from pfd_models.training.provenance import provenance
from pfd_models.training.qat import load_in_integers, save_in_integers
from pfd_models.training.randomness import seed_of
from pfd_models.training.report import Report, Silent
from pfd_models.training.state import load_state, save_state
from pfd_models.training.tensorboard import Scalars
from pfd_models.zoo.factory import build_model

__all__ = ["TrainResult", "train"]

_LOOK_EVERY = 10
"""Updates between two looks at the loss and for signals; a look makes a GPU finish its queue."""

_NEVER = torch.iinfo(torch.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """How a run ended.

    Attributes:
        folder: Where it is kept.
        history: Every finished epoch.
        interrupted: The signal that ended it early; None where it is complete.
        weights: The weights of the best epoch; None before the first.
    """

    folder: Path
    history: tuple[EpochRecord, ...]
    interrupted: signal.Signals | None
    weights: Path | None

    @property
    def best(self) -> EpochRecord:
        """Return the first epoch with the highest top-1."""
        return max(self.history, key=lambda record: record.top1)


def train(
    config: RunConfig,
    *,
    device: torch.device | None = None,
    processes: Processes | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> TrainResult:
    """Train a network, keep everything in its folder, and go on from there when asked.

    1. hold the batch to the processes and open the data set; 2. claim the folder; 3. build the
    network from its own seed, or from a checkpoint where it trains in integers; 4. go back to the
    saved state, or write the configuration; 5. train, validate and save epoch by epoch, until the
    last or a signal.

    Args:
        config: What to train.
        device: Where; the CPU if not given.
        processes: Who takes part; this process alone if not given.
        resume: Go on with the run in the folder.
        report: Who is told; nobody if not given.

    Raises:
        SpecError: The batch cannot be shared by the processes.
        RunError: The folder is in use, or its run is another.
        DataError: The data set is absent or damaged.
        WeightsError: A run in integers cannot begin with its checkpoint.
        DivergenceError: The loss is not finite.
        OutputError: The folder cannot be written.
    """
    device = device or torch.device("cpu")
    processes = processes or Processes()
    report = report or Silent()
    processes.on_main(lambda: config.check_shares(processes.count))
    folder = RunFolder(path=config.folder)
    has_state = processes.on_main(lambda: folder.claim(resume=resume))
    try:
        with _numerics(config, device), Interruption() as stop:
            engine, loaders = _prepare(config, device, processes, report)
            progress = Progress()
            if has_state:
                progress = load_state(folder.last, engine, config)
            plain = {**config.to_dict(), **provenance(device, processes.count)}
            if not has_state:
                processes.on_main(lambda: folder.write_config(plain))
            _go(config, folder, engine, loaders, progress, stop, report)
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the GPU's memory cannot hold a batch of {config.recipe.batch_size}; use "
            "--accumulate 2 or more, or --amp bf16"
        ) from error
    finally:
        if not has_state and not resume and processes.is_main:
            with contextlib.suppress(OSError):  # a run that never began leaves no folder
                folder.path.rmdir()
    return TrainResult(
        folder=folder.path,
        history=tuple(progress.history),
        interrupted=stop.signal if progress.epoch < config.recipe.epochs else None,
        weights=folder.best if progress.best else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaders:
    order: Order
    train: DataLoader[Batch]
    val: DataLoader[Batch]


def _prepare(
    config: RunConfig, device: torch.device, processes: Processes, report: Report
) -> tuple[Engine, _Loaders]:
    """Open the data, build the network and seed what is random in it."""
    # The main process alone fetches and unpacks; the others find it done.
    processes.on_main(
        lambda: open_splits(config.dataset, config.data_root, download=config.download) and None
    )
    splits = open_splits(config.dataset, config.data_root)
    if len(splits.classes) != config.spec.num_classes:
        raise RunError(
            f"the network has {config.spec.num_classes} classes, {config.dataset} has "
            f"{len(splits.classes)}; leave --num-classes out"
        )
    _, data = find_image_set(config.dataset)
    side, batch_size = config.spec.resolution, config.recipe.batch_size
    order = Order(
        images=len(splits.train.labels),
        batch_size=batch_size,
        run_seed=config.seed,
        processes=processes,
    )
    shard = Shard(
        images=len(splits.val.labels), batch_size=batch_size // processes.count, processes=processes
    )
    on_gpu = device.type == "cuda"
    workers = config.recipe.workers
    loaders = _Loaders(
        order=order,
        train=make_loader(
            splits.train, data.augment(side), order, workers=workers, pin_memory=on_gpu
        ),
        val=make_loader(splits.val, data.prepare(side), shard, workers=workers, pin_memory=on_gpu),
    )
    torch.manual_seed(seed_of(config.seed, "weights"))
    model = build_model(config.spec)
    if config.qat is not None:
        model = load_in_integers(
            config.qat, model, config.spec, splits.train, data.prepare(side), config.seed
        )
    report.begin(config, count_params(model), (len(splits.train.labels), len(splits.val.labels)))
    engine = make_engine(
        model, config.spec, config.recipe, device=device, speed=config.speed, processes=processes
    )
    torch.manual_seed(seed_of(config.seed, "network", processes.rank))
    return engine, loaders


def _go(
    config: RunConfig,
    folder: RunFolder,
    engine: Engine,
    loaders: _Loaders,
    progress: Progress,
    stop: Interruption,
    report: Report,
) -> None:
    """Train the epochs that are left; each ends with a validation and whole files."""
    with contextlib.ExitStack() as stack:
        scalars = None
        if engine.processes.is_main:
            scalars = stack.enter_context(Scalars(folder.events, progress.epoch + 1))
            folder.write_log(progress.history)
        while progress.epoch < config.recipe.epochs:
            finished = _train_epoch(config, folder, engine, loaders, progress, stop, report)
            if not finished:
                save_state(folder.last, engine, progress, config)
                return
            record = _end_epoch(config, engine, loaders, progress)
            progress.end_epoch(record)
            if progress.best is record:
                engine.processes.on_main(lambda: _save_best(engine, config, folder.best))
            save_state(folder.last, engine, progress, config)
            engine.processes.on_main(lambda: folder.write_log(progress.history))
            if scalars is not None:
                scalars.write(record)
            report.epoch(record, config.recipe.epochs)
        decisive = config.decisive(engine.processes.count)
        engine.processes.on_main(lambda: folder.write_result(decisive, progress.history))


def _save_best(engine: Engine, config: RunConfig, path: Path) -> None:
    if config.qat is None:
        save_weights(engine.model, path)
    else:
        save_in_integers(
            engine.model, path, qat=config.qat, dataset=config.dataset, seed=config.seed
        )


def _train_epoch(
    config: RunConfig,
    folder: RunFolder,
    engine: Engine,
    loaders: _Loaders,
    progress: Progress,
    stop: Interruption,
    report: Report,
) -> bool:
    """Train what is left of an epoch; return whether it was finished.

    Raises:
        DivergenceError: The loss is not finite.
    """
    order = loaders.order
    learning_rate = config.recipe.learning_rate_at(progress.epoch)
    for group in engine.optimiser.param_groups:
        group["lr"] = learning_rate
    engine.model.train()
    order.begin(progress.epoch, progress.step)
    begin, before = time.perf_counter(), progress.seconds
    loss_sum = torch.tensor(progress.loss_sum, device=engine.device, dtype=torch.float64)
    first_bad = torch.tensor(_NEVER, device=engine.device)
    alone = engine.processes.count == 1
    finished = True
    for batch in batches(loaders.train):
        losses = update(engine, batch, order.size_of(progress.step))
        step = torch.full_like(first_bad, progress.step)
        first_bad = torch.where(losses.isfinite(), first_bad, first_bad.minimum(step))
        loss_sum += losses
        progress.step += 1
        progress.images += len(batch.labels)
        is_last = progress.step == order.steps
        hurried = alone and (stop.signal is not None or engine.device.type == "cpu")
        if not (hurried or is_last or progress.step % _LOOK_EVERY == 0):
            continue
        asked = torch.full_like(first_bad, _NEVER if stop.signal is None else 0)
        bad, signalled = engine.processes.least(torch.stack([first_bad, asked])).tolist()
        if bad != _NEVER:
            raise _explain_divergence(progress.epoch, bad, learning_rate, folder)
        progress.loss_sum = float(loss_sum)
        report.step(progress, order.steps, learning_rate)
        if signalled != _NEVER and not is_last:
            finished = False
            break
    progress.seconds = before + time.perf_counter() - begin
    totals = torch.tensor(
        [float(loss_sum), progress.images], device=engine.device, dtype=torch.float64
    )
    sums = engine.processes.add(totals).tolist()
    progress.loss_sum, progress.images = sums[0], int(sums[1])
    return finished


def _end_epoch(
    config: RunConfig, engine: Engine, loaders: _Loaders, progress: Progress
) -> EpochRecord:
    scores = evaluate(engine, batches(loaders.val))
    return EpochRecord(
        epoch=progress.epoch + 1,
        learning_rate=config.recipe.learning_rate_at(progress.epoch),
        train_loss=progress.loss_sum / progress.images,
        val_loss=scores.loss,
        top1=scores.top1,
        top5=scores.top5,
        seconds=progress.seconds,
        images_per_second=progress.images / progress.seconds,
    )


def _explain_divergence(
    epoch: int, step: int, learning_rate: float, folder: RunFolder
) -> DivergenceError:
    kept = (
        f"the last good checkpoint is {folder.last}"
        if folder.last.is_file()
        else "no epoch was finished, so there is no checkpoint"
    )
    return DivergenceError(
        f"the loss is not finite in epoch {epoch + 1}, step {step + 1}, at learning rate "
        f"{learning_rate:g}; {kept}; use a lower --learning-rate"
    )


@contextlib.contextmanager
def _numerics(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Let a GPU choose its fastest kernels, or all devices only repeatable ones."""
    deterministic = config.speed.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
    )
    if deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
