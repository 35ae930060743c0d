"""The command line, run as a user runs it."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from export import load_manifest
from export.build import main
from export.formats import list_formats
from export.sets.files import sha256_file
from pfd_models.errors import IntegrityError

SMALL = ["--model", "shufflenetv2_x0_5", "--variant", "ours"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def first(folder):
    """The first build of the small set: exit status and what was printed."""
    command = [sys.executable, "-m", "export.build", *SMALL, "--out", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


STEM = "shufflenetv2_x0_5_ours_cifar100_32_fp32"


def test_one_command_makes_three_verified_files_and_a_manifest(first, folder):
    assert first.returncode == 0, first.stderr
    manifest = load_manifest(folder / f"{STEM}.json")
    assert (
        {a.format for a in manifest.artifacts} == set(list_formats()) == {"onnx", "pte", "tflite"}
    )
    for artifact in manifest.artifacts:
        assert 0 < artifact.parity.relative_linf <= artifact.parity.limit <= 1e-4
        assert artifact.parity.samples >= 8
        assert artifact.parity.relative_linf <= 4 * artifact.parity.eager_relative_linf
        assert artifact.leftovers == ()
        assert artifact.delegates == (None if artifact.format == "onnx" else 1)
        assert artifact.file in first.stdout
    assert manifest.params > 100_000
    assert manifest.weights.startswith("seed:0, untrained")


def test_the_libraries_are_quiet_and_each_step_is_named(first):
    lines = first.stderr.splitlines()
    assert all(line.startswith(("loading", "shufflenetv2_x0_5/ours ")) for line in lines), lines
    assert len(lines) >= 7


def test_a_rebuild_with_nothing_changed_says_so_without_loading_torch(first, folder):
    code = (
        "import sys; from export.build import main; status = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *SMALL, "--out", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 unchanged" in done.stdout
    assert done.stderr == ""


def test_a_damaged_file_is_noticed_and_built_again(first, folder, capfd):
    path = folder / f"{STEM}.onnx"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(IntegrityError):
        load_manifest(folder / f"{STEM}.json")
    assert main([*SMALL, "--out", str(folder)]) == 0
    assert "built 1 set" in capfd.readouterr().out
    assert path.read_bytes() == good  # the same content makes the same bytes


def test_a_format_is_added_without_building_the_others_again(tmp_path, capfd):
    arguments = ["--model", "resnet20", "--out", str(tmp_path)]
    assert main([*arguments, "--formats", "onnx"]) == 0
    before = load_manifest(tmp_path / "resnet20_ours_cifar100_32_fp32.json")
    assert main([*arguments, "--formats", "onnx,tflite"]) == 0
    after = load_manifest(tmp_path / "resnet20_ours_cifar100_32_fp32.json")
    assert after.artifact("onnx") == before.artifact("onnx")
    assert after.build_id == before.build_id
    assert {a.format for a in after.artifacts} == {"onnx", "tflite"}
    assert "unchanged" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model", "shufflnetv2"], "did you mean 'shufflenetv2'"),
        (["--model", "ghostnet", "--variant", "our"], "did you mean 'ours'"),
        (["--model", "resnet20", "--variant", "efv2"], "resnet20 has no variant 'efv2'"),
        (["--model", "shufflenetv2", "--resolution", "4"], "stage 3.*use a resolution of at least"),
        (["--model", "shufflenetv2", "--dataset", "cifar"], "did you mean 'cifar100'"),
    ],
)
def test_a_wrong_name_or_size_is_one_line(tmp_path, capfd, arguments, line):
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capfd.readouterr().err.splitlines()
    assert re.match(f"error: .*{line}", error[-1])
    assert error[:-1] == ["loading the model zoo"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "say what to build"),
        (["--model", "a", "--module", "b:c"], "say what to build"),
        (["--model", "a", "--formats", "pt"], "unknown format 'pt': did you mean 'pte'"),
        (["--model", "a", "--formats", ","], "empty list"),
        (["--model", "a", "--seed", "-1"], "seed -1 is negative"),
        (["--model", "a", "--weights", "/no/such.pt"], "cannot read the checkpoint /no/such.pt"),
        (["--model", "a", "--padding-free"], "go with --module"),
        (["--module", "a:b"], "needs the input's shape"),
        (["--module", "a:b", "--input", "1,3,x"], "write it as 1,3,224,224"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_loads(capsys, arguments, line):
    assert main(arguments) == 2
    assert re.match(f"error: .*{re.escape(line)}", capsys.readouterr().err)


def test_an_output_folder_that_cannot_be_is_one_line(tmp_path, capfd):
    (tmp_path / "file").write_text("x")
    assert main(["--model", "resnet20", "--formats", "onnx", "--out", str(tmp_path / "file")]) == 2
    assert "cannot write" in capfd.readouterr().err.splitlines()[-1]


def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(tmp_path):
    """A file-size limit stops the write half way, as a full disk does."""
    code = (
        "import resource, signal, sys; from export.build import main; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["--model", "resnet20", "--formats", "onnx", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert re.search(r"error: resnet20/ours: cannot write .*make room", done.stderr)
    assert "Traceback" not in done.stderr
    assert [n for n in os.listdir(tmp_path) if not n.startswith(".")] == []
    assert not [n for n in os.listdir(tmp_path) if n.startswith(".building")]


USER_FILE = """
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
    def forward(self, x):
        return self.norm(self.b(self.a(x).relu())).relu().mean((2, 3))

class Branches(Plain):
    def forward(self, x):
        if x.sum() > 0:
            return super().forward(x)
        return x.mean((2, 3))

class Odd(Plain):
    def forward(self, x):
        return torch.fft.fft2(super().forward(x)[:, :, None, None]).real.flatten(1)
"""


@pytest.fixture
def user(tmp_path, monkeypatch):
    (tmp_path / "user_nets.py").write_text(USER_FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_users_module_is_built_padding_free(user, capfd):
    arguments = ["--module", "user_nets:Plain", "--input", "1,3,17,17", "--padding-free"]
    assert main(arguments) == 0, capfd.readouterr().err
    manifest = load_manifest(user / "artifacts" / "Plain_pfd_1x3x17x17_fp32.json")
    assert len(manifest.conversions) == 1
    assert {a.delegates for a in manifest.artifacts} == {None, 1}


@pytest.mark.parametrize(
    ("factory", "line"),
    [("Branches", r"user_nets\.py:16"), ("Plan", "unknown factory 'Plan'.*did you mean 'Plain'")],
)
def test_a_users_module_that_cannot_be_built_is_one_line(user, capfd, factory, line):
    assert main(["--module", f"user_nets:{factory}", "--input", "1,3,16,16"]) == 2
    error = [x for x in capfd.readouterr().err.splitlines() if x.startswith("error")]
    assert len(error) == 1
    assert re.search(line, error[0]), error
    assert not list((user / "artifacts").glob("[!.]*"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Trained-looking weights of resnet20/ours: other statistics than a fresh network has."""
    import torch

    from pfd_models import create_model
    from pfd_models.checkpoints import save_weights

    torch.manual_seed(7)
    model = create_model("resnet20", "ours").train()
    for _ in range(6):
        model(torch.randn(8, 3, 32, 32))
    path = tmp_path_factory.mktemp("weights") / "resnet20.pt"
    save_weights(model.eval(), path)
    return path


def test_a_checkpoint_goes_into_the_files_and_into_their_key(tmp_path, checkpoint, capfd):
    arguments = ["--model", "resnet20", "--formats", "onnx", "--out", str(tmp_path)]
    assert main([*arguments, "--weights", str(checkpoint)]) == 0
    trained = load_manifest(tmp_path / "resnet20_ours_cifar100_32_fp32.json")
    assert trained.weights == f"sha256:{sha256_file(checkpoint)}"
    assert main(arguments) == 0
    seeded = load_manifest(tmp_path / "resnet20_ours_cifar100_32_fp32.json")
    assert seeded.build_id != trained.build_id
    assert seeded.artifact("onnx").sha256 != trained.artifact("onnx").sha256


@pytest.mark.parametrize("damage", ["another network", "cut short", "one bit"])
def test_a_checkpoint_that_does_not_fit_is_one_line(tmp_path, checkpoint, capfd, damage):
    content = checkpoint.read_bytes()
    path = tmp_path / "x.pt"
    middle = len(content) // 2
    path.write_bytes(
        {
            "another network": content,
            "cut short": content[:middle],
            "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        }[damage]
    )
    model = "resnet110_bsconvu" if damage == "another network" else "resnet20"
    out = tmp_path / "out"
    assert (
        main(["--model", model, "--formats", "onnx", "--out", str(out), "--weights", str(path)])
        == 2
    )
    error = [x for x in capfd.readouterr().err.splitlines() if x.startswith("error")]
    assert len(error) == 1
    assert str(path) in error[0]
    assert not list(out.glob("[!.]*"))


def test_an_interrupted_build_of_many_goes_on_where_it_stopped(tmp_path):
    """SIGINT after the first set; the same command then builds only what is missing."""
    arguments = ["--model", "resnet20,shufflenetv2_x0_5", "--formats", "onnx", "--jobs", "1"]
    command = [sys.executable, "-m", "export.build", *arguments, "--out", str(tmp_path)]
    first = tmp_path / "resnet20_ours_cifar100_32_fp32.json"
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # What runs in the background of a script inherits an ignored SIGINT; a user's does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not first.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.splitlines()[-1].startswith("interrupted: finished sets are kept")
    assert "Traceback" not in error
    stamp = first.stat().st_mtime_ns
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert first.stat().st_mtime_ns == stamp
    assert "built 1 set, 1 unchanged" in done.stdout
    assert not list(tmp_path.glob(".building*"))
