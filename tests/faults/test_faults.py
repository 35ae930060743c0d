"""Each fault ends in one line and the right status, and nothing wrong is recorded."""

import json
import socket
import subprocess

import numpy as np
import pytest
from bench_rig import stored
from sqlalchemy import event, text

from android_bench.devices import opening
from android_bench.devices.host import HostDevice
from android_bench.harness import client as harness
from android_bench.records import Flag
from android_bench.statistics.design import is_disturbed
from android_bench.store import device_lock, open_store
from export.sets.files import sha256_file
from export.sets.manifest import load_manifest

PTE = ("--artifacts", "artifacts/*.pte", "--pairing", "blocks", "--budget", "20s")


@pytest.fixture
def host(standin_host):
    standin_host.make_set("orig", suffixes=(".pte",))
    return standin_host


def nothing_is_recorded():
    with open_store("bench.sqlite") as store:
        return store.campaigns() == ()


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# -- files -------------------------------------------------------------------------------------


def test_a_corrupt_artifact(host, adb_bench):
    path = host.files()[0].path
    flip_a_byte(path)
    assert adb_bench(*PTE) == 1
    assert path.name in adb_bench.error
    assert "SHA-256" in adb_bench.error
    assert nothing_is_recorded()


def test_corrupt_reference_data(host, adb_bench):
    (reference,) = host.artifacts.glob("*_reference.npz")
    flip_a_byte(reference)
    assert adb_bench(*PTE) == 1
    assert reference.name in adb_bench.error
    assert nothing_is_recorded()


def test_reference_data_of_another_shape(host, adb_bench):
    manifest = load_manifest(next(host.artifacts.glob("*.json")))
    reference = host.artifacts / manifest.reference.file
    np.savez(
        reference, input_0=np.zeros((2, 1, 3, 8, 8), np.float32), output_0=np.zeros((2, 1, 10))
    )
    plain = json.loads((host.artifacts / f"{manifest.stem}.json").read_text())
    plain["reference"] |= {"sha256": sha256_file(reference), "size_bytes": reference.stat().st_size}
    (host.artifacts / f"{manifest.stem}.json").write_text(json.dumps(plain))
    assert adb_bench(*PTE) == 2
    assert "'image' has shape (2, 1, 3, 8, 8) and the file wants (2, 1, 3, 4, 4)" in adb_bench.error
    assert nothing_is_recorded()


def test_an_artifact_of_another_executorch(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), versions={"executorch": "1.4.1"})
    assert adb_bench(*PTE) == 2
    assert "was made for executorch 1.4.1 and the harness has 1.5.1" in adb_bench.error
    assert nothing_is_recorded()


def test_a_local_build_of_the_same_executorch_is_accepted(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), versions={"executorch": "1.5.1+cu130"})
    assert adb_bench(*PTE[:4], "--budget", "1s") == 0


def test_a_missing_delegate(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), verify={"*": "no_backend"})
    assert adb_bench(*PTE) == 3
    assert "backend XnnpackBackend is not available" in adb_bench.error
    assert nothing_is_recorded()


def test_a_file_the_engine_refuses(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), verify={"*": "refuse"})
    assert adb_bench(*PTE) == 2
    assert "the file is damaged" in adb_bench.error
    assert nothing_is_recorded()


def test_a_file_the_engine_dies_of(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), verify={"*": "crash"})
    assert adb_bench(*PTE) == 3
    assert "signal 11" in adb_bench.error
    assert nothing_is_recorded()


def test_a_numerics_mismatch_before(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), verify={"*": "mismatch"})
    assert adb_bench(*PTE) == 1
    assert "nothing was recorded" in adb_bench.error
    assert nothing_is_recorded()


def test_a_numerics_mismatch_in_a_block_ends_the_campaign(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), time={"4": "mismatch"})
    assert adb_bench(*PTE) == 1
    result = stored()
    assert len(result.blocks) == 3
    assert result.events[-1].kind == "failed"
    assert not result.complete


HOSTILE = [
    "-rf.pte",
    "a b;$(reboot).pte",
    "\x1b[31mred\u202egnp.pte",
    "new\nline.pte",
    "ü\u200b.pte",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_names_are_only_names(standin_host, adb_bench, name):
    standin_host.make_set("orig", suffixes=(".pte",), file=name)
    assert adb_bench("--artifacts", "artifacts/*.pte", "--budget", "1s") == 0
    assert adb_bench("show", "last") == 0
    for sign in ("\x1b", "\u202e", "\u200b"):
        assert sign not in adb_bench.out + adb_bench.err
    assert adb_bench("report", "last", "-o", "page.html") == 0
    with open_store("bench.sqlite") as store:
        (artifact,) = store.artifacts(store.campaign("last").campaign_id).values()
    assert artifact.file == name
    flip_a_byte(standin_host.artifacts / name)
    assert adb_bench("--artifacts", "artifacts/*.pte") == 1
    assert "SHA-256" in adb_bench.error


def test_a_file_name_that_is_no_text_is_refused(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), file="bad\udcff.pte")
    assert adb_bench("--artifacts", "artifacts/*.pte", "--budget", "1s") == 2
    assert "not valid JSON" in adb_bench.error
    assert nothing_is_recorded()


def test_a_manifest_that_points_elsewhere(host, adb_bench):
    path = next(host.artifacts.glob("*.json"))
    plain = json.loads(path.read_text())
    plain["artifacts"][0]["file"] = "../../secret.pte"
    path.write_text(json.dumps(plain))
    assert adb_bench(*PTE) == 2
    assert "does not lie beside it" in adb_bench.error
    assert nothing_is_recorded()


# -- the harness -------------------------------------------------------------------------------


def test_output_that_is_not_json(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), time={"4": "garbage"})
    assert adb_bench(*PTE) == 3
    assert "no line of its protocol" in adb_bench.error
    result = stored()
    assert len(result.blocks) == 3
    assert [e.kind for e in result.events] == ["started", "failed"]


def test_a_harness_that_was_killed_is_run_again(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), time={"3": "die"})
    assert adb_bench(*PTE) == 0
    result = stored()
    (bad,) = [block for block in result.blocks if is_disturbed(block)]
    assert bad.flags == {Flag.HARNESS_KILLED, Flag.PARTIAL}
    again = next(b for b in result.blocks if b.index == bad.index and b.attempt == 1)
    assert not again.flags
    assert result.summaries[0].n_disturbed == 1


def test_a_harness_that_hangs_is_ended(rig, monkeypatch):
    from dataclasses import replace

    from android_bench.campaign.campaign import run_campaign

    assert rig.device  # asked with patience
    monkeypatch.setattr(harness, "PATIENCE_S", 0.0)
    rig.make_set("orig", suffixes=(".pte",), time={"2": "hang"})
    rules = replace(rig.rules, schedule=replace(rig.rules.schedule, timeout_seconds=1.5))
    with rig.bench() as bench:
        result = run_campaign(bench, rig.contest(), rules)
    (bad,) = [block for block in result.blocks if is_disturbed(block)]
    assert Flag.HARNESS_KILLED in bad.flags
    assert result.complete


def test_a_harness_that_is_not_there(standin_host, adb_bench, monkeypatch):
    from android_bench.harness.client import describe

    standin_host.make_set("orig", suffixes=(".pte",))
    gone = lambda: HostDevice(describe(["/nowhere/pfd_bench"]))  # noqa: E731
    monkeypatch.setattr(opening, "DEVICES", {"host": gone})
    assert adb_bench(*PTE) == 3
    assert "cannot run /nowhere/pfd_bench" in adb_bench.error


# -- the device and the store ------------------------------------------------------------------


def test_a_second_bench_on_the_same_device(host, adb_bench, tmp_path):
    serial = host.device.record.serial
    with (
        open_store("other.sqlite") as store,
        device_lock(store, serial, folder=tmp_path / "locks"),
    ):
        assert adb_bench(*PTE) == 3
        assert serial in adb_bench.error
        assert "in use by another bench" in adb_bench.error
    assert nothing_is_recorded()
    assert adb_bench(*PTE) == 0


def test_a_store_of_a_newer_version(host, adb_bench):
    with open_store("bench.sqlite") as store, store.writing() as connection:
        connection.execute(text("UPDATE schema_version SET version = 99"))
    assert adb_bench(*PTE) == 2
    assert "schema 99" in adb_bench.error
    assert adb_bench("list") == 2
    assert "schema 99" in adb_bench.error
    assert not (host.folder / "calls").exists()


def test_an_unreachable_postgresql(host, adb_bench):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"postgresql://bench:secret@127.0.0.1:{port}/bench"
    assert adb_bench(*PTE, "--store", url) == 3
    assert "cannot be reached" in adb_bench.error
    assert "secret" not in adb_bench.err
    assert not (host.folder / "calls").exists()


def test_a_disk_that_gets_full(host, adb_bench, monkeypatch):
    """The store may not grow after its third block: the campaign ends, what is there is whole."""
    from android_bench.store.archive import Store

    real = Store.add_block

    def add_block(store, block):
        if block.index == 3:
            with store.writing() as connection:
                pages = connection.execute(text("PRAGMA page_count")).scalar_one()
                connection.execute(text(f"PRAGMA max_page_count = {pages}"))
            store._engine.dispose()
            limit = f"PRAGMA max_page_count = {pages}"
            event.listen(store._engine, "connect", lambda c, _: c.execute(limit))
        real(store, block)

    monkeypatch.setattr(Store, "add_block", add_block)
    assert adb_bench(*PTE[:4], "--budget", "4s", "--half-width", "0.001%") == 2
    assert "the disk is full; make room, then resume" in adb_bench.error
    monkeypatch.setattr(Store, "add_block", real)
    with open_store("bench.sqlite") as store:
        before = store.blocks(store.campaign("last").campaign_id)
    assert 3 <= len(before) < 60
    assert adb_bench("--resume") == 0
    result = stored()
    assert result.blocks[: len(before)] == before
    assert result.complete


def test_a_page_that_cannot_be_written(host, adb_bench, tmp_path):
    adb_bench(*PTE)
    (tmp_path / "taken").write_text("a file where a folder should be")
    for arguments in (
        ("report", "last", "-o", "taken/page.html"),
        ("show", "last", "--json", "taken/x.json"),
        ("export", "last", "-o", "taken/x.csv"),
    ):
        assert adb_bench(*arguments) == 2
        assert "taken" in adb_bench.error


def test_a_store_on_a_full_file_system(host, adb_bench, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        url = str(place / "bench.sqlite")
        assert adb_bench(*PTE, "--half-width", "0.001%", "--store", url) == 2
        assert "full; make room" in adb_bench.error
        result = stored(url=url)
        assert not result.complete
        assert len(result.blocks) > 0
    finally:
        subprocess.run(["umount", str(place)], check=True)
