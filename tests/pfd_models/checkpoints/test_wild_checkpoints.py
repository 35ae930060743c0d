"""Files as training scripts leave them: what loads, what is told of it, and what is refused."""

from __future__ import annotations

import pytest
import torch
from wild_checkpoints import KINDS, SmallNet, make_trained, write

from pfd_models.checkpoints import load_weights
from pfd_models.errors import WeightsError

LOADED = [kind for kind, expected in KINDS.items() if expected.told is not None]
REFUSED = [kind for kind in KINDS if kind not in LOADED]


def differences(model, wanted):
    own = model.state_dict()
    return max(float((own[k].double() - v.double()).abs().max()) for k, v in wanted.items())


def changed(weights):
    return {k: v + 1 if v.is_floating_point() else v for k, v in weights.items()}


@pytest.mark.parametrize("kind", LOADED)
def test_what_a_training_script_leaves_is_loaded_and_told(kind, tmp_path):
    net = SmallNet()
    loaded = load_weights(net, write(kind, tmp_path))
    assert loaded.told == KINDS[kind].told
    assert "\n" not in loaded.told
    wanted = make_trained().state_dict()
    assert differences(net, wanted) <= KINDS[kind].tolerance
    assert {v.dtype for v in net.state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_taken_is_one_line_and_changes_nothing(kind, tmp_path):
    net = SmallNet()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(net, write(kind, tmp_path))
    assert KINDS[kind].refused in str(caught.value)
    assert "\n" not in str(caught.value)
    assert differences(net, before) == 0


@pytest.mark.parametrize(
    ("kind", "key", "shifted", "told"),
    [
        ("plain_and_averaged", "state_dict", False, "of 'state_dict'; left state_dict_ema"),
        ("plain_and_averaged", "state_dict_ema", True, "of 'state_dict_ema'; left state_dict"),
        ("student_and_teacher", "student", False, "of 'student'; left teacher.body.0.weight"),
        ("student_and_teacher", "teacher", True, "of 'teacher'; left student.body.0.weight"),
        ("nested", "state_dict.model", False, "of 'state_dict.model'"),
        ("nested", "state_dict", False, "of 'state_dict.model'"),
        ("lightning", "state_dict.net", False, "of 'state_dict.net'; left pytorch-lightning"),
    ],
)
def test_a_key_chooses_among_several_sets_of_weights(kind, key, shifted, told, tmp_path):
    net = SmallNet()
    loaded = load_weights(net, write(kind, tmp_path), key=key)
    assert told in loaded.told
    wanted = make_trained().state_dict()
    assert differences(net, changed(wanted) if shifted else wanted) == 0


@pytest.mark.parametrize(
    ("kind", "key", "line"),
    [
        ("bare", "ema", "holds nothing under 'ema'; it has body, head"),
        ("lightning", "state_dict.model", "it has pytorch-lightning_version, hyper_parameters"),
        ("lightning", "state_dict.model", "and in state_dict net, loss"),
    ],
)
def test_a_key_that_is_not_there_is_one_line_with_those_that_are(kind, key, line, tmp_path):
    with pytest.raises(WeightsError) as caught:
        load_weights(SmallNet(), write(kind, tmp_path), key=key)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_listed_classes_are_unpickled_and_the_list_is_taken_back(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    load_weights(SmallNet(), write("namespace", tmp_path))
    assert set(torch.serialization.get_safe_globals()) == before


def test_safetensors_without_their_package_name_it(tmp_path, monkeypatch):
    path = write("safetensors", tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(WeightsError, match="pip install safetensors"):
        load_weights(SmallNet(), path)
