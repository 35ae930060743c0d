"""Numbers and verdicts in words: the same in the console and on the page."""

from __future__ import annotations

from collections.abc import Mapping

from android_bench.records import DeviceRecord, Flag, Pairing
from android_bench.report.escape import escape_controls
from android_bench.statistics.comparison import Comparison, Verdict

__all__ = [
    "celsius",
    "change",
    "control_sentence",
    "count_flags",
    "count_runs",
    "emulated_sentence",
    "flag_words",
    "gigahertz",
    "interval",
    "mebibytes",
    "milliseconds",
    "name_run",
    "name_unit",
    "sentence",
]

UNKNOWN = "not readable"

_RUNS = {Pairing.BLOCKS: "block", Pairing.TURNS: "heat"}
_UNITS = {Pairing.BLOCKS: "round", Pairing.TURNS: "heat"}


def name_run(pairing: Pairing) -> str:
    """Return what one call of the harness is: the word for one, to which an s makes many."""
    return _RUNS[pairing]


def count_runs(number: int, pairing: Pairing) -> str:
    """Return so many blocks or heats in words."""
    return f"{number} {name_run(pairing)}{'' if number == 1 else 's'}"


def name_unit(pairing: Pairing) -> str:
    """Return what the intervals rest on: the word for one, to which an s makes many."""
    return _UNITS[pairing]


def milliseconds(ns: float | None) -> str:
    """Return a duration in ms, or µs when short, with the digits that 0.1 % of it needs."""
    if ns is None:
        return UNKNOWN
    if 0 < ns < 1e5:
        return f"{ns / 1e3:.2f} µs"
    return f"{ns / 1e6:.3f} ms" if ns < 1e8 else f"{ns / 1e6:.1f} ms"


def celsius(mc: int | None) -> str:
    """Return a temperature in degrees Celsius."""
    return UNKNOWN if mc is None else f"{mc / 1000:.1f} °C"


def gigahertz(khz: float | None) -> str:
    """Return a frequency in GHz."""
    return UNKNOWN if khz is None else f"{khz / 1e6:.2f} GHz"


def mebibytes(kib: int | None) -> str:
    """Return an amount of memory in MiB."""
    return UNKNOWN if kib is None else f"{kib / 1024:.1f} MiB"


def change(ratio: float) -> str:
    """Return a latency ratio as a change, ``-2.6 %`` for 0.974, with a real minus sign."""
    percent = (ratio - 1) * 100
    digits = 1 if abs(percent) >= 9.95 else 2
    return f"{percent:+.{digits}f} %".replace("-", "\N{MINUS SIGN}")


def interval(comparison: Comparison) -> str:
    """Return a ratio's interval as changes."""
    return f"{change(comparison.low)} to {change(comparison.high)}"


def sentence(comparison: Comparison) -> str:
    """Return a verdict as one sentence."""
    label, baseline = escape_controls(comparison.label), escape_controls(comparison.baseline)
    if comparison.verdict is Verdict.NOT_RESOLVED:
        return (
            f"{label} against {baseline} is not resolved: latency "
            f"{change(comparison.ratio)}, interval {interval(comparison)}"
        )
    return (
        f"{label} is {comparison.verdict.value} than {baseline}: latency "
        f"{change(comparison.ratio)}, interval {interval(comparison)}"
    )


def control_sentence(control: Comparison | None, pairing: Pairing) -> str:
    """Return what the A/A control says about the device."""
    if control is None:
        few = {Pairing.BLOCKS: "rounds", Pairing.TURNS: "heats with a twin of the baseline"}
        return (
            "The campaign ended before its A/A control had an interval (too few "
            f"{few[pairing]}): nothing here says what this device cannot tell apart."
        )
    baseline = escape_controls(control.baseline)
    if control.verdict is Verdict.NOT_RESOLVED:
        return (
            f"The A/A control finds no difference between {baseline} and itself "
            f"({interval(control)}), as it must."
        )
    return (
        f"The A/A control finds {baseline} different from itself ({interval(control)}): do not "
        "believe this campaign; measure again on a quieter device."
    )


def emulated_sentence(device: DeviceRecord) -> str:
    """Return why there is no verdict on an emulated phone; nothing for a real device."""
    if not device.emulated:
        return ""
    return (
        f"no verdict: {escape_controls(device.model)} is emulated, so its times say how fast the "
        "emulator is and nothing about a phone; outputs are verified and the records are kept"
    )


def flag_words(flags: frozenset[Flag]) -> str:
    """Return what disturbed a block or a heat, in words."""
    return ", ".join(sorted(flag.value.replace("_", " ") for flag in flags))


def count_flags(counts: Mapping[Flag, int]) -> str:
    """Return what disturbed some pairs of turns, and how many of them, in words."""
    words = {flag_words(frozenset({flag})): count for flag, count in counts.items()}
    return ", ".join(f"{count} {word}" for word, count in sorted(words.items()))
