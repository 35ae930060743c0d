"""Every verb, given something damaged or missing, says so in one line; nothing is half done."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from android_bench.store import open_store
from export.sets.files import sha256_file

MEASURE = [("run",), ("qualify",)]
READ = [
    ("list",),
    ("show", "last"),
    ("compare", "last"),
    ("report", "last", "-o", "out/page.html"),
    ("export", "last", "-o", "out/samples.csv"),
    ("export", "last", "-o", "out/samples.parquet"),
    ("run", "--resume"),
]


@pytest.fixture
def host(standin_host):
    standin_host.make_set("orig", suffixes=(".pte",))
    return standin_host


def change_manifest(host, change):
    (path,) = host.artifacts.glob("*.json")
    plain = json.loads(path.read_text())
    path.write_text(json.dumps(change(plain)))


def replace(*keys, value):
    """Return a change of one field, however deep."""

    def change(plain):
        inner = plain
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return plain

    return change


def without(key):
    return lambda plain: {k: v for k, v in plain.items() if k != key}


MANIFESTS = {
    "empty": b"",
    "cut": b'{"schema_version": 1, "stem": "toy',
    "no text": b"\xff\xfe\x00\x00",
    "deep": b"[" * 100_000,
    "a list": b"[1, 2, 3]",
    "a number of 5000 digits": b'{"schema_version": ' + b"9" * 5000 + b"}",
    "another version": replace("schema_version", value=99),
    "no version": without("schema_version"),
    "no artifacts": without("artifacts"),
    "unknown field": replace("novelty", value=1),
    "artifacts of text": replace("artifacts", value="all"),
    "a size of text": replace("artifacts", 0, "size_bytes", value="big"),
    "a size that is not": replace("artifacts", 0, "size_bytes", value=None),
    "no inputs": replace("artifacts", 0, "inputs", value=[]),
    "a shape below zero": replace("artifacts", 0, "inputs", 0, "shape", value=[-1, 3, 4, 4]),
    "an unknown dtype": replace("artifacts", 0, "inputs", 0, "dtype", value="float31"),
    "samples of text": replace("reference", "samples", value="two"),
    "no parity": replace("artifacts", 0, "parity", value={}),
    "a limit that is no number": replace("artifacts", 0, "parity", "limit", value="wide"),
}


@pytest.mark.parametrize("verb", MEASURE, ids=lambda verb: verb[0])
@pytest.mark.parametrize("damage", MANIFESTS.values(), ids=MANIFESTS)
def test_a_damaged_manifest(host, adb_bench, verb, damage):
    if isinstance(damage, bytes):
        next(host.artifacts.glob("*.json")).write_bytes(damage)
    else:
        change_manifest(host, damage)
    refuse(adb_bench, *verb, "--artifacts", "artifacts/*.pte")


def save_arrays(**arrays):
    return lambda path: np.savez(path, **arrays)


def store_member(name, content):
    def save(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, content)

    return save


def cut_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def save_plain_array(path):
    with path.open("wb") as file:
        np.save(file, IMAGES)


IMAGES, SCORES = np.zeros((2, 1, 3, 4, 4), np.float32), np.zeros((2, 1, 10), np.float32)
REFERENCES = {
    "empty": lambda path: path.write_bytes(b""),
    "no archive": lambda path: path.write_bytes(b"hello" * 100),
    "cut": cut_half,
    "an empty archive": save_arrays(),
    "no output": save_arrays(input_0=IMAGES),
    "another shape": save_arrays(input_0=IMAGES[:, :, :, :2], output_0=SCORES),
    "fewer samples": save_arrays(input_0=IMAGES[:1], output_0=SCORES[:1]),
    "text": save_arrays(input_0=np.array(["a", "b"]), output_0=SCORES),
    "objects": save_arrays(input_0=np.array([{}, {}], object), output_0=SCORES),
    "no array inside": store_member("input_0.npy", b"hello"),
    "a header that lies": store_member(
        "input_0.npy",
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000,)}",
    ),
    "a plain array": save_plain_array,
}


@pytest.mark.parametrize("verb", MEASURE, ids=lambda verb: verb[0])
@pytest.mark.parametrize("damage", REFERENCES.values(), ids=REFERENCES)
def test_damaged_reference_data_whose_hash_is_right(host, adb_bench, verb, damage):
    """The manifest may vouch for a file that was damaged before it was made."""
    (path,) = host.artifacts.glob("*.npz")
    damage(path)

    def vouch(plain):
        plain["reference"] |= {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
        return plain

    change_manifest(host, vouch)
    refuse(adb_bench, *verb, "--artifacts", "artifacts/*.pte")


@pytest.mark.parametrize("verb", MEASURE, ids=lambda verb: verb[0])
@pytest.mark.parametrize("pattern", ["*.pte", "*.json", "*.npz"])
def test_a_missing_file(host, adb_bench, verb, pattern):
    (path,) = host.artifacts.glob(pattern)
    path.unlink()
    refuse(adb_bench, *verb, "--artifacts", "artifacts/*")


@pytest.mark.parametrize("verb", MEASURE, ids=lambda verb: verb[0])
def test_a_folder_in_place_of_a_file(host, adb_bench, verb):
    (path,) = host.artifacts.glob("*.npz")
    path.unlink()
    path.mkdir()
    refuse(adb_bench, *verb, "--artifacts", "artifacts/*.pte")


STORES = {
    "zeros": lambda good: bytes(len(good)),
    "text": lambda good: b"hello\n" * 1000,
    "its head": lambda good: good[:100],
    "its first page": lambda good: good[:4096],
    "its first half": lambda good: good[: len(good) // 2],
}


@pytest.fixture
def filled(host, adb_bench):
    """A store with a campaign of heats, and passes."""
    return fill(adb_bench, "turns")


def fill(adb_bench, pairing):
    call = ("--artifacts", "artifacts/*.pte", "--memory", "--profile", "--pairing", pairing)
    assert adb_bench(*call) == 0
    return Path("bench.sqlite")


@pytest.mark.parametrize("damage", STORES.values(), ids=STORES)
def test_a_damaged_store(filled, adb_bench, damage):
    content = damage(filled.read_bytes())
    for verb in READ:
        Path("bad.sqlite").write_bytes(content)
        refuse(adb_bench, *verb, "--store", "bad.sqlite")
        assert Path("bad.sqlite").read_bytes() == content


def test_a_store_that_is_not_there_or_is_a_folder(host, adb_bench):
    Path("folder").mkdir()
    for verb in READ:
        refuse(adb_bench, *verb, "--store", "folder")
        if verb[0] != "run":
            refuse(adb_bench, *verb, "--store", "nothing.sqlite")
            assert not Path("nothing.sqlite").exists()


ROWS = {
    "a table that is gone": "DROP TABLE samples",
    "another table that is gone": "DROP TABLE turns",
    "a rule of text": "UPDATE campaigns SET precision = 'fine'",
    "a budget below zero": "UPDATE campaigns SET budget_seconds = -1",
    "settings that are cut": "UPDATE campaigns SET settings = '{'",
    "settings that are a list": "UPDATE campaigns SET settings = '[]'",
    "a role nobody plays": "UPDATE arms SET role = 'referee'",
    "samples that are cut": "UPDATE samples SET samples_ns = x'0102'",
    "one sample too many": "UPDATE samples SET count = count + 1",
    "a flag nobody knows": "UPDATE blocks SET flags = '[\"tired\"]'",
    "a reading of text": "UPDATE blocks SET before = '\"cold\"'",
    "a heat whose turns are cut": "UPDATE turns SET turn_begin_ns = x'0102'",
    "turns counted in text": "UPDATE turns SET turn_count = 'many'",
    "samples of a heat counted in text": "UPDATE turns SET sample_count = 'many'",
    "one turn too many": "UPDATE turns SET turn_count = turn_count + 1",
    "children of a heat that are no list": "UPDATE heats SET children = '{}'",
    "a pace of text": "UPDATE events SET data = '[1]' WHERE kind = 'pace_chosen'",
    "a device without clusters": "UPDATE devices SET clusters = '{\"a\": 1}'",
}


@pytest.mark.parametrize("statement", ROWS.values(), ids=ROWS)
def test_damaged_rows(host, adb_bench, statement):
    of_heats = any(word in statement for word in ("turns", "heats", "pace_chosen"))
    fill(adb_bench, "turns" if of_heats else "blocks")
    with open_store("bench.sqlite") as store, store.writing() as connection:
        connection.execute(text(statement))
    told = 0
    for verb in READ[1:6]:
        status = adb_bench(*verb, "--store", "bench.sqlite")
        if status:
            told += 1
            check_line(adb_bench, status)
        shutil.rmtree("out", ignore_errors=True)
    assert told


def refuse(adb_bench, *arguments):
    status = adb_bench(*arguments)
    check_line(adb_bench, status)
    assert not Path("out").exists()
    if Path("bench.sqlite").exists() and arguments[0] in ("run", "qualify"):
        with open_store("bench.sqlite") as store:
            assert store.campaigns() == () or "--store" in arguments


def check_line(adb_bench, status):
    assert status in (1, 2), adb_bench.err
    assert adb_bench.error
    assert len(adb_bench.error) < 600
