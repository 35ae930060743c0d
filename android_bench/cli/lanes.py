"""Devices at work: opened with their locks and stores, and measured on, several at once.

Each device has a lane. What fails in one leaves the others as they are, and whatever ends the
work (an error, Ctrl-C, a fault of ours), what is finished by then is kept and handed back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from android_bench.campaign.bench import Bench
from android_bench.campaign.opening import open_bench
from android_bench.campaign.result import CampaignResult
from android_bench.campaign.series import Outcome
from android_bench.cli.progress import Display
from android_bench.devices.phone.device import TARGET
from android_bench.devices.phone.discovery import usable_serials
from pfd_models.errors import PfdError

__all__ = ["DeviceChoice", "Lane", "Lanes", "Measured", "measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChoice:
    """On what a user wants to measure.

    Attributes:
        device: ``host`` or ``virtual``; where phones are named it counts for nothing.
        serials: Phones.
        every_phone: Every phone that is connected.
        target: What phones are built for.
        governor: What their cores are held at meanwhile; empty leaves them as they are.
    """

    device: str = "host"
    serials: Sequence[str] = ()
    every_phone: bool = False
    target: str = TARGET
    governor: str = ""

    def find_serials(self) -> list[str]:
        """Return the phones' serials, ``virtual`` among them; none for this computer.

        Raises:
            DeviceError: Every phone is wanted and there is none.
        """
        if self.every_phone:
            return usable_serials()
        return list(self.serials) or (["virtual"] if self.device == "virtual" else [])


@dataclass(slots=True, kw_only=True)
class Lane:
    """One device at work.

    Attributes:
        bench: The device with its store and its lock.
        display: Its place on the screen.
        outcomes: Of its comparisons, as they ended.
        errors: What else went wrong.
    """

    bench: Bench
    display: Display
    outcomes: list[Outcome] = field(default_factory=list)
    errors: list[PfdError] = field(default_factory=list)

    def follow(self, work: Callable[[Lane], Iterator[Outcome]]) -> None:
        """Do the work to its end; each outcome is kept as it comes, and each error told."""
        try:
            for outcome in work(self):
                self.outcomes.append(outcome)
                for failure in outcome.failures:
                    self.display.error(failure.line)
        except PfdError as error:
            self.errors.append(error)
            self.display.error(str(error))


@dataclass(slots=True, kw_only=True)
class Lanes:
    """All devices of a call.

    Attributes:
        display: The screen they share.
        open: Those that could be opened.
        errors: Of those that could not.
    """

    display: Display
    open: list[Lane] = field(default_factory=list)
    errors: list[PfdError] = field(default_factory=list)

    def keep_alive(self) -> None:
        """Tell every lock that this bench lives."""
        for lane in self.open:
            lane.bench.lock.renew()

    def follow(self, work: Callable[[Lane], Iterator[Outcome]]) -> None:
        """Do the work in every lane, side by side.

        Raises:
            KeyboardInterrupt: The user wants it to end; every lane has ended by then.
        """
        if len(self.open) == 1:
            self.open[0].follow(work)  # in this thread, where Ctrl-C arrives by itself
            return
        pool = ThreadPoolExecutor(max(1, len(self.open)))
        try:
            futures = [pool.submit(lane.follow, work) for lane in self.open]
            wait(futures)
        except BaseException:
            self.display.stop()
            raise
        finally:
            pool.shutdown()
        for future in futures:
            future.result()  # a fault of ours is told, after all lanes have ended


@dataclass(slots=True, kw_only=True)
class Measured:
    """What came of a call, however it ended.

    Attributes:
        results: Finished campaigns, device by device.
        errors: Everything that went wrong and is told already.
        untold: What ended the call as a whole.
        is_interrupted: Whether the user ended it.
        has_begun: Whether a campaign had begun by then.
    """

    results: list[CampaignResult] = field(default_factory=list)
    errors: list[PfdError] = field(default_factory=list)
    untold: Exception | None = None
    is_interrupted: bool = False
    has_begun: bool = False

    def take(self, lanes: Lanes) -> None:
        """Take over what the lanes have."""
        self.has_begun = lanes.display.has_begun
        self.errors += lanes.errors
        for lane in lanes.open:
            self.errors += lane.errors
            for outcome in lane.outcomes:
                self.errors += [failure.error for failure in outcome.failures]
                if outcome.result is not None:
                    self.results.append(outcome.result)


def measure(choice: DeviceChoice, store: str, work: Callable[[Lanes], None]) -> Measured:
    """Open the devices, do the work and close them; nothing but what was found comes out.

    Args:
        choice: On what to measure.
        store: Where records go.
        work: What to do, by way of `Lanes.follow`.
    """
    measured = Measured()
    try:
        with _open_lanes(choice, store) as lanes:
            try:
                work(lanes)
            finally:
                measured.take(lanes)
    except KeyboardInterrupt:
        measured.is_interrupted = True
    except Exception as error:  # also a fault of ours: results are told before it
        measured.untold = error
    return measured


@contextlib.contextmanager
def _open_lanes(choice: DeviceChoice, store: str) -> Iterator[Lanes]:
    """Open every device; of several, one that cannot be opened is among the errors."""
    serials = choice.find_serials()
    with Display() as display, contextlib.ExitStack() as opened:
        lanes = Lanes(display=display)
        for serial in serials or [""]:
            shown = display.add_lane(serial) if len(serials) > 1 else display
            bench = open_bench(
                choice.device,
                serial=serial,
                store=store,
                target=choice.target,
                governor=choice.governor,
                watch=shown,
                cancellation=shown.cancellation,
            )
            try:
                lanes.open.append(Lane(bench=opened.enter_context(bench), display=shown))
            except PfdError as error:
                if len(serials) <= 1:
                    raise
                shown.error(str(error))
                lanes.errors.append(error)
        yield lanes
