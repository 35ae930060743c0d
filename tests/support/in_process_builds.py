"""The build command without a process of its own, whose imports cost more than most builds."""

from concurrent.futures import Future

import pytest

from export.cli import workers


class InThisProcess:
    """Stands in for the pool: what is submitted is done at once."""

    _processes = None  # a pool's, which an interrupted command ends

    def __init__(self, jobs, mp_context, initializer, initargs):
        pass

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait, cancel_futures):
        pass


class NoSteps:
    """Stands in for the queue of a worker's steps, which a display shows."""

    def put(self, step):
        pass


@pytest.fixture
def in_process_builds(monkeypatch):
    """Let commands build in the test's process; tests/export/cli and others use real ones."""
    monkeypatch.setattr(workers, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(workers, "_steps", NoSteps())
