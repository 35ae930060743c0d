"""Downsampling of EfficientFormerV2: a dense convolution, with or without an attention branch.

Paper: Rethinking Vision Transformers for MobileNet Size and Speed - https://arxiv.org/abs/2212.08059.
Shapes: N images, C channels, R side of the input map, S = ceil(R / 2) side of the output map,
H heads, D channels of a head's key, V of its value.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pfd_models.layers.conv import Norm

__all__ = ["AttentionDownsample", "EmbeddingDownsample"]


def _add_norm(conv: nn.Conv2d, norm: Norm = nn.BatchNorm2d) -> nn.Sequential:
    stack = nn.Sequential()
    stack.add_module("conv", conv)
    stack.add_module("bn", norm(conv.out_channels))
    return stack


def _local(channels: int) -> nn.Conv2d:
    """Return a depthwise 3x3 convolution of stride 2, with bias."""
    return nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels)


class AttentionDownsample(nn.Module):
    """Self-attention whose queries live on every second row and column of the map.

    In evaluation the bias of each (query, key) pair is gathered once and kept: it follows
    `train()`, `eval()` and `load_state_dict`. Whoever writes into `bias` otherwise while the
    module is in evaluation calls `refresh` after it.

    Args:
        in_channels: C.
        out_channels: Of the output.
        side: R; the map is square.
        heads: H.
        key_channels: D.
        value_channels: V.

    Shape:
        (N, C, R, R) -> (N, out_channels, S, S).
    """

    bias_index: Tensor
    gathered_bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        side: int,
        heads: int = 8,
        key_channels: int = 16,
        value_channels: int = 64,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.key_channels = key_channels
        keys, values = heads * key_channels, heads * value_channels
        self.query_local = _local(in_channels)
        self.query_pool = nn.AvgPool2d(1, stride=2)
        self.query = _add_norm(nn.Conv2d(in_channels, keys, 1))
        self.key = _add_norm(nn.Conv2d(in_channels, keys, 1))
        self.value = _add_norm(nn.Conv2d(in_channels, values, 1))
        self.value_local = _add_norm(_local(values))
        self.act = nn.GELU()
        self.project = _add_norm(nn.Conv2d(values, out_channels, 1))
        index, offsets = _offset_index(side)
        self.bias = nn.Parameter(torch.zeros(heads, offsets))
        self.register_buffer("bias_index", index, persistent=False)
        self.register_buffer("gathered_bias", None, persistent=False)
        self.register_load_state_dict_post_hook(_refresh_after_load)

    def refresh(self) -> None:
        """Gather the bias anew in evaluation, forget it in training."""
        if self.training:
            self.gathered_bias = None
        else:
            with torch.no_grad():
                self.gathered_bias = self._gather_bias().detach()

    def train(self, mode: bool = True) -> AttentionDownsample:
        """Switch between training and evaluation."""
        super().train(mode)
        self.refresh()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Attend and downsample."""
        batch = x.shape[0]
        query: Tensor = self.query(self.query_local(x) + self.query_pool(x))
        value: Tensor = self.value(x)
        query_bds = query.reshape(batch * self.heads, self.key_channels, -1)
        key_bdr = self.key(x).reshape(batch * self.heads, self.key_channels, -1)
        value_bvr = value.reshape(batch * self.heads, -1, key_bdr.shape[2])
        bias = self._gather_bias() if self.gathered_bias is None else self.gathered_bias
        scores = torch.bmm(query_bds.transpose(1, 2) * self.key_channels**-0.5, key_bdr)
        scores_nhsr = scores.reshape(batch, self.heads, *scores.shape[1:]) + bias
        weights = scores_nhsr.softmax(dim=-1).reshape(scores.shape)
        attended = torch.bmm(value_bvr, weights.transpose(1, 2))
        local: Tensor = self.value_local(value)
        result: Tensor = self.project(self.act(attended.reshape(local.shape) + local))
        return result

    def _gather_bias(self) -> Tensor:
        """Return (H, S * S, R * R): the bias of every pair in every head."""
        return self.bias[:, self.bias_index]


def _refresh_after_load(module: AttentionDownsample, _incompatible: Any) -> None:
    module.refresh()


def _offset_index(side: int) -> tuple[Tensor, int]:
    """Number the offsets between queries and keys in the order of their first appearance.

    Args:
        side: R.

    Returns:
        (S * S, R * R) int64, queries and keys row by row, and how many numbers there are.
    """
    numbers: dict[tuple[int, int], int] = {}
    keys = [(row, column) for row in range(side) for column in range(side)]
    queries = [key for key in keys if key[0] % 2 == 0 and key[1] % 2 == 0]
    index = [
        [
            numbers.setdefault((abs(q_row - row), abs(q_column - column)), len(numbers))
            for row, column in keys
        ]
        for q_row, q_column in queries
    ]
    return torch.tensor(index), len(numbers)


class EmbeddingDownsample(nn.Module):
    """Dense 3x3 convolution of stride 2 with bias and normalisation, plus attention where wanted.

    Args:
        in_channels: C.
        out_channels: Of the output.
        attention_side: R, to add an attention branch; None leaves it out.
        norm: Normalisation after the dense convolution; inside the attention it is PyTorch's
            default in every network.

    Shape:
        (N, C, R, R) -> (N, out_channels, S, S).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        attention_side: int | None,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.embed = _add_norm(conv, norm)
        self.attention: AttentionDownsample | None = None
        if attention_side is not None:
            self.attention = AttentionDownsample(in_channels, out_channels, side=attention_side)

    def forward(self, x: Tensor) -> Tensor:
        """Downsample by two."""
        embedded: Tensor = self.embed(x)
        if self.attention is None:
            return embedded
        attended: Tensor = self.attention(x)
        return embedded + attended
