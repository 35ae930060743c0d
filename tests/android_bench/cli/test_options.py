"""The command line: what is written on it is read or refused, never half understood."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.campaign import qualify
from android_bench.campaign.series_plan import choose_pairing
from android_bench.cli.main import VERBS
from android_bench.cli.options import (
    parse,
    read_artifact_choice,
    read_device_choice,
    read_series_options,
)
from android_bench.records import Pairing, Rules
from pfd_models.errors import SpecError

LINES = {name: verb.__doc__ for name, verb in VERBS.items()}


def read(*arguments):
    return parse(list(arguments), LINES)


def test_defaults_are_those_of_the_bench_in_python():
    how, rules = read_series_options(read("run")), Rules()
    assert (how.precision, how.pairing) == (0.005, None)
    assert choose_pairing(1, cpu_mask=0) is Pairing.TURNS
    assert choose_pairing(2, cpu_mask=0b11) is Pairing.TURNS
    assert choose_pairing(2, cpu_mask=0) is Pairing.BLOCKS
    assert read_series_options(read("run", "--pairing", "blocks")).pairing is Pairing.BLOCKS
    assert how.budget_seconds == rules.budget_seconds
    how = read_series_options(read("qualify"))
    assert (how.precision, how.budget_seconds) == (qualify.PRECISION, qualify.BUDGET_SECONDS)
    assert read("qualify").handicaps == qualify.HANDICAPS


@pytest.mark.parametrize(
    ("text", "seconds"), [("120", 120.0), ("90s", 90.0), ("5m", 300.0), ("5min", 300.0)]
)
def test_times_have_units(text, seconds):
    assert read("--budget", text).budget == seconds


@pytest.mark.parametrize("text", ["3%", "0.03", "3.0 %"])
def test_shares_are_percents_or_fractions(text):
    assert read("--half-width", text).half_width == pytest.approx(0.03)


def test_precisions_of_each_variant_are_built_and_measured_the_baseline_first():
    choice = read_artifact_choice(
        read(
            *("--model", "shufflenetv2", "--precision", "fp32,fp16,int8"),
            *("--calibration", "synthetic", "--calibration-samples", "8"),
        )
    )
    choice.require_one()
    wanted = [(r.source.variant, r.precision, r.calibration) for r in choice.requests]
    noise = choice.calibration
    assert (noise.kind, noise.count) == ("synthetic", 8)
    assert wanted == [
        *(("orig", "fp32", None), ("orig", "fp16", noise), ("orig", "int8", noise)),
        *(("ours", "fp32", None), ("ours", "fp16", noise), ("ours", "int8", noise)),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--model", "x", "--precision", "int8"), "precision int8 needs --calibration"),
        (("--model", "x", "--calibration", "synthetic"), "goes with --precision int8 or fp16"),
        (("--artifacts", "a.pte", "--precision", "fp16"), "name the files of each precision"),
        (("--artifacts", "a.pte", "--calibration", "synthetic"), "name the files of each"),
    ],
)
def test_precisions_that_cannot_be_built_are_refused_before_anything_is(arguments, says):
    with pytest.raises(SpecError, match=says):
        read_artifact_choice(read(*arguments)).require_one()


def test_what_holds_the_device_goes_to_device_and_rules():
    options = read("--governor", "fixed:1200000", "--start-temperature", "45", "--serial", "a,b")
    devices = read_device_choice(options)
    assert (devices.governor, devices.find_serials()) == ("fixed:1200000", ["a", "b"])
    assert read_series_options(options).start_temperature_mc == 45_000
    assert read("--start-temperature", "41.5°C").start_temperature == 41_500


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--budget", "nan"), "no time"),
        (("--budget", "inf"), "no time"),
        (("--budget", "-5"), "no time"),
        (("--budget=--",), "expected a value"),
        (("--budget", "1e999"), "no time"),
        (("--budget", ""), "no time"),
        (("--half-width", "nan"), "no share"),
        (("--half-width", "%"), "no share"),
        (("--precision", "0.7%"), "'0.7%' is a share: give --half-width 0.7%; this option names"),
        (("--precision", "fp32,half"), "unknown precision 'half'"),
        (("--precision", "int8,int8"), "no list of different names"),
        (("--calibration-samples", "0"), "is not 1 or more"),
        (("--seed", "99999999999999999999"), "no whole number"),
        (("--seed", "9223372036854775808"), "no whole number"),
        (("--seed", "9" * 9999), "no whole number"),
        (("--seed", "1.5"), "no whole number"),
        (("--seed", "\N{SUPERSCRIPT TWO}"), "no whole number"),
        (("--threads", "1,1"), "no list of different names"),
        (("--threads", "99999999999"), "no whole number"),
        (("--resolution", "0"), "is not 1 or more"),
        (("--start-temperature", "warm"), "no temperature"),
        (("--start-temperature", "nan"), "no temperature"),
        (("--start-temperature", "4500"), "no temperature"),
        (("--governor", "ondemand"), "no governor"),
        (("--governor", "fixed:"), "no governor"),
        (("--governor", "fixed:1.2GHz"), "no governor"),
        (("--store", ""), "it is empty"),
        (("--model", ","), "no list of different names"),
        (("--serial", "a", "--all"), "not allowed with"),
        (("show",), "required: CAMPAIGN"),
        (("import",), "required: --litert-leaderboard"),
        (("qualify", "--handicaps", "1%,x"), "no share"),
        (("--json",), "expected one argument"),
        (("\x1b[31m",), r"\x1b[31m"),
    ],
)
def test_what_cannot_be_understood_is_one_line_and_status_2(capsys, arguments, says):
    with pytest.raises(SystemExit) as stop:
        read(*arguments)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert len(err) < 2_100
    assert says in err


VALUES = st.one_of(
    st.text(max_size=40),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["1" * 5000, "auto", "3%", "0-9999999999", "a,b", "\ud800", "\0", "--", "-1"]),
)
OPTIONS = (
    *("--model", "--variant", "--dataset", "--resolution", "--weights", "--out", "--runtime"),
    *("--artifacts", "--threads", "--cores", "--half-width", "--budget", "--seed", "--json"),
    *("--start-temperature", "--governor", "--serial", "--device", "--target", "--store"),
    *("--resume", "--fail-if-slower"),
)


@given(st.lists(st.tuples(st.sampled_from(OPTIONS), VALUES), max_size=4))
def test_any_line_is_read_or_refused(pairs):
    try:
        options = read("run", *(f"{name}={value}" for name, value in pairs))
    except SystemExit as stop:
        status = stop.code
    else:
        status = 0
        check_values(options)
    assert status in (0, 2)


def check_values(options):
    how = read_series_options(options)
    read_artifact_choice(options)
    read_device_choice(options)
    assert 0 <= how.precision < 1
    assert math.isfinite(how.budget_seconds)
    assert how.seed is None or 0 <= how.seed < 2**63
    assert all(1 <= threads <= 100_000 for threads in how.threads)
