"""A program that speaks the harness's protocol without an engine, and fails as it is told.

The "model" is a JSON file: ``latency_ns`` and, by mode (``time``, ``verify``, ...), what happens
at the n-th call (``"2": "crash"``) or at each one (``"*": "crash"``). Calls are counted in a
folder ``calls`` beside that of the model; ``spread`` is the noise between processes.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

MODES = ("--describe", "--time", "--verify", "--profile", "--memory")
STATUS = {"done": 0, "mismatch": 1, "refused": 2, "environment": 3, "crashed": 4, "timeout": 5}
ENGINES = {"executorch": ("1.5.1+cpu", [".pte"]), "litert": ("2.3.0", [".tflite"])}


def say(kind, **fields):
    sys.stdout.write(json.dumps({"type": kind, **fields}) + "\n")
    sys.stdout.flush()


def options_of(arguments):
    mode, values = "--time", {}
    rest = iter(arguments)
    for name in rest:
        if name in MODES:
            mode = name
        else:
            values.setdefault(name, next(rest))
    return mode.removeprefix("--"), values


def describe(version):
    engines = [
        {"name": n, "version": v, "suffixes": s, "libraries": [], "unavailable": ""}
        for n, (v, s) in ENGINES.items()
    ]
    say(
        "describe",
        protocol=1,
        version=version,
        target="host",
        compiler="none",
        machine="test",
        engines=engines,
    )


def called(model, mode):
    counter = Path(model).parents[1] / "calls" / f"{Path(model).name}.{mode}"
    counter.parent.mkdir(exist_ok=True)
    count = int(counter.read_text()) + 1 if counter.exists() else 1
    counter.write_text(str(count))
    return count


def reading(edge, busy_ticks=0):
    now, base = time.monotonic_ns(), 1_000
    ticks = [base + busy_ticks, 0, 0, base * 10, 0, 0, 0, 0]
    if edge == "after":
        ticks[3] += 100 - busy_ticks
    say(
        "reading",
        edge=edge,
        at_ns=now,
        boottime_ns=now,
        cpu=0,
        online_cpus=[0, 1],
        freq_khz=[[0, None], [1, None]],
        freq_cap_khz=[[0, None], [1, None]],
        temp_mc=[],
        load_1min=0.0,
        cpu_ticks=ticks,
        ticks_per_second=100,
        own_cpu_ns=0,
    )


def end(status, message="", signal_number=0, stage="time", samples=0):
    say(
        "end",
        status=status,
        stage=stage,
        message=message,
        signal=signal_number,
        samples=samples,
        at_ns=time.monotonic_ns(),
    )
    sys.exit(STATUS[status])


def misbehave(how):
    if how == "crash":
        end("crashed", "the engine died of signal 11 (Segmentation fault)", 11)
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hang":
        time.sleep(600)
    if how == "garbage":
        sys.stdout.write("I 00:00:00 executorch:cpuinfo.cpp: not a line of the protocol\n")
    if how == "no_backend":
        end("environment", "backend XnnpackBackend is not available", stage="load")
    if how == "refuse":
        end("refused", "the file is damaged", stage="load")
    if how == "mismatch":
        end("mismatch", "output 0 'scores' is 0.5 of its maximum away", stage="verify")


def time_block(plan, how, count, values):
    handicap_ppm = int(values["--handicap-ppm"])
    noise = random.Random(f"{plan['latency_ns']}/{count}")
    centre = (
        plan["latency_ns"]
        * (1 + handicap_ppm / 1e6)
        * noise.lognormvariate(0, plan.get("spread", 0.003))
    )
    number = int(values["--iterations"])
    samples = [int(centre * noise.lognormvariate(0, 0.01)) for _ in range(number)]
    say("warmed", inferences=12, elapsed_ns=1_000_000)
    reading("before")
    if how == "die_late":
        samples = samples[: number // 2]
    say("samples", first=0, ns=samples, cpu=[0] * len(samples))
    misbehave("die" if how == "die_late" else how)
    reading("after", busy_ticks=80 if how == "loaded" else 0)
    say("memory", stage="end", vm_rss_kib=9_000, vm_hwm_kib=9_500)
    return len(samples)


def main():
    version, *arguments = sys.argv[1:]
    mode, values = options_of(arguments)
    if mode == "describe":
        describe(version)
        return
    plan = json.loads(Path(values["--model"]).read_text())
    count = called(values["--model"], mode)
    wanted = plan.get(mode, {})
    how = wanted.get(str(count), wanted.get("*", "well"))
    handicap_ppm = int(values.get("--handicap-ppm", 0))
    now = time.monotonic_ns()
    say(
        "hello", protocol=1, version=version, mode=mode, pid=1, handicap_ppm=handicap_ppm, at_ns=now
    )
    say("opened", engine=values["--engine"], engine_version="1", open_ns=1_000)
    if mode != "time":
        misbehave(how)
    say("loaded", load_ns=2_000_000, inputs=[], outputs=[])
    say("first", first_inference_ns=plan["latency_ns"] * 2)
    samples = 0
    if mode == "verify":
        outputs = [{"name": "scores", "relative_linf": 1e-6, "max_expected": 1.0, "not_finite": 0}]
        say("verified", when="before", samples=2, limit=1e-4, passed=True, outputs=outputs)
    elif mode == "time":
        samples = time_block(plan, how, count, values)
    elif mode == "profile":
        operators = [{"name": "conv", "kind": "", "delegate": "XnnpackBackend", "ns": 900}]
        for inference in range(int(values["--iterations"])):
            say("operators", inference=inference, inference_ns=1_000, operators=operators)
    elif mode == "memory":
        for stage, kib in (("start", 1_000), ("loaded", 8_000), ("steady", 9_000)):
            say("memory", stage=stage, vm_rss_kib=kib, vm_hwm_kib=kib + 500)
    end("done", stage="end", samples=samples)


main()
