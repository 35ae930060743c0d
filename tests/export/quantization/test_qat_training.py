"""Training in integers as a user does it: the run, how it goes on, what is built from it."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from trained_digits import FAMILY

from export import BuildRequest, ZooSource, make_artifacts
from export.build import main as build
from export.formats import get_format
from export.qat import main as train_in_integers
from export.quantization.qat.preparation import prepare
from export.request.app import AppOptions
from export.request.calibration import CalibrationSource
from export.sensitivity import main as find_sensitivity
from pfd_models import create_model, get_spec, load_weights
from pfd_models import train as train_program
from pfd_models.checkpoints import load_quantized, save_quantized
from pfd_models.errors import RunError, SpecError, WeightsError
from pfd_models.training.config import RunConfig
from pfd_models.training.datasets import digits
from pfd_models.training.qat import Qat
from pfd_models.training.recipes import RECIPES
from pfd_models.training.report import Silent
from pfd_models.training.run import train


def make_config(weights, folder, **recipe):
    return RunConfig(
        spec=get_spec("digitnet", "orig", "cifar100", 10, 16),
        recipe=RECIPES["qat"].replace_values({"epochs": 2, "batch_size": 200, **recipe}),
        dataset="digits",
        folder=folder,
        qat=Qat(weights=weights, prepare=prepare, samples=8),
    )


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A finished run in integers; its folder."""
    folder = tmp_path_factory.mktemp("qat") / "run"
    train(make_config(trained.weights, folder))
    return folder


class Signals(Silent):
    """Asks the run to stop in its second epoch."""

    def step(self, progress, steps, learning_rate):
        if (progress.epoch, progress.step) == (1, 3):
            os.kill(os.getpid(), signal.SIGTERM)


def command(trained, folder):
    """The arguments of a run in integers."""
    return [
        "--weights", str(trained.weights), "--dataset", "digits", "--model", "digitnet",
        "--variant", "orig", "--resolution", "16", "--gpu-id", "-1", "--epochs", "1",
        "--batch-size", "720", "--calibration-samples", "4", "--run-folder", str(folder),
    ]  # fmt: skip


def refusal(status, capsys):
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert (status, len(lines)) == (2, 1)
    assert "Traceback" not in told.err
    return lines[0]


def states(folder):
    last = torch.load(folder / "last.pt", weights_only=True)
    best = torch.load(folder / "best.pt", weights_only=True)
    return last["state_dict"], last["optimiser"]["state"], best["layers"], best["affines"]


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(v, other[k]) for k, v in one.items())
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_run_stopped_by_a_signal_and_resumed_is_the_straight_one(run, trained, tmp_path):
    config = make_config(trained.weights, tmp_path / "run")
    assert train(config, report=Signals()).interrupted is signal.SIGTERM
    assert train(config, resume=True).interrupted is None
    assert all(map(equal, states(config.folder), states(run)))


WORKER = """
import dataclasses, sys
from pfd_models import families
from pfd_models.training.datasets import digits
families.__path__.append(sys.argv[1])
digits.DATA = dataclasses.replace(digits.DATA, augment=digits.DATA.prepare)
from export.qat import main
sys.exit(main(sys.argv[2:]))
"""


def start_worker(rank, port, families, arguments):
    """Start one of two processes that train together, as torchrun does."""
    place = {
        "RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2,
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        "TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0,
    }  # fmt: skip
    command = [sys.executable, "-c", WORKER, str(families), *arguments]
    environment = os.environ | {name: str(value) for name, value in place.items()}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_two_processes_learn_in_integers_what_one_does(trained, tmp_path, monkeypatch):
    """Without augmentation, whose randomness is each process's own."""
    plain = dataclasses.replace(digits.DATA, augment=digits.DATA.prepare)
    monkeypatch.setattr(digits, "DATA", plain)
    assert train_in_integers(command(trained, tmp_path / "alone")) == 0
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    (tmp_path / "digitnet.py").write_text(FAMILY)
    arguments = command(trained, tmp_path / "pair")
    pair = [start_worker(rank, store.port, tmp_path, arguments) for rank in range(2)]
    errors = [worker.communicate()[1] for worker in pair]
    assert [worker.returncode for worker in pair] == [0, 0], errors
    (_, alone, _, affines), (_, shared, _, same) = map(
        states, (tmp_path / "alone", tmp_path / "pair")
    )
    assert same == affines
    for key, kept in alone.items():  # the gradients, averaged over both processes
        found, wanted = shared[key]["momentum_buffer"], kept["momentum_buffer"]
        assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-5 * float(wanted.abs().max()))
    assert json.loads((tmp_path / "pair" / "config.json").read_text())["processes"] == 2
    last = torch.load(tmp_path / "pair" / "last.pt", weights_only=True)
    assert len(last["streams"]) == 2


def test_a_run_in_integers_and_one_in_float_do_not_go_on_from_each_other(run, trained):
    config = make_config(trained.weights, run)
    with pytest.raises(RunError, match=r"qat\.weights sha256:\w+, not none"):
        train(dataclasses.replace(config, qat=None), resume=True)
    other = dataclasses.replace(config.qat, samples=9)
    with pytest.raises(RunError, match=r"qat\.samples 8, not 9"):
        train(dataclasses.replace(config, qat=other), resume=True)


def make_set(weights, folder, *, model="digitnet", **options):
    source = ZooSource(model=model, variant="orig", num_classes=10, resolution=16)
    request = BuildRequest(source=source, weights=weights, out=folder / "made", **options)
    return make_artifacts(request).manifest


def test_the_files_compute_what_the_last_forward_pass_did(run, trained, tmp_path):
    manifest = make_set(run / "best.pt", tmp_path, precision="int8")
    assert manifest.quantization.recipe == "min-max ranges, trained in integers (--qat)"
    assert manifest.quantization.calibration == (
        "training images of digits; measured on SYNTHETIC NOISE"
    )
    assert manifest.weights.endswith(", trained in integers on digits")
    model = create_model("digitnet", "orig", num_classes=10, resolution=16)
    load_weights(model, trained.weights)
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    net = prepare(model.eval(), images)
    learnt = load_quantized(run / "best.pt")
    net.layers.load_state_dict(learnt.layers)
    affines = {n.name: i for n, i in net._place.items()}
    for name, (scale, zero_point) in learnt.affines.items():
        net.scales[affines[name]], net.zero_points[affines[name]] = scale, zero_point
    for kind in ("pte", "tflite"):
        artifact = manifest.artifact(kind)
        run_file = get_format(kind).load(manifest.path(artifact))
        found = np.concatenate([run_file([x[None].numpy()])[0] for x in images])
        assert artifact.parity.relative_linf == 0.0
        assert np.array_equal(found, net(images).detach().numpy()), kind


def test_labelled_images_say_what_the_training_was_worth(run, tmp_path):
    images = CalibrationSource(kind="dataset", place="digits", count=8)
    manifest = make_set(
        run / "best.pt", tmp_path, precision="int8", formats=("onnx",), calibration=images
    )
    assert manifest.quantization.calibration == (
        "training images of digits; measured on training images of digits"
    )
    cost = manifest.artifact("onnx").cost
    assert (cost.samples, cost.top1 is None) == (8, False)


@pytest.mark.parametrize(
    "app",
    [AppOptions(preprocess="baked"), AppOptions(preprocess="uint8"), AppOptions(head="argmax")],
)
def test_operators_around_a_network_that_was_trained_without_them_are_refused(run, tmp_path, app):
    line = rf"--preprocess {app.preprocess} --head {app.head} puts operators around the network"
    with pytest.raises(SpecError, match=line):
        make_set(run / "best.pt", tmp_path, precision="int8", app=app)
    assert not list((tmp_path / "made").glob("[!.]*"))


def test_the_sensitivity_of_a_network_that_was_trained_in_integers_is_refused(run, capsys):
    network = ["--model", "digitnet", "--variant", "orig", "--num-classes", "10"]
    weights = ["--resolution", "16", "--weights", str(run / "best.pt")]
    status = find_sensitivity([*network, *weights, "--calibration", "dataset:digits"])
    assert "best.pt was trained in integers (--qat), and what each layer" in refusal(status, capsys)


def test_a_float_build_of_a_network_that_was_trained_in_integers_is_refused(run, tmp_path):
    with pytest.raises(WeightsError, match=r"was trained in 8-bit integers \(--qat\) and is no"):
        make_set(run / "best.pt", tmp_path, precision="fp32")
    assert not (tmp_path / "made").exists()


def test_an_8_bit_build_of_float_weights_without_a_calibration_is_refused(trained, tmp_path):
    with pytest.raises(SpecError, match="was trained in float, so --precision int8 needs --calib"):
        make_set(trained.weights, tmp_path, precision="int8")
    assert not (tmp_path / "made").exists()


def test_a_build_of_another_network_or_size_is_refused(run, tmp_path):
    with pytest.raises(WeightsError, match="in integers for digitnet/orig at 16 pixels and 10 cl"):
        make_set(run / "best.pt", tmp_path, model="resnet20", precision="int8")


def test_a_build_from_the_state_of_a_run_is_refused(run, tmp_path):
    noise = CalibrationSource(kind="synthetic")
    with pytest.raises(WeightsError, match="is the state of a run in 8-bit integers"):
        make_set(run / "last.pt", tmp_path, precision="int8", calibration=noise)


def test_weights_that_another_version_of_the_graph_was_trained_with_are_refused(run, tmp_path):
    weights = load_quantized(run / "best.pt")
    save_quantized(dataclasses.replace(weights, graph="another"), tmp_path / "old.pt")
    with pytest.raises(WeightsError, match="on another graph than this version of the program"):
        make_set(tmp_path / "old.pt", tmp_path, precision="int8")
    assert not list((tmp_path / "made").glob("*"))


def test_the_build_command_asks_for_a_calibration_only_where_no_weights_could_spare_it(
    trained, tmp_path, capsys
):
    line = refusal(build(["--model", "resnet20", "--precision", "int8"]), capsys)
    assert "--precision int8 needs --calibration: give a folder of images" in line


def test_a_file_of_another_version_is_refused(run, tmp_path):
    stored = torch.load(run / "best.pt", weights_only=True)
    torch.save(stored | {"schema_version": 99}, tmp_path / "new.pt")
    with pytest.raises(WeightsError, match="has schema version 99, this program reads 1"):
        load_quantized(tmp_path / "new.pt")
    torch.save({k: v for k, v in stored.items() if k != "layers"}, tmp_path / "half.pt")
    with pytest.raises(WeightsError, match="is damaged: it lacks 'layers'"):
        load_quantized(tmp_path / "half.pt")


def test_the_training_command_becomes_the_exporters_program(trained, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: called.append(arguments))
    arguments = command(trained, tmp_path / "run")
    train_program.main(["--qat", *arguments])
    assert called == [[sys.executable, "-m", "export.qat", "--qat", *arguments]]


def test_without_the_exporter_qat_is_one_line(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        train_program.main(["--qat", *command(trained, tmp_path / "run")])
    assert "--qat needs the exporter, which is not installed" in refusal(ended.value.code, capsys)


def test_the_program_trains_by_its_own_recipe(trained, tmp_path, capsys):
    assert train_in_integers(command(trained, tmp_path / "run")) == 0
    told = capsys.readouterr()
    assert told.out.startswith("best epoch 1: top-1 ")
    assert "recipe qat, 1 epochs of batch 720" in told.err
    assert load_quantized(tmp_path / "run" / "best.pt").samples == 4


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        (["--amp", "bf16"], "--qat counts in float32 and runs a graph of its own; leave out"),
        (["--calibration-samples", "0"], "scales of 0 images are none; give 1 or more"),
        (["--weights", "absent.pt"], "cannot read absent.pt: no such file or directory"),
        (["--model", "resnet20"], "holds digitnet/orig, not resnet20/orig"),
    ],
)
def test_other_bad_input_is_one_line_and_leaves_no_folder(trained, tmp_path, capsys, extra, line):
    status = train_in_integers([*command(trained, tmp_path / "run"), *extra])
    assert line in refusal(status, capsys)
    assert not (tmp_path / "run").exists()


def test_options_of_the_two_ways_to_train_do_not_mix(trained, tmp_path, capsys):
    arguments = command(trained, tmp_path / "run")
    line = refusal(train_program.main(arguments), capsys)
    assert "--weights and --calibration-samples go with --qat" in line
    line = refusal(train_in_integers(arguments[2:]), capsys)
    assert "--qat fine-tunes a trained network: name its checkpoint with --weights" in line
