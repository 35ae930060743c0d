"""The NDK preset, as far as it goes without an NDK: what is missing is one line."""

import zipfile

import pytest

from android_bench.native_build.build import build_harness
from android_bench.native_build.ndk import find_executorch, find_litert, ndk_compiler
from android_bench.native_build.runtimes import find_runtimes
from pfd_models.errors import DeviceError


@pytest.fixture(autouse=True)
def nothing_is_named(monkeypatch):
    for name in ("ANDROID_NDK", "PFD_LITERT_ANDROID", "PFD_EXECUTORCH_ANDROID"):
        monkeypatch.delenv(name, raising=False)


def test_what_is_missing_is_one_line(monkeypatch, tmp_path, one_line):
    with pytest.raises(DeviceError) as error:
        build_harness("android-arm64")
    one_line(error, 3, "ANDROID_NDK", "--target")
    monkeypatch.setenv("ANDROID_NDK", str(tmp_path))
    with pytest.raises(DeviceError) as error:
        build_harness("android-arm64")
    one_line(error, 3, str(tmp_path), "aarch64-linux-android26-clang++")
    with pytest.raises(DeviceError) as error:
        find_runtimes("android-arm64")
    one_line(error, 3, "PFD_LITERT_ANDROID", "PFD_EXECUTORCH_ANDROID")


def test_an_ndk_is_found(monkeypatch, tmp_path):
    program = tmp_path / "toolchains/llvm/prebuilt/linux-x86_64/bin/aarch64-linux-android26-clang++"
    program.parent.mkdir(parents=True)
    program.touch()
    monkeypatch.setenv("ANDROID_NDK", str(tmp_path))
    assert ndk_compiler() == program


def test_litert_comes_from_its_aar(monkeypatch, tmp_path, one_line):
    aar = tmp_path / "litert.aar"
    with zipfile.ZipFile(aar, "w") as archive:
        archive.writestr("jni/arm64-v8a/libLiteRt.so", "library")
    monkeypatch.setenv("PFD_LITERT_ANDROID", str(aar))
    assert (find_litert(tmp_path) / "libLiteRt.so").read_text() == "library"
    with zipfile.ZipFile(aar, "w") as archive:
        archive.writestr("classes.jar", "")
    with pytest.raises(DeviceError) as error:
        find_litert(tmp_path)
    one_line(error, 3, "jni/arm64-v8a/libLiteRt.so")
    monkeypatch.setenv("PFD_LITERT_ANDROID", str(tmp_path / "missing"))
    with pytest.raises(DeviceError, match="name LiteRT's AAR"):
        find_litert(tmp_path)


def test_executorch_comes_from_its_prefix(monkeypatch, tmp_path):
    monkeypatch.setenv("PFD_EXECUTORCH_ANDROID", str(tmp_path))
    with pytest.raises(DeviceError, match="install prefix"):
        find_executorch()
    (tmp_path / "executorch-config.cmake").touch()
    assert find_executorch() == tmp_path
