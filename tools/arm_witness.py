"""What two variants cost, by three witnesses side by side: the paper, the counter, this computer.

    python tools/arm_witness.py --store bench.sqlite
    python tools/arm_witness.py --store bench.sqlite --core a55 --by-operator 3

Each row is a network at one size with one engine, `orig` -> another variant: what the paper's
latency table prints (it names neither size nor engine), what is counted on an emulated core, and
what the bench measured. ``pfd-arm --store`` puts counts into the store, ``pfd-bench --store``
measurements; a cell without either is empty. Nothing here was run on a phone.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from android_bench.arm_cost.core import find_core
from android_bench.arm_cost.difference import OUTSIDE, kind_of
from android_bench.campaign.result import read_result
from android_bench.records import ArmCount, ArtifactRecord
from android_bench.report.wording import change, interval
from android_bench.statistics.comparison import Comparison
from android_bench.store import Store, open_store
from pfd_models.errors import InputError, PfdError
from pfd_models.paper.published import load_published_rows

BASELINE = "orig"
PHONE, LAPTOP = "MediaTek Tiangui 1000+", "AMD Ryzen 5 5600H"
# The latency table does not say which of the two hyper-parameter sets it is of.
SAME_NETWORK = {"mobilenetv3_large": "mobilenetv3_large_set2"}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """What a row is of, in the order of the table."""

    resolution: int
    dataset: str
    model: str
    engine: str


@dataclass(slots=True)
class Found:
    """What the store has of one place, by variant."""

    counts: dict[str, ArmCount] = field(default_factory=dict)
    comparisons: dict[str, Comparison] = field(default_factory=dict)


def collect(store: Store, core: str) -> Mapping[Place, Found]:
    """Return the newest float32 count and comparison of each network, size, engine and variant."""
    found: dict[Place, Found] = defaultdict(Found)
    for artifact, count in store.counted_files():
        if count.core == core and _is_told(artifact):
            found[_place(artifact, count.engine)].counts[artifact.variant] = count
    for campaign in store.campaigns():
        result = read_result(store, campaign.campaign_id)
        for comparison in result.comparisons:
            of = [result.artifact(name) for name in (comparison.baseline, comparison.label)]
            if all(map(_is_told, of)) and of[0].variant == BASELINE and of[0].model == of[1].model:
                place = _place(of[1], campaign.arm(comparison.label).engine)
                found[place].comparisons[of[1].variant] = comparison
    return found


def _is_told(artifact: ArtifactRecord) -> bool:
    known = artifact.variant and artifact.resolution is not None
    return bool(known) and artifact.precision == "fp32"


def _place(artifact: ArtifactRecord, engine: str) -> Place:
    return Place(
        resolution=artifact.resolution or 0,
        dataset=artifact.dataset,
        model=artifact.model,
        engine=engine,
    )


def witness_lines(found: Mapping[Place, Found], core: str) -> list[str]:
    """Return the table in Markdown; a row for each variant that was counted or measured."""
    printed = _printed()
    title = find_core(core).title
    head = ["network", "px", "engine", "variant", "paper, Dimensity 1000+", "paper, Ryzen 5600H"]
    head += [f"instructions, {title}", "change", "FMLA", "L1 misses", "L2 misses", "measured here"]
    lines = [_row(head), _row(["---"] * len(head))]
    for place in sorted(found):
        one = found[place]
        for variant in sorted((one.counts.keys() | one.comparisons.keys()) - {BASELINE}):
            cells = [place.model, str(place.resolution), place.engine, f"{BASELINE} → {variant}"]
            cells += _printed_cells(printed, place.model, variant)
            cells += _count_cells(one.counts.get(BASELINE), one.counts.get(variant))
            cells.append(_measured_cell(one.comparisons.get(variant)))
            lines.append(_row(cells))
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


Printed = Mapping[tuple[str, str], Mapping[str, float]]


def _printed() -> Printed:
    """Return the paper's latencies in milliseconds by network and variant."""
    return {
        (row.model, row.variant): {
            device: float(text.removesuffix("ms")) for device, text in row.printed_latency.items()
        }
        for row in load_published_rows()
        if row.printed_latency
    }


def _printed_cells(printed: Printed, model: str, variant: str) -> list[str]:
    name = SAME_NETWORK.get(model, model)
    old, new = (printed.get((name, each), {}) for each in (BASELINE, variant))
    return [
        f"{old[device]:g} → {new[device]:g} ms ({change(new[device] / old[device])})"
        if device in old and device in new
        else ""
        for device in (PHONE, LAPTOP)
    ]


def _count_cells(old: ArmCount | None, new: ArmCount | None) -> list[str]:
    if old is None or new is None:
        return [""] * 5
    before, after = old.counts, new.counts
    return [
        f"{before.instructions / 1e6:.2f} → {after.instructions / 1e6:.2f} M",
        *(
            change(getattr(after, name) / getattr(before, name))
            for name in ("instructions", "mac_fp32", "l1_misses", "l2_misses")
        ),
    ]


def _measured_cell(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    return f"{change(comparison.ratio)} ({interval(comparison)})"


def operator_lines(found: Mapping[Place, Found], rows: int) -> list[str]:
    """Return for each pair of counts the kinds of operators whose sums differ most, in a list."""
    lines = []
    for place in sorted(found):
        counts = found[place].counts
        old = counts.get(BASELINE)
        for variant, new in sorted(counts.items()):
            if variant == BASELINE or old is None or not (old.operators and new.operators):
                continue
            whole, before, after = old.counts.instructions, _by_kind(old), _by_kind(new)
            added = {kind: after[kind] - before[kind] for kind in before | after}
            largest = sorted(added, key=lambda kind: -abs(added[kind]))[:rows]
            told = ", ".join(f"{kind} {change(1 + added[kind] / whole)}" for kind in largest)
            lines.append(
                f"- {place.model} {place.resolution} {place.engine}, {BASELINE} → {variant}: {told}"
            )
    return lines


def _by_kind(count: ArmCount) -> Counter[str]:
    """Return the instructions of all operators of a kind, and of the engine's own work."""
    sums: Counter[str] = Counter()
    for operator in count.operators:
        sums[kind_of(operator)] += operator.counts.instructions
    sums[OUTSIDE] = count.outside.instructions
    return sums


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of a store and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", required=True, help="of pfd-arm and pfd-bench")
    parser.add_argument("--core", default="a77", help="whose counts (default: a77)")
    parser.add_argument(
        "--by-operator",
        type=int,
        default=0,
        metavar="N",
        help="also the N kinds of operators that changed most",
    )
    options = parser.parse_args(arguments)
    try:
        find_core(options.core)
        with open_store(options.store, create=False) as store:
            found = collect(store, options.core)
        if not found:
            raise InputError(
                f"{options.store} has no counts of {options.core} and no campaigns of the zoo: "
                "count with pfd-arm --store, measure with pfd-bench --store"
            )
    except PfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    print("\n".join(witness_lines(found, options.core)))
    if options.by_operator > 0:
        print("\nInstructions by kind of operator, in shares of the whole of `orig`:\n")
        print("\n".join(operator_lines(found, options.by_operator)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
