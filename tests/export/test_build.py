"""Builds: through the command line as a user runs it, and by the function behind it."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from export import BuildRequest, InputTensor, ModuleSource, ZooSource, load_manifest, make_artifacts
from export.build import main
from export.cli.progress import print_results
from export.cli.workers import Outcome
from export.formats import list_formats
from export.sets.files import sha256_file
from pfd_models.errors import (
    IntegrityError,
    OutputError,
    ParityError,
    WeightsError,
)

# ---- the README's command ----


def test_one_command_makes_three_verified_files_and_a_manifest(readme_build, built):
    assert {a.format for a in built.artifacts} == set(list_formats()) == {"onnx", "pte", "tflite"}
    for artifact in built.artifacts:
        assert 0 < artifact.parity.relative_linf <= artifact.parity.limit <= 1e-4
        assert artifact.parity.samples >= 8
        assert artifact.parity.relative_linf <= 4 * artifact.parity.eager_relative_linf
        assert artifact.leftovers == ()
        assert artifact.delegates == (None if artifact.format == "onnx" else 1)
        assert artifact.file in readme_build.output
    assert built.params > 100_000
    assert built.weights.startswith("seed:0, untrained")


def test_the_libraries_are_quiet_and_each_step_is_named(readme_build):
    lines = readme_build.errors.splitlines()
    assert all(line.startswith(("loading", "shufflenetv2/ours ")) for line in lines), lines
    assert len(lines) >= 7


def test_a_rebuild_with_nothing_changed_says_so_without_loading_torch(readme_build):
    code = (
        "import sys; from export.build import main; status = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    arguments = ["--model", "shufflenetv2", "--variant", "ours", "--out", str(readme_build.folder)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1 unchanged" in done.stdout
    assert done.stderr == ""


# ---- a small module of a user's own ----

USER_FILE = """
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.b = nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16, bias=False)
        self.norm = nn.BatchNorm2d(16)
        # Two threads share out this product, so that the statistics behind it round otherwise.
        self.c, self.last = nn.Conv2d(16, 32, 1), nn.BatchNorm2d(32)
    def forward(self, x):
        x = self.norm(self.b(self.a(x).relu())).relu()
        return self.last(self.c(x)).relu().mean((2, 3))

class Branches(Plain):
    def forward(self, x):
        if x.sum() > 0:
            return super().forward(x)
        return x.mean((2, 3))

class Flat(Plain):
    def forward(self, x):
        return super().forward(x) * 1e-6 + 1.0
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A folder with a user's file."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "user_nets.py").write_text(USER_FILE)
    return folder


@pytest.fixture(scope="module")
def request_of(user):
    """Return the request to build `Plain` into a folder."""

    def request(out, *formats, factory="Plain", padding_free=False, folder=user, **options):
        source = ModuleSource(
            target=f"user_nets:{factory}",
            inputs=(InputTensor(shape=(1, 3, 17, 17)),),
            padding_free=padding_free,
            search_path=str(folder),
        )
        return BuildRequest(source=source, formats=formats, out=out, **options)

    return request


@pytest.fixture(scope="module")
def plain(request_of, tmp_path_factory):
    """A set of one file; whoever changes it takes a copy."""
    request = request_of(tmp_path_factory.mktemp("plain"), "onnx")
    return request, make_artifacts(request).manifest


def test_a_damaged_file_is_noticed_and_built_again(plain, request_of, tmp_path):
    _, manifest = plain
    out = shutil.copytree(manifest.folder, tmp_path / "copy")
    path = out / manifest.artifact("onnx").file
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(IntegrityError):
        load_manifest(out / f"{manifest.stem}.json")
    again = make_artifacts(request_of(out, "onnx"))
    assert again.made == ("onnx",)
    assert path.read_bytes() == good  # the same content makes the same bytes


def test_a_format_is_added_without_building_the_others_again(plain, request_of, tmp_path, capfd):
    _, before = plain
    out = shutil.copytree(before.folder, tmp_path / "copy")
    request = request_of(out, "onnx", "tflite")
    result = make_artifacts(request)
    after = load_manifest(out / f"{before.stem}.json")
    assert result.made == ("tflite",)
    assert after.artifact("onnx") == before.artifact("onnx")
    assert after.build_id == before.build_id
    assert {a.format for a in after.artifacts} == {"onnx", "tflite"}
    print_results([Outcome(request=request, result=result)], (), 1.0)
    lines = capfd.readouterr().out.splitlines()
    assert ["unchanged" in line for line in lines if "_fp32." in line] == [True, False]


def test_an_unchanged_set_is_found_by_its_request(plain):
    request, manifest = plain
    result = make_artifacts(request)
    assert (result.made, result.manifest) == ((), manifest)


# ---- the same request, the same bytes; sets of several sources in one folder ----


@pytest.fixture
def moved(user, tmp_path, monkeypatch):
    """The user's project, copied elsewhere and not yet imported from there."""
    folder = shutil.copytree(user, tmp_path / "moved")
    monkeypatch.delitem(sys.modules, "user_nets")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(user)])
    yield folder
    sys.modules.pop("user_nets", None)  # or the next test would find this copy


def test_neither_threads_nor_processes_nor_the_folder_change_a_byte(
    plain, request_of, moved, tmp_path
):
    import torch

    _, one = plain
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        request = request_of(tmp_path / "out", "onnx", "pte", folder=moved)
        steps = []
        two = make_artifacts(request, steps.append, processes=2).manifest
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert two.build_id == one.build_id
    assert steps[-3:] == ["onnx", "pte", "publish"]
    assert two.artifact("onnx").sha256 == one.artifact("onnx").sha256
    assert two.reference.sha256 == one.reference.sha256


def test_a_set_never_mixes_networks(plain, request_of, tmp_path, monkeypatch):
    """Another machine's arithmetic may make another network of the same request."""
    from export.network import network

    def calibrate(module, *arguments, **options):
        calibrate_batchnorm(module, *arguments, **options)
        module.norm.running_mean += 1e-6

    calibrate_batchnorm = network.calibrate_batchnorm
    monkeypatch.setattr(network, "calibrate_batchnorm", calibrate)
    _, before = plain
    out = shutil.copytree(before.folder, tmp_path / "copy")
    result = make_artifacts(request_of(out, "tflite"))
    assert result.made == ("onnx", "tflite")
    assert result.manifest.build_id != before.build_id
    assert result.manifest.artifact("onnx").sha256 != before.artifact("onnx").sha256


def test_a_set_of_another_source_is_not_replaced(plain, request_of, moved, tmp_path_factory):
    _, before = plain
    out = shutil.copytree(before.folder, tmp_path_factory.mktemp("shared"), dirs_exist_ok=True)
    code = moved / "user_nets.py"
    code.write_text(code.read_text().replace("relu().mean", "sigmoid().mean"))
    line = r"user_nets_Plain_.*fp32.json is a set of user_nets:Plain in .*/user0/user_nets.py, not "
    line += r"of user_nets:Plain in .*/moved/user_nets.py; give another --name .* or --force"
    with pytest.raises(OutputError, match=line):
        make_artifacts(request_of(out, "onnx", folder=moved))
    assert load_manifest(out / f"{before.stem}.json") == before


def test_a_users_module_is_built_padding_free(request_of, tmp_path):
    request = request_of(tmp_path, "onnx", "pte", "tflite", padding_free=True)
    manifest = make_artifacts(request).manifest
    assert manifest.stem == "user_nets_Plain_pfd_1x3x17x17_fp32"
    assert len(manifest.conversions) == 2
    assert manifest.conversions[0].startswith("b: depthwise 3x3 s2 p1")
    assert manifest.conversions[1].startswith("left as it is: stem: a: no normalisation")
    assert {a.delegates for a in manifest.artifacts} == {None, 1}


def test_a_network_that_is_flat_by_nature_is_built_when_asked_and_says_so(
    plain, request_of, tmp_path
):
    with pytest.raises(ParityError, match="outputs barely depend on the input") as caught:
        make_artifacts(request_of(tmp_path, "onnx", factory="Flat"))
    line = str(caught.value)
    assert "\n" not in line
    for advice in ("--weights", "--input-range 0,255", "--samples", "--allow-flat-output"):
        assert advice in line
    assert not list(tmp_path.glob("[!.]*"))
    _, other = plain
    asked = request_of(
        tmp_path, "onnx", factory="Flat", allow_flat_output=True,
        samples=other.path(other.reference),
    )  # fmt: skip
    manifest = load_manifest(tmp_path / f"{make_artifacts(asked).manifest.stem}.json")
    assert manifest.allow_flat_output
    assert manifest.parity_inputs.startswith(f"2 samples of {other.reference.file}, sha256 ")
    assert manifest.artifact("onnx").parity.samples == 2
    assert not other.allow_flat_output
    assert other.parity_inputs == "standard normal noise"


def test_the_line_about_flat_outputs_asks_for_weights_only_where_there_are_none(
    request_of, checkpoint, tmp_path
):
    fed = {"weights": checkpoint, "input_range": (0.0, 255.0)}
    with pytest.raises(ParityError, match="barely depend") as caught:
        make_artifacts(request_of(tmp_path, "onnx", factory="Flat", **fed))
    assert "--weights" not in str(caught.value)
    assert "--samples" in str(caught.value)


def test_a_users_module_that_cannot_be_built_is_one_line(
    in_process_builds, user, monkeypatch, capfd
):
    monkeypatch.chdir(user)
    assert main(["--module", "user_nets:Branches", "--input", "1,3,16,16"]) == 2
    (error,) = [x for x in capfd.readouterr().err.splitlines() if x.startswith("error")]
    assert re.search(r"user_nets:Branches: .*user_nets\.py:19", error)
    assert not list((user / "artifacts").glob("[!.]*"))


def test_an_output_folder_that_cannot_be_is_one_line(request_of, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write"):
        make_artifacts(request_of(tmp_path / "file", "onnx"))


def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(request_of, tmp_path):
    """A file-size limit stops the write half way, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*make room"):
            make_artifacts(request_of(tmp_path, "onnx"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert [n for n in os.listdir(tmp_path) if not n.startswith(".")] == []
    assert not [n for n in os.listdir(tmp_path) if n.startswith(".building")]


# ---- names and options ----


def test_a_wrong_name_is_one_line_of_the_command(in_process_builds, tmp_path, capfd):
    assert main(["--model", "shufflnetv2", "--out", str(tmp_path / "out")]) == 2
    loading, error = capfd.readouterr().err.splitlines()
    assert loading == "loading the model zoo"
    assert error.startswith("error: unknown model 'shufflnetv2': did you mean 'shufflenetv2'")
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
        (["--model", "a", "--padding-free"], "--padding-free goes with --module"),
        (["--model", "a", "--name", "b"], "--name goes with --module, not with --model"),
        (["--module", "a:b", "--variant", "orig"], "--variant goes with --model"),
        (
            ["--module", "a:b", "--input", "1,3,8,8", "--batch", "4"],
            "with --module the batch is the first number of --input, as in --input 4,3,224,224",
        ),
        (["--module", "a:b", "--input", "1,3,8,8", "--name", "../x"], "--name '../x' is no name"),
        (["--model", "a", "--to", "float32"], "--to goes with --module"),
        (["--module", "a:b", "--input", "1,3,-1,-1"], "files have fixed shapes"),
        (["--module", "src/a.py:b", "--input", "1,3,8,8"], "write it with dots, as src.a:b"),
        (["--module", "a:b(c)", "--input", "1,3,8,8"], "the argument c is no literal"),
        (["--module", "a:b", "--input", "x:1,3", "1,3"], "stands behind 'x'"),
        (["--module", "a:b"], "needs the input's shape"),
        (["--model", "a", "--input-range", "255"], "write it as 0,255"),
        (["--model", "a", "--input-range", "-1,-2"], "the input range -1,-2 is empty"),
        (["--model", "a", "--samples", "/no/such"], "is no .npz file and no folder"),
        (["--module", "a:b", "--input", "1,3,x"], "write it as 1,3,224,224"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_loads(capsys, arguments, line):
    assert main(arguments) == 2
    assert re.match(f"error: .*{re.escape(line)}", capsys.readouterr().err)


# ---- checkpoints ----


@pytest.fixture(scope="module")
def checkpoint(user, tmp_path_factory):
    """Trained-looking weights of `Plain`: other statistics than a fresh network has."""
    import torch

    from pfd_models.checkpoints import save_weights

    namespace = {}
    exec(USER_FILE, namespace)
    torch.manual_seed(7)
    model = namespace["Plain"]().train()
    for _ in range(6):
        model(torch.randn(8, 3, 17, 17))
    path = tmp_path_factory.mktemp("weights") / "plain.pt"
    save_weights(model.eval(), path)
    return path


def test_a_checkpoint_goes_into_the_files_and_into_their_key(
    plain, request_of, checkpoint, tmp_path
):
    _, seeded = plain
    trained = make_artifacts(request_of(tmp_path, "onnx", weights=checkpoint)).manifest
    assert trained.weights == f"sha256:{sha256_file(checkpoint)}"
    assert seeded.weights.startswith("seed:0")
    assert seeded.stem == trained.stem
    assert seeded.build_id != trained.build_id
    assert seeded.artifact("onnx").sha256 != trained.artifact("onnx").sha256


def test_a_training_script_s_checkpoint_is_told_and_a_key_chooses(
    request_of, checkpoint, tmp_path, capfd
):
    import torch

    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    path = tmp_path / "both.pt"
    torch.save({"state_dict": weights, "ema_state_dict": weights, "epoch": 3}, path)
    with pytest.raises(
        WeightsError, match="choose with --weights-key state_dict or ema_state_dict"
    ):
        make_artifacts(request_of(tmp_path, "onnx", weights=path))
    request = request_of(tmp_path, "onnx", weights=path, weights_key="ema_state_dict")
    result = make_artifacts(request)
    taken = f"took {len(weights)} tensors of 'ema_state_dict'; left state_dict, epoch"
    assert result.manifest.weights == f"sha256:{sha256_file(path)}, {taken}"
    print_results([Outcome(request=request, result=result)], (), 1.0)
    assert f"user_nets_Plain_1x3x17x17_fp32: checkpoint: {taken}" in capfd.readouterr().out


@pytest.mark.parametrize("damage", ["another network", "cut short", "one bit"])
def test_a_checkpoint_that_does_not_fit_is_one_line(request_of, tmp_path, checkpoint, damage):
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
    out = tmp_path / "out"
    request = request_of(out, "onnx", weights=path)
    if damage == "another network":
        source = ZooSource(model="resnet20")
        request = BuildRequest(source=source, formats=("onnx",), weights=path, out=out)
    with pytest.raises(WeightsError, match=re.escape(str(path))) as caught:
        make_artifacts(request)
    assert "\n" not in str(caught.value)
    assert not list(out.glob("[!.]*"))


def test_an_interrupted_build_of_many_goes_on_where_it_stopped(in_process_builds, tmp_path, capfd):
    """SIGINT after the first set; the same command then builds only what is missing."""
    arguments = ["--model", "resnet20", "--variant", "ours,orig", "--formats", "onnx"]
    arguments += ["--jobs", "1", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "export.build", *arguments]
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
    assert main(arguments) == 0
    assert first.stat().st_mtime_ns == stamp
    assert "built 1 set, 1 unchanged" in capfd.readouterr().out
    assert not list(tmp_path.glob(".building*"))
