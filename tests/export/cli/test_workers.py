"""What is checked before a build begins, and what a build that takes its process along leaves."""

import os

import pytest

from export.cli.workers import Workers, plan
from export.request.request import BuildRequest
from export.request.source import InputTensor, ModuleSource, ZooSource
from pfd_models.errors import SpecError


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (ZooSource(model="shufflnetv2"), "did you mean 'shufflenetv2'"),
        (ZooSource(model="ghostnet", variant="our"), "did you mean 'ours'"),
        (ZooSource(model="resnet20", variant="efv2"), "resnet20 has no variant 'efv2'"),
        (ZooSource(model="shufflenetv2", resolution=4), "stage 3.*use a resolution of at least"),
        (ZooSource(model="shufflenetv2", dataset="cifar"), "did you mean 'cifar100'"),
    ],
)
def test_a_wrong_name_or_size_is_refused_before_anything_is_built(source, line):
    with pytest.raises(SpecError, match=line) as caught:
        plan((BuildRequest(source=source),), skip_undefined=False)
    assert "\n" not in str(caught.value)


def test_all_is_every_combination_that_is_defined():
    everything = BuildRequest(source=ZooSource(model="all", variant="all", dataset="imagenet"))
    found = plan((everything,), skip_undefined=True)
    pairs = {(r.source.model, r.source.variant) for r in found.requests}
    assert ("ghostnet", "ours") in pairs
    assert not [model for model, _ in pairs if model.startswith("resnet")]
    assert any("resnet20 is not defined for imagenet" in line for line in found.undefined)


def test_a_build_that_kills_its_process_is_one_line(tmp_path):
    (tmp_path / "user_kills.py").write_text("import os\n\n\ndef make():\n    os._exit(9)\n")
    source = ModuleSource(
        target="user_kills:make",
        inputs=(InputTensor(shape=(1, 3, 8, 8)),),
        search_path=str(tmp_path),
    )
    request = BuildRequest(source=source, out=tmp_path / "out")
    before = dict(os.environ)
    with Workers(1) as workers:
        assert dict(os.environ) == before  # programs that are started later are not to see it
        (outcome,) = workers.build_all([request], lambda label, step: None)
    assert outcome.result is None
    assert str(outcome.error).startswith("the build of user_kills:make was killed in native code")
    assert not list((tmp_path / "out").glob("[!.]*"))
