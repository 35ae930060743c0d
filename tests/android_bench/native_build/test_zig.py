"""Building with PyPI's compiler: what is missing is named, what it takes is part of the key."""

import sys
import types

import pytest

from android_bench.native_build import zig
from android_bench.native_build.zig import DeviceLibraries, find_zig
from pfd_models.errors import DeviceError


@pytest.fixture
def ziglang(tmp_path, monkeypatch):
    """A package ziglang that compiles nothing, and ninja."""
    package = tmp_path / "site/ziglang"
    (package / "lib/libcxx").mkdir(parents=True)
    for name in ("__init__.py", "zig", "LICENSE", "lib/libcxx/LICENSE.TXT"):
        (package / name).write_text(name)
    (package / "zig").chmod(0o755)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(zig.importlib.metadata, "version", lambda name: "0.17.1")
    monkeypatch.setattr(zig, "_generator", lambda: ("-G", "Ninja"))
    yield package
    sys.modules.pop("ziglang", None)


def test_its_libraries_come_from_the_folder_that_is_given_and_from_nowhere_else(ziglang, tmp_path):
    folder = tmp_path / "libraries"
    folder.mkdir()
    (folder / "libc.so.6").write_text("")
    found = find_zig("linux-arm64", DeviceLibraries(folder=folder, licence_texts={}))
    assert found.library("libc.so.6") == folder / "libc.so.6"
    assert found.library("libm.so.6") is None
    assert found.compiler_arguments[:3] == ("c++", "-target", "aarch64-linux-gnu.2.34")
    assert found.licence_texts == {"libc++": "lib/libcxx/LICENSE.TXT", "zig": "LICENSE"}


def test_without_the_packages_the_line_says_what_to_install(monkeypatch, refusal):
    monkeypatch.setattr(
        zig,
        "importlib",
        types.SimpleNamespace(util=types.SimpleNamespace(find_spec=lambda n: None)),
    )
    refusal(DeviceError, lambda: find_zig("linux-arm64"), "no ziglang", "'pfd-mobile[device]'")
    monkeypatch.setenv("PATH", "")
    refusal(DeviceError, zig._generator, "neither ninja nor make", "'pfd-mobile[device]'")


def test_ninja_is_found_where_its_package_has_it_though_path_does_not(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "ninja"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o755)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "ninja.py").write_text(f"BIN_DIR = {str(program.parent)!r}\n")
    monkeypatch.delitem(sys.modules, "ninja", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PATH", "")
    assert zig._generator() == ("-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={program}")
    sys.modules.pop("ninja")
