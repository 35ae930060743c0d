"""Programs of tools/ and benchmarks/ as modules, to call their functions."""

import importlib.util
import sys


def load_script(path):
    """Import a program by its path; dataclasses need it among the modules."""
    name = f"{path.parent.name}.{path.stem}"  # as tools.adb_bench, whose warnings are errors
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
