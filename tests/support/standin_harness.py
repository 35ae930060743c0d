"""A harness without an engine: speaks its protocol and fails as it is told, as a program or here.

The "model" is a JSON file: ``latency_ns`` and, by mode (``time``, ``verify``, ...), what happens
at the n-th call (``"2": "crash"``) or at each one (``"*": "crash"``). Calls are counted in a
folder ``calls`` beside that of the model; ``spread`` is the noise between processes.

`steps` is one run. The program below writes what it yields; `standin_launcher` gives it to the
host without starting a process. No sample is measured, so only a hang takes the program time.
"""

import itertools
import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path

MODES = ("--describe", "--time", "--verify", "--profile", "--memory", "--heat")
STATUS = {"done": 0, "mismatch": 1, "refused": 2, "environment": 3, "crashed": 4, "timeout": 5}
ENGINES = {"executorch": ("1.5.1+cpu", [".pte"]), "litert": ("2.3.0", [".tflite"])}
WARM_UP = 12  # inferences
BETWEEN_TURNS_NS = 20_000


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
    if mode == "describe":
        yield description(version)
        return 0
    kind = Heat if mode == "heat" else Run
    return (yield from kind(version, mode, values, pid, clock).steps())


def options_of(arguments):
    """Give the mode and the options; of the children of a heat, those of each in a list."""
    mode, values, children = "--time", {}, []
    here, rest = values, iter(arguments)
    for name in rest:
        if name in MODES:
            mode = name
        elif name == "--child":
            here = {}
            children.append(here)
        else:
            here.setdefault(name, next(rest))
    return mode.removeprefix("--"), values | ({"--child": children} if children else {})


def description(version):
    engines = [
        {"name": n, "version": v, "suffixes": s, "libraries": [], "unavailable": ""}
        for n, (v, s) in ENGINES.items()
    ]
    return line(
        "describe",
        protocol=protocol_of(version),
        version=version,
        target="host",
        compiler="none",
        machine="test",
        engines=engines,
    )


def protocol_of(version):
    return int(version.partition("+")[0])


def line(kind, **fields):
    return json.dumps({"type": kind, **fields}) + "\n"


class Network:
    """A model at one of its calls: how it behaves then, and how long its inferences take."""

    def __init__(self, path, mode, values):
        self.plan = json.loads(Path(path).read_text())
        self.latency_ns = self.plan["latency_ns"]
        count = called(path, mode)
        wanted = self.plan.get(mode, {})
        self.how = wanted.get(str(count), wanted.get("*", "well"))
        self.handicap_ppm = int(values.get("--handicap-ppm", 0))
        self._noise = random.Random(f"{self.latency_ns}/{count}")
        between = self._noise.lognormvariate(0, self.plan.get("spread", 0.003))
        self._centre = self.latency_ns * (1 + self.handicap_ppm / 1e6) * between

    def samples(self, number):
        return [int(self._centre * self._noise.lognormvariate(0, 0.01)) for _ in range(number)]


def called(model, mode):
    """Count a call and give its number, from 1."""
    counter = Path(model).parents[1] / "calls" / f"{Path(model).name}.{mode}"
    counter.parent.mkdir(exist_ok=True)
    count = int(counter.read_text()) + 1 if counter.exists() else 1
    counter.write_text(str(count))
    return count


class Run:
    """One variant in one process: a block, or one of the other passes."""

    def __init__(self, version, mode, values, pid, clock):
        self.version, self.mode, self.values = version, mode, values
        self.pid, self.clock = pid, clock

    def steps(self):
        network = self.network = Network(self.values["--model"], self.mode, self.values)
        yield self.hello(handicap_ppm=network.handicap_ppm)
        yield from self.opened(self.values)
        if self.mode != "time" and network.how != "well":
            return (yield from self.misbehave(network.how))
        yield from self.loaded(network)
        return (yield from getattr(self, self.mode)())

    # -- lines that several modes have ---------------------------------------------------------

    def hello(self, **fields):
        version = {"protocol": protocol_of(self.version), "version": self.version}
        now = self.clock.monotonic_ns()
        return line("hello", **version, mode=self.mode, pid=self.pid, at_ns=now, **fields)

    def opened(self, values, **child):
        yield line("opened", engine=values["--engine"], engine_version="1", open_ns=1_000, **child)

    def loaded(self, network, **child):
        yield line("loaded", load_ns=2_000_000, inputs=[], outputs=[], **child)
        yield network.latency_ns * 2 / 1e9
        yield line("first", first_inference_ns=network.latency_ns * 2, **child)

    def warmed(self, network, **child):
        elapsed_ns = WARM_UP * network.latency_ns
        yield elapsed_ns / 1e9
        yield line("warmed", inferences=WARM_UP, elapsed_ns=elapsed_ns, **child)

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

    def end(self, status, message="", *, signal=0, stage="time", **fields):
        facts = {"stage": stage, "message": message, "signal": signal, "samples": 0} | fields
        yield line("end", status=status, at_ns=self.clock.monotonic_ns(), **facts)
        return STATUS[status]

    # -- one for each mode ---------------------------------------------------------------------

    def verify(self):
        output = {"name": "scores", "relative_linf": 1e-6, "max_expected": 1.0, "not_finite": 0}
        facts = {"when": "before", "samples": 2, "limit": 1e-4, "passed": True}
        yield line("verified", **facts, outputs=[output])
        return (yield from self.end("done", stage="end"))

    def time(self):
        network = self.network
        yield from self.warmed(network)
        yield self.reading("before")
        samples = network.samples(int(self.values["--iterations"]))
        if network.how in ("die_late", "tear"):
            samples = samples[: len(samples) // 2]
        yield sum(samples) / 1e9
        yield line("samples", first=0, ns=samples, cpu=[0] * len(samples))
        if network.how not in ("well", "loaded"):
            return (yield from self.misbehave(network.how))
        yield self.reading("after", busy_ticks=80 if network.how == "loaded" else 0)
        yield line("memory", stage="end", vm_rss_kib=9_000, vm_hwm_kib=9_500)
        return (yield from self.end("done", stage="end", samples=len(samples)))

    def profile(self):
        operators = [{"name": "conv", "kind": "", "delegate": "XnnpackBackend", "ns": 900}]
        for inference in range(int(self.values["--iterations"])):
            yield line("operators", inference=inference, inference_ns=1_000, operators=operators)
        return (yield from self.end("done", stage="end"))

    def memory(self):
        for stage, kib in (("start", 1_000), ("loaded", 8_000), ("steady", 9_000)):
            yield line("memory", stage=stage, vm_rss_kib=kib, vm_hwm_kib=kib + 500)
        return (yield from self.end("done", stage="end"))

    # -- what goes wrong -----------------------------------------------------------------------

    def misbehave(self, how, **facts):
        if how in ("die", "die_late"):
            return -signal.SIGKILL
        if how == "tear":
            yield '{"type":"samples","first":'
            return -signal.SIGKILL
        if how == "hang":
            yield math.inf
        if how == "garbage":
            yield "I 00:00:00 executorch:cpuinfo.cpp: not a line of the protocol\n"
            return (yield from self.end("done", stage="end", **facts))
        if how == "crash":
            died = "the engine died of signal 11 (Segmentation fault)"
            return (yield from self.end("crashed", died, signal=11, **facts))
        if how == "no_backend":
            missing = "backend XnnpackBackend is not available"
            return (yield from self.end("environment", missing, stage="load", **facts))
        if how == "refuse":
            return (yield from self.end("refused", "the file is damaged", stage="load", **facts))
        assert how == "mismatch", how
        away = "output 0 'scores' is 0.5 of its maximum away"
        return (yield from self.end("mismatch", away, stage="verify", **facts))


class Heat(Run):
    """Several variants that take turns; a crash or a death comes when half of them are taken."""

    def steps(self):
        yield self.hello()
        children = self.values["--child"]
        networks = [Network(c["--model"], self.mode, c) for c in children]
        wrong = next((k for k, n in enumerate(networks) if n.how not in ("well", "loaded")), None)
        told = []  # all but the first line comes at the end
        for number, (values, network) in enumerate(zip(children, networks, strict=True)):
            told.append(self.hello(handicap_ppm=network.handicap_ppm, child=number))
            for step in self.prepared(values, network, number):
                if isinstance(step, str):
                    told.append(step)
                else:
                    yield step
        how = "well" if wrong is None else networks[wrong].how
        halved = how in ("crash", "die_late", "tear", "hang")
        turns, samples = [], []
        if wrong is None or halved:
            told.append(self.reading("before"))
            turns, samples = self.turns(networks)
            turns = turns[: len(turns) // 2] if halved else turns
            samples = samples[: len(turns)]
            yield (turns[-1][2] - turns[0][1]) / 1e9 if turns else 0.0
            told += [turns_line(turns, samples), samples_line(samples, self.cpu())]
        facts = {"turns": len(turns), "samples": sum(map(len, samples)), "memory_full": False}
        if wrong is not None:
            yield from told
            return (yield from self.misbehave(how, child=wrong, **facts))
        loaded = any(network.how == "loaded" for network in networks)
        yield from told
        yield self.reading("after", busy_ticks=80 if loaded else 0)
        for number in range(len(networks)):
            yield line("memory", stage="end", vm_rss_kib=9_000, vm_hwm_kib=9_500, child=number)
        return (yield from self.end("done", stage="end", child=None, **facts))

    def prepared(self, values, network, number):
        yield from self.opened(values, child=number)
        yield from self.loaded(network, child=number)
        yield from self.warmed(network, child=number)

    def cpu(self):
        """Give the first CPU that the processes may use."""
        mask = int(self.values.get("--cpu-mask", "1"), 16)
        return (mask & -mask).bit_length() - 1

    def turns(self, networks):
        """Give the turns as (child, begin, end), and the samples of each."""
        order = [int(child) for child in self.values["--order"].split(",")]
        bursts = [int(burst) for burst in self.values["--burst"].split(",")]
        bursts = bursts * len(networks) if len(bursts) == 1 else bursts
        least_ns = float(self.values["--heat-seconds"]) * 1e9
        turns, samples, begun = [], [], self.clock.monotonic_ns()
        now = begun
        while not turns or now - begun < least_ns:
            for child in order:
                inferences = networks[child].samples(bursts[child])
                turns.append((child, now, now + sum(inferences)))
                samples.append(inferences)
                now += sum(inferences) + BETWEEN_TURNS_NS
        return turns, samples


def turns_line(turns, samples):
    *firsts, _ = itertools.accumulate(map(len, samples), initial=0)
    child, begin, end = ([turn[column] for turn in turns] for column in range(3))
    columns = {"child": child, "first": firsts, "begin_ns": begin, "end_ns": end}
    return line("turns", turn=0, **columns, freq_khz=[-1] * len(turns))


def samples_line(samples, cpu):
    durations = [ns for inferences in samples for ns in inferences]
    return line("samples", first=0, ns=durations, cpu=[cpu] * len(durations))


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
