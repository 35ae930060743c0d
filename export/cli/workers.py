"""Builds in processes of their own: the caller stays responsive and survives a crash in C++.

The parent never imports torch, so an unchanged set is answered at once and progress is drawn
smoothly while a worker is deep in native code.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import queue
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

from export.pipeline import BuildResult, make_artifacts
from export.quiet import quiet_logs
from export.request.request import BuildRequest
from export.request.source import ConvertibleSite, ModuleSource, ZooSource
from export.sets.manifest import MissingFormat
from pfd_models.errors import ModuleError, PfdError, SpecError
from pfd_models.operating_system import usable_cpus

__all__ = ["Outcome", "Plan", "Workers", "explain_unexpected", "plan"]

_steps: Any = None  # the queue of (label, step) in a worker
_processes = 1  # how many a worker may compute in


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one request ended: with a result or with an error."""

    request: BuildRequest
    result: BuildResult | None = None
    error: PfdError | None = None

    @property
    def lacking(self) -> tuple[MissingFormat, ...]:
        """Return the formats that were asked for and that the network has no file of."""
        if self.result is None:
            return ()
        missing = self.result.manifest.missing_formats
        return tuple(m for m in missing if m.format in self.request.formats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The requests that can be built, and the reason for each that is not defined."""

    requests: tuple[BuildRequest, ...]
    undefined: tuple[str, ...]


class Workers:
    """A pool of build processes; a context manager that leaves none behind."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        _start_quiet_tracker()
        self._context = multiprocessing.get_context("spawn")
        self._queue: Any = self._context.Queue()
        self._pool = self._start()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:  # interrupted: do not wait for a build that nobody wants any more
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._queue.close()
        self._queue.join_thread()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.jobs,
            mp_context=self._context,
            initializer=_initialise,
            initargs=(self._queue, max(1, len(usable_cpus()) // self.jobs)),
        )

    def plan(self, requests: Sequence[BuildRequest], *, skip_undefined: bool) -> Plan:
        """Resolve `all` and check every name before anything is built (see `plan`)."""
        return self._pool.submit(plan, tuple(requests), skip_undefined).result()

    def list_sites(self, source: ZooSource | ModuleSource) -> tuple[ConvertibleSite, ...]:
        """Return where the paper's recipe can be applied (see `list_convertible_sites`)."""
        return self._pool.submit(_list_sites, source).result()

    def build_all(
        self, requests: Sequence[BuildRequest], on_step: Callable[[str, str], None]
    ) -> Iterator[Outcome]:
        """Build all requests, yielding each outcome as it comes.

        Args:
            requests: What to build.
            on_step: Called with a request's label and the name of the step that begins.
        """
        waiting = list(requests)
        running: dict[Future[BuildResult], BuildRequest] = {}
        while waiting or running:
            while waiting and len(running) < self.jobs:
                request = waiting.pop(0)
                running[self._pool.submit(_build, request)] = request
            done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
            self._forward(on_step)
            for future in done:
                request = running.pop(future)
                try:
                    yield Outcome(request=request, result=future.result())
                except PfdError as error:
                    yield Outcome(request=request, error=error)
                except BrokenProcessPool:
                    lost = [request, *running.values()]
                    running.clear()
                    self._pool = self._start()
                    for each in lost:
                        yield Outcome(request=each, error=_explain_crash(each))
                    break

    def _forward(self, on_step: Callable[[str, str], None]) -> None:
        while True:
            try:
                label, step = self._queue.get_nowait()
            except queue.Empty:
                return
            on_step(label, step)


def plan(requests: tuple[BuildRequest, ...], skip_undefined: bool) -> Plan:
    """Resolve the model and variant called `all` and check every combination.

    Args:
        requests: As the command line gave them; a source's model or variant may be ``all``.
        skip_undefined: Leave out combinations that the zoo does not define, with the reason;
            otherwise the first one is an error.

    Raises:
        SpecError: A name is unknown or a combination is not defined.
    """
    from pfd_models import get_spec, list_models, list_variants

    kept: list[BuildRequest] = []
    undefined: list[str] = []
    for request in requests:
        source = request.source
        if not isinstance(source, ZooSource):
            kept.append(request)
            continue
        for model in list_models() if source.model == "all" else (source.model,):
            for variant in list_variants() if source.variant == "all" else (source.variant,):
                each = dataclasses.replace(source, model=model, variant=variant)
                try:
                    get_spec(model, variant, each.dataset, each.num_classes, each.resolution)
                except SpecError as error:
                    if not skip_undefined:
                        raise
                    undefined.append(str(error))
                else:
                    kept.append(dataclasses.replace(request, source=each))
    if not kept:
        raise SpecError(undefined[0])
    return Plan(requests=tuple(kept), undefined=tuple(undefined))


def _start_quiet_tracker() -> None:
    """Start multiprocessing's tracker without a warning that nobody can act on.

    A worker that is stopped in the middle leaves a lock of tqdm's to the tracker, which cleans it
    up and warns of it.
    """
    before = os.environ.get("PYTHONWARNINGS")
    ignored = "ignore::UserWarning:multiprocessing.resource_tracker"
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, ignored)))
    try:
        if sys.platform != "win32":  # which has no such process
            resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _initialise(steps: Any, processes: int) -> None:
    global _steps, _processes
    _steps, _processes = steps, processes
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    os.environ["OMP_NUM_THREADS"] = "1"  # or the bytes depend on the machine: network.threads


def _list_sites(source: ZooSource | ModuleSource) -> tuple[ConvertibleSite, ...]:
    from export.network.sites import list_convertible_sites

    return list_convertible_sites(source)


def _build(request: BuildRequest) -> BuildResult:
    label = request.source.label
    with quiet_logs(verbose=request.verbose):
        try:
            return make_artifacts(
                request, lambda step: _steps.put((label, step)), processes=_processes
            )
        except PfdError:
            raise
        except Exception as error:  # the edge of the process: one set must not end the others
            if request.verbose:
                traceback.print_exc()
            raise explain_unexpected(error) from error


def explain_unexpected(error: Exception) -> PfdError:
    """Return the line for an error that this project did not raise on purpose."""
    first = (str(error).strip() or "no message").splitlines()[0]
    return PfdError(f"unexpected {type(error).__name__}: {first}; -v shows where, please report it")


def _explain_crash(request: BuildRequest) -> PfdError:
    return ModuleError(
        f"the build of {request.source.label} was killed in native code or by lack of memory; "
        "try --jobs 1, and -v to see the libraries' own output"
    )
