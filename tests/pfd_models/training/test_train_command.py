"""`python -m pfd_models.train` as a user types it: both ways in, and every refusal."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from pfd_models import create_model, get_spec, load_weights
from pfd_models.errors import WeightsError
from pfd_models.train import main
from pfd_models.training.recipes import RECIPES


@pytest.fixture
def small(folders, tmp_path):
    """A command that trains for half a second, as a list."""
    return [
        "--dataset", "imagefolder", "--data-root", str(folders), "--shape", "cifar100",
        "--model", "resnet20", "--variant", "orig", "--resolution", "16", "--batch-size", "6",
        "--epochs", "1", "--workers", "0", "--gpu-id", "-1", "--run-folder", str(tmp_path / "run"),
    ]  # fmt: skip


def kept(folder):
    return json.loads((folder / "config.json").read_text())


def refusal(arguments, capsys):
    """The one line of a command that must end with status 2."""
    try:
        status = main(arguments)
    except SystemExit as exit_:
        status = exit_.code
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert status == 2
    assert len(lines) == 1
    assert told.err.rstrip().endswith(lines[0])
    assert told.out == ""
    assert "Traceback" not in told.err
    return lines[0].removeprefix("error: ")


def test_the_references_command_works_flag_for_flag(publish_cifar, tmp_path, capsys):
    publish_cifar(train=1, test=1)
    status = main(
        [
            "-r", str(tmp_path / "cifar100"), "-d", "cifar100", "--download",
            "-a", "cifar_mobilenetv3_large_w1", "-g", "-1", "-j", "0", "-b", "50", "-e", "1",
            "-l", "0.05", "-s", "10", "15", "-m", "0.8", "-w", "2e-4", "--alpha", "0.2",
            "--run-folder", str(tmp_path / "run"),
        ]
    )  # fmt: skip
    assert status == 0
    assert "weights in" in capsys.readouterr().out
    told = kept(tmp_path / "run")
    assert told["model"] == get_spec("mobilenetv3_large", "ours", "cifar100").to_dict()
    recipe = told["recipe"]
    assert recipe["name"] == "set1"
    assert (recipe["learning_rate"], recipe["momentum"], recipe["weight_decay"]) == (
        0.05,
        0.8,
        2e-4,
    )
    assert (recipe["milestones"], recipe["batch_size"], recipe["alpha"]) == ([10, 15], 50, 0.2)
    assert recipe["nesterov"] is False
    assert recipe["sources"]["gamma"].startswith("paper")


def test_a_variant_at_some_sites_is_trained_by_its_name(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small[small.index("orig")] = "down@2"
    del small[small.index("--run-folder") :]
    assert main(small) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert "resnet20_down-2_imagefolder_16_" in folder.name
    assert kept(folder)["model"]["variant"] == "down@2"
    model = create_model("resnet20", "down@2", num_classes=3, resolution=16)
    load_weights(model, folder / "best.pt")
    other = create_model("resnet20", "down@1", num_classes=3, resolution=16)
    with pytest.raises(WeightsError, match="holds resnet20/down@2, not resnet20/down@1"):
        load_weights(other, folder / "best.pt")


def test_the_set_2_scripts_flags_work(small, tmp_path):
    arguments = [a for a in small if a not in ("--gpu-id", "-1")]
    arguments[arguments.index("--data-root")] = "--data-path"
    arguments += ["--lr", "0.02", "--lrf", "0.2", "--num_classes", "3", "--device", "cpu"]
    assert main([*arguments, "--recipe", "set2"]) == 0
    recipe = kept(tmp_path / "run")["recipe"]
    assert (recipe["name"], recipe["learning_rate"], recipe["final_factor"]) == ("set2", 0.02, 0.2)
    assert recipe["nesterov"] is True


def test_without_a_recipe_the_papers_own_is_taken(small, tmp_path):
    assert main([*small, "--seed", "7", "--deterministic", "--amp", "bf16", "--channels-last"]) == 0
    told = kept(tmp_path / "run")
    assert told["recipe"]["name"] == "set1"
    assert told["recipe"]["learning_rate"] == RECIPES["set1"].learning_rate
    assert told["seed"] == 7
    assert told["speed"] == {
        "amp": "bf16",
        "channels_last": True,
        "compile": "",
        "accumulate": 1,
        "deterministic": True,
    }


def test_milestones_given_to_a_cosine_make_it_steps(small, tmp_path):
    assert main([*small, "--recipe", "set2", "-s", "1"]) == 0
    assert kept(tmp_path / "run")["recipe"]["schedule"] == "steps"


def test_progress_is_a_line_an_epoch_off_a_terminal(small, capsys):
    assert main(small) == 0
    told = capsys.readouterr()
    assert "epoch 1/1: loss " in told.err
    assert "recipe set1, 1 epochs of batch 6; seed 0" in told.err
    assert told.out.startswith("best epoch 1: top-1 ")
    assert len(told.out.splitlines()) == 1


# ---- refusals ----


def test_a_run_folder_that_exists(small, capsys):
    assert main(small) == 0
    capsys.readouterr()
    line = refusal(small, capsys)
    assert "exists: go on with that run by --resume, or name another folder" in line
    assert main([*small, "--resume"]) == 0


def test_a_checkpoint_of_another_architecture_or_recipe(small, capsys):
    assert main(small) == 0
    capsys.readouterr()
    other = [a if a != "resnet20" else "resnet56" for a in small]
    assert "model.model resnet20, not resnet56" in refusal([*other, "--resume"], capsys)
    line = refusal([*small, "--resume", "--lr", "0.2"], capsys)
    assert "recipe.learning_rate 0.1, not 0.2" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_no_such_gpu(small, capsys):
    small[small.index("-1")] = "0"
    line = refusal(small, capsys)
    assert line.startswith("there is no GPU 0: this machine has no GPU that PyTorch can use; use")


def test_a_data_root_without_the_archive(publish_cifar, tmp_path, capsys):
    publish_cifar()
    arguments = ["-d", "cifar100", "-r", str(tmp_path), "--model", "shufflenetv2", "-g", "-1"]
    line = refusal([*arguments, "--run-folder", str(tmp_path / "run")], capsys)
    assert line.startswith(f"{tmp_path}/cifar-100-python.tar.gz is missing")
    assert not (tmp_path / "run").exists()


def test_a_split_with_an_empty_class(small, pictures, tmp_path, capsys):
    root = pictures.make_folders(tmp_path / "data", train=2, val=1)
    (root / "val" / "class0001" / "0.png").unlink()
    small[small.index("--data-root") + 1] = str(root)
    assert "validation split of imagefolder has no image of class 'class0001'" in refusal(
        small, capsys
    )


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        (
            ["--accumulate", "4"],
            "a batch of 6 images cannot be shared evenly by 1 processes with 4",
        ),
        (["--accumulate", "0"], "accumulate 0 is too small"),
        (["--dataset", "imagfolder"], "unknown data set 'imagfolder': did you mean 'imagefolder'"),
        (["--variant", "our"], "unknown variant 'our' for resnet20: did you mean 'ours'"),
        (["--recipe", "set4"], "unknown recipe 'set4'"),
        (["--architecture", "cifar_resnet20"], "say what to train: --model NAME, or"),
        (["--epochs", "0"], "epochs 0 is too small"),
        (["--epochs", "x"], "argument -e/--epochs: invalid int value: 'x'; see --help"),
        (["--lr", "-1"], "learning_rate -1.0 is not above 0"),
        (["--seed", "-1"], "seed -1 is negative"),
        (["--gpu-id", "-2"], "there is no GPU -2"),
        (["--device", "cuda:0"], "--gpu-id -1 and --device cuda:0 are not the same"),
        (["--device", "gpu"], "unknown device 'gpu'; use cpu, cuda or cuda:0"),
        (["--num-classes", "0"], "0 classes are too few"),
        (["--num-classes", "4"], "the network has 4 classes, imagefolder has 3"),
        (["--resolution", "0"], "resolution 0 is too small"),
        (["--shape", "cifar"], "unknown data set 'cifar': did you mean 'cifar100'"),
        (["--amp", "fp8"], "argument --amp: invalid choice: 'fp8'"),
    ],
)
def test_other_bad_input_is_one_line_too(small, capsys, tmp_path, extra, match):
    assert match in refusal([*small, *extra], capsys)
    assert not (tmp_path / "run").exists()


def test_a_divergence_is_a_gate_that_says_no(small, capsys):
    status = main([*small, "--lr", "1e30"])
    told = capsys.readouterr()
    assert status == 1
    assert "error: the loss is not finite in epoch 1, step " in told.err


@pytest.mark.parametrize(
    # Both are given to a run in tests/pfd_models/training/test_run.py.
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_a_signal_to_the_whole_group_saves_and_exits(small, tmp_path, number):
    # Ctrl-C reaches the processes that load images too.
    arguments = [*small, "--workers", "2", "--epochs", "500"]
    arguments = ["1000" if a == "1" else a for a in arguments]
    process = subprocess.Popen(
        [sys.executable, "-m", "pfd_models.train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    log = tmp_path / "run" / "log.csv"
    end = time.monotonic() + 120
    while not (log.is_file() and len(log.read_text().splitlines()) > 1):
        assert time.monotonic() < end
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out.startswith(f"{number.name}: saved after ")
    assert "Traceback" not in err
    assert (tmp_path / "run" / "last.pt").is_file()


def test_help_does_not_load_torch():
    code = (
        "import sys\nfrom pfd_models.train import main\n"
        "import pfd_models.evaluate, pfd_models.ablation\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_documented_digits_run_learns(tmp_path):
    command = ["--dataset", "digits", "--model", "shufflenetv2", "--resolution", "16"]
    command += ["--channels-last", "--gpu-id", "-1", "--run-folder", str(tmp_path / "run")]
    assert main(command) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["last"]["top1"] > 95
