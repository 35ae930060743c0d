"""Networks with the recipe at some sites: how they are named, found and built."""

from __future__ import annotations

import dataclasses

import pytest

from export import load_manifest
from export.build import main
from export.cli.options import parse_options
from export.cli.requests import parse_requests
from export.network.network import make_network
from export.network.sites import list_convertible_sites
from export.request.request import BuildRequest
from export.request.source import ZooSource

FACTORY = """
from torch import nn

def halve():
    return nn.Conv2d(4, 4, 3, 2, 1, groups=4)

def make():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU(), halve(), nn.Conv2d(4, 4, 1),
        halve(), nn.Flatten())
"""


@pytest.fixture
def source(write_factory):
    return write_factory("at_sites", FACTORY)


def test_a_set_of_a_variant_at_sites_is_named_without_signs_a_shell_reads():
    wanted = parse_requests(parse_options(["--model", "resnet20", "--variant", "orig,down@2,1"]))
    assert [request.source.variant for request in wanted] == ["orig", "down@2,1"]
    network, _ = make_network(wanted[1])
    assert network.variant == "down@1,2"
    assert network.spec["variant"] == "down@1,2"
    assert network.stem == "resnet20_down-1-2_cifar100_32_fp32"


def test_a_module_at_sites_is_named_by_them_and_its_manifest_tells_them(source):
    source = dataclasses.replace(source, padding_free=True, padding_free_sites=("stem", "2"))
    network, _ = make_network(BuildRequest(source=source, name="mine"))
    assert network.stem == "mine_pfd-stem-2_1x3x8x8_fp32"
    assert network.spec["padding_free_sites"] == ["stem", "2"]
    first, second, left = network.conversions
    assert first.startswith("0: stem 3x3 s1 -> hybrid stem")
    assert second.startswith("5: depthwise 3x3 s2 p1 -> depthwise 3x3 s2 p0")
    assert left == "left as it is: 3: site 1 is not chosen"


def test_the_sites_of_a_module_are_found_with_its_stem(source):
    assert [(site.name, site.told) for site in list_convertible_sites(source)] == [
        ("stem", "hybrid stem, 0"),
        ("1", "3, 8x8"),
        ("2", "5, 4x4"),
    ]


def test_the_sites_of_the_zoos_networks_are_found_at_their_input():
    source = ZooSource(model="shufflenetv2", dataset="imagenet")
    assert [(site.name, site.told) for site in list_convertible_sites(source)] == [
        ("stem", "hybrid stem"),
        ("1", "stage 2, 56x56"),
        ("2", "stage 3, 28x28"),
        ("3", "stage 4, 14x14"),
    ]


@pytest.mark.parametrize(
    ("chosen", "variant"),
    [
        ((), "orig"),
        (("stem",), "stem"),
        (("2",), "down@2"),
        (("10", "2"), "down@2,10"),
        (("2", "stem"), "ours@2"),
        (("1", "2", "10"), "down"),
        (("1", "2", "10", "stem"), "ours"),
    ],
)
def test_every_choice_of_sites_has_a_variant(chosen, variant):
    source = ZooSource(model="net", variant="orig")
    assert source.at_sites(chosen, ("stem", "1", "2", "10")).variant == variant


def test_a_choice_of_no_sites_is_the_module_itself(source):
    assert source.at_sites((), ("stem", "1")) == source
    assert source.at_sites(("1", "stem"), ("stem", "1")).padding_free_sites == ("stem", "1")


def test_the_command_builds_a_module_at_sites(source, in_process_builds, tmp_path, monkeypatch):
    monkeypatch.chdir(source.search_path)
    words = ["--module", source.target, "--input", "1,3,8,8", "--formats", "onnx"]
    out = ["--out", str(tmp_path / "out"), "--name", "mine"]
    assert main([*words, "--padding-free-sites", "2", *out]) == 0
    manifest = load_manifest(tmp_path / "out" / "mine_pfd-2_1x3x8x8_fp32.json")
    assert manifest.spec["padding_free_sites"] == ["2"]
    assert len(manifest.conversions) == 2


@pytest.mark.parametrize(
    ("sites", "line"),
    [
        ("7", "Sequential has no down-sampling site 7; its sites are 1 to 2"),
        ("two", "'two' in 'two' is no site; write stem and the numbers of down-sampling steps"),
        ("", "'' in '' is no site"),
    ],
)
def test_a_site_that_does_not_exist_is_one_line_of_the_command(
    source, in_process_builds, tmp_path, monkeypatch, capfd, sites, line
):
    monkeypatch.chdir(source.search_path)
    words = ["--module", source.target, "--input", "1,3,8,8", "--formats", "onnx"]
    assert main([*words, "--padding-free-sites", sites, "--out", str(tmp_path / "out")]) == 2
    said = capfd.readouterr()
    assert line in said.out + said.err
    assert "Traceback" not in said.out + said.err
