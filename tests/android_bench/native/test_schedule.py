"""When a block ends, what lies between its samples, and what a handicap does to them."""

import dataclasses
import functools
import time

import numpy as np

from android_bench.harness.client import Schedule, run_block

SPIN_NS = 1_000_000
ONE_MS = "spin x 1000"  # microseconds
NO_WARMUP = Schedule(iterations=5, warmup_iterations=0, warmup_seconds=0.0, timeout_seconds=60.0)


def _run(awkward, **changes):
    schedule = dataclasses.replace(NO_WARMUP, **changes)
    return run_block(awkward.harness, awkward.job(ONE_MS), schedule)


def test_a_sample_is_the_inference(awkward):
    samples = _run(awkward, iterations=200).run.samples_ns
    assert samples.min() >= SPIN_NS
    assert np.quantile(samples, 0.1) < 1.01 * SPIN_NS


def test_a_block_ends_when_count_and_time_are_both_reached(awkward):
    assert len(_run(awkward, iterations=7).run.samples_ns) == 7
    by_time = _run(awkward, iterations=1, seconds=0.1).run.samples_ns
    assert 2 <= len(by_time) <= 100
    assert by_time.sum() <= 0.2e9


def test_a_block_ends_at_the_first_of_both_when_told_so(awkward):
    assert len(_run(awkward, iterations=3, seconds=30.0, stop_at_either=True).run.samples_ns) == 3
    by_time = _run(awkward, iterations=10**6, seconds=0.05, stop_at_either=True).run.samples_ns
    assert 1 <= len(by_time) <= 50
    # A condition of 0 is none: it does not end the block at once.
    assert len(_run(awkward, iterations=0, seconds=0.05, stop_at_either=True).run.samples_ns) > 1


def test_a_block_ends_at_its_limit_in_any_case(awkward):
    begin = time.monotonic()
    samples = _run(awkward, iterations=10**6, max_seconds=0.1).run.samples_ns
    assert 1 <= len(samples) <= 100
    assert time.monotonic() - begin < 10


def test_warm_up_has_a_count_and_a_time(awkward):
    settling = 2
    assert _run(awkward, warmup_iterations=9).run.warmup_inferences == 9 + settling
    by_time = _run(awkward, warmup_seconds=0.05).run.warmup_inferences
    assert 1 + settling <= by_time <= 50 + settling


def test_gaps_lie_between_samples_and_not_in_them(awkward):
    begin = time.monotonic()
    samples = _run(awkward, iterations=11, gap_seconds=0.02).run.samples_ns
    assert time.monotonic() - begin > 10 * 0.02
    assert np.median(samples) < 0.01e9


def test_samples_in_several_lines_are_all_there(awkward):
    lines = []
    schedule = dataclasses.replace(NO_WARMUP, iterations=60, flush_seconds=0.005)
    job = awkward.job(ONE_MS)
    result = run_block(awkward.harness, job, schedule, on_line=lines.append)
    chunks = [line for line in lines if line["type"] == "samples"]
    assert len(chunks) > 2
    assert [c["first"] for c in chunks] == list(
        np.cumsum([0, *(len(c["ns"]) for c in chunks[:-1])])
    )
    assert [ns for c in chunks for ns in c["ns"]] == result.run.samples_ns.tolist()
    assert len(result.run.samples_ns) == 60


def test_a_short_block_writes_nothing_while_it_runs(awkward):
    lines = []
    run_block(awkward.harness, awkward.job(ONE_MS), NO_WARMUP, on_line=lines.append)
    kinds = [line["type"] for line in lines]
    assert kinds.count("samples") == 1
    assert kinds[kinds.index("samples") - 1] == "reading"


def test_more_samples_than_the_buffer_holds_are_all_kept(awkward):
    schedule = dataclasses.replace(NO_WARMUP, iterations=20_000, flush_seconds=1000.0)
    result = run_block(awkward.harness, awkward.job("spin x 0"), schedule)
    assert len(result.run.samples_ns) == len(result.run.cpus) == 20_000
    assert (result.run.samples_ns > 0).all()


def test_a_handicap_lengthens_every_sample_by_its_share(awkward):
    schedule = dataclasses.replace(NO_WARMUP, iterations=300)
    job, quantile = awkward.job(ONE_MS), {}
    for ppm in (0, 10_000, 50_000, 1_000_000):
        result = run_block(awkward.harness, job, schedule, handicap_ppm=ppm)
        assert result.run.handicap_ppm == ppm
        assert result.run.samples_ns.min() >= SPIN_NS * (1 + ppm / 1e6)
        # The undisturbed samples; others on this machine lengthen the rest.
        quantile[ppm] = np.quantile(result.run.samples_ns, 0.05)
    for ppm in (10_000, 50_000, 1_000_000):
        assert abs(quantile[ppm] / quantile[0] - 1 - ppm / 1e6) < 0.001


def test_a_pause_follows_every_sample_and_is_not_in_it(awkward):
    schedule = dataclasses.replace(NO_WARMUP, iterations=100)
    run = functools.partial(run_block, awkward.harness, awkward.job(ONE_MS), schedule)
    samples = run(pause_ppm=1_000_000).run.samples_ns
    assert np.quantile(samples, 0.05) < SPIN_NS * 1.01
    begin = time.monotonic_ns()
    samples = run(handicap_ppm=500_000, pause_ppm=1_000_000).run.samples_ns
    assert abs(np.quantile(samples, 0.05) / SPIN_NS - 1.5) < 0.01
    assert time.monotonic_ns() - begin >= 100 * 2 * SPIN_NS
