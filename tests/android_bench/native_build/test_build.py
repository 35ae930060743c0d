"""Building the harness: what is missing is named, what is unchanged is not built again."""

import concurrent.futures
import dataclasses
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from android_bench.native_build import build, runtimes, toolchain
from android_bench.native_build.build import SOURCES, build_harness, main, source_version
from android_bench.native_build.toolchain import find_toolchain
from pfd_models.errors import DeviceError, InputError, OutputError


@pytest.fixture
def sources(tmp_path):
    """A harness that builds in a moment: programs that print nothing, an engine that does."""
    folder = tmp_path / "native"
    folder.mkdir()
    (folder / "main.cpp").write_text("int main() {}\n")
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.28)\n"
        "project(pfd_bench LANGUAGES CXX)\n"
        'message(STATUS "pfd: built without everything: it is a test")\n'
        "add_executable(pfd_bench main.cpp)\n"
        "add_executable(pfd_bare_loop main.cpp)\n"
        "add_library(pfd_engine_test MODULE main.cpp)\n"
        'set_target_properties(pfd_engine_test PROPERTIES PREFIX "")\n'
    )
    return folder


SHARED_CACHE = os.environ.get("PFD_CACHE_DIR", "")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PFD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _fake(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def in_cache(cache):
    return {path.name for path in (cache / "native").iterdir()} - {".lock"}


def test_the_same_sources_are_built_once(sources, cache):
    first = build_harness(sources=sources)
    assert not first.from_cache
    assert first.program.is_file()
    assert first.left_out == ("built without everything: it is a test",)
    again = build_harness(sources=sources)
    assert again == dataclasses.replace(first, from_cache=True)
    assert in_cache(cache) == {first.folder.name}


def test_a_changed_source_gives_another_version_and_another_folder(sources):
    first = build_harness(sources=sources)
    (sources / "main.cpp").write_text("int main() { return 0; }\n")
    second = build_harness(sources=sources)
    assert second.version != first.version
    assert second.folder != first.folder
    assert first.program.is_file()


def test_another_compiler_or_runtime_is_another_build(sources, monkeypatch, tmp_path):
    first = build_harness(sources=sources)
    wrapper = _fake(tmp_path / "bin/g++", f'exec {find_toolchain("host").compiler} "$@"')
    monkeypatch.setenv("CXX", str(wrapper))
    assert build_harness(sources=sources).folder != first.folder
    monkeypatch.delenv("CXX")
    found = runtimes.find_runtimes("host")
    newer = dataclasses.replace(found, litert_version="2.3.1")
    monkeypatch.setattr(build, "find_runtimes", lambda target: newer)
    assert build_harness(sources=sources).folder != first.folder


def test_the_version_is_that_of_every_source_file(tmp_path):
    copy = tmp_path / "native"
    shutil.copytree(SOURCES, copy)
    assert source_version(copy) == source_version()
    seen = {source_version(copy)}
    for name in ("main.cpp", "engine.h", "CMakeLists.txt", "engines/litert.cmake"):
        path = copy / name
        path.write_text(path.read_text() + "\n")
        seen.add(source_version(copy))
    (copy / "engines/new.cpp").write_text("")
    seen.add(source_version(copy))
    assert len(seen) == 6


def test_a_failed_compilation_is_one_line_and_leaves_nothing(sources, cache, refusal):
    (sources / "main.cpp").write_text("int main() { return nonsense; }\n")
    line = refusal(
        DeviceError,
        lambda: build_harness(sources=sources),
        "cannot compile the harness:",
        "nonsense",
        "failed-compile.log",
    )
    assert "nonsense" in Path(line.rpartition(" ")[2]).read_text()
    assert in_cache(cache) == {"failed-compile.log"}


def test_a_missing_compiler_is_named_with_where_to_get_it(sources, monkeypatch, refusal):
    monkeypatch.setenv("CXX", "/nowhere/c++")
    refusal(
        DeviceError,
        lambda: build_harness(sources=sources),
        "CXX is '/nowhere/c++', which is no program",
        "apt-get install g++",
    )
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    refusal(DeviceError, lambda: find_toolchain("host"), "no C++ compiler found for host")
    refusal(
        DeviceError,
        lambda: find_toolchain("linux-arm64"),
        "no C++ compiler found for linux-arm64",
        "apt-get install g++-aarch64-linux-gnu",
    )


def test_a_compiler_for_another_machine_is_refused(monkeypatch, refusal):
    monkeypatch.setenv("PFD_ARM64_CXX", str(find_toolchain("host").compiler))
    refusal(DeviceError, lambda: find_toolchain("linux-arm64"), "not for aarch64")


def test_an_old_compiler_is_refused(monkeypatch, tmp_path, refusal):
    old = (
        'case $1 in --version) echo "g++ 9.4.0";; -dumpmachine) echo x86_64;; *) echo 9.4.0;; esac'
    )
    monkeypatch.setenv("CXX", str(_fake(tmp_path / "g++", old)))
    refusal(
        DeviceError, lambda: find_toolchain("host"), "is gcc 9.4.0 and the harness needs gcc 11"
    )


def test_an_old_cmake_is_named_with_what_to_install(monkeypatch, tmp_path, refusal):
    compiler = find_toolchain("host").compiler
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    refusal(
        DeviceError, lambda: find_toolchain("host"), "no CMake 3.28 or newer found: pip install"
    )
    _fake(tmp_path / "cmake", "echo cmake version 3.25.1")
    refusal(DeviceError, lambda: find_toolchain("host"), "3.25.1", "pip install 'cmake>=3.28'")


def test_no_runtime_at_all_is_named_with_what_to_install(monkeypatch, refusal):
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    refusal(
        DeviceError,
        lambda: runtimes.find_runtimes("host"),
        "neither runtime is installed: pip install executorch==",
        "ai-edge-litert==",
    )


def test_one_runtime_is_enough_and_the_other_is_said_to_be_missing(monkeypatch):
    monkeypatch.setenv("PFD_CACHE_DIR", SHARED_CACHE)  # the whole harness: not built every time
    found = runtimes.find_runtimes("host")
    alone = dataclasses.replace(found, executorch=None, executorch_version="")
    monkeypatch.setattr(build, "find_runtimes", lambda target: alone)
    built = build_harness()
    assert built.left_out == ("built without executorch: the executorch wheel was not found",)
    assert not (built.folder / "pfd_engine_executorch.so").exists()
    from android_bench.harness.client import describe

    engines = {e.name: e.unavailable for e in describe([str(built.program)]).engines}
    assert engines == {
        "litert": "",
        "executorch": "not built: the executorch wheel was not found",
    }
    with pytest.raises(DeviceError, match="engine executorch cannot run: not built"):
        describe([str(built.program)]).engine("executorch")


def test_a_wheel_that_cannot_be_fetched_is_one_line(monkeypatch, refusal):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    refusal(
        DeviceError,
        lambda: runtimes.find_runtimes("linux-arm64"),
        "pip cannot fetch executorch==",
        "check the network",
    )


def test_a_cache_that_cannot_be_written_is_one_line(sources, tmp_path, monkeypatch, refusal):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PFD_CACHE_DIR", str(tmp_path / "file"))
    refusal(OutputError, lambda: build_harness(sources=sources), "cannot write", "not a directory")


def _truncate(folder):
    os.truncate(folder / "pfd_bench", 100)


def _lose_an_engine(folder):
    (folder / "pfd_engine_test.so").unlink()


def _empty_the_record(folder):
    (folder / "build.json").write_text("{}")


@pytest.mark.parametrize("damage", [_truncate, _lose_an_engine, _empty_the_record])
def test_a_damaged_cache_is_built_again(sources, cache, damage):
    first = build_harness(sources=sources)
    damage(first.folder)
    again = build_harness(sources=sources)
    assert not again.from_cache
    assert again.folder == first.folder
    subprocess.run([again.program], check=True)
    assert (again.folder / "pfd_engine_test.so").is_file()
    assert build_harness(sources=sources).from_cache
    assert in_cache(cache) == {first.folder.name}


def test_what_a_killed_build_left_is_no_hindrance_and_goes(sources, cache):
    first = build_harness(sources=sources)
    (first.folder / "build.json").unlink()  # written last, so a folder cut off has none
    left = cache / "native" / ".making-by-a-dead-process"
    (left / "tree").mkdir(parents=True)
    again = build_harness(sources=sources)
    assert not again.from_cache
    assert in_cache(cache) == {first.folder.name}


def test_two_callers_at_once_build_once(sources, monkeypatch):
    compiled, real = [], build._compile
    with concurrent.futures.ThreadPoolExecutor(1) as pool:

        def compile_while_another_asks(*arguments):
            compiled.append(arguments)
            compiled.append(pool.submit(build_harness, sources=sources))
            return real(*arguments)

        monkeypatch.setattr(build, "_compile", compile_while_another_asks)
        first = build_harness(sources=sources)
        assert len(compiled) == 2
        assert compiled[1].result(60) == dataclasses.replace(first, from_cache=True)


def test_an_unknown_target_is_refused(refusal):
    refusal(
        InputError,
        lambda: build_harness("linux-arm"),
        "unknown target 'linux-arm': did you mean 'linux-arm64'",
    )


def test_the_command_says_where_the_harness_is(sources, capsys, monkeypatch):
    def quick(target, *, from_source):
        return build_harness(target, sources=sources, from_source=from_source)

    monkeypatch.setattr(build, "build_harness", quick)
    assert main([]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].endswith("/pfd_bench")
    assert "host, built in" in out
    assert "built without everything" in out
    assert main(["--target", "host"]) == 0
    assert "host, unchanged" in capsys.readouterr().out


def test_the_command_ends_with_the_errors_status_and_one_line(capsys, monkeypatch):
    assert main(["--target", "vax"]) == 2
    captured = capsys.readouterr()
    targets = "(host, linux-x64, linux-arm64, android-arm64)"
    assert captured.err == f"error: unknown target 'vax': choose one of {targets}\n"
    monkeypatch.setenv("CXX", "/nowhere/c++")
    assert main([]) == 3
    assert capsys.readouterr().err.count("\n") == 1
