"""Build networks nobody tuned this exporter for, and tell what came out of each.

    python tools/other_models.py --markdown > docs/other-models.md

Each network, or part of one, goes through `--module`, as a user's own would: built, or refused with
its reason.
Needs timm (the extra `dev`) for its networks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from export.cli.workers import Outcome, Workers
from export.request.request import BuildRequest
from export.request.source import InputTensor, ModuleSource
from export.sets.manifest import Artifact

TORCHVISION = (
    "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "shufflenet_v2_x1_0",
    "shufflenet_v2_x0_5", "mnasnet1_0", "mnasnet0_5", "efficientnet_b0", "regnet_y_400mf",
    "regnet_x_400mf", "squeezenet1_1", "resnet18", "resnet50", "resnext50_32x4d", "densenet121",
    "googlenet(aux_logits=False, init_weights=False)", "convnext_tiny", "swin_t",
)  # fmt: skip
TIMM = (
    "ghostnet_100", "ghostnetv2_100", "repghostnet_050", "mobilenetv4_conv_small",
    "mobilenetv4_hybrid_medium", "mobileone_s0", "fastvit_t8", "repvit_m0_9", "starnet_s1",
    "efficientformerv2_s0", "edgenext_xx_small", "efficientnet_lite0", "efficientvit_b0",
    "lcnet_100", "tinynet_e", "mobilevit_xxs", "mobilevitv2_050", "hardcorenas_a", "fbnetc_100",
    "rexnet_100", "mixnet_s", "hrnet_w18_small", "dla46_c", "convnextv2_atto", "levit_128s",
    "poolformerv2_s12", "deit_tiny_patch16_224",
)  # fmt: skip
PARTS = (  # of segmentation and detection
    "torchvision.models.segmentation:lraspp_mobilenet_v3_large(weights_backbone=None)",
    "torchvision.models.segmentation:deeplabv3_mobilenet_v3_large(weights_backbone=None)",
    "torchvision.models.detection.backbone_utils:resnet_fpn_backbone("
    "backbone_name='resnet18', weights=None)",
    "torchvision.models.detection.backbone_utils:mobilenet_backbone("
    "backbone_name='mobilenet_v3_large', weights=None, fpn=True)",
    "timm.models:mobilenetv3_large_100(features_only=True)",
)  # fmt: skip
TARGETS = (
    *(f"torchvision:{name}" for name in TORCHVISION),
    *(f"timm:{name}" for name in TIMM),
    *PARTS,
)
FORMATS = ("pte", "onnx", "tflite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one network's files came out as: a line of text per format, and the reasons."""

    target: str
    pte: str
    tflite: str
    notes: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build all targets and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", default=TARGETS, help="package.module:factory")
    parser.add_argument("--input", default="1,3,224,224", help="default: 1,3,224,224")
    parser.add_argument("--out", type=Path, default=Path("artifacts/other-models"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--markdown", action="store_true", help="the page of the documentation")
    options = parser.parse_args(arguments)
    shape = tuple(int(n) for n in options.input.split(","))
    requests = [
        BuildRequest(
            source=ModuleSource(target=target, inputs=(InputTensor(shape=shape),)),
            formats=FORMATS,
            out=options.out,
        )
        for target in options.targets
    ]
    with Workers(options.jobs) as workers:
        outcomes = list(workers.build_all(requests, _tell))
    rows = [_row(target, outcomes) for target in options.targets]
    if options.markdown:
        print(_markdown(rows, options.input))
    else:
        _print_table(rows)
    return 0


def _tell(label: str, step: str) -> None:
    sys.stderr.write(f"{label} {step}\n")


def _row(target: str, outcomes: Iterable[Outcome]) -> Row:
    (outcome,) = [o for o in outcomes if o.request.source.label == target]
    if outcome.result is None:
        return Row(target=target, pte="refused", tflite="refused", notes=(str(outcome.error),))
    manifest = outcome.result.manifest
    cells, notes = {}, [f"{m.format}: {m.reason}" for m in manifest.missing_formats]
    have = {artifact.format: artifact for artifact in manifest.artifacts}
    for name in ("pte", "tflite"):
        cells[name] = _cell(have[name]) if name in have else "missing"
        notes += [
            f"{name}: {left.count} x {left.op}: {left.cause}"
            for left in (have[name].leftovers if name in have else ())
        ]
    return Row(target=target, pte=cells["pte"], tflite=cells["tflite"], notes=tuple(notes))


def _cell(artifact: Artifact) -> str:
    left = sum(x.count for x in artifact.leftovers)
    return f"{artifact.delegates} / {left}, error {artifact.parity.relative_linf:.0e}"


def _print_table(rows: Iterable[Row]) -> None:
    table = Table("network", ".pte: delegates / left out", ".tflite: delegates / left out", "why")
    for row in rows:
        table.add_row(row.target, row.pte, row.tflite, "\n".join(row.notes))
    Console(width=None if sys.stdout.isatty() else 200, emoji=False, markup=False).print(table)


def _markdown(rows: Sequence[Row], shape: str) -> str:
    lines = [
        "# Networks nobody tuned this for",
        "",
        "Made by `python tools/other_models.py --markdown > docs/other-models.md`.",
        "",
        f"Networks of torchvision and timm, untrained, input {shape}, through `--module` as yours",
        "would be. A cell has the delegate calls, the operators left outside them and the relative",
        "L-infinity distance from a float64 run; nothing is published unless that is within its",
        "limit.",
        "",
        "| network | `.pte` | `.tflite` | left out or refused, and why |",
        "|---|---|---|---|",
    ]
    for row in rows:
        notes = "<br>".join(note.replace("|", "\\|") for note in row.notes)
        lines.append(f"| `{row.target}` | {row.pte} | {row.tflite} | {notes} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
