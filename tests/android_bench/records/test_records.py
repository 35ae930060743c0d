import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.records import (
    ArtifactRecord,
    Block,
    CampaignRecord,
    DeviceRecord,
    Event,
    Flag,
    MemoryRecord,
    OperatorProfile,
    Role,
    TimedRun,
    artifact_record,
    require_same_arm,
)
from export.sets.manifest import Artifact, Leftover, Manifest, Parity, ReferenceData, TensorSpec
from pfd_models.errors import InputError
from pfd_models.plain_data import from_plain, to_plain

WRONG_BLOCKS = {
    "index": (-1, 1.5, True),
    "attempt": (-1,),
    "label": ("", None),
    "artifact_sha256": ("A" * 64, "a" * 63, 5),
    "engine": ("",),
    "threads": (0, "1"),
    "cpu_mask": (-1,),
    "round": (-1,),
    "position": (-1,),
    "started_utc": ("yesterday", "2026-01-01T00:00:00", "2026-01-01T00:00:00+02:00", 5),
    "samples_ns": ((1, 0, 2), (1.5, 2.0, 3.0), ((1, 2, 3),), (1, 2), (-4, 1, 1)),
    "cpus": ((1, 1), (70_000, 0, 0), (0.5, 1, 1)),
    "load_ns": (0, -5),
    "first_inference_ns": (0,),
    "warmup_inferences": (-1,),
    "vm_hwm_kib": (-1,),
    "flags": (frozenset({"throttled"}),),
    "handicap_ppm": (-1,),
    "harness_version": ("",),
}


@pytest.mark.parametrize(
    ("field", "value"), [(f, v) for f, values in WRONG_BLOCKS.items() for v in values]
)
def test_a_wrong_block_cannot_be_made_and_the_line_says_why(make, field, value):
    right = make.block()
    in_run = field in {f.name for f in dataclasses.fields(TimedRun)}
    with pytest.raises(InputError) as caught:
        dataclasses.replace(right.run if in_run else right, **{field: value})
    line = str(caught.value)
    assert "\n" not in line
    assert field in line or "sample" in line or "durat" in line


def test_every_checked_field_of_a_block_is_in_the_list_of_wrong_ones():
    free = {"campaign_id", "before", "after", "run"}
    names = {f.name for kind in (Block, TimedRun) for f in dataclasses.fields(kind)}
    assert names - free == set(WRONG_BLOCKS)


def test_only_a_broken_off_block_may_be_empty(make):
    with pytest.raises(InputError, match="no samples"):
        make.block(samples_ns=(), flags=frozenset({Flag.THROTTLED}))
    crashed = make.block(samples_ns=(), flags=frozenset({Flag.ENGINE_CRASHED}), load_ns=None)
    with pytest.raises(InputError, match="empty"):
        _ = crashed.median_ns


def test_a_block_that_ends_before_it_begins_is_refused(make):
    with pytest.raises(InputError, match="before it begins"):
        make.block(before=make.reading(5), after=make.reading(4))


def test_samples_are_a_read_only_copy(make):
    mine = np.array([3, 1, 2])
    block = make.block(samples_ns=mine)
    mine[0] = 99
    assert block.run.samples_ns.tolist() == [3, 1, 2]
    assert block.run.samples_ns.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        block.run.samples_ns[0] = 4


def test_median_and_frequency_come_from_the_raw_values(make):
    block = make.block(
        samples_ns=(4, 1, 9, 2),
        before=make.reading(1, khz=2_000_000),
        after=make.reading(2, khz=3_000_000),
    )
    assert block.median_ns == 3.0
    assert block.run.mean_freq_khz == 2_500_000  # CPU 1 only, which is where the samples ran
    assert make.block(cpus=[2, 2, 2]).run.mean_freq_khz is None  # unreadable there


def test_blocks_are_equal_by_content(make):
    assert make.block() == make.block()
    assert make.block() != make.block(samples_ns=(10, 12, 12))
    assert make.block() != make.block(flags=frozenset({Flag.PARTIAL}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("label", "ours"),
        ("artifact_sha256", "c" * 64),
        ("engine", "litert"),
        ("threads", 2),
        ("cpu_mask", 1),
        ("run.harness_version", "2"),
        ("campaign_id", "other"),
    ],
)
def test_blocks_of_different_arms_are_refused_by_key(make, key, value):
    require_same_arm([make.block(0), make.block(1)])
    with pytest.raises(InputError, match=rf"do not belong together: {key} is .*{value!r}"):
        require_same_arm([make.block(0), make.block(1, **{key.rpartition(".")[2]: value})])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"precision": 0.0}, "precision"),
        ({"confidence": 1.0}, "confidence"),
        ({"budget_seconds": float("inf")}, "budget_seconds"),
        ({"budget_seconds": float("nan")}, "budget_seconds"),
        ({"seed": -1}, "seed"),
        ({"min_rounds": 0}, "min_rounds"),
        ({"arms": ()}, "arms"),
        ({"started_utc": "now"}, "started_utc"),
        ({"campaign_id": ""}, "campaign_id"),
    ],
)
def test_a_wrong_campaign_cannot_be_made(make, changes, line):
    with pytest.raises(InputError, match=line):
        make.campaign(**changes).design  # noqa: B018  # what no design allows is refused there


def test_a_campaign_names_each_arm_once_and_compares_with_a_baseline(make):
    with pytest.raises(InputError, match="each label once"):
        make.campaign(arms=(make.arm("orig"), make.arm("orig")))
    with pytest.raises(InputError, match="'ours' is compared to 'orig', which is no baseline"):
        make.campaign(arms=(make.arm("ours"),))
    with pytest.raises(InputError, match="compared_to"):
        make.arm("orig", compared_to="ours")
    with pytest.raises(InputError, match="compared_to"):
        make.arm("ours", compared_to="")
    assert make.campaign().arm("ours").role is Role.CANDIDATE
    with pytest.raises(InputError, match="did you mean 'ours'"):
        make.campaign().arm("our")


def test_a_device_has_another_id_after_any_change(make):
    device = make.device()
    assert device.device_id == make.device().device_id
    for changes in ({"kernel": "6.1.1"}, {"clusters": ()}, {"virtual": None}):
        assert make.device(**changes).device_id != device.device_id
    with pytest.raises(InputError, match="kind"):
        make.device(kind="toaster")
    with pytest.raises(InputError, match="clusters"):
        make.device(clusters=(device.clusters[0], device.clusters[0]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at_ns", -1),
        ("freq_khz", {"0": 5}),
        ("freq_cap_khz", {0: -5}),
        ("online_cpus", (1, 0)),
        ("steal_fraction", 1.5),
        ("other_busy_fraction", -0.1),
        ("load_1min", float("nan")),
    ],
)
def test_a_wrong_reading_cannot_be_made(make, field, value):
    with pytest.raises(InputError, match=field):
        make.reading(**{field: value})


def test_an_unreadable_temperature_is_no_zero(make):
    assert make.reading(temp_c=-3).hottest_mc == -3000
    assert make.reading(temp_mc={"a": None}).hottest_mc is None


def test_every_record_survives_json(make):
    whole = (
        make.device(),
        make.artifact(),
        make.campaign(),
        make.block(flags=frozenset({Flag.THROTTLED, Flag.PARTIAL}), cpu_mask=1 << 70),
        make.event(),
        make.profile(),
        make.memory(),
    )
    kinds = (
        DeviceRecord,
        ArtifactRecord,
        CampaignRecord,
        Block,
        Event,
        OperatorProfile,
        MemoryRecord,
    )
    for record, kind in zip(whole, kinds, strict=True):
        text = json.dumps(to_plain(record), allow_nan=False)
        assert from_plain(kind, json.loads(text)) == record


@given(
    st.dictionaries(st.integers(0, 1000), st.none() | st.integers(0, 10**9)),
    st.dictionaries(st.text(), st.none() | st.integers(-(10**6), 10**6)),
)
def test_any_reading_survives_json(frequencies, temperatures):
    from android_bench.records import Reading

    reading = Reading(at_ns=1, freq_khz=frequencies, temp_mc=temperatures)
    assert from_plain(Reading, json.loads(json.dumps(to_plain(reading)))) == reading


def test_a_stored_form_with_a_field_more_or_less_is_refused(make):
    plain = to_plain(make.event())
    with pytest.raises(InputError, match=r"no field 'colour'.*newer version"):
        from_plain(Event, plain | {"colour": "red"})
    del plain["kind"]
    with pytest.raises(InputError, match="lacks the field 'kind'"):
        from_plain(Event, plain)


def _manifest(layout, shape):
    image = TensorSpec(name="x", shape=shape, layout=layout)
    artifact = Artifact(
        file="m.tflite",
        format="tflite",
        backend="",
        precision="fp32",
        sha256="d" * 64,
        size_bytes=10,
        inputs=(image,),
        outputs=(),
        delegates=None,
        leftovers=(
            Leftover(op="SPLIT", count=3, cause="", mac_share=0.0, fix=""),
            Leftover(op="MEAN", count=1, cause="", mac_share=0.0, fix=""),
        ),
        parity=Parity(samples=1, relative_linf=0, sqnr_db=1, eager_relative_linf=0, limit=1),
        build_seconds={},
    )
    return Manifest(
        stem="m",
        build_id="b",
        model="ghostnet",
        variant="ours",
        dataset="cifar100",
        spec={},
        weights="seed:0",
        params=5,
        macs=6,
        passes=(),
        artifacts=(artifact,),
        reference=ReferenceData(file="r", sha256="e" * 64, size_bytes=1, samples=1),
        versions={"torch": "2"},
        git_revision="",
        git_dirty=False,
        created="",
    )


@pytest.mark.parametrize(
    ("layout", "shape", "resolution"),
    [
        ("NCHW", (1, 3, 32, 32), 32),
        ("NHWC", (1, 224, 224, 3), 224),
        ("NCHW", (1, 3, 32, 64), None),
        ("NC", (1, 3), None),
    ],
)
def test_an_artifact_record_is_what_the_manifest_says(layout, shape, resolution):
    manifest = _manifest(layout, shape)
    record = artifact_record(manifest, manifest.artifacts[0])
    assert record.resolution == resolution
    assert (record.model, record.variant, record.leftovers) == ("ghostnet", "ours", 4)
    assert (record.delegates, record.params, record.macs) == (None, 5, 6)
