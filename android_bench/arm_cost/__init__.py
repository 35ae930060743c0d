"""What one inference costs on an ARM core, counted under an emulator: exact, and without a phone.

core        the core that is emulated, as the engines see it
emulator    a QEMU that takes plugins: found, or fetched from Debian
counter     the plugin, C, and its build
counting    one file, one core: count_file
operators   which of it each operator executes
"""

from __future__ import annotations

from android_bench.arm_cost.core import CORES, Core
from android_bench.arm_cost.counting import count_file

__all__ = ["CORES", "Core", "count_file"]
