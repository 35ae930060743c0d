import os
import resource
import signal

import pytest

from export.sets.files import atomic_write, sha256_file
from pfd_models.errors import OutputError


def test_a_file_appears_whole(tmp_path):
    atomic_write(tmp_path / "deep" / "a.txt", "grüße")
    assert (tmp_path / "deep" / "a.txt").read_text(encoding="utf-8") == "grüße"
    assert os.listdir(tmp_path / "deep") == ["a.txt"]


def test_sha256_is_the_standard_one(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_a_place_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"cannot write .*(not a directory|file exists)"):
        atomic_write(tmp_path / "file" / "a.txt", "y")


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    atomic_write(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # as a disk that fills up
    try:
        with pytest.raises(OutputError, match="too large"):
            atomic_write(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]
