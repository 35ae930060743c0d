"""Time that passes only when somebody waits, so that a campaign of minutes takes none."""

import inspect
import sys
import time
import types


class VirtualTime:
    """Stands in for the module `time`: what is not about waiting is the module's own."""

    def __init__(self):
        self._now_ns = 1_000 * 10**9

    def monotonic_ns(self):
        return self._now_ns

    def monotonic(self):
        return self._now_ns / 1e9

    def sleep(self, seconds):
        self._now_ns += round(seconds * 1e9)

    def __getattr__(self, name):
        return getattr(time, name)


PACKAGES = ("android_bench.campaign", "android_bench.devices")


def run_on(virtual, patch, packages=PACKAGES):
    """Let packages go by a virtual clock until the patch is undone.

    Changed are the name `time` in their modules, and a clock or a sleep that is the default of a
    parameter there. A caller that passes its own keeps it.
    """
    inside = tuple(f"{package}." for package in packages)
    for name, module in list(sys.modules.items()):
        if not f"{name}.".startswith(inside):
            continue
        if getattr(module, "time", None) is time:
            patch.setattr(module, "time", virtual)
        for member in vars(module).values():
            if getattr(member, "__module__", None) == name:
                _change_defaults(virtual, patch, member)


def _change_defaults(virtual, patch, member):
    function = inspect.unwrap(member.__init__ if isinstance(member, type) else member)
    if not isinstance(function, types.FunctionType):
        return
    defaults = function.__kwdefaults__ or {}
    for parameter, value in list(defaults.items()):
        for real in (time.monotonic, time.sleep):
            if value is real:
                patch.setitem(defaults, parameter, getattr(virtual, real.__name__))
