"""Every timed inference as a row, in CSV and in Parquet."""

import csv
import dataclasses
import io
import sys

import pytest

from android_bench.campaign.result import read_result
from android_bench.records import Flag
from android_bench.report.exports._samples import COLUMNS
from pfd_models.errors import InputError

NUMBERS = ("run", "attempt", "sample", "latency_ns", "cpu")


def read_csv(files):
    rows = list(csv.DictReader(io.StringIO(files[""].decode(), newline="")))
    return [{**row, **{n: int(row[n]) for n in NUMBERS}} for row in rows]


def read_parquet(files):
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(io.BytesIO(files[""]))


def key(row):
    return tuple(row[n] for n in ("run", "attempt", "label", "sample", "latency_ns", "cpu"))


def of_blocks(blocks):
    return [
        (b.index, b.attempt, b.label, sample, latency, cpu)
        for b in blocks
        for sample, (latency, cpu) in enumerate(
            zip(b.run.samples_ns.tolist(), b.run.cpus.tolist(), strict=True)
        )
    ]


def of_heats(heats):
    """Run, attempt, label, sample, latency and CPU of every inference, by turns."""
    found = []
    for heat in heats:
        for turn, child in enumerate(heat.turns.turn_child):
            for s in range(heat.turns.turn_first[turn], heat.turns.turn_first[turn + 1]):
                values = (int(heat.turns.samples_ns[s]), int(heat.turns.cpus[s]))
                label = heat.turns.children[child]
                found.append((heat.number, heat.attempt, label, int(s), *values))
    return found


def test_csv_holds_every_sample_of_blocks(store, make, export):
    make.fill(store, make.few_blocks())
    result = read_result(store, "last")
    rows = read_csv(export("csv", result))
    mine = [row for row in rows if row["turn"] == ""]
    assert [key(r) for r in mine] == of_blocks(make.few_blocks())
    assert tuple(rows[0]) == tuple(COLUMNS)
    assert mine[0]["cpu_mask"] == "0x2"
    assert {r["flags"] for r in mine} == {"", "partial throttled"}
    assert {r["counts"] for r in mine} == {"True"}


def test_csv_holds_every_sample_of_heats_and_says_which_count(heats_result, export):
    rows = read_csv(export("csv", heats_result))
    assert [key(r) for r in rows] == of_heats(heats_result.heats)
    assert {(r["round"], r["position"]) for r in rows} == {("", "")}
    discarded = [r for r in rows if r["counts"] == "False"]
    assert len(discarded) / len(rows) == pytest.approx(2 / 5)  # of five in a turn
    assert {r["flags"] for r in rows if (r["run"], r["attempt"]) == (1, 0)} == {"engine_crashed"}


def test_csv_quotes_labels_that_would_break_it(store, make, export):
    label = 'a,"b"\nc'
    arms = (dataclasses.replace(make.arm("orig"), label=label),)
    store.add_campaign(make.campaign(arms=arms), make.device(), [make.artifact()])
    store.add_block(dataclasses.replace(make.block(), label=label))
    rows = read_csv(export("csv", read_result(store, "last")))
    assert {row["label"] for row in rows} == {label}


def test_parquet_holds_the_same_as_csv(store, make, heats_result, export):
    table = read_parquet(export("parquet", heats_result))
    assert tuple(table.column_names) == tuple(COLUMNS)
    assert str(table.schema.field("latency_ns").type) == "int64"
    assert [key(r) for r in table.to_pylist()] == of_heats(heats_result.heats)
    assert {r["round"] for r in table.to_pylist()} == {None}


def test_a_campaign_without_samples_gives_an_empty_table(store, make, export):
    crashed = make.block(samples_ns=(), flags=frozenset({Flag.ENGINE_CRASHED}))
    store.add_campaign(make.campaign(), make.device(), [make.artifact(), make.artifact("ours")])
    store.add_block(crashed)
    result = read_result(store, "last")
    assert export("csv", result)[""].decode() == ",".join(COLUMNS) + "\n"
    assert read_parquet(export("parquet", result)).num_rows == 0


def test_without_pyarrow_parquet_names_the_extra_and_csv_works(
    heats_result, export, monkeypatch, tmp_path, refusal
):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refusal(InputError, lambda: export("parquet", heats_result), "extra 'parquet'")
    assert list(tmp_path.glob("*.parquet")) == []
    assert export("csv", heats_result)
