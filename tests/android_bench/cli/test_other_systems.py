"""A phone on a Mac or on Windows: the whole way, with what those systems lack hidden from us.

The phone is the virtual one, reached over TCP as one on the network is. Neither system was seen.
"""

import os
import socket
import subprocess
import sys
import threading

import pytest

from android_bench.native_build.build import build_harness
from android_bench.native_build.prebuilt import PACKAGE
from android_bench.store import open_store
from pfd_models.errors import DeviceError

MAIN = "android_bench.cli.main"


def pump(source, target):
    """Move bytes until one side closes."""
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
    finally:
        target.close()


@pytest.fixture
def address(phone):
    """Where the phone's daemon answers on this computer's own network."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    here, _ = server.accept()
                except OSError:
                    return
                there = phone.dial()
                there.setblocking(True)  # its other end made it so for both
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def run_as(repository, tmp_path):
    """Run the bench's command as on another system, with the harness that a wheel brings."""
    package = tmp_path / "site" / PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    try:
        (package / "linux-arm64").symlink_to(build_harness("linux-arm64").folder)
    except DeviceError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    program = repository / "tests/support/other_system.py"

    def call(system, *arguments):
        paths = os.pathsep.join([str(repository), str(package.parent)])
        return subprocess.run(
            [sys.executable, "-W", "ignore", program, system, MAIN, *arguments],
            env={**os.environ, "PYTHONPATH": paths, "PFD_ARM64_CXX": "", "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call


@pytest.mark.parametrize("system", [pytest.param("darwin", marks=pytest.mark.slow), "win32"])
def test_a_campaign_on_a_phone_runs_from_another_system(
    system, run_as, address, tiny_set, tmp_path
):
    files = sorted(str(path) for path in tiny_set.glob("*.pte"))
    done = run_as(
        system, "run", "--serial", address, "--budget", "5", "--cores", "any", "--store",
        "b.sqlite", "--artifacts", *files,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    with open_store(str(tmp_path / "b.sqlite")) as store:
        (campaign,) = store.campaigns()
        assert store.blocks(campaign.campaign_id) or store.heats(campaign.campaign_id)


def test_this_computer_is_measured_on_linux_alone(run_as, tiny_set):
    file = next(tiny_set.glob("*.pte"))
    done = run_as("win32", "run", "--budget", "1", "--artifacts", str(file))
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == (
        "error: measuring on this computer needs Linux, and this is Windows: name a phone with "
        "--serial"
    )
