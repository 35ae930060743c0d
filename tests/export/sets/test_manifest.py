import json
import subprocess
import sys

import pytest

from export.sets.files import sha256_file
from export.sets.manifest import (
    Artifact,
    Leftover,
    Manifest,
    Parity,
    PassRecord,
    ReferenceData,
    TensorSpec,
    load_manifest,
)
from pfd_models.errors import InputError, IntegrityError
from pfd_models.plain_data import from_plain, to_plain


@pytest.fixture
def stored(tmp_path):
    """A manifest with one artifact and its reference data, as they lie on disk."""
    (tmp_path / "net.onnx").write_bytes(b"a network")
    (tmp_path / "net_reference.npz").write_bytes(b"samples")
    manifest = Manifest(
        stem="net",
        build_id="0" * 64,
        model="net",
        variant="ours",
        dataset="cifar100",
        spec={"input": {"mean": [0.5]}},
        weights="seed:0",
        params=3,
        macs=7,
        passes=(PassRecord(name="a", rewrites=1, nodes_before=5, nodes_after=4),),
        artifacts=(
            Artifact(
                file="net.onnx",
                format="onnx",
                backend="",
                precision="fp32",
                sha256=sha256_file(tmp_path / "net.onnx"),
                size_bytes=9,
                inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),),
                outputs=(TensorSpec(name="scores", shape=(1, 10), layout="NC"),),
                delegates=None,
                leftovers=(Leftover(op="x", count=2, cause="c", mac_share=0.5, fix="f"),),
                parity=Parity(
                    samples=8,
                    relative_linf=1e-6,
                    sqnr_db=100.0,
                    eager_relative_linf=None,
                    limit=1e-4,
                ),
                build_seconds={"onnx": 1.5},
            ),
        ),
        reference=ReferenceData(
            file="net_reference.npz",
            sha256=sha256_file(tmp_path / "net_reference.npz"),
            size_bytes=7,
            samples=2,
        ),
        versions={"torch": "2"},
        git_revision="",
        git_dirty=False,
        created="2026-01-01T00:00:00+00:00",
    )
    manifest.save(tmp_path)
    return tmp_path, manifest


def test_a_manifest_comes_back_equal(stored):
    folder, manifest = stored
    again = load_manifest(folder / "net.json")
    assert again == manifest
    assert again.path(again.artifact("onnx")) == folder / "net.onnx"


def test_plain_data_round_trips_through_json(stored):
    _, manifest = stored
    assert from_plain(Manifest, json.loads(json.dumps(to_plain(manifest)))) == manifest


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"a netw0rk", "SHA-256"), (b"short", "has 5 bytes"), (None, "is missing")],
)
def test_a_changed_artifact_is_refused(stored, content, line):
    folder, _ = stored
    if content is None:
        (folder / "net.onnx").unlink()
    else:
        (folder / "net.onnx").write_bytes(content)
    with pytest.raises(IntegrityError, match=line):
        load_manifest(folder / "net.json")
    assert load_manifest(folder / "net.json", verify=False).stem == "net"


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("file", ["../secret.txt", "/etc/passwd", "a/b", "a\\b", "..", "", "x\0y"])
@pytest.mark.parametrize("which", ["artifact", "reference"])
def test_a_file_that_does_not_lie_beside_its_manifest_is_refused(stored, which, file, verify):
    folder, manifest = stored
    plain = to_plain(manifest)
    named = plain["artifacts"][0] if which == "artifact" else plain["reference"]
    named["file"] = file
    (folder / "net.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match="does not lie beside it"):
        load_manifest(folder / "net.json", verify=verify)


def test_changed_reference_data_is_refused(stored):
    folder, _ = stored
    (folder / "net_reference.npz").write_bytes(b"Samples")
    with pytest.raises(IntegrityError, match="net_reference"):
        load_manifest(folder / "net.json")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda p: p.update(schema_version=99), "manifest schema 99"),
        (lambda p: p.pop("schema_version"), "no schema_version"),
        (lambda p: p.pop("macs"), "lacks the field 'macs'"),
        (lambda p: p.update(colour="red"), "no field 'colour'"),
    ],
)
def test_a_manifest_of_another_shape_is_refused_in_one_line(stored, change, line):
    folder, _ = stored
    plain = json.loads((folder / "net.json").read_text())
    change(plain)
    (folder / "net.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match=line) as caught:
        load_manifest(folder / "net.json")
    assert "\n" not in str(caught.value)


def test_what_is_no_manifest_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        load_manifest(tmp_path / "x.json")
    with pytest.raises(InputError, match="cannot read the manifest"):
        load_manifest(tmp_path / "absent.json")


def test_an_absent_format_is_one_line(stored):
    with pytest.raises(InputError, match="has no pte file; it has onnx"):
        stored[1].artifact("pte")


def test_reading_a_manifest_does_not_load_torch():
    code = "import sys, export; export.load_manifest; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
