"""A format that cannot express a network does not stop the others, and nobody can overlook it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from export import BuildRequest, InputTensor, ModuleSource, load_manifest, make_artifacts
from export.build import main
from pfd_models.errors import InputError, UnsupportedOperatorError

USER_FILE = """
from torch import nn

class Angle(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
    def forward(self, x):
        return self.conv(x).mean((2, 3)).atan()
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A folder with a user's module, which TFLite has no arc tangent for."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "angle_nets.py").write_text(USER_FILE)
    return folder


@pytest.fixture(scope="module")
def request_of(user):
    """Return the request to build it into a folder."""

    def request(out, *formats, **options):
        source = ModuleSource(
            target="angle_nets:Angle",
            inputs=(InputTensor(shape=(1, 3, 17, 17)),),
            search_path=str(user),
        )
        return BuildRequest(source=source, formats=formats, out=out, **options)

    return request


@pytest.fixture(scope="module")
def incomplete(request_of, tmp_path_factory):
    """A set without its .tflite."""
    request = request_of(tmp_path_factory.mktemp("angle"), "onnx", "tflite")
    return request, make_artifacts(request)


def test_the_other_formats_are_published_and_the_manifest_says_why_one_is_not(incomplete):
    request, result = incomplete
    manifest = load_manifest(request.out / f"{result.manifest.stem}.json")
    assert result.made == ("onnx",)
    assert [a.format for a in manifest.artifacts] == ["onnx"]
    (missing,) = manifest.missing_formats
    assert missing.format == "tflite"
    assert re.search("Atan: this operator has no lowering to TFLite$", missing.reason)
    with pytest.raises(InputError, match=r"no tflite file: .*Atan"):
        manifest.artifact("tflite")


def test_the_table_and_the_exit_status_tell_of_it(
    in_process_builds, incomplete, user, monkeypatch, capfd
):
    request, result = incomplete
    monkeypatch.chdir(user)
    arguments = ["--module", "angle_nets:Angle", "--input", "1,3,17,17", "--out", str(request.out)]
    assert main([*arguments, "--formats", "onnx,tflite"]) == 1
    lines = capfd.readouterr().out.splitlines()
    (row,) = [line for line in lines if f"{result.manifest.stem}.tflite" in line]
    assert "missing" in row
    assert any(re.match(".* has no .tflite: .*Atan", line) for line in lines)
    assert "1 unchanged" in lines[-1]  # and it was not tried again
    assert main([*arguments, "--formats", "onnx"]) == 0


def test_the_set_does_not_answer_who_requires_all_formats_or_that_one(incomplete):
    request, _ = incomplete
    for options in ({"require_all_formats": True}, {"formats": ("tflite",)}):
        with pytest.raises(UnsupportedOperatorError, match=r"no \.tflite file: .*Atan"):
            make_artifacts(replace(request, **options))


@pytest.mark.parametrize("formats", [("onnx", "tflite"), ("tflite",)])
def test_nothing_is_published_where_all_formats_or_only_that_one_is_wanted(
    request_of, tmp_path, formats
):
    request = request_of(tmp_path, *formats, require_all_formats=len(formats) > 1)
    with pytest.raises(UnsupportedOperatorError, match="Atan"):
        make_artifacts(request)
    assert not list(tmp_path.glob("[!.]*"))
