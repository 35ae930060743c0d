"""What holds for every format, taken from the folder: a new file is tested by being there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from export.formats import get_format, list_formats
from pfd_models.errors import InputError


@pytest.fixture(params=list_formats())
def made(request, files):
    """A file of each format: its module, its path and what write said of it."""
    return get_format(request.param), files.path(request.param), files.written[request.param]


def test_it_computes_what_pytorch_computes(made, net):
    module, path, _ = made
    run = module.load(path)
    for seed in range(3):
        x = torch.randn(1, 3, 33, 33, generator=torch.Generator().manual_seed(seed))
        (found,) = run([x.numpy()])
        with torch.no_grad():
            expected = net(x).numpy()
        assert found.shape == expected.shape
        assert found.dtype == np.float32
        assert abs(found - expected).max() <= 1e-5 * abs(expected).max()


def test_it_is_loaded_once_and_keeps_what_it_returned(made, net, tmp_path):
    module, path, _ = made
    alone = tmp_path / path.name
    alone.write_bytes(path.read_bytes())
    run = module.load(alone)
    alone.unlink()  # whoever read it again would fail
    images = [torch.randn(1, 3, 33, 33) for _ in range(3)]
    found = [run([image.numpy()])[0] for image in images]
    for image, scores in zip(images, found, strict=True):
        with torch.no_grad():
            expected = net(image).numpy()
        assert abs(scores - expected).max() <= 1e-5 * abs(expected).max()


def test_one_delegate_and_nothing_left(made):
    _, _, written = made
    assert written.delegates in (1, None)
    assert written.leftovers == ()


def test_inputs_and_outputs_are_named(made):
    _, _, written = made
    assert [s.name for s in (*written.inputs, *written.outputs)] == ["image", "scores"]
    assert written.inputs[0].layout in ("NCHW", "NHWC")
    assert sorted(written.inputs[0].shape) == [1, 3, 33, 33]
    assert (written.outputs[0].shape, written.outputs[0].layout) == ((1, 10), "NC")


def test_each_step_is_timed(made):
    _, _, written = made
    assert written.seconds
    assert all(s >= 0 for s in written.seconds.values())


def test_it_says_what_it_is(made, files):
    module, path, _ = made
    assert module.read_identity(path).items() >= files.identity.items()


def test_nothing_of_this_machine_is_inside(made):
    _, path, _ = made
    content = path.read_bytes()
    for trace in (
        sys.prefix,
        str(Path(torch.__file__).parent),
        str(Path(__file__).parent),
        'File "',
    ):
        assert trace.encode() not in content


def test_a_broken_file_is_one_line(made, tmp_path):
    module, path, _ = made
    broken = tmp_path / f"broken{path.suffix}"
    broken.write_bytes(b"\0" * 200)
    for call in (lambda: module.load(broken), lambda: module.read_identity(broken)):
        with pytest.raises(InputError, match="broken") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(made, tmp_path):
    module, path, _ = made
    for call in (module.read_identity, module.load):
        with pytest.raises(InputError, match="absent"):
            call(tmp_path / f"absent{path.suffix}")


@pytest.mark.slow  # test_build.py compares the bytes of several processes
def test_another_process_writes_the_same_bytes(files, tmp_path):
    """It captures the graph anew, with another hash seed, so no order may depend on it."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from conftest import make_net, write_all\n"
        "write_all(make_net(), Path(sys.argv[2]))\n"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PATH": "", "HOME": "/"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)],
        capture_output=True, text=True, check=False,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for name in list_formats():
        ours, theirs = files.path(name).read_bytes(), (tmp_path / f"net.{name}").read_bytes()
        assert hashlib.sha256(ours).hexdigest() == hashlib.sha256(theirs).hexdigest(), name
