"""The paper's tables as a command: measured beside printed, and why a row differs."""

import dataclasses
import json
import subprocess
import sys

import pytest

from pfd_models import DATASETS, list_models, list_variants
from pfd_models.paper.published import load_published_rows
from pfd_models.paper.stated import measure_stated_rows
from pfd_models.paper.tables import measure_rows
from pfd_models.tables import main
from pfd_models.zoo import registry

ROWS = load_published_rows()


@pytest.fixture(scope="module")
def rows():
    return list(measure_rows())


@pytest.fixture(scope="module")
def golden(repository):
    return json.loads((repository / "pfd_models" / "paper" / "golden.json").read_text())


def test_every_row_names_a_network_of_the_zoo():
    assert {row.model for row in ROWS} <= set(list_models())
    assert {row.variant for row in ROWS} == set(list_variants())
    assert {row.dataset for row in ROWS if row.counter} == set(DATASETS)


def test_every_measured_row_is_exact(rows):
    assert [r.published for r in rows if not r.is_exact] == []
    assert len(rows) == sum(bool(row.counter) for row in ROWS) == 66


def test_verdicts_are_those_that_were_established(rows, golden):
    wrong = []
    for row, plain in zip(rows, (p for p in golden if p["counter"]), strict=True):
        want = {True: "yes", False: "last digit", None: "-"}[plain.get("reproduced")]
        if row.verdict != want:
            wrong.append((row.published, row.verdict, want))
    assert wrong == []
    assert [r.verdict for r in rows].count("last digit") == 6


def test_rows_that_do_not_reproduce_say_why(rows):
    reasons = {
        (r.published.table, r.published.variant): r.differences for r in rows if r.differences
    }
    assert reasons == {
        ("CIFAR-100 set 1", "orig"): (
            "params 3,066,512 rounds to 3.067M, printed 3.066M (truncated)",
        ),
        ("Stanford Dogs", "ours"): (
            "params 3,086,452 rounds to 3.086M, printed 3.087M (+1 in the last digit)",
        ),
        ("ImageNet", "ours"): ("MACs 214,950,772 rounds to 215.0M, printed 214.9M (truncated)",),
        ("VegFru-292", "ours"): (
            "MACs 130,639,760 rounds to 130.6M, printed 130.7M (+1 in the last digit)",
        ),
    }


def test_rows_whose_printed_count_misses_parameters_say_so(rows):
    missed = {
        (r.published.model, r.published.variant): r.remarks
        for r in rows
        if r.published.table in ("CIFAR-100 set 2", "EfficientFormerv2-Downsampling") and r.remarks
    }
    assert missed["parc_mobilenetv2", "orig"][0].startswith("the paper's counter misses 11,520 pa")
    assert missed["shufflenetv2", "efv2"][0].startswith("the paper's counter misses 512 para")
    assert missed["ghostnet", "ours"] == (
        "the reference also registers 32 parameters that it never calls",
    )
    assert ("shufflenetv2", "ours") not in missed


@pytest.mark.parametrize("field", ["params", "params_counted", "macs"])
def test_a_network_that_is_not_the_references_is_noticed(rows, field):
    row = rows[2]
    other = dataclasses.replace(row.published, **{field: getattr(row.published, field) + 1})
    wrong = dataclasses.replace(row, published=other)
    assert row.verdict == "yes"
    assert wrong.verdict == "no"
    assert "the network is not the reference's" in wrong.differences


def test_the_command_prints_every_table(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(row.table in text for row in ROWS)
    assert "top-1 % (paper's)" in text
    assert "the paper's figures, not measured here" in text
    assert "no latency script in the reference repo" in text
    line = next(li for li in text.splitlines() if "shufflenetv2 cifar100" in li and "ours" in li)
    assert line.split() == [
        *("ShuffleNet-v2", "ours", "shufflenetv2", "cifar100", "1,357,568", "1,357,568"),
        *("1.358M", "35,664,584", "35.7M", "71.50", "yes"),
    ]


def test_markdown_tables_are_rectangular(capsys):
    assert main(["--markdown"]) == 0
    lines = [*capsys.readouterr().out.splitlines(), ""]
    tables = [i for i, line in enumerate(lines) if line.startswith("### ")]
    assert len(tables) == len({row.table for row in ROWS}) + 1
    for start in tables:
        body = lines[start + 2 : lines.index("", start + 2)]
        assert len(body) > 2
        assert len({line.count("|") for line in body}) == 1
        assert set(body[1]) == {"|", "-", " "}


def test_json_has_one_object_a_row(capsys):
    assert main(["--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    published = [row for row in plain if "printed_in_paper" in row]
    assert len(published) == len(ROWS)
    latency = [row for row in published if row["printed_in_paper"]["latency"]]
    assert len(latency) == 8
    assert all("params" not in row for row in latency)
    assert plain[2]["params"] == 278_330
    assert plain[2]["reproduced"] == "yes"


def test_what_families_state_stands_behind_the_papers_tables(capsys):
    stated = list(measure_stated_rows())
    assert len(stated) >= 5
    assert all(row.is_exact for row in stated)
    assert main([]) == 0
    last = capsys.readouterr().out.split("Beside the paper")[1].splitlines()
    line = next(li for li in last if "shufflenetv2 imagenet" in li)
    assert line.split()[2:4] == ["orig", "2,278,604"]
    assert line.endswith("yes         torchvision, shufflenet_v2")
    assert main(["--json"]) == 0
    plain = json.loads(capsys.readouterr().out)[-1]
    assert (plain["params"], plain["is_exact"]) == (plain["stated"]["params"], True)


def test_a_family_that_states_a_wrong_count_fails_the_command(capsys, monkeypatch):
    entry = registry.load_families()["shufflenetv2"]
    (key, figures), *_ = entry.figures.items()
    wrong = {key: dataclasses.replace(figures, params=figures.params + 1)}
    monkeypatch.setitem(
        registry._ARCHITECTURES, "shufflenetv2", dataclasses.replace(entry, figures=wrong)
    )
    assert main([]) == 1
    assert "its family states Figures(params=" in capsys.readouterr().err


def test_it_is_a_program(repository):
    done = subprocess.run(
        [sys.executable, "-m", "pfd_models.tables", "--help"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "measured beside printed" in done.stdout
