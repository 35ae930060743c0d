"""Published results of others: read, kept, shown beside ours, and in no verdict."""

import json

import pytest

from android_bench.campaign.result import read_result
from android_bench.cli.main import main
from android_bench.records import ForeignResult
from android_bench.report.foreign import find_foreign
from android_bench.report.litert_leaderboard import read_leaderboard
from android_bench.report.page import report_page
from pfd_models.errors import InputError


def make_row(model, number=0, **changes):
    """A row as the leaderboard's file has it, with fields that are of no interest here."""
    name = model.rpartition("/")[2]
    row = {
        "row_id": f"{model}:{name}.tflite@2.2.0/android/phone-{number}/cpu",
        "model": model,
        "file": f"{name}.tflite",
        "task": "image-classification",
        "platform": "android",
        "device_id": f"phone-{number}",
        "device": "Some Phone",
        "os": "Android 15 (API 35)",
        "accelerator": "cpu",
        "delegate": "TfLiteXNNPackDelegate",
        "nodes_delegated": 1,
        "latency_ms": {"median": 7.5, "avg": 7.6, "p95": 8.25, "init": 30.0},
        "memory_mb": {"overall_footprint": 20.0},
        "runs": 50,
        "runtime": "litert",
        "runtime_version": "2.2.0",
        "status": "measured",
        "date": "2026-09-18",
    }
    return row | changes


@pytest.fixture
def board(tmp_path):
    def write(*rows):
        path = tmp_path / "board.json"
        text = {"generated_at": "2026-09-18T00:00:00Z", "row_count": len(rows), "rows": rows}
        path.write_text(json.dumps(text))
        return path

    return write


ROWS = (
    make_row("litert-community/shufflenet_v2"),
    make_row("litert-community/resnet50", delegate=None, os=None, runs=None),
)


def test_a_row_is_kept_with_what_it_does_not_say(board):
    first, second = read_leaderboard(board(*ROWS))
    assert first == ForeignResult(
        source="litert-leaderboard",
        row_id="litert-community/shufflenet_v2:shufflenet_v2.tflite@2.2.0/android/phone-0/cpu",
        measured_on="2026-09-18",
        model="litert-community/shufflenet_v2",
        file="shufflenet_v2.tflite",
        device="Some Phone",
        os="Android 15 (API 35)",
        accelerator="cpu",
        delegate="TfLiteXNNPackDelegate",
        median_ms=7.5,
        p95_ms=8.25,
        runs=50,
        runtime="litert 2.2.0",
        silent_about=("core", "threads", "clock", "temperature", "input size", "interval"),
    )
    assert (second.os, second.delegate, second.runs) == ("", "", None)


def test_rows_without_a_measured_latency_are_left_out(board):
    failed = make_row("a/b", 1, status="failed")
    tokens = make_row("a/c", 2, latency_ms=None)
    bare = {"row_id": "a/d", "status": "failed", "file": None, "accelerator": None}
    (only,) = read_leaderboard(board(ROWS[0], failed, tokens, bare))
    assert only.model == "litert-community/shufflenet_v2"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not valid JSON"),
        ("[1]", "cannot be read"),
        ('{"rows": [{"model": "x"}]}', "1 rows and none with a measured latency"),
        ('{"rows": [{"latency_ms": {"median": 1}}]}', "rows[0] lacks the field 'row_id'"),
        (json.dumps({"rows": [make_row("x", latency_ms={"median": "1"})]}), "rows[0] cannot"),
        ('{"rows": []}', "0 rows and none with a measured latency"),
        ('{"something": "else"}', "none with a measured latency"),
        (json.dumps({"rows": [make_row("x", latency_ms={"median": -1.0})]}), "above 0 ms"),
        (json.dumps({"rows": [ROWS[0], make_row("x", runs=0)]}), "rows[1]: ForeignResult.runs"),
    ],
)
def test_a_file_that_is_no_board_is_one_line(tmp_path, refusal, text, part):
    path = tmp_path / "board.json"
    path.write_text(text)
    refusal(InputError, lambda: read_leaderboard(path), part)


def test_a_file_that_is_not_there_is_one_line(tmp_path, refusal):
    refusal(InputError, lambda: read_leaderboard(tmp_path / "no.json"), "no such file")


def test_the_store_keeps_rows_once(any_store, board):
    rows = read_leaderboard(board(*ROWS))
    assert any_store.add_foreign(rows) == 2
    assert any_store.add_foreign(rows) == 0
    assert set(any_store.foreign()) == set(rows)


@pytest.fixture
def result(store, make):
    make.fill(store)
    return read_result(store, "last")


def test_rows_of_the_measured_network_stand_beside_ours(result, board):
    (row,) = find_foreign([result], read_leaderboard(board(*ROWS)))
    assert row.foreign.file == "shufflenet_v2.tflite"
    assert row.summary.label == "orig"  # the paper's variants are measured nowhere else


def test_the_page_shows_them_with_what_they_do_not_say(result, board):
    page = report_page([result], foreign=read_leaderboard(board(*ROWS)))
    assert page.count("data-foreign=") == 1
    section = page.partition('<section id="foreign">')[2].partition("</section>")[0]
    for part in ("7.500 ms", "Some Phone", "core, threads, clock", "in no verdict"):
        assert part in section
    assert "resnet50" not in page


def test_they_change_no_verdict(result, board):
    bare, beside = (
        report_page([result]),
        report_page([result], foreign=read_leaderboard(board(*ROWS))),
    )
    assert 'id="foreign"' not in bare
    cut = beside.partition('<section id="foreign">')
    assert bare == cut[0] + cut[2].partition("</section>")[2].lstrip("\n")


def test_names_from_outside_are_escaped(result, board):
    evil = make_row("litert-community/shufflenet_v2", device="<script>alert(1)</script>\u202e")
    page = report_page([result], foreign=read_leaderboard(board(evil)))
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_the_command_imports_and_the_report_shows(store, make, board, tmp_path, capsys):
    make.fill(store)
    assert main(["import", "--litert-leaderboard", str(board(*ROWS)), "--store", store.name]) == 0
    assert "2 rows, 2 of them new" in capsys.readouterr().out
    page = tmp_path / "report.html"
    assert main(["report", "last", "-o", str(page), "--store", store.name]) == 0
    assert "data-foreign=" in page.read_text()
