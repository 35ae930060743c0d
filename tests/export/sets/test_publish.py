import dataclasses
import os
import subprocess
import sys
import textwrap

import pytest

from export.sets import publish
from export.sets.files import sha256_file
from export.sets.manifest import (
    Artifact,
    Manifest,
    Parity,
    ReferenceData,
    TensorSpec,
    load_manifest,
)
from pfd_models.errors import OutputError

KEY = "k" * 64


def stage(folder, content=b"a network", build_id="b" * 64, code_place="net.py"):
    """Put the files of a set into a staging folder and return its manifest."""
    (folder / "net.onnx").write_bytes(content)
    (folder / "net_reference.npz").write_bytes(b"samples")
    figures = Parity(
        samples=8, relative_linf=0.0, sqnr_db=240.0, eager_relative_linf=0.0, limit=1e-4
    )
    artifact = Artifact(
        file="net.onnx",
        format="onnx",
        backend="",
        precision="fp32",
        sha256=sha256_file(folder / "net.onnx"),
        size_bytes=len(content),
        inputs=(TensorSpec(name="image", shape=(1, 3, 4, 4)),),
        outputs=(TensorSpec(name="scores", shape=(1, 10)),),
        delegates=None,
        leftovers=(),
        parity=figures,
        build_seconds={},
    )
    reference = ReferenceData(
        file="net_reference.npz",
        sha256=sha256_file(folder / "net_reference.npz"),
        size_bytes=7,
        samples=2,
    )
    return Manifest(
        stem="net", build_id=build_id, model="net", variant="", dataset="", spec={},
        weights="seed:0", params=0, macs=0, passes=(), artifacts=(artifact,),
        reference=reference, versions={}, git_revision="", git_dirty=False, created="now",
        code_place=code_place,
    )  # fmt: skip


def visible(folder):
    return sorted(n for n in os.listdir(folder) if not n.startswith("."))


def publish_one(out, **changes):
    with publish.stage(out) as folder:
        return publish.publish(folder, out, stage(folder, **changes), KEY)


def test_a_set_appears_with_its_manifest_and_is_found_by_its_request(tmp_path):
    made = publish_one(tmp_path)
    assert visible(tmp_path) == ["net.json", "net.onnx", "net_reference.npz"]
    assert made == load_manifest(tmp_path / "net.json")
    assert publish.find(tmp_path, KEY, ("onnx",)) == made
    assert publish.find(tmp_path, "other", ("onnx",)) is None
    assert publish.find(tmp_path, KEY, ("onnx", "pte")) is None


def test_a_changed_file_is_not_found_again(tmp_path):
    publish_one(tmp_path)
    (tmp_path / "net.onnx").write_bytes(b"b network")
    assert publish.find(tmp_path, KEY, ("onnx",)) is None
    assert publish.find_reusable(tmp_path, "net", "b" * 64) == ()


def test_a_set_rebuilt_from_another_request_is_not_mistaken_for_the_first(tmp_path):
    first = publish_one(tmp_path)
    with publish.stage(tmp_path) as folder:
        publish.publish(folder, tmp_path, stage(folder, b"other", "c" * 64), "second")
    assert publish.find(tmp_path, KEY, ("onnx",)) is None
    assert publish.find_reusable(tmp_path, "net", first.build_id) == ()
    assert len(publish.find_reusable(tmp_path, "net", "c" * 64)) == 1


def test_a_set_of_another_source_that_came_meanwhile_is_kept(tmp_path):
    """Two builds may begin before either publishes; the second finds out under the lock."""
    (tmp_path / "net.py").write_text("the first network")
    publish_one(tmp_path, build_id="c" * 64)
    with pytest.raises(OutputError, match=r"is a set of net in net.py, not of net in other.py"):
        publish_one(tmp_path, code_place="other.py")
    assert load_manifest(tmp_path / "net.json").build_id == "c" * 64
    with publish.stage(tmp_path) as folder:
        manifest = stage(folder, code_place="other.py")
        assert publish.publish(folder, tmp_path, manifest, KEY, force=True) == manifest


def test_a_set_whose_code_has_moved_is_replaced(tmp_path):
    publish_one(tmp_path, build_id="c" * 64)  # of net.py, which is not there
    assert publish_one(tmp_path, code_place="moved/net.py").code_place == "moved/net.py"


def test_files_of_an_older_set_that_the_new_one_lacks_are_removed(tmp_path):
    with publish.stage(tmp_path) as folder:
        manifest = stage(folder)
        (folder / "net.pte").write_bytes(b"a network")
        pte = dataclasses.replace(manifest.artifacts[0], file="net.pte", format="pte")
        both = dataclasses.replace(manifest, artifacts=(*manifest.artifacts, pte))
        publish.publish(folder, tmp_path, both, KEY)
    assert "net.pte" in visible(tmp_path)
    publish_one(tmp_path, content=b"other", build_id="c" * 64)
    assert visible(tmp_path) == ["net.json", "net.onnx", "net_reference.npz"]


def test_an_error_while_staging_leaves_nothing(tmp_path):
    def fail():
        with publish.stage(tmp_path) as folder:
            stage(folder)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert os.listdir(tmp_path) == []


def test_a_build_that_was_killed_is_cleared_by_the_next(tmp_path):
    code = textwrap.dedent(f"""
        import os, pathlib, signal
        from export.sets import publish
        with publish.stage(pathlib.Path({str(tmp_path)!r})) as folder:
            (folder / "part.pte").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(os.listdir(tmp_path)) == 1
    assert visible(tmp_path) == []
    publish_one(tmp_path)
    assert not [n for n in os.listdir(tmp_path) if n.startswith(publish.STAGING)]


def test_a_missing_manifest_means_an_unfinished_set(tmp_path):
    publish_one(tmp_path)
    (tmp_path / "net.json").unlink()  # as when killed between the renames
    assert publish.find(tmp_path, KEY, ("onnx",)) is None
    assert publish_one(tmp_path).stem == "net"


def test_a_place_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write"), publish.stage(tmp_path / "file"):
        pass


def test_formats_made_earlier_stay_in_the_set(tmp_path):
    first = publish_one(tmp_path)
    with publish.stage(tmp_path) as folder:
        manifest = stage(folder)
        (folder / "net.onnx").unlink()
        (folder / "net.pte").write_bytes(b"pte")
        pte = dataclasses.replace(
            manifest.artifacts[0], file="net.pte", format="pte", size_bytes=3,
            sha256=sha256_file(folder / "net.pte"),
        )  # fmt: skip
        both = dataclasses.replace(manifest, artifacts=(*first.artifacts, pte))
        publish.publish(folder, tmp_path, both, KEY)
    assert publish.find(tmp_path, KEY, ("onnx", "pte")) is not None
