"""Do turns and blocks agree on real hardware, and which of them says it sooner?

    python tools/compare_pairing.py
    python tools/compare_pairing.py --model shufflenetv2 --resolution 32 --threads 1 --budget 60
    python tools/compare_pairing.py --artifacts 'artifacts/mine_*'
    python tools/compare_pairing.py --show

Every pair of files (orig and ours of the networks of the paper's latency table, and of one network
whose weights do not fit into the last-level cache) is measured both ways, one after the other.
The two ratios must differ by no more than their intervals allow together; one comparison in twenty
may, by chance. Turns of variants that are alive at once displace each other's weights from the
caches: the first inference of a turn shows what that costs, and does not count.
Campaigns are kept in --store; --show prints the table of what is there.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from android_bench.campaign.bench import Bench
from android_bench.campaign.contest import BenchFile
from android_bench.campaign.opening import open_bench
from android_bench.campaign.result import CampaignResult, read_result
from android_bench.campaign.series import run_series
from android_bench.campaign.series_plan import SeriesOptions, plan_series
from android_bench.cli.artifacts import ArtifactChoice, find_or_build
from android_bench.cli.progress import Display
from android_bench.records import Pairing
from android_bench.statistics.comparison import Comparison
from android_bench.store import open_store
from export.cli.workers import Workers
from export.request.request import BuildRequest
from export.request.source import InputTensor, ModuleSource
from pfd_models.errors import PfdError

# Of the paper's latency table.
NETWORKS = ("mobilenetv3_large", "parc_mobilenetv2", "ghostnet", "shufflenetv2")
RESOLUTIONS = (32, 224)
FITTED_BYTES = 22_000_000  # weights of MobileNetV3-large; they grow with the square of its width
LARGE_PIXELS = 96
LARGE_NETWORK = """
import pfd_models
import torch
from torchvision.models import mobilenet_v3_large

def orig():
    torch.manual_seed(0)
    return mobilenet_v3_large(width_mult={width}, num_classes=100).eval()

def ours():
    network = orig()
    pfd_models.to_padding_free(network, torch.zeros(1, 3, {pixels}, {pixels}))
    return network.eval()
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: As typed; None takes those of the process.

    Returns:
        The exit status.
    """
    args = _parser().parse_args(arguments)
    try:
        if not args.show:
            measure(args)
        with open_store(args.store, create=False) as store:
            results = [read_result(store, record.campaign_id) for record in store.campaigns()]
    except PfdError as error:
        print(f"compare_pairing: {error}", file=sys.stderr)
        return error.exit_status
    for line in table(results):
        print(line)
    return 0


# -- measuring ---------------------------------------------------------------------------------


def measure(args: argparse.Namespace) -> None:
    """Measure every pair of files both ways."""
    display = Display()
    with open_bench(args.device, store=args.store, watch=display) as bench:
        for files in gather(args, display):
            for threads in dict.fromkeys(args.threads):
                count = len(bench.device.usable_cpus) if threads == "all" else int(threads)
                for pairing in Pairing:
                    options = SeriesOptions(
                        threads=[count],
                        cores="any" if threads == "all" else "auto",
                        precision=args.precision,
                        budget_seconds=args.budget,
                        pairing=pairing,
                    )
                    run(bench, files, options, display)


def run(bench: Bench, files: Sequence[BenchFile], options: SeriesOptions, display: Display) -> None:
    """Measure one pair in one way, with every engine that runs it.

    Raises:
        PfdError: It could not be measured.
    """
    for outcome in run_series(bench, plan_series(bench, files, options)):
        for failure in outcome.failures:
            display.note(f"{outcome.contest.name}: {failure.error}")
            if failure.ends_the_call:
                raise failure.error


def gather(args: argparse.Namespace, display: Display) -> list[tuple[BenchFile, ...]]:
    """Return the pairs to measure, building those that are missing."""
    if args.artifacts:
        return [find_or_build(ArtifactChoice(patterns=args.artifacts), display, lambda: None)]
    pairs = []
    for model in args.model:
        for pixels in args.resolution:
            choice = ArtifactChoice(models=[model], resolution=pixels, out=args.out)
            pairs.append(find_or_build(choice, display, lambda: None))
    if not args.small:
        pairs.append(build_large(args.out, display))
    return pairs


def build_large(out: Path, display: Display) -> tuple[BenchFile, ...]:
    """Build a network whose weights are twice the last-level cache, with padding and without."""
    cache = last_level_cache_bytes()
    width = max(2, math.ceil(math.sqrt(2 * cache / FITTED_BYTES)))
    with tempfile.TemporaryDirectory() as folder:
        text = LARGE_NETWORK.format(width=width, pixels=LARGE_PIXELS)
        (Path(folder) / "large_network.py").write_text(text)
        requests = [
            BuildRequest(
                source=ModuleSource(
                    target=f"large_network:{name}",
                    inputs=(InputTensor(shape=(1, 3, LARGE_PIXELS, LARGE_PIXELS)),),
                    search_path=folder,
                ),
                out=out / "large",
            )
            for name in ("orig", "ours")
        ]
        with Workers(1) as workers:
            for outcome in workers.build_all(requests, lambda _, step: display.step(step)):
                if outcome.error is not None:
                    raise outcome.error
    patterns = [str(out / "large" / "*.json")]
    return find_or_build(ArtifactChoice(patterns=patterns), display, lambda: None)


def last_level_cache_bytes() -> int:
    """Return the size of CPU 0's largest cache; 32 MiB where it cannot be read."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text.rstrip("KM")) << {"K": 10, "M": 20}.get(text[-1], 0))
    return max(sizes, default=32 << 20)


# -- the table ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One pair of files measured both ways."""

    name: str
    threads: int
    weights_bytes: int
    blocks: CampaignResult
    turns: CampaignResult

    @property
    def ratios(self) -> tuple[Comparison, Comparison] | None:
        """What blocks and turns say; None where one of them says nothing."""
        if not self.blocks.comparisons or not self.turns.comparisons:
            return None
        return self.blocks.comparisons[0], self.turns.comparisons[0]

    @property
    def difference(self) -> tuple[float, float]:
        """Turns over blocks as a log-ratio, and the half-width of its interval."""
        assert self.ratios is not None
        blocks, turns = self.ratios
        width = math.hypot(*(math.log(one.high / one.low) / 2 for one in (blocks, turns)))
        return math.log(turns.ratio / blocks.ratio), width

    @property
    def first_costs(self) -> str:
        """What the first inference of a turn costs more, of each variant."""
        assert self.turns.pace is not None
        return " / ".join(f"{burst.first_cost:+.0%}" for burst in self.turns.pace.bursts)


def table(results: Sequence[CampaignResult]) -> list[str]:
    """Say of every pair what both ways found, and how often they agree."""
    rows = pair_up(results)
    lines = [
        "| files | threads | MB | blocks | s | turns | s | turns over blocks | first of a turn |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    apart = 0
    for row in rows:
        ratios = row.ratios
        if ratios is None:
            lines.append(f"| {row.name} | {row.threads} | no interval of one of them ||||||||")
            continue
        difference, width = row.difference
        apart += abs(difference) > width
        cells = [row.name, str(row.threads), f"{row.weights_bytes / 1e6:.1f}"]
        for one, result in zip(ratios, (row.blocks, row.turns), strict=True):
            cells += [f"{one.ratio - 1:+.2%} ± {one.half_width:.2%}", f"{result.seconds:.0f}"]
        word = "" if abs(difference) <= width else " apart"
        cells += [f"{difference:+.2%} ± {width:.2%}{word}", row.first_costs]
        lines.append(f"| {' | '.join(cells)} |")
    compared = sum(row.ratios is not None for row in rows)
    lines += ["", f"{apart} of {compared} are apart; {compared / 20:.1f} would be by chance"]
    return lines


def pair_up(results: Sequence[CampaignResult]) -> list[Row]:
    """Put the newest campaigns of the same files and threads side by side."""
    found: dict[tuple[str, int, tuple[str, ...]], dict[Pairing, CampaignResult]] = {}
    for result in results:
        campaign = result.campaign
        files = tuple(arm.artifact_sha256 for arm in campaign.arms)
        key = (campaign.name, campaign.rules.threads, tuple(dict.fromkeys(files)))
        found.setdefault(key, {})[campaign.rules.pairing] = result
    return [
        Row(
            name=name,
            threads=threads,
            weights_bytes=max(a.size_bytes for a in both[Pairing.TURNS].artifacts.values()),
            blocks=both[Pairing.BLOCKS],
            turns=both[Pairing.TURNS],
        )
        for (name, threads, _), both in found.items()
        if len(both) == len(Pairing)
    ]


# -- the command -------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/compare_pairing.py", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--model", type=_names, default=NETWORKS, help="comma list")
    parser.add_argument(
        "--resolution", type=_counts, default=RESOLUTIONS, help="comma list of pixels"
    )
    parser.add_argument("--artifacts", nargs="+", metavar="GLOB", help="files that are there")
    parser.add_argument("--small", action="store_true", help="without the large network")
    parser.add_argument("--threads", type=_names, default=["1", "all"], help="comma list")
    parser.add_argument("--precision", type=float, default=0.005, help="half-width to reach")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds of one campaign")
    parser.add_argument("--out", type=Path, default=Path("artifacts"), help="where sets lie")
    parser.add_argument("--device", default="host")
    parser.add_argument("--store", default="pairing.sqlite")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    return parser


def _names(text: str) -> list[str]:
    return text.split(",")


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
