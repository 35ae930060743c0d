"""Faults with the real harness, real engines and real files: nothing stands in for anything."""

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from bench_process import wait_for
from bench_rig import copy_as_variants, own_locks, quick_rules, stored

from android_bench.devices import opening
from android_bench.harness.job import Schedule
from android_bench.records import Flag
from android_bench.statistics.design import is_disturbed
from android_bench.store import open_store
from export.sets.files import sha256_file

# As a campaign measures, but for the half second of warm-up.
SHORT = Schedule(iterations=90, warmup_iterations=10, warmup_seconds=0.0, timeout_seconds=60.0)
# Long enough for a small network to be killed in the middle of a block.
LASTING = dataclasses.replace(SHORT, seconds=0.2)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Measure in a folder of the test; gives its artifacts' folder, which is not there yet."""
    own_locks(monkeypatch, tmp_path)
    quick_rules(monkeypatch, SHORT)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "artifacts"


@pytest.fixture
def network(built, here):
    """The README's set as two variants that must turn out equal; gives the folder."""
    here.mkdir()
    copy_as_variants(built, here)
    return here


@pytest.fixture
def tiny(tiny_set, here):
    """A network of four layers as two variants; gives the folder."""
    return Path(shutil.copytree(tiny_set, here))


def change_manifest(folder, variant, change):
    (path,) = folder.glob(f"{variant}_*.json")
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


def rehash(entry, path):
    entry |= {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}


def test_both_engines_run_one_network_and_find_no_difference_to_itself(network, adb_bench):
    assert adb_bench("--artifacts", "artifacts/*.pte", "artifacts/*.tflite", "--budget", "2s") == 0
    with open_store("bench.sqlite") as store:
        ids = [c.campaign_id for c in store.campaigns()]
        engines = [c.arms[0].engine for c in store.campaigns()]
    assert engines == ["executorch", "litert"]
    for campaign_id in ids:
        result = stored(campaign_id)
        assert result.events[0].data["relative_linf"]["orig"] < 1e-4
        pairs = zip(result.heats, result.judged, strict=True)
        good = [heat for heat, judged in pairs if not is_disturbed(judged)]
        assert good
        for child in (child for heat in good for child in heat.children):
            assert child.load_ns
            assert child.first_inference_ns
            assert child.warmup_inferences >= 10


def test_a_delegate_that_is_not_there(tiny, adb_bench):
    (path,) = tiny.glob("orig_*.pte")
    path.write_bytes(path.read_bytes().replace(b"XnnpackBackend", b"XnnpackBackenx"))
    change_manifest(tiny, "orig", lambda plain: rehash(pte_of(plain), path))
    # Whether the file or the machine is to blame is the engine's to say.
    assert adb_bench("--artifacts", "artifacts/*.pte", "--budget", "5s") == 3
    assert "XnnpackBackenx is not registered" in adb_bench.error
    with open_store("bench.sqlite") as store:
        assert store.campaigns() == ()


def pte_of(plain):
    return next(a for a in plain["artifacts"] if a["format"] == "pte")


def test_outputs_that_are_not_the_expected_ones(tiny, adb_bench):
    (path,) = tiny.glob("orig_*_reference.npz")
    with np.load(path) as data:
        arrays = dict(data)
    arrays["output_0"] = arrays["output_0"].copy()
    arrays["output_0"].flat[7] += 0.01 * np.abs(arrays["output_0"]).max()
    np.savez(path, **arrays)
    change_manifest(tiny, "orig", lambda plain: rehash(plain["reference"], path))
    assert adb_bench("--artifacts", "artifacts/*.pte", "--budget", "5s") == 1
    assert "of its maximum away from what was expected" in adb_bench.error
    with open_store("bench.sqlite") as store:
        assert store.campaigns() == ()


def supervisor_of(pid):
    """Return the harness's first process, the parent of the one that runs the engine."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_harness_killed_from_outside_is_run_again(tiny, adb_bench, monkeypatch):
    quick_rules(monkeypatch, LASTING)
    device, victims, blocks = opening.DEVICES["host"](), [], []
    plain = device.harness.launch

    def launch(command, *, timeout_s, on_line, quiet_s=0.0):
        pids = []

        def heard(text):
            line = json.loads(text)
            pids.extend([line["pid"]] if line["type"] == "hello" else [])
            on_line(text)
            if line["type"] == "reading" and line["edge"] == "before":
                blocks.append(command)
                if len(blocks) == 2:
                    victims.append(supervisor_of(pids[0]))
                    os.kill(victims[0], signal.SIGKILL)

        return plain(command, timeout_s=timeout_s, on_line=heard)

    device._harness = dataclasses.replace(device.harness, launch=launch)
    monkeypatch.setattr(opening, "DEVICES", {"host": lambda: device})
    call = ("--artifacts", "artifacts/*.tflite", "--pairing", "blocks", "--budget", "2s")
    assert adb_bench(*call) == 0
    assert len(victims) == 1
    result = stored()
    killed = [block for block in result.blocks if Flag.HARNESS_KILLED in block.flags]
    assert len(killed) == 1
    assert any(b.index == killed[0].index and b.attempt > killed[0].attempt for b in result.blocks)
    assert result.complete


def test_a_host_killed_in_the_middle_goes_on_at_the_next_heat(tiny, adb_bench, start_bench):
    arguments = ("--artifacts", "artifacts/*.tflite", "--budget", "4s", "--half-width", "0.001%")
    bench = start_bench("harness", *arguments)
    wait_for(bench, "1 heats")
    bench.kill()
    bench.wait()
    with open_store("bench.sqlite") as store:
        before = store.heats(store.campaign("last").campaign_id)
    assert before
    assert not stored().complete
    assert adb_bench("--resume") == 0
    result = stored()
    assert result.heats[: len(before)] == before
    assert len(result.heats) > len(before)
    assert result.complete
    kinds = [e.kind for e in result.events if e.kind in ("started", "resumed", "stopped")]
    assert kinds == ["started", "resumed", "stopped"]
