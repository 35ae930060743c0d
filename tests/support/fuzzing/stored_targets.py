"""What lies in files and databases: manifests, reference data, builds, the journal."""

import atexit
import dataclasses
import datetime
import functools
import hashlib
import io
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from android_bench.campaign.journal import limits_now, seconds_before
from android_bench.campaign.reference_files import write_reference
from android_bench.native_build.record import (
    PROGRAMS,
    BuildRecord,
    BundleFile,
    BundleRecord,
    read_whole_build,
)
from android_bench.records import Event, Limits
from android_bench.store.rows import record_from
from export.sets.manifest import (
    Artifact,
    Manifest,
    Parity,
    ReferenceData,
    TensorSpec,
    load_manifest,
)
from fuzzing import Input, target
from pfd_models.plain_data import to_plain


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pfd-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _build_folder() -> Path:
    folder = _folder() / "build"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).write_bytes(b"text")
    return folder


def _npz() -> bytes:
    file = io.BytesIO()
    arrays = {
        "input_0": np.arange(24, dtype=np.float32).reshape(2, 1, 3, 2, 2),
        "output_0": np.zeros((2, 1, 4), np.float32),
    }
    np.savez(file, **arrays)
    return file.getvalue()


def _manifest() -> Manifest:
    parity = Parity(samples=8, relative_linf=1e-6, sqnr_db=99.0, eager_relative_linf=None, limit=1)
    artifact = Artifact(
        file="net.tflite",
        format="tflite",
        backend="",
        precision="fp32",
        sha256="0" * 64,
        size_bytes=1,
        inputs=(TensorSpec(name="image", shape=(1, 2, 2, 3), layout="NHWC"),),
        outputs=(TensorSpec(name="scores", shape=(1, 4), layout="NC"),),
        delegates=1,
        leftovers=(),
        parity=parity,
        build_seconds={"lower": 1.5},
    )
    return Manifest(
        stem="net",
        build_id="0" * 64,
        model="net",
        variant="",
        dataset="",
        spec={"input": [1, 3, 2, 2]},
        weights="seed:0",
        params=1,
        macs=1,
        passes=(),
        artifacts=(artifact,),
        reference=ReferenceData(file="net_reference.npz", sha256="", size_bytes=1, samples=2),
        versions={"torch": "2"},
        git_revision="",
        git_dirty=False,
        created="2026-01-01T00:00:00+00:00",
    )


_MANIFEST = _manifest()


@target("manifest", json.dumps(to_plain(_MANIFEST)), json.dumps(to_plain(_MANIFEST), indent=1))
def check_manifest(given: Input) -> None:
    path = _folder() / "net.json"
    path.write_bytes(given.data)
    manifest = load_manifest(path, verify=False)
    for file in manifest.files:
        assert (_folder() / file.file).parent == _folder()


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3, np.float32))
    return file.getvalue()


@target("reference-npz", _npz(), _npz()[:200], _npy())
def check_reference(given: Input) -> None:
    path = _folder() / "net_reference.npz"
    path.write_bytes(given.data)
    digest = hashlib.sha256(given.data).hexdigest()
    reference = dataclasses.replace(_MANIFEST.reference, sha256=digest)
    manifest = dataclasses.replace(_MANIFEST, reference=reference, folder=_folder())
    written = write_reference(manifest, manifest.artifacts[0], _folder())
    assert written.inputs[0].stat().st_size == 24 * 4
    for file in (*written.inputs, *written.expected):
        file.unlink()


def _build_record() -> str:
    files = tuple(
        BundleFile(
            file=name,
            size_bytes=4,
            sha256=hashlib.sha256(b"text").hexdigest(),
            origin="pfd-mobile",
            licence="Apache-2.0",
            executable=False,
        )
        for name in PROGRAMS
    )
    record = BuildRecord(
        target="host",
        version="1+0",
        compiler="g++",
        runtimes={"executorch": ""},
        left_out=(),
        bundle=BundleRecord(loader="", files=files, size_bytes=8, licence_texts={}),
    )
    return json.dumps(to_plain(record))


@target("build-json", _build_record(), "{}", '{"bundle": {}}')
def check_build(given: Input) -> None:
    folder = _build_folder()
    (folder / "build.json").write_bytes(given.data)
    record = read_whole_build(folder)
    assert record is None or {file.file for file in record.bundle.files} >= set(PROGRAMS)


@target(
    "store-journal",
    json.dumps(to_plain(Limits())),
    json.dumps({"blocks": 0, "at_ns": 5, "relative_linf": {"orig": 1e-6}}),
)
def check_journal(given: Input) -> None:
    try:
        data = json.loads(given.text)
    except (ValueError, RecursionError):
        return  # no database gives this back as JSON
    row = {
        "event_id": 1,
        "campaign_id": "c",
        "at_utc": datetime.datetime.now(datetime.UTC).isoformat(),
        "message": "a line",
        "block_index": None,
        "data": data,
    }
    kind = ("limits_raised", "started", "resumed", "start_chosen")[len(given.cuts) % 4]
    event = record_from(Event, {**row, "kind": kind}, without=("event_id",))
    if kind in ("started", "resumed"):
        assert seconds_before([event], []) >= 0
    else:
        limits_now(Limits(), [event])
