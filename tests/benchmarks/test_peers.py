"""`benchmarks/peers.py`: what is divided by what, and how the page shows it."""

from __future__ import annotations

import argparse

import pytest
from scripts import load_script

from export.request.source import ModuleSource


@pytest.fixture
def peers(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    return load_script(repository / "benchmarks" / "peers.py")


def test_a_peers_file_is_divided_by_ours_and_our_integers_by_our_floats(peers):
    executed = {"ours int8": 50, "stock_pte_int8": 60, "ours fp32": 100}
    rows = peers.compare_counts("net 32", "pte", executed)
    assert [(row.files, row.instructions) for row in rows] == [
        (".pte stock_pte_int8 / ours int8", 1.2),
        (".pte ours int8 / ours fp32", 0.5),
    ]


def test_the_page_has_a_row_a_comparison_and_their_geometric_mean(peers):
    files = ".pte stock_pte / ours fp32"
    rows = [
        peers.Row(network="a 32", files=files, latency=(0.9, 1.0, 1.1), instructions=2.0),
        peers.Row(network="b 32", files=files, latency=(3.9, 4.0, 4.1), instructions=None),
        peers.Row(network="c 32", files=files, latency=None, instructions=8.0),
    ]
    assert peers.table(rows, ["a note"])[2:] == [
        f"| a 32 | {files} | 1.00 | 0.90 to 1.10 | 2.00 |",
        f"| b 32 | {files} | 4.00 | 3.90 to 4.10 | |",
        f"| c 32 | {files} | | | 8.00 |",
        f"| geometric mean of 3 | {files} | 2.00 | | 4.00 |",
        "",
        "- a note",
    ]


def test_modules_take_the_place_of_the_zoo(peers):
    options = argparse.Namespace(
        module=["timm:ghostnet_100"], resolution=[224], model=["ghostnet"], variant=["orig"]
    )
    (subject,) = peers.choose_subjects(options)
    assert isinstance(subject.source, ModuleSource)
    assert (subject.name, subject.source.inputs[0].shape) == (
        "timm:ghostnet_100 224",
        (1, 3, 224, 224),
    )
    assert subject.arguments == ["--module", "timm:ghostnet_100", "--resolution", "224"]
