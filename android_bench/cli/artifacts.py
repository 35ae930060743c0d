"""What to measure: files that are there, or networks of the zoo, built where they are missing.

Building happens in processes of their own, so that none loads torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from android_bench.campaign.contest import BenchFile, files_of, find_files
from android_bench.cli.progress import Display
from export.request.calibration import CalibrationSource
from export.request.request import BuildRequest, Precision
from export.request.source import ConvertibleSite, ModuleSource, ZooSource
from export.sets import publish
from export.sets.manifest import Manifest
from pfd_models.errors import InputError, SpecError

if TYPE_CHECKING:
    from export.cli.workers import Workers

__all__ = ["ArtifactChoice", "SetBuilder", "find_or_build", "find_or_build_one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactChoice:
    """What a user wants measured.

    Attributes:
        models: Networks of the zoo, or ``all``; the other fields down to `out` belong to them.
        variants: Of each network, the baseline first.
        precisions: Of each variant, the baseline first.
        calibration: What ``int8`` is calibrated on; see `export.request.calibration`.
        dataset: Name of a data-set shape.
        resolution: Height and width of the input in pixels; None takes the data set's.
        weights: A checkpoint; None for seeded weights.
        out: Where sets lie, and where missing ones are built.
        patterns: Glob patterns of files that are there, instead of networks.
        verbose: Show the libraries' own output of a build.
    """

    models: Sequence[str] = ()
    variants: Sequence[str] = ("orig", "ours")
    precisions: Sequence[Precision] = ("fp32",)
    calibration: CalibrationSource | None = None
    dataset: str = "cifar100"
    resolution: int | None = None
    weights: Path | None = None
    out: Path = Path("artifacts")
    patterns: Sequence[str] = ()
    verbose: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether neither networks nor files are named."""
        return not self.models and not self.patterns

    def require_one(self) -> None:
        """Refuse a choice that says nothing or too much, before anything is built or locked.

        Raises:
            SpecError: Networks and files are both named, or neither is; or an option has no effect
                or lacks another.
        """
        if bool(self.models) == bool(self.patterns):
            raise SpecError(
                "say what to measure: --model NAME, or --artifacts 'artifacts/NAME_*.pte'"
            )
        chosen = tuple(self.precisions) != ("fp32",)
        if self.patterns and (chosen or self.calibration is not None):
            raise SpecError(
                "--precision and --calibration say how networks of --model are built; with "
                "--artifacts name the files of each precision"
            )
        if self.calibration is not None and not {"fp16", "int8"} & set(self.precisions):
            raise SpecError("--calibration goes with --precision int8 or fp16")
        _ = self.requests  # each refuses what no build can satisfy

    @property
    def requests(self) -> list[BuildRequest]:
        """Return what would be built if nothing were there, in the order to measure it."""
        return [
            BuildRequest(
                source=ZooSource(
                    model=model,
                    variant=variant,
                    dataset=self.dataset,
                    resolution=self.resolution,
                ),
                weights=self.weights,
                out=self.out,
                verbose=self.verbose,
                precision=precision,
                calibration=None if precision == "fp32" else self.calibration,
            )
            for model in self.models
            for variant in self.variants
            for precision in self.precisions
        ]


def find_or_build(
    choice: ArtifactChoice, display: Display, keep_alive: Callable[[], None]
) -> tuple[BenchFile, ...]:
    """Return the files to measure, verified, after building the sets that are missing.

    Args:
        choice: What is wanted.
        display: Hears what takes a moment.
        keep_alive: Called during a build, so that nobody takes the devices for free.

    Raises:
        InputError: Nothing is there, or it cannot be built as asked.
        IntegrityError: A file is not the one its manifest describes.
    """
    if choice.patterns:
        return find_files(choice.patterns)
    requests = choice.requests
    found = [publish.find(r.out, r.request_key(), r.formats) for r in requests]
    manifests = [manifest for manifest in found if manifest is not None]
    if len(manifests) < len(requests):
        skip_undefined = "all" in choice.models
        manifests = _build(requests, skip_undefined, display, keep_alive)
    return tuple(file for manifest in manifests for file in files_of(manifest))


def find_or_build_one(request: BuildRequest, display: Display, *, build: bool) -> Manifest:
    """Return the set of a request, whatever it is of.

    Args:
        request: What is wanted.
        display: Hears what takes a moment.
        build: Make it where it is missing.

    Raises:
        InputError: It is missing and is not to be built, or cannot be built.
    """
    found = publish.find(request.out, request.request_key(), request.formats)
    if found is not None:
        return found
    if not build:
        raise InputError("it is not built yet")
    (made,) = _build([request], False, display, lambda: None)
    return made


def _build(
    requests: Sequence[BuildRequest],
    skip_undefined: bool,
    display: Display,
    keep_alive: Callable[[], None],
) -> list[Manifest]:
    from export.cli.workers import Workers  # most calls find their sets and start no process

    def hear(label: str, step: str) -> None:
        keep_alive()
        display.step(f"building {label}: {step}")

    made: dict[object, Manifest] = {}
    with Workers(1) as workers:
        display.step("loading the model zoo")
        plan = workers.plan(requests, skip_undefined=skip_undefined)
        for reason in plan.undefined:
            display.say(f"not defined: {reason}")
        for outcome in workers.build_all(plan.requests, hear):
            if outcome.error is not None:
                raise outcome.error
            assert outcome.result is not None
            made[_identify(outcome.request)] = outcome.result.manifest
    return [made[_identify(request)] for request in plan.requests]


def _identify(request: BuildRequest) -> tuple[object, ...]:
    return request.source, request.precision


class SetBuilder:
    """Finds sets, or builds them one by one in a process that starts when it is first needed.

    A context manager that leaves no process behind.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._workers: Workers | None = None
        self._open = ExitStack()

    def __enter__(self) -> SetBuilder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def list_sites(self, source: ZooSource | ModuleSource) -> tuple[ConvertibleSite, ...]:
        """Return where the paper's recipe can be applied to a network.

        Raises:
            InputError: There is no such network, or it has no such place.
        """
        self._display.step(f"looking for the sites of {source.label}")
        return self._start().list_sites(source)

    def find_or_build(self, request: BuildRequest) -> Manifest:
        """Return a set, verified.

        Raises:
            PfdError: It cannot be built.
        """
        found = publish.find(request.out, request.request_key(), request.formats)
        if found is not None:
            return found

        def hear(label: str, step: str) -> None:
            self._display.step(f"building {label}: {step}")

        (outcome,) = self._start().build_all([request], hear)
        if outcome.error is not None:
            raise outcome.error
        assert outcome.result is not None
        return outcome.result.manifest

    def _start(self) -> Workers:
        from export.cli.workers import Workers  # where every set is there, it is never needed

        if self._workers is None:
            self._workers = self._open.enter_context(Workers(1))
        return self._workers
