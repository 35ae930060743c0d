"""The page of a campaign whose variants took turns, in a real browser."""

import dataclasses
import json
import re

import numpy as np
import pytest

from android_bench.campaign.result import read_result
from android_bench.records import Flag, Pairing
from android_bench.report import heat_timeline
from android_bench.report.json_document import result_json
from android_bench.report.page import report_page
from android_bench.report.wording import change, milliseconds
from android_bench.statistics.design import is_disturbed
from android_bench.statistics.undisturbed import explain_disagreement

HOSTILE = '<img src=x onerror="window.pwned=1"><b>b</b> {{7*7}} </script><script>window.pwned=2'


def traces(page, figure, expression):
    """Evaluate an expression of each trace ``t`` of a figure."""
    return page.evaluate(f"() => document.getElementById('{figure}').data.map(t => {expression})")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_of_heats_is_drawn_and_nothing_complains(looked_at, heats_result, scheme):
    page = looked_at(report_page([heats_result], ()), scheme)
    drawn = page.drawn()
    assert {name: figure["traces"] for name, figure in drawn.items()} == {
        "forest": 2,  # a comparison and the control
        "heats-1": 2 + 1 + 3,  # candidate and twin; weather; temperature, frequency, load
        "samples-1": 3 * 2,
        "curves-1": 2,
    }
    for figure in drawn.values():
        assert figure["shapes"] >= figure["traces"]
        assert figure["area"] > 10_000
    assert page.complaints == []
    assert len(page.requests) == 1


def test_the_numbers_on_the_page_are_those_of_the_json_document(looked_at, heats_result):
    page = looked_at(report_page([heats_result], ()))
    (plain,) = json.loads(result_json([heats_result]))["campaigns"]
    (typical,), (undisturbed,), control = (
        plain[n] for n in ("comparisons", "undisturbed", "control")
    )
    for place, one in (("[data-comparison]", typical), ("[data-undisturbed]", undisturbed)):
        (shown,) = page.evaluate(
            f"() => [...document.querySelectorAll('{place}')].map(e => ({{...e.dataset}}))"
        )
        assert [float(shown[n]) for n in ("ratio", "low", "high")] == ends(one)
        for value in ends(one):
            assert change(value) in page.page.inner_text(place)
    rows = page.evaluate(
        """() => [...document.querySelectorAll(".ratios tbody tr")].map(r =>
            [...r.querySelectorAll("td")].flatMap(c => [c.dataset.ratio, c.dataset.low,
                c.dataset.high]).filter(v => v !== undefined).map(parseFloat))"""
    )
    assert rows == [ends(typical) + ends(undisturbed), ends(control)]
    for summary, column in zip(plain["summaries"], (1, 2), strict=True):
        cell = page.page.inner_text(f".summaries tr[data-key=median_ns] td:nth-child({column + 1})")
        assert cell == milliseconds(summary["median_ns"])


def ends(comparison):
    return [comparison[name] for name in ("ratio", "low", "high")]


def test_every_heat_is_in_the_table_in_order(looked_at, heats_result):
    page = looked_at(report_page([heats_result], ()))
    rows = page.evaluate(
        """() => [...document.querySelectorAll(".heats tbody tr")].map(r => [
            Number(r.dataset.number), Number(r.dataset.attempt), r.className,
            ...[...r.cells].slice(2).map(c => c.textContent)])"""
    )
    assert len(rows) == len(heats_result.heats) == 11
    pairs = zip(heats_result.heats, heats_result.judged, strict=True)
    for (heat, judged), row in zip(pairs, rows, strict=True):
        number, attempt, style, twin, ours, used, left_out, before, after, *_ = row
        assert (number, attempt) == (heat.number, heat.attempt)
        assert (style == "disturbed") == is_disturbed(judged)
        assert used == str(judged.n_pairs)
        assert before == f"{heat.before.hottest_mc / 1000:.1f} °C"
        assert after == f"{heat.after.hottest_mc / 1000:.1f} °C"
        assert ours == shown_ratio(heat, judged, "ours")
        assert twin == shown_ratio(heat, judged, "orig (A/A)")
        assert left_out == ("2 wrong core" if number == 2 else "")
    disturbed = {tuple(row[:2]): row[-1] for row in rows if row[2]}
    assert disturbed == {(1, 0): "engine crashed", (4, 0): "harness killed, partial"}


def shown_ratio(heat, judged, label):
    if label in judged.log_ratios:
        return change(float(np.exp(judged.log_ratios[label])))
    return "none" if label in heat.turns.children else ""


def test_every_ratio_is_drawn_and_those_of_disturbed_heats_are_hollow(looked_at, heats_result):
    page = looked_at(report_page([heats_result], ()))
    drawn = traces(page, "heats-1", "[t.name, t.customdata, t.marker?.symbol, t.x]")[:2]
    found = {
        (label, number, attempt): (ratio, symbol.endswith("-open"))
        for label, points, symbols, _ in drawn
        for (number, attempt, ratio), symbol in zip(points, symbols, strict=True)
    }
    assert found == {
        (label, heat.number, heat.attempt): (float(np.exp(log)), is_disturbed(judged))
        for heat, judged in zip(heats_result.heats, heats_result.judged, strict=True)
        for label, log in judged.log_ratios.items()
    }
    assert ("ours", 1, 0) in found  # disturbed, shown
    assert ("ours", 1, 1) in found  # and its repeat
    (ours,) = (x for label, _, _, x in drawn if label == "ours")
    assert ours == sorted(ours)
    assert 2.0 < ours[0] < 2.2  # the first heat began two seconds into the campaign


def test_the_weather_moves_and_the_ratio_does_not(looked_at, heats_result):
    page = looked_at(report_page([heats_result], ()))
    ((x, y),) = traces(page, "heats-1", "t.name == 'weather' ? [t.x, t.y] : null")[2:3]
    (ours,) = [t for t in traces(page, "heats-1", "t.name == 'ours' ? [t.x, t.y] : null") if t]
    storm_s = 2 + 1.5 * 4  # the fifth to run: one was repeated
    inside = [v for t, v in zip(x, y, strict=True) if t and storm_s <= t < storm_s + 1]
    outside = [v for t, v in zip(x, y, strict=True) if t and not storm_s <= t < storm_s + 1]
    assert min(inside) > 29
    assert max(outside) < 2
    assert max(abs(value + 10) for value in ours[1]) < 0.2


def test_many_turns_make_no_large_page(heats_result, monkeypatch):
    every = drawn_weather(heats_result)
    assert len(every) > 140  # rows
    monkeypatch.setattr(heat_timeline, "MOST_POINTS", 50)
    few = drawn_weather(heats_result)
    assert len(heats_result.heats) < len(few) < 50 + len(heats_result.heats)
    assert np.mean(few) == pytest.approx(np.mean(every), rel=0.1)


def drawn_weather(result):
    (weather,) = [
        t
        for t in figures_of(report_page([result], ()))["heats-1"]["data"]
        if t["name"] == "weather"
    ]
    return [value for value in weather["y"] if value is not None]


def figures_of(html):
    return json.loads(re.search(r'id="figures">(.*?)</script>', html, re.DOTALL).group(1))


def test_what_the_first_inference_costs_is_told_apart(looked_at, heats_result):
    page = looked_at(report_page([heats_result], ()))
    costs = page.evaluate(
        "() => [...document.querySelectorAll('[data-first-cost] [data-cost]')].map("
        "c => [parseFloat(c.dataset.cost), c.textContent])"
    )
    curves = traces(page, "curves-1", "[t.name, t.y, t.marker.symbol]")
    assert [label for label, _, _ in curves] == ["orig", "ours"]
    for (cost, shown), (_, curve, symbols) in zip(costs, curves, strict=True):
        assert cost == pytest.approx(0.2, abs=0.002)
        assert shown == change(1 + cost)
        assert curve[0] == pytest.approx(100 * cost)
        assert curve[1] == pytest.approx(5, abs=0.2)
        assert [symbol.endswith("-open") for symbol in symbols] == [True, True, False, False, False]


def test_discarded_inferences_are_no_samples(heats_result):
    figures = figures_of(report_page([heats_result], ()))
    own_ms = {"orig": 1.0, "orig (A/A)": 1.0, "ours": 0.9}
    lines = [t for t in figures["samples-1"]["data"] if t["mode"] == "lines"]
    assert {t["name"] for t in lines} == set(own_ms)
    for line in lines:  # a first inference takes 1.2 of it, one in the storm 1.3
        seen = [x / own_ms[line["name"]] for x, y in zip(line["x"], line["y"], strict=True) if y]
        assert not [ratio for ratio in seen if 1.03 < ratio < 1.25]


def test_a_campaign_of_heats_has_no_blocks_and_no_rounds(looked_at, heats_result):
    page = looked_at(report_page([heats_result], ()))
    text = page.page.text_content("main")
    assert not re.search(r"\b(blocks?|rounds?)\b", text)
    assert "All 11 heats" in text
    assert "How to read this" in text
    assert "idle device" in page.page.inner_text("#method")


def test_a_control_without_an_interval_is_said_on_the_page(store, make_heats):
    """As of a store whose heats had fewer twins."""
    whole = make_heats.fill(store, good=5, disturbed=False)
    (one,) = whole.comparisons
    one = dataclasses.replace(one, noise_floor=None)
    result = dataclasses.replace(whole, comparisons=(one,), control=None)
    html = report_page([result], ())
    (said,) = re.findall(r"<p [^>]*data-no-control>(.*?)</p>", html)
    assert "ended before its A/A control had an interval" in said
    assert "5 heats; no A/A noise floor" in html


def test_figures_that_disagree_are_explained(heats_result):
    (typical,) = heats_result.comparisons
    calm = dataclasses.replace(heats_result.undisturbed[0], ratio=0.95, low=0.94, high=0.96)
    assert explain_disagreement(typical, calm)
    html = report_page([dataclasses.replace(heats_result, undisturbed=(calm,))], ())
    (said,) = re.findall(r"<p [^>]*data-disagreement>(.*?)</p>", html)
    assert said == explain_disagreement(typical, calm) + "."
    assert "data-disagreement" not in report_page([heats_result], ())


def test_blocks_have_the_second_figure_too(store, make):
    make.fill(store)
    result = read_result(store, "last")
    (undisturbed,) = result.undisturbed
    html = report_page([result], ())
    assert f"at undisturbed speed {change(undisturbed.ratio)}" in html
    assert f'<td data-ratio="{undisturbed.ratio}">{change(undisturbed.ratio)}</td>' in html
    assert "24 rounds; A/A noise floor" in html


def test_hostile_names_of_heats_are_text_and_never_run(opened, store, make, make_heats):
    labels = (HOSTILE, f"{HOSTILE} (A/A)", f"other {HOSTILE}")
    arms = tuple(
        dataclasses.replace(make.arm(kind), label=label, compared_to=HOSTILE if number else "")
        for number, (label, kind) in enumerate(
            zip(labels, ("orig", "orig (A/A)", "ours"), strict=True)
        )
    )
    page = opened(report_page([make_heats.fill(store, arms=arms)], ()))
    for plot in ("heats-1", "curves-1"):
        shown = page.evaluate(
            f"""() => {{
                Plotly.Fx.hover("{plot}", [{{curveNumber: 0, pointNumber: 0}}]);
                return document.querySelector("#{plot} .legendtext").textContent;}}"""
        )
        assert "<img" in shown
    assert page.evaluate("() => window.pwned") is None
    assert page.complaints == []
    assert page.evaluate("() => document.querySelectorAll('main img, main a, main b').length") == 0
    for place in (".ratios", ".heats", ".summaries"):
        assert HOSTILE in page.page.text_content(place)


def test_one_variant_and_its_twin_are_a_page(opened, store, make, make_heats):
    arms = (make.arm("orig"), make.arm("orig (A/A)"))
    page = opened(report_page([make_heats.fill(store, arms=arms, good=6)], ()))
    assert page.complaints == []
    assert "compares nothing with its baseline" in page.page.inner_text("#verdicts")
    assert traces(page, "heats-1", "t.name")[:2] == ["orig (A/A)", "weather"]


@pytest.mark.parametrize("begun", [False, True])
def test_a_campaign_without_good_heats_is_a_page_that_says_so(
    opened, store, make, make_heats, begun
):
    files = [make.artifact("orig"), make.artifact("ours")]
    record = make_heats.campaign()
    assert record.design.pairing is Pairing.TURNS
    if begun:
        make_heats.fill(store, good=0)
        empty = dataclasses.replace(make.heat().turns, **NO_TURNS)
        store.add_heat(make.heat(turns=empty, flags=frozenset({Flag.HARNESS_KILLED})))
    else:
        store.add_campaign(record, make.device(), files)
    page = opened(report_page([read_result(store, "last")], ()))
    assert page.complaints == []
    assert "has no verdict: too few undisturbed heats" in page.page.inner_text("main")
    assert page.drawn() == {}
    assert page.page.text_content(".heats").count("harness killed") == begun


NO_TURNS = {
    "turn_child": np.array([], np.int16),
    "turn_first": np.array([0]),
    "turn_begin_ns": np.array([], np.int64),
    "turn_end_ns": np.array([], np.int64),
    "turn_freq_khz": np.array([], np.int32),
    "samples_ns": np.array([], np.int64),
    "cpus": np.array([], np.int16),
}


def test_pages_of_both_kinds_explain_both(opened, store, make, make_heats):
    make.fill(store)
    heats = make_heats.fill(store, campaign_id="heats")
    page = opened(report_page([read_result(store, "2026"), heats], ()))
    assert page.complaints == []
    assert set(page.drawn()) == {
        *("forest", "blocks-1", "samples-1", "heats-2", "samples-2", "curves-2"),
    }
    method = page.page.inner_text("#method")
    assert "Variants in turns" in method
    assert "Variants in blocks" in method
