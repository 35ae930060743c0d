"""The file of tables that phones measured."""

import json

import pytest

from android_bench.arm_cost.phone_tables import choose_tables, read_networks, read_tables
from export.request.user_code import parse_target
from pfd_models.errors import InputError


@pytest.fixture
def write(tmp_path):
    """Write a file of one table with changed fields, and return its path."""

    def write(**changed):
        table = {
            "id": "one",
            "device": "A phone",
            "runtime": "LiteRT 1",
            "threads": 1,
            "precision": "fp32",
            "rows": [{"model": "net", "ms": 2.5}],
        }
        path = tmp_path / "phones.json"
        path.write_text(json.dumps({"collected": "today", "tables": [table | changed]}))
        return path

    return write


def test_fields_that_are_not_known_are_passed_over(write):
    (table,) = read_tables(write(statistic="median", rows=[{"model": "net", "ms": 2, "p5": 1.9}]))
    assert table.rows[0].ms == 2.0


def test_of_each_row_its_own_precision_counts_and_then_the_tables(write):
    rows = [
        {"model": "plain", "ms": 1},
        {"model": "float", "ms": 1, "precision": "float (of the file's name)"},
        {"model": "half", "ms": 1, "precision": "float (fp16 storage where the CPU has it)"},
        {"model": "integers", "ms": 1, "precision": "int8"},
        {"model": "suspect", "ms": 1, "flag": "equals another row"},
    ]
    (table,) = read_tables(write(rows=rows))
    assert [row.model for row in table.float32_rows] == ["plain", "float"]
    (table,) = read_tables(write(rows=rows, precision="per row"))
    assert [row.model for row in table.float32_rows] == ["float"]


def test_tables_of_one_thread_are_chosen_unless_one_is_named(write):
    for threads in (None, 4, "4 requested"):
        tables = read_tables(write(threads=threads))
        with pytest.raises(InputError, match="no table of one thread"):
            choose_tables(tables, [])
        assert choose_tables(tables, ["one"]) == tables
    assert choose_tables(read_tables(write()), [])[0].id == "one"


def test_a_table_that_is_not_there_is_refused_with_those_that_are(write):
    with pytest.raises(InputError, match=r"unknown table 'two'.*one"):
        choose_tables(read_tables(write()), ["two"])


def test_another_runtime_than_the_counted_one_is_known(write):
    assert read_tables(write())[0].is_counted_runtime
    assert not read_tables(write(runtime="Paddle Lite 2"))[0].is_counted_runtime


@pytest.mark.parametrize("ms", [0, -1])
def test_a_latency_that_is_none_is_refused(write, ms):
    with pytest.raises(InputError, match=r"gives net .* ms; correct the row"):
        read_tables(write(rows=[{"model": "net", "ms": ms}]))


def test_a_file_that_is_absent_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none.json: no such file"):
        read_tables(tmp_path / "none.json")


def test_every_builder_that_comes_along_names_a_library_and_a_network():
    networks = read_networks()
    assert len(networks) > 30
    for network in networks.values():
        target = parse_target(network.target)
        assert target.module in ("timm", "torchvision")
        assert target.factory
