"""How long from nothing to a number: from `pip install` to a latency on the virtual phone.

Two ways, each in a fresh environment and with empty caches of its own, one after the other:

* this project: its wheel and the prebuilt harness, then one command that builds the files, checks
  them and measures on the virtual phone, whose times mean nothing: what counts is how long it took;
* litert-cli (PyPI), with what its converter needs, then its conversion of the same network. It
  stops there: it measures on phones by an adb program and a runner that it downloads, neither of
  which is in a package, so its number is "install and convert" and has no measurement in it.

Both install PyTorch from where pip is told to look, and pip's cache is off, so most of what is
timed is the network.

Example:
    pip install build && python -m build --wheel
    python tools/build_device_bundle.py --out dist
    python benchmarks/first_number.py --ours dist/*.whl
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WAYS = ("pfd-mobile", "litert-cli")

LITERT_CLI = "litert-cli[convert]==0.2.1"

# What litert-cli's converter is given: the same network, from this project's wheel.
SCRIPT = """\
import pfd_models
import torch


def get_model():
    return pfd_models.create_model({model!r}, variant={variant!r}).eval()


def get_args():
    return (torch.zeros(1, 3, 32, 32),)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a way: what it is called, and its command."""

    name: str
    command: tuple[str, ...]


def list_stages(way: str, folder: Path, options: argparse.Namespace) -> list[Stage]:
    """Return the steps of a way, with programs of the environment in `folder`."""
    programs = folder / "environment" / "bin"
    pip = (str(programs / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir")
    stages = [
        Stage(name="environment", command=(sys.executable, "-m", "venv", str(programs.parent)))
    ]
    wheels = tuple(str(path.resolve()) for path in options.ours)
    if way == "pfd-mobile":
        run = ("--device", "virtual", "--model", options.model, "--variant", options.variant)
        return [
            *stages,
            Stage(name="install", command=(*pip, *wheels)),
            Stage(
                name="build, check and measure",
                command=(str(programs / "pfd-bench"), *run, "--budget", "10"),
            ),
        ]
    script = folder / "network.py"
    script.write_text(SCRIPT.format(model=options.model, variant=options.variant))
    return [
        *stages,
        Stage(name="install", command=(*pip, LITERT_CLI)),
        # Only for the network itself, so without what this project would install.
        Stage(name="the network", command=(*pip, "--no-deps", *wheels, "msgspec", "safetensors")),
        Stage(
            name="convert",
            command=(str(programs / "litert"), "convert", str(script), "--output", str(folder)),
        ),
    ]


def run_stage(stage: Stage, folder: Path) -> tuple[float, str]:
    """Run a step with caches of its own; return its seconds and why it failed, if it did."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PFD_CACHE_DIR": str(folder / "cache"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    begin = time.perf_counter()
    done = subprocess.run(
        stage.command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = time.perf_counter() - begin
    if done.returncode == 0:
        return seconds, ""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return seconds, lines[-1] if lines else f"status {done.returncode}"


def time_way(way: str, options: argparse.Namespace) -> bool:
    """Run a way to its end and print each step as it ends; False when a step failed."""
    total = 0.0
    with tempfile.TemporaryDirectory(prefix="first-number-") as temporary:
        folder = Path(temporary)
        for stage in list_stages(way, folder, options):
            seconds, failure = run_stage(stage, folder)
            total += seconds
            print(f"| {way} | {stage.name} | {seconds:.1f} |{f' {failure}' if failure else ''}")
            if failure:
                return False
        print(f"| {way} | **together** | **{total:.1f}** |", flush=True)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, time both ways and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ours", type=Path, nargs="+", required=True, help="this project's wheels")
    parser.add_argument("--model", default="shufflenetv2")
    parser.add_argument("--variant", default="ours")
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=WAYS,
        default=WAYS,
        help="default: both",
    )
    options = parser.parse_args(arguments)
    if missing := [str(path) for path in options.ours if not path.is_file()]:
        parser.error(f"--ours {missing[0]} is no file; give the wheels that were built")
    if not any(path.name.startswith("pfd_mobile-") for path in options.ours):
        parser.error("--ours lacks the wheel of pfd-mobile itself: python -m build --wheel")
    print("| way | step | seconds |\n|---|---|---|", flush=True)
    ended = [time_way(way, options) for way in options.ways]  # also after one that failed
    return 0 if all(ended) else 1


if __name__ == "__main__":
    sys.exit(main())
