"""Channel shuffles: no TRANSPOSE where weights can be ordered, right values everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from export.onnx_to_tflite import inspect


def node(op_type, inputs, outputs, **attrs):
    return helper.make_node(op_type, list(inputs), list(outputs), **attrs)


class Net:
    """A growing network of channel moves; every step returns the new value and its channels."""

    def __init__(self, side=6):
        self.nodes, self.constants, self.side, self.count = [], {}, side, 0

    def name(self):
        self.count += 1
        return f"v{self.count}"

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def add(self, op_type, inputs, **attrs):
        out = self.name()
        self.nodes.append(node(op_type, inputs, [out], **attrs))
        return out

    def weight(self, *shape):
        seed = len(self.constants)
        spread = np.prod(shape[1:]) ** -0.5  # keeps the size of what it is applied to
        numbers = spread * np.random.default_rng(seed).standard_normal(shape)
        return self.constant(numbers.astype(np.float32))

    def conv(self, x, cin, cout, kernel=1, **attrs):
        pads = [kernel // 2] * 4
        return self.add("Conv", [x, self.weight(cout, cin, kernel, kernel)], pads=pads, **attrs)

    def depthwise(self, x, channels):
        return self.add("Conv", [x, self.weight(channels, 1, 3, 3)], pads=[1] * 4, group=channels)

    def shuffle(self, x, channels, groups):
        apart = self.constant([1, groups, channels // groups, self.side, self.side])
        together = self.constant([1, channels, self.side, self.side])
        y = self.add("Reshape", [x, apart])
        y = self.add("Transpose", [y], perm=[0, 2, 1, 3, 4])
        return self.add("Reshape", [y, together])

    def halves(self, x, channels):
        half = channels // 2
        outs = [self.name(), self.name()]
        sizes = self.constant([half, channels - half])
        self.nodes.append(node("Split", [x, sizes], outs, axis=1))
        return outs

    def model(self, tools, channels, outputs):
        return tools.make_model(
            self.nodes, {"x": [1, channels, self.side, self.side]}, self.constants, outputs
        )


def stage(net, x, channels, units):
    """ShuffleNetV2's units: half passes, half is convolved, both are joined and shuffled."""
    half = channels // 2
    for _ in range(units):
        kept, taken = net.halves(x, channels)
        y = net.add("Relu", [net.conv(taken, half, half)])
        y = net.add("Relu", [net.conv(net.depthwise(y, half), half, half)])
        x = net.shuffle(net.add("Concat", [kept, y], axis=1), channels, 2)
    return x


@pytest.mark.parametrize("channels", [16, 22])  # halves of 11 divide unevenly
def test_a_stage_of_shuffle_units_moves_no_channel(tools, channels):
    net = Net()
    x = stage(net, net.conv("x", 3, channels), channels, units=7)
    y = net.conv(x, channels, 5)
    conversion = tools.check(net.model(tools, 3, [y]))
    assert "TRANSPOSE" not in conversion.ops
    found = inspect(conversion.data)
    assert (found.delegates, found.leftovers) == (1, {})


def test_pool_added_to_a_depthwise_convolution_keeps_the_order(tools):
    """The padding-free unit: pool and depthwise convolution of a shuffled map, then batch norm."""
    net = Net()
    x = stage(net, net.conv("x", 3, 16), 16, units=3)
    pool = net.add("MaxPool", [x], kernel_shape=[3, 3], pads=[1] * 4)
    y = net.add("Add", [net.depthwise(x, 16), pool])
    statistics = [net.constant(np.linspace(1, 2, 16, dtype=np.float32) + i) for i in range(4)]
    y = net.add("BatchNormalization", [y, *statistics])
    y = net.conv(y, 16, 5)
    conversion = tools.check(net.model(tools, 3, [y]))
    assert "TRANSPOSE" not in conversion.ops
    assert "MUL" not in conversion.ops  # the batch norm went into the convolution behind it


def test_pixel_shuffle_permutes_the_convolution_before_it(tools):
    net = Net()
    y = net.add("DepthToSpace", [net.conv("x", 3, 16, 3)], blocksize=2, mode="CRD")
    assert tools.check(net.model(tools, 3, [y])).ops == {"CONV_2D": 1, "DEPTH_TO_SPACE": 1}


def test_a_shuffle_of_an_input_that_is_an_output_is_executed(tools):
    net = Net()
    y = net.shuffle("x", 12, 3)
    conversion = tools.check(net.model(tools, 12, [y]))
    assert conversion.ops == {"RESHAPE": 2, "TRANSPOSE": 1}


def test_a_convolution_read_elsewhere_is_not_permuted(tools):
    net = Net()
    x = net.conv("x", 3, 12)
    y = net.shuffle(x, 12, 3)
    tools.check(net.model(tools, 3, [y, x]))


def test_a_graph_without_shuffle_keeps_its_concatenations(tools):
    net = Net()
    a = net.conv("x", 3, 8)
    y = net.conv(net.add("Concat", [a, net.depthwise(a, 8)], axis=1), 16, 4)
    assert tools.check(net.model(tools, 3, [y])).ops["CONCATENATION"] == 1


def test_grouped_convolutions_of_shufflenet_v1_get_the_logical_order(tools):
    net = Net()
    x = net.conv("x", 3, 12)
    y = net.add("Conv", [net.shuffle(x, 12, 3), net.weight(12, 4, 1, 1)], group=3)
    tools.check(net.model(tools, 3, [y]))


STEPS = st.sampled_from(
    ["conv", "depthwise", "shuffle", "swap", "relu", "scale", "pool", "add", "join", "softmax"]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(STEPS, min_size=2, max_size=9),
    groups=st.sampled_from([2, 3, 4]),
    tap=st.integers(0, 8),
)
def test_random_networks_of_channel_moves_are_right(tools, steps, groups, tap):
    """Any chain of moves and readers, with a second output somewhere inside it."""
    channels = 12
    net = Net(side=4)
    x = net.conv("x", 3, channels)
    values = [x]
    for step in steps:
        if step == "conv":
            x = net.conv(x, channels, channels, 3)
        elif step == "depthwise":
            x = net.depthwise(x, channels)
        elif step == "shuffle":
            x = net.shuffle(x, channels, groups)
        elif step == "swap":
            first, second = net.halves(x, channels)
            x = net.add("Concat", [second, net.conv(first, 6, 6)], axis=1)
        elif step == "relu":
            x = net.add("Relu", [x])
        elif step == "scale":
            x = net.add("Mul", [x, net.weight(1, channels, 1, 1)])
        elif step == "pool":
            x = net.add("MaxPool", [x], kernel_shape=[3, 3], pads=[1] * 4)
        elif step == "add":
            x = net.add("Add", [x, values[-1]])
        elif step == "join":
            first, _ = net.halves(x, channels)
            _, second = net.halves(values[-1], channels)
            x = net.add("Concat", [first, second], axis=1)
        else:
            x = net.add("Softmax", [x], axis=1)
        values.append(x)
    outputs = list(dict.fromkeys([x, values[min(tap, len(values) - 1)]]))
    tools.check(net.model(tools, 3, outputs))
