"""Whose warnings are errors: ours and those of the packages we call, nobody else's."""

import ast
import os
import subprocess
import sys
import warnings

import pytest

# Called, and yet not held to: pytest's own frames import the plugins of others, and a peer's
# packages run in processes of their own.
NOT_HELD = {
    "pytest",
    "litert_torch",
    "ai_edge_quantizer",
    "peer_files",
    "peer_sets",
    "tflite_runtime",
    "efficientnet_lite_pytorch",
}


def is_error(module):
    """Tell whether a warning in a module of this name is an error now."""
    with warnings.catch_warnings(record=True):
        try:
            warnings.warn_explicit("a test's", RuntimeWarning, "a file", 1, module=module)
        except RuntimeWarning:
            return True
    return False


@pytest.mark.parametrize(
    "name",
    [
        "android_bench",
        "android_bench.store.archive",
        "export.build",
        "pfd_models.layers.conv",
        "torch.nn",
        "google.protobuf.message",
    ],
)
def test_our_warnings_are_errors(name):
    assert is_error(name)
    assert not is_error(f"a_plugin.{name}")
    assert not is_error(f"{name.partition('.')[0]}_of_somebody_else")


def test_so_are_those_of_every_file_here(repository):
    files = [
        p for room in ("tools", "benchmarks", "tests") for p in (repository / room).rglob("*.py")
    ]
    names = [
        # Programs and tests have their folder in their name, what tests share has none.
        path.stem
        if path.parent.name == "support"
        else ".".join(path.relative_to(repository).with_suffix("").parts)
        for path in files
    ]
    assert len(names) > 100
    assert [name for name in names if not is_error(name)] == []
    assert is_error(__name__)


def imported_packages(path):
    """Yield the packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).partition(".")[0]


def test_so_are_those_of_every_package_we_call(repository):
    rooms = ("android_bench", "export", "pfd_models", "tests", "tools", "benchmarks")
    files = [path for room in rooms for path in (repository / room).rglob("*.py")]
    called = {package for path in files for package in imported_packages(path)}
    local = {"conftest"} | {path.stem for path in (repository / "tests" / "support").iterdir()}
    foreign = called - set(sys.stdlib_module_names) - local - NOT_HELD - {"google"}
    assert {"numpy", "sqlalchemy", "adb_shell"} <= foreign
    assert [name for name in sorted(foreign) if not is_error(f"{name}.anything")] == []


def test_a_plugin_that_warns_when_it_is_imported_stops_nothing(repository, tmp_path):
    (tmp_path / "warning_plugin.py").write_text(
        "import warnings\n"
        "import pytest\n"
        "warnings.warn('my own old ways', DeprecationWarning)\n"
        "warnings.warn('and my importer', UserWarning, stacklevel=2)\n"
        "warnings.warn('what pytest says', pytest.PytestDeprecationWarning)\n"
    )
    about = tmp_path / "warning_plugin-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: warning-plugin\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[pytest11]\nwarning = warning_plugin\n")
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", repository / "pyproject.toml", "test_nothing.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTEST_ADDOPTS": "-p no:cacheprovider"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "my own old ways" in ran.stdout
