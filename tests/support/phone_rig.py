"""One virtual phone a session, put right before each test, and both ways to reach it."""

import contextlib
import dataclasses
import os
import tempfile
import threading
from pathlib import Path

import pytest
from bench_rig import BUSY, Listener, copy_as_variants, own_locks, quick_rules

from android_bench.campaign.bench import Bench
from android_bench.campaign.campaign import run_campaign
from android_bench.campaign.contest import contests_of, find_files
from android_bench.campaign.result import read_result
from android_bench.campaign.series import resume_last
from android_bench.devices.phone.device import phone_device
from android_bench.errors import VirtualPhoneError
from android_bench.harness.job import Schedule
from android_bench.records import Rules
from android_bench.store import device_lock, open_store
from android_bench.transports import adb_server, adb_shell
from android_bench.virtual_phone import hooks
from android_bench.virtual_phone import phone as virtual


@pytest.fixture(scope="session")
def session_phone():
    """Skips where the machine cannot run one; in CI that is a failure, not a skip."""
    try:
        running = virtual.start()
    except VirtualPhoneError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with running:
        yield running


@pytest.fixture
def phone(session_phone):
    """The session's phone; afterwards everything a test may have done to it is undone."""
    yield session_phone
    session_phone.request("thaw")
    hooks.set_network(session_phone, up=True)
    hooks.remount_data(session_phone)
    hooks.make_room(session_phone)
    hooks.hang_dumpsys(session_phone, hanging=False)
    hooks.kill_daemon(session_phone)
    session_phone.request("restore")
    hooks.start_daemon(session_phone)


def over_adb_shell(phone):
    return adb_shell.over_socket("virtual", lambda deadline: phone.dial())


def over_adb_server(phone):
    return adb_server.over_server(phone.serial, phone.environment()["ADB_SERVER_SOCKET"])


@pytest.fixture(params=["adb-shell", "adb-server"])
def transport(request, phone):
    """The phone through each client."""
    make = {"adb-shell": over_adb_shell, "adb-server": over_adb_server}[request.param]
    opened = make(phone)
    opened.wait(30)
    yield opened
    opened.close()


@pytest.fixture
def direct(phone):
    """The phone through adb-shell, where the client does not matter."""
    opened = over_adb_shell(phone)
    opened.wait(30)
    yield opened
    opened.close()


@pytest.fixture
def short_folder():
    """A folder whose path leaves room for a socket's name; pytest's own may not."""
    with tempfile.TemporaryDirectory(prefix="pfd-") as folder:
        yield Path(folder)


@pytest.fixture
def one_line():
    """A check that an error is one clear line of the right class."""

    def check(error, exit_status, *words):
        text = str(error.value)
        assert "\n" not in text
        assert len(text) < 500
        assert error.value.exit_status == exit_status
        missing = [word for word in words if word not in text]
        assert not missing, text

    return check


# -- campaigns ---------------------------------------------------------------------------------

TINY = """
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10)
    )
"""
QUICK = Schedule(iterations=3, warmup_iterations=1, warmup_seconds=0.0, timeout_seconds=60.0)
# Long enough for something to happen in the middle.
LASTING = dataclasses.replace(QUICK, iterations=6, gap_seconds=0.4, flush_seconds=0.1)


@pytest.fixture(scope="session")
def tiny_set(make_once):
    """A folder with one small network as two variants, for both engines."""
    return make_once("tiny", _make_tiny_set)


def _make_tiny_set(folder):
    from export import BuildRequest, InputTensor, ModuleSource, make_artifacts

    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary)
        (made / "tiny_net.py").write_text(TINY)
        source = ModuleSource(
            target="tiny_net:make",
            inputs=(InputTensor(shape=(1, 3, 32, 32)),),
            search_path=str(made),
        )
        request = BuildRequest(source=source, formats=("pte", "tflite"), out=made / "out")
        manifest = make_artifacts(request).manifest
        copy_as_variants(manifest, folder, model="tinynet", dataset="cifar100")


@pytest.fixture
def kept_phone(session_phone):
    """The session's phone with the bench's cache on it; all else is put right afterwards."""
    yield session_phone
    session_phone.request("thaw")
    hooks.set_network(session_phone, up=True)
    hooks.remount_data(session_phone)
    hooks.make_room(session_phone)
    hooks.hang_dumpsys(session_phone, hanging=False)
    hooks.kill_daemon(session_phone)
    session_phone.request("restore", keep="pfd")
    hooks.start_daemon(session_phone)


class PhoneRig:
    """A bench on the virtual phone, with what happens in the middle of a block."""

    def __init__(self, phone, files, folder, make=over_adb_shell):
        self.phone, self.files, self.folder = phone, files, folder
        self.url = str(folder / "bench.sqlite")
        self.listener = Listener()
        self.rules = Rules(
            budget_seconds=1.0, seed=5, schedule=QUICK, limits=BUSY, patience_s=0.01, batch="b"
        )
        self._make, self._device, self.steps = make, None, []

    @property
    def device(self):
        if self._device is None:
            transport = self._make(self.phone)
            transport.wait(30)
            try:
                self._device = phone_device(transport, say=self.steps.append, reconnect_s=30.0)
            except BaseException:
                transport.close()
                raise
        return self._device

    def close(self):
        if self._device is not None:
            self._device.close()
            self._device = None

    def contest(self, engine="executorch"):
        found = find_files([str(self.files / "*.json")])
        return contests_of(found, self.device.harness.engines, [engine])[0]

    @contextlib.contextmanager
    def bench(self):
        with open_store(self.url) as store:
            serial = self.device.record.serial
            with device_lock(store, serial, folder=self.folder / "locks") as lock:
                yield Bench(device=self.device, store=store, lock=lock, watch=self.listener)

    def run(self, engine="executorch", **rules):
        with self.bench() as bench:
            contest = self.contest(engine)
            return run_campaign(bench, contest, dataclasses.replace(self.rules, **rules))

    def resume(self):
        with self.bench() as bench:
            outcome = resume_last(bench)
            for failure in outcome.failures:
                raise failure.error
            return outcome.result

    def in_the_middle(self, *actions):
        """Have each action happen while one block is timed, in turn."""
        waiting, plain = list(actions), self.device.harness.launch

        def launch(command, *, timeout_s, on_line, quiet_s=0.0):
            def heard(text):
                on_line(text)
                if '"edge":"before"' in text.replace(" ", "") and waiting:
                    waiting.pop(0)()

            return plain(command, timeout_s=timeout_s, on_line=heard, quiet_s=quiet_s)

        self.device._harness = dataclasses.replace(self.device.harness, launch=launch)
        return waiting

    def stored(self, name="last"):
        with open_store(self.url, create=False) as store:
            return read_result(store, name)

    def campaigns(self):
        if not Path(self.url).exists():
            return ()
        with open_store(self.url) as store:
            return store.campaigns()

    def left_behind(self):
        """What is on the phone besides the bench's cache."""
        transport = self._make(self.phone)
        transport.wait(30)
        try:
            text = transport.run(
                "cd /data/local/tmp && ls -A . | grep -v ^pfd$; cd pfd 2>/dev/null && "
                "{ ls -A . | grep -v -x -e files -e harness -e runs; ls -A runs; "
                "ls -A files harness/* | grep part; }"
            ).stdout
        finally:
            transport.close()
        return text.split()


def later(seconds, action):
    """Do something in a while, beside what goes on."""
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


@pytest.fixture
def rig_on_phone(kept_phone, tiny_set, tmp_path):
    made = PhoneRig(kept_phone, tiny_set, tmp_path)
    yield made
    made.close()


@pytest.fixture
def virtual_is_ours(kept_phone, monkeypatch, tmp_path):
    """Let ``virtual`` be the session's phone, in a folder of the test."""
    monkeypatch.setattr(virtual, "find", lambda name: kept_phone)
    quick_rules(monkeypatch, QUICK)
    own_locks(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    return kept_phone
