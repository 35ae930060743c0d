"""Programs of tools/ and benchmarks/ as modules, to call their functions."""

import importlib.util
import sys


def load_script(path):
    """Import a program by its path; dataclasses need it among the modules."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
