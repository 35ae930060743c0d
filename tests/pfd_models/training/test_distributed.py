"""Two real processes over gloo, started by torchrun as a user starts them."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pfd_models.errors import RunError
from pfd_models.training.distributed import Processes, choose_device

REPOSITORY = Path(__file__).parents[3]

WORKER = """
import json, os, socket, sys
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from pfd_models.errors import DataError
from pfd_models.zoo.spec import InputSpec, ModelSpec
from pfd_models.training.distributed import processes
from pfd_models.training.engine import Speed, evaluate, make_engine, update
from pfd_models.training.loader import Batch, Order, Shard
from pfd_models.training.recipes import RECIPES

torch.set_num_threads(1)
pixels = torch.randint(0, 256, (37, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
labels = torch.arange(37) % 10
image = InputSpec(height=8, width=8, mean=(0.0,) * 3, std=(1.0,) * 3)
spec = ModelSpec(model="bare", variant="orig", dataset="cifar100", num_classes=10, input=image,
                 small_input=True)

class Bare(nn.Module):
    # Batch statistics only in a branch that training does not feel: gradients add up exactly,
    # and each process gathers statistics of its own.
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(192, 10)
        self.norm = nn.BatchNorm1d(10)
    def forward(self, x):
        scores = self.head(x.flatten(1))
        seen = self.norm(scores)
        return scores + 0 * seen if self.training else scores + seen

def take(ticket):
    index = torch.tensor(ticket.indices, dtype=torch.long)
    return Batch(pixels=pixels[index], labels=labels[index])

def find_free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]

with processes(torch.device("cpu")) as together:
    found = {"wrapped": None}
    for parts in (1, 2):
        torch.manual_seed(1)
        engine = make_engine(Bare(), spec, RECIPES["set1"], device=torch.device("cpu"),
                             speed=Speed(accumulate=parts), processes=together)
        found["wrapped"] = isinstance(engine.forward, DistributedDataParallel)
        order = Order(images=37, batch_size=8, run_seed=2, processes=together)
        for epoch in range(2):
            order.begin(epoch)
            for step, ticket in enumerate(order):
                update(engine, take(ticket), order.size_of(step))
        found[f"weights{parts}"] = [p.tolist() for p in engine.model.parameters()]
        shard = Shard(images=37, batch_size=4, processes=together)
        own = engine.model.norm.running_mean.clone()
        scores = evaluate(engine, [take(t) for t in shard])
        found[f"scores{parts}"] = [scores.images, scores.loss, scores.top1, scores.top5]
        found[f"moved{parts}"] = not torch.equal(own, engine.model.norm.running_mean)
        found["mean"] = engine.model.norm.running_mean.tolist()
    found["shared"] = len(shard.mine)
    everyone = together.gather(found)
    def fail():
        raise DataError("only the main process saw this")
    try:
        together.on_main(fail)
    except DataError as error:
        told = [str(error), error.is_reported]
    everyone_told = together.gather(told)
    if together.is_main:
        print(json.dumps({"ranks": everyone, "told": everyone_told}), flush=True)
    port = together.on_main(find_free_port)

if together.count > 1:  # the command, by the same processes as a group of their own
    from pfd_models.train import main
    os.environ |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
    sys.exit(main(sys.argv[1:]))
"""


def torchrun(arguments):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node=2", *map(str, arguments),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Where the command below would put its run."""
    return tmp_path_factory.mktemp("refused") / "run"


@pytest.fixture(scope="module")
def ended(folders, run_folder, tmp_path_factory):
    """How two processes ended that learnt and then ran a command that cannot be."""
    script = tmp_path_factory.mktemp("worker") / "worker.py"
    script.write_text(WORKER)
    command = [
        "--dataset", "imagefolder", "--data-root", folders, "--shape", "cifar100",
        "--model", "resnet20", "--batch-size", 5, "--gpu-id", -1, "--run-folder", run_folder,
    ]  # fmt: skip
    return torchrun([script, *command])


@pytest.fixture(scope="module")
def together(ended):
    """What one process and what two processes find, from the same script."""
    alone = io.StringIO()
    with contextlib.redirect_stdout(alone):
        exec(WORKER, {"__name__": "worker"})
    assert ended.stdout, ended.stderr
    return [json.loads(alone.getvalue()), json.loads(ended.stdout)]


def test_two_processes_learn_what_one_does(together):
    (alone,), (first, second) = (found["ranks"] for found in together)
    assert (alone["wrapped"], first["wrapped"], second["wrapped"]) == (False, True, True)
    for parts in ("weights1", "weights2"):
        assert first[parts] == second[parts]
        for mine, theirs in zip(alone[parts], first[parts], strict=True):
            assert torch.allclose(torch.tensor(mine), torch.tensor(theirs), rtol=1e-4, atol=1e-6)


def test_an_evaluation_of_uneven_shards_is_exact(together):
    (alone,), (first, second) = (found["ranks"] for found in together)
    assert (first["shared"], second["shared"]) == (19, 18)
    # All measure the main process's network: the other one's batch statistics give way.
    assert (first["moved1"], second["moved1"]) == (False, True)
    assert first["mean"] == second["mean"]
    for parts in ("scores1", "scores2"):
        assert first[parts] == second[parts]
        assert first[parts][0] == alone[parts][0] == 37


def test_an_error_of_the_main_process_reaches_all_and_is_told_once(together):
    assert together[1]["told"] == [
        ["only the main process saw this", False],
        ["only the main process saw this", True],
    ]


@pytest.mark.slow  # the parts are above, and the command under torchrun below
def test_torchrun_trains_a_run_of_two_processes(folders, tmp_path):
    command = [
        "-m", "pfd_models.train", "--dataset", "imagefolder", "--data-root", folders,
        "--shape", "cifar100",
        "--model", "resnet20", "--variant", "orig", "--resolution", 16, "--batch-size", 4,
        "--epochs", 2, "--workers", 0, "--gpu-id", -1, "--run-folder", tmp_path / "run",
    ]  # fmt: skip
    done = torchrun(command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best epoch") == 1  # one process speaks
    with (tmp_path / "run" / "log.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["processes"] == 2
    stored = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert len(stored["streams"]) == 2
    assert not torch.equal(stored["streams"][0]["cpu"], stored["streams"][1]["cpu"])
    # With another number of processes it would be another run.
    alone = subprocess.run(
        [sys.executable, *map(str, command), "--resume"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.returncode == 2
    assert alone.stderr.splitlines()[-1].startswith("error: ")
    assert "trained with processes 2, not 1" in alone.stderr


def test_a_batch_that_two_processes_cannot_share_is_one_line(ended, run_folder):
    told = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert told == [
        "error: a batch of 5 images cannot be shared evenly by 2 processes with 1 parts each; "
        "use --batch-size 4 or 6"
    ]
    assert ended.returncode != 0
    assert "exitcode  : 2" in ended.stderr
    assert "rank      : 0" in ended.stderr.partition("Root Cause")[2]
    assert not run_folder.exists()


def test_a_main_process_alone_runs_actions_and_errors_as_they_are():
    alone = Processes()
    assert alone.on_main(lambda: 5) == 5
    assert alone.gather("x") == ["x"]
    assert alone.add(torch.ones(2)).tolist() == [1, 1]
    with pytest.raises(KeyError):
        alone.on_main(lambda: {}["absent"])


def test_each_process_of_torchrun_takes_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(1) == torch.device("cuda", 1)
    assert choose_device(None) == torch.device("cuda", 0)
    assert choose_device(-1) == torch.device("cpu")
    with pytest.raises(RunError, match="there is no GPU 2: this machine has GPUs 0 to 1"):
        choose_device(2)
    for name, value in (("RANK", 1), ("WORLD_SIZE", 2), ("LOCAL_RANK", 1), ("LOCAL_WORLD_SIZE", 2)):
        monkeypatch.setenv(name, str(value))
    assert choose_device(None) == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RunError, match="there is no GPU 1: this machine has GPUs 0 to 0"):
        choose_device(None)
