"""`pfd-arm fit` and `estimate`, with networks and counts that are made up."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripts import load_script

from android_bench.arm_cost.phone_tables import Network
from android_bench.cli import artifacts
from android_bench.cli.arm import files, latency
from android_bench.records import Counts
from export.sets.files import sha256_file
from export.sets.manifest import load_manifest
from pfd_models.errors import InputError, SpecError

NS_AN_INSTRUCTION = 0.25
INSTRUCTIONS = {"small": 4_000_000, "middle": 9_000_000, "large": 30_000_000, "wide": 70_000_000}


@pytest.fixture
def arm(repository, monkeypatch, tmp_path, make, rig):
    """The command, a phone that pays a quarter of a nanosecond an instruction, and networks."""
    rig.make_set("orig")
    (made,) = rig.artifacts.glob("*_orig_*.json")
    built = []

    def find_or_build_one(request, display, *, build):
        name = request.source.target.partition(":")[2]
        if name not in INSTRUCTIONS:
            raise SpecError(f"{name} cannot be built")
        built.append(INSTRUCTIONS[name])
        return load_manifest(made)

    def count_file(path, core, *, with_operators=True, use_cache=True):
        work = built.pop() if built else 20_000_000
        return make.arm_count(
            artifact_sha256=sha256_file(path),
            engine="litert",
            core=core.name,
            counts=Counts(mac_fp32=work // 2, load_vector=work // 4, integer=work - 3 * work // 4),
            operators=(),
        )

    monkeypatch.setattr(latency, "find_or_build_one", find_or_build_one)
    monkeypatch.setattr(latency, "count_file", count_file)
    monkeypatch.setattr(files, "count_file", count_file)
    monkeypatch.chdir(tmp_path)
    script = load_script(repository / "tools/arm_cost.py")
    script.tflite = next(rig.artifacts.glob("*_orig_*.tflite"))
    return script


@pytest.fixture
def phones(tmp_path):
    """A file of one phone, and one that says how its networks are built; their names."""
    rows = [{"model": n, "ms": 1e-6 * NS_AN_INSTRUCTION * i} for n, i in INSTRUCTIONS.items()]
    rows += [{"model": "broken", "ms": 1}, {"model": "stranger", "ms": 1}]
    table = {"id": "one", "device": "A phone", "runtime": "LiteRT 1", "threads": 1}
    table |= {"precision": "fp32", "rows": rows}
    (tmp_path / "phones.json").write_text(json.dumps({"tables": [table]}))
    names = (*INSTRUCTIONS, "broken")
    networks = {name: {"target": f"torchvision:{name}"} for name in names}
    (tmp_path / "networks.json").write_text(json.dumps({"networks": networks}))
    return ["--phones", "phones.json", "--networks", "networks.json"]


def test_a_fit_prints_its_errors_and_what_it_left_out(arm, phones, capsys):
    assert arm.main(["fit", *phones, "--json", "fit.json"]) == 0
    said = capsys.readouterr().out
    assert "4 networks, each left out once" in said
    assert "instructions 0.25" in said
    assert "left out: broken: broken cannot be built" in said
    assert "left out: stranger: no builder is named for it" in said
    assert "model" in said
    # All networks here are one file: MACs and parameters are equal, and so order nothing.
    assert "not shown, for it ranks worse than plain instruction counts: MACs" in said
    (table,) = json.loads(Path("fit.json").read_text())["tables"]
    assert [network["name"] for network in table["networks"]] == list(INSTRUCTIONS)
    assert arm.main(["fit", *phones, "--all"]) == 0
    assert "MACs, model" in capsys.readouterr().out


def test_an_estimate_is_labelled_a_model_and_tells_its_error(arm, phones, capsys):
    assert arm.main(["fit", *phones, "--json", "fit.json"]) == 0
    capsys.readouterr()
    options = ["--fit", "fit.json", "--artifacts", str(arm.tflite)]
    assert arm.main(["estimate", *options]) == 0
    said = capsys.readouterr().out
    assert "a model, nothing was measured here" in said
    assert "5.000" in said  # 20 million instructions at 0.25 ns
    assert "0 % in the mean" in said


def test_an_estimate_for_another_core_than_the_fits_is_refused(arm, phones, capsys):
    assert arm.main(["fit", *phones, "--json", "fit.json"]) == 0
    options = ["--fit", "fit.json", "--artifacts", str(arm.tflite), "--core", "a55"]
    assert arm.main(["estimate", *options]) == 2
    assert "was counted with core a55, the fit of one with a77" in capsys.readouterr().err


def test_modelled_cycles_are_a_predictor_of_the_llvm_that_modelled_them(
    arm, phones, monkeypatch, capsys
):
    def find_analyser(version="19.1.7"):
        analyser = SimpleNamespace(title=lambda core: f"llvm-mca {version} of {core}")
        analyser.count_cycles = lambda count: count.counts.instructions / 2.5
        return analyser

    monkeypatch.setattr(latency, "find_analyser", find_analyser)
    assert arm.main(["fit", *phones, "--cycles", "--json", "fit.json"]) == 0
    assert "cycles 0.625" in capsys.readouterr().out  # 0.25 ns an instruction, 2.5 a cycle
    assert json.loads(Path("fit.json").read_text())["tables"][0]["cycles_by"].endswith("of a77")
    options = ["estimate", "--fit", "fit.json", "--artifacts", str(arm.tflite)]
    assert arm.main([*options, "--all"]) == 0
    assert "cycles, model, ms" in capsys.readouterr().out
    monkeypatch.setattr(latency, "find_analyser", lambda: find_analyser("20.1.0"))
    assert arm.main(options) == 2
    assert "by llvm-mca 19.1.7 of a77, and here is llvm-mca 20.1.0" in capsys.readouterr().err


def test_a_set_that_is_there_is_not_built(arm, phones, rig, capsys):
    manifest = load_manifest(next(rig.artifacts.glob("*_orig_*.json")))
    side = manifest.artifact("tflite").inputs[0].shape[1]
    networks = json.loads(Path("networks.json").read_text())["networks"]
    networks["broken"] = {"target": manifest.model, "side": side}
    Path("networks.json").write_text(json.dumps({"networks": networks}))
    assert arm.main(["fit", *phones, "--artifacts", str(arm.tflite), "--json", "fit.json"]) == 0
    (table,) = json.loads(Path("fit.json").read_text())["tables"]
    assert "broken" in [network["name"] for network in table["networks"]]
    assert list(table["left_out"]) == ["stranger"]


def test_a_set_that_is_missing_is_built_only_where_that_is_wanted(monkeypatch, tmp_path):
    request = latency._request(Network(target="torchvision:a"), tmp_path)
    monkeypatch.setattr(artifacts, "_build", lambda requests, *rest: [requests[0].source.target])
    assert artifacts.find_or_build_one(request, None, build=True) == "torchvision:a"
    with pytest.raises(InputError, match="not built yet"):
        artifacts.find_or_build_one(request, None, build=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "--phones", "none.json"], "cannot read none.json"),
        (["fit", "--phones", "phones.json"], "no network of phones.json has a builder"),
        (["fit", "--phones", "phones.json", "--table", "two"], "unknown table 'two'"),
        (["estimate", "--fit", "none.json", "--artifacts", "x"], "write it with pfd-arm fit"),
        (["estimate", "--fit", "phones.json", "--artifacts", "x"], "phones.json"),
    ],
)
def test_bad_input_is_one_line(arm, phones, capsys, arguments, words):
    assert arm.main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
