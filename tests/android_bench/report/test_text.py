"""What names from outside look like, and the console's tables."""

import io
import re

import pytest
from rich.console import Console

from android_bench.campaign.result import read_result
from android_bench.records import Flag, Pairing
from android_bench.report.console import verdict_lines
from android_bench.report.escape import escape_controls, escape_for_plot
from android_bench.report.page import report_page
from android_bench.report.tables import (
    campaign_table,
    operator_table,
    summary_table,
    verdict_table,
)
from android_bench.report.wording import (
    celsius,
    change,
    control_sentence,
    flag_words,
    gigahertz,
    mebibytes,
    milliseconds,
    sentence,
)
from android_bench.statistics.comparison import Comparison, Verdict


def comparison(ratio, low, high, **changes):
    fields = {
        "label": "ours",
        "baseline": "orig",
        "ratio": ratio,
        "low": low,
        "high": high,
        "confidence": 0.95,
        "n_rounds": 20,
        "noise_floor": 0.01,
        "rule": "test",
    }
    return Comparison(**(fields | changes))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Pixel 7 (ünïcode, 手机)", "Pixel 7 (ünïcode, 手机)"),
        ("a\x1b[31mred", r"a\x1b[31mred"),
        ("exe\u202egnp", r"exe\u202egnp"),
        ("a\nb\tc\0", r"a\nb\tc\x00"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\udcff", r"\udcff"),
        ("no\u00a0break", r"no\xa0break"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_deceiving_characters_are_spelled_out(text, shown):
    assert escape_controls(text) == shown


def test_plot_labels_are_no_markup():
    assert escape_for_plot('<b>&amp;</b><a href="x">') == (
        '&lt;b&gt;&amp;amp;&lt;/b&gt;&lt;a href="x"&gt;'
    )


def test_numbers_have_units_and_unknown_is_no_zero():
    assert milliseconds(6_104_499.6) == "6.104 ms"
    assert milliseconds(123_456_789) == "123.5 ms"
    assert milliseconds(1_234) == "1.23 µs"
    assert milliseconds(0) == "0.000 ms"
    assert change(0.974) == "\N{MINUS SIGN}2.60 %"
    assert change(1.25) == "+25.0 %"
    assert change(1.0) == "+0.00 %"
    assert celsius(45_250) == "45.2 °C"
    assert gigahertz(2_900_000) == "2.90 GHz"
    assert mebibytes(40_960) == "40.0 MiB"
    for unknown in (milliseconds(None), celsius(None), gigahertz(None), mebibytes(None)):
        assert unknown == "not readable"
    assert flag_words(frozenset({Flag.THROTTLED, Flag.CORE_LOST})) == "core lost, throttled"


def test_a_verdict_is_claimed_only_when_resolved():
    faster = sentence(comparison(0.97, 0.96, 0.98))
    assert faster.replace("\N{MINUS SIGN}", "-") == (
        "ours is faster than orig: latency -3.00 %, interval -4.00 % to -2.00 %"
    )
    open_ = sentence(comparison(0.99, 0.97, 1.01))
    assert "not resolved" in open_
    assert "faster" not in open_
    assert "slower than" in sentence(comparison(1.03, 1.02, 1.04))


def test_a_control_that_disagrees_with_itself_is_said():
    assert "as it must" in control_sentence(comparison(1.0, 0.99, 1.01), Pairing.TURNS)
    assert "do not believe" in control_sentence(comparison(1.03, 1.02, 1.04), Pairing.TURNS)


def test_a_control_without_an_interval_is_said():
    words = {pairing: control_sentence(None, pairing) for pairing in Pairing}
    for sentence_ in words.values():
        assert "ended before its A/A control had an interval" in sentence_
    assert "too few rounds" in words[Pairing.BLOCKS]
    assert "too few heats with a twin" in words[Pairing.TURNS]


def printed(table, width=200):
    output = io.StringIO()
    Console(file=output, width=width, force_terminal=True, color_system=None).print(table)
    return output.getvalue()


def test_the_console_tables_say_what_the_store_says(store, make):
    make.fill(store)
    result = read_result(store, "last")
    verdicts = printed(verdict_table([result]))
    (found,) = result.comparisons
    assert found.verdict is Verdict.FASTER
    for part in (change(found.ratio), change(found.low), change(found.high), "faster", "equal"):
        assert part in verdicts
    summary = printed(summary_table(result))
    for s in result.summaries:
        for part in (s.label, milliseconds(s.median_ns), milliseconds(s.mad_ns)):
            assert part in summary
    listed = printed(campaign_table(store.overview()))
    for part in (result.campaign.campaign_id, "50", "precision reached", result.device.model):
        assert part in listed
    operators = printed(operator_table(make.profile()))
    assert operators.index("Convolution") < operators.index("mean.out")
    assert "83.3%" in operators


def test_the_console_calls_heats_heats(store, make_heats):
    result = make_heats.fill(store)
    text = printed(verdict_table([result])) + printed(summary_table(result))
    text += printed(campaign_table(store.overview())) + "\n".join(verdict_lines(result))
    assert not re.search(r"\b(blocks?|rounds?)\b", text), text
    for part in ("heats", "in 9 heats", "disturbed heats", "11 heats", "first in a turn"):
        assert part in text
    assert re.search(r"first in a turn *│ *\+20\.\d %", text)


def test_the_console_names_rounds_and_heats_where_it_shows_both(store, make, make_heats):
    make.fill(store)
    heats = make_heats.fill(store, campaign_id="heats", disturbed=False)
    table = verdict_table([read_result(store, "2026"), heats])
    assert "rounds or heats" in [column.header.plain for column in table.columns]


def test_noise_that_a_file_was_calibrated_on_is_on_the_console_and_on_the_page(store, make):
    noisy = make.artifact("ours", precision="int8", calibration="SYNTHETIC NOISE")
    store.add_campaign(make.campaign(), make.device(), [make.artifact("orig"), noisy])
    for block in make.measured_blocks():
        store.add_block(block)
    result = read_result(store, "last")
    lines = verdict_lines(result)
    assert [line for line in lines if "calibrated" in line] == [
        f"{result.campaign.name}: ours was calibrated on SYNTHETIC NOISE"
    ]
    assert "int8 xnnpack, calibrated on SYNTHETIC NOISE" in report_page([result], ())


def test_the_console_shows_markup_and_escapes_as_text(store, make):
    name = "[bold red]x[/] [link=http://x]y[/link] \x1b]0;title\x07"
    device = make.device(model=name)
    campaign = make.campaign(name=name, device_id=device.device_id)
    store.add_campaign(campaign, device, [make.artifact("orig"), make.artifact("ours")])
    for block in make.measured_blocks(rounds=4):
        store.add_block(block)
    result = read_result(store, "last")
    text = printed(campaign_table(store.overview()), 400) + printed(summary_table(result), 400)
    assert "\x1b]0" not in text
    assert "\x07" not in text
    assert text.count(r"[bold red]x[/] [link=http://x]y[/link] \x1b]0;title\x07") == 4
