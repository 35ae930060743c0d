"""Several processes as one: who I am, and the few things that all of them do together.

`torchrun` starts the processes and tells each its place through the environment; without it
there is one process, and every function here is then free.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pfd_models.errors import PfdError, RunError

__all__ = ["Processes", "choose_device", "end_with", "is_launched", "processes"]

T = TypeVar("T")

_PATIENCE_SECONDS = 20
_TIMEOUT = datetime.timedelta(minutes=30)  # the main process may be unpacking a data set


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: This one's number, from 0.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Return whether this process writes files and prints."""
        return self.rank == 0

    def add(self, values: Tensor) -> Tensor:
        """Return the sum over the processes; the tensor itself takes it."""
        if self.count > 1:
            dist.all_reduce(values, op=dist.ReduceOp.SUM)
        return values

    def least(self, values: Tensor) -> Tensor:
        """Return the minimum over the processes; the tensor itself takes it."""
        if self.count > 1:
            dist.all_reduce(values, op=dist.ReduceOp.MIN)
        return values

    def gather(self, value: T) -> list[T]:
        """Return every process's value, in the order of their ranks."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def on_main(self, action: Callable[[], T]) -> T:
        """Run something in the main process alone; all get what it returns or raises.

        Raises:
            PfdError: What the action raised, in every process, so that none waits for the others.
        """
        if self.count == 1:
            return action()
        outcome: list[Any] = [None]
        if self.is_main:
            try:
                outcome = [action()]
            except PfdError as error:
                outcome = [error]
        dist.broadcast_object_list(outcome, src=0)
        if isinstance(outcome[0], PfdError):
            raise outcome[0] if self.is_main else _mark_reported(outcome[0])
        result: T = outcome[0]
        return result

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the main one's batch statistics.

        While training each process gathers its own; an evaluation must be of one network.
        """
        if self.count > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)


def _mark_reported(error: PfdError) -> PfdError:
    """Mark an error that the main process reports."""
    error.is_reported = True
    return error


def is_launched() -> bool:
    """Return whether `torchrun` or the like started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def end_with(error: PfdError, *, shared: bool) -> int:
    """Say a command's error, once for all processes, and return the exit status.

    Args:
        error: What ended the command in this process.
        shared: Whether all processes have the same one: then the main process says it, and the
            others wait, as `torchrun` ends all when the first is gone.
    """
    rank = int(os.environ.get("RANK", "0"))
    if rank and (shared or error.is_reported):
        time.sleep(_PATIENCE_SECONDS)
        return error.exit_status
    where = f"in process {rank}: " if rank else ""
    sys.stderr.write(f"error: {where}{error}\n")
    return error.exit_status


def choose_device(gpu_id: int | None) -> torch.device:
    """Return the device that a command asks for.

    Args:
        gpu_id: A GPU's number, -1 for the CPU, None for a GPU where there is one. Processes of
            `torchrun` take a GPU each, by their local rank.

    Raises:
        RunError: No such GPU.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu_id == -1 or (gpu_id is None and count == 0):
        return torch.device("cpu")
    first = gpu_id or 0
    wanted = int(os.environ.get("LOCAL_RANK", first)) if is_launched() else first
    needed = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 1 if is_launched() else first
    if not 0 <= needed < count:
        have = f"GPUs 0 to {count - 1}" if count else "no GPU that PyTorch can use"
        raise RunError(
            f"there is no GPU {needed}: this machine has {have}; use --gpu-id -1 for the CPU"
        )
    return torch.device("cuda", wanted)


@contextlib.contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, if it did, and leave them at the end."""
    if not is_launched():
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # Without the device NCCL guesses it from the rank, and says that this can hang.
        dist.init_process_group("nccl", timeout=_TIMEOUT, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=_TIMEOUT)
    try:
        yield Processes(rank=dist.get_rank(), count=dist.get_world_size())
        # One that leaves while another still talks to it aborts that one.
        dist.barrier()
    finally:
        dist.destroy_process_group()
