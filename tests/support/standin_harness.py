"""A harness without an engine: speaks its protocol and fails as it is told, as a program or here.

The "model" is a JSON file: ``latency_ns`` and, by mode (``time``, ``verify``, ...), what happens
at the n-th call (``"2": "crash"``) or at each one (``"*": "crash"``). Calls are counted in a
folder ``calls`` beside that of the model; ``spread`` is the noise between processes.

`steps` is one run. The program below writes what it yields; `standin_launcher` gives it to the
host without starting a process. No sample is measured, so only a hang takes the program time.
"""

import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path

MODES = ("--describe", "--time", "--verify", "--profile", "--memory")
STATUS = {"done": 0, "mismatch": 1, "refused": 2, "environment": 3, "crashed": 4, "timeout": 5}
ENGINES = {"executorch": ("1.5.1+cpu", [".pte"]), "litert": ("2.3.0", [".tflite"])}
WARM_UP = 12  # inferences


def steps(arguments, *, pid, clock):
    """Run the stand-in once, as a generator.

    Args:
        arguments: The version it says it is, then the harness's options.
        pid: The process's number.
        clock: Tells the time: ``monotonic_ns``.

    Yields:
        What it writes, a line or a part of one; or the seconds that pass, endless for a hang.

    Returns:
        Its exit status, negative for the signal it dies of.
    """
    version, *rest = arguments
    mode, values = options_of(rest)
    return (yield from Run(version, mode, values, pid, clock).steps())


def options_of(arguments):
    mode, values = "--time", {}
    rest = iter(arguments)
    for name in rest:
        if name in MODES:
            mode = name
        else:
            values.setdefault(name, next(rest))
    return mode.removeprefix("--"), values


def protocol_of(version):
    return int(version.partition("+")[0])


class Run:
    def __init__(self, version, mode, values, pid, clock):
        self.version, self.mode, self.values = version, mode, values
        self.pid, self.clock = pid, clock

    def steps(self):
        if self.mode == "describe":
            yield self.description()
            return 0
        self.plan = json.loads(Path(self.values["--model"]).read_text())
        self.count = called(self.values["--model"], self.mode)
        wanted = self.plan.get(self.mode, {})
        self.how = wanted.get(str(self.count), wanted.get("*", "well"))
        yield line(
            "hello",
            protocol=protocol_of(self.version),
            version=self.version,
            mode=self.mode,
            pid=self.pid,
            handicap_ppm=int(self.values.get("--handicap-ppm", 0)),
            at_ns=self.clock.monotonic_ns(),
        )
        yield line("opened", engine=self.values["--engine"], engine_version="1", open_ns=1_000)
        if self.mode != "time" and self.how != "well":
            return (yield from self.misbehave())
        yield line("loaded", load_ns=2_000_000, inputs=[], outputs=[])
        yield self.plan["latency_ns"] * 2 / 1e9
        yield line("first", first_inference_ns=self.plan["latency_ns"] * 2)
        return (yield from getattr(self, self.mode)())

    def description(self):
        engines = [
            {"name": n, "version": v, "suffixes": s, "libraries": [], "unavailable": ""}
            for n, (v, s) in ENGINES.items()
        ]
        return line(
            "describe",
            protocol=protocol_of(self.version),
            version=self.version,
            target="host",
            compiler="none",
            machine="test",
            engines=engines,
        )

    # -- one for each mode ---------------------------------------------------------------------

    def verify(self):
        output = {"name": "scores", "relative_linf": 1e-6, "max_expected": 1.0, "not_finite": 0}
        facts = {"when": "before", "samples": 2, "limit": 1e-4, "passed": True}
        yield line("verified", **facts, outputs=[output])
        return (yield from self.end("done", stage="end"))

    def time(self):
        samples = self.samples()
        yield WARM_UP * samples[0] / 1e9
        yield line("warmed", inferences=WARM_UP, elapsed_ns=WARM_UP * samples[0])
        yield self.reading("before")
        if self.how in ("die_late", "tear"):
            samples = samples[: len(samples) // 2]
        yield sum(samples) / 1e9
        yield line("samples", first=0, ns=samples, cpu=[0] * len(samples))
        if self.how not in ("well", "loaded"):
            return (yield from self.misbehave())
        yield self.reading("after", busy_ticks=80 if self.how == "loaded" else 0)
        yield line("memory", stage="end", vm_rss_kib=9_000, vm_hwm_kib=9_500)
        return (yield from self.end("done", stage="end", samples=len(samples)))

    def samples(self):
        handicap = 1 + int(self.values["--handicap-ppm"]) / 1e6
        noise = random.Random(f"{self.plan['latency_ns']}/{self.count}")
        between = noise.lognormvariate(0, self.plan.get("spread", 0.003))
        centre = self.plan["latency_ns"] * handicap * between
        number = int(self.values["--iterations"])
        return [int(centre * noise.lognormvariate(0, 0.01)) for _ in range(number)]

    def profile(self):
        operators = [{"name": "conv", "kind": "", "delegate": "XnnpackBackend", "ns": 900}]
        for inference in range(int(self.values["--iterations"])):
            yield line("operators", inference=inference, inference_ns=1_000, operators=operators)
        return (yield from self.end("done", stage="end"))

    def memory(self):
        for stage, kib in (("start", 1_000), ("loaded", 8_000), ("steady", 9_000)):
            yield line("memory", stage=stage, vm_rss_kib=kib, vm_hwm_kib=kib + 500)
        return (yield from self.end("done", stage="end"))

    # -- what goes wrong, and how it ends ------------------------------------------------------

    def misbehave(self):
        if self.how in ("die", "die_late"):
            return -signal.SIGKILL
        if self.how == "tear":
            yield '{"type":"samples","first":'
            return -signal.SIGKILL
        if self.how == "hang":
            yield math.inf
        if self.how == "garbage":
            yield "I 00:00:00 executorch:cpuinfo.cpp: not a line of the protocol\n"
            return (yield from self.end("done", stage="end"))
        if self.how == "crash":
            died = "the engine died of signal 11 (Segmentation fault)"
            return (yield from self.end("crashed", died, signal=11))
        if self.how == "no_backend":
            missing = "backend XnnpackBackend is not available"
            return (yield from self.end("environment", missing, stage="load"))
        if self.how == "refuse":
            return (yield from self.end("refused", "the file is damaged", stage="load"))
        assert self.how == "mismatch", self.how
        away = "output 0 'scores' is 0.5 of its maximum away"
        return (yield from self.end("mismatch", away, stage="verify"))

    def end(self, status, message="", *, signal=0, stage="time", samples=0):
        facts = {"stage": stage, "message": message, "signal": signal, "samples": samples}
        yield line("end", status=status, **facts, at_ns=self.clock.monotonic_ns())
        return STATUS[status]

    def reading(self, edge, busy_ticks=0):
        now, base = self.clock.monotonic_ns(), 1_000
        ticks = [base + busy_ticks, 0, 0, base * 10, 0, 0, 0, 0]
        if edge == "after":
            ticks[3] += 100 - busy_ticks
        return line(
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


def line(kind, **fields):
    return json.dumps({"type": kind, **fields}) + "\n"


def called(model, mode):
    counter = Path(model).parents[1] / "calls" / f"{Path(model).name}.{mode}"
    counter.parent.mkdir(exist_ok=True)
    count = int(counter.read_text()) + 1 if counter.exists() else 1
    counter.write_text(str(count))
    return count


def main():
    run = steps(sys.argv[1:], pid=os.getpid(), clock=time)
    try:
        while True:
            step = next(run)
            if isinstance(step, str):
                sys.stdout.write(step)
                sys.stdout.flush()
            elif step == math.inf:
                signal.pause()
    except StopIteration as end:
        status = end.value
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
