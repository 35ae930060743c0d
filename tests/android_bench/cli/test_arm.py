"""The command `pfd-arm`, with counts that are made up."""

import json
from pathlib import Path

import pytest
from scripts import load_script

from android_bench.cli.arm import files
from android_bench.records import Counts
from android_bench.store import open_store
from export.sets.files import sha256_file

ENGINES = {".pte": "executorch", ".tflite": "litert"}


@pytest.fixture
def arm(repository, monkeypatch, tmp_path, make):
    """The command in an empty folder; `instructions` says what is counted of a variant."""
    instructions = {"orig": (600, 400), "ours": (580, 300)}

    def count_file(path, core, *, with_operators=True, use_cache=True):
        variant = "ours" if "ours" in path.name else "orig"
        work = instructions[variant]
        operators = make.operator_counts(*work) if with_operators else ()
        return make.arm_count(
            artifact_sha256=sha256_file(path),
            engine=ENGINES[path.suffix],
            core=core.name,
            counts=Counts(mac_fp32=sum(work), macs_fp32=4 * sum(work), integer=10),
            operators=operators,
        )

    monkeypatch.setattr(files, "count_file", count_file)
    monkeypatch.chdir(tmp_path)
    script = load_script(repository / "tools/arm_cost.py")
    script.instructions = instructions
    return script


@pytest.fixture
def two(tmp_path):
    """Two files without manifests."""
    names = ("net_orig.pte", "net_ours.pte")
    for name in names:
        (tmp_path / name).write_text(name)
    return names


def test_files_are_counted_and_their_ratio_is_printed(arm, two, capsys):
    assert arm.main(["--artifacts", *two, "--json", "c.json"]) == 0
    said = capsys.readouterr()
    assert "executorch 1.5.1 on Cortex-A77" in said.out
    assert "1,010" in said.out
    assert "11.9 %" in said.out  # 890 over 1010
    assert "counting net_ours.pte on Cortex-A77" in said.err
    document = json.loads(Path("c.json").read_text())
    assert [f["totals"]["instructions"] for f in document["files"]] == [1010, 890]


def test_counts_of_files_with_manifests_are_stored(arm, rig, capsys):
    for variant in ("orig", "ours"):
        rig.make_set(variant)
    pattern = str(rig.artifacts / "*.tflite")
    assert arm.main(["--artifacts", pattern, "--store", "s.sqlite"]) == 0
    said = capsys.readouterr().out
    assert "toynet at 4, litert" in said
    assert "orig" in said
    with open_store("s.sqlite", create=False) as store:
        for path in sorted(rig.artifacts.glob("*.tflite")):
            (count,) = store.arm_counts(sha256_file(path))
            assert count.engine == "litert"
        assert store.campaigns() == ()
    assert arm.main(["--artifacts", pattern, "--store", "", "--no-operators"]) == 0


def test_a_difference_is_a_table_a_page_and_a_document(arm, two, capsys):
    options = ["diff", *two, "--html", "d.html", "--json", "d.json"]
    assert arm.main(options) == 0
    said = capsys.readouterr().out
    assert "Convolution #2" in said
    assert "-100" in said
    assert "-120" in said  # the whole inference
    page = Path("d.html").read_text()
    assert "waterfall" in page
    assert "Convolution #2" in page


def test_node_data_need_a_graph_that_model_explorer_shows(arm, two, capsys):
    assert arm.main(["diff", *two, "--node-data", "nd"]) == 2
    assert "give two .tflite" in capsys.readouterr().err


def test_the_gate_passes_what_has_not_grown_and_names_what_has(arm, two, capsys):
    assert arm.main(["--artifacts", *two, "--json", "b.json"]) == 0
    check = ["check", "--artifacts", *two, "--baseline", "b.json"]
    assert arm.main(check) == 0
    arm.instructions["ours"] = (580, 304)  # 4 more of 890: less than half a percent
    assert arm.main(check) == 0
    arm.instructions["ours"] = (580, 306)
    capsys.readouterr()
    assert arm.main(check) == 1
    said = capsys.readouterr().out
    assert "ok: net_orig.pte" in said
    assert "DEARER: net_ours.pte with executorch: 890 -> 896 instructions (+0.674 %" in said
    assert "Convolution #2 2→2: +6" in said
    assert arm.main([*check, "--tolerance", "1%"]) == 0


def test_a_baseline_of_another_core_or_engine_is_refused(arm, two, capsys):
    assert arm.main(["--artifacts", *two, "--json", "b.json"]) == 0
    check = ["check", "--artifacts", *two, "--baseline", "b.json"]
    capsys.readouterr()
    assert arm.main([*check, "--core", "a55"]) == 2
    assert "not comparable: core a77 and a55" in capsys.readouterr().err
    document = json.loads(Path("b.json").read_text())
    for file in document["files"]:
        file["count"]["engine_version"] = "1.4.0"
    Path("b.json").write_text(json.dumps(document))
    assert arm.main(check) == 2
    assert "engine version 1.4.0 and 1.5.1" in capsys.readouterr().err
    assert arm.main([*check[:-1], "none.json"]) == 2
    assert "cannot read none.json: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what to measure"),
        (["--artifacts", "none.pte"], "no file matches 'none.pte'"),
        (["--artifacts", "net_orig.pte", "--core", "a78"], "unknown core 'a78'"),
        (["--artifacts", "net_orig.pte", "--runtime", "onnx"], "unknown runtime 'onnx'"),
        (["--artifacts", "net_orig.pte", "--runtime", "litert"], "none of the files"),
    ],
)
def test_bad_input_is_one_line(arm, two, capsys, arguments, words):
    assert arm.main(arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""
