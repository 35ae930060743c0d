"""Rows of an ablation table: same seeds, mean and interval, row by row, beside the paper's."""

import json
import os
import shutil
import signal
import statistics

import pytest

from pfd_models.ablation import main
from pfd_models.training.ablation import Row, find_printed_accuracies, rows_of
from pfd_models.training.display import Display
from pfd_models.training.folder import RunFolder


@pytest.fixture
def command(folders, tmp_path):
    return [
        "--model", "resnet20", "--variants", "orig,ours", "--dataset", "imagefolder",
        "--data-root", str(folders), "--shape", "cifar100", "--resolution", "24", "--seeds", "0,1",
        "--batch-size", "6", "--epochs", "1", "--workers", "0", "--gpu-id", "-1",
        "--out", str(tmp_path / "table"),
    ]  # fmt: skip


def test_rows_are_trained_with_the_same_seeds_and_a_second_call_trains_nothing(
    command, tmp_path, capsys
):
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["variant"] for row in rows] == ["orig", "ours"]
    table = tmp_path / "table"
    assert sorted(p.name for p in table.iterdir()) == [
        "orig_seed0", "orig_seed1", "ours_seed0", "ours_seed1",
    ]  # fmt: skip
    for row in rows:
        best = [
            json.loads((table / f"{row['variant']}_seed{s}" / "result.json").read_text())["best"]
            for s in (0, 1)
        ]
        assert row["top1"] == [b["top1"] for b in best]
        assert row["mean"] == pytest.approx(statistics.fmean(row["top1"]))
    before = {p: p.stat().st_mtime_ns for p in table.rglob("*") if p.is_file()}
    assert main(command) == 0
    assert {p: p.stat().st_mtime_ns for p in table.rglob("*") if p.is_file()} == before
    told = capsys.readouterr()
    assert "epoch" not in told.err
    shutil.rmtree(table / "ours_seed1")  # one row is missing: it alone is trained
    assert main(command) == 0
    assert capsys.readouterr().err.count("epoch 1/1") == 1


def test_an_interrupted_table_goes_on_where_it_was(command, tmp_path, capsys, monkeypatch):
    real = Display.epoch

    def interrupt(self, record, epochs):
        real(self, record, epochs)
        if (tmp_path / "table" / "ours_seed0").exists() and record.epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Display, "epoch", interrupt)
    command[command.index("--epochs") + 1] = "2"
    assert main(command) == 128 + signal.SIGTERM
    told = capsys.readouterr().out
    assert "interrupted after 1 of 4 runs: the same command goes on" in told
    assert "orig" in told
    monkeypatch.setattr(Display, "epoch", real)
    assert main(command) == 0
    told = capsys.readouterr()
    assert "epoch 1/2" in told.err
    folder = RunFolder(path=tmp_path / "table" / "ours_seed0")
    assert len(folder.log.read_text().splitlines()) == 3


def test_a_table_asked_for_with_other_values_is_refused_by_field(command, capsys):
    assert main(command) == 0
    capsys.readouterr()
    assert main([*command, "--lr", "0.2"]) == 2
    told = capsys.readouterr().err
    assert "recipe.learning_rate 0.1, not 0.2" in told


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        (["--seeds", "0,0"], "seeds '0,0' must be different"),
        (["--seeds", "a"], "seeds 'a' are no numbers"),
        (["--variants", ","], "no variants in ','"),
        (["--variants", "orig,our"], "unknown variant 'our'"),
        (["--variants", "orig,efv2"], "resnet20 has no variant 'efv2'"),
    ],
)
def test_bad_input_is_one_line(command, capsys, tmp_path, extra, match):
    assert main([*command, *extra]) == 2
    told = capsys.readouterr().err
    assert match in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "table").exists()


def test_the_papers_figures_stand_beside():
    ablation = "Ablation CIFAR-100"
    assert find_printed_accuracies("shufflenetv2", "stem", "cifar100") == ((ablation, 72.0),)
    # The paper prints two figures for this one; both are shown.
    assert dict(find_printed_accuracies("ghostnet", "orig", "cifar100")) == {
        ablation: 76.0,
        "CIFAR-100 set 2": 74.0,
    }
    assert dict(find_printed_accuracies("shufflenetv2", "efv2", "cifar100")) == {
        "EfficientFormerv2-Downsampling": 70.6
    }
    assert find_printed_accuracies("shufflenetv2", "orig", "digits") == ()


def test_the_interval_is_students():
    row = Row(variant="ours", top1=(71.0, 72.0, 73.0), last_top1=(70.0, 71.0, 72.0), printed=())
    assert row.mean == 72.0
    assert row.half_width == pytest.approx(4.302652729911275 / 3**0.5)  # t(0.975, 2), deviation 1
    alone = Row(variant="ours", top1=(71.0,), last_top1=(70.0,), printed=())
    assert alone.half_width is None
    assert rows_of([], "ghostnet", "cifar100") == []
