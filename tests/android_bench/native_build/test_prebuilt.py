"""The harness that was built elsewhere: taken without a compiler, when it fits."""

import os
import shutil
import subprocess
import sys

import pytest

from android_bench.native_build import build, prebuilt
from android_bench.native_build.build import build_harness, source_version
from android_bench.native_build.record import BuildRecord, BundleFile, BundleRecord
from android_bench.native_build.runtimes import runtime_versions
from export.sets.files import sha256_file
from pfd_models.errors import DeviceError


def make_bundle(folder, target, **changes):
    """Write programs that print nothing, and their record."""
    folder.mkdir(parents=True)
    files = []
    for name in ("pfd_bench", "pfd_bare_loop"):
        path = folder / name
        shutil.copyfile(shutil.which("true"), path)
        path.chmod(0o755)
        files.append(
            BundleFile(
                file=name, size_bytes=path.stat().st_size, sha256=sha256_file(path),
                origin="pfd-mobile", licence="Apache-2.0", executable=True,
            )
        )  # fmt: skip
    fields = {
        "target": target,
        "version": source_version(),
        "compiler": "g++ 12",
        "runtimes": runtime_versions("host"),
        "left_out": (),
        "bundle": BundleRecord(loader="", files=tuple(files), size_bytes=1, licence_texts={}),
    }
    record = BuildRecord(**(fields | changes))
    record.save(folder)
    return record


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The installed package's folder, on a machine without a compiler."""
    package = tmp_path / "site" / prebuilt.PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PFD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(prebuilt, "_is_linux_x64", lambda: True)
    yield package
    sys.modules.pop(prebuilt.PACKAGE, None)


@pytest.fixture
def no_compiler(place, monkeypatch):
    """Call it when the bundle is written: PATH is empty from there on."""

    def call():
        monkeypatch.setenv("PATH", "")
        for name in ("CXX", "PFD_ARM64_CXX"):
            monkeypatch.delenv(name, raising=False)

    return call


def test_this_computer_gets_it_linked_to_the_runtimes_that_are_here(place, no_compiler):
    record = make_bundle(place / "linux-x64", "linux-x64")
    no_compiler()
    built = build_harness()
    assert built.record == record
    subprocess.run([built.program], check=True)
    assert os.path.samefile(
        built.folder / "libLiteRt.so", prebuilt.find_runtimes("host").litert / "libLiteRt.so"
    )
    assert build_harness() == built


def test_a_phone_gets_it_from_where_pip_put_it(place, no_compiler):
    make_bundle(place / "linux-arm64", "linux-arm64")
    no_compiler()
    assert build_harness("linux-arm64").folder == place / "linux-arm64"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"version": "2+000000000000"}, "it is version 2+000000000000 for executorch "),
        ({"runtimes": {"executorch": "1.0", "ai-edge-litert": ""}}, "ai-edge-litert (none), and"),
    ],
)
def test_one_of_other_sources_or_runtimes_is_refused(place, no_compiler, refusal, changes, part):
    make_bundle(place / "linux-x64", "linux-x64", **changes)
    no_compiler()
    refusal(DeviceError, build_harness, "no C++ compiler found", "does not fit", part)


def test_a_damaged_one_is_refused(place, no_compiler, refusal):
    make_bundle(place / "linux-x64", "linux-x64")
    os.truncate(place / "linux-x64/pfd_bench", 100)
    no_compiler()
    refusal(DeviceError, build_harness, "no C++ compiler", "is damaged", "--force-reinstall")


def test_without_it_the_line_names_the_compiler_and_the_wheel(
    place, no_compiler, refusal, monkeypatch
):
    monkeypatch.setattr(prebuilt, "PACKAGE", "no_such_package")
    no_compiler()
    refusal(DeviceError, build_harness, "no C++ compiler", "or install the wheel pfd-mobile-device")


def test_another_kind_of_computer_hears_of_the_compiler_alone(
    place, no_compiler, refusal, monkeypatch
):
    make_bundle(place / "linux-x64", "linux-x64")
    monkeypatch.setattr(prebuilt, "_is_linux_x64", lambda: False)
    no_compiler()
    assert "pfd-mobile-device" not in refusal(DeviceError, build_harness, "no C++ compiler")


def test_a_compiler_that_is_named_and_missing_is_not_passed_over(
    place, no_compiler, refusal, monkeypatch
):
    make_bundle(place / "linux-x64", "linux-x64")
    no_compiler()
    monkeypatch.setenv("CXX", "/nowhere/c++")
    refusal(DeviceError, build_harness, "CXX is '/nowhere/c++', which is no program")


def test_it_is_taken_though_there_is_a_compiler_unless_a_build_is_asked_for(place, monkeypatch):
    for name in ("CXX", "PFD_ARM64_CXX"):
        monkeypatch.delenv(name, raising=False)
    make_bundle(place / "linux-x64", "linux-x64")
    assert build_harness().target == "linux-x64"

    def look(target):
        raise DeviceError(f"a compiler for {target} was looked for")

    monkeypatch.setattr(build, "find_toolchain", look)
    assert build_harness().target == "linux-x64"
    monkeypatch.setattr(build, "named_compiler", lambda target: "mine")
    with pytest.raises(DeviceError, match="for host was looked for"):
        build_harness(from_source=True)
