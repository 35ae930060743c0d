"""Images a second: this project's training loop beside a plain loop of the same recipe.

The plain loop is what the paper's reference describes: PIL transforms to float images in the
loading processes, float32, the loss and the accuracy read back after every batch. Both train the
same network on the same random images in CIFAR's size; rounds alternate, so that a busy machine
slows both.

    python benchmarks/train_throughput.py                              # GPU if there is one
    python benchmarks/train_throughput.py --device cpu --images 512 --workers 0
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from pfd_models import build_model, get_spec, orthonormality_regulariser
from pfd_models.training.datasets._arrays import ArraySplit
from pfd_models.training.distributed import Processes
from pfd_models.training.engine import Speed, make_engine, update
from pfd_models.training.loader import Order, batches, make_loader
from pfd_models.training.recipes import Recipe, default_recipe
from pfd_models.training.transforms import shift_and_flip
from pfd_models.zoo.spec import ModelSpec

Epoch = Callable[[], None]


class _PlainImages(Dataset[tuple[Tensor, int]]):
    """What torchvision's CIFAR class does with an image."""

    def __init__(self, split: ArraySplit, spec: ModelSpec) -> None:
        self.data = split.pixels.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = split.labels
        steps = [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
        if set(spec.input.std) != {1.0}:
            steps.append(transforms.Normalize(spec.input.mean, spec.input.std))
        self.transform = transforms.Compose(steps)
        self.to_pil = transforms.functional.to_pil_image

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.to_pil(self.data[index])), self.labels[index]


def plain(
    split: ArraySplit, spec: ModelSpec, recipe: Recipe, device: torch.device, workers: int
) -> Epoch:
    """Return one epoch of the plain loop."""
    loader = DataLoader(
        _PlainImages(split, spec),
        batch_size=recipe.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )
    torch.manual_seed(0)
    model = build_model(spec).to(device).train()
    regularised = spec.model.endswith("_bsconvs")
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=1e-3,  # random labels are no lesson; a small rate keeps the numbers finite
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )

    def epoch() -> None:
        for pixels, labels in loader:
            images, targets = pixels.to(device), labels.to(device)
            scores = model(images)
            loss = nn.functional.cross_entropy(scores, targets)
            if regularised:
                loss = loss + recipe.alpha * orthonormality_regulariser(model)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()
            (scores.argmax(1) == targets).float().mean().item()

    return epoch


def ours(
    split: ArraySplit,
    spec: ModelSpec,
    recipe: Recipe,
    device: torch.device,
    workers: int,
    speed: Speed,
) -> Epoch:
    """Return one epoch of this project's loop."""
    alone = Processes()
    order = Order(
        images=len(split.labels), batch_size=recipe.batch_size, run_seed=0, processes=alone
    )
    loader = make_loader(
        split, shift_and_flip(32), order, workers=workers, pin_memory=device.type == "cuda"
    )
    torch.manual_seed(0)
    engine = make_engine(
        build_model(spec),
        spec,
        recipe.replace_values({"learning_rate": 1e-3}),
        device=device,
        speed=speed,
        processes=alone,
    )
    engine.model.train()
    epochs = iter(range(1_000_000))

    def epoch() -> None:
        order.begin(next(epochs))
        total = torch.zeros((), device=device, dtype=torch.float64)
        for step, batch in enumerate(batches(loader)):
            total += update(engine, batch, order.size_of(step))
            if step % 10 == 9:
                total.item()  # the loop looks at the loss this often

    return epoch


def measure(contestants: dict[str, Epoch], images: int, rounds: int, device: torch.device) -> None:
    """Alternate the contestants and print a line each, after Ctrl-C of the whole rounds."""
    rounds_done: list[list[float]] = []
    with contextlib.suppress(KeyboardInterrupt):
        for turn in range(rounds + 1):
            rates_of_round = []
            for epoch in contestants.values():
                begin = time.perf_counter()
                epoch()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                rates_of_round.append(images / (time.perf_counter() - begin))
            if turn:  # the first starts workers, chooses kernels and compiles
                rounds_done.append(rates_of_round)
    if not rounds_done:
        print("no round was finished; give fewer --images")
        return
    rates = dict(zip(contestants, zip(*rounds_done, strict=True), strict=True))
    base = statistics.median(next(iter(rates.values())))
    print(f"medians of {len(rounds_done)} rounds:")
    for name, found in rates.items():
        middle = statistics.median(found)
        print(
            f"{name:<44} {middle:9.0f} images/s  {middle / base:5.2f}x  "
            f"(lowest {min(found):.0f}, highest {max(found):.0f})"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="mobilenetv3_large_bsconvs")
    parser.add_argument("--variant", default="ours")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, default=12_800, help="a round (default: 12800)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--batch-size", type=int, help="the recipe's when not given")
    parser.add_argument(
        "--compile",
        nargs="*",
        default=["default", "max-autotune"],
        metavar="MODE",
        help="modes of torch.compile to measure on a GPU; none when empty "
        "(default: default max-autotune, which compiles for minutes)",
    )
    options = parser.parse_args(arguments)

    device = torch.device(options.device)
    spec = get_spec(options.model, options.variant, "cifar100")
    recipe = default_recipe(spec, "cifar100")
    if options.batch_size:
        recipe = recipe.replace_values({"batch_size": options.batch_size})
    images = options.images // recipe.batch_size * recipe.batch_size  # whole batches for both
    generator = torch.Generator().manual_seed(0)
    split = ArraySplit(
        pixels=torch.randint(0, 256, (images, 3, 32, 32), generator=generator).byte(),
        labels=torch.randint(0, 100, (images,), generator=generator).tolist(),
    )
    given = (split, spec, recipe, device, options.workers)
    contestants = {"plain loop, float32": plain(*given)}
    speeds = [Speed(), Speed(channels_last=True)]
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # as pfd_models.train does, and here for both
        speeds += [
            Speed(amp="bf16", channels_last=True, compile=mode) for mode in ("", *options.compile)
        ]
    for speed in speeds:
        words: list[str] = ["float32" if speed.amp == "off" else speed.amp]
        words += ["channels_last"] * speed.channels_last
        words += [f"compile {speed.compile}"] * bool(speed.compile)
        contestants[f"this loop, {', '.join(words)}"] = ours(*given, speed)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(
        f"{spec.model}/{spec.variant}, batch {recipe.batch_size}, {options.workers} workers, "
        f"{name}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
    )
    measure(contestants, images, options.rounds, device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
