"""The lines of a heat, also when they are cut off, contradict each other or are made to do harm."""

import json

import pytest

from android_bench.harness.client import EngineInfo, Harness
from android_bench.harness.heat import HeatSchedule, run_heat
from android_bench.harness.heat_lines import HeatReader
from android_bench.harness.job import Job
from android_bench.harness.process import Exit
from android_bench.harness.wire import Status
from pfd_models.errors import DeviceError, InputError

ENDED = Exit(status=0, stderr="")
KILLED = Exit(status=-9, stderr="")
READING = {
    "type": "reading",
    "boottime_ns": 5,
    "cpu": 0,
    "online_cpus": [0],
    "freq_khz": [],
    "freq_cap_khz": [],
    "temp_mc": [],
    "load_1min": None,
    "cpu_ticks": [],
    "ticks_per_second": 100,
    "own_cpu_ns": 0,
}
HELLO = {"type": "hello", "version": "2+x", "at_ns": 1}


def turns(number, *, child=(0, 1, 1, 0), turn=0, burst=2, **changes):
    """A line of `number` turns of 10 ns, 2 ns apart."""
    at = range(turn, turn + number)
    columns = {
        "child": [child[i % len(child)] for i in at],
        "first": [burst * i for i in at],
        "begin_ns": [100 + 12 * i for i in at],
        "end_ns": [110 + 12 * i for i in at],
        "freq_khz": [-1] * number,
    }
    return {"type": "turns", "turn": turn, **columns, **changes}


def samples(number, first=0):
    return {"type": "samples", "first": first, "ns": [4] * number, "cpu": [0] * number}


def end(**changes):
    fields = {"status": "done", "stage": "end", "message": "", "signal": 0, "at_ns": 900}
    return {"type": "end", **fields, "child": None, **changes}


def whole(number=8):
    return [
        HELLO,
        HELLO | {"child": 0, "handicap_ppm": 0},
        {"type": "loaded", "child": 0, "load_ns": 70},
        HELLO | {"child": 1, "handicap_ppm": 30},
        {"type": "loaded", "child": 1, "load_ns": 80},
        READING | {"edge": "before", "at_ns": 50},
        READING | {"edge": "after", "at_ns": 800},
        turns(number),
        samples(2 * number),
        end(),
    ]


def read(lines, ended=ENDED, **changes):
    kept = {"bursts": (2, 2), "order": (0, 1, 1, 0), "labels": ("orig", "ours")} | changes
    reader = HeatReader("2+x", kept.pop("labels"), **kept)
    for line in lines:
        reader.feed(line if isinstance(line, str) else json.dumps(line))
    return reader.result(ended)


def test_a_whole_heat_is_read_as_it_was_told():
    heat = read(whole())
    assert heat.status is Status.DONE
    assert heat.turns.children == ("orig", "ours")
    assert heat.turns.turn_child.tolist() == [0, 1, 1, 0] * 2
    assert heat.turns.turn_first.tolist() == list(range(0, 18, 2))
    assert heat.turns.turn_begin_ns[1] - heat.turns.turn_end_ns[0] == 2
    assert heat.turns.samples_ns.tolist() == [4] * 16
    kinds = {name: getattr(heat.turns, name).dtype.name for name in heat.turns.__slots__[1:]}
    assert kinds == {
        "turn_child": "int16",
        "turn_first": "int64",
        "turn_begin_ns": "int64",
        "turn_end_ns": "int64",
        "turn_freq_khz": "int32",
        "samples_ns": "int64",
        "cpus": "int16",
    }
    assert (heat.before.at_ns, heat.after.at_ns) == (50, 800)
    assert [child.run.load_ns for child in heat.children] == [70, 80]
    assert [child.run.handicap_ppm for child in heat.children] == [0, 30]
    assert not heat.flags()


def test_turns_and_samples_in_several_lines_are_joined():
    lines = whole()
    lines[-3:-1] = [turns(3), turns(5, turn=3), samples(7), samples(9, first=7)]
    assert read(lines).turns.samples_ns.tolist() == read(whole()).turns.samples_ns.tolist()


@pytest.mark.parametrize("kept", range(10))
def test_a_heat_cut_off_anywhere_keeps_its_whole_turns(kept):
    lines = whole()
    torn = json.dumps(lines[kept])[:-5]
    heat = read([*lines[:kept], torn], KILLED)
    assert heat.status is Status.LOST
    assert len(heat.turns.turn_child) == (8 if kept > 8 else 0)


def test_samples_of_a_turn_that_is_not_whole_are_left_out():
    heat = read([*whole()[:-2], samples(5)], KILLED)
    assert heat.turns.turn_child.tolist() == [0, 1]
    assert heat.turns.turn_first.tolist() == [0, 2, 4]
    assert len(heat.turns.samples_ns) == len(heat.turns.cpus) == 4


def test_a_line_that_is_no_json_is_an_error_unless_it_is_the_last():
    with pytest.raises(DeviceError, match=r"line 'garbage' is not valid JSON"):
        read([HELLO, "garbage", end()])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (turns(4, child=(0, 0, 1, 1)), "turn 1 of child 0, and it was that of child 1"),
        (turns(4, turn=1), "turns from 1 on, and 0 are here"),
        (turns(4, first=[0, 2, 4, 5]), "turns from 0 on"),
        (turns(4, end_ns=[110, 122, 134]), "turns from 0 on"),
        (turns(4, end_ns=[110, 122, 140, 146]), "turns that overlap"),
        (turns(4, end_ns=[110, 122, 111, 146]), "turns that overlap"),
        (turns(4, freq_khz=[-2] * 4), "'turns' line cannot be read"),
        (turns(4, child=(64,)), "'turns' line cannot be read"),
        (turns(4, begin_ns=[2**63] * 4), "'turns' line cannot be read"),
        ({"type": "turns"}, "'turns' line lacks the field 'turn'"),
        ({"type": "loaded", "child": 2, "load_ns": 7}, "child 2, and there are 2"),
        ({"type": "loaded", "child": "x", "load_ns": 7}, "a child's number cannot be read"),
        (end(child=2), "child 2, and there are 2"),
        (end(status="happy"), "'end' line cannot be read"),
    ],
)
def test_a_heat_that_contradicts_itself_is_refused(line, words):
    with pytest.raises(DeviceError, match=words):
        read([HELLO, line, samples(8)] if line["type"] == "turns" else [HELLO, line])


def test_samples_that_belong_to_no_turn_are_refused():
    with pytest.raises(DeviceError, match="more samples than 4 turns have"):
        read([HELLO, turns(4), samples(9)])
    with pytest.raises(DeviceError, match="samples from 3 on, and 2 are here"):
        read([HELLO, turns(4), samples(2), samples(2, first=3)])


def test_no_device_fills_the_hosts_memory():
    with pytest.raises(DeviceError, match="more than 20000000 samples"):
        read([HELLO, turns(4, burst=10**7)], bursts=(10**7, 10**7))
    with pytest.raises(DeviceError, match="a line of 5000008 characters"):
        read([HELLO, json.dumps("x" * 5_000_006)])


def test_unknown_kinds_and_fields_are_passed_over():
    lines = whole()
    lines[3:3] = [{"type": "weather", "wind": 4}, {"type": "weather", "child": 1}]
    lines[-1] = end(mood="good")
    assert read(lines).status is Status.DONE


# -- what is asked for --------------------------------------------------------------------------


def ask(jobs=2, schedule=None, *, labels=("orig", "ours"), order=(0, 1), **changes):
    def launch(command, *, timeout_s, on_line, quiet_s=0.0):
        raise AssertionError("nothing may run")

    engine = EngineInfo(name="e", version="1", suffixes=(".e",), libraries=(), unavailable="")
    harness = Harness(
        command=("x",), launch=launch, version="2+x", target="", machine="", engines=(engine,)
    )
    files = [Job(model=f"{number}.e", engine="e") for number in range(jobs)]
    return run_heat(
        harness, files, schedule or HeatSchedule(burst=3), labels=labels, order=order, **changes
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": ("orig",)}, "2 children has 1 labels"),
        ({"handicaps_ppm": (1, 2, 3)}, "and 3 handicaps"),
        ({"order": (0, 0)}, r"the order \(0, 0\) of a heat of 2 children is wrong"),
        ({"order": (0, 1, 2)}, "give the numbers 0 to 1"),
        ({"order": ()}, "each at least once"),
        ({"jobs": 0, "labels": ()}, "no children"),
    ],
)
def test_children_that_do_not_fit_together_are_refused_before_anything_runs(changes, words):
    with pytest.raises(InputError, match=words):
        ask(**changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [("burst", 0), ("seconds", float("nan")), ("seconds", -1.0), ("turn_timeout_seconds", 0.0)],
)
def test_an_impossible_heat_is_refused_before_anything_runs(field, value):
    with pytest.raises(InputError, match=f"{field} of a heat is {value}"):
        HeatSchedule(**({"burst": 3} | {field: value}))
