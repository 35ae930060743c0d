"""What another system calls differently, as far as it can be seen on this one."""

import fcntl
import importlib
import os
import re
import sys

import pytest
from other_system import WindowsLocks

from pfd_models import operating_system


@pytest.fixture
def windows(monkeypatch):
    """The module as Windows imports it."""
    monkeypatch.setitem(sys.modules, "msvcrt", WindowsLocks(fcntl))
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delattr(os, "fchmod")
    monkeypatch.delattr(os, "O_NOFOLLOW")
    monkeypatch.delitem(sys.modules, operating_system.__name__)
    yield importlib.import_module(operating_system.__name__)
    monkeypatch.undo()
    sys.modules[operating_system.__name__] = operating_system


@pytest.fixture(params=["here", "windows"])
def system(request):
    return operating_system if request.param == "here" else request.getfixturevalue("windows")


def is_held(system, path):
    """Say whether another process finds it locked."""
    child = os.fork()
    if child == 0:
        try:
            system.lock_file(system.open_shared(path), wait=False)
        except BlockingIOError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_lock_is_held_against_others_until_its_file_is_closed(system, tmp_path):
    path = tmp_path / "x.lock"
    descriptor = system.open_shared(path)
    system.lock_file(descriptor)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, b"pid 1")
    assert is_held(system, path)
    os.close(descriptor)
    assert not is_held(system, path)
    assert path.read_bytes() == b"pid 1"


def test_windows_counts_all_cpus_and_starts_a_group_of_its_own(windows):
    assert windows.usable_cpus() == tuple(range(os.cpu_count()))
    assert windows.OWN_GROUP == {"creationflags": 0x200}


# What one system alone has, as it would stand in a source.
ONE_SYSTEMS = re.compile(
    r"^\s*(?:import|from) (?:fcntl|resource|pwd|grp|termios|tty|pty|msvcrt|winreg)\b"
    r"|os\.(?:killpg|setsid|fork|getuid|geteuid|getpgid|sched_\w+|fchmod|pread|pwrite|getloadavg)\b"
    r"|\bstart_new_session\b|\bcreationflags\b|signal\.SIG(?:KILL|STOP|CONT|HUP)\b",
    re.MULTILINE,
)


def test_nothing_but_this_module_and_the_virtual_phone_asks_for_what_one_system_has(repository):
    asking = set()
    for package in ("pfd_models", "export", "android_bench"):
        for path in sorted((repository / package).rglob("*.py")):
            if ONE_SYSTEMS.search(path.read_text(encoding="utf-8")):
                asking.add(path.relative_to(repository).as_posix())
    elsewhere = {name for name in asking if not name.startswith("android_bench/virtual_phone/")}
    # Beside each other things are made by forking, on Linux alone.
    assert elsewhere == {"pfd_models/operating_system.py", "export/formats/_beside.py"}
