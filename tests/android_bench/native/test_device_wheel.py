"""pfd-mobile-device, made and installed: a measurement on a machine without a compiler."""

import dataclasses
import json
import os
import re
import shutil
import site
import sys
import zipfile
from pathlib import Path

import pytest
from extra_environment import make_environment
from installed_wheel import run

from android_bench.harness.client import Schedule, profile_operators, run_block
from android_bench.harness.result import Status
from android_bench.native_build.build import Built
from android_bench.native_build.bundle import LOADER
from android_bench.native_build.record import read_whole_build
from android_bench.virtual_phone import packages
from android_bench.virtual_phone.emulated_core import A55, A77, emulate
from export.sets.files import sha256_file
from pfd_models.errors import InputError

pytestmark = pytest.mark.slow

each_engine = pytest.mark.parametrize("engine", ["executorch", "litert"])
SHORT = Schedule(iterations=1, warmup_iterations=1, warmup_seconds=0.0, timeout_seconds=120.0)

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

COUNT = """
from android_bench.arm_cost.building import build_counter
counter = build_counter()
print(counter.plugin, counter.clock_marks)
"""

RUN = """
import json, sys
from android_bench.cli.main import main
print("status", main(json.load(sys.stdin)))
"""

# Another compiler would make other bytes.
COMPILER = ("ziglang==0.17.1", "ninja>=1.11")


_COMPILERS = re.compile(r"gcc|[gc]\+\+|clang|^cc$|^c[89]9|^zig|^cmake$|^ninja$|^g?make$|^ld|-ld$")


def link_all_but_compilers(folder):
    """Fill a folder for PATH with the programs of this machine that build nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in map(Path, os.environ["PATH"].split(os.pathsep)):
        for program in place.iterdir() if place.is_dir() else ():
            link = folder / program.name
            if not _COMPILERS.search(program.name) and not link.is_symlink():
                link.symlink_to(program)


@pytest.fixture(scope="module")
def make_wheel(repository):
    """Make the wheel from a checkout, with PyPI's packages alone: no compiler is on PATH."""
    python = make_environment("device-wheel", COMPILER)

    def call(checkout, folder, cache, *options):
        link_all_but_compilers(folder / "bin")
        environment = {
            "PYTHONPATH": os.pathsep.join([str(checkout), *site.getsitepackages()]),
            "PATH": str(folder / "bin"),
            "PFD_CACHE_DIR": str(cache),
        }
        out = folder / "dist"
        tool = checkout / "tools/build_device_bundle.py"
        run([python, tool, "--out", out, *options], env=environment, cwd=folder)
        (wheel,) = out.glob("*.whl")
        return wheel

    return call


@pytest.fixture(scope="module")
def device_wheel(make_once, repository, make_wheel):
    folder = make_once(
        "device_wheel", lambda folder: make_wheel(repository, folder, folder / "cache")
    )
    (wheel,) = folder.glob("dist/*.whl")
    return wheel


@pytest.fixture
def bare(installed, device_wheel, tmp_path):
    """Run a program text where both wheels are installed and PATH has no compiler."""
    installed.install(device_wheel)
    link_all_but_compilers(tmp_path / "bin")
    (tmp_path / "cache").mkdir()
    # Debian's packages that the virtual phone is made of are not fetched again.
    (tmp_path / "cache/virtual-phone").symlink_to(packages.cache_folder())

    def call(text, **more):
        environment = {"PATH": str(tmp_path / "bin"), "PFD_CACHE_DIR": str(tmp_path / "cache")}
        environment |= {"CXX": "", "PFD_ARM64_CXX": ""}
        return run([installed.python, "-c", text], cwd=tmp_path, env=environment, **more)

    return call


@each_engine
def test_a_host_measurement_verifies_without_a_compiler(bare, network, quick, engine):
    job, schedule = dataclasses.asdict(network.job(engine)), dataclasses.asdict(quick)
    said = bare(MEASURE, input=json.dumps([job, schedule]))
    assert said.split() == ["linux-x64", "done", "2", "True"]


def test_the_same_wheel_comes_from_another_folder_and_takes_the_libraries_of_the_first(
    device_wheel, make_wheel, repository, tmp_path
):
    checkout = tmp_path / "another/place"
    for name in ("pfd_models", "export", "android_bench", "tools"):
        shutil.copytree(repository / name, checkout / name)
    for name in ("LICENSE", "pyproject.toml"):
        shutil.copy(repository / name, checkout / name)
    options = ("--libraries", device_wheel)
    again = make_wheel(checkout, tmp_path, tmp_path / "another cache", *options)
    assert sha256_file(again) == sha256_file(device_wheel)


@pytest.fixture(scope="module")
def from_the_wheel(device_wheel, tmp_path_factory):
    """The phone's harness of the wheel, on an emulated phone."""
    place = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(device_wheel) as archive:
        archive.extractall(place)
    folder = place / "pfd_mobile_device/linux-arm64"
    for name in ("pfd_bench", "pfd_bare_loop", LOADER):
        (folder / name).chmod(0o755)  # a zip file's reader leaves that to its caller
    built = Built(folder=folder, record=read_whole_build(folder), from_cache=True)
    return emulate(built, "cortex-a76", place / "core", parts=[A55] * 4 + [A77] * 4)


@each_engine
def test_it_computes_what_the_harness_of_debians_compiler_computes(
    from_the_wheel, arm64_harness, network, engine
):
    both = [run_block(each, network.job(engine), SHORT) for each in (arm64_harness, from_the_wheel)]
    assert [result.status for result in both] == [Status.DONE] * 2
    assert both[0].verifications
    assert both[0].verifications == both[1].verifications  # the distances, to the last digit


@each_engine
def test_it_names_the_operators_that_the_other_names(
    from_the_wheel, arm64_harness, network, engine
):
    job = network.job(engine)
    here, there = (
        profile_operators(each, job, SHORT, iterations=1)
        for each in (arm64_harness, from_the_wheel)
    )
    assert here.operators
    assert [o.name for o in here.operators] == [o.name for o in there.operators]


@each_engine
def test_an_engines_error_reaches_the_program_though_each_has_its_own_runtime(
    from_the_wheel, network, engine, tmp_path
):
    whole = Path(network.job(engine).model).read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="refuses the file"):
        run_block(from_the_wheel, network.job(engine, model=str(tmp_path / "half")), SHORT)


def test_the_counter_of_pfd_arm_needs_no_compiler(bare, installed):
    plugin, marks = bare(COUNT).split()
    assert plugin.startswith(str(installed.folder))
    assert Path(marks).stat().st_size > 0


def test_a_campaign_on_the_virtual_phone_needs_no_compiler(bare, session_phone, tiny_set):
    files = sorted(str(path) for path in tiny_set.glob("*.pte"))
    said = bare(
        RUN,
        input=json.dumps(["run", "--device", "virtual", "--budget", "2", "--artifacts", *files]),
    )
    assert said.splitlines()[-1] == "status 0"


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
