import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from android_bench.records import Flag
from android_bench.store.sample_export import COLUMNS, export_samples
from pfd_models.errors import InputError, OutputError


def expected(blocks):
    return [
        (b.index, b.attempt, b.label, sample, latency, cpu)
        for b in blocks
        for sample, (latency, cpu) in enumerate(
            zip(b.run.samples_ns.tolist(), b.run.cpus.tolist(), strict=True)
        )
    ]


def test_csv_holds_every_sample(store, make, tmp_path):
    make.fill(store, make.few_blocks())
    path = tmp_path / "out" / "samples.csv"
    count = export_samples(store, ["last"], path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = ("block_index", "attempt", "sample", "latency_ns", "cpu")
    got = [{**row, **{n: int(row[n]) for n in numbers}} for row in rows]
    assert [
        (r["block_index"], r["attempt"], r["label"], r["sample"], r["latency_ns"], r["cpu"])
        for r in got
    ] == expected(make.few_blocks())
    assert count == len(rows) == 10
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["cpu_mask"] == "0x2"
    assert {r["flags"] for r in rows} == {"", "partial throttled"}


def test_csv_quotes_labels_that_would_break_it(store, make, tmp_path):
    label = 'a,"b"\nc'
    arms = (dataclasses.replace(make.arm("orig"), label=label),)
    store.add_campaign(make.campaign(arms=arms), make.device(), [make.artifact()])
    store.add_block(dataclasses.replace(make.block(), label=label))
    export_samples(store, ["last"], tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == {label}


def test_parquet_holds_the_same_as_csv(store, make, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    make.fill(store, make.few_blocks())
    export_samples(store, ["last"], tmp_path / "x.parquet")
    table = parquet.read_table(tmp_path / "x.parquet")
    assert tuple(table.column_names) == COLUMNS
    assert str(table.schema.field("latency_ns").type) == "int64"
    rows = table.to_pylist()
    assert [
        (r["block_index"], r["attempt"], r["label"], r["sample"], r["latency_ns"], r["cpu"])
        for r in rows
    ] == expected(make.few_blocks())


def test_a_campaign_without_samples_gives_an_empty_table(store, make, tmp_path):
    crashed = make.block(samples_ns=(), flags=frozenset({Flag.ENGINE_CRASHED}))
    make.fill(store, [crashed])
    assert export_samples(store, ["last"], tmp_path / "x.csv") == 0
    assert (tmp_path / "x.csv").read_text() == ",".join(COLUMNS) + "\n"
    parquet = pytest.importorskip("pyarrow.parquet")
    assert export_samples(store, ["last"], tmp_path / "x.parquet") == 0
    assert parquet.read_table(tmp_path / "x.parquet").num_rows == 0


def test_what_cannot_be_exported_is_one_line(store, make, tmp_path, refusal):
    make.fill(store, [])
    refusal(InputError, lambda: export_samples(store, ["last"], tmp_path / "x.xls"), ".parquet")
    refusal(InputError, lambda: export_samples(store, ["no"], tmp_path / "x.csv"), "no campaign")
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "x.csv"
    refusal(OutputError, lambda: export_samples(store, ["last"], target), str(target))


def test_without_pyarrow_parquet_names_the_extra_and_csv_works(make, tmp_path):
    program = """
import sys
sys.modules["pyarrow"] = None
sys.modules["torch"] = None
from pathlib import Path
from conftest import Make
from android_bench.store.sample_export import export_samples
from android_bench.store import open_store
from pfd_models.errors import InputError
folder = Path(sys.argv[1])
with open_store(str(folder / "b.sqlite")) as store:
    Make().fill(store, Make().few_blocks())
    print(export_samples(store, ["last"], folder / "x.csv"))
    try:
        export_samples(store, ["last"], folder / "x.parquet")
    except InputError as error:
        print(error)
"""
    here = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={"PYTHONPATH": f"{here}:{here.parents[1]}"},
        capture_output=True,
        text=True,
        check=True,
    )
    count, line = done.stdout.splitlines()
    assert count == "10"
    assert "extra 'parquet'" in line
