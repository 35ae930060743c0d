"""Both engines on real files: what they compute, how they are threaded, what they tell."""

from pathlib import Path

import numpy as np
import pytest

from android_bench.harness import description
from android_bench.harness.client import (
    describe,
    measure_memory,
    profile_operators,
    run_block,
    verify,
)
from android_bench.harness.result import Status
from android_bench.native_build.build import source_version
from pfd_models.errors import DeviceError, InputError, ParityError

ENGINES = ("executorch", "litert")
each_engine = pytest.mark.parametrize("engine", ENGINES)


def test_the_harness_says_what_it_is_and_what_it_runs(harness):
    assert harness.version == source_version()
    assert [e.name for e in harness.engines] == list(ENGINES)
    assert harness.engine_for("a/net.pte").name == "executorch"
    assert harness.engine_for("net.tflite").name == "litert"
    assert "libLiteRt.so" in harness.engine("litert").libraries
    assert "libexecutorch_backend_xnnpack.so" in harness.engine("executorch").libraries
    with pytest.raises(InputError, match=r"unknown suffix '.onnx' for net.onnx"):
        harness.engine_for("net.onnx")
    with pytest.raises(InputError, match="unknown engine 'litrt': did you mean 'litert'"):
        harness.engine("litrt")


@each_engine
def test_outputs_equal_pytorchs(harness, network, engine):
    found = verify(harness, network.job(engine, limit=2e-6))
    assert found.passed
    assert found.samples == network.samples
    assert 0 < found.outputs[0].relative_linf <= 2e-6
    assert found.outputs[0].not_finite == 0


def test_a_file_of_open_batch_runs_with_the_batch_it_is_asked_for(harness, network, open_network):
    for batch in (1, 2, 4):  # of the four images
        job = network.job("executorch", model=str(open_network), batch=batch, limit=2e-6)
        found = verify(harness, job)
        assert (found.passed, found.samples) == (True, network.samples // batch)
    with pytest.raises(InputError, match=r"batch of 7: the file takes at most 6"):
        verify(harness, network.job("executorch", model=str(open_network), batch=7))


@each_engine
def test_an_input_in_the_wrong_order_is_seen(harness, network, engine):
    other = {"executorch": "nhwc.bin", "litert": "nchw.bin"}[engine]
    job = network.job(engine, inputs=(str(network.folder / other),))
    with pytest.raises(ParityError, match=r"of its maximum away .* nothing was recorded"):
        verify(harness, job)


@each_engine
def test_one_wrong_number_or_a_nan_is_seen(harness, network, engine, tmp_path):
    scores = np.fromfile(network.folder / "scores.bin", "<f4")
    for wrong in (scores[7] + 0.01 * np.abs(scores).max(), np.nan):
        changed = scores.copy()
        changed[7] = wrong
        changed.tofile(tmp_path / "changed.bin")
        job = network.job(engine, expected=(str(tmp_path / "changed.bin"),))
        with pytest.raises(ParityError):
            verify(harness, job)


@each_engine
def test_a_wrong_file_is_never_timed(harness, network, engine, tmp_path, quick):
    lines = []
    (tmp_path / "zeros.bin").write_bytes(bytes(network.samples * 40))
    job = network.job(engine, expected=(str(tmp_path / "zeros.bin"),))
    with pytest.raises(ParityError):
        run_block(harness, job, quick, on_line=lines.append)
    kinds = [line["type"] for line in lines]
    assert "verified" in kinds
    assert "samples" not in kinds


@each_engine
def test_a_block_tells_everything(harness, network, engine, quick):
    result = run_block(harness, network.job(engine), quick)
    assert result.status is Status.DONE
    assert len(result.run.samples_ns) == len(result.run.cpus) == 8
    assert (result.run.samples_ns > 0).all()
    assert (result.run.cpus >= 0).all()
    assert result.run.load_ns > 0
    assert result.run.first_inference_ns > 0
    assert result.run.warmup_inferences >= 2
    assert result.run.before.at_ns < result.run.after.at_ns
    assert (
        result.run.after.other_busy_fraction is None
        or 0 <= result.run.after.other_busy_fraction <= 1
    )
    assert result.run.vm_hwm_kib > 1000
    assert [v.when for v in result.verifications] == ["before", "after"]
    shapes = {"executorch": (1, 3, 32, 32), "litert": (1, 32, 32, 3)}
    assert result.inputs[0].shape == shapes[engine]
    assert result.outputs[0].shape == (1, 10)
    assert not result.flags()


@each_engine
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_are_as_many_as_asked_for(harness, network, engine, threads, quick):
    result = run_block(harness, network.job(engine, threads=threads), quick)
    assert len(result.tasks) == threads


@each_engine
def test_all_threads_stay_on_the_cpus_that_were_asked_for(harness, network, engine, quick):
    import os

    cpu = max(os.sched_getaffinity(0))
    job = network.job(engine, threads=2, cpu_mask=1 << cpu)
    result = run_block(harness, job, quick)
    assert {task.cpus_allowed for task in result.tasks} == {1 << cpu}
    assert set(result.run.cpus) == {cpu}
    assert not result.flags()


def test_a_cpu_that_is_not_there_is_refused(harness, network, quick):
    with pytest.raises(DeviceError, match="cannot run on exactly the CPUs 0x4000000000000000"):
        run_block(harness, network.job("executorch", cpu_mask=1 << 62), quick)


@each_engine
def test_every_operator_is_timed_apart(harness, network, engine, quick):
    result = profile_operators(harness, network.job(engine), quick, iterations=3)
    names = " ".join(operator.name for operator in result.operators)
    assert names.count("Convolution") + names.count("Fully Connected") >= 3
    assert all(len(o.samples_ns) == 3 for o in result.operators)
    assert {o.delegate for o in result.operators if "Convolution" in o.name} == {
        {"executorch": "XnnpackBackend", "litert": "XNNPACK"}[engine]
    }
    assert len(result.run.samples_ns) == 0


def test_the_etdump_is_one_that_executorchs_inspector_reads(harness, network, tmp_path, quick):
    from executorch.devtools import Inspector

    dump = tmp_path / "net.etdump"
    profile_operators(harness, network.job("executorch"), quick, iterations=2, etdump=str(dump))
    frame = Inspector(etdump_path=str(dump)).to_dataframe()
    assert any("Convolution" in str(name) for name in frame["event_name"])


def test_litert_has_no_etdump(harness, network, tmp_path, quick):
    with pytest.raises(InputError, match="engine litert has no ETDump"):
        profile_operators(harness, network.job("litert"), quick, etdump=str(tmp_path / "x"))


@each_engine
def test_memory_is_read_at_each_stage(harness, network, engine, quick):
    result = measure_memory(harness, network.job(engine), quick)
    rss = result.vm_rss_kib
    assert list(rss) == ["start", "loaded", "first", "steady"]
    assert rss["start"] < rss["loaded"] <= result.run.vm_hwm_kib
    assert len(result.run.samples_ns) == 0


def test_one_engines_code_is_not_in_the_others_process(harness, network, quick):
    executorch = measure_memory(harness, network.job("executorch"), quick).vm_rss_kib["start"]
    litert = measure_memory(harness, network.job("litert"), quick).vm_rss_kib["start"]
    assert abs(executorch - litert) < 1024


def test_without_files_the_input_is_the_same_every_time(harness, network, quick, tmp_path):
    job = network.job("executorch", inputs=(), expected=())
    assert run_block(harness, job, quick).status is Status.DONE


def test_the_other_engines_file_is_refused(harness, network, quick):
    for engine, other in (("executorch", "litert"), ("litert", "executorch")):
        job = network.job(engine, model=network.job(other).model)
        with pytest.raises(InputError, match="refuses the file"):
            run_block(harness, job, quick)


@each_engine
def test_tensors_that_do_not_fit_are_refused(harness, network, engine, tmp_path, quick):
    short = tmp_path / "short.bin"
    short.write_bytes((network.folder / "nchw.bin").read_bytes()[:-4])
    with pytest.raises(
        InputError, match=r"short.bin has 49148 bytes, which is no multiple of 12288"
    ):
        run_block(harness, network.job(engine, inputs=(str(short),)), quick)
    with pytest.raises(InputError, match="cannot read /nowhere"):
        run_block(harness, network.job(engine, inputs=("/nowhere",)), quick)
    scores = str(network.folder / "scores.bin")
    with pytest.raises(InputError, match="the model has 1 outputs and 2 files were given"):
        run_block(harness, network.job(engine, expected=(scores, scores)), quick)


def test_a_harness_of_other_sources_is_refused(awkward_built):
    with pytest.raises(DeviceError, match=r"is version .* and this host is .*: build it again"):
        describe([str(awkward_built.program)])


def test_one_runtime_is_enough_and_the_other_is_said_to_be_missing(awkward_built, monkeypatch):
    missing = "the executorch wheel was not found"
    assert awkward_built.left_out == (f"built without executorch: {missing}",)
    assert not (awkward_built.folder / "pfd_engine_executorch.so").exists()
    monkeypatch.setattr(description, "source_version", lambda: awkward_built.version)
    harness = describe([str(awkward_built.program)])
    assert {engine.name: engine.unavailable for engine in harness.engines} == {
        "awkward": "",
        "litert": "",
        "executorch": f"not built: {missing}",
    }
    with pytest.raises(DeviceError, match="engine executorch cannot run: not built"):
        harness.engine("executorch")


def test_the_harness_refuses_a_host_of_other_sources(harness, network, quick):
    import dataclasses

    older = dataclasses.replace(harness, version="1+000000000000")
    with pytest.raises(DeviceError, match=r"and the host is 1\+000000000000: build"):
        run_block(older, network.job("executorch"), quick)


def test_what_is_no_harness_is_refused(tmp_path):
    with pytest.raises(DeviceError, match="does not answer --describe"):
        describe(["/bin/echo", "hello"])
    with pytest.raises(DeviceError, match=r"cannot run /nowhere: no such file .*build the harness"):
        describe(["/nowhere"])


@each_engine
def test_damaged_files_end_in_one_line_or_are_caught_by_the_numbers(
    harness, network, engine, tmp_path, quick
):
    """The files that crash the engines' default loaders."""
    whole = Path(network.job(engine).model).read_bytes()
    rng = np.random.default_rng(11)
    noise = rng.integers(0, 256, 4096, np.uint8).tobytes()
    damaged = {"empty": b"", "four bytes": whole[:4], "noise": noise}
    damaged |= {"magic and noise": whole[:8] + noise, "half": whole[: len(whole) // 2]}
    damaged |= {"no end": whole[:-100], "100 bytes": whole[:100]}
    for i in range(12):
        flipped, near = bytearray(whole), min(600, len(whole) // 2)
        at = int(rng.integers(4, near)) if i % 2 else len(whole) - int(rng.integers(8, near))
        for offset in range(8):
            flipped[at + offset] ^= 0xFF
        damaged[f"flipped {i}"] = bytes(flipped)
    ends, lines = {}, []
    for name, content in damaged.items():
        path = tmp_path / name
        path.write_bytes(content)
        try:
            ends[name] = run_block(harness, network.job(engine, model=str(path)), quick).status
        except (InputError, ParityError) as error:
            ends[name] = type(error)
            lines.append(str(error))
    assert not any("\n" in line for line in lines)
    assert {ends[n] for n in damaged if not n.startswith("flipped")} == {InputError}
    # A flipped byte may lie where nothing is computed from it; then the outputs are right.
    assert set(ends.values()) <= {InputError, ParityError, Status.DONE}
