import dataclasses
import hashlib
import os

import numpy as np
import pytest

from android_bench.campaign.reference_files import write_reference
from export.sets.manifest import Artifact, Manifest, Parity, ReferenceData, TensorSpec
from pfd_models.errors import InputError, IntegrityError


@pytest.fixture
def manifest(tmp_path):
    images = np.arange(2 * 1 * 3 * 4 * 5, dtype=np.float32).reshape(2, 1, 3, 4, 5)
    scores = np.arange(2 * 1 * 6, dtype=np.float32).reshape(2, 1, 6)
    path = tmp_path / "net_reference.npz"
    np.savez(path, input_0=images, output_0=scores)
    return _manifest(path)


def _manifest(path):
    reference = ReferenceData(
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size_bytes=path.stat().st_size,
        samples=2,
    )
    parity = Parity(samples=2, relative_linf=0.0, sqnr_db=99.0, eager_relative_linf=0.0, limit=1e-4)
    artifact = Artifact(
        file="net.pte",
        format="pte",
        backend="xnnpack",
        precision="fp32",
        sha256="0" * 64,
        size_bytes=1,
        inputs=(TensorSpec(name="image", shape=(1, 3, 4, 5), layout="NCHW"),),
        outputs=(TensorSpec(name="scores", shape=(1, 6), layout="NC"),),
        delegates=1,
        leftovers=(),
        parity=parity,
        build_seconds={},
    )
    turned = (TensorSpec(name="image", shape=(1, 4, 5, 3), layout="NHWC"),)
    return Manifest(
        stem="net",
        build_id="b",
        model="net",
        variant="",
        dataset="",
        spec={},
        weights="seed:0",
        params=1,
        macs=1,
        passes=(),
        artifacts=(
            artifact,
            dataclasses.replace(artifact, format="tflite", file="net.tflite", inputs=turned),
        ),
        reference=reference,
        versions={},
        git_revision="",
        git_dirty=False,
        created="2026-03-01T12:00:00+00:00",
        folder=path.parent,
    )


def test_reference_files_are_in_the_files_own_layout(manifest, tmp_path):
    pte, tflite = manifest.artifacts
    images = np.arange(120, dtype="<f4").reshape(2, 1, 3, 4, 5)
    folder = tmp_path / "raw"
    files = write_reference(manifest, pte, folder)
    assert files.samples == 2
    assert files.inputs[0].read_bytes() == images.tobytes()
    assert files.expected[0].read_bytes() == np.arange(12, dtype="<f4").tobytes()
    turned = write_reference(manifest, tflite, folder)
    assert turned.inputs[0].read_bytes() == images.transpose(0, 1, 3, 4, 2).tobytes()
    assert turned.expected == files.expected
    before = os.stat(files.inputs[0])
    write_reference(manifest, pte, folder)
    assert os.stat(files.inputs[0]).st_mtime_ns == before.st_mtime_ns


def test_reference_data_that_was_changed_is_refused(manifest, tmp_path, refusal):
    path = manifest.path(manifest.reference)
    path.write_bytes(path.read_bytes() + b"x")
    refusal(
        IntegrityError,
        lambda: write_reference(manifest, manifest.artifacts[0], tmp_path),
        "net_reference.npz",
        "build again",
    )
    path.unlink()
    refusal(
        IntegrityError,
        lambda: write_reference(manifest, manifest.artifacts[0], tmp_path),
        "is missing",
    )


def test_reference_data_that_does_not_fit_is_refused(manifest, tmp_path, refusal):
    pte = manifest.artifacts[0]
    wider = (TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),)
    other = dataclasses.replace(pte, inputs=wider)
    refusal(
        InputError,
        lambda: write_reference(manifest, other, tmp_path),
        "has shape (2, 1, 3, 4, 5)",
        "(2, 1, 3, 8, 8)",
    )
    two = dataclasses.replace(pte, inputs=pte.inputs * 2)
    refusal(InputError, lambda: write_reference(manifest, two, tmp_path), "has no input_1")
