"""A bench to test with: a device whose harness does as it is told, and files for it to run."""

import contextlib
import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import virtual_time
from scripts import load_script
from standin_launcher import STANDIN, InProcessLauncher
from virtual_time import VirtualTime

from android_bench.campaign.bench import Bench
from android_bench.campaign.contest import contests_of, find_files
from android_bench.campaign.result import read_result
from android_bench.devices import opening
from android_bench.devices.host import HostDevice
from android_bench.harness.client import describe
from android_bench.harness.job import Schedule
from android_bench.harness.process import run_here
from android_bench.native_build.build import source_version
from android_bench.records import Limits, Reading, Rules
from android_bench.store import device_lock, open_store
from export.sets.files import sha256_file
from export.sets.manifest import Artifact, Manifest, Parity, ReferenceData, TensorSpec

QUICK = Schedule(iterations=40, warmup_seconds=0.0, timeout_seconds=5.0)
# What is measured for real is measured while other tests run: nobody else's load counts.
BUSY = Limits(other_busy=1.0, steal=1.0)


STANDIN_COMMAND = (sys.executable, "-IS", str(STANDIN))


class StandinDevice(HostDevice):
    """This computer with the stand-in for a harness, as idle as a test says.

    Args:
        in_process: Whether runs are made in this process and take no time, or are processes.

    Attributes:
        busy: Share of its CPUs that others use.
        clock: What its readings, and a campaign on it, go by.
        launcher: Runs the stand-in; in this process it remembers each time it did.
    """

    def __init__(self, *, in_process=True):
        self.busy = 0.0
        self.clock = VirtualTime() if in_process else time
        self.launcher = InProcessLauncher(self.clock) if in_process else run_here
        super().__init__(describe([*STANDIN_COMMAND, source_version()], launch=self.launcher))

    def read(self):
        return Reading(
            at_ns=self.clock.monotonic_ns(),
            online_cpus=(0, 1),
            steal_fraction=0.0,
            other_busy_fraction=self.busy,
        )


class Listener:
    """A watcher that keeps what it hears."""

    def __init__(self):
        self.steps, self.notes, self.decisions, self.reasons, self.begun = [], [], [], [], []

    def begin(self, record, device):
        self.begun.append(record.campaign_id)

    def step(self, text):
        self.steps.append(text)

    def note(self, text):
        self.notes.append(text)

    def block(self, blocks, disturbed, decision, elapsed_s):
        self.decisions.append(decision)

    def end(self, reason):
        self.reasons.append(reason)


class Rig:
    """Makes artifact sets and benches below one folder."""

    def __init__(self, folder, *, in_process=True):
        self.folder = folder
        self.in_process = in_process
        self.artifacts = folder / "artifacts"
        self.artifacts.mkdir(exist_ok=True)
        self.url = str(folder / "bench.sqlite")
        self.listener = Listener()
        self.rules = Rules(
            threads=1, budget_seconds=60.0, seed=5, schedule=QUICK, patience_s=0.05, batch="b"
        )

    def make_set(self, variant="orig", latency_ns=1_000_000, file=None, **changes):
        """Write a set whose files the stand-in runs; keywords say how it fails, by mode."""
        stem = f"toynet_{variant}_cifar100_4_fp32"
        versions = changes.pop("versions", {"executorch": "1.5.1"})
        suffixes = changes.pop("suffixes", (".pte", ".tflite"))
        reference = self.artifacts / f"{stem}_reference.npz"
        rng = np.random.default_rng(1)
        shapes = {"input_0": (2, 1, 3, 4, 4), "output_0": (2, 1, 10)}
        arrays = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
        np.savez(reference, **arrays)
        artifacts = []
        for suffix in suffixes:
            name = file or f"{stem}{'_xnnpack' if suffix == '.pte' else ''}{suffix}"
            path = self.artifacts / name
            path.write_text(json.dumps({"latency_ns": latency_ns, "variant": variant, **changes}))
            artifacts.append(_artifact(path, suffix))
        manifest = Manifest(
            stem=stem,
            build_id="0" * 64,
            model="toynet",
            variant=variant,
            dataset="cifar100",
            spec={},
            weights="seed:0",
            params=10,
            macs=100,
            passes=(),
            artifacts=tuple(artifacts),
            reference=ReferenceData(
                file=reference.name,
                sha256=sha256_file(reference),
                size_bytes=reference.stat().st_size,
                samples=2,
            ),
            versions=versions,
            git_revision="",
            git_dirty=False,
            created="2026-01-01T00:00:00+00:00",
        )
        return manifest.save(self.artifacts)

    def files(self, pattern="*.pte"):
        return find_files([str(self.artifacts / pattern)])

    def contest(self, pattern="*.pte", engine="executorch"):
        return contests_of(self.files(pattern), self.device.harness.engines, [engine])[0]

    @property
    def device(self):
        if not hasattr(self, "_device"):
            self._device = StandinDevice(in_process=self.in_process)
        return self._device

    @contextlib.contextmanager
    def bench(self, url=None):
        locks, serial = self.folder / "locks", self.device.record.serial
        with pytest.MonkeyPatch.context() as patch, open_store(url or self.url) as store:
            virtual_time.run_on(self.device.clock, patch)
            with device_lock(store, serial, folder=locks) as lock:
                yield Bench(device=self.device, store=store, lock=lock, watch=self.listener)


def copy_as_variants(manifest, folder, **changes):
    """Copy one set twice, as two variants that must turn out equal; keywords change the sets."""
    for variant in ("orig", "ours"):
        renamed = {file.file: f"{variant}_{file.file}" for file in manifest.files}
        for file in manifest.files:
            shutil.copy(manifest.path(file), folder / renamed[file.file])
        artifacts = tuple(
            dataclasses.replace(one, file=renamed[one.file]) for one in manifest.artifacts
        )
        reference = dataclasses.replace(manifest.reference, file=renamed[manifest.reference.file])
        dataclasses.replace(
            manifest,
            stem=f"{variant}_{manifest.stem}",
            variant=variant,
            artifacts=artifacts,
            reference=reference,
            **changes,
        ).save(folder)


def _artifact(path, suffix):
    nhwc = suffix == ".tflite"
    return Artifact(
        file=path.name,
        format=suffix.removeprefix("."),
        backend="xnnpack" if suffix == ".pte" else "",
        precision="fp32",
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
        inputs=(
            TensorSpec(
                name="image",
                shape=(1, 4, 4, 3) if nhwc else (1, 3, 4, 4),
                layout="NHWC" if nhwc else "NCHW",
            ),
        ),
        outputs=(TensorSpec(name="scores", shape=(1, 10), layout="NC"),),
        delegates=1,
        leftovers=(),
        parity=Parity(
            samples=8, relative_linf=1e-6, sqnr_db=100.0, eager_relative_linf=1e-6, limit=1e-5
        ),
        build_seconds={},
    )


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


@pytest.fixture
def standin_host(rig, monkeypatch, tmp_path):
    """Let ``--device host`` be the stand-in, in a folder and on a clock of its own."""
    monkeypatch.setattr(opening, "DEVICES", {"host": lambda: rig.device})
    virtual_time.run_on(rig.device.clock, monkeypatch)
    own_locks(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    return rig


def quick_rules(monkeypatch, schedule):
    """Let a command measure by this schedule, however busy this computer is with other tests."""
    defaults = Rules.__init__.__kwdefaults__
    for name, value in {"schedule": schedule, "limits": BUSY, "patience_s": 0.01}.items():
        monkeypatch.setitem(defaults, name, value)


def own_locks(monkeypatch, tmp_path):
    """Lock in a folder of the test: others may test on this computer at the same time."""
    defaults = device_lock.__wrapped__.__kwdefaults__
    monkeypatch.setitem(defaults, "folder", tmp_path / "locks")


def stored(name="last", url="bench.sqlite"):
    """Read a campaign and close its store."""
    with open_store(str(url), create=False) as store:
        return read_result(store, name)


TOOL = Path(__file__).parents[2] / "tools" / "adb_bench.py"


class Command:
    """The command, in this process: exit status, output and errors of the last call."""

    def __init__(self, capsys):
        self.module = load_script(TOOL)
        self._capsys = capsys

    def __call__(self, *arguments):
        self._capsys.readouterr()
        try:
            self.status = self.module.main([str(a) for a in arguments])
        except SystemExit as stop:
            self.status = stop.code
        self.out, self.err = self._capsys.readouterr()
        return self.status

    @property
    def error(self):
        """The one line that says what was wrong; there is no other and no traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def adb_bench(capsys):
    return Command(capsys)
