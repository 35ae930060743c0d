"""build.json: a build is taken from the cache when every file is what it was, else never."""

import json
import os

import pytest

from android_bench.native_build.record import (
    PROGRAMS,
    BuildRecord,
    BundleFile,
    BundleRecord,
    read_whole_build,
)
from export.sets.files import sha256_file

LOADER = "ld-linux-aarch64.so.1"
FILES = dict.fromkeys((*PROGRAMS, LOADER), True) | {"libc.so.6": False}  # name to: a program


@pytest.fixture
def folder(tmp_path):
    """A build as it should be."""
    tmp_path = tmp_path / "build"
    tmp_path.mkdir()
    files = []
    for name, executable in FILES.items():
        path = tmp_path / name
        path.write_bytes(name.encode() * 100)
        path.chmod(0o755 if executable else 0o644)
        files.append(
            BundleFile(
                file=name,
                size_bytes=path.stat().st_size,
                sha256=sha256_file(path),
                origin="pfd-mobile",
                licence="Apache-2.0",
                executable=executable,
            )
        )
    (tmp_path / "licences").mkdir()
    (tmp_path / "licences/executorch.txt").write_text("a licence")
    record = BuildRecord(
        target="linux-arm64",
        version="1+abc",
        compiler="g++ 14",
        runtimes={"executorch": "1.5.1", "ai-edge-litert": ""},
        left_out=("built without litert",),
        bundle=BundleRecord(
            loader=LOADER,
            files=tuple(files),
            size_bytes=sum(file.size_bytes for file in files),
            licence_texts={"executorch": "licences/executorch.txt"},
        ),
    )
    record.save(tmp_path)
    assert read_whole_build(tmp_path) == record
    return tmp_path


def _flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: os.truncate(path, 10),
        lambda path: path.write_bytes(b""),
        _flip_a_bit,
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("nowhere")),
    ],
    ids=["gone", "truncated", "empty", "flipped", "a folder", "a dangling link"],
)
def test_a_file_that_is_not_what_it_was(folder, name, damage):
    damage(folder / name)
    assert read_whole_build(folder) is None


def test_a_program_that_may_not_be_run(folder):
    (folder / "pfd_bench").chmod(0o644)
    assert read_whole_build(folder) is None


def test_a_licence_text_that_is_gone(folder):
    (folder / "licences/executorch.txt").unlink()
    assert read_whole_build(folder) is None


def _change(**changes):
    return lambda plain: json.dumps(plain | changes)


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda plain: "",
        lambda plain: "{}",
        lambda plain: "null",
        lambda plain: json.dumps(plain)[:-40],
        lambda plain: "[" * 100_000,
        lambda plain: "\udcff",
        _change(signature="of a newer version"),
        _change(left_out="one text"),
        _change(bundle={}),
        lambda plain: json.dumps(plain | {"bundle": plain["bundle"] | {"files": []}}),
        lambda plain: json.dumps(plain | {"bundle": plain["bundle"] | {"loader": "../ld.so"}}),
    ],
    ids=[
        "empty",
        "{}",
        "null",
        "cut off",
        "nested",
        "no text",
        "newer",
        "another type",
        "no bundle",
        "no files",
        "a loader elsewhere",
    ],
)
def test_a_record_that_cannot_be_used(folder, rewrite):
    path = folder / "build.json"
    path.write_bytes(rewrite(json.loads(path.read_text())).encode(errors="surrogateescape"))
    assert read_whole_build(folder) is None


@pytest.mark.parametrize("elsewhere", ["../secret.txt", "licences/executorch.txt", "/etc/hostname"])
def test_a_file_that_lies_elsewhere_is_none_of_the_build(folder, elsewhere):
    path = folder / elsewhere
    if not path.exists():
        path.write_text("a secret")
    plain = json.loads((folder / "build.json").read_text())
    plain["bundle"]["files"].append(
        plain["bundle"]["files"][0]
        | {"file": elsewhere, "size_bytes": path.stat().st_size, "sha256": sha256_file(path)}
        | {"executable": False}
    )
    (folder / "build.json").write_text(json.dumps(plain))
    assert read_whole_build(folder) is None


def test_no_record_at_all(tmp_path):
    assert read_whole_build(tmp_path) is None
    assert read_whole_build(tmp_path / "nowhere") is None
