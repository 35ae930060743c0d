"""The README's lines are run as they stand there."""

import importlib
import json
import os
import re
import subprocess
import sys

import pytest

import pfd_models
from export import BuildRequest, ZooSource, make_artifacts
from pfd_models import families, tables
from pfd_models.zoo import registry


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


def snippets(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_every_python_snippet_runs_beside_the_artifacts(readme, built, tmp_path, repository):
    (tmp_path / "artifacts").symlink_to(built.folder)
    codes = snippets(readme.partition("## Add a model")[0], "python")
    assert len(codes) == 6
    # Each with names of its own; in one process, since all import what takes long to import.
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(f"exec({code!r}, {{}})" for code in codes)],
        capture_output=True, text=True, check=False,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_loading_takes_five_lines(readme):
    for code in snippets(readme, "python")[:4]:
        assert len([line for line in code.splitlines() if line]) <= 5


def test_the_named_files_are_the_built_ones(readme, built):
    names = set(re.findall(r"shufflenetv2_ours_cifar100_32_fp32[\w.]*\w", readme))
    assert names == {p.name for p in built.folder.iterdir() if not p.name.startswith(".")}


def test_the_ci_script_runs_the_readmes_test_command(readme, repository):
    command = snippets(readme.partition("<!-- test command -->")[2], "sh")[0].strip()
    assert command.endswith("python -m pytest -n 2")
    assert "README.md" in (repository / ".ci" / "run").read_text()


def test_every_linked_document_exists(readme, repository):
    for target in re.findall(r"\]\(([\w/.-]+)\)", readme):
        assert (repository / target).exists(), target


@pytest.fixture
def mynet(readme, tmp_path, monkeypatch):
    """The README's new model, as a file in a folder on the families' path; forgotten later."""
    (code,) = snippets(readme.partition("## Add a model")[2], "python")
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "mynet.py").write_text(code)
    monkeypatch.setattr(registry, "_ARCHITECTURES", dict(registry.load_families()))
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path / "families")])
    importlib.invalidate_caches()
    yield "mynet"
    sys.modules.pop("pfd_models.families.mynet", None)


def test_the_new_model_of_the_readme_reaches_zoo_export_and_tables(
    mynet, tmp_path, capsys, monkeypatch
):
    assert mynet in pfd_models.list_models()
    assert pfd_models.list_variants(mynet) == ("orig", "stem", "down", "ours")
    for dataset in ("cifar100", "imagenet"):
        model = pfd_models.create_model(mynet, dataset=dataset)
        assert model.spec.num_classes == pfd_models.DATASETS[dataset].num_classes
    with pytest.raises(pfd_models.PfdError, match="use a resolution of at least 3"):
        pfd_models.get_spec(mynet, resolution=2)

    manifest = make_artifacts(BuildRequest(source=ZooSource(model=mynet), out=tmp_path)).manifest
    assert {a.format: a.delegates for a in manifest.artifacts} == {
        "onnx": None, "pte": 1, "tflite": 1,
    }  # fmt: skip
    assert all(a.leftovers == () for a in manifest.artifacts)

    # The paper's own rows are counted in tests/pfd_models/paper.
    monkeypatch.setattr("pfd_models.paper.tables.load_published_rows", lambda: ())
    assert tables.main(["--json"]) == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["model"] == mynet]
    assert (row["params"], row["is_exact"]) == (2340, True)


@pytest.mark.slow  # three test files are collected in a process of their own
def test_the_new_model_of_the_readme_passes_the_zoos_tests(readme, tmp_path, repository):
    (code,) = snippets(readme.partition("## Add a model")[2], "python")
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "mynet.py").write_text(code)
    (tmp_path / "with_mynet.py").write_text(
        "import pfd_models.families\n"
        f"pfd_models.families.__path__.append({str(tmp_path / 'families')!r})\n"
    )
    tests = [
        f"tests/pfd_models/{t}.py"
        for t in ("zoo/test_zoo", "zoo/test_spec", "variants/test_variants")
    ]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"),
            *("-p", "with_mynet", "-o", "addopts=--import-mode=importlib"),
            *("-k", "mynet or figures"),
            *tests,
        ],
        capture_output=True, text=True, check=False, cwd=repository,
        env={**os.environ, "PYTHONPATH": f"{repository}{os.pathsep}{tmp_path}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert re.search(r"\d\d passed", done.stdout)
