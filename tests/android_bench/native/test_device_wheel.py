"""pfd-mobile-device, made and installed: a measurement on a machine without a compiler."""

import dataclasses
import json
import os
import sys
import zipfile

import pytest
from installed_wheel import run

pytestmark = pytest.mark.slow

MEASURE = """
import json, sys
from android_bench.harness.client import Job, Schedule, describe, run_block
from android_bench.native_build.build import build_harness

job, schedule = json.load(sys.stdin)
built = build_harness()
result = run_block(describe([str(built.program)]), Job(**job), Schedule(**schedule))
checks = [v.passed for v in result.verifications]
print(built.target, result.status.value, len(checks), all(checks))
"""

FIND = """
from android_bench.native_build.build import build_harness
built = build_harness("linux-arm64")
print(built.folder, built.bundle.loader)
"""


@pytest.fixture(scope="module")
def device_wheel(make_once, repository, arm64_built):
    tool = repository / "tools/build_device_bundle.py"
    command, paths = [sys.executable, tool, "--out"], {"PYTHONPATH": str(repository)}
    folder = make_once("device_wheel", lambda folder: run([*command, folder], env=paths))
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture
def bare(installed, device_wheel, tmp_path):
    """Run a program text where both wheels are installed and PATH has no compiler."""
    installed.install(device_wheel)
    (tmp_path / "bin").mkdir()

    def call(text, **more):
        environment = {"PATH": str(tmp_path / "bin"), "PFD_CACHE_DIR": str(tmp_path / "cache")}
        environment |= {"CXX": "", "PFD_ARM64_CXX": ""}
        return run([installed.python, "-c", text], cwd=tmp_path, env=environment, **more)

    return call


@pytest.mark.parametrize("engine", ["executorch", "litert"])
def test_a_host_measurement_verifies_without_a_compiler(bare, network, quick, engine):
    job, schedule = dataclasses.asdict(network.job(engine)), dataclasses.asdict(quick)
    said = bare(MEASURE, input=json.dumps([job, schedule]))
    assert said.split() == ["linux-x64", "done", "2", "True"]


def test_a_phones_bundle_lies_where_pip_put_it(bare, installed):
    folder, loader = bare(FIND).split()
    assert folder.startswith(str(installed.folder))
    assert os.access(f"{folder}/{loader}", os.X_OK)


def test_the_wheel_has_a_licence_text_for_whatever_is_in_it_and_no_path_of_this_machine(
    device_wheel, repository
):
    assert device_wheel.stat().st_size <= 25_000_000
    with zipfile.ZipFile(device_wheel) as archive:
        for target in ("linux-x64", "linux-arm64"):
            place = f"pfd_mobile_device/{target}"
            bundle = json.loads(archive.read(f"{place}/build.json"))["bundle"]
            for file in bundle["files"]:
                text = archive.read(f"{place}/{bundle['licence_texts'][file['origin']]}")
                assert len(text) > 1000
                if file["origin"] == "pfd-mobile":
                    content = archive.read(f"{place}/{file['file']}")
                    assert str(repository).encode() not in content
                    assert sys.prefix.encode() not in content
