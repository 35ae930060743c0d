"""The runtimes of another machine: fetched once, and again when a file of theirs is gone."""

import base64
import hashlib
import os
import zipfile

import pytest

from android_bench.native_build import runtimes
from android_bench.native_build.runtimes import find_runtimes

WHEELS = {
    "executorch": {
        "executorch/lib/libexecutorch.so": b"library",
        "executorch/include/executorch/runtime.h": b"header",
        "executorch/share/cmake/executorch-config.cmake": b"targets",
        "executorch/exir/__init__.py": b"not native",
        "executorch-1.dist-info/LICENSE": b"a licence",
    },
    "ai-edge-litert": {
        "ai_edge_litert/libLiteRt.so": b"library",
        "ai_edge_litert-1.dist-info/licenses/LICENSE": b"another licence",
    },
}


def make_wheel(name, folder):
    path = folder / f"{name}.whl"
    lines = []
    with zipfile.ZipFile(path, "w") as wheel:
        for member, content in WHEELS[name].items():
            wheel.writestr(member, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            lines.append(f"{member},sha256={digest.decode()},{len(content)}\n")
        about = next(member for member in WHEELS[name] if ".dist-info/" in member).partition("/")[0]
        lines.append(f"{about}/RECORD,,\n")
        wheel.writestr(f"{about}/RECORD", "".join(lines))
    return path


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """The requirements that were fetched, in order."""
    names = []

    def download(requirement, folder):
        names.append(requirement.partition("==")[0])
        return make_wheel(names[-1], folder)

    monkeypatch.setenv("PFD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(runtimes, "_download", download)
    return names


def test_the_native_parts_are_fetched_once(fetched):
    first = find_runtimes("linux-arm64")
    assert (first.executorch / "lib/libexecutorch.so").read_bytes() == b"library"
    assert not (first.executorch / "exir").exists()
    assert (first.litert / "libLiteRt.so").read_bytes() == b"library"
    assert first.licences == {"executorch": "a licence", "ai-edge-litert": "another licence"}
    assert find_runtimes("linux-arm64") == first
    assert fetched == ["executorch", "ai-edge-litert"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: os.truncate(path, 3),
        lambda path: path.write_bytes(path.read_bytes().swapcase()),
    ],
    ids=["gone", "truncated", "changed"],
)
@pytest.mark.parametrize("part", ["lib/libexecutorch.so", "include/executorch/runtime.h"])
def test_damaged_parts_are_fetched_again(fetched, part, damage):
    folder = find_runtimes("linux-arm64").executorch
    damage(folder / part)
    assert find_runtimes("linux-arm64").executorch == folder
    assert (folder / part).read_bytes() == WHEELS["executorch"][f"executorch/{part}"]
    assert fetched == ["executorch", "ai-edge-litert", "executorch"]


def test_parts_without_their_list_are_fetched_again(fetched):
    folder = find_runtimes("linux-arm64").litert
    (record,) = folder.parent.glob("*.dist-info/RECORD")
    record.unlink()
    find_runtimes("linux-arm64")
    assert fetched == ["executorch", "ai-edge-litert", "ai-edge-litert"]
