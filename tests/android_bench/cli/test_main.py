"""The command: its verbs, its answers and its refusals."""

import csv
import json
import subprocess
import sys

import pytest
from bench_rig import TOOL, stored

from android_bench.cli.progress import Display
from android_bench.statistics.comparison import Verdict
from android_bench.store import open_store


@pytest.fixture
def host(standin_host):
    standin_host.make_set("orig", latency_ns=1_000_000)
    standin_host.make_set("ours", latency_ns=900_000)
    return standin_host


MINUS = "\N{MINUS SIGN}"
PTE = ("--artifacts", "artifacts/*.pte")


def test_one_command_gives_a_verdict(host, adb_bench):
    assert adb_bench(*PTE, "--seed", 3) == 0  # by chance the control finds something now and then
    assert f"ours is faster than orig: latency {MINUS}" in adb_bench.out
    assert "finds no difference between orig and itself" in adb_bench.out
    result = stored()
    assert f"show {result.campaign.campaign_id}" in adb_bench.out
    assert result.comparisons[0].verdict is Verdict.FASTER
    assert result.comparisons[0].ratio == pytest.approx(0.9, rel=0.01)
    assert result.campaign.rules.budget_seconds == 120
    assert result.campaign.rules.precision == 0.005


def test_the_interval_is_followed_line_by_line_where_there_is_no_terminal(standin_host, adb_bench):
    standin_host.make_set("orig", latency_ns=1_000_000, spread=0.012)
    standin_host.make_set("ours", latency_ns=900_000, spread=0.012)
    adb_bench(*PTE, "--seed", 3)
    shown = [line for line in adb_bench.err.splitlines() if f" ours {MINUS}" in line]
    widths = [line.partition("±")[2].partition(" ")[0] for line in shown]
    assert len(set(widths)) >= 3
    assert widths[-1] == f"{stored().comparisons[0].half_width:.2%}"
    assert all("aim ±0.50%" in line for line in shown)
    assert "\x1b" not in adb_bench.err


def test_run_is_the_verb_when_none_is_given(host, adb_bench):
    assert adb_bench("run", *PTE, "--seed", 1) == adb_bench(*PTE, "--seed", 1) == 0
    with open_store("bench.sqlite") as store:
        one, other = store.campaigns()
    assert one.arms == other.arms
    assert one.rules.seed == other.rules.seed == 1


def test_runtimes_and_threads_are_comparisons_of_their_own(host, adb_bench):
    both = ("--artifacts", "artifacts/*", "--runtime", "executorch,litert")
    assert adb_bench(*both, "--threads", "1,2", "--cores", "any", "--budget", "1s") == 0
    with open_store("bench.sqlite") as store:
        found = [(c.arms[0].engine, c.arms[0].threads) for c in store.campaigns()]
        roles = [[arm.label for arm in c.arms] for c in store.campaigns()]
    assert found == [("executorch", 1), ("litert", 1), ("executorch", 2), ("litert", 2)]
    assert roles == [["orig", "orig (A/A)", "ours"]] * 4


def test_cores_are_pinned_and_said(host, adb_bench):
    adb_bench(*PTE, "--cores", "0", "--budget", "1s")
    assert "on CPU 0 of" in adb_bench.err
    with open_store("bench.sqlite") as store:
        assert store.campaign("last").arms[0].cpu_mask == 1
    assert adb_bench(*PTE, "--cores", "77") == 3
    assert "CPU 77 cannot be used" in adb_bench.error
    assert adb_bench(*PTE, "--cores", "0", "--threads", "2") == 3
    assert "2 threads need 2 CPUs, there are 1" in adb_bench.error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say what to measure"),
        (("--model", "x", "--artifacts", "y"), "say what to measure"),
        (("--artifacts", "nothing/*.pte"), "no file matches 'nothing/*.pte'"),
        ((*PTE, "--runtime", "torch"), "unknown runtime 'torch'"),
        ((*PTE, "--device", "phone"), "unknown device 'phone'"),
        ((*PTE, "--half-width", "3"), "give 3% or 0.03"),
        ((*PTE, "--half-width", "0"), "precision is 0.0"),
        ((*PTE, "--budget", "soon"), "no time"),
        ((*PTE, "--budget", "0"), "budget_seconds is 0.0"),
        ((*PTE, "--threads", "0"), "is not 1 or more"),
        ((*PTE, "--cores", "big"), "cores 'big'"),
        ((*PTE, "--resume", "abc"), "--resume abc names a campaign"),
        (("--resume",), "no unfinished campaign"),
        (("--resume", "abc"), "no campaign 'abc'"),
        (("--fail-if-slower", "much", *PTE), "'much' is no share"),
        (("show", "last", "--store", "none.sqlite"), "no store at none.sqlite"),
        (("bogus",), "unrecognized arguments: bogus"),
        (("qualify", *PTE, "--handicaps", "1%,1%"), "each once"),
    ],
)
def test_bad_input_is_one_line_and_status_2(host, adb_bench, arguments, says):
    assert adb_bench(*arguments) == 2
    assert says in adb_bench.error


def test_a_file_that_no_engine_runs_is_said(host, adb_bench):
    (host.artifacts / "net.bin").write_text("x")
    assert adb_bench("--artifacts", "artifacts/net.bin") == 2
    assert "no manifest beside it" in adb_bench.error
    assert adb_bench("--artifacts", "artifacts/*.tflite", "--runtime", "executorch") == 2
    assert "no engine here runs .tflite files: executorch runs .pte" in adb_bench.error


def test_every_verb_reads_what_run_stored(host, adb_bench, tmp_path):
    adb_bench(*PTE, "--profile", "--memory", "--json", "run.json")
    assert adb_bench("list") == 0
    assert "toynet cifar100 1x3x4x4 with executorch, 1 thread" in adb_bench.out
    assert adb_bench("show", "last", "--json", "show.json") == 0
    for part in ("sha256", "conv", "peak 9.3 MiB", "started: outputs verified", "stopped"):
        assert part in adb_bench.out
    assert (tmp_path / "run.json").read_text() == (tmp_path / "show.json").read_text()
    stored = json.loads((tmp_path / "run.json").read_text())["campaigns"][0]
    assert stored["comparisons"][0]["verdict"] == "faster"
    assert adb_bench("compare", "last") == 0
    assert "ours is faster than orig" in adb_bench.out
    assert adb_bench("report", "last", "-o", "page.html") == 0
    assert stored["campaign"]["campaign_id"] in (tmp_path / "page.html").read_text()
    assert adb_bench("export", "last", "-o", "samples.csv") == 0
    rows = list(csv.reader((tmp_path / "samples.csv").read_text().splitlines()))
    assert len(rows) - 1 == sum(len(heat["turns"]["samples_ns"]) for heat in stored["heats"]) > 0


def test_fail_if_slower_goes_by_the_interval(standin_host, adb_bench):
    standin_host.make_set("orig", latency_ns=1_000_000)
    standin_host.make_set("ours", latency_ns=1_060_000)
    assert adb_bench(*PTE, "--fail-if-slower", "3%") == 1
    assert "ours is slower than orig by more than 3.00%" in adb_bench.error
    assert "+6" in adb_bench.error
    assert adb_bench("compare", "last", "--fail-if-slower", "10%") == 0
    assert adb_bench("compare", "last", "--fail-if-slower", "0.03") == 1
    # The estimate is above this limit but not the whole interval.
    comparison = stored().comparisons[0]
    between = (comparison.low + comparison.ratio) / 2 - 1
    assert adb_bench("compare", "last", "--fail-if-slower", between) == 0
    below = comparison.low - 1 - 1e-6
    assert adb_bench("compare", "last", "--fail-if-slower", below) == 1


def test_one_bad_comparison_does_not_end_the_others(standin_host, adb_bench):
    standin_host.make_set("orig", suffixes=(".pte",), verify={"*": "mismatch"})
    standin_host.make_set("ours", suffixes=(".tflite",))
    assert adb_bench("--artifacts", "artifacts/*", "--budget", "1s") == 1
    assert "with executorch" in adb_bench.error
    with open_store("bench.sqlite") as store:
        assert [c.arms[0].engine for c in store.campaigns()] == ["litert"]


def test_an_interrupted_call_goes_on_where_it_was(host, adb_bench, monkeypatch):
    both = ("--artifacts", "artifacts/*", "--budget", "9s", "--half-width", "0.001%")
    real, calls = Display.block, []

    def block(self, *facts):
        real(self, *facts)
        calls.append(facts)
        with open_store("bench.sqlite") as store:
            if len(store.campaigns()) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(Display, "block", block)
    assert adb_bench(*both) == 130
    assert "what is measured so far is kept" in adb_bench.err
    monkeypatch.setattr(Display, "block", real)
    with open_store("bench.sqlite") as store:
        first, second = store.campaigns()
        done = store.heats(first.campaign_id)
        begun = store.heats(second.campaign_id)
    assert len(begun) == 1
    assert adb_bench(*both, "--resume") == 0
    assert f"is measured already ({first.campaign_id})" in adb_bench.err
    with open_store("bench.sqlite") as store:
        assert [c.campaign_id for c in store.campaigns()] == [
            first.campaign_id,
            second.campaign_id,
        ]
        assert store.heats(first.campaign_id) == done
        assert store.heats(second.campaign_id)[:1] == begun
        assert len(store.heats(second.campaign_id)) > 1
    assert adb_bench("--resume") == 2
    assert "no unfinished campaign" in adb_bench.error


def test_a_set_that_is_there_is_taken_without_loading_torch(built, tmp_path):
    """A single variant, found by the exporter's index, really measured."""
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['adb_bench', '--model', 'shufflenetv2', '--variant', 'ours', '--out',\n"
        f"            {str(built.folder)!r}, '--runtime', 'litert', '--budget', '2s',\n"
        f"            '--store', {str(tmp_path / 'b.sqlite')!r}]\n"
        "try:\n"
        f"    runpy.run_path({str(TOOL)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=TOOL.parents[1],
    )
    assert done.returncode == 0, done.stderr
    with open_store(str(tmp_path / "b.sqlite")) as store:
        (record,) = store.campaigns()
        assert [arm.label for arm in record.arms] == ["ours", "ours (A/A)"]
        assert len(store.heats(record.campaign_id)) >= 1


@pytest.mark.slow
def test_what_is_missing_is_built(tmp_path, adb_bench, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert adb_bench("--model", "shufflenetv2", "--variant", "orig,ours", "--budget", "5s") == 0
    assert len(list((tmp_path / "artifacts").glob("*.pte"))) == 2
    with open_store("bench.sqlite") as store:
        assert [c.arms[0].engine for c in store.campaigns()] == ["executorch", "litert"]
    assert adb_bench("--model", "shufflenetv2", "--variant", "our", "--budget", "5s") == 2
    assert "did you mean 'ours'" in adb_bench.error
