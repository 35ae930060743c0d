"""Small networks in both formats, counted on an emulated core."""

import itertools
import os
import shutil

import numpy as np
import pytest
from tiny_tflite import INT32, TinyTflite

from android_bench.arm_cost import CORES, count_file


@pytest.fixture(scope="session")
def tools():
    """What counting needs from Debian; without it a test skips, and fails in CI."""
    needed = {
        "qemu-aarch64": "qemu-user",
        "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
        "cc": "g++",
    }
    missing = [package for program, package in needed.items() if shutil.which(program) is None]
    if missing:
        reason = f"not installed (Debian: apt-get install {' '.join(missing)})"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def count(tools):
    """Count a file afresh, or as the cache has it."""

    def count(path, core="a77", **options):
        options = {"use_cache": False, **options}
        return count_file(path, CORES[core], **options)

    return count


@pytest.fixture(scope="session")
def write_pte(tmp_path_factory):
    """Write a module as a .pte for XNNPACK."""

    def write(module, *shape):
        import torch
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        torch.manual_seed(0)
        captured = torch.export.export(module.eval(), (torch.randn(1, *shape),))
        lowered = to_edge_transform_and_lower(captured, partitioner=[XnnpackPartitioner()])
        path = tmp_path_factory.mktemp("pte") / "net.pte"
        path.write_bytes(lowered.to_executorch().buffer)
        return path

    return write


@pytest.fixture(scope="session")
def write_convolutions(tmp_path_factory):
    """Write 1x1 convolutions of so many channels on a map of so many pixels a side, as .tflite."""

    def write(side, *channels):
        rng = np.random.default_rng(0)
        net = TinyTflite()
        source = hidden = net.tensor("image", (1, side, side, channels[0]))
        for number, (before, after) in enumerate(itertools.pairwise(channels)):
            weight = rng.standard_normal((after, 1, 1, before)).astype(np.float32)
            hidden = net.convolution(f"c{number}", hidden, weight, (1, side, side, after))
        path = tmp_path_factory.mktemp("tflite") / "net.tflite"
        path.write_bytes(net.content(source, hidden))
        return path

    return write


@pytest.fixture(scope="session")
def running_sums(tmp_path_factory):
    """A .tflite of a sum, a running sum, a product and a running sum, which XNNPACK never takes."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.BuiltinOperator
    net = TinyTflite()
    image = net.tensor("image", (8, 64))
    axis = net.tensor("axis", (1,), np.array([1], np.int32), INT32)
    hidden = image
    for number, (kind, options) in enumerate(
        ((kinds.ADD, schema.AddOptionsT()), (kinds.MUL, schema.MulOptionsT()))
    ):
        double = net.tensor(f"double{number}", (8, 64))
        net.operator(kind, options, [hidden, hidden], double)
        hidden = net.tensor(f"sums{number}", (8, 64))
        net.operator(kinds.CUMSUM, schema.CumsumOptionsT(), [double, axis], hidden)
    path = tmp_path_factory.mktemp("tflite") / "sums.tflite"
    path.write_bytes(net.content(image, hidden))
    return path
