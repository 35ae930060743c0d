"""The commands of docs/result-formats.md, as they stand there."""

import dataclasses
import hashlib
import json
import re
import shlex

import pytest
from tflite_files import make_file

from android_bench.cli.main import main
from android_bench.records import OperatorTime, Role
from android_bench.report.exports import list_formats
from android_bench.report.exports._samples import COLUMNS
from android_bench.store import open_store

STEPS = ("Convolution (NHWC, F32) IGEMM", "Clamp (NC, F32)")


@pytest.fixture
def page(repository):
    return (repository / "docs" / "result-formats.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch, make):
    """A folder with what the page's commands need: a profiled campaign of .tflite files."""
    monkeypatch.chdir(tmp_path)
    files, arms, manifests = [], [], {}
    for variant, kinds in (("orig", ("PAD", "CONV_2D", "RELU6")), ("ours", ("CONV_2D", "RELU6"))):
        data = make_file(*kinds)
        sha256 = hashlib.sha256(data).hexdigest()
        (tmp_path / f"{variant}.tflite").write_bytes(data)
        files.append(
            make.artifact(variant, sha256=sha256, file=f"{variant}.tflite", format="tflite")
        )
        manifests[sha256] = str(tmp_path / f"{variant}.json")
        labels = ("orig", "orig (A/A)") if variant == "orig" else ("ours",)
        arms += [make.arm(label, artifact_sha256=sha256, engine="litert") for label in labels]
    assert arms[1].role is Role.CONTROL
    with open_store("bench.sqlite") as store:
        campaign = make.campaign(arms=tuple(arms), manifests=manifests)
        store.add_campaign(campaign, make.device(), files)
        sha256_of = {arm.label: arm.artifact_sha256 for arm in arms}
        for block in make.measured_blocks(rounds=12):
            mine = dataclasses.replace(
                block, artifact_sha256=sha256_of[block.label], engine="litert"
            )
            store.add_block(mine)
        times = tuple(OperatorTime(name=name, samples_ns=(1000,)) for name in STEPS)
        for label in ("orig", "ours"):
            store.add_profile(make.profile(label, operators=times))
    (tmp_path / "board.json").write_text(
        json.dumps(
            {
                "rows": [
                    {
                        "row_id": "1", "model": "shufflenetv2", "file": "x.tflite",
                        "device": "d", "accelerator": "cpu", "date": "2026-09-18",
                        "latency_ms": {"median": 1.0},
                    }
                ]
            }
        )
    )  # fmt: skip
    return tmp_path


def commands(page):
    blocks = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.strip()]


def test_every_command_of_the_page_works(page, folder, capsys):
    found = commands(page)
    assert {c[1] for c in found} == {"export", "run", "import", "report"}
    for program, *arguments in found:
        assert program == "pfd-bench"
        if arguments[0] != "run":  # measures: what it stores is made above
            assert main(arguments) == 0, arguments
    names = {path.name for path in folder.iterdir()}
    assert {"campaign.perfetto-trace", "shufflenetv2-orig.json", "report.html"} <= names
    assert "data-foreign" in (folder / "report.html").read_text()


def test_the_page_names_every_format_and_column(page):
    table = page.partition("| `--format` |")[2].partition("\n\n")[0]
    named = set(
        re.findall(r"`([a-z-]+)`", "\n".join(r.split("|")[1] for r in table.splitlines()[2:]))
    )
    assert named == set(list_formats())
    for column in COLUMNS:
        assert f"`{column}`" in page
