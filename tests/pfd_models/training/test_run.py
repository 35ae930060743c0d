"""A run from beginning to end: what it keeps, how it goes on, how it stops."""

import csv
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from importlib import metadata

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pfd_models import create_model, get_spec, load_weights
from pfd_models.errors import (
    DataError,
    DeviceError,
    DivergenceError,
    OutputError,
    RunError,
    SpecError,
    WeightsError,
)
from pfd_models.training.config import RunConfig
from pfd_models.training.datasets._folders import FileSplit
from pfd_models.training.engine import Speed
from pfd_models.training.folder import RunFolder
from pfd_models.training.recipes import RECIPES
from pfd_models.training.report import Silent
from pfd_models.training.run import train

EPOCHS = 4
MODEL = "mobilenetv3_large_set2"  # has dropout, so the network's random stream matters


def configs(root, folder):
    """Return what makes a run of four epochs of five updates; call it with what differs."""

    def make(name="run", model=MODEL, seed=3, speed=None, resolution=32, **recipe):
        values = {"epochs": EPOCHS, "batch_size": 4, "workers": 0, "learning_rate": 0.01}
        return RunConfig(
            spec=get_spec(model, "orig", num_classes=3, resolution=resolution),
            recipe=RECIPES["set2"].replace_values(values | recipe),
            dataset="imagefolder",
            data_root=root,
            seed=seed,
            speed=speed or Speed(),
            folder=folder / name,
        )

    return make


@pytest.fixture
def config(folders, tmp_path):
    return configs(folders, tmp_path)


class Listens(Silent):
    """Remembers what it was told."""

    def __init__(self):
        self.heard = []

    def begin(self, config, params, images):
        self.heard.append((params, images))

    def epoch(self, record, epochs):
        self.heard.append((record.epoch, epochs))


@pytest.fixture(scope="module")
def whole_run(folders, tmp_path_factory):
    """A run that was never stopped: what was asked, what came, and what was reported."""
    torch.set_num_threads(1)
    asked = configs(folders, tmp_path_factory.mktemp("straight"))()
    listens = Listens()
    return asked, train(asked, report=listens), listens.heard


@pytest.fixture(scope="module")
def straight(whole_run):
    """The folder of the run that was never stopped."""
    return whole_run[1].folder


class Acts(Silent):
    """Does something real at one step of one epoch."""

    def __init__(self, action, epoch=2, step=3):
        self.action, self.epoch_, self.step_ = action, epoch, step

    def step(self, progress, steps, learning_rate):
        if (progress.epoch, progress.step) == (self.epoch_, self.step_):
            self.action()


def state(folder):
    stored = torch.load(folder / "last.pt", weights_only=True)
    stored["progress"] = dict(stored["progress"])
    del stored["progress"]["seconds"]
    for record in stored["progress"]["history"]:
        del record["seconds"], record["images_per_second"]
    return stored


def differences(a, b, path=""):
    """Where two nested states differ, bit for bit."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [path]
    if isinstance(a, dict):
        assert list(a) == list(b), path
        return [d for k in a for d in differences(a[k], b[k], f"{path}/{k}")]
    if isinstance(a, list | tuple):
        assert len(a) == len(b), path
        pairs = enumerate(zip(a, b, strict=True))
        return [d for i, (x, y) in pairs for d in differences(x, y, f"{path}/{i}")]
    return [] if a == b else [f"{path}: {a} != {b}"]


def rows(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


# ---- what is kept ----


def test_a_run_keeps_configuration_logs_and_weights(whole_run):
    asked, result, heard = whole_run
    assert heard == [
        (sum(p.numel() for p in create_model(MODEL, "orig", num_classes=3).parameters()), (18, 15)),
        *((e, EPOCHS) for e in (1, 2, 3, 4)),
    ]
    assert result.interrupted is None
    assert sorted(p.name for p in asked.folder.iterdir()) == [
        "best.pt",
        "config.json",
        "last.pt",
        "log.csv",
        "result.json",
        "tensorboard",
    ]
    kept = json.loads((asked.folder / "config.json").read_text())
    assert kept["model"] == asked.spec.to_dict()
    assert kept["recipe"] == json.loads(json.dumps(asked.recipe.to_dict()))
    assert kept["recipe"]["sources"]["momentum"].startswith("paper")
    assert kept["recipe"]["sources"]["epochs"] == "given by the user"
    assert set(kept["random_sources"]) == {"weights", "order", "augmentation", "network"}
    assert kept["seed"] == 3
    assert kept["versions"]["torch"] == metadata.version("torch")
    logged = rows(asked.folder)
    assert [int(r["epoch"]) for r in logged] == [1, 2, 3, 4]
    rates = [asked.recipe.learning_rate_at(e) for e in range(EPOCHS)]
    assert [float(r["learning_rate"]) for r in logged] == rates
    assert [float(r["top1"]) for r in logged] == [r.top1 for r in result.history]
    events = EventAccumulator(str(asked.folder / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("accuracy/top1_percent")] == [
        (r.epoch, pytest.approx(r.top1)) for r in result.history
    ]
    assert len(events.Scalars("loss/train")) == EPOCHS


def test_the_weights_load_strictly_and_the_best_is_the_best_epochs(whole_run):
    _, result, _ = whole_run
    model = create_model(MODEL, "orig", num_classes=3, resolution=32)
    load_weights(model, result.folder / "last.pt")
    last = {k: v.clone() for k, v in model.state_dict().items()}
    load_weights(model, result.weights)
    same = all(torch.equal(last[k], v) for k, v in model.state_dict().items())
    assert same == (result.best.epoch == EPOCHS)
    assert result.best.top1 == max(r.top1 for r in result.history)
    told = json.loads((result.folder / "result.json").read_text())
    assert told["best"]["epoch"] == result.best.epoch
    assert told["last"]["epoch"] == EPOCHS


def test_the_same_seed_gives_the_same_run_and_another_seed_another(config):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(config(name, seed=seed, epochs=1))
    folder = config("a").folder.parent
    first, again, other = (state(folder / name) for name in "abc")
    assert differences(first, again) == []
    assert any("state_dict" in d for d in differences(first, other))


# ---- going on ----


@pytest.mark.parametrize(
    ("number", "step"),
    [(signal.SIGINT, 3), (signal.SIGTERM, 5)],
    ids=["within an epoch", "at its end"],
)
def test_a_signal_saves_and_the_resumed_run_is_the_straight_one(config, straight, number, step):
    asked = config()
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stopped = train(asked, report=Acts(lambda: os.kill(os.getpid(), number), step=step))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert stopped.interrupted == number
    assert 2 <= len(stopped.history) < EPOCHS
    assert not (asked.folder / "result.json").exists()
    went_on = train(asked, resume=True)
    assert went_on.interrupted is None
    assert differences(state(asked.folder), state(straight)) == []
    best = [asked.folder / "best.pt", straight / "best.pt"]
    a, b = (torch.load(p, weights_only=True) for p in best)
    assert differences(a, b) == []
    logs = [rows(folder) for folder in (asked.folder, straight)]
    for row in (*logs[0], *logs[1]):
        del row["seconds"], row["images_per_second"]
    assert logs[0] == logs[1]


KILLED = """
import os, pickle, signal, sys, torch
from pfd_models.training.report import Silent
from pfd_models.training.run import train
torch.set_num_threads(1)
class Dies(Silent):
    def step(self, progress, steps, learning_rate):
        if (progress.epoch, progress.step) == (2, 3):
            os.kill(os.getpid(), signal.SIGKILL)
train(pickle.load(sys.stdin.buffer), report=Dies())
"""


def test_two_epochs_a_kill_and_two_epochs_are_four(config, straight):
    asked = config(workers=2)  # other workers, the same run
    sent = pickle.dumps(asked)
    done = subprocess.run([sys.executable, "-c", KILLED], input=sent, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(rows(asked.folder)) == 2
    train(asked, resume=True)
    assert differences(state(asked.folder), state(straight)) == []


def test_a_complete_run_resumed_does_nothing(config):
    asked = config(epochs=1)
    train(asked)
    before = (asked.folder / "last.pt").read_bytes()
    assert len(train(asked, resume=True).history) == 1
    assert (asked.folder / "last.pt").read_bytes() == before


def test_accumulation_and_float16_resume_too(config):
    speed = Speed(amp="fp16", accumulate=2, channels_last=True, deterministic=True)
    train(config("whole", "resnet20", speed=speed, epochs=2, resolution=16))
    asked = config("cut", "resnet20", speed=speed, epochs=2, resolution=16)
    train(asked, report=Acts(lambda: os.kill(os.getpid(), signal.SIGTERM), epoch=0))
    assert not torch.are_deterministic_algorithms_enabled()
    train(asked, resume=True)
    assert differences(state(asked.folder), state(config("whole").folder)) == []
    assert state(asked.folder)["scaler"]["scale"] > 0


# ---- refusals: one line, nothing lost ----


def small(config, name="run", **values):
    return config(name, "resnet20", resolution=16, epochs=1, **values)


def test_a_folder_in_use_is_left_alone(config):
    asked = small(config)
    train(asked)
    before = {p.name: p.stat().st_mtime_ns for p in asked.folder.iterdir()}
    with pytest.raises(
        RunError, match=r"run exists: go on .* --resume, or name another .*--run-folder"
    ):
        train(asked)
    assert {p.name: p.stat().st_mtime_ns for p in asked.folder.iterdir()} == before
    with pytest.raises(RunError, match=r"there is no run in .*none to resume"):
        train(small(config, "none"), resume=True)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"model": "wrn16_1"}, r"trained with model.model resnet20, not wrn16_1; model.options"),
        ({"learning_rate": 0.5}, r"trained with recipe.learning_rate 0.01, not 0.5; ask for"),
        ({"milestones": (7,), "schedule": "steps"}, r"recipe.schedule cosine, not steps; recipe"),
        ({"seed": 4}, r"trained with seed 3, not 4"),
        ({"batch_size": 6}, r"trained with recipe.batch_size 4, not 6"),
        ({"speed": Speed(amp="bf16")}, r"trained with amp off, not bf16"),
    ],
)
def test_a_state_of_another_network_or_recipe_names_the_field(config, values, match):
    train(small(config))
    before = (config().folder / "last.pt").read_bytes()
    model = values.pop("model", "resnet20")
    other = config("run", model, resolution=16, epochs=1, **values)
    if "learning_rate" in values:
        match = match.replace("; ask for", "")
    with pytest.raises(RunError, match=match) as e:
        train(other, resume=True)
    assert "\n" not in str(e.value)
    assert (config().folder / "last.pt").read_bytes() == before


def test_workers_and_data_root_may_differ(config, folders, tmp_path):
    asked = small(config)
    train(asked)
    moved = shutil.copytree(folders, tmp_path / "moved")
    other = small(config, workers=1)
    object.__setattr__(other, "data_root", moved)
    assert len(train(other, resume=True).history) == 1


def test_a_damaged_or_strange_state_is_refused(config):
    asked = small(config)
    train(asked)
    last = asked.folder / "last.pt"
    data = bytearray(last.read_bytes())
    shutil.copy(asked.folder / "best.pt", last)
    with pytest.raises(RunError, match=r"last.pt is no state of a training run"):
        train(asked, resume=True)
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    with pytest.raises(WeightsError, match=r"last.pt is no checkpoint or is damaged"):
        train(asked, resume=True)


def test_a_run_that_cannot_begin_leaves_no_folder(config, tmp_path):
    asked = small(config)
    object.__setattr__(asked, "data_root", tmp_path / "nothing")
    with pytest.raises(DataError, match="train is missing"):
        train(asked)
    assert not asked.folder.exists()
    with pytest.raises(
        SpecError, match=r"a batch of 4 images .* 1 processes with 3 parts .* 3 or 6"
    ):
        train(small(config, speed=Speed(accumulate=3)))
    assert not asked.folder.exists()
    object.__setattr__(asked, "dataset", "digits")
    with pytest.raises(RunError, match="the network has 3 classes, digits has 10"):
        train(asked)


def test_a_loss_that_is_not_finite_names_step_rate_and_checkpoint(config):
    asked = config("run", "resnet20", resolution=16)

    class Breaks(Silent):
        def step(self, progress, steps, learning_rate):
            if (progress.epoch, progress.step) == (1, 2):
                for p in network:
                    p.data.fill_(torch.nan)

    network = []
    real = torch.optim.SGD.__init__

    def watch(self, params, **options):
        network.extend(params := list(params))
        real(self, params, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "__init__", watch)
        with pytest.raises(DivergenceError) as e:
            train(asked, report=Breaks())
    rate = asked.recipe.learning_rate_at(1)
    assert str(e.value) == (
        f"the loss is not finite in epoch 2, step 3, at learning rate {rate:g}; the last good "
        f"checkpoint is {asked.folder / 'last.pt'}; use a lower --learning-rate"
    )
    assert e.value.exit_status == 1
    kept = state(asked.folder)
    assert kept["progress"]["epoch"] == 1
    assert all(v.isfinite().all() for v in kept["state_dict"].values())
    train(asked, resume=True)  # and it goes on from there


def test_a_divergence_in_the_first_epoch_says_that_there_is_no_checkpoint(config):
    asked = config(
        "run", "resnet20", resolution=16, learning_rate=1e30, momentum=0.0, nesterov=False
    )
    with pytest.raises(DivergenceError, match=r"epoch 1, step \d, .* rate 1e\+30; no epoch was"):
        train(asked)


def test_a_full_disk_leaves_the_previous_checkpoint_whole(config):
    asked = config("run", "resnet20", resolution=16)
    size = []

    class Fills(Silent):
        def epoch(self, record, epochs):
            if record.epoch == 1:  # from now on no file can grow to a checkpoint's size
                size.append((asked.folder / "last.pt").read_bytes())
                resource.setrlimit(resource.RLIMIT_FSIZE, (len(size[0]) // 2, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(
            OutputError, match=r"cannot write .*(best|last).pt: file too large; .*room"
        ):
            train(asked, report=Fills())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert (asked.folder / "last.pt").read_bytes() == size[0]
    assert [p.name for p in asked.folder.iterdir() if p.name.startswith(".")] == []
    assert len(train(asked, resume=True).history) == EPOCHS


def test_an_unreadable_image_ends_the_run_with_its_name(config, folders, tmp_path):
    root = shutil.copytree(folders, tmp_path / "copy")
    (root / "train" / "class0001" / "3.png").write_bytes(b"no picture")
    asked = small(config, workers=1)
    object.__setattr__(asked, "data_root", root)
    with pytest.raises(DataError, match=r"cannot read the image .*class0001/3.png"):
        train(asked)


def test_a_killed_loading_process_is_one_line(config, monkeypatch):
    asked = small(config, workers=1)

    def die(self, index):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(FileSplit, "picture", die)
    with pytest.raises(DeviceError, match="loads images was killed"):
        train(asked)


def test_absent_tensorboard_names_the_extra(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        RunError, match=r"tensorboard is not installed; pip install 'pfd-mobile\[train\]'"
    ):
        train(small(config))


def test_a_result_of_another_run_is_not_taken_for_this_ones(config):
    asked = small(config)
    train(asked)
    folder = RunFolder(path=asked.folder)
    assert folder.read_result(asked.decisive(1))[1].epoch == 1
    assert folder.read_result(small(config, seed=9).decisive(1)) is None
    folder.result.write_text("{")
    assert folder.read_result(asked.decisive(1)) is None
