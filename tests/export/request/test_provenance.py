"""What code a build comes from: the same code has the same digest wherever it lies."""

from __future__ import annotations

from export.request.provenance import source_digest


def write(folder, **files):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_the_folder_and_the_order_of_the_roots_do_not_count(tmp_path):
    first = [write(tmp_path / "a" / "ours", x="1"), write(tmp_path / "b" / "yours", y="2")]
    moved = [write(tmp_path / "d" / "ours", x="1"), write(tmp_path / "c" / "yours", y="2")]
    assert source_digest(first) == source_digest(moved) == source_digest(reversed(moved))


def test_names_and_contents_count(tmp_path):
    digests = {
        source_digest([write(tmp_path / "1" / "ours", x="1", y="2")]),
        source_digest([write(tmp_path / "2" / "ours", x="2", y="1")]),
        source_digest([write(tmp_path / "3" / "yours", x="1", y="2")]),
        source_digest([write(tmp_path / "4" / "ours", x="1")]),
    }
    assert len(digests) == 4
