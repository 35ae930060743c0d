"""A network whose forward pass computes the integers that its files will, and that can learn.

It is the exporter's simplified graph, run call by call: what is stored in 8 bits there is rounded
here by the same scales, and weights and biases are rounded anew from float32 parameters in each
pass. Batch norms are folded, and ranges hold still.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from export.passes._editing import arguments, aten, attribute, is_call
from export.quantization.insert import store
from export.quantization.qat import kernels
from export.quantization.recipe import Corrected, is_layer
from export.quantization.roles import Role, role
from export.quantization.scales import Affine, constant_affine, stored_result
from export.quantization.tables import TABLES
from export.quantization.walk import call
from pfd_models.checkpoints import QuantizedWeights
from pfd_models.zoo.spec import ModelSpec

__all__ = ["QuantizedNetwork", "fingerprint"]


class QuantizedNetwork(nn.Module):
    """A simplified graph of one sample that computes in integers, held in float32 tensors.

    Its parameters are the weights and biases of 8-bit convolutions and linear layers; all else
    holds still. It takes batches of any size.

    Args:
        graph: Simplified, in float, captured for a batch of one; its module's weights are copied.
        affines: From `choose_scales`.
        layers: From `correct_biases`: biases to begin with.
        spec: Of the network.
        start: State dict of the float network that the graph was captured of.
    """

    def __init__(
        self,
        graph: fx.Graph,
        affines: Mapping[fx.Node, Affine],
        layers: Mapping[fx.Node, Corrected],
        *,
        spec: ModelSpec,
        start: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.spec = spec
        self._start = {name: tensor.clone() for name, tensor in start.items()}
        self._graph = graph
        self._roles = {node: role(node) for node in graph.nodes}
        self._last = _last_readers(graph)
        distinct = list(dict.fromkeys(affines.values()))
        self._place = {node: distinct.index(affine) for node, affine in affines.items()}
        self.scales = nn.Buffer(torch.tensor([a.scale for a in distinct]))
        self.zero_points = nn.Buffer(torch.tensor([float(a.zero_point) for a in distinct]))
        self.layers = nn.ModuleDict(
            {
                node.name: _Layer(node, layer, affines[node.all_input_nodes[0]])
                for node, layer in layers.items()
            }
        )
        self._constants: dict[fx.Node, str] = {}
        self._operands: dict[tuple[fx.Node, fx.Node], str] = {}
        for node in graph.nodes:
            if self._roles[node] is Role.CONSTANT:
                self._keep_constant(node, affines)

    def _keep_constant(self, node: fx.Node, affines: Mapping[fx.Node, Affine]) -> None:
        """Register a constant as its readers in float take it, and as those in integers do."""
        tensor = attribute(node)
        for number, reader in enumerate(node.users):
            if self._roles[reader] is Role.INTEGER and not is_layer(reader):
                affine = constant_affine(reader, tensor, affines)
                centred = store(tensor, affine).float() - affine.zero_point
                name = f"{node.name}_{number}"
                self.register_buffer(f"stored_{name}", centred, persistent=False)
                scale = torch.tensor(affine.scale)
                self.register_buffer(f"scale_{name}", scale, persistent=False)
                self._operands[reader, node] = name
            elif not is_layer(reader):
                self.register_buffer(f"constant_{node.name}", tensor, persistent=False)
                self._constants[node] = f"constant_{node.name}"

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 scores (N, classes) of normalised images (N, 3, H, W)."""
        # The graph holds the shapes of one sample; vmap runs it on many.
        scores: Tensor = torch.vmap(self._run)(images.unsqueeze(1))
        return scores.squeeze(1)

    def weights(self, *, dataset: str, samples: int, seed: int) -> QuantizedWeights:
        """Return what was learnt, as the exporter takes it."""
        scales, zero_points = self.scales.tolist(), self.zero_points.tolist()
        return QuantizedWeights(
            spec=self.spec,
            start=self._start,
            graph=fingerprint(self._graph),
            layers={name: p.detach() for name, p in self.layers.named_parameters()},
            affines={n.name: (scales[i], int(zero_points[i])) for n, i in self._place.items()},
            dataset=dataset,
            samples=samples,
            seed=seed,
        )

    def _run(self, image: Tensor) -> Tensor:
        values: dict[fx.Node, Any] = {}
        for node in self._graph.nodes:
            if node.op == "output":
                scores: Tensor = self._number(node.all_input_nodes[0], values)
                return scores
            values[node] = self._compute(node, values, image)
            for operand in node.all_input_nodes:
                if self._last[operand] is node:
                    del values[operand]
        raise AssertionError("a graph ends with its output")

    def _compute(self, node: fx.Node, values: dict[fx.Node, Any], image: Tensor) -> Any:
        kind = self._roles[node]
        if kind is Role.CONSTANT:
            return getattr(self, self._constants[node]) if node in self._constants else None
        if kind is Role.INTEGER:
            return self._kernel(node, values)
        read, is_stored = node.all_input_nodes, node in self._place
        if kind is Role.MOVE and is_stored:
            return call(node, [values[n] for n in read])
        if kind is Role.CLAMP and self._is_integer(read[0]):
            return values[read[0]]  # which was saturated at this clamp's limits
        if kind is Role.INPUT:
            found = image
        elif kind is Role.CLAMP and is_stored:
            found = self._number(read[0], values)  # storing saturates
        else:
            found = call(node, [self._number(n, values) for n in read])
        if not is_stored:
            return found
        return kernels.quantize(found, self._scale(node), self._zero_point(node))

    def _is_integer(self, node: fx.Node) -> bool:
        return self._roles[node] is Role.INTEGER

    def _number(self, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
        """Return the float value that a reader in float sees."""
        stored = stored_result(node) if self._is_integer(node) else node
        if stored not in self._place:
            return values[node]
        return values[node] * self._scale(stored)

    def _kernel(self, node: fx.Node, values: Mapping[fx.Node, Any]) -> Tensor:
        result = stored_result(node)
        scale, zero_point = self._scale(result), self._zero_point(result)
        if node.name in self.layers:
            source = node.all_input_nodes[0]
            stored: Tensor = self.layers[node.name](
                node, values[source], self._scale(source), scale, zero_point
            )
            return stored
        pairs = [self._operand(node, n, values) for n in node.all_input_nodes]
        if is_call(node, aten.add.Tensor):
            factors = [own / scale for _, own in pairs]
            return kernels.add([value for value, _ in pairs], factors, zero_point)
        if is_call(node, aten.mul.Tensor):
            (left, left_scale), (right, right_scale) = pairs
            return kernels.requantize(left * right, left_scale * right_scale / scale, zero_point)
        if is_call(node, *TABLES):
            ((units, own_scale),) = pairs
            return kernels.look_up(TABLES[node.target], units * own_scale, scale, zero_point)
        assert is_call(node, aten.mean.dim)
        ((averaged, own_scale),) = pairs
        count = averaged.shape[2] * averaged.shape[3]
        total = averaged.sum((2, 3), keepdim=True)
        own_zero = self._zero_point(node.all_input_nodes[0])
        return kernels.average(total, count, (own_scale, scale), (own_zero, zero_point))

    def _operand(
        self, reader: fx.Node, node: fx.Node, values: Mapping[fx.Node, Any]
    ) -> tuple[Tensor, Tensor]:
        name = self._operands.get((reader, node))
        if name is None:
            return values[node], self._scale(node)
        return getattr(self, f"stored_{name}"), getattr(self, f"scale_{name}")

    def _scale(self, node: fx.Node) -> Tensor:
        return self.scales[self._place[node]]

    def _zero_point(self, node: fx.Node) -> Tensor:
        return self.zero_points[self._place[node]]


def fingerprint(graph: fx.Graph) -> str:
    """Return the SHA-256 of a graph's calls: weights of one graph mean nothing in another."""
    calls = [f"{node.name} {node.op} {node.target} {node.all_input_nodes}" for node in graph.nodes]
    return hashlib.sha256("\n".join(calls).encode()).hexdigest()


class _Layer(nn.Module):
    """A convolution or linear layer: what is rounded anew in each pass.

    An average pool is one whose weights are all alike; it stays an average.
    """

    def __init__(self, node: fx.Node, start: Corrected, source: Affine) -> None:
        super().__init__()
        weight = attribute(arguments(node)["weight"]).clone()
        learns = bool(weight.min() < weight.max())
        self.weight = nn.Parameter(weight, requires_grad=learns)
        self.bias = nn.Parameter(start.bias * (source.scale * start.scales), requires_grad=learns)

    def forward(
        self, node: fx.Node, source: Tensor, source_scale: Tensor, scale: Tensor, zero: Tensor
    ) -> Tensor:
        weight, scales = kernels.round_weight(self.weight, self.bias, source_scale)
        bias = kernels.round_bias(self.bias, source_scale, scales)
        rest = list(arguments(node).values())[3:]
        # Rounded: a fast convolution may return a whole number's neighbour.
        total = kernels.round_through(node.target(source, weight, None, *rest))  # type: ignore[operator]  # a call
        shape = [-1, *[1] * (total.dim() - 2)]
        factor = source_scale * scales / scale
        return kernels.requantize(total + bias.reshape(shape), factor.reshape(shape), zero)


def _last_readers(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    return {operand: node for node in graph.nodes for operand in node.all_input_nodes}
