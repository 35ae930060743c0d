"""What is written as protobuf, read by the official compiler and the official bindings."""

import subprocess
import sys

import numpy as np
import pytest

from android_bench.report.exports._measures import collect_kept_samples

# LiteRT's tflite/tools/benchmark/proto/benchmark_result.proto, field by field.
PROTO = """
syntax = "proto2";
package tflite.tools.benchmark;
message LatencyMetrics {
  optional float avg_ms = 1;
  optional float min_ms = 2;
  optional float max_ms = 3;
  optional float stddev_ms = 4;
  optional float median_ms = 5;
  optional float p5_ms = 6;
  optional float p95_ms = 7;
  optional float init_ms = 8;
  optional float first_inference_ms = 9;
  optional float average_warm_up_ms = 10;
}
message MemoryMetrics {
  optional int64 init_footprint_kb = 1;
  optional int64 overall_footprint_kb = 2;
  optional float peak_mem_mb = 3;
}
message MiscMetrics {
  optional float model_size_mb = 1;
  optional int32 num_runs = 2;
  optional int32 num_warmup_runs = 3;
  optional float model_throughput_in_mb_per_sec = 4;
  optional float throughput_fps = 5;
}
message BenchmarkResult {
  optional string name = 1;
  optional LatencyMetrics latency_metrics = 2;
  optional MemoryMetrics memory_metrics = 3;
  optional MiscMetrics misc_metrics = 4;
}
"""


def decode(data, folder):
    """Return the file as protoc prints it, which the leaderboard's collector reads."""
    (folder / "benchmark_result.proto").write_text(PROTO)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}"),
            *("--decode=tflite.tools.benchmark.BenchmarkResult", "benchmark_result.proto"),
        ],
        input=data, capture_output=True, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_protoc_reads_benchmark_results(heats_result, export, protoc, tmp_path):
    files = export("benchmark-result-pb", heats_result)
    assert set(files) == {"-orig", "-ours"}
    samples_ms = {k: v / 1e6 for k, v in collect_kept_samples(heats_result).items()}
    for summary in heats_result.summaries:
        text = decode(files[f"-{summary.label}"], tmp_path)
        got = dict(line.split(": ") for line in map(str.strip, text.splitlines()) if ": " in line)
        mine = samples_ms[summary.label]
        wanted = {
            "median_ms": summary.median_ns / 1e6,
            "avg_ms": mine.mean(),
            "p95_ms": np.quantile(mine, 0.95),
            "stddev_ms": mine.std(),
            "init_ms": 5.0,
            "first_inference_ms": 2.0,
            "peak_mem_mb": 40_000 / 1024,
            "model_size_mb": 9.0,
        }
        assert {k: float(got[k]) for k in wanted} == pytest.approx(wanted, rel=1e-6)
        assert int(got["num_runs"]) == summary.n_samples
        assert not [line for line in text.splitlines() if line.strip()[:1].isdigit()]  # unknown


class Trace:
    """A trace as Perfetto's own bindings read it."""

    def __init__(self, protos, data):
        self.packets = protos.Trace.FromString(data).packet
        described = [p.track_descriptor for p in self.packets if p.HasField("track_descriptor")]
        self.tracks = {d.uuid: d for d in described}
        self.events = [p for p in self.packets if p.HasField("track_event")]

    def on(self, name):
        """Return the events of a track, and when they are."""
        (uuid,) = [u for u, d in self.tracks.items() if d.name == name]
        return [p for p in self.events if p.track_event.track_uuid == uuid]


def test_perfetto_reads_a_slice_a_turn_and_counters(heats_result, export, perfetto_protos):
    trace = Trace(perfetto_protos, export("perfetto", heats_result)[""])
    kinds = perfetto_protos.TrackEvent
    for label in ("orig", "ours"):
        events = trace.on(label)
        wanted = sum(
            int(heat.turns.children[child] == label)
            for heat in heats_result.heats
            for child in heat.turns.turn_child
        )
        assert [e.track_event.type for e in events] == [
            kinds.TYPE_SLICE_BEGIN, kinds.TYPE_SLICE_END,
        ] * wanted  # fmt: skip
        assert [e.timestamp for e in events] == sorted(e.timestamp for e in events)
    temperatures = [e.track_event.double_counter_value for e in trace.on("temperature, cpu")]
    assert temperatures[:2] == [40.0, 40.4]
    assert len(temperatures) == 2 * len(heats_result.heats)
    units = {d.name: d.counter.unit_name for d in trace.tracks.values() if d.HasField("counter")}
    assert units["temperature, cpu"] == "°C"
    assert units["frequency, CPU 1"] == "GHz"
    assert len({p.trusted_packet_sequence_id for p in trace.packets}) == 1


def test_perfetto_shows_what_disturbed_a_block(blocks_result, export, perfetto_protos):
    trace = Trace(perfetto_protos, export("perfetto", blocks_result)[""])
    noted = [
        annotation.string_value
        for event in trace.events
        for annotation in event.track_event.debug_annotations
        if annotation.name == "disturbed by"
    ]
    assert noted.count("throttled") == 1
    assert noted.count("nothing") == len(noted) - 1
    named = {e.track_event.name for e in trace.events if e.track_event.name}
    assert named == {f"block {b.index}" for b in blocks_result.blocks}


def test_every_event_of_the_trace_is_on_a_described_track(heats_result, export, perfetto_protos):
    packets = Trace(perfetto_protos, export("perfetto", heats_result)[""]).packets
    known = set()
    for packet in packets:
        if packet.HasField("track_descriptor"):
            known.add(packet.track_descriptor.uuid)
        else:
            assert packet.track_event.track_uuid in known
