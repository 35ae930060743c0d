"""A format or a backend is one file: put on the package's path, it is listed, written and run."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import export.formats
import export.formats.pte.backends
from export.formats import WriteOptions, get_format, list_formats, pte
from export.formats.pte.backends import get_backend, list_backends

FORMAT = '''
"""Weights only: the sum of each output's weights, to have something to run."""
import numpy as np
from export.formats import Written

NEEDS = None

def write(program, path, options):
    total = sum(float(t.detach().sum()) for t in program.exported.state_dict.values())
    path.write_bytes(np.float32(total).tobytes())
    return Written(inputs=program.inputs, outputs=program.outputs, delegates=None,
                   leftovers=(), seconds={})

def load(path):
    total = np.frombuffer(path.read_bytes(), np.float32)
    return lambda inputs: [total]

def read_identity(path):
    return {}
'''

BACKEND = '''
"""XNNPACK, one operator a partition."""
precisions = ("fp32",)

def partitioners():
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    return [XnnpackPartitioner(per_op_mode=True)]

def unavailable():
    return None
'''


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Put a file into a folder on a package's path, and forget it afterwards."""

    def put(package, name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}", raising=False)

    yield put
    for name in [n for n in sys.modules if n.endswith((".weightsum", ".piecemeal"))]:
        del sys.modules[name]


def test_a_format(add, program, tmp_path):
    add(export.formats, "weightsum", FORMAT)
    assert "weightsum" in list_formats()
    module = get_format("weightsum")
    module.write(program, tmp_path / "x.weightsum", WriteOptions())
    expected = sum(float(t.detach().sum()) for t in program.exported.state_dict.values())
    (found,) = module.load(tmp_path / "x.weightsum")([])
    assert found == np.float32(expected)


def test_a_backend(add, net, program, tmp_path):
    add(export.formats.pte.backends, "piecemeal", BACKEND)
    assert "piecemeal" in list_backends()
    assert get_backend("piecemeal").unavailable() is None
    written = pte.write(program, tmp_path / "x.pte", WriteOptions(backend="piecemeal"))
    assert written.backend == "piecemeal"
    assert written.delegates is not None
    assert written.delegates > 1
    x = torch.randn(1, 3, 33, 33)
    (found,) = pte.load(tmp_path / "x.pte")([x.numpy()])
    with torch.no_grad():
        assert abs(found - net(x).numpy()).max() < 1e-5
