import re

import pytest
import torch
from torch import nn

from export.network.inputs import make_inputs
from export.network.network import make_network
from export.network.precision import compare_precisions, require_float32
from export.request.request import BuildRequest
from export.request.source import InputTensor, ModuleSource
from pfd_models.errors import ModuleError

FILE = """
import torch
from torch import nn

def make(kind):
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
    return net.to(getattr(torch, kind))
"""


def request(tmp_path, kind, name, **options):
    (tmp_path / f"{name}.py").write_text(FILE)
    source = ModuleSource(
        target=f"{name}:make({kind!r})",
        inputs=(InputTensor(shape=(1, 3, 6, 6)),),
        search_path=str(tmp_path),
        **options,
    )
    return BuildRequest(source=source)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_weights_of_another_precision_are_refused_with_the_option_that_converts(tmp_path, kind):
    with pytest.raises(ModuleError, match=f"has {kind} weights.*give --to float32"):
        make_network(request(tmp_path, kind, f"user_refused_{kind}"))


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("float16", 1e-5, 5e-3), ("bfloat16", 1e-4, 5e-2), ("float64", 1e-9, 1e-6)],
)
def test_converted_weights_are_float32_and_their_error_is_told(tmp_path, kind, least, most):
    network, _ = make_network(request(tmp_path, kind, f"user_{kind}", to_float32=True))
    assert {t.dtype for t in network.module.state_dict().values()} == {torch.float32, torch.int64}
    (line,) = network.notes
    error = float(
        re.search(rf"^{kind} weights converted to float32: outputs differ by (\S+) ", line)[1]
    )
    assert least < error < most


def test_the_error_is_that_of_the_whole_module():
    half = nn.Linear(1, 1, bias=False).half()
    nn.init.constant_(half.weight, 1.0)
    wide = nn.Linear(1, 1, bias=False)
    wide.load_state_dict(half.state_dict())
    assert "differ by 0.0e+00" in compare_precisions(half, wide, [[torch.ones(1, 1).numpy()]])
    third = [[torch.full((1, 1), 1 / 3).numpy()]]  # which float16 rounds by 2.4e-04 of itself
    assert "differ by 2.4e-04" in compare_precisions(half, wide, third)


def test_float32_modules_are_taken_as_they_are():
    require_float32(nn.Linear(2, 2))
    require_float32(nn.ReLU())


def test_inputs_have_the_dtype_and_range_that_is_asked_for():
    dtypes = ("float32", "uint8", "bool", "int64")
    (sample,) = make_inputs([(64,)] * 4, 1, 1, dtypes=dtypes, integers_below=7)
    assert tuple(str(a.dtype) for a in sample) == dtypes
    assert sample[1].max() > 200
    assert set(sample[2]) == {False, True}
    assert set(sample[3]) == set(range(7))
