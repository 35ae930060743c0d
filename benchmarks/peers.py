"""This project's files beside those of other tools, of the same networks with the same weights.

    python benchmarks/peers.py --model shufflenetv2,ghostnet --variant orig,ours --resolution 32 \
        --precision fp32,int8 --peer-python peers/bin/python
    python benchmarks/peers.py --module timm:ghostnet_100,torchvision:shufflenet_v2_x1_0 \
        --resolution 224 --peer-python peers/bin/python --count-only

For each network the peers' files are made from the module that ours are made of: ExecuTorch's own
lowering for XNNPACK (int8: PT2E with XNNPACKQuantizer), litert-torch with channels last (int8:
ai-edge-quantizer's static recipe). litert-torch and ai-edge-quantizer are the extra `peers`; give
--peer-python the interpreter of an environment that has them. Each file is run in its own runtime
and held against PyTorch. Then the files of one engine take turns in the native harness, one thread,
and the table gives how much longer the peer takes, and int8 beside float32 of our own; where there
is an emulator (`pfd-arm`), also how many more instructions it executes on an ARM core.

int8 is calibrated on noise here, which says nothing about accuracy and does not change the time.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from peer_files import MAKERS
from peer_sets import ENGINES, PeerFile, Subject, describe_files, make_files

from android_bench import CampaignResult, Display, open_bench, open_store, read_result
from android_bench.arm_cost import CORES, count_file
from android_bench.campaign.bench import Bench
from android_bench.campaign.contest import BenchFile, Contest
from android_bench.campaign.series import run_series
from android_bench.campaign.series_plan import SeriesOptions, make_rules
from android_bench.store import Store
from export.request.source import InputTensor, ModuleSource, ZooSource
from export.sets.manifest import Manifest
from pfd_models.errors import DeviceError, GateError, PfdError

CORE = "a77"  # whose instructions are counted
DATASETS = {32: "cifar100", 224: "imagenet"}
MODELS = ("mobilenetv3_large", "parc_mobilenetv2", "ghostnet", "shufflenetv2")
FLOAT = "ours fp32"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one comparison says.

    Attributes:
        network: Model, variant and pixels.
        files: What is divided by what.
        latency: That of the first over that of the second, between the ends of its interval; None
            where nothing was measured.
        instructions: The same of what they execute; None where nothing was counted.
    """

    network: str
    files: str
    latency: tuple[float, float, float] | None
    instructions: float | None


def main() -> int:
    """Make the files, measure them, print tables; a tool that fails on a network is a line."""
    options = _parser().parse_args()
    try:
        rows, notes = _show(options.store) if options.show else _compare(options)
    except PfdError as error:
        print(f"peers: {error}", file=sys.stderr)
        return error.exit_status
    for line in table(rows, notes):
        print(line)
    return 0


def _show(path: str) -> tuple[list[Row], list[str]]:
    """Return the rows of an earlier run."""
    rows = []
    with open_store(path, create=False) as store:
        for record in store.campaigns():
            # "shufflenetv2 ours 32 int8 with litert, 1 thread"
            network = record.name.partition(" with ")[0].rpartition(" ")[0]
            kind = next(kind for kind, engine in ENGINES.items() if engine == record.arms[0].engine)
            executed = {
                arm.label: counts[-1].counts.instructions
                for arm in record.arms
                if (counts := store.arm_counts(arm.artifact_sha256))
            }
            rows += read_rows(network, kind, read_result(store, record.campaign_id), executed)
    return rows, []


def _compare(options: argparse.Namespace) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    notes: list[str] = []
    with contextlib.ExitStack() as stack:
        bench = None
        if not options.count_only:
            bench = stack.enter_context(open_bench("host", store=options.store, watch=Display()))
        store = stack.enter_context(open_store(options.store)) if bench is None else bench.store
        for subject in choose_subjects(options):
            try:
                ours, peers = make_files(subject, options)
            except GateError as error:  # of ours: it is a result, not an end
                notes.append(f"{subject.name}: ours: {error}")
                continue
            notes += [f"{subject.name}: {note}" for note in describe_files(ours, peers)]
            for kind, precision in itertools.product(ENGINES, options.precision):
                entries = choose_entries(kind, precision, ours, peers)
                if len(entries) < 2:
                    continue
                executed = {} if options.no_count else count_entries(store, entries)
                if bench is None:
                    rows += compare_counts(subject.name, kind, executed)
                else:
                    contest = Contest(
                        name=f"{subject.name} {precision} with {ENGINES[kind]}",
                        engine=ENGINES[kind],
                        entries=tuple(entries.items()),
                    )
                    rows += measure(bench, subject.name, kind, contest, executed, options)
    return rows, notes


def choose_subjects(options: argparse.Namespace) -> Iterator[Subject]:
    """Yield each network: modules where some are named, else those of the zoo."""
    for target, pixels in itertools.product(options.module, options.resolution):
        image = InputTensor(shape=(1, 3, pixels, pixels))
        source = ModuleSource(target=target, inputs=(image,))
        yield Subject(name=f"{target} {pixels}", source=source, pixels=pixels)
    if options.module:
        return
    for model, variant, pixels in itertools.product(
        options.model, options.variant, options.resolution
    ):
        zoo = ZooSource(model=model, variant=variant, dataset=DATASETS[pixels])
        yield Subject(name=f"{model} {variant} {pixels}", source=zoo, pixels=pixels)


# -- measuring ---------------------------------------------------------------------------------


def choose_entries(
    kind: str, precision: str, ours: Mapping[str, Manifest], peers: Sequence[PeerFile]
) -> dict[str, BenchFile]:
    """Return what is compared by its label: our file first, then the peers', then our float32."""
    entries = {f"ours {precision}": _file(ours[precision], kind)}
    for peer in peers:
        if peer.file is not None and MAKERS[peer.peer][:2] == (kind, precision):
            entries[peer.peer] = peer.file
    if precision != "fp32":
        entries[FLOAT] = _file(ours["fp32"], kind)
    return entries


def count_entries(store: Store, entries: Mapping[str, BenchFile]) -> dict[str, int]:
    """Return what an inference of each file executes; nothing where there is no emulator."""
    executed = {}
    for label, entry in entries.items():
        try:
            count = count_file(entry.path, CORES[CORE], with_operators=False)
        except DeviceError as error:
            print(f"{entry.path.name} is not counted: {error}", file=sys.stderr)
            return {}
        store.add_arm_count(count, entry.record)
        executed[label] = count.counts.instructions
    return executed


def measure(
    bench: Bench,
    network: str,
    kind: str,
    contest: Contest,
    executed: Mapping[str, int],
    options: argparse.Namespace,
) -> list[Row]:
    """Let the files of a contest take turns."""
    rules = make_rules(
        bench,
        SeriesOptions(precision=options.aim, budget_seconds=options.budget),
        threads=1,
    )
    rows = []
    for outcome in run_series(bench, [(contest, rules)]):
        for failure in outcome.failures:
            print(f"{contest.name}: {failure.error}", file=sys.stderr)
        if outcome.result is not None:
            rows += read_rows(network, kind, outcome.result, executed)
    return rows


def _file(manifest: Manifest, kind: str) -> BenchFile:
    return BenchFile(manifest=manifest, artifact=manifest.artifact(kind))


def read_rows(
    network: str, kind: str, result: CampaignResult, executed: Mapping[str, int]
) -> list[Row]:
    """Turn a campaign into rows: what a peer takes over ours, and int8 over float32 of ours."""
    rows = []
    for one in result.comparisons:
        first, second = _order(one.label, one.baseline)
        latency = (one.low, one.ratio, one.high)
        if first != one.label:
            latency = (1 / one.high, 1 / one.ratio, 1 / one.low)
        rows.append(
            Row(
                network=network,
                files=f".{kind} {first} / {second}",
                latency=latency,
                instructions=_divide(executed, first, second),
            )
        )
    return rows


def compare_counts(network: str, kind: str, executed: Mapping[str, int]) -> list[Row]:
    """Return the rows of files that were counted and not measured."""
    mine, *others = executed
    pairs = [_order(other, mine) for other in others]
    return [
        Row(
            network=network,
            files=f".{kind} {first} / {second}",
            latency=None,
            instructions=_divide(executed, first, second),
        )
        for first, second in pairs
    ]


def _order(label: str, baseline: str) -> tuple[str, str]:
    """Return what is divided by what: a peer's file by ours, int8 by float32."""
    return (baseline, label) if label == FLOAT else (label, baseline)


def _divide(executed: Mapping[str, int], first: str, second: str) -> float | None:
    return executed[first] / executed[second] if {first, second} <= executed.keys() else None


def table(rows: Sequence[Row], notes: Sequence[str]) -> list[str]:
    """Lines of the page: a row a comparison, geometric means, and what is to say of the files."""
    lines = [
        "| network | files | latency | interval | ARM instructions |",
        "|---|---|--:|--:|--:|",
    ]
    for row in rows:
        shown = "| | "
        if row.latency is not None:
            low, ratio, high = row.latency
            shown = f"| {ratio:.2f} | {low:.2f} to {high:.2f} "
        lines.append(f"| {row.network} | {row.files} {shown}|{_cell(row.instructions)}|")
    for files in dict.fromkeys(row.files for row in rows):
        some = [row for row in rows if row.files == files]
        latency = _mean([row.latency[1] for row in some if row.latency is not None])
        counted = _mean([row.instructions for row in some if row.instructions is not None])
        lines.append(f"| geometric mean of {len(some)} | {files} |{latency}| |{counted}|")
    return [*lines, "", *(f"- {note}" for note in notes)]


def _mean(ratios: Sequence[float]) -> str:
    return _cell(statistics.geometric_mean(ratios) if ratios else None)


def _cell(ratio: float | None) -> str:
    return " " if ratio is None else f" {ratio:.2f} "


def _parser() -> argparse.ArgumentParser:
    def names(text: str) -> list[str]:
        return text.split(",")

    def sides(text: str) -> list[int]:
        return [int(side) for side in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=names, default=list(MODELS), help="comma list")
    parser.add_argument(
        "--module",
        type=names,
        default=[],
        help="comma list of modules that others wrote, as timm:NAME, instead of --model",
    )
    parser.add_argument("--variant", type=names, default=["orig", "ours"], help="comma list")
    parser.add_argument("--resolution", type=sides, default=[32], help="32, 224 or both")
    parser.add_argument("--precision", type=names, default=["fp32", "int8"], help="comma list")
    parser.add_argument("--aim", type=float, default=0.01, help="half-width to stop at (0.01)")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds a campaign (20)")
    parser.add_argument("--peer-python", default=sys.executable, help="environment of the peers")
    parser.add_argument("--onnx2tf", default="", help="that program, to have its files too")
    parser.add_argument("--out", type=Path, default=Path("artifacts/peers"))
    parser.add_argument("--store", default="bench.sqlite")
    parser.add_argument("--count-only", action="store_true", help="measure no latency")
    parser.add_argument("--no-count", action="store_true", help="count no ARM instructions")
    parser.add_argument("--show", action="store_true", help="measure nothing: print what is stored")
    return parser


if __name__ == "__main__":
    sys.exit(main())
