"""Which module may load what, and what a package exports."""

import ast
import functools
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
OURS = ("android_bench", "export", "pfd_models")

# What a bench, a command that finds nothing to do and a reader of manifests import: cheap.
LIGHT = (
    "android_bench",
    "export.build",
    "export.cli",
    "export.quiet",
    "export.request",
    "export.sets",
    "pfd_models.errors",
    "pfd_models.files",
    "pfd_models.operating_system",
    "pfd_models.plain_data",
    "pfd_models.discovery",
    "pfd_models.variant_names",
    "export.onnx_to_tflite.listing",
)
HEAVY = (
    "torch",
    "torchvision",
    "torchao",
    "executorch",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "onnxsim",
    "ai_edge_litert",
)


def tree():
    """Return module name to file, of all our packages."""
    found = {}
    for package in OURS:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            if parts[-1] == "__main__":  # runs when it is imported
                continue
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


TREE = tree()
PACKAGES = [name for name, path in TREE.items() if path.name == "__init__.py"]
LIGHT_MODULES = [n for n in TREE for light in LIGHT if n == light or n.startswith(f"{light}.")]


# -- what is loaded ----------------------------------------------------------------------------

# Sees each module's imports: what is there after it and was not before is its doing.
LOOK = """
import importlib, json, sys
loaded = {}
for name in json.load(sys.stdin):
    before = set(sys.modules)
    importlib.import_module(name)
    loaded[name] = sorted(set(sys.modules) - before)
json.dump(loaded, sys.stdout)
"""


@functools.cache
def loaded_by_light_modules():
    """Import all light modules in one fresh interpreter; module to what came with it."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        input=json.dumps(LIGHT_MODULES),
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_light_module_loads_a_framework():
    culprits = {
        name: sorted(set(came) & set(HEAVY))
        for name, came in loaded_by_light_modules().items()
        if set(came) & set(HEAVY)
    }
    assert not culprits


def test_the_bench_loads_no_exporter_and_no_model():
    modules = loaded_by_light_modules().items()
    came = {
        name for module, names in modules if module.startswith("android_bench") for name in names
    }
    ours = {name for name in came if name.split(".")[0] in OURS}
    around = {light.rpartition(".")[0] for light in LIGHT}  # importing a module loads its package
    assert ours - set(LIGHT_MODULES) - around - set(OURS) == set()


def test_every_light_room_is_there():
    assert [light for light in LIGHT if light not in TREE] == []
    assert len(LIGHT_MODULES) == len(set(LIGHT_MODULES)) == len(loaded_by_light_modules())


# -- what is exported --------------------------------------------------------------------------


def statements(body):
    """Yield the statements that run when a module is imported, also conditional ones."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody", "handlers"):
            if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                yield from statements(getattr(statement, part, []))


def names_in(targets):
    return [node.id for t in targets for node in ast.walk(t) if isinstance(node, ast.Name)]


def read_names(path):
    """Return the names that a module lists in __all__ (None without), defines and imports."""
    listed, defined, imported = None, set(), set()
    for statement in statements(ast.parse(path.read_text()).body):
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                listed = ast.literal_eval(value)
            case ast.Assign(targets=targets):
                defined.update(names_in(targets))
            case ast.AnnAssign(target=target):
                defined.update(names_in([target]))
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                defined.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                imported.update(alias.asname or alias.name for alias in names)
    return listed, defined, imported


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_all_that_it_defines(package):
    listed, defined, _ = read_names(TREE[package])  # ruff's F401: an import is used or listed
    public = {name for name in defined if not name.startswith("_")}
    assert public <= set(listed or ())
    assert listed is not None or not public


@pytest.mark.parametrize("module", TREE)
def test_the_names_that_a_module_lists_are_there(module):
    listed, defined, imported = read_names(TREE[module])
    if listed is None:
        return
    assert len(set(listed)) == len(listed)
    if "__getattr__" in defined:  # names that load their modules when they are first used
        made = importlib.import_module(module)
        assert [name for name in listed if not hasattr(made, name)] == []
    else:
        assert set(listed) <= defined | imported
