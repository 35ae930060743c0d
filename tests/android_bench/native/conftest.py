"""The harness built, one network in both formats, an engine that misbehaves, and an emulator."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from android_bench.harness.client import EngineInfo, Harness, Job, Schedule, describe
from android_bench.harness.process import run_here
from android_bench.native_build import build
from android_bench.native_build.build import SOURCES, build_harness
from android_bench.virtual_phone.emulated_core import A55, A77, MACHINES, emulate
from pfd_models.errors import DeviceError

QUICK = Schedule(iterations=8, warmup_iterations=2, warmup_seconds=0.0, timeout_seconds=60.0)


def needs(reason):
    """Skip a test whose surroundings are missing; in CI they must not be."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def quick():
    return QUICK


@pytest.fixture(scope="session")
def always():
    """Options that have no defaults; a later one of the same name wins."""
    return (
        *("--threads", "1", "--limit", "1e-4", "--timeout-seconds", "60"),
        *("--warmup-iterations", "10", "--warmup-seconds", "0"),
        *("--iterations", "50", "--flush-seconds", "1"),
    )


@pytest.fixture(scope="session")
def built():
    return build_harness()


@pytest.fixture(scope="session")
def harness(built):
    return describe([str(built.program)])


# -- a network ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Network:
    """Two convolutions, a mean and a matrix product: 3 x 32 x 32 pixels to 10 scores."""

    folder: Path
    samples: int

    def job(self, engine, **changes):
        suffix, layout = {"executorch": ("pte", "nchw"), "litert": ("tflite", "nhwc")}[engine]
        fields = {
            "model": str(self.folder / f"net.{suffix}"),
            "engine": engine,
            "inputs": (str(self.folder / f"{layout}.bin"),),
            "expected": (str(self.folder / "scores.bin"),),
        }
        return Job(**(fields | changes))


def _weights():
    rng = np.random.default_rng(5)

    def draw(*shape):
        fan_in = int(np.prod(shape[1:]))
        return (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)

    return {
        "conv1": (draw(8, 3, 3, 3), draw(8, 1)[:, 0]),
        "conv2": (draw(16, 8, 1, 1), draw(16, 1)[:, 0]),
        "linear": (draw(10, 16), draw(10, 1)[:, 0]),
    }


def _torch_network(weights):
    import torch

    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 10),
    ).eval()
    with torch.no_grad():
        for place, name in ((0, "conv1"), (2, "conv2"), (6, "linear")):
            weight, bias = weights[name]
            net[place].weight.copy_(torch.from_numpy(weight))
            net[place].bias.copy_(torch.from_numpy(bias))
    return net


def _pte(net, images=1, open_up_to=None):
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    shapes = None if open_up_to is None else ({0: torch.export.Dim("batch", max=open_up_to)},)
    captured = torch.export.export(net, (torch.randn(images, 3, 32, 32),), dynamic_shapes=shapes)
    lowered = to_edge_transform_and_lower(captured, partitioner=[XnnpackPartitioner()])
    return lowered.to_executorch().buffer


def _tflite(weights):
    from ai_edge_litert import schema_py_generated as schema
    from tiny_tflite import INT32, TinyTflite

    net = TinyTflite()
    image = net.tensor("image", (1, 32, 32, 3))
    hidden = image
    for name, shape, stride in (("conv1", (1, 15, 15, 8), 2), ("conv2", (1, 15, 15, 16), 1)):
        weight, bias = weights[name]
        hidden = net.convolution(name, hidden, weight.transpose(0, 2, 3, 1), shape, stride, bias)
    axes = net.tensor("axes", (2,), np.array([1, 2], np.int32), INT32)
    options = schema.ReducerOptionsT(keepDims=False)
    kinds = schema.BuiltinOperator
    mean = net.operator(kinds.MEAN, options, [hidden, axes], net.tensor("mean", (1, 16)))
    weight, bias = weights["linear"]
    parts = [net.tensor("linear/w", weight.shape, weight), net.tensor("linear/b", bias.shape, bias)]
    options = schema.FullyConnectedOptionsT()
    scores = net.tensor("scores", (1, 10))
    net.operator(kinds.FULLY_CONNECTED, options, [mean, *parts], scores)
    return net.content(image, scores)


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    import torch

    folder, samples = tmp_path_factory.mktemp("network"), 4
    weights = _weights()
    net = _torch_network(weights)
    images = np.random.default_rng(6).standard_normal((samples, 1, 3, 32, 32)).astype("<f4")
    # Brighter from sample to sample, so that a wrong one is far away.
    images += np.arange(samples, dtype="<f4").reshape(-1, 1, 1, 1, 1)
    with torch.no_grad():
        wide = net.double()(torch.from_numpy(images[:, 0]).double()).numpy()
    (folder / "nchw.bin").write_bytes(images.tobytes())
    (folder / "nhwc.bin").write_bytes(images.transpose(0, 1, 3, 4, 2).tobytes())
    (folder / "scores.bin").write_bytes(wide.astype("<f4").tobytes())
    (folder / "net.pte").write_bytes(_pte(net.float()))
    (folder / "net.tflite").write_bytes(_tflite(weights))
    return Network(folder=folder, samples=samples)


@pytest.fixture
def open_network(network):
    """The same with a .pte that takes any batch up to 6."""
    path = network.folder / "open" / "net.pte"
    path.parent.mkdir()
    path.write_bytes(_pte(_torch_network(_weights()), images=2, open_up_to=6))
    return path


# -- an engine that misbehaves -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Awkward:
    """The harness with one engine more, and jobs for it."""

    harness: Harness
    folder: Path

    def job(self, behaviour, **changes):
        model = self.folder / f"{behaviour.replace(' ', '_')}.awk"
        model.write_text(behaviour)
        return Job(**({"model": str(model), "engine": "awkward"} | changes))

    def expecting(self, behaviour, values=(1.0, 2.0), twice=(2.0, 4.0), **changes):
        given, expected = self.folder / "given.bin", self.folder / "expected.bin"
        np.array(values, "<f4").tofile(given)
        np.array(twice, "<f4").tofile(expected)
        files = {"inputs": (str(given),), "expected": (str(expected),)}
        return self.job(behaviour, **(files | changes))


@pytest.fixture(scope="session")
def awkward_built(tmp_path_factory):
    """A build of one engine more, on a computer without ExecuTorch, which takes the longest."""
    sources = tmp_path_factory.mktemp("sources") / "native"
    shutil.copytree(SOURCES, sources)
    shutil.copy(Path(__file__).parent / "awkward.cpp", sources / "engines")
    found = build.find_runtimes("host")
    alone = dataclasses.replace(found, executorch=None, executorch_version="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "find_runtimes", lambda target: alone)
        return build_harness(sources=sources)


@pytest.fixture
def awkward(awkward_built, tmp_path):
    engine = EngineInfo(
        name="awkward", version="1.0", suffixes=(".awk",), libraries=(), unavailable=""
    )
    harness = Harness(
        command=(str(awkward_built.program),),
        launch=run_here,
        version=awkward_built.version,
        target="host",
        machine="",
        engines=(engine,),
    )
    return Awkward(harness=harness, folder=tmp_path)


# -- arm64 under an emulator -------------------------------------------------------------------


@pytest.fixture(scope="session")
def arm64_built():
    try:
        return build_harness("linux-arm64")
    except DeviceError as error:
        return needs(str(error))


def emulated(built, cpu, folder, **machine):
    try:
        return emulate(built, cpu, folder, **machine)
    except DeviceError as error:
        return needs(str(error))


@pytest.fixture(scope="session")
def arm64_harness(arm64_built, tmp_path_factory):
    """On a machine of four A55 and four A77."""
    folder = tmp_path_factory.mktemp("phone")
    return emulated(arm64_built, "cortex-a76", folder, parts=[A55] * 4 + [A77] * 4)


@pytest.fixture(scope="session")
def cores(arm64_built, tmp_path_factory):
    """By QEMU's name of a core: a harness on a machine of four such cores."""
    return {name: emulated(arm64_built, name, tmp_path_factory.mktemp(name)) for name in MACHINES}
