"""Which package may load what."""

import importlib
import pkgutil
import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["android_bench", "export", "pfd_models"])
def test_importing_a_package_does_not_load_torch(package):
    code = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("package", ["android_bench", "export", "pfd_models"])
def test_public_names_exist_and_are_sorted(package):
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])
    assert [n for n in names if not hasattr(module, n)] == []
    assert len(set(names)) == len(names)


def modules():
    for package in ("export", "pfd_models"):
        root = importlib.import_module(package)
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_every_module_lists_its_public_names(name):
    module = importlib.import_module(name)
    assert [n for n in getattr(module, "__all__", []) if not hasattr(module, n)] == []
