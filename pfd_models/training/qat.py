"""Training in 8-bit integers, as far as training knows of it: another network in the same loop.

Who makes that network is not known here. The exporter does (`export.qat`), whose quantisers decide
what the integers are; a run is handed its function.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from pfd_models.checkpoints import QuantizedWeights, load_weights, save_quantized
from pfd_models.errors import SpecError, WeightsError
from pfd_models.training.datasets import Split, Transform
from pfd_models.training.transforms import Normalise
from pfd_models.zoo.spec import ModelSpec

__all__ = ["IntegerNetwork", "Prepare", "Qat", "load_in_integers", "save_in_integers"]

CALIBRATION_SAMPLES = 64
"""Training images whose values the scales cover, where nobody says how many."""


class IntegerNetwork(Protocol):
    """A network that computes in integers and learns."""

    def weights(self, *, dataset: str, samples: int, seed: int) -> QuantizedWeights:
        """Return what it has learnt, with where it was trained."""


Prepare: TypeAlias = Callable[[nn.Module, Tensor], nn.Module]
"""From a trained float network in evaluation mode and normalised images (N, C, H, W), which fix the
scales, to an `IntegerNetwork`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Qat:
    """That a run trains in integers, and what it begins with.

    Attributes:
        weights: Checkpoint of the trained float network.
        prepare: Makes the network in integers.
        samples: Training images that fix its scales.
    """

    weights: Path
    prepare: Prepare
    samples: int = CALIBRATION_SAMPLES

    def __post_init__(self) -> None:
        """Refuse what no run can have."""
        if self.samples < 1:
            raise SpecError(f"scales of {self.samples} images are none; give 1 or more")

    def decisive(self) -> dict[str, Any]:
        """Return, by name, what must stay the same when a run goes on.

        Raises:
            WeightsError: The checkpoint cannot be read.
        """
        try:
            digest = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise WeightsError(f"cannot read {self.weights}: {reason}") from error
        return {"qat.weights": f"sha256:{digest}", "qat.samples": self.samples}


def load_in_integers(
    qat: Qat, model: nn.Module, spec: ModelSpec, split: Split, transform: Transform, seed: int
) -> nn.Module:
    """Fill a network and make the one in integers of it.

    Args:
        qat: Where its weights are.
        model: Fresh, of this zoo.
        spec: Its specification.
        split: Images to learn from, of which some fix the scales.
        transform: Prepares an image without randomness.
        seed: Chooses these images.

    Raises:
        WeightsError: The checkpoint cannot be read or is another network's.
        DataError: An image cannot be read, or a value of the network is not finite.
    """
    load_weights(model, qat.weights)
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen = generator.permutation(len(split.labels))[: qat.samples]
    pixels = torch.stack([transform(split.picture(int(i))) for i in chosen])
    return qat.prepare(model.eval(), Normalise(spec.input)(pixels))


def save_in_integers(network: nn.Module, path: Path, *, qat: Qat, dataset: str, seed: int) -> None:
    """Write what a network in integers has learnt, whole or not at all.

    Raises:
        OutputError: The folder cannot be written or the disk is full.
    """
    learnt = cast("IntegerNetwork", network)
    save_quantized(learnt.weights(dataset=dataset, samples=qat.samples, seed=seed), path)
