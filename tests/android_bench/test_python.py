"""A bench from Python: the lines of docs/benchmarking.md, and what they promise."""

import importlib
import re
import subprocess
import sys
import tomllib

import pytest

import android_bench
from android_bench import compare, find_files, open_bench, open_store, read_result
from android_bench.campaign import series
from pfd_models.errors import DeviceError, InputError, SpecError


@pytest.fixture
def host(standin_host):
    standin_host.make_set("orig", latency_ns=1_000_000)
    standin_host.make_set("ours", latency_ns=900_000)
    return standin_host


def test_the_five_lines_of_the_documentation_print_a_verdict(host, repository, capsys):
    page = (repository / "docs" / "benchmarking.md").read_text(encoding="utf-8")
    code, *_ = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(code.splitlines()) <= 5
    exec(compile(code, "docs/benchmarking.md", "exec"), {})
    out, err = capsys.readouterr()
    assert "ours is faster than orig: latency" in out
    assert "finds no difference between orig and itself" in out
    assert err == ""
    with open_store("bench.sqlite") as store:
        assert read_result(store, "last").complete


def test_each_runtime_and_thread_count_is_a_result_of_its_own(host):
    with open_bench() as bench:
        files = find_files(["artifacts/*"])
        found = list(compare(bench, files, threads=(1, 2), cores="any", budget_seconds=1.0))
    arms = [result.campaign.arms[0] for result in found]
    assert [(arm.engine, arm.threads) for arm in arms] == [
        ("executorch", 1),
        ("litert", 1),
        ("executorch", 2),
        ("litert", 2),
    ]
    rules = [result.campaign.rules for result in found]
    assert {each.batch for each in rules} == {rules[0].batch}


def test_what_is_wrong_is_raised_before_anything_is_measured(host):
    with open_bench() as bench:
        files = find_files(["artifacts/*"])
        with pytest.raises(InputError, match="unknown runtime 'torch'"):
            compare(bench, files, runtimes=("torch",))
        with pytest.raises(InputError, match="precision"):
            compare(bench, files, precision=0.0)
        assert bench.store.campaigns() == ()


def test_a_comparison_that_fails_is_raised_after_the_others(host, monkeypatch):
    real = series.run_campaign

    def run_campaign(bench, contest, rules):
        if contest.engine == "executorch":
            raise DeviceError("the engine died")
        return real(bench, contest, rules)

    monkeypatch.setattr(series, "run_campaign", run_campaign)
    with open_bench() as bench:
        results = compare(bench, find_files(["artifacts/*"]), budget_seconds=1.0)
        assert next(results).campaign.arms[0].engine == "litert"
        with pytest.raises(DeviceError, match="the engine died"):
            next(results)


def test_a_bench_gives_up_its_lock_whatever_happens(host):
    with pytest.raises(ZeroDivisionError), open_bench():
        raise ZeroDivisionError
    with open_bench():
        pass


def test_this_computer_has_no_governor_to_hold(host):
    with pytest.raises(SpecError, match="is for rooted phones"), open_bench(governor="performance"):
        pass


def test_public_names_load_their_modules_when_they_are_used():
    code = (
        "import sys, android_bench\n"
        "heavy = {'torch', 'numpy', 'rich', 'sqlalchemy', 'plotly'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "for name in android_bench.__all__:\n"
        "    assert getattr(android_bench, name), name\n"
        "assert set(android_bench.__all__) <= set(dir(android_bench))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = android_bench.nonsense


def test_every_installed_command_is_a_function_that_returns_its_status(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert sorted(project["scripts"]) == ["pfd-arm", "pfd-bench", "pfd-build", "pfd-train"]
    for target in project["scripts"].values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("form", [["-m", "android_bench.cli"], ["tools/adb_bench.py"]])
def test_the_module_and_the_script_are_the_same_command(repository, form):
    done = subprocess.run(
        [sys.executable, *form, "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=repository,
    )
    assert done.stdout.startswith("usage: pfd-bench ")
