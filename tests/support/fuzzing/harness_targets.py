"""What the harness prints: the lines of a run, and what it is."""

import json

from android_bench.harness.client import describe
from android_bench.harness.heat_lines import HeatReader, HeatResult
from android_bench.harness.lines import LineReader
from android_bench.harness.process import Exit
from android_bench.native_build.build import PROTOCOL, source_version
from fuzzing import Input, target

_VERSION = source_version()


def _line(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields}) + "\n"


def _reading(edge: str, at_ns: int) -> str:
    return _line(
        "reading",
        edge=edge,
        at_ns=at_ns,
        boottime_ns=at_ns + 5,
        cpu=1,
        online_cpus=[0, 1],
        freq_khz=[[0, 1_800_000], [1, None]],
        freq_cap_khz=[[0, 2_000_000], [1, None]],
        temp_mc=[["cpu", 41_000], ["cpu", None]],
        load_1min=0.25,
        cpu_ticks=[100, 0, 10, at_ns // 10**7, 0, 0, 0, 1],
        ticks_per_second=100,
        own_cpu_ns=at_ns // 3,
    )


_TENSOR = {"name": "x", "dtype": "float32", "shape": [1, 3, 32, 32], "size_bytes": 12_288}
_OUTPUT = {"name": "y", "relative_linf": 1e-6, "max_expected": 3.5, "not_finite": 0}
_OPERATOR = {"name": "conv", "kind": "Conv2d", "delegate": "XnnpackBackend", "ns": 900}
_BEGIN = (
    _line(
        "hello",
        protocol=PROTOCOL,
        version=_VERSION,
        mode="time",
        pid=1,
        handicap_ppm=0,
        at_ns=1_000,
    )
    + _line("opened", engine="executorch", engine_version="1", open_ns=1_000)
    + _line("loaded", load_ns=2_000, inputs=[_TENSOR], outputs=[_TENSOR])
    + _line("first", first_inference_ns=3_000)
    + _line("verified", when="before", samples=1, limit=1e-4, passed=True, outputs=[_OUTPUT])
    + _line("threads", requested=1, tasks=[{"tid": 7, "name": "pfd", "cpus_allowed": "f0"}])
    + _line("warmed", inferences=10)
)
_END = _line(
    "end", status="done", stage="end", message="", signal=0, samples=3, at_ns=9_000_000_000
)
_BLOCK = (
    _BEGIN
    + _reading("before", 2_000_000_000)
    + _line("samples", first=0, ns=[1_000, 1_010, 990], cpu=[1, 1, 1])
    + _reading("after", 8_000_000_000)
    + _line("memory", stage="end", vm_rss_kib=9_000, vm_hwm_kib=9_500)
    + _END
)
_PASSES = _BEGIN + 2 * _line("operators", inference=0, inference_ns=9, operators=[_OPERATOR]) + _END


@target("harness-lines", _BLOCK, _PASSES, _BLOCK[-900:], _line("end"))
def check_lines(given: Input) -> None:
    reader = LineReader(_VERSION)
    status = (0, 5, -11, None)[len(given.cuts) % 4]
    for line in given.text.split("\n"):
        reader.feed(line)
    reader.result(Exit(status=status, stderr=given.text[-8_000:]))


def _child(number: int) -> str:
    lines = (json.loads(line) for line in _BEGIN.splitlines())
    return "".join(_line(line.pop("type"), **line, child=number) for line in lines)


_HEAT = (
    _line("hello", protocol=PROTOCOL, version=_VERSION, mode="heat", pid=1, at_ns=1_000)
    + _child(0)
    + _child(1)
    + _reading("before", 2_000_000_000)
    + _line(
        "turns",
        turn=0,
        child=[0, 1],
        first=[0, 2],
        begin_ns=[2_000_000_000, 2_000_100_000],
        end_ns=[2_000_090_000, 2_000_190_000],
        freq_khz=[-1, -1],
    )
    + _line("samples", first=0, ns=[40_000, 41_000, 40_500, 40_200], cpu=[1, 1, 1, 1])
    + _reading("after", 8_000_000_000)
    + _line("memory", stage="end", vm_rss_kib=9_000, vm_hwm_kib=9_500, child=0)
    + _line("memory", stage="end", vm_rss_kib=9_000, vm_hwm_kib=9_500, child=1)
    + _line(
        "end",
        status="done",
        stage="end",
        message="",
        signal=0,
        child=None,
        turns=2,
        samples=4,
        memory_full=False,
        at_ns=9_000_000_000,
    )
)


def read_heat(text: str, status: int | None) -> HeatResult:
    """Read what a supervisor of two children wrote."""
    reader = HeatReader(_VERSION, ("orig", "ours"), bursts=(2, 2), order=(0, 1))
    for line in text.split("\n"):
        reader.feed(line)
    return reader.result(Exit(status=status, stderr=text[-8_000:]))


@target("harness-heats", _HEAT, _HEAT[-700:])
def check_heat_lines(given: Input) -> None:
    read_heat(given.text, (0, 5, -11, None)[len(given.cuts) % 4])


_ENGINE = {
    "name": "litert",
    "version": "2",
    "suffixes": [".tflite"],
    "libraries": [],
    "unavailable": "",
}
_DESCRIPTION = _line(
    "describe",
    protocol=PROTOCOL,
    version=_VERSION,
    target="host",
    compiler="g++ 14",
    machine="x86_64",
    engines=[_ENGINE],
)


@target("harness-describe", _DESCRIPTION, _DESCRIPTION.replace('"target": "host", ', ""))
def check_describe(given: Input) -> None:
    def launch(command, *, timeout_s, on_line, quiet_s=0.0):
        for line in given.text.split("\n"):
            on_line(line)
        return Exit(status=len(given.cuts), stderr=given.text[-200:])

    described = describe(["pfd_bench"], launch=launch)
    for name in ("litert", given.text[:20]):
        described.engine(name)
