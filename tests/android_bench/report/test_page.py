"""The page in a real browser."""

import dataclasses
import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from android_bench.campaign.result import read_result
from android_bench.records import Flag
from android_bench.report.page import report_page
from android_bench.report.paper import PrintedLatency, find_printed, printed_latencies
from android_bench.report.wording import change, milliseconds
from android_bench.statistics.design import is_disturbed, next_block
from pfd_models.errors import InputError

HOSTILE = (
    '<img src=x onerror="window.pwned=1"><b>bold</b> {{7*7}} ${7*7} \'</script>'
    "<script>window.pwned=2</script>&lt; <a href='javascript:window.pwned=3'>x</a>"
)
PRINTED = tuple(
    PrintedLatency(model="ShuffleNet-v2", variant=variant, latency_ms={"Phone": ms})
    for variant, ms in (("orig", 20.0), ("ours", 19.0))
)


@pytest.fixture
def result(store, make):
    make.fill(store)
    return read_result(store, "last")


def slower(block, factor):
    samples_ns = (block.run.samples_ns * factor).astype(int)
    return dataclasses.replace(block, run=dataclasses.replace(block.run, samples_ns=samples_ns))


def without_readings(reading):
    return dataclasses.replace(
        reading, freq_khz={}, temp_mc={}, other_busy_fraction=None, steal_fraction=None
    )


@pytest.fixture
def hostile_result(store, make):
    """A campaign whose every name is an attack, of three variants, on a device without sensors."""
    labels = (HOSTILE, f"{HOSTILE} (A/A)", "ours", f"third {HOSTILE}")
    kinds = ("orig", "orig (A/A)", "ours", "ours")
    arms = tuple(
        dataclasses.replace(make.arm(kind), label=label, compared_to=HOSTILE if number else "")
        for number, (label, kind) in enumerate(zip(labels, kinds, strict=True))
    )
    device = make.device(
        model=HOSTILE, serial=HOSTILE, soc=HOSTILE, os=HOSTILE, thermal_zones=(HOSTILE,)
    )
    campaign = make.campaign(
        campaign_id="hostile",
        name=HOSTILE,
        arms=arms,
        device_id=device.device_id,
        host=HOSTILE,
        started_utc="2026-03-01T11:59:00+00:00",
    )
    files = [make.artifact("orig", file=HOSTILE, model=HOSTILE), make.artifact("ours")]
    store.add_campaign(campaign, device, files)
    rng, blocks = np.random.default_rng(0), []
    while (todo := next_block(campaign.design, blocks)).round < 24:
        slow = 1.1 if todo.label.startswith("third") else 1.0
        samples = 6e6 * slow * np.exp(rng.normal(0, 0.005)) * (1 + rng.gamma(2, 0.01, 60))
        block = make.block(
            todo.index, "orig", samples.astype(int), round=todo.round, position=todo.position
        )
        block = dataclasses.replace(
            block,
            campaign_id="hostile",
            label=todo.label,
            artifact_sha256=campaign.arm(todo.label).artifact_sha256,
            run=dataclasses.replace(
                block.run,
                before=without_readings(block.run.before),
                after=without_readings(block.run.after),
            ),
        )
        blocks.append(block)
        store.add_block(block)
    store.add_event(make.event(campaign_id="hostile", kind=HOSTILE, message=HOSTILE))
    profile = make.profile(label=HOSTILE, campaign_id="hostile")
    operator = dataclasses.replace(profile.operators[0], name=HOSTILE, delegate=HOSTILE)
    store.add_profile(dataclasses.replace(profile, operators=(operator,)))
    store.add_memory(make.memory(label=HOSTILE, campaign_id="hostile", rss_kib={HOSTILE: 1}))
    return read_result(store, "hostile")


# -- drawn, and right --------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_and_nothing_complains(looked_at, result, scheme):
    page = looked_at(report_page([result], PRINTED), scheme)
    drawn = page.drawn()
    assert set(drawn) == {"forest", "blocks-1", "samples-1"}
    assert {name: figure["traces"] for name, figure in drawn.items()} == {
        "forest": 2,  # a comparison and the control
        "blocks-1": 3 + 3,  # three arms; temperature, frequency, load
        "samples-1": 3 * 2,
    }
    for figure in drawn.values():
        assert figure["shapes"] >= figure["traces"]
        assert figure["area"] > 10_000
    assert page.complaints == []
    assert len(page.requests) == 1  # the file itself: nothing else is loaded


def test_the_values_on_the_page_are_the_stores(looked_at, result):
    page = looked_at(report_page([result], PRINTED))
    (shown,) = page.evaluate(
        "() => [...document.querySelectorAll('[data-comparison]')].map(e => ({...e.dataset}))"
    )
    (comparison,) = result.comparisons
    assert [float(shown[key]) for key in ("ratio", "low", "high")] == [
        comparison.ratio,
        comparison.low,
        comparison.high,
    ]
    card = page.page.inner_text("[data-comparison]")
    for part in (change(comparison.ratio), change(comparison.low), change(comparison.high)):
        assert part in card
    forest = page.evaluate("() => document.getElementById('forest').data.map(t => t.customdata[0])")
    assert forest == [[c.ratio, c.low, c.high] for c in (comparison, result.control)]
    rows = page.evaluate(
        """() => [...document.querySelectorAll(".summaries tr[data-key]")].map(r =>
            [r.dataset.key, [...r.querySelectorAll("td[data-ns]")].map(
                c => [parseFloat(c.dataset.ns), c.textContent])])"""
    )
    assert len(rows) == 7
    for key, cells in rows:
        values = [getattr(s, key) for s in result.summaries]
        assert cells == [[value, milliseconds(value)] for value in values]


def test_every_block_is_on_the_page_in_order(looked_at, result):
    page = looked_at(report_page([result], PRINTED))
    rows = page.evaluate(
        """() => [...document.querySelectorAll(".blocks tbody tr")].map(r => [
            Number(r.dataset.index), Number(r.dataset.attempt), r.cells[0].textContent,
            parseFloat(r.querySelector("[data-ns]").dataset.ns), r.className])"""
    )
    assert rows == [
        [b.index, b.attempt, b.label, b.median_ns, "disturbed" if is_disturbed(b) else ""]
        for b in result.blocks
    ]
    drawn = page.evaluate(
        """() => document.getElementById("blocks-1").data.slice(0, 3).map(
            t => [t.name, t.customdata])"""
    )
    assert {(name, *point) for name, points in drawn for point in points} == {
        (b.label, b.index, b.attempt, b.median_ns) for b in result.blocks
    }
    tracks = page.evaluate(
        "() => document.getElementById('blocks-1').data.slice(3).map(t => [t.name, t.y])"
    )
    heat = dict(tracks)["hottest, °C"]
    assert heat == [r.hottest_mc / 1000 for b in result.blocks for r in (b.run.before, b.run.after)]


def test_files_device_and_the_papers_rows_are_there(looked_at, result):
    page = looked_at(report_page([result], PRINTED))
    for artifact in result.artifacts.values():
        row = page.page.inner_text(f'.artifacts tr[data-sha256="{artifact.sha256}"]')
        for part in (artifact.file, artifact.sha256, "224 px", "8.58 MiB"):
            assert part in row
    device = page.page.inner_text(".device")
    for part in ("Example CPU 3000", "big up to 3.00 GHz", "governor schedutil", "cpu, skin"):
        assert part in device
    paper = page.page.inner_text("#paper")
    (comparison,) = result.comparisons
    for part in ("20.0 ms", "19.0 ms", change(0.95), change(comparison.ratio), "not measured here"):
        assert part in paper


def test_disturbed_blocks_are_hollow_and_do_not_flatten_the_rest(looked_at, result):
    page = looked_at(report_page([result], PRINTED))
    arms = page.evaluate("() => document.getElementById('blocks-1').data.slice(0, 3)")
    symbols = {
        (*point[:2],): symbol
        for arm in arms
        for point, symbol in zip(arm["customdata"], arm["marker"]["symbol"], strict=True)
    }
    for block in result.blocks:
        assert symbols[block.key[1:]].endswith("-open") == is_disturbed(block)
    highest = max(max(arm["y"]) for arm in arms)
    assert highest < 1.15 * min(min(arm["y"]) for arm in arms)
    assert max(b.median_ns for b in result.blocks) / 1e6 > highest


# -- hostile names -----------------------------------------------------------------------------


def test_hostile_names_are_text_and_never_run(opened, hostile_result):
    page = opened(report_page([hostile_result], ()))
    for plot in ("forest", "blocks-1"):
        shown = page.evaluate(
            f"""() => {{
                Plotly.Fx.hover("{plot}", [{{curveNumber: 0, pointNumber: 0}}]);
                return document.querySelector("#{plot} .hovertext").textContent;}}"""
        )
        assert HOSTILE.partition(" ")[0] in shown
    assert page.evaluate("() => window.pwned") is None
    assert page.complaints == []
    assert page.evaluate("() => document.querySelectorAll('main img, main a, main b').length") == 0
    assert page.evaluate("() => document.scripts.length") == 3
    assert page.page.inner_text("h1") == HOSTILE
    for place in (".device", ".artifacts", ".blocks", ".operators", ".memory", ".events"):
        assert HOSTILE in page.page.text_content(place)
    ticks = page.evaluate(
        "() => [...document.querySelectorAll('#forest .ytick text')].map(t => t.textContent)"
    )
    assert any(tick.startswith("<img src=x onerror=") for tick in ticks), ticks
    legend = page.evaluate(
        "() => [...document.querySelectorAll('#blocks-1 .legendtext')].map(t => t.textContent)"
    )
    assert any(entry.startswith("<img src=x onerror=") for entry in legend), legend


def test_what_the_device_did_not_tell_is_said(looked_at, hostile_result):
    page = looked_at(report_page([hostile_result], ()))
    assert "Not readable on this device: temperature" in page.page.inner_text("#campaign-1")
    assert len(page.evaluate("() => document.getElementById('blocks-1').data")) == 4  # arms only


def test_the_page_runs_no_script_but_its_own(opened, result, browser):
    attack = "() => { document.body.innerHTML += '<img src=x onerror=\"window.pwned=1\">'; }"
    page = opened(report_page([result], PRINTED))
    page.evaluate(attack)
    page.page.wait_for_timeout(300)
    assert page.evaluate("() => window.pwned") is None
    assert any("Content Security Policy" in text for text in page.complaints)
    bare = browser.new_page()  # the twin: the same attack works where nothing forbids it
    bare.goto("about:blank")
    bare.evaluate(attack)
    bare.wait_for_function("() => window.pwned === 1", timeout=5_000)
    bare.close()


# -- readable ----------------------------------------------------------------------------------


def luminance(colour):
    channels = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(opened, result, store, make_heats, scheme):
    heats = make_heats.fill(store, campaign_id="heats")
    page = opened(report_page([result, heats], PRINTED), scheme)
    colours = page.evaluate(
        """() => {
            const of = (s, p) => getComputedStyle(document.querySelector(s))[p];
            return {card: of("figure", "backgroundColor"), page: of("body", "backgroundColor"),
                onPage: [of("body", "color"), of("#method .soft", "color")],
                onCard: [of("td", "color"), of("caption", "color"), of(".verdict", "color"),
                    of("#forest .ytick text", "fill"), of("#blocks-1 .xtick text", "fill"),
                    of("#blocks-1 .legendtext", "fill"), of("#heats-2 .xtick text", "fill"),
                    of("#curves-2 .legendtext", "fill"), of(".ratios td", "color")]};}"""
    )
    assert (luminance(colours["page"]) > 0.5) == (scheme == "light")
    # 4.5 is WCAG 2.1's level AA for text (success criterion 1.4.3).
    assert min(contrast(c, colours["page"]) for c in colours["onPage"]) >= 4.5
    assert min(contrast(c, colours["card"]) for c in colours["onCard"]) >= 4.5


def test_a_narrow_screen_scrolls_tables_and_not_the_page(opened, hostile_result):
    page = opened(report_page([hostile_result], ()))
    page.page.set_viewport_size({"width": 390, "height": 800})
    page.page.wait_for_timeout(300)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


# -- what is odd -------------------------------------------------------------------------------


def test_a_campaign_without_good_blocks_is_a_page_that_says_so(opened, store, make):
    broken = frozenset({Flag.ENGINE_CRASHED})
    make.fill(store, [make.block(0, samples_ns=(), load_ns=None, flags=broken)])
    page = opened(report_page([read_result(store, "last")], PRINTED))
    assert page.complaints == []
    text = page.page.inner_text("main")
    assert "has no verdict: too few undisturbed rounds" in text
    assert "engine crashed" in page.page.text_content(".blocks")
    assert page.evaluate("() => document.querySelectorAll('.plot').length") == 0


def test_a_campaign_that_somebody_stopped_and_a_control_that_disagrees_are_marked(store, make):
    files = [make.artifact("orig"), make.artifact("ours")]
    store.add_campaign(make.campaign(), make.device(), files)
    for block in make.measured_blocks():
        if block.label == "orig (A/A)":
            block = slower(block, 1.2)
        store.add_block(block)
    html = report_page([read_result(store, "last")], ())
    assert "was not ended by its own rule" in html
    assert html.count("do not believe this campaign") == 2  # above the verdicts and in its section
    assert "Beside the paper" not in html


def test_several_campaigns_share_a_page(opened, result, hostile_result):
    page = opened(report_page([result, hostile_result], PRINTED))
    assert page.complaints == []
    assert len(page.evaluate("() => document.getElementById('forest').data")) == 2 + 3
    assert page.evaluate("() => document.querySelectorAll('.plot').length") == 1 + 2 * 2


def test_the_page_is_the_same_every_time_and_needs_nothing_else(result):
    html = report_page([result], PRINTED)
    assert html == report_page([result], PRINTED)
    before_plotly = html[: html.index("<script>")]
    assert not re.search(r'(src|href)=["\'](?!data:)', before_plotly)
    text = re.search(r'id="figures">(.*?)</script>', html, re.DOTALL).group(1)
    assert "<" not in text
    assert set(json.loads(text)) == {"forest", "blocks-1", "samples-1"}


def test_reporting_loads_no_torch():
    program = "import sys, android_bench.report.page; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout == "False\n"


def test_a_report_about_nothing_is_refused():
    with pytest.raises(InputError, match="at least one campaign"):
        report_page([])


# -- the paper's figures -----------------------------------------------------------------------


def test_the_papers_rows_are_found_by_our_names():
    golden = resources.files("pfd_models") / "paper" / "golden.json"
    if not golden.is_file():
        pytest.skip("the paper's tables are not in this checkout")
    printed = printed_latencies()
    assert len(printed) == 8
    mobilenets = ("mobilenetv3_large", "mobilenetv3_large_set2", "parc_mobilenetv2")
    for model in (*mobilenets, "ghostnet", "shufflenetv2"):
        for variant in ("orig", "ours"):
            row = find_printed(printed, model, variant)
            assert row is not None, (model, variant)
            assert all(1 < ms < 100 for ms in row.latency_ms.values())
    assert find_printed(printed, "resnet20", "orig") is None
    assert find_printed(printed, "ghostnet", "stem") is None


def test_the_papers_rows_are_read_as_printed(tmp_path):
    path = tmp_path / "golden.json"
    row = {"table": "Inference Latency", "model": "Net-v1", "variant": "ours"}
    rows = [
        row | {"readme_latency": {"Phone": "27.0ms"}},
        {"table": "ImageNet", "model": "Net-v1", "variant": "ours", "readme_latency": None},
    ]
    path.write_text(json.dumps(rows))
    (printed,) = printed_latencies(path)
    assert printed == PrintedLatency(model="Net-v1", variant="ours", latency_ms={"Phone": 27.0})
    assert find_printed((printed,), "net_v1", "ours") is printed
    assert find_printed((printed,), "net_v1", "orig") is None
    assert printed_latencies(tmp_path / "none.json") == ()


# -- what files execute ------------------------------------------------------------------------


def test_what_files_execute_is_shown_beside_their_times_and_called_counted(store, make, opened):
    make.fill(store)
    operators = make.operator_counts(60, 45, names=("Conv #1", HOSTILE))
    more = make.counts(mac_fp32=105)
    counts = (make.arm_count(), make.arm_count("ours", operators=operators, counts=more))
    page = opened(report_page([read_result(store, "last")], (), counts))
    assert not page.complaints
    assert page.drawn()["waterfall-1-1"]["traces"] == 1
    rows = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("tr[data-cost]")].map(row =>
            [row.dataset.cost, [...row.querySelectorAll("[data-count]")].map(cell =>
                Number(cell.dataset.count))]))"""
    )
    assert rows["instructions"] == [192, 197]
    assert rows["multiply-accumulates fp32"] == [400, 400]
    assert "Counted under an emulator, not measured" in page.evaluate("document.body.innerText")


def test_counts_that_are_not_comparable_or_of_one_file_alone_are_not_shown(store, make):
    make.fill(store)
    result = read_result(store, "last")
    other = make.arm_count("ours", engine_version="1.6.0")
    for counts in ((make.arm_count(),), (make.arm_count(), other)):
        assert "data-cost" not in report_page([result], (), counts)
