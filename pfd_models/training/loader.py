"""Batches: which images, in which order, seen by which process, with which randomness.

A batch carries its own seed to whoever loads it, so the number of workers changes nothing and any
batch of any epoch can be made alone: that is what makes a resumed run the same run.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from pfd_models.errors import DataError, DeviceError
from pfd_models.training.datasets import Split, Transform
from pfd_models.training.distributed import Processes
from pfd_models.training.randomness import seed_inside, seed_of

__all__ = ["Batch", "Order", "Shard", "batches", "make_loader"]

LEAST_IMAGES = 2
"""Images a process and update: batch statistics of one image are refused by PyTorch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What to load: a batch's indices, and the seed of what is random about it."""

    seed: int
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """This process's part of a batch.

    Attributes:
        pixels: uint8, (N, 3, side, side).
        labels: int64, (N,).
        fault: Why an image could not be read; empty where all could.
    """

    pixels: Tensor
    labels: Tensor
    fault: str = ""

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, as the loader asks for a GPU."""
        return Batch(
            pixels=self.pixels.pin_memory(), labels=self.labels.pin_memory(), fault=self.fault
        )


class Order(Sampler[Ticket]):
    """The training batches of one epoch: a permutation, cut, each batch dealt to the processes.

    Args:
        images: Number of training images.
        batch_size: Of a batch over all processes.
        run_seed: Of the run.
        processes: Who takes part.

    The last batch may be smaller; it is left out where a process would get fewer than two images.
    """

    def __init__(
        self, *, images: int, batch_size: int, run_seed: int, processes: Processes
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.run_seed = run_seed
        self.processes = processes
        self.epoch = 0
        self.first = 0
        rest = images % batch_size
        keeps_rest = rest >= LEAST_IMAGES * processes.count
        self.steps = images // batch_size + keeps_rest
        if self.steps == 0:
            raise DataError(
                f"the training split has {images} images, too few for {processes.count} processes "
                f"of at least {LEAST_IMAGES}"
            )

    def begin(self, epoch: int, first: int = 0) -> None:
        """Choose the epoch, and the batch to begin with, of the next iteration."""
        self.epoch, self.first = epoch, first

    def size_of(self, step: int) -> int:
        """Return how many images a batch has over all processes."""
        return min(self.batch_size, self.images - step * self.batch_size)

    def __len__(self) -> int:
        return self.steps - self.first

    def __iter__(self) -> Iterator[Ticket]:
        generator = torch.Generator()
        generator.manual_seed(seed_of(self.run_seed, "order", self.epoch))
        order = torch.randperm(self.images, generator=generator)
        rank, count = self.processes.rank, self.processes.count
        for step in range(self.first, self.steps):
            mine = order[step * self.batch_size : (step + 1) * self.batch_size][rank::count]
            seed = seed_of(self.run_seed, "augmentation", self.epoch, step, rank)
            yield Ticket(seed=seed, indices=tuple(mine.tolist()))


class Shard(Sampler[Ticket]):
    """The validation batches of one process: every image in exactly one process, none twice.

    Args:
        images: Number of validation images.
        batch_size: Of this process's batches.
        processes: Who takes part.
    """

    def __init__(self, *, images: int, batch_size: int, processes: Processes) -> None:
        self.mine = range(processes.rank, images, processes.count)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.mine) // self.batch_size)

    def __iter__(self) -> Iterator[Ticket]:
        for begin in range(0, len(self.mine), self.batch_size):
            yield Ticket(seed=0, indices=tuple(self.mine[begin : begin + self.batch_size]))


class _Pictures(Dataset[Batch]):
    """A split behind a transform, read a batch at a time."""

    def __init__(self, split: Split, transform: Transform) -> None:
        self.split = split
        self.transform = transform

    def __getitems__(self, ticket: Ticket) -> Batch:
        labels = torch.tensor([self.split.labels[i] for i in ticket.indices])
        try:
            with seed_inside(ticket.seed):
                pixels = [self.transform(self.split.picture(i)) for i in ticket.indices]
        except DataError as error:  # a worker's exception would arrive as a page of traceback
            return Batch(pixels=torch.empty(0), labels=labels, fault=str(error))
        return Batch(pixels=torch.stack(pixels), labels=labels)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _leave_signals_to_the_parent(worker: int) -> None:
    """Let a worker live through the signal that tells its parent to save and end.

    Ctrl-C and job schedulers signal the whole group. A worker ends when its parent is gone.
    """
    del worker
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def make_loader(
    split: Split,
    transform: Transform,
    tickets: Sampler[Ticket],
    *,
    workers: int,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Make a loader of whole batches, its workers kept from epoch to epoch.

    Args:
        split: The images.
        transform: Gives uint8 tensors (3, side, side).
        tickets: `Order` or `Shard`.
        workers: Processes that load; 0 loads in this one.
        pin_memory: Put batches into page-locked memory.
    """
    return DataLoader(
        _Pictures(split, transform),
        batch_sampler=tickets,  # type: ignore[arg-type]  # torch takes what its dataset takes
        collate_fn=_as_it_is,  # type: ignore[arg-type]  # as above, a Batch and no list
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_leave_signals_to_the_parent,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else the loader would draw from the network's stream
    )


def _end_workers(loader: DataLoader[Batch]) -> None:
    """End the loading processes of a run that has failed.

    They ignore the signal by which Python would end them at exit, and an error that somebody
    keeps, as a debugger does, keeps them too: the program would never end.
    """
    iterator = loader._iterator  # torch has no public name for it
    if iterator is not None and hasattr(iterator, "_shutdown_workers"):
        iterator._shutdown_workers()


def batches(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """Go through a loader's batches.

    Raises:
        DataError: An image could not be read; the line names its file.
        DeviceError: A loading process was killed.
    """
    try:
        for batch in loader:
            if batch.fault:
                _end_workers(loader)
                raise DataError(batch.fault)
            yield batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DeviceError(
            "a process that loads images was killed, mostly for want of memory; use fewer --workers"
        ) from error
