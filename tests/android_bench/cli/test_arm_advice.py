"""The command `pfd-arm advise`, with counts that are made up."""

import json
from pathlib import Path

import pytest

from android_bench.cli.arm import advice
from android_bench.cli.arm.main import main
from android_bench.records import Counts
from export.request.source import ConvertibleSite, ModuleSource
from export.sets.files import sha256_file
from export.sets.manifest import load_manifest
from pfd_models.errors import ConversionError

INSTRUCTIONS = {
    "orig": 100_000,
    "stem": 130_000,
    "down@1": 90_000,
    "down@2": 99_000,
    "down": 88_000,
    "ours": 119_000,
    "ours@1": 121_000,
    "ours@2": 131_000,
}


@pytest.fixture
def built(monkeypatch, rig, make):
    """What was built; the builder's sets are empty and counts are as above."""
    built = []

    class Builder:
        def __init__(self, display):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def list_sites(self, source):
            return tuple(
                ConvertibleSite(name=name, told=told)
                for name, told in {"stem": "hybrid stem", "1": "stage 2", "2": "stage 3"}.items()
            )

        def find_or_build(self, request):
            source = request.source
            variant = (
                (",".join(source.padding_free_sites) or "orig")
                if isinstance(source, ModuleSource)
                else source.variant
            )
            if variant == "2":
                raise ConversionError("shapes cannot agree")
            built.append((variant, request.precision, request.formats))
            path = rig.make_set(variant, suffixes=tuple(f".{f}" for f in request.formats))
            return load_manifest(path)

    def count_file(path, core, *, with_operators, use_cache):
        assert not with_operators
        variant = json.loads(path.read_text())["variant"]
        return make.arm_count(
            artifact_sha256=sha256_file(path),
            engine={".pte": "executorch", ".tflite": "litert"}[path.suffix],
            core=core.name,
            counts=Counts(integer=INSTRUCTIONS.get(variant, 100_000), l1_misses=50),
            operators=(),
        )

    monkeypatch.setattr(advice, "SetBuilder", Builder)
    monkeypatch.setattr(advice, "count_file", count_file)
    monkeypatch.chdir(rig.folder)
    return built


def test_each_site_alone_all_together_and_the_cheapest_choice_are_printed(built, capsys):
    assert main(["advise", "--model", "toynet", "--runtime", "executorch"]) == 0
    said = capsys.readouterr().out
    assert "toynet/orig fp32, executorch 1.5.1 on Cortex-A77" in said
    rows = [" ".join(line.replace("│", " ").split()) for line in said.splitlines()]
    assert "nothing 0 100,000 0 50 0" in rows
    assert "stem alone: hybrid stem +0 +30,000 (+30.00 %) +0 +0 (+0.00 %) +0" in rows
    assert "1 alone: stage 2 +0 -10,000 (-10.00 %) +0 +0 (+0.00 %) +0" in rows
    assert "the sum of these +0 +19,000 (+19.00 %) +0 +0 (+0.00 %) +0" in rows
    assert "all together +0 +19,000 (+19.00 %) +0 +0 (+0.00 %) +0" in rows
    assert "cheapest counted: down +0 -12,000 (-12.00 %) +0 +0 (+0.00 %) +0" in rows
    assert (
        "the parts add up: all together +19,000 instructions, their sum +19,000, apart by 0.00 % "
        "of the original's (up to 0.1 % adds up)" in rows
    )
    assert "cheapest of 6 choices counted, of 8 there are: down, -12.00 % instructions" in rows
    assert "build it: python -m export.build --model toynet --variant down" in rows
    assert all(formats == ("pte",) for _, _, formats in built)


def test_a_network_that_nothing_makes_cheaper_is_advised_to_stay(built, capsys, monkeypatch):
    monkeypatch.setitem(INSTRUCTIONS, "down@1", 100_001)
    monkeypatch.setitem(INSTRUCTIONS, "down@2", 100_002)
    monkeypatch.setitem(INSTRUCTIONS, "down", 100_900)
    arguments = ["--dataset", "imagenet", "--resolution", "64", "--runtime", "litert"]
    assert main(["advise", "--model", "toynet", *arguments]) == 0
    said = capsys.readouterr().out
    assert "the parts do not add up" in said
    assert "there are: orig: no conversion saves instructions at this input size" in said
    command = "--model toynet --variant orig --dataset imagenet --resolution 64"
    assert f"build it: python -m export.build {command}\n" in said


def test_a_module_is_advised_on_with_its_own_command(built, capsys):
    words = ["--module", "net:make(width=0.5)", "--input", "1,3,8,8"]
    assert main(["advise", *words, "--runtime", "executorch", "--json", "c.json"]) == 0
    said = capsys.readouterr().out
    assert "not counted: 2: shapes cannot agree" in said
    assert "all together" in said
    assert "the parts" not in said
    assert "of 8 there are: the module as it is: no conversion saves" in said
    assert "python -m export.build --module 'net:make(width=0.5)' --input 1,3,8,8\n" in said
    files = json.loads(Path("c.json").read_text())["files"]
    assert files[0]["file"] == "toynet_orig_cifar100_4_fp32_xnnpack.pte"


def test_every_engine_and_precision_has_its_table_and_a_set_serves_both_engines(built, capsys):
    words = ["--model", "toynet", "--precision", "fp32,fp16", "--calibration", "synthetic"]
    assert main(["advise", *words]) == 0
    said = capsys.readouterr().out
    assert said.count("build it:") == 4
    assert said.count("--variant down --precision fp16 --calibration synthetic\n") == 2
    assert said.count("--variant down\n") == 2
    assert {(p, f) for _, p, f in built} == {
        ("fp32", ("pte", "tflite")),
        ("fp16", ("pte", "tflite")),
    }


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "say what to advise on: --model NAME, or --module package.module:factory"),
        (["--model", "a", "--module", "b:c"], "say what to advise on"),
        (["--module", "b:c"], "--module needs the input's shape: --input 1,3,224,224"),
        (["--model", "a", "--input", "1,3,8,8"], "--input goes with --module"),
        (
            ["--module", "b:c", "--input", "1,3,8,8", "--resolution", "8"],
            "--dataset and --resolution go with --model",
        ),
        (["--model", "a", "--runtime", "nnapi"], "unknown runtime 'nnapi'"),
        (["--model", "a", "--core", "a99"], "a99"),
    ],
)
def test_what_says_no_network_or_no_place_is_refused_in_one_line(built, capsys, words, line):
    assert main(["advise", *words]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert len(said.splitlines()) == 1
    assert built == []
