"""Two counts side by side: operators aligned, growth found, what is not comparable refused."""

import dataclasses
import json
import re

import pytest

from android_bench.arm_cost.difference import OUTSIDE, align, sum_kinds
from android_bench.arm_cost.document import CountedFile, read_document, write_document
from android_bench.arm_cost.gate import check_counts
from android_bench.arm_cost.matching import match
from android_bench.arm_cost.node_data import GraphNode, change_data, cost_data
from android_bench.records import Counts
from pfd_models.errors import InputError


def of(make, names, instructions, outside=0, **changes):
    """A count of operators with these names and numbers of instructions."""
    whole = Counts(mac_fp32=sum(instructions), macs_fp32=4 * sum(instructions), integer=outside)
    operators = make.operator_counts(*instructions, names=re.split(r",(?! )", names))
    return make.arm_count(counts=whole, operators=operators, **changes)


def test_two_sequences_are_matched_in_order_with_the_best_sum():
    def likeness(a, b):
        return int(a == b)

    assert match("abcd", "abd", likeness) == [(0, 0), (1, 1), (2, None), (3, 2)]
    assert match("", "x", likeness) == [(None, 0)]
    assert (
        match("ab", "ba", likeness).count((None, 0)) + match("ab", "ba", likeness).count((0, None))
        == 1
    )


def test_an_operator_that_only_one_file_has_stands_alone(make):
    before = of(make, "Conv #1,Pool #1,Conv #2", (100, 10, 60), outside=5)
    after = of(make, "Conv #1,Conv #2,Add #1", (90, 60, 7), outside=8)
    changes = align(before, after)
    assert [(c.name, c.before, c.after, c.instructions) for c in changes] == [
        ("Conv #1", 0, 0, -10),
        ("Pool #1", 1, None, -10),
        ("Conv #2", 2, 1, 0),
        ("Add #1", None, 2, 7),
        (OUTSIDE, None, None, 3),
    ]
    whole = after.counts.instructions - before.counts.instructions
    assert sum(c.instructions for c in changes) == whole


def test_of_two_that_could_be_meant_the_one_with_equal_work_is(make):
    before = of(make, "Conv #1", (60,))
    after = of(make, "Conv #1,Conv #2", (100, 60))
    assert [(c.before, c.after) for c in align(before, after)[:-1]] == [(None, 0), (0, 1)]


def test_an_operator_on_other_types_of_numbers_is_the_same_operator(make):
    before = of(make, "Pool (NHWC, F32) #1,Dense (NC, F32) GEMM #1", (9, 80))
    after = of(make, "Dense (NC, QS8, QC8W) GEMM #1,Pool (NHWC, S8) #1", (30, 5))
    assert [(c.name, c.before, c.after) for c in align(before, after)[:-1]] == [
        ("Pool (NHWC, F32) #1", 0, None),
        ("Dense (NC, QS8, QC8W) GEMM #1", 1, 0),
        ("Pool (NHWC, S8) #1", None, 1),
    ]


def test_kinds_are_summed_whatever_their_types(make):
    before = of(
        make, "Dense (NC, F32) GEMM #1,Pool (NHWC, F32) #1,Dense (NC, F32) GEMM #2", (8, 1, 9)
    )
    after = of(make, "Dense (NC, QS8, QC8W) GEMM #1,Add (ND) #1", (3, 4), outside=2)
    summed = sum_kinds(align(before, after))
    assert [
        (c.name, c.counts_before.instructions, c.counts_after.instructions) for c in summed
    ] == [
        ("Dense (NC) GEMM: 2→1", 17, 3),
        ("Pool (NHWC): 1→0", 1, 0),
        ("Add (ND): 0→1", 0, 4),
        (OUTSIDE, 0, 2),
    ]


def test_one_on_the_same_types_is_a_better_match(make):
    before = of(make, "Dense (NC, F32) GEMM #1", (80,))
    after = of(make, "Dense (NC, QS8, QC8W) GEMM #1,Dense (NC, F32) GEMM #1", (80, 90))
    assert [(c.before, c.after) for c in align(before, after)[:-1]] == [(None, 0), (0, 1)]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("engine_version", "1.6.0", "engine version 1.5.1 and 1.6.0"),
        ("core", "a55", "core a77 and a55"),
        ("engine", "litert", "engine executorch and litert"),
        ("caches", "l1=1:1,l2=1:1", "caches"),
        ("counter_version", "2+0123456789ab", "way of counting 1 and 2"),
    ],
)
def test_counts_that_were_made_in_other_ways_are_refused(make, field, value, words):
    other = dataclasses.replace(make.arm_count(), **{field: value})
    with pytest.raises(InputError, match=words) as refused:
        align(make.arm_count(), other)
    assert "count both files again" in str(refused.value)


def test_another_comment_in_the_counter_or_another_harness_changes_nothing(make):
    other = make.arm_count(counter_version="1+ffffffffffff", harness_version="3+x")
    assert [c.instructions for c in align(make.arm_count(), other)] == [0, 0, 0]


def test_the_gate_names_the_operators_that_grew_the_dearest_first(make):
    key = ("net.pte", "executorch")
    before = of(make, "Conv #1,Pool #1,Conv #2", (1000, 100, 600))
    after = of(make, "Conv #1,Pool #1,Conv #2,Add #1", (1004, 90, 601, 9))
    (checked,) = check_counts({key: before}, {key: after})
    assert [(c.name, c.instructions) for c in checked.grown] == [
        ("Add #1", 9),
        ("Conv #1", 4),
        ("Conv #2", 1),
    ]
    assert checked.ratio == 1704 / 1700
    assert checked.is_dearer(0.002)
    assert not checked.is_dearer(0.005)


def test_a_file_that_the_baseline_lacks_is_refused(make):
    one = {("a.pte", "executorch"): make.arm_count()}
    with pytest.raises(InputError, match=r"a\.pte with executorch is not in the baseline"):
        check_counts({}, one)
    with pytest.raises(InputError, match=r"a\.pte with executorch is not in what is counted now"):
        check_counts(one, {})


def test_a_document_comes_back_as_it_was(make, tmp_path):
    path = tmp_path / "counts.json"
    files = (
        CountedFile(file="a.pte", artifact=make.artifact(), count=make.arm_count()),
        CountedFile(file="b.pte", artifact=None, count=make.arm_count("ours")),
    )
    write_document(path, files)
    assert read_document(path).files == files
    assert files[0].label == "orig"
    assert files[1].label == "b.pte"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({**plain, "schema_version": 99}))
    with pytest.raises(InputError, match=r"schema 99.*update this program"):
        read_document(path)
    path.write_text("{")
    with pytest.raises(InputError, match=r"counts\.json is not valid JSON"):
        read_document(path)


def test_node_data_name_the_tensors_that_operators_make(make):
    graph = (
        GraphNode(kind="PAD", tensor="padded"),
        GraphNode(kind="CONV_2D", tensor="first"),
        GraphNode(kind="MAX_POOL_2D", tensor="pooled"),
        GraphNode(kind="CONV_2D", tensor="second"),
    )
    names = "Convolution (NHWC; F32) IGEMM,Max Pooling (NHWC; F32),Fully Connected (NC; F32) GEMM"
    before, after = of(make, names, (100, 10, 60)), of(make, names, (80, 10, 66))
    plain = json.loads(cost_data(graph, before))
    assert plain["results"] == {
        "first": {"value": 100},
        "pooled": {"value": 10},
        "second": {"value": 60},
    }
    assert {stop["stop"] for stop in plain["gradient"]} == {0, 1}
    plain = json.loads(change_data(graph, after, align(before, after)))
    values = {tensor: one["value"] for tensor, one in plain["results"].items()}
    assert values == {"first": -20, "pooled": 0, "second": 6}
