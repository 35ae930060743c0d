"""How a campaign goes, as it goes: the interval narrowing, on a terminal or line by line."""

from __future__ import annotations

import math
import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from android_bench.cancellation import Cancellation
from android_bench.devices.cpu_choice import describe_mask
from android_bench.records import CampaignRecord, DeviceRecord
from android_bench.report.escape import escape_controls
from android_bench.report.wording import change, name_run
from android_bench.statistics.comparison import Comparison
from android_bench.statistics.monitor import Decision, Reason

__all__ = ["Display", "interval_line"]

LINE_EVERY = 1.5  # elsewhere than on a terminal: a line whenever this many times more is known


class Display:
    """A `Watcher` that draws on standard error; a context manager.

    Attributes:
        cancellation: What `stop` sets; every wait that should end with the display has it.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.cancellation = Cancellation()
        self._console = console or Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            auto_refresh=False,  # no refresh thread: it would compete for CPU with the benchmark
        )
        self._task = self._progress.add_task("", total=None)
        self._plan: CampaignRecord | None = None
        self._next_line = 1.0
        self._shows_intervals = True
        self._name = ""
        self._begun = threading.Event()

    def add_lane(self, name: str) -> Display:
        """Return a display of one device among several: the same screen, a line of its own."""
        lane = Display(self._console)
        lane.cancellation, lane._begun = self.cancellation, self._begun
        lane._progress, lane._name = self._progress, f"{name}: "
        lane._task = self._progress.add_task(escape_controls(name), total=None)
        return lane

    @property
    def has_begun(self) -> bool:
        """Whether a campaign has begun, in any lane: from then on there is something to resume."""
        return self._begun.is_set()

    def stop(self) -> None:
        """End every lane, as Ctrl-C does where there is one device; it never reaches threads."""
        self.cancellation.cancel()

    def __enter__(self) -> Self:
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._progress.stop()

    def begin(self, record: CampaignRecord, device: DeviceRecord) -> None:
        """Say what is measured and for how long at most."""
        self._begun.set()
        self._plan, self._next_line = record, 1.0
        self._shows_intervals = not device.emulated
        self._progress.reset(self._task, total=1.0)
        arm, rules = record.arms[0], record.rules
        self.say(
            f"{record.name} on {describe_mask(arm.cpu_mask)} of {device.model}: until "
            f"±{rules.precision:.2%} or {rules.budget_seconds:.0f} s ({record.campaign_id})"
        )

    def step(self, text: str) -> None:
        """Say what takes a moment."""
        self.cancellation.raise_if_cancelled()
        if self._live:
            line = escape_controls(self._name + text)
            self._progress.update(self._task, description=line, refresh=True)
        else:
            self.say(text)

    def note(self, text: str) -> None:
        """Say what must not be missed."""
        self.say(text, Text("warning: ", style="bold yellow"))

    def error(self, text: str) -> None:
        """Say what could not be done; the rest goes on."""
        self.say(text, Text("error: ", style="bold red"))

    def block(self, blocks: int, disturbed: int, decision: Decision, elapsed_s: float) -> None:
        """Show where the campaign stands."""
        self.cancellation.raise_if_cancelled()
        if self._plan is None:
            return
        line = _count_units(self._plan, blocks, disturbed)
        if self._shows_intervals:
            line = interval_line(self._plan, blocks, disturbed, decision)
        if self._live:
            line, share = escape_controls(self._name) + line, done_share(decision, elapsed_s)
            self._progress.update(self._task, description=line, completed=share, refresh=True)
        elif blocks >= self._next_line or decision.stop:
            self._next_line = max(blocks + 1, blocks * LINE_EVERY)
            self.say(f"{elapsed_s:4.0f} s  {line}")

    def end(self, reason: Reason) -> None:
        """Say why it ended."""
        self.say(f"{reason.value}")

    def say(self, text: str, before: Text | None = None) -> None:
        """Print a line of text from wherever it comes."""
        line = (before or Text()) + Text(escape_controls(self._name + text, longest=2000))
        self._console.print(line, soft_wrap=True)


def done_share(decision: Decision, elapsed_s: float) -> float:
    """Return how much of the expected time is over, 0 to 1."""
    if decision.stop:
        return 1.0
    if not math.isfinite(decision.seconds_left):
        return 0.0
    return elapsed_s / max(elapsed_s + decision.seconds_left, 1e-9)


def interval_line(record: CampaignRecord, blocks: int, disturbed: int, decision: Decision) -> str:
    """Return a campaign's standing as one line; intervals before its end are no verdicts."""
    shown = decision.comparisons or ((decision.control,) if decision.control else ())
    parts = [_standing(one) for one in shown] or ["too few rounds to say"]
    parts.append(f"aim ±{record.rules.precision:.2%}")
    parts.append(_count_units(record, blocks, disturbed))
    if not decision.stop and math.isfinite(decision.seconds_left):
        parts.append(f"about {max(decision.seconds_left, 0):.0f} s left")
    return " · ".join(parts)


def _count_units(record: CampaignRecord, units: int, disturbed: int) -> str:
    return f"{units} {name_run(record.rules.pairing)}s" + (
        f", {disturbed} disturbed" if disturbed else ""
    )


def _standing(one: Comparison) -> str:
    return f"{escape_controls(one.label)} {change(one.ratio)} ±{one.half_width:.2%}"
