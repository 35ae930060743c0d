"""Records to test with: a device, two files, a campaign of three arms and its blocks."""

import dataclasses
import datetime
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from android_bench.records import (
    Arm,
    ArmCount,
    ArtifactRecord,
    Block,
    CampaignRecord,
    Cluster,
    Counts,
    DeviceRecord,
    Event,
    Flag,
    HeatChild,
    HeatRecord,
    HotBlock,
    MemoryRecord,
    OperatorCount,
    OperatorProfile,
    OperatorTime,
    Reading,
    Role,
    Rules,
    TimedRun,
    TurnSamples,
)
from android_bench.statistics.design import Design, next_block
from android_bench.store import open_store

BEGIN = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


SHA256 = {"orig": "a" * 64, "ours": "b" * 64}


def split_fields(kind, changes):
    """Return those of the changes that are fields of a type, and the rest."""
    names = {field.name for field in dataclasses.fields(kind)}
    mine = {name: value for name, value in changes.items() if name in names}
    return mine, {name: value for name, value in changes.items() if name not in names}


class Make:
    """Makes right records; keyword arguments replace fields."""

    def device(self, **changes):
        fields = {
            "serial": "host-1f2e",
            "kind": "host",
            "model": "Example CPU 3000",
            "abi": "x86_64",
            "os": "Debian GNU/Linux 12",
            "kernel": "6.1.0",
            "cpu_count": 4,
            "memory_kib": 16_000_000,
            "clusters": (
                Cluster(cpus=(0, 1), core="big", min_khz=400_000, max_khz=3_000_000),
                Cluster(cpus=(2, 3), core="little", governor="schedutil"),
            ),
            "thermal_zones": ("cpu", "skin"),
            "virtual": False,
        }
        return DeviceRecord(**(fields | changes))

    def artifact(self, variant="orig", **changes):
        fields = {
            "sha256": SHA256[variant],
            "file": f"shufflenetv2_{variant}_imagenet_224_fp32_xnnpack.pte",
            "format": "pte",
            "model": "shufflenetv2",
            "variant": variant,
            "dataset": "imagenet",
            "resolution": 224,
            "precision": "fp32",
            "backend": "xnnpack",
            "size_bytes": 9_000_000,
            "delegates": 1,
            "leftovers": 0,
            "build_id": "f" * 64,
            "params": 2_278_604,
            "macs": 149_000_000,
            "versions": {"executorch": "1.5.1"},
        }
        return ArtifactRecord(**(fields | changes))

    def counts(self, **changes):
        fields = {
            "branch": 10,
            "load_vector": 40,
            "store_vector": 12,
            "integer": 30,
            "mac_fp32": 100,
            "macs_fp32": 400,
            "bytes_loaded": 640,
            "bytes_stored": 192,
            "l1_misses": 5,
            "l2_misses": 2,
            "lines": 9,
        }
        return Counts(**(fields | changes))

    def operator_counts(self, *instructions, names=()):
        """Operators of so many instructions each."""
        return tuple(
            OperatorCount(
                name=names[place] if names else f"Convolution #{place + 1}",
                delegate="XnnpackBackend",
                counts=Counts(mac_fp32=number, macs_fp32=4 * number),
            )
            for place, number in enumerate(instructions)
        )

    def arm_count(self, variant="orig", **changes):
        fields = {
            "artifact_sha256": SHA256[variant],
            "engine": "executorch",
            "engine_version": "1.5.1",
            "core": "a77",
            "cpu_model": "cortex-a76",
            "caches": "l1=65536:4,l2=524288:8",
            "emulator": "qemu-aarch64 7.2.22",
            "counter_version": "1+0123456789ab",
            "harness_version": "2+0123456789ab",
            "counted_utc": BEGIN.isoformat(),
            "counts": self.counts(),
            "spread": 0.0,
            "operators": self.operator_counts(60, 40),
            "blocks": (HotBlock(file="libx.so", offset=64, runs=7, code="d503201f" * 3),),
        }
        return ArmCount(**(fields | changes))

    def arm(self, label, **changes):
        fields = {
            "label": label,
            "artifact_sha256": SHA256["ours" if label == "ours" else "orig"],
            "engine": "executorch",
            "threads": 1,
            "cpu_mask": 0b10,
            "role": Role.CANDIDATE,
            "compared_to": "orig",
        }
        if label == "orig":
            fields |= {"role": Role.BASELINE, "compared_to": ""}
        if label == "orig (A/A)":
            fields["role"] = Role.CONTROL
        return Arm(**(fields | changes))

    def campaign(self, **changes):
        fields = {
            "campaign_id": "20260301-120000-abcd",
            "name": "shufflenetv2 on the host",
            "device_id": self.device().device_id,
            "started_utc": BEGIN.isoformat(),
            "arms": (self.arm("orig"), self.arm("orig (A/A)"), self.arm("ours")),
            "rules": Rules(cpu_mask=0b10, budget_seconds=300.0, seed=7),
            "manifests": {SHA256["orig"]: "/artifacts/orig.json"},
            "harness_version": "1",
            "host": "bench-host",
            "versions": {"numpy": "2.4.6"},
            "git_revision": "0123abcd",
            "git_dirty": True,
        }
        rules, rest = split_fields(Rules, changes)
        fields["rules"] = dataclasses.replace(fields["rules"], **rules)
        return CampaignRecord(**(fields | rest))

    def reading(self, at_ns=1_000_000, temp_c=45.0, khz=2_900_000, **changes):
        fields = {
            "at_ns": at_ns,
            "cpu": 1,
            "freq_khz": {0: 400_000, 1: khz, 2: None, 3: None},
            "freq_cap_khz": {0: 3_000_000, 1: 3_000_000, 2: None, 3: None},
            "temp_mc": {"cpu": int(temp_c * 1000), "skin": None},
            "online_cpus": (0, 1, 2, 3),
            "load_1min": 0.5,
            "steal_fraction": 0.0,
            "other_busy_fraction": 0.125,
        }
        return Reading(**(fields | changes))

    def block(self, index=0, label="orig", samples_ns=(10, 12, 11), **changes):
        fields = {
            "campaign_id": self.campaign().campaign_id,
            "index": index,
            "attempt": 0,
            "label": label,
            "artifact_sha256": self.arm(label).artifact_sha256,
            "engine": "executorch",
            "threads": 1,
            "cpu_mask": 0b10,
            "round": index // 2,
            "position": index % 2,
            "started_utc": (BEGIN + datetime.timedelta(seconds=index)).isoformat(),
            "flags": frozenset(),
        }
        run_fields = {
            "samples_ns": np.asarray(samples_ns),
            "cpus": np.ones(len(samples_ns), np.int16),
            "load_ns": 5_000_000,
            "first_inference_ns": 30_000,
            "warmup_inferences": 10,
            "vm_hwm_kib": 40_000,
            "before": self.reading(1_000_000 + index),
            "after": self.reading(2_000_000 + index, temp_c=46.5),
            "handicap_ppm": 0,
            "harness_version": "1",
        }
        run, rest = split_fields(TimedRun, changes)
        return Block(**({"run": TimedRun(**(run_fields | run))} | fields | rest))

    def heat(self, number=0, **changes):
        labels = ("ours", "orig")
        turns = TurnSamples(
            children=labels,
            turn_child=[1, 0, 0, 1],
            turn_first=[0, 2, 4, 6, 8],
            turn_begin_ns=[100, 300, 500, 700],
            turn_end_ns=[290, 490, 690, 890],
            turn_freq_khz=[-1, 2_900_000, 2_900_000, -1],
            samples_ns=[90, 91, 80, 81, 82, 83, 92, 93],
            cpus=[1] * 8,
        )
        fields = {
            "campaign_id": self.campaign().campaign_id,
            "number": number,
            "started_utc": BEGIN.isoformat(),
            "children": tuple(
                HeatChild(label=label, burst=2, discards=1, load_ns=5_000_000, vm_hwm_kib=40_000)
                for label in labels
            ),
            "turns": turns,
            "before": self.reading(1_000_000),
            "after": self.reading(2_000_000),
            "harness_version": "1",
        }
        return HeatRecord(**(fields | changes))

    def event(self, kind="started", **changes):
        fields = {
            "campaign_id": self.campaign().campaign_id,
            "at_utc": BEGIN.isoformat(),
            "kind": kind,
            "message": f"the campaign has {kind}",
            "block_index": None,
            "data": {"reason": "test"},
        }
        return Event(**(fields | changes))

    def profile(self, label="orig", **changes):
        fields = {
            "campaign_id": self.campaign().campaign_id,
            "label": label,
            "started_utc": BEGIN.isoformat(),
            "operators": (
                OperatorTime(
                    name="Convolution", kind="conv2d", delegate="XNNPACK", samples_ns=(5, 4, 6)
                ),
                OperatorTime(name="mean.out", samples_ns=(1, 2, 1)),
            ),
            "harness_version": "1",
        }
        return OperatorProfile(**(fields | changes))

    def memory(self, label="orig", **changes):
        fields = {
            "campaign_id": self.campaign().campaign_id,
            "label": label,
            "started_utc": BEGIN.isoformat(),
            "vm_hwm_kib": 41_000,
            "rss_kib": {"start": 9_000, "loaded": 20_000, "steady": None},
            "harness_version": "1",
        }
        return MemoryRecord(**(fields | changes))

    def few_blocks(self):
        """The blocks of the stored example of version 1."""
        return [
            self.block(0, "orig", (6_000_000, 6_100_000, 6_050_000)),
            self.block(1, "ours", (5_900_000, 5_800_000, 5_850_000)),
            self.block(2, "ours", (9_000_000, 1), flags=frozenset({Flag.THROTTLED, Flag.PARTIAL})),
            self.block(2, "ours", (5_700_000, 5_800_001), attempt=1, handicap_ppm=10_000),
            self.block(3, "orig (A/A)", (), flags=frozenset({Flag.ENGINE_CRASHED}), load_ns=None),
        ]

    def measured_blocks(self, rounds=24, ratio=0.97, noise=0.004, seed=3):
        """A campaign's blocks as a warming device would give them, one of them disturbed."""
        plan = Design(labels=("orig", "ours"), seed=self.campaign().rules.seed)
        rng = np.random.default_rng(seed)
        blocks = []
        while (todo := next_block(plan, blocks)).round < rounds:
            disturbed = len(blocks) == 9
            drift = 1 + 0.02 * len(blocks) / (2 * rounds)
            centre = 6.0e6 * drift * np.exp(rng.normal(0, noise)) * (1.3 if disturbed else 1)
            centre *= ratio if todo.label == "ours" else 1
            samples = centre * (1 + rng.gamma(2, 0.004, 90))
            temp = 40 + 12 * (1 - np.exp(-len(blocks) / 20))
            blocks.append(
                self.block(
                    todo.index,
                    todo.label,
                    samples.astype(np.int64),
                    attempt=todo.attempt,
                    round=todo.round,
                    position=todo.position,
                    load_ns=int(rng.normal(5e6, 2e5)),
                    first_inference_ns=int(rng.normal(14e6, 5e5)),
                    vm_hwm_kib=int(rng.normal(40_000, 100)),
                    before=self.reading(int(len(blocks) * 9e8 + 1), temp, int(3e6 - 2e3 * temp)),
                    after=self.reading(
                        int(len(blocks) * 9e8 + 6e8), temp + 0.4, int(3e6 - 2e3 * temp)
                    ),
                    flags=frozenset({Flag.THROTTLED} if disturbed else ()),
                )
            )
        return blocks

    def fill(self, store, blocks=None):
        """Store a whole campaign."""
        files = [self.artifact("orig"), self.artifact("ours")]
        store.add_campaign(self.campaign(), self.device(), files)
        store.add_event(self.event("started"))
        for block in self.measured_blocks() if blocks is None else blocks:
            store.add_block(block)
        store.add_heat(self.heat())
        store.add_profile(self.profile())
        store.add_memory(self.memory())
        store.add_event(self.event("stopped", message="precision reached"))


@pytest.fixture
def make():
    return Make()


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'bench.sqlite'}") as opened:
        yield opened


@pytest.fixture(scope="session")
def data_folder():
    return Path(__file__).parent / "data"


# -- databases ---------------------------------------------------------------------------------


def _programs():
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parts[-2]))
    found = [f for f in folders if (f / "initdb").is_file()]
    if not found:
        reason = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found[-1]


def _as_server_user():
    """Return what to put before a command: the server refuses to run as root."""
    return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


@pytest.fixture(scope="session")
def server():
    """Start a server on a free port of this host and give its URL up to the database."""
    programs, user = _programs(), _as_server_user()
    folder = Path(tempfile.mkdtemp(prefix="pfd-pg-"))
    if user:
        shutil.chown(folder, "postgres")
    data, log = folder / "data", folder / "log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def control(*arguments):
        done = subprocess.run(
            [*user, *map(str, arguments)], capture_output=True, text=True, check=False, cwd="/"
        )
        assert done.returncode == 0, done.stdout + done.stderr

    secret = folder / "password"
    secret.write_text("right\n")
    if user:
        shutil.chown(secret, "postgres")
    made = ["-U", "bench", "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"]
    control(programs / "initdb", "-D", data, "--locale=C", "--no-sync", *made)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control(programs / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
    try:
        yield f"postgresql://bench:right@127.0.0.1:{port}"
    finally:
        control(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


_numbers = itertools.count()


def create_database(server, template="template1"):
    """Create a database and give its URL."""
    import psycopg

    name = f"test{next(_numbers)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return f"{server}/{name}"


@pytest.fixture
def postgres_url(server):
    """Make an empty database for one test and give its URL."""
    return create_database(server)


@pytest.fixture(scope="session")
def template(server):
    """Give the name of a database with an empty store, to be copied instead of made again."""
    url = create_database(server)
    open_store(url).close()
    return url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request, tmp_path):
    """Give the URL of a store that is yet to be made, in each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'bench.sqlite'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def any_store(request, tmp_path):
    """Give an empty store in each kind of database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'bench.sqlite'}"
    else:
        server, template = map(request.getfixturevalue, ("server", "template"))
        url = create_database(server, template)
    with open_store(url) as opened:
        yield opened
