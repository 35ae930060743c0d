"""docs/harness-protocol.md says exactly what the harness takes and writes."""

import json
import re
from pathlib import Path

import pytest

from android_bench.harness.client import count_inferences, profile_operators, run_block
from android_bench.harness.heat import HeatSchedule, run_heat
from android_bench.harness.process import run_here

PAGE = Path(__file__).parents[3] / "docs/harness-protocol.md"


def _documented():
    """Return line type to its fields."""
    sections = re.split(r"^### `(\w+)`$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {
        kind: set(re.findall(r"^\| `(\w+)` \|", text.partition("\n## ")[0], re.MULTILINE))
        for kind, text in zip(sections[::2], sections[1::2], strict=True)
    }


@pytest.fixture(scope="module")
def written(harness, network, tmp_path_factory):
    """Return line type to the fields that the harness wrote, over all modes."""
    dump = tmp_path_factory.mktemp("dump") / "net.etdump"
    lines = []

    def launch(command, *, timeout_s, on_line, quiet_s=0.0):
        def heard(text):
            lines.append(json.loads(text))
            on_line(text)

        return run_here(command, timeout_s=timeout_s, on_line=heard)

    import dataclasses

    listening = dataclasses.replace(harness, launch=launch)
    run_block(listening, network.job("executorch"))
    profile_operators(listening, network.job("executorch"), iterations=1, etdump=str(dump))
    job = network.job("litert")
    count_inferences(listening, job, iterations=1, with_operators=True, timeout_s=60)
    schedule = HeatSchedule(burst=2, seconds=0.0)
    run_heat(listening, [network.job("litert")] * 2, schedule, labels=("a", "b"), order=(0, 1))
    launch([*harness.command, "--describe"], timeout_s=10, on_line=lambda text: None)
    fields = {}
    for line in lines:
        fields.setdefault(line["type"], set()).update(set(line) - {"type"})
    return fields


def test_every_line_and_field_is_documented_and_written(written):
    assert _documented() == written


def test_every_option_is_documented(built):
    sources = Path(__file__).parents[3] / "android_bench/native/options.cpp"
    taken = set(re.findall(r'(?:\{|== )"(--[a-z-]+)"', sources.read_text()))
    page = PAGE.read_text()
    listed = set(re.findall(r"^\| `(--[a-z-]+)[ `]", page, re.MULTILINE))
    modes = {"--describe", "--time", "--verify", "--profile", "--memory", "--count", "--heat"}
    assert len(taken) > 30
    assert listed == taken - modes
    assert all(f"`{mode}`" in page for mode in modes)


def test_the_page_says_which_options_have_no_default(always, built):
    """Exactly those without which a run or a heat is refused."""
    page = PAGE.read_text()
    needed = set(re.findall(r"^\| `(--[a-z-]+)[^`]*` \| needed", page, re.MULTILINE))
    heat = {"--burst", "--heat-seconds", "--turn-timeout-seconds", "--order", "--child"}
    assert needed == {*always[::2], "--engine", "--model"} | heat
