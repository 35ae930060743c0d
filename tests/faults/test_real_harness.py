"""Faults with the real harness, real engines and a real network: nothing stands in for anything."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from bench_rig import TOOL, own_locks, stored

from android_bench.records import Flag
from android_bench.statistics.design import is_disturbed
from android_bench.store import open_store
from export.sets.files import sha256_file


@pytest.fixture
def network(built, tmp_path, monkeypatch):
    """The session's set twice, as two variants that must turn out equal; gives the folder."""
    own_locks(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "artifacts"
    folder.mkdir()
    for variant in ("orig", "ours"):
        renamed = {}
        for stored_file in built.files:
            name = stored_file.file.replace("_ours_", f"_{variant}_")
            shutil.copy(built.path(stored_file), folder / name)
            renamed[stored_file.file] = name
        stem = built.stem.replace("_ours_", f"_{variant}_")
        artifacts = tuple(dataclasses.replace(a, file=renamed[a.file]) for a in built.artifacts)
        reference = dataclasses.replace(built.reference, file=renamed[built.reference.file])
        dataclasses.replace(
            built, stem=stem, variant=variant, artifacts=artifacts, reference=reference
        ).save(folder)
    return folder


def change_manifest(folder, variant, change):
    (path,) = folder.glob(f"*_{variant}_*.json")
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


def rehash(entry, path):
    entry |= {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}


def test_both_engines_run_one_network_and_find_no_difference_to_itself(network, adb_bench):
    assert adb_bench("--artifacts", "artifacts/*.pte", "artifacts/*.tflite", "--budget", "4s") == 0
    with open_store("bench.sqlite") as store:
        ids = [c.campaign_id for c in store.campaigns()]
        engines = [c.arms[0].engine for c in store.campaigns()]
    assert engines == ["executorch", "litert"]
    for campaign_id in ids:
        result = stored(campaign_id)
        assert result.events[0].data["relative_linf"]["orig"] < 1e-4
        good = [block for block in result.blocks if not is_disturbed(block)]
        assert all(len(block.run.samples_ns) >= 90 for block in good)
        assert all(block.run.load_ns and block.run.first_inference_ns for block in good)
        assert all(block.run.warmup_inferences >= 10 for block in good)


def test_a_delegate_that_is_not_there(network, adb_bench):
    (path,) = network.glob("*_orig_*.pte")
    path.write_bytes(path.read_bytes().replace(b"XnnpackBackend", b"XnnpackBackenx"))
    change_manifest(network, "orig", lambda plain: rehash(pte_of(plain), path))
    # Whether the file or the machine is to blame is the engine's to say.
    assert adb_bench("--artifacts", "artifacts/*.pte", "--budget", "5s") == 3
    assert "XnnpackBackenx is not registered" in adb_bench.error
    with open_store("bench.sqlite") as store:
        assert store.campaigns() == ()


def pte_of(plain):
    return next(a for a in plain["artifacts"] if a["format"] == "pte")


def test_outputs_that_are_not_the_expected_ones(network, adb_bench):
    (path,) = network.glob("*_orig_*_reference.npz")
    with np.load(path) as data:
        arrays = dict(data)
    arrays["output_0"] = arrays["output_0"].copy()
    arrays["output_0"].flat[7] += 0.01 * np.abs(arrays["output_0"]).max()
    np.savez(path, **arrays)
    change_manifest(network, "orig", lambda plain: rehash(plain["reference"], path))
    assert adb_bench("--artifacts", "artifacts/*.pte", "--budget", "5s") == 1
    assert "of its maximum away from what was expected" in adb_bench.error
    with open_store("bench.sqlite") as store:
        assert store.campaigns() == ()


def harnesses_of(pid):
    """Return the processes below one that are the harness, supervisors first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    found = []
    for child in map(int, children):
        try:
            name = Path(f"/proc/{child}/comm").read_text().strip()
        except OSError:
            continue
        found += [child] if name == "pfd_bench" else []
        found += harnesses_of(child)
    return found


def test_a_harness_killed_from_outside_is_run_again(network, adb_bench):
    victims = []

    def kill_one():
        until = time.monotonic() + 60
        while time.monotonic() < until and not victims:
            with open_store("bench.sqlite") as store:
                begun = store.campaigns() and store.blocks(store.campaign("last").campaign_id)
            running = harnesses_of(os.getpid())
            if begun and running:
                os.kill(running[0], signal.SIGKILL)
                victims.append(running[0])
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    status = adb_bench("--artifacts", "artifacts/*.tflite", "--budget", "4s")
    killer.join()
    assert status == 0
    assert len(victims) == 1
    result = stored()
    killed = [block for block in result.blocks if Flag.HARNESS_KILLED in block.flags]
    assert len(killed) == 1
    assert any(b.index == killed[0].index and b.attempt > killed[0].attempt for b in result.blocks)
    assert result.complete


def test_a_host_killed_in_the_middle_goes_on_at_the_next_block(network, adb_bench, tmp_path):
    command = [sys.executable, str(TOOL), "--artifacts", "artifacts/*.tflite", "--budget", "9s"]
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1])}
    process = subprocess.Popen(
        [*command, "--precision", "0.001%"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    before = ()
    while len(before) < 3 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.2)
        with open_store("bench.sqlite") as store:
            if store.campaigns():
                before = store.blocks(store.campaign("last").campaign_id)
    process.kill()
    _, said = process.communicate()
    assert len(before) >= 3, said
    with open_store("bench.sqlite") as store:
        before = store.blocks(store.campaign("last").campaign_id)
    assert not stored().complete
    assert adb_bench("--resume") == 0
    result = stored()
    assert result.blocks[: len(before)] == before
    assert len(result.blocks) > len(before)
    assert result.complete
    kinds = [e.kind for e in result.events if e.kind in ("started", "resumed", "stopped")]
    assert kinds == ["started", "resumed", "stopped"]
