"""Run files on emulated arm64 cores and print how far each is from its set's reference.

The cores are one with half-precision and dot-product instructions (Cortex-A76) and two without::

    python tools/check_on_arm.py artifacts/*_fp16.json artifacts/*_int8.json

`half run` is what an fp16 file is expected to lose on a core that computes in half; `limit` is what
the bench allows on a device. Distances are shares of the largest output; those of int8 files stand
in steps of the output behind.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from android_bench.campaign.reference_files import write_reference
from android_bench.harness.client import Harness, Job, verify
from android_bench.native_build.build import build_harness
from android_bench.virtual_phone.emulated_core import MACHINES, emulate
from export.sets.manifest import Artifact, Manifest, load_manifest
from pfd_models.errors import PfdError

ENGINES = {"pte": "executorch", "tflite": "litert"}
ANY = 1e6  # nothing is refused: the distance is what is asked for


def measure(harness: Harness, manifest: Manifest, artifact: Artifact, folder: Path) -> str:
    """Return how far a file's worst output is from the set's reference."""
    reference = write_reference(manifest, artifact, folder)
    job = Job(
        model=str(manifest.path(artifact)),
        engine=ENGINES[artifact.format],
        inputs=tuple(map(str, reference.inputs)),
        expected=tuple(map(str, reference.expected)),
        limit=ANY,
    )
    outputs = verify(harness, job).outputs
    text = f"{max(output.relative_linf for output in outputs):.2e}"
    if manifest.quantization is not None:
        scales = [scale for scale, _ in manifest.quantization.outputs]
        steps = [o.relative_linf * o.max_expected / s for o, s in zip(outputs, scales, strict=True)]
        text += f" ({max(steps):.2g})"
    return text


def main() -> int:
    """Print a row for each file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST")
    parser.add_argument("--cores", default=",".join(MACHINES), help="comma list")
    options = parser.parse_args()
    try:
        manifests = [load_manifest(path) for path in options.manifests]
        built = build_harness("linux-arm64")
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            cores = options.cores.split(",")
            harnesses = [emulate(built, core, folder / core) for core in cores]
            table = Table("file", "half run", "here", *cores, "limit")
            for manifest in manifests:
                for artifact in manifest.artifacts:
                    if artifact.format not in ENGINES:
                        continue
                    parity = artifact.parity
                    half = parity.eager_relative_linf if artifact.precision == "fp16" else None
                    table.add_row(
                        artifact.file,
                        "" if half is None else f"{half:.2e}",
                        f"{parity.relative_linf:.2e}",
                        *(measure(harness, manifest, artifact, folder) for harness in harnesses),
                        f"{parity.limit:.2e}",
                    )
            Console(width=None if sys.stdout.isatty() else 160).print(table)
    except PfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
