"""Checkpoint files in the forms in which training scripts and libraries leave them.

`write(kind, folder)` makes one; `KINDS` says of each what reading it must do.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["KINDS", "Expected", "SmallNet", "make_trained", "write"]


class SmallNet(nn.Module):
    """A convolution with its normalisation, and a classifier."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def make_trained(classes: int = 5) -> SmallNet:
    """Return a network whose statistics have moved, as after training; equal at each call."""
    torch.manual_seed(19)
    net = SmallNet(classes).train()
    with torch.no_grad():
        net(torch.randn(6, 3, 8, 8))
    return net.eval()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What reading a file must do.

    Attributes:
        told: The line on what was taken and left; None where the file is refused.
        refused: What the error line says.
        tolerance: How far the file's precision lets weights be off.
    """

    told: str | None = None
    refused: str = ""
    tolerance: float = 0.0


_PICKLED = "which is not loaded because unpickling runs code; save the module's state_dict alone"
_BESIDE = "left epoch, optimizer"

KINDS = {
    "bare": Expected(told=""),
    "legacy_zip": Expected(told=""),
    "channels_last": Expected(told=""),
    "safetensors": Expected(told=""),
    "data_parallel": Expected(
        told=f"took 9 tensors of 'state_dict' without the prefix 'module.'; {_BESIDE}"
    ),
    "compiled": Expected(
        told="took 9 tensors of 'model_state_dict' without the prefix '_orig_mod.module.'"
    ),
    "namespace": Expected(told=f"took 9 tensors of 'model'; {_BESIDE}, args"),
    "numpy_scalar": Expected(told="took 9 tensors of 'state_dict'; left best_acc, step, done"),
    "lightning": Expected(
        told="took 9 tensors of 'state_dict' without the prefix 'net.'; left loss.weight, "
        "pytorch-lightning_version, hyper_parameters"
    ),
    "averaged": Expected(told="took 9 tensors without the prefix 'module.'; left n_averaged"),
    "averaged_only": Expected(told="took 9 tensors of 'ema_state_dict'; left step"),
    "profiled": Expected(told="took 9 tensors; left total_ops, body.0.total_params"),
    "other_head_beside": Expected(told="took 9 tensors; left aux_head.weight, aux_head.bias"),
    "nested": Expected(told="took 9 tensors of 'state_dict.model'"),
    "half": Expected(told="took 9 tensors in float16", tolerance=1e-3),
    "bfloat16": Expected(told="took 9 tensors in bfloat16", tolerance=1e-2),
    "double": Expected(told="took 9 tensors in float64"),
    "half_safetensors": Expected(told="took 9 tensors in float16", tolerance=1e-3),
    "plain_and_averaged": Expected(
        refused="several sets of weights; choose with --weights-key state_dict or state_dict_ema"
    ),
    "student_and_teacher": Expected(
        refused="the network several times; choose with --weights-key student or teacher"
    ),
    "whole_module": Expected(refused=f"wild_checkpoints.SmallNet, {_PICKLED}"),
    "module_inside": Expected(refused=f"wild_checkpoints.SmallNet, {_PICKLED}"),
    "torchscript": Expected(refused="is a TorchScript archive, which holds code"),
    "other_classes": Expected(refused="2 of another shape (head.weight 7x8 for 5x8"),
    "without_statistics": Expected(refused="2 missing (body.1.running_mean, body.1.running_var)"),
    "unknown_layer_inside": Expected(refused="1 unexpected (body.3.weight)"),
    "web_page": Expected(refused="is no checkpoint or is damaged"),
    "cut_safetensors": Expected(refused="is a damaged safetensors file"),
}


def write(kind: str, folder: Path) -> Path:
    """Write the file of one kind, holding the weights of `make_trained`, and return its path."""
    net = make_trained()
    weights = net.state_dict()
    optimizer = torch.optim.SGD(net.parameters(), 0.1).state_dict()
    path = folder / f"{kind}.pt"
    if "safetensors" in kind:
        from safetensors.torch import save_file

        path = folder / f"{kind}.safetensors"
        save_file(_cast(weights, torch.float16) if "half" in kind else dict(weights), path)
        if kind.startswith("cut"):
            content = path.read_bytes()
            path.write_bytes(content[: len(content) * 2 // 3])
    elif kind == "torchscript":
        torch.jit.trace(net, torch.zeros(1, 3, 8, 8)).save(str(path))
    elif kind == "web_page":
        path.write_text("<!DOCTYPE html><title>Not found</title>")
    else:
        stored = _stored(kind, net, weights, optimizer)
        torch.save(stored, path, _use_new_zipfile_serialization=kind != "legacy_zip")
    return path


def _stored(kind: str, net: SmallNet, weights: dict[str, Any], optimizer: Any) -> Any:
    def under(prefix: str) -> dict[str, Any]:
        return {prefix + key: value for key, value in weights.items()}

    shifted = {k: v + 1 if v.is_floating_point() else v for k, v in weights.items()}
    makers = {
        "bare": lambda: weights,
        "legacy_zip": lambda: weights,
        "channels_last": lambda: net.to(memory_format=torch.channels_last).state_dict(),
        "data_parallel": lambda: {
            "state_dict": under("module."), "epoch": 4, "optimizer": optimizer,
        },
        "compiled": lambda: {"model_state_dict": under("_orig_mod.module.")},
        "namespace": lambda: {
            "model": weights, "epoch": 4, "optimizer": optimizer,
            "args": argparse.Namespace(lr=0.1, data_path="/data", sizes=[32, 64]),
        },
        "numpy_scalar": lambda: {
            "state_dict": weights, "best_acc": np.float64(71.5), "step": np.int64(3),
            "done": np.bool_(True),
        },
        "lightning": lambda: {
            "pytorch-lightning_version": "2.5.0", "hyper_parameters": {"lr": 0.1},
            "state_dict": {**under("net."), "loss.weight": torch.ones(5)},
        },
        "averaged": lambda: torch.optim.swa_utils.AveragedModel(net).state_dict(),
        "averaged_only": lambda: {"ema_state_dict": weights, "step": 9},
        "profiled": lambda: {
            **weights, "total_ops": torch.ones(1), "body.0.total_params": torch.ones(1),
        },
        "other_head_beside": lambda: {
            **weights, "aux_head.weight": torch.ones(2, 8), "aux_head.bias": torch.ones(2),
        },
        "nested": lambda: {"state_dict": {"model": weights}},
        "half": lambda: _cast(weights, torch.float16),
        "bfloat16": lambda: _cast(weights, torch.bfloat16),
        "double": lambda: _cast(weights, torch.float64),
        "plain_and_averaged": lambda: {"state_dict": weights, "state_dict_ema": shifted},
        "student_and_teacher": lambda: {
            **under("student."), **{f"teacher.{k}": v for k, v in shifted.items()},
        },
        "whole_module": lambda: net,
        "module_inside": lambda: {"ema": copy.deepcopy(net), "updates": 3},
        "other_classes": lambda: make_trained(7).state_dict(),
        "without_statistics": lambda: dict(net.named_parameters()),
        "unknown_layer_inside": lambda: {**weights, "body.3.weight": torch.ones(8, 8, 1, 1)},
    }  # fmt: skip
    return makers[kind]()


def _cast(weights: dict[str, Any], kind: torch.dtype) -> dict[str, Any]:
    return {k: v.to(kind) if v.is_floating_point() else v for k, v in weights.items()}
