"""Makes the files that other tools make of a network of the zoo, in this interpreter's environment.

``peers.py`` calls it, with the interpreter of an environment that has the tools:

    python benchmarks/peer_files.py --model shufflenetv2 --variant ours --dataset cifar100 \
        --samples samples.npz --out folder stock_pte litert_torch

writes ``folder/stock_pte.pte`` and so on, and prints a line of JSON for each: file, seconds, or why
it failed. Every network has the seeded weights of ``export.build``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.network.network import make_network
from export.request.request import BuildRequest
from export.request.source import InputTensor, ModuleSource, ZooSource


def make_stock_pte(module: nn.Module, samples: list[Tensor], path: Path) -> None:
    """ExecuTorch's own way for XNNPACK, as its documentation says."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    exported = torch.export.export(module, (samples[0],))
    edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    path.write_bytes(edge.to_executorch().buffer)


def make_stock_int8_pte(module: nn.Module, samples: list[Tensor], path: Path) -> None:
    """The same, quantised by PT2E with XNNPACKQuantizer, static, weights per channel."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(
        get_symmetric_quantization_config(is_per_channel=True)
    )
    prepared = prepare_pt2e(torch.export.export(module, (samples[0],)).module(), quantizer)
    for sample in samples:
        prepared(sample)
    make_stock_pte(convert_pt2e(prepared), samples, path)


def make_litert_torch(module: nn.Module, samples: list[Tensor], path: Path) -> None:
    """litert-torch, with the image's channels last, which spares it a transpose."""
    import litert_torch

    last = litert_torch.to_channel_last_io(module, args=[0]).eval()
    litert_torch.convert(last, (_turn(samples[0]),)).export(str(path))


def make_ai_edge_quantizer(module: nn.Module, samples: list[Tensor], path: Path) -> None:
    """ai-edge-quantizer's static int8 recipe on the file of litert-torch."""
    from ai_edge_quantizer import quantizer, recipe

    plain = path.with_name("litert_torch_for_int8.tflite")
    make_litert_torch(module, samples, plain)
    tool = quantizer.Quantizer(str(plain), recipe.static_wi8_ai8())
    names = _input_names(plain)
    fed = [{names[0]: _turn(sample).numpy()} for sample in samples]
    tool.quantize(tool.calibrate({"serving_default": fed})).export_model(str(path), overwrite=True)
    plain.unlink()


def _input_names(path: Path) -> list[str]:
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(model_path=str(path)).get_signature_list()["serving_default"]
    return list(signature["inputs"])


def _turn(image: Tensor) -> Tensor:
    return image.permute(0, 2, 3, 1).contiguous()


def make_onnx2tf(
    module: nn.Module, samples: list[Tensor], path: Path, *, program: str, int8: bool = False
) -> None:
    """onnx2tf on PyTorch's own .onnx; int8: its static recipe, per channel, with float borders."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "net.onnx"
        torch.onnx.export(module, (samples[0],), source, dynamo=True, external_data=False)
        command = [
            str(Path(program).absolute()),
            "-i",
            str(source),
            "-o",
            str(folder / "made"),
            "-n",
        ]
        if int8:
            (entry,) = onnx_inputs(source)
            fed = torch.cat([_turn(sample) for sample in samples])
            np.save(folder / "images.npy", fed.numpy())
            shape = (1, 1, 1, fed.shape[3])
            mean, deviation = np.zeros(shape).tolist(), np.ones(shape).tolist()
            command += ["-oiqt", "-qt", "per-channel"]
            command += ["-cind", entry, str(folder / "images.npy"), str(mean), str(deviation)]
        # Where these lie it asks no server for images to try its network on.
        images = np.random.default_rng(0).random((20, 128, 128, 3)).astype(np.float32)
        np.save(folder / "calibration_image_sample_data_20x128x128x3_float32.npy", images)
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        made = folder / "made" / f"net_{'integer_quant' if int8 else 'float32'}.tflite"
        if not made.exists():
            last = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()
            raise RuntimeError(f"{program} made no {made.name}: {last[-1]}")
        shutil.copy(made, path)


def onnx_inputs(path: Path) -> list[str]:
    """Return the names of a model's inputs."""
    import onnx

    return [entry.name for entry in onnx.load(path).graph.input]


Maker = Callable[..., None]
MAKERS: dict[str, tuple[str, str, Maker]] = {
    "stock_pte": ("pte", "fp32", make_stock_pte),
    "stock_pte_int8": ("pte", "int8", make_stock_int8_pte),
    "litert_torch": ("tflite", "fp32", make_litert_torch),
    "ai_edge_quantizer": ("tflite", "int8", make_ai_edge_quantizer),
    "onnx2tf": ("tflite", "fp32", make_onnx2tf),
    "onnx2tf_int8": ("tflite", "int8", partial(make_onnx2tf, int8=True)),
}
"""Name to format, precision and function of module, samples and path."""

BY_PROGRAM = ("onnx2tf", "onnx2tf_int8")
"""These take a program of another environment too."""


def main() -> int:
    """Make the files that are asked for; one that fails does not stop the others."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model")
    parser.add_argument("--variant")
    parser.add_argument("--dataset")
    parser.add_argument("--module", help="instead of these, as timm:NAME")
    parser.add_argument("--resolution", type=int, help="of the module's image")
    parser.add_argument("--samples", type=Path, required=True, help="npz with input_0")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--onnx2tf", help="the program, of an environment of its own")
    parser.add_argument("makers", nargs="+", choices=MAKERS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    source: ZooSource | ModuleSource
    if options.module:
        image = InputTensor(shape=(1, 3, options.resolution, options.resolution))
        source = ModuleSource(target=options.module, inputs=(image,))
    else:
        source = ZooSource(model=options.model, variant=options.variant, dataset=options.dataset)
    network, _ = make_network(BuildRequest(source=source))
    images = np.load(options.samples)["input_0"]
    samples = list(torch.from_numpy(images).split(1))
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.makers:
        kind, _, make = MAKERS[name]
        path = options.out / f"{name}.{kind}"
        told: dict[str, Any] = {"peer": name, "file": str(path)}
        begin = time.perf_counter()
        try:
            more = {"program": options.onnx2tf} if name in BY_PROGRAM else {}
            make(network.module.eval(), samples, path, **more)
        except Exception as error:  # of libraries that raise what they like
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            told = {"peer": name, "error": first[:300]}
        told["seconds"] = round(time.perf_counter() - begin, 1)
        print("PEER " + json.dumps(told), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
