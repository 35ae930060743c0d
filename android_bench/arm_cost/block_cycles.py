"""Cycles of the hottest blocks, by LLVM's model of a core's pipelines: ``llvm-mca``.

Each block is taken as a loop of its own that finds its data in the first level of the caches, and
its cycles are those of one of a hundred turns. What the blocks leave out is taken to be as fast as
they are. In LLVM, cortex-a76, a77 and a78 are names of the Cortex-A57's model, so a Cortex-A77 is
given the Neoverse N1's, which is a Cortex-A76 for servers; LLVM has it since version 17.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from android_bench.native_build.toolchain import output_of
from android_bench.records import ArmCount
from pfd_models.errors import DeviceError

__all__ = ["VARIABLE", "Analyser", "find_analyser"]

VARIABLE = "PFD_LLVM_MCA"

_LEAST_VERSION = 17
_NEWEST_VERSION = 30
_TURNS = 100
_DISASSEMBLER = "aarch64-linux-gnu-objdump"
_CPU = {"a77": "neoverse-n1", "a55": "cortex-a55"}
_LINE = re.compile(r"\s+[0-9a-f]+:\t[0-9a-f]{8} *\t(.*)")
_TARGET = re.compile(r"^((?:b|b\.\w+|bl|cbz|cbnz|tbz|tbnz) .*?)0x[0-9a-f]+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyser:
    """An llvm-mca that knows the cores.

    Attributes:
        command: What starts it.
        disassembler: An objdump that knows aarch64.
        version: Of LLVM, as ``19.1.7``.
    """

    command: str
    disassembler: str
    version: str

    def title(self, core: str) -> str:
        """Return what a document calls it, for a core of `CORES`."""
        return f"llvm-mca {self.version} -mcpu={_CPU[core]}"

    def count_cycles(self, count: ArmCount) -> float:
        """Return the modelled cycles of one inference, all its data being near.

        Raises:
            DeviceError: The analyser fails on the blocks, or the count holds none.
        """
        cycles = self._cycles_of({block.code for block in count.blocks}, count.core)
        seen = sum(block.instructions for block in count.blocks if block.code in cycles)
        if not seen:
            raise DeviceError(f"{self.command} understands none of the hottest blocks")
        hot = sum(block.runs * cycles[block.code] for block in count.blocks if block.code in cycles)
        return hot * count.counts.instructions / seen

    def _cycles_of(self, codes: set[str], core: str) -> Mapping[str, float]:
        """Return cycles by code; code of which no instruction is known is left out."""
        ordered = sorted(codes)
        regions = []
        for number, lines in enumerate(self._disassemble(ordered)):
            regions += [f"# LLVM-MCA-BEGIN {number}", *lines, "# LLVM-MCA-END"]
        done = subprocess.run(
            [
                *(self.command, "-march=aarch64", f"-mcpu={_CPU[core]}"),
                *("-mattr=+fullfp16,+dotprod", f"-iterations={_TURNS}", "-json"),
                "-skip-unsupported-instructions=any",
            ],
            input="\n".join(regions),
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            found = json.loads(done.stdout)["CodeRegions"]
            return {
                ordered[int(region["Name"])]: region["SummaryView"]["TotalCycles"] / _TURNS
                for region in found
            }
        except (ValueError, KeyError, TypeError) as error:
            said = (done.stderr.splitlines() or [f"status {done.returncode}"])[0]
            raise DeviceError(f"{self.command} cannot be used: {said[:300]}") from error

    def _disassemble(self, codes: Sequence[str]) -> list[list[str]]:
        """Return the instructions of each code as an assembler takes them."""
        words = [[code[i : i + 8] for i in range(0, len(code), 8)] for code in codes]
        with tempfile.NamedTemporaryFile(suffix=".bin") as file:
            little = (bytes.fromhex(word)[::-1] for block in words for word in block)
            file.write(b"".join(little))
            file.flush()
            printed = output_of(
                [self.disassembler, "-D", "-b", "binary", "-m", "aarch64", "-z", file.name]
            )
        lines = [_assemble(found[1]) for found in map(_LINE.match, printed.splitlines()) if found]
        if len(lines) != sum(map(len, words)):
            raise DeviceError(f"{self.disassembler} does not print what was expected of it")
        left = iter(lines)
        return [[next(left) for _ in block] for block in words]


def _assemble(printed: str) -> str:
    """Return an instruction as objdump prints it without remark; a branch goes to itself."""
    return _TARGET.sub(r"\1.", printed.partition("//")[0].strip().replace("\t", " "))


def find_analyser() -> Analyser:
    """Find an llvm-mca: the one that is named, or the newest on PATH.

    Raises:
        DeviceError: There is none that knows the cores, or no objdump for aarch64.
    """
    named = os.environ.get(VARIABLE)
    names = [named] if named else ["llvm-mca", *map("llvm-mca-{}".format, _versions())]
    disassembler = shutil.which(_DISASSEMBLER)
    if disassembler is None:
        raise DeviceError(f"there is no {_DISASSEMBLER}: apt-get install g++-aarch64-linux-gnu")
    for name in names:
        version = re.search(r"LLVM version (\d+)(\.\S+)?", output_of([name, "--version"]))
        if version is not None and int(version[1]) >= _LEAST_VERSION:
            full = version[1] + (version[2] or "")
            return Analyser(command=name, disassembler=disassembler, version=full)
    raise DeviceError(
        f"{names[0]} is no llvm-mca of LLVM {_LEAST_VERSION} or newer, which knows these cores: "
        f"apt-get install llvm-19 on Debian, or name one in {VARIABLE}"
    )


def _versions() -> range:
    return range(_NEWEST_VERSION, _LEAST_VERSION - 1, -1)
