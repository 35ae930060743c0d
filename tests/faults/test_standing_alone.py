"""What fails leaves the rest as it is, and what is finished is told all the same."""

import json
from pathlib import Path

import pytest
from bench_rig import stored

from android_bench.campaign import series
from android_bench.cli.progress import Display
from android_bench.errors import ConnectionLostError
from android_bench.store import open_store
from export.sets.files import sha256_file
from pfd_models.errors import DeviceError

BOTH = ("--artifacts", "artifacts/*", "--budget", "60s")
SLOW = ("--fail-if-slower", "1%")


@pytest.fixture
def host(standin_host):
    """Two runtimes, in which ``ours`` is slower."""
    standin_host.make_set("orig", latency_ns=1_000_000)
    standin_host.make_set("ours", latency_ns=1_100_000)
    return standin_host


def change_file(host, suffix, **how):
    """Have the stand-in misbehave with the file of ``ours`` for one runtime."""
    (path,) = host.artifacts.glob(f"*ours*{suffix}")
    path.write_text(json.dumps({**json.loads(path.read_text()), **how}))
    (manifest,) = host.artifacts.glob("*ours*.json")
    plain = json.loads(manifest.read_text())
    for artifact in plain["artifacts"]:
        if artifact["file"] == path.name:
            artifact |= {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
    manifest.write_text(json.dumps(plain))


def read_json(name):
    return json.loads(Path(name).read_text())["campaigns"]


def kinds(result):
    return [event.kind for event in result.events]


@pytest.mark.parametrize("stage", ["verify", "heat"])
def test_an_engine_that_crashes_on_one_file_does_not_end_the_call(host, adb_bench, stage):
    change_file(host, ".pte", **{stage: {"*": "crash"}})
    assert adb_bench(*BOTH, "--json", "r.json", *SLOW) == 3
    (crash,) = [line for line in adb_bench.err.splitlines() if "executorch: executorch" in line]
    assert crash.startswith("error: ")
    assert "ours is slower than orig" in adb_bench.out
    assert "ours is slower than orig by more than 1.00%" in adb_bench.err
    (told,) = read_json("r.json")
    assert told["campaign"]["arms"][0]["engine"] == "litert"


@pytest.mark.parametrize("name", ["memory", "profile"])
def test_a_pass_that_crashes_loses_nothing_of_its_campaign(host, adb_bench, name):
    change_file(host, ".pte", **{name: {"*": "crash"}})
    call = ("--artifacts", "artifacts/*.pte", "--budget", "60s", "--memory", "--profile")
    assert adb_bench(*call, "--json", "r.json", *SLOW) == 3
    assert "ours is slower than orig: latency +" in adb_bench.out
    assert "ours is slower than orig by more than 1.00%" in adb_bench.err
    assert f"error: {name} of ours, toynet" in adb_bench.err
    (told,) = read_json("r.json")
    labels = {kind: [record["label"] for record in told[kind]] for kind in ("memory", "profiles")}
    other = {"memory": "profiles", "profile": "memory"}[name]
    assert labels[other] == ["orig", "ours"]
    assert [labels[key] for key in labels if key != other] == [["orig"]]
    assert kinds(stored())[-2:] == ["stopped", "pass_failed"]
    assert stored().complete


def test_a_pass_that_failed_is_run_again_and_the_others_are_not(host, adb_bench):
    change_file(host, ".pte", memory={"1": "crash"})
    call = ("--artifacts", "artifacts/*.pte", "--budget", "60s", "--memory")
    assert adb_bench(*call) == 3
    assert [record.label for record in stored().memory] == ["orig"]
    assert adb_bench(*call, "--resume") == 0
    assert [record.label for record in stored().memory] == ["orig", "ours"]
    with open_store("bench.sqlite") as store:
        assert len(store.campaigns()) == 1


def test_a_device_that_is_gone_ends_the_call_and_what_was_not_begun_is_told(
    host, adb_bench, monkeypatch
):
    real, calls = series.run_campaign, []

    def run_campaign(bench, contest, rules):
        calls.append(contest.engine)
        if len(calls) == 2:
            raise ConnectionLostError("it was gone for 600 s: connect it")
        return real(bench, contest, rules)

    monkeypatch.setattr(series, "run_campaign", run_campaign)
    assert adb_bench(*BOTH, "--threads", "1,2", "--cores", "any") == 3
    assert calls == ["executorch", "litert"]
    assert "2 more not begun; the same command with --resume goes on" in adb_bench.err
    assert "with executorch, 1 thread: ours is slower than orig" in adb_bench.out


def test_a_place_for_json_that_cannot_be_written_loses_neither_tables_nor_gate(host, adb_bench):
    Path("taken").touch()
    call = ("--artifacts", "artifacts/*.pte", "--budget", "60s", "--json", "taken/r.json")
    assert adb_bench(*call, *SLOW) == 2
    assert "ours is slower than orig: latency +" in adb_bench.out
    assert "ours is slower than orig by more than" in adb_bench.err
    assert "taken" in adb_bench.err


def test_a_fault_of_ours_comes_after_what_is_finished(host, adb_bench, monkeypatch, capsys):
    real, calls = series.run_campaign, []

    def run_campaign(bench, contest, rules):
        calls.append(contest)
        if len(calls) == 2:
            raise ZeroDivisionError("nobody thought of this")
        return real(bench, contest, rules)

    monkeypatch.setattr(series, "run_campaign", run_campaign)
    with pytest.raises(ZeroDivisionError):
        adb_bench(*BOTH)
    assert "with executorch, 1 thread: ours is slower than orig" in capsys.readouterr().out


def test_a_campaign_that_cannot_go_on_says_so_on_record(host, adb_bench, monkeypatch):
    real = Display.block

    def stop(display, *facts):
        raise KeyboardInterrupt

    monkeypatch.setattr(Display, "block", stop)
    call = ("--artifacts", "artifacts/*.pte", "--budget", "60s")
    assert adb_bench(*call) == 130
    monkeypatch.setattr(Display, "block", real)
    assert kinds(stored())[-1] == "interrupted"

    def gone(harness, job):
        raise DeviceError("the engine is gone")

    monkeypatch.setattr("android_bench.campaign.campaign.verify", gone)
    for again in (("--resume",), ("--resume", "last"), (*call, "--resume")):
        assert adb_bench(*again) == 3
        assert "the engine is gone" in adb_bench.error
    assert kinds(stored()) == ["started", "pace_chosen", "interrupted", *["failed"] * 3]
    assert len(stored().heats) == 1


def test_one_handicap_that_cannot_be_measured_leaves_the_others(host, adb_bench, monkeypatch):
    real = series.run_campaign

    def run_campaign(bench, contest, rules):
        if "2.000%" in contest.name:
            raise DeviceError("3 rounds in a row were disturbed")
        return real(bench, contest, rules)

    monkeypatch.setattr(series, "run_campaign", run_campaign)
    call = ("qualify", "--artifacts", "artifacts/*ours*.pte", "--handicaps", "0,2%,5%", "--seed", 5)
    assert adb_bench(*call, "--json", "q.json") == 3
    assert "2 of 2 intervals hold the true ratio" in adb_bench.out
    assert "this device resolves 5.00% and more" in adb_bench.out
    monkeypatch.setattr(series, "run_campaign", real)
    assert adb_bench(*call, "--resume") == 0
    assert "3 of 3 intervals hold the true ratio" in adb_bench.out
    with open_store("bench.sqlite") as store:
        assert len(store.campaigns()) == 3
