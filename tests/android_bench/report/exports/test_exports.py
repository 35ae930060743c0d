"""Which formats there are, where files go, and what the command says."""

import json

import pytest

from android_bench.cli.main import main
from android_bench.report.exports import get_format, guess_format, list_formats
from pfd_models.errors import InputError, OutputError, SpecError


@pytest.fixture
def url(store, make):
    make.fill(store)
    return store.name


def test_every_file_of_the_folder_is_a_format():
    assert list_formats() == (
        "androidx", "benchmark-result-pb", "bmf", "csv", "github-action-benchmark",
        "model-explorer", "parquet", "perfetto",
    )  # fmt: skip
    assert len({get_format(name).ENDING for name in list_formats()}) == len(list_formats())


def test_an_unknown_format_names_the_nearest(refusal):
    refusal(SpecError, lambda: get_format("perfeto"), "did you mean 'perfetto'", "bmf")


def test_a_files_ending_says_csv_and_parquet_only(tmp_path, refusal):
    assert guess_format(tmp_path / "x.csv") == "csv"
    assert guess_format(tmp_path / "x.parquet") == "parquet"
    refusal(InputError, lambda: guess_format(tmp_path / "x.json"), "--format", "x.json", "bmf")
    refusal(InputError, lambda: guess_format(None), "--format")


def test_the_command_writes_where_it_is_told_and_says_where(url, tmp_path, capsys):
    target = tmp_path / "deep" / "results.json"
    assert main(["export", "last", "--format", "bmf", "--store", url, "-o", str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert "latency-ratio" in target.read_text()


def test_without_a_place_the_file_is_called_after_the_campaign(
    url, tmp_path, monkeypatch, make, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "last", "--format", "androidx", "--store", url]) == 0
    (written,) = tmp_path.glob("*.json")
    assert written.name == make.campaign().campaign_id + "-benchmarkData.json"
    assert json.loads(written.read_text())["benchmarks"]


def test_a_file_a_variant_bears_its_name(url, tmp_path, capsys):
    command = ["export", "last", "--format", "benchmark-result-pb", "--store", url]
    assert main([*command, "-o", str(tmp_path / "results.pb")]) == 0
    assert sorted(p.name for p in tmp_path.glob("*.pb")) == ["results-orig.pb", "results-ours.pb"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nothing", "--format", "bmf"], "no campaign 'nothing'"),
        (["last", "--format", "bfm"], "did you mean 'bmf'"),
        (["last"], "--format"),
        (["last", "-o", "x.xls"], "cannot tell the format of x.xls"),
    ],
)
def test_what_cannot_be_exported_is_one_line(url, arguments, part, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["export", *arguments, "--store", url]) == 2
    line = capsys.readouterr().err
    assert part in line
    assert line.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_place_that_cannot_be_written_is_one_line(blocks_result, tmp_path, refusal):
    from android_bench.report.exports import export_campaigns

    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "x.csv"
    action = lambda: export_campaigns([blocks_result], "csv", target)  # noqa: E731
    refusal(OutputError, action, str(target))
