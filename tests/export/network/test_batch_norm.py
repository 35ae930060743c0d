import torch
from torch import nn

from export.network.batch_norm import calibrate_batchnorm, has_pristine_batchnorm


def deep_net():
    torch.manual_seed(0)
    layers = []
    for _ in range(30):
        layers += [nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def spread(net):
    torch.manual_seed(1)
    with torch.no_grad():
        a, b = net(torch.randn(1, 4, 8, 8)), net(torch.randn(1, 4, 8, 8))
    return float((a - b).abs().max() / a.abs().max())


def test_calibration_makes_outputs_depend_on_the_input():
    net = deep_net()
    assert has_pristine_batchnorm(net)
    calibrate_batchnorm(net, [(1, 4, 8, 8)], seed=0)
    assert not has_pristine_batchnorm(net)
    assert spread(net) > 0.01
    assert not any(m.training for m in net.modules())
    assert all(m.momentum == 0.1 for m in net.modules() if isinstance(m, nn.BatchNorm2d))


def test_calibration_is_seeded():
    first, again = deep_net(), deep_net()
    calibrate_batchnorm(first, [(1, 4, 8, 8)], seed=3)
    calibrate_batchnorm(again, [(1, 4, 8, 8)], seed=3)
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), again.buffers(), strict=True))


def test_statistics_that_were_trained_are_not_pristine():
    net = deep_net()
    net[1].running_mean += 0.1
    assert not has_pristine_batchnorm(net)
    assert not has_pristine_batchnorm(nn.Linear(2, 2))
