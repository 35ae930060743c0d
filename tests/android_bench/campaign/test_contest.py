"""What is compared with what."""

import dataclasses

from bench_rig import Rig

from android_bench.campaign.contest import BenchFile, contests_of


def described(file: BenchFile, **changes) -> BenchFile:
    return dataclasses.replace(file, manifest=dataclasses.replace(file.manifest, **changes))


def files_of_rig(folder):
    rig = Rig(folder)
    rig.make_set("orig", suffixes=(".pte",))
    rig.make_set("ours", suffixes=(".pte",))
    return rig.files(), rig.device.harness.engines


def test_networks_of_the_zoo_are_compared_with_their_own_variants_only(tmp_path):
    (orig, ours), engines = files_of_rig(tmp_path)
    other = described(ours, model="another")
    found = contests_of([orig, ours, other], engines)
    assert [contest.labels for contest in found] == [("orig", "ours"), ("ours",)]


def in_precision(file: BenchFile, precision: str) -> BenchFile:
    return dataclasses.replace(
        file, artifact=dataclasses.replace(file.artifact, precision=precision)
    )


def test_precisions_of_one_network_are_compared_and_bear_their_names(tmp_path):
    (orig, ours), engines = files_of_rig(tmp_path)
    kinds = ("fp32", "fp16", "int8")
    (contest,) = contests_of([in_precision(ours, kind) for kind in kinds], engines)
    assert contest.labels == kinds
    (contest,) = contests_of([in_precision(f, k) for f in (ours, orig) for k in kinds], engines)
    assert contest.labels == tuple(f"{v} {k}" for v in ("orig", "ours") for k in kinds)


def test_two_modules_of_a_user_with_the_same_input_are_compared(tmp_path):
    (one, two), engines = files_of_rig(tmp_path)
    mine = described(one, model="mine:plain", variant="", stem="plain")
    free = described(two, model="mine:free", variant="", stem="free")
    (contest,) = contests_of([mine, free], engines)
    assert contest.labels == ("plain", "free")
