"""Run a module of ours as if this were macOS or Windows.

    python tests/support/other_system.py win32 android_bench.cli.main doctor --serial ...

What those systems lack is hidden from our modules: libraries of others were imported before, and
go on with what they found. The names of files stay those of this system.
"""

import importlib
import os
import signal
import socket
import sys
import types

ONLY_LINUX = {
    os: ("sched_getaffinity", "sched_setaffinity"),
    socket: ("AF_NETLINK",),
}
NOT_WINDOWS = {
    os: (
        "fork", "killpg", "setsid", "getpgid", "getuid", "geteuid", "fchmod", "pread", "pwrite",
        "sysconf", "uname", "getloadavg", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK",
    ),
    signal: ("SIGKILL", "SIGHUP", "SIGSTOP", "SIGCONT", "pthread_sigmask"),
    socket: ("AF_UNIX",),
}  # fmt: skip
NO_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty")
OURS = ("android_bench", "export", "pfd_models", "tools")


class WindowsLocks(types.ModuleType):
    """msvcrt, as far as locks of a file's bytes go, kept by the real system's locks."""

    LK_NBLCK = 2

    def __init__(self, fcntl):
        super().__init__("msvcrt")
        self._fcntl = fcntl

    def locking(self, descriptor, mode, size):
        assert mode == self.LK_NBLCK
        begin = os.lseek(descriptor, 0, os.SEEK_CUR)
        self._fcntl.lockf(
            descriptor, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB, size, begin, os.SEEK_SET
        )


def hide(system):
    """Forget our modules, and hide what the system lacks."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    hidden = [ONLY_LINUX]
    missing = ["resource"] if system == "win32" else []
    if system == "win32":
        hidden.append(NOT_WINDOWS)
        missing = NO_MODULES
        sys.modules["msvcrt"] = WindowsLocks(importlib.import_module("fcntl"))
    for names in hidden:
        for module, attributes in names.items():
            for attribute in attributes:
                if hasattr(module, attribute):
                    delattr(module, attribute)
    for name in missing:
        sys.modules[name] = None
    sys.platform = system


def main():
    system, module, *arguments = sys.argv[1:]
    importlib.import_module(module)  # with the libraries that it needs
    for library in ("multiprocessing.resource_tracker", "sqlalchemy.dialects.sqlite"):
        importlib.import_module(library)
    hide(system)
    ours = importlib.import_module(module)
    ours_main = ours.main
    sys.argv = [module, *arguments]
    sys.exit(ours_main(arguments))


if __name__ == "__main__":
    main()
