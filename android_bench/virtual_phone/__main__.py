"""``python -m android_bench.virtual_phone up | run -- COMMAND | down``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from android_bench.errors import VirtualPhoneError
from android_bench.virtual_phone.phone import DEFAULT_NAME, VirtualPhone, find, start
from pfd_models.errors import InputError, PfdError


def main(arguments: list[str]) -> int:
    """Carry out one verb and return the exit status; COMMAND's own for ``run``."""
    parser = argparse.ArgumentParser(
        prog="python -m android_bench.virtual_phone",
        description="A virtual Dimensity 1000+ with a real adbd; its times mean nothing.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start the phone and leave it running")
    run = verbs.add_parser("run", help="run a command beside the phone, as `run -- adb shell`")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    verbs.add_parser("down", help="stop the phone that `up` started")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.verb == "up":
            return _up()
        if chosen.verb == "down":
            return _down()
        return _run(chosen.command[1:] if chosen.command[:1] == ["--"] else chosen.command)
    except PfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status


def _up() -> int:
    phone = find(DEFAULT_NAME)
    if phone is None:
        phone = start(DEFAULT_NAME, outlive=True)
    sys.stdout.write(
        f"virtual phone {phone.serial} is up; use it with\n"
        f"  {os.path.basename(sys.executable)} -m android_bench.virtual_phone run -- adb shell\n"
    )
    return 0


def _down() -> int:
    phone = find(DEFAULT_NAME)
    if phone is None:
        sys.stdout.write("no virtual phone was up\n")
        return 0
    phone.stop()
    sys.stdout.write("the virtual phone is down\n")
    return 0


def _run(command: list[str]) -> int:
    if not command:
        raise InputError("run needs a command after --, as `run -- adb shell getprop`")
    phone = find(DEFAULT_NAME)
    if phone is not None:
        return _run_beside(phone, command)
    with start() as own:
        return _run_beside(own, command)


def _run_beside(phone: VirtualPhone, command: list[str]) -> int:
    """Run a command in the phone's network, with the machine's files and the phone's adb."""
    environment = {**os.environ, **phone.environment()}
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise InputError(f"there is no command {command[0]!r} here: check its spelling")
    child = os.fork()
    if child == 0:
        try:
            phone.enter()
            os.execve(program, command, environment)
        except OSError as error:
            sys.stderr.write(f"error: cannot run {command[0]} beside the phone: {error}\n")
            sys.stderr.flush()
        os._exit(VirtualPhoneError.exit_status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
