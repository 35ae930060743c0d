"""The table of three witnesses, from a store."""

import hashlib

import pytest
from scripts import load_script

from android_bench.records import Counts
from android_bench.store import open_store


@pytest.fixture(scope="module")
def witness(repository):
    return load_script(repository / "tools/arm_witness.py")


@pytest.fixture
def add_counts(make):
    """Store what is counted of orig and another variant of ShuffleNetV2."""

    def add_counts(store, variant="ours", engine="executorch", resolution=32, **changes):
        for name, work in (("orig", 100), (variant, 90)):
            key = f"{name} {engine} {resolution} {sorted(changes)}"
            artifact = make.artifact(
                variant="orig",
                sha256=hashlib.sha256(key.encode()).hexdigest(),
                resolution=resolution,
                dataset="cifar100",
            )
            artifact = type(artifact)(**{**_fields(artifact), "variant": name})
            count = make.arm_count(
                artifact_sha256=artifact.sha256,
                engine=engine,
                counts=Counts(mac_fp32=1_000_000 * work, l1_misses=10 * work, l2_misses=work),
                operators=make.operator_counts(1_000_000 * (work - 50), 50_000_000),
                **changes,
            )
            store.add_arm_count(count, artifact)

    return add_counts


def _fields(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_paper_and_counts_stand_in_one_row(witness, store, add_counts):
    add_counts(store)
    *_, row = witness.witness_lines(witness.collect(store, "a77"), "a77")
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "shufflenetv2",
        "32",
        "executorch",
        "orig → ours",
        "19.4 → 18.8 ms (\N{MINUS SIGN}3.09 %)",
        "6.2 → 7.4 ms (+19.4 %)",
        "100.00 → 90.00 M",
        *["\N{MINUS SIGN}10.0 %"] * 4,
        "",
    ]


def test_what_the_bench_measured_stands_beside_them(witness, store, make, add_counts):
    make.fill(store, make.measured_blocks(rounds=7))
    add_counts(store)
    found = witness.collect(store, "a77")
    lines = witness.witness_lines(found, "a77")
    (measured,) = [line for line in lines if "| 224 | executorch |" in line]
    assert " to " in measured  # the interval
    assert " M |" not in measured
    assert len(lines) == 2 + 2


def test_a_variant_the_paper_did_not_time_has_empty_cells(witness, store, add_counts):
    add_counts(store, variant="stem")
    *_, row = witness.witness_lines(witness.collect(store, "a77"), "a77")
    assert "orig → stem |  |  | 100.00" in row


def test_counts_of_another_core_are_not_mixed_in(witness, store, add_counts):
    add_counts(store, core="a55")
    assert witness.collect(store, "a77") == {}


def test_operators_are_named_in_shares_of_the_whole(witness, store, add_counts):
    add_counts(store)
    (line,) = witness.operator_lines(witness.collect(store, "a77"), 3)
    assert line.startswith(
        "- shufflenetv2 32 executorch, orig → ours: Convolution \N{MINUS SIGN}10.0 %"
    )


def test_a_store_without_counts_is_one_line(witness, tmp_path, capsys):
    place = str(tmp_path / "empty.sqlite")
    with open_store(place):
        pass
    assert witness.main(["--store", place]) == 2
    assert "has no counts of a77" in capsys.readouterr().err
    assert witness.main(["--store", str(tmp_path / "none.sqlite")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
