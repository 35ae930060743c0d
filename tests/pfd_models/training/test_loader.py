"""Which image is seen when, by whom, and how it is cut: a function of seed, epoch and batch."""

import collections
import multiprocessing

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from pfd_models import get_spec
from pfd_models.errors import DataError
from pfd_models.training import transforms
from pfd_models.training.datasets import find_image_set, list_image_sets, open_splits
from pfd_models.training.distributed import Processes
from pfd_models.training.loader import Order, Shard, batches, make_loader
from pfd_models.training.randomness import SOURCES, seed_inside, seed_of
from pfd_models.training.transforms import Normalise
from pfd_models.zoo.spec import InputSpec


def order_of(rank=0, count=1, images=103, batch_size=20, seed=5):
    return Order(
        images=images,
        batch_size=batch_size,
        run_seed=seed,
        processes=Processes(rank=rank, count=count),
    )


def seen(order, epoch, first=0):
    order.begin(epoch, first)
    return list(order)


def test_an_epoch_sees_every_image_once_in_an_order_of_its_own():
    order = order_of()
    epochs = [[i for t in seen(order, e) for i in t.indices] for e in (0, 1)]
    assert all(sorted(indices) == list(range(103)) for indices in epochs)
    assert epochs[0] != epochs[1]
    assert epochs[0] != list(range(103))
    assert [i for t in seen(order_of(), 1) for i in t.indices] == epochs[1]
    assert [i for t in seen(order_of(seed=6), 1) for i in t.indices] != epochs[1]


def test_a_later_beginning_gives_the_same_batches_from_there():
    order = order_of()
    assert seen(order, 3, first=2) == seen(order, 3)[2:]
    assert len({t.seed for e in (0, 1) for t in seen(order, e)}) == 2 * order.steps


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_each_batch(count):
    alone = [set(t.indices) for t in seen(order_of(), 2)]
    shares = [seen(order_of(rank, count), 2) for rank in range(count)]
    for step, whole in enumerate(alone[:-1]):
        mine = [shares[rank][step].indices for rank in range(count)]
        assert set().union(*mine) == whole
        assert sum(map(len, mine)) == len(whole)
        assert len({shares[rank][step].seed for rank in range(count)}) == count


def test_a_last_batch_of_too_few_images_is_left_out():
    assert order_of(images=103).steps == 6  # 3 images are enough for one process
    assert order_of(images=103, count=2).steps == 5  # not for two
    assert order_of(images=101).steps == 5
    assert order_of(images=103).size_of(5) == 3
    with pytest.raises(DataError, match="the training split has 3 images, too few for 2 processes"):
        order_of(images=3, count=2)


def test_shards_hold_every_image_once():
    for count in (1, 2, 4):
        shares = [
            Shard(images=11, batch_size=2, processes=Processes(rank=r, count=count))
            for r in range(count)
        ]
        indices = [i for share in shares for ticket in share for i in ticket.indices]
        assert sorted(indices) == list(range(11))
        assert [len(list(share)) for share in shares] == [len(share) for share in shares]


def loaded(split, workers, epoch=1):
    order = order_of(images=len(split.labels), batch_size=7)
    order.begin(epoch)
    transform = transforms.cut_and_flip(16)
    return list(batches(make_loader(split, transform, order, workers=workers)))


def test_workers_change_nothing_and_the_networks_stream_is_not_drawn_from(folders):
    split = open_splits("imagefolder", folders).train
    before = torch.get_rng_state()
    alone = loaded(split, workers=0)
    assert torch.equal(torch.get_rng_state(), before)
    several = loaded(split, workers=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(alone) == len(several) == 3
    for a, b in zip(alone, several, strict=True):
        assert torch.equal(a.pixels, b.pixels)
        assert torch.equal(a.labels, b.labels)
    other = loaded(split, workers=0, epoch=2)
    assert not torch.equal(alone[0].pixels, other[0].pixels)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_line_from_a_worker_too(folders, tmp_path, workers):
    split = open_splits("imagefolder", folders).train
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG")
    split.paths[3] = str(bad)
    with pytest.raises(DataError, match=r"cannot read the image .*bad.png") as e:
        loaded(split, workers)
    assert "\n" not in str(e.value)
    assert not multiprocessing.active_children()  # though the error, and its frames, are still here


# ---- transforms ----


@pytest.mark.parametrize("name", list_image_sets())
def test_every_set_gives_bytes_of_the_wanted_side(name):
    _, data = find_image_set(name)
    image = Image.new("RGB", (50, 41), (10, 200, 30))
    tensor = v2.functional.pil_to_tensor(image)
    for side in (32, 48):
        for make in (data.augment, data.prepare):
            found = make(side)(image)
            assert found.shape == (3, side, side)
            assert found.dtype == torch.uint8
    if name in ("cifar100", "cifar10", "digits"):
        assert data.augment(32)(tensor).dtype == torch.uint8


def test_shifting_moves_by_up_to_four_pixels_and_flipping_mirrors_half():
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[:, 10, 4] = 255
    found = collections.Counter()
    torch.manual_seed(0)
    cut = transforms.shift_and_flip(32)
    for _ in range(300):
        row, column = (cut(image)[0] == 255).nonzero()[0].tolist()
        found[row - 10, column] += 1
    rows = {row for row, _ in found}
    columns = {column for _, column in found}
    assert rows == set(range(-4, 5))
    assert columns == set(range(9)) | {31 - c for c in range(9)}
    mirrored = sum(n for (_, column), n in found.items() if column > 15)
    assert 115 < mirrored < 185
    still = transforms.shift(32)
    assert all((still(image)[0] == 255).nonzero()[0, 1] < 16 for _ in range(50))


def test_an_image_of_the_right_size_is_only_copied():
    image = torch.arange(3 * 32 * 32).reshape(3, 32, 32).to(torch.uint8)
    assert torch.equal(transforms.whole(32)(image), image)
    assert transforms.whole(16)(image).shape == (3, 16, 16)


def test_dogs_are_squeezed_not_cut_before_the_window():
    wide = Image.new("RGB", (400, 200))
    wide.paste((255, 255, 255), (0, 0, 200, 200))
    centre = transforms.centre_of_square(224)(wide)
    assert centre[0, :, :105].min() == 255  # the white half is still half
    assert centre[0, :, 119:].max() == 0
    kept = transforms.centre(224)(wide)  # the shorter side decides: only the middle is seen
    assert kept[0, :, :105].min() == 255
    torch.manual_seed(1)
    dimmed = {int(transforms.cut_from_square(224)(wide).max()) for _ in range(12)}
    assert len(dimmed) > 3  # brightness varies
    assert min(dimmed) >= int(0.6 * 255) - 1


@pytest.mark.parametrize("model", ["mobilenetv3_large", "shufflenetv2"])
def test_normalisation_equals_torchvisions(model):
    spec = get_spec(model).input
    pixels = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    theirs = v2.functional.normalize(pixels.float() / 255, spec.mean, spec.std)
    assert torch.equal(Normalise(spec)(pixels), theirs)
    assert Normalise(spec).is_plain == (model == "mobilenetv3_large")


def test_a_deviation_alone_is_not_plain():
    spec = InputSpec(height=2, width=2, mean=(0.0, 0.0, 0.0), std=(0.5, 1.0, 1.0))
    found = Normalise(spec)(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8))
    assert found[0, :, 0, 0].tolist() == [2.0, 1.0, 1.0]


# ---- randomness ----


def test_seeds_differ_by_run_source_and_place():
    seeds = [
        seed_of(run, source, *place)
        for run in (0, 1)
        for source in SOURCES
        for place in ((), (0,), (1,), (0, 1), (1, 0))
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(0, "order", 3) == seed_of(0, "order", 3)


def test_a_seeded_block_repeats_and_leaves_no_trace():
    torch.manual_seed(3)
    first = torch.rand(2)
    with seed_inside(9):
        inside = torch.rand(2)
    second = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(4), torch.cat([first, second]))
    with seed_inside(9):
        assert torch.equal(torch.rand(2), inside)
