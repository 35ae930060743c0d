"""A network that learns in integers computes those of the exported one, in every bit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pfd_models
from export.network.batch_norm import calibrate_batchnorm
from export.quantization.integer_reference import run_integers
from export.quantization.qat import kernels
from export.quantization.qat.preparation import make_network, prepare, quantize_trained
from export.quantization.quantize import quantize
from pfd_models.checkpoints import load_quantized, save_quantized
from pfd_models.errors import WeightsError
from tests.export.quantization.conftest import capture_simply, noise
from tests.export.quantization.test_networks import NETWORKS
from tests.export.quantization.test_quantize import SHAPE, network

SPEC = pfd_models.get_spec("resnet20", "orig", "cifar100")


def images(samples):
    return torch.cat([x for (x,) in samples])


def integers(quantized, samples):
    return torch.cat([run_integers(quantized.program, x)[0] for x in samples])


def learn(net, x, *, rate=0.02):
    """Change the weights once."""
    net(x).square().sum().backward()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter -= rate * parameter.grad / parameter.grad.abs().max()


def trained(net):
    return net.weights(dataset="noise", samples=6, seed=0)


OPERATORS = {
    "a convolution behind a border": (
        lambda x, conv: F.relu6(conv(x)), nn.Conv2d(3, 4, 3, stride=2, padding=1)
    ),
    "a linear layer without a bias": (
        lambda x, layer: layer(x.flatten(1)), nn.Linear(3 * 256, 5, bias=False)
    ),
    "a sum of other scales": (lambda x, conv: conv(x) + x, nn.Conv2d(3, 3, 1)),
    "a product": (lambda x, conv: conv(x) * x, nn.Conv2d(3, 3, 1)),
    "a sum with a constant": (lambda x, conv: conv(x) + 0.3, nn.Conv2d(3, 3, 1)),
    "a table": (lambda x, conv: F.hardswish(conv(x)), nn.Conv2d(3, 3, 1)),
    "a mean": (lambda x, conv: conv(x).mean((2, 3)), nn.Conv2d(3, 3, 1)),
    "values that move": (
        lambda x, conv: torch.cat([F.max_pool2d(conv(x), 3, 1, 1), x], 1)[:, 1:5],
        nn.Conv2d(3, 3, 1),
    ),
    "an operator in float and its clamp": (
        lambda x, conv: conv(F.relu(torch.softmax(x, 1) - 0.3)), nn.Conv2d(3, 3, 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_the_forward_pass_returns_the_integers_of_the_exported_network(name):
    function, layer = OPERATORS[name]
    program, held = capture_simply(function, SHAPE, layer), noise(SHAPE, 5, seed=1)
    net = make_network(program, noise(SHAPE, 6), spec=SPEC, start={})
    assert torch.equal(net(images(held)), integers(quantize(program, noise(SHAPE, 6)), held))


def test_after_an_update_the_exporter_rounds_to_the_networks_own_integers(tmp_path):
    program, held = network(), noise(SHAPE, 5, seed=1)
    net = make_network(program, noise(SHAPE, 6), spec=SPEC, start={})
    before = net(images(held))
    learn(net, images(held))
    save_quantized(trained(net), tmp_path / "qat.pt")
    quantized = quantize_trained(program, load_quantized(tmp_path / "qat.pt"))
    after = net(images(held))
    assert not torch.equal(after, before)
    assert torch.equal(after, integers(quantized, held))


def test_every_layer_receives_a_gradient_except_an_average():
    program = capture_simply(
        lambda x, a, b: b(F.avg_pool2d(a(x), 2)), SHAPE, nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)
    )
    net = make_network(program, noise(SHAPE, 6), spec=SPEC, start={})
    net(images(noise(SHAPE, 2))).square().sum().backward()
    learns = [p.grad is not None and bool(p.grad.any()) for p in net.parameters()]
    assert learns == [True, True, False, False, True, True]


def test_the_gradient_is_that_of_the_float_network_where_nothing_saturates():
    program = capture_simply(lambda x, conv: conv(x), SHAPE, nn.Conv2d(3, 4, 3))
    net = make_network(program, noise(SHAPE, 20), spec=SPEC, start={})
    x = images(noise(SHAPE, 20))
    found = net(x)
    slopes = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    (found * slopes).sum().backward()
    (layer,) = net.layers.values()
    weight = layer.weight.detach().clone().requires_grad_()
    (F.conv2d(x, weight, layer.bias.detach()) * slopes).sum().backward()
    error = (layer.weight.grad - weight.grad).abs().max() / weight.grad.abs().max()
    assert error < 0.02


def test_a_saturated_value_passes_no_gradient():
    total = torch.tensor([-900.0, 30.0, 900.0], requires_grad=True)
    stored = kernels.requantize(total, torch.tensor(0.5), torch.tensor(-100.0))
    assert stored.tolist() == [-28.0, 15.0, 227.0]
    stored.sum().backward()
    assert total.grad.tolist() == [0.0, 0.5, 0.0]


def test_halves_are_rounded_to_even_as_the_runtimes_do():
    assert kernels.round_through(torch.tensor([0.5, 1.5, -2.5])).tolist() == [0.0, 2.0, -2.0]


def test_weights_of_another_graph_are_refused():
    program = capture_simply(lambda x, conv: conv(x), SHAPE, nn.Conv2d(3, 4, 3))
    other = capture_simply(lambda x, conv: conv(x) + x, SHAPE, nn.Conv2d(3, 3, 1))
    weights = trained(make_network(program, noise(SHAPE, 2), spec=SPEC, start={}))
    with pytest.raises(WeightsError, match="another graph than this version"):
        quantize_trained(other, weights)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "variant"), NETWORKS)
def test_every_network_learns_in_the_integers_that_it_is_exported_with(model, variant):
    from export.graph.program import capture
    from export.passes import run_passes

    torch.manual_seed(0)
    module = pfd_models.create_model(model, variant, "cifar100").eval()
    shape = (1, 3, module.spec.resolution, module.spec.resolution)
    calibrate_batchnorm(module, [shape], 0)
    net = prepare(module, images(noise(shape, 8)))
    held = noise(shape, 3, seed=1)
    learn(net, images(held), rate=1e-3)
    quantized = quantize_trained(run_passes(capture(module, held[0])), trained(net))
    with torch.no_grad():
        off = (net(images(held)) - integers(quantized, held)).abs().max()
    step = quantized.outputs[0].scale if quantized.outputs[0] is not None else 0.0
    assert float(off) <= (1.001 * step if quantized.kept_float else 0.0)
