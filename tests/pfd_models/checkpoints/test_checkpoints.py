"""Weights are saved whole, loaded strictly, and refused in one line."""

from __future__ import annotations

import json
import os
import stat

import pytest
import seed_networks as seed
import torch
from torch import nn

from pfd_models import create_model
from pfd_models.checkpoints import LoadedWeights, load_weights, save_weights
from pfd_models.errors import OutputError, WeightsError

X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def network(name="shufflenetv2_x0_5", variant="ours", seed=0, **options):
    torch.manual_seed(seed)
    return create_model(name, variant, **options).eval()


def same_weights(one, two):
    a, b = one.state_dict(), two.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pt"


def refused(model, path):
    """Return the line with which a file is refused, and see that the module was not touched."""
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


# Round trips


@pytest.mark.parametrize("variant", ["orig", "ours", "efv2"])
def test_what_is_saved_is_loaded(variant, path):
    saved, filled = network(variant=variant), network(variant=variant, seed=1)
    assert not same_weights(saved, filled)
    save_weights(saved, path)
    assert load_weights(filled, str(path)) == LoadedWeights(path=path, names="zoo")
    assert same_weights(saved, filled)
    with torch.no_grad():
        assert torch.equal(saved(X), filled(X))


def test_attention_follows_its_biases_when_loaded_in_evaluation(path):
    saved, filled = network("ghostnet", "efv2"), network("ghostnet", "efv2", seed=1)
    biases = [p for n, p in saved.named_parameters() if n.endswith("attention.bias")]
    assert len(biases) == 2
    for bias in biases:
        nn.init.normal_(bias)
    save_weights(saved, path)
    load_weights(filled, path)
    with torch.no_grad():
        assert torch.equal(filled(X), network_after_eval(saved)(X))


def network_after_eval(model):
    return model.train().eval()


def test_any_module_is_saved_and_loaded(path):
    saved, filled = nn.Linear(3, 2), nn.Linear(3, 2)
    save_weights(saved, path)
    load_weights(filled, path)
    assert same_weights(saved, filled)


def test_the_same_network_at_another_resolution_takes_the_weights(path):
    saved = network()
    save_weights(saved, path)
    filled = network(seed=1, resolution=64)
    load_weights(filled, path)
    assert same_weights(saved, filled)


@pytest.mark.parametrize(
    "wrapper", [None, "state_dict", "model", "model_state", "model_state_dict"]
)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_state_dicts_of_training_scripts_are_found(wrapper, prefix, path):
    saved, filled = network(), network(seed=1)
    weights = {prefix + key: value for key, value in saved.state_dict().items()}
    stored = weights if wrapper is None else {"epoch": 3, wrapper: weights, "lr": [0.1]}
    torch.save(stored, path)
    assert load_weights(filled, path).names == "zoo"
    assert same_weights(saved, filled)


def test_files_without_batch_counters_are_read(path):
    saved, filled = network(), network(seed=1)
    weights = saved.state_dict()
    torch.save({k: v for k, v in weights.items() if "num_batches" not in k}, path)
    load_weights(filled, path)
    assert same_weights(saved, filled)


def test_half_precision_weights_fill_a_float_network(path):
    saved, filled = network().half(), network(seed=1)
    save_weights(saved, path)
    load_weights(filled, path)
    assert next(filled.parameters()).dtype == torch.float32
    assert same_weights(saved.float(), filled)


# The reference repository's names (outputs are compared in test_order.py)


def reference(compute, layers=None, **options):
    net = seed.Net(**options)
    arguments = {} if layers is None else layers
    with torch.no_grad():
        expected = compute(net, X.double(), **arguments)
    return net.weights, expected


@pytest.mark.parametrize(
    ("model", "compute", "names"),
    [
        # Each spelling that one of the repository's files has for a convolution and its norm.
        ("mobilenetv3_large_set2", seed.mobilenetv3_set2, {"layers": ("conv", "norm")}),
        ("mobilenetv3_large_set2", seed.mobilenetv3_set2, {"layers": ("0", "1")}),
        ("parc_mobilenetv2", seed.parc_mobilenetv2, {"stem_layers": ("0", "1")}),
        ("parc_mobilenetv2", seed.parc_mobilenetv2, {"layers": ("0", "1")}),
    ],
)
def test_every_spelling_of_the_reference_is_read(model, compute, names, path):
    weights, expected = reference(compute, names, stem=True, down=True)
    torch.save({"model": {f"module.{k}": v for k, v in weights.items()}}, path)
    filled = network(model).double()
    assert load_weights(filled, path).names == "reference"
    with torch.no_grad():
        torch.testing.assert_close(filled(X.double()), expected, rtol=1e-9, atol=1e-9)


def test_what_the_reference_keeps_but_never_uses_is_ignored_by_name(path):
    weights, _ = reference(seed.ghostnet, stem=True, down=True)
    weights["total_ops"] = weights["blocks.0.0.total_params"] = torch.zeros(1)
    torch.save(weights, path)
    ignored = load_weights(network("ghostnet"), path).ignored
    assert set(ignored) == {
        *(f"bn1.{k}" for k in ("weight", "bias", "running_mean", "running_var")),
        "bn1.num_batches_tracked",
        "total_ops",
        "blocks.0.0.total_params",
    }


def test_the_original_stem_s_normalisation_is_not_ignored(path):
    weights, _ = reference(seed.ghostnet, down=True)
    del weights["bn1.weight"]
    torch.save(weights, path)
    assert "1 missing (stem.bn.weight)" in refused(network("ghostnet", "down"), path)


def test_an_unknown_key_beside_the_reference_s_is_refused(path):
    weights, _ = reference(seed.shufflenetv2, stem=True, down=True)
    weights["stage2.0.branch3.0.weight"] = torch.zeros(1)
    torch.save(weights, path)
    line = refused(network("shufflenetv2"), path)
    assert "1 unexpected (stage2.0.branch3.0.weight)" in line


def test_gathered_attention_biases_are_ignored_and_their_numbering_compared(path):
    weights, _ = reference(seed.shufflenetv2, efv2=True)
    weights["stage4.0.attn.ab"] = torch.zeros(8, 16, 64)
    torch.save(weights, path)
    filled = network("shufflenetv2", "efv2")
    assert load_weights(filled, path).ignored == (
        "stage4.0.attn.attention_bias_idxs",
        "stage4.0.attn.ab",
    )
    weights["stage4.0.attn.attention_bias_idxs"] = 63 - weights["stage4.0.attn.attention_bias_idxs"]
    torch.save(weights, path)
    assert "numbers the attention's offsets in another way" in refused(filled, path)


@pytest.mark.parametrize(
    ("model", "variant", "options"),
    [
        ("shufflenetv2", "orig", {"stem": True, "down": True}),
        ("shufflenetv2", "ours", {}),
        ("shufflenetv2_x0_5", "ours", {"stem": True, "down": True}),
    ],
)
def test_a_reference_checkpoint_of_another_network_is_refused(model, variant, options, path):
    weights, _ = reference(seed.shufflenetv2, **options)
    torch.save(weights, path)
    assert f"does not fit {model}/{variant} with 100 classes" in refused(
        network(model, variant), path
    )


# Refusals


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("shufflenetv2_x0_5", {"variant": "stem"}, "its variant is 'ours', not 'stem'"),
        ("shufflenetv2", {}, "its model is 'shufflenetv2_x0_5', not 'shufflenetv2'"),
        ("shufflenetv2_x0_5", {"num_classes": 7}, "its num_classes is 100, not 7"),
        ("shufflenetv2_x0_5", {"dataset": "imagenet"}, "its num_classes is 100, not 1000"),
        (
            "shufflenetv2_x0_5",
            {"dataset": "imagenet", "num_classes": 100},
            "its small_input is True, not False",
        ),
    ],
)
def test_our_file_of_another_architecture_says_which_field_differs(model, options, message, path):
    save_weights(network(), path)
    assert message in refused(network(model, **options), path)


def test_differing_keys_are_counted_and_the_first_named(path):
    saved = network()
    weights = {k.replace("classifier", "fully"): v for k, v in saved.state_dict().items()}
    weights["stem.first.conv.weight"] = torch.zeros(24, 3, 5, 5)
    torch.save(weights, path)
    line = refused(network(), path)
    assert f"of {len(saved.state_dict())} keys" in line
    assert "2 missing (classifier.weight, classifier.bias)" in line
    assert "2 unexpected (fully.weight, fully.bias)" in line
    assert "1 of another shape (stem.first.conv.weight 24x3x5x5 for 24x3x3x3)" in line


def test_many_differing_keys_are_cut_short(path):
    torch.save(network().state_dict(), path)
    line = refused(network("ghostnet"), path)
    assert line.count(", ...") == 3
    assert len(line) < 600


def cut_in_half(path):
    torch.save(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:5000])


def own_format(**fields):
    return {"format": "pfd-weights", "schema_version": 1, "state_dict": {}, **fields}


BROKEN = {
    "empty": (lambda p: p.write_bytes(b""), "no checkpoint or is damaged"),
    "text": (lambda p: p.write_text("weights, honestly"), "no checkpoint or is damaged"),
    "json": (lambda p: p.write_text(json.dumps({"state_dict": {}})), "no checkpoint or is damaged"),
    "cut in half": (cut_in_half, "no checkpoint or is damaged"),
    "a tensor": (lambda p: torch.save(torch.zeros(3), p), "holds a Tensor, not a state dict"),
    "a list": (lambda p: torch.save([torch.zeros(3)], p), "holds a list, not a state dict"),
    "an empty dictionary": (lambda p: torch.save({}, p), "holds a dict, not a state dict"),
    "no tensors": (lambda p: torch.save({"epoch": 3}, p), "'epoch' is no tensor"),
    "a folder": (lambda p: p.mkdir(), "is a directory"),
    "a newer schema": (
        lambda p: torch.save(own_format(schema_version=9), p),
        "has schema version 9, this program reads 1",
    ),
    "a damaged header": (
        lambda p: torch.save(own_format(spec={"model": 1}), p),
        "is damaged: not a model specification",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_checkpoint_is_refused_in_one_line(kind, path):
    make, message = BROKEN[kind]
    make(path)
    assert message in refused(network(), path)


def test_a_flipped_bit_is_refused_or_changes_no_weight(path):
    saved = network()
    save_weights(saved, path)
    intact = path.read_bytes()
    positions = torch.randint(len(intact), (40,), generator=torch.Generator().manual_seed(0))
    refusals = 0
    for position in positions.tolist():
        damaged = bytearray(intact)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        filled = network(seed=1)
        try:
            load_weights(filled, path)
        except WeightsError:
            refusals += 1
        else:
            assert same_weights(saved, filled)
    assert refusals > 30


def test_a_missing_file_is_one_line(tmp_path):
    assert "no such file" in refused(network(), tmp_path / "nothing.pt")


class MakesFolder:
    """A pickle that makes a folder when it is read as pickles usually are."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_pickled_objects_are_refused_and_not_run(path, tmp_path):
    folder = tmp_path / "made by a pickle"
    torch.save({"state_dict": network().state_dict(), "args": MakesFolder(folder)}, path)
    line = refused(network(), path)
    assert "holds a pickled posix.mkdir" in line
    assert "save the module's state_dict alone" in line
    assert not folder.exists()


def test_a_whole_pickled_module_is_refused(path):
    torch.save(nn.Sequential(nn.Linear(1, 1)), path)
    assert "holds a pickled torch.nn.modules" in refused(nn.Linear(1, 1), path)


# Files appear whole or not at all


def test_a_file_that_cannot_be_written_leaves_the_old_one(path, monkeypatch):
    save_weights(network(), path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left on device"):
        save_weights(network(seed=1), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*weights\.pt: file exists"):
        save_weights(nn.Linear(1, 1), tmp_path / "file" / "weights.pt")


def test_a_saved_file_is_readable_by_all_and_holds_the_specification(path):
    model = network()
    save_weights(model, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    stored = torch.load(path, weights_only=True)
    assert stored["spec"] == model.spec.to_dict()
