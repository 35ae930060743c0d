"""Runs the stand-in's command lines without starting a process; see `Launcher`."""

import itertools
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import standin_harness

from android_bench.harness.process import Exit
from pfd_models.errors import DeviceError

STANDIN = Path(standin_harness.__file__)
START_S = 0.02  # what starting a process takes


@dataclass(frozen=True)
class Started:
    """One run: what it was asked to do, and the process it would have been."""

    pid: int
    mode: str
    options: dict = field(repr=False)


class InProcessLauncher:
    """Gives the same lines and endings as `run_here` would, on a virtual clock."""

    def __init__(self, clock):
        self._clock = clock
        self._pids = itertools.count(1001)
        self.started = []

    def __call__(self, command, *, timeout_s, on_line, quiet_s=0.0):
        if str(STANDIN) not in command:
            raise DeviceError(f"cannot run {command[0]}: no such file or directory")
        arguments = command[command.index(str(STANDIN)) + 1 :]
        pid = next(self._pids)
        self.started.append(Started(pid, *standin_harness.options_of(arguments[1:])))
        deadline = self._clock.monotonic() + timeout_s
        self._clock.sleep(START_S)
        steps = standin_harness.steps(arguments, pid=pid, clock=self._clock)
        pending = ""
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                ended = Exit(status=end.value, stderr="")
                break
            except Exception:
                ended = Exit(status=1, stderr=traceback.format_exc())
                break
            if isinstance(step, str):
                *lines, pending = (pending + step).split("\n")
                for line in lines:
                    on_line(line)
                continue
            left = deadline - self._clock.monotonic()
            self._clock.sleep(min(step, max(0.0, left)))
            if step >= left:  # it is killed in the middle of what it does
                steps.close()
                return Exit(status=None, stderr="")
        if pending:
            on_line(pending)
        return ended

    def runs(self, mode):
        """Return the runs that had been asked for one thing, in order."""
        return [run for run in self.started if run.mode == mode]
