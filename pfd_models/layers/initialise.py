"""Initial weights, as the networks' publications have them."""

from __future__ import annotations

from torch import nn

__all__ = ["initialise_bsconv", "initialise_fan_out"]


def initialise_fan_out(model: nn.Module) -> None:
    """Initialise convolutions by He's rule on the fan-out, linear layers by N(0, 0.01).

    Biases become 0, normalisations the identity; parameters of other modules stay.
    Source: the paper's hyper-parameter set 2, as torchvision's MobileNets.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def initialise_bsconv(model: nn.Module, classifier: nn.Conv2d) -> None:
    """Initialise convolutions by He's uniform rule on the fan-in, the classifier by Glorot's.

    Biases become 0, except the classifier's. Source: the BSConv library, hyper-parameter set 1.

    Args:
        model: The whole network, before any convolution is replaced.
        classifier: Its last layer.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module is not classifier:
            nn.init.kaiming_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.xavier_normal_(classifier.weight)
