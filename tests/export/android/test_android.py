"""What `python -m export.android` writes: compiled, run against stand-ins, and refused in time."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from app_sets import LABELS, SIDE
from extra_environment import unavailable
from kotlin_compiler import find_kotlin

from export.android.__main__ import main
from export.android.facts import read_facts
from export.android.reference import read_reference
from export.sets.manifest import MissingFormat
from pfd_models.errors import InputError

STUBS = Path(__file__).parent / "stubs"


def write_app(manifest, folder, *options):
    path = manifest.folder / f"{manifest.stem}.json"
    assert main(["--set", str(path), "-o", str(folder), *options]) == 0
    return folder


@pytest.fixture(scope="module")
def apps(float_set, byte_set, tmp_path_factory):
    folder = tmp_path_factory.mktemp("apps")
    sets = {"floats": float_set, "bytes": byte_set}
    return {
        name: write_app(manifest, folder / name, "--package", f"com.example.{name}", "--cpp")
        for name, manifest in sets.items()
    }


@pytest.fixture(scope="module")
def classes(apps, tmp_path_factory):
    """The Kotlin of both apps, compiled at once against stand-ins of the classes it calls."""
    kotlin, folder = find_kotlin(), tmp_path_factory.mktemp("classes")
    sources = [*STUBS.glob("*.kt"), *(p for app in apps.values() for p in app.rglob("*.kt"))]
    status, said = kotlin.compile(sources, folder)
    assert status == 0, said
    assert not said
    return kotlin, folder


def properties(source, name, folder, expected=None):
    """Where the stand-ins find the assets, what the model answers, and what the test expects."""
    answers = source / "androidTest/assets"
    return {
        "package": name,
        "image": folder / "image.bin",
        "assets": source / "main/assets",
        "answers": answers,
        "expected": expected or answers,
        "samples": 2,
        "files": folder,
        "fed": folder / "fed.bin",
    }


@pytest.mark.parametrize("name", ["floats", "bytes"])
def test_the_kotlin_feeds_what_pytorch_is_fed_and_names_the_classes(name, apps, classes, tmp_path):
    kotlin, folder = classes
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    image.tofile(tmp_path / "image.bin")
    source = apps[name] / "src"
    said = kotlin.run(folder, "pfd.stubs.Run_hereKt", **properties(source, name, tmp_path))
    lines = said.splitlines()
    assert len(lines) == 2
    first = np.fromfile(source / "androidTest/assets/reference_output_0.bin", "<f4").reshape(2, -1)
    if name == "floats":
        best = [int(row.argmax()) for row in first]
        unit = (image.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
        fed = np.fromfile(tmp_path / "fed.bin", "<f4")
        wanted = [unit.ravel(), unit.transpose(2, 0, 1).ravel()]  # LiteRT's, ExecuTorch's
    else:
        places = np.fromfile(source / "androidTest/assets/reference_output_1.bin", "<i4")
        best = places.reshape(2, -1)[:, 0].tolist()
        fed = np.fromfile(tmp_path / "fed.bin", np.uint8)
        wanted = [image.ravel(), image.ravel()]
    assert np.array_equal(fed, np.concatenate(wanted))
    for line, index in zip(lines, best, strict=True):
        assert line.startswith(f"[Answer(index={index}, label={LABELS[index]}, score=")


def test_the_parity_test_notices_a_wrong_output(apps, classes, tmp_path):
    kotlin, folder = classes
    source = apps["bytes"] / "src"
    expected = shutil.copytree(source / "androidTest/assets", tmp_path / "expected")
    places = np.fromfile(expected / "reference_output_1.bin", "<i4")
    places[0] += 1
    places.tofile(expected / "reference_output_1.bin")
    with pytest.raises(AssertionError, match="AssertionError"):
        kotlin.run(
            folder, "pfd.stubs.Run_hereKt", **properties(source, "bytes", tmp_path, expected)
        )


@pytest.mark.parametrize("name", ["bytes", pytest.param("floats", marks=pytest.mark.slow)])
def test_the_cpp_computes_what_pytorch_computes_on_the_wheels_libraries(name, apps, tmp_path):
    if shutil.which("g++") is None:
        unavailable("no C++ compiler: apt-get install g++")
    places = {
        module: Path(importlib.util.find_spec(module).submodule_search_locations[0])
        for module in ("ai_edge_litert", "executorch")
    }
    source = apps[name] / "src"
    said = []
    for command in (
        ["cmake", "-S", source / "main/cpp", "-B", tmp_path, "-DCMAKE_CXX_FLAGS=-Wall -Wextra -O0",
         f"-DLITERT_DIR={places['ai_edge_litert']}",
         f"-Dexecutorch_DIR={places['executorch']}/share/cmake"],
        ["cmake", "--build", tmp_path],
        [tmp_path / "parity", source / "main/assets", source / "androidTest/assets"],
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        said.append(done.stderr)
    assert "warning" not in said[1]
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["litert", "executorch"]
    missing = subprocess.run(
        [tmp_path / "parity", tmp_path, tmp_path], capture_output=True, check=False
    )
    assert missing.returncode == 1


def test_gradle_and_r8_lines_name_versions_and_the_traps(apps, float_set):
    gradle = (apps["floats"] / "dependencies.gradle.kts").read_text()
    litert, executorch = (float_set.versions[p] for p in ("ai-edge-litert", "executorch"))
    assert f'implementation("com.google.ai.edge.litert:litert:{litert}")' in gradle
    assert f'// implementation("com.google.ai.edge.litert:litert-gpu:{litert}")' in gradle
    assert "TRAP" in gradle
    assert f'implementation("org.pytorch:executorch-android:{executorch}")' in gradle
    rules = (apps["floats"] / "proguard-rules.pro").read_text()
    assert "-keep class com.facebook.jni.** { *; }" in rules
    assert "-keep class org.pytorch.executorch.** { *; }" in rules


def test_what_lies_there_already_is_left_alone(float_set, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("kept")
    path = float_set.folder / f"{float_set.stem}.json"
    assert main(["--set", str(path), "-o", str(tmp_path)]) == 2
    assert "is there already; give a new folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_the_reference_lies_in_each_runtimes_own_layout(float_set):
    facts = read_facts(float_set, package="com.example.a", runtimes=("litert", "executorch"))
    files = read_reference(float_set, facts)
    nhwc, nchw = (
        np.frombuffer(files[f"reference_{layout}.bin"], "<f4") for layout in ("nhwc", "nchw")
    )
    shaped = nchw.reshape(2, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    assert np.array_equal(nhwc.reshape(shaped.shape), shaped)


def changed(manifest, **fields):
    return dataclasses.replace(manifest, **fields)


def test_a_set_without_a_tflite_says_why_and_what_to_give(float_set):
    less = changed(
        float_set,
        artifacts=tuple(a for a in float_set.artifacts if a.format != "tflite"),
        missing_formats=(MissingFormat(format="tflite", reason="no GRID_SAMPLE"),),
    )
    with pytest.raises(InputError, match=r"no GRID_SAMPLE; give --runtime executorch"):
        read_facts(less, package="com.example.a", runtimes=("litert", "executorch"))
    facts = read_facts(less, package="com.example.a", runtimes=("executorch",))
    assert [r.name for r in facts.runtimes] == ["executorch"]


def with_tensors(manifest, *, inputs=None, outputs=None):
    artifacts = tuple(
        dataclasses.replace(
            a,
            inputs=tuple(dataclasses.replace(t, **(inputs or {})) for t in a.inputs),
            outputs=tuple(dataclasses.replace(t, **(outputs or {})) for t in a.outputs),
        )
        for a in manifest.artifacts
    )
    return changed(manifest, artifacts=artifacts)


def with_output_twice(manifest):
    """Baked files of a module with a second output, as of an auxiliary classifier."""
    artifacts = tuple(dataclasses.replace(a, outputs=a.outputs * 2) for a in manifest.artifacts)
    return changed(manifest, artifacts=artifacts)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda m: changed(m, spec={}), "build it with --mean and --std"),
        (lambda m: with_tensors(m, inputs={"dtype": "int8"}), "build it without --io int8"),
        (lambda m: with_tensors(m, inputs={"shape": (2, 24, 24, 3)}), r"2 image\(s\)"),
        (lambda m: with_tensors(m, inputs={"batch": (1, 4)}), "takes 1 to 4 images a call"),
        (lambda m: with_tensors(m, inputs={"shape": (1, 7)}), "takes no single image"),
        (lambda m: with_tensors(m, outputs={"shape": (1, 4, 6, 6)}), "are for classifiers"),
        (lambda m: with_tensors(m, outputs={"dtype": "int32"}), "are for classifiers"),
        (lambda m: with_tensors(m, outputs={"dtype": "int32", "shape": (1,)}), "are for classif"),
        (with_output_twice, r"'scores', float32 \(1, 10\), 'scores'"),
    ],
)
def test_a_set_that_is_no_classifier_of_one_image_is_refused(change, line, float_set):
    with pytest.raises(InputError, match=line):
        read_facts(change(float_set), package="com.example.a", runtimes=("litert",))


def test_a_package_may_have_capitals(float_set):
    facts = read_facts(float_set, package="com.example.myApp", runtimes=("litert",))
    assert facts.package == "com.example.myApp"


@pytest.mark.parametrize("name", ["logits", "class", "0", "größe"])
def test_an_outputs_name_in_code_is_ours_whatever_the_modules_is(name, float_set):
    named = with_tensors(float_set, outputs={"name": name})
    (output,) = read_facts(named, package="com.example.a", runtimes=("litert",)).outputs
    assert output.name == "scores"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--package", "Classifier"], "write it as com.example.classifier"),
        (["--package", "com.example.new"], "holds 'new', a word of Java or Kotlin"),
        (["--package", "com.in.example"], "holds 'in', a word of Java or Kotlin"),
        (["--runtime", "litrt"], "did you mean 'litert'"),
        (["--runtime", ","], "--runtime is empty"),
    ],
)
def test_options_that_are_none_are_one_line(options, line, float_set, tmp_path, capsys):
    path = float_set.folder / f"{float_set.stem}.json"
    assert main(["--set", str(path), "-o", str(tmp_path / "app"), *options]) == 2
    errors = capsys.readouterr().err
    assert line in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "app").exists()


def test_a_manifest_that_is_missing_is_one_line(tmp_path, capsys):
    assert main(["--set", str(tmp_path / "no.json"), "-o", str(tmp_path / "app")]) == 2
    assert "cannot read the manifest" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
