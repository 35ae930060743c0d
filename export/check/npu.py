"""Does the compiler of a phone's NPU take a .tflite file? What can be said without the phone."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from export.check.gpu import read_file
from export.check.plugins import VENDORS, Vendor, find_sdk, list_socs, read_operators, wheel_folder
from export.onnx_to_tflite.listing import FileOperator, list_operators
from pfd_models.errors import InputError, SpecError, unknown

__all__ = ["NpuReport", "check_npu", "find_soc"]

_TIMEOUT_SECONDS = 600.0
_PARTITIONED = re.compile(
    r"Partitioned subgraph<\d+>, selected (\d+) ops, from a total of (\d+) ops\. resulted in (\d+)"
)
_ERROR = re.compile(r"ERROR: \[[^\]]+\] (?!ERROR)(.+)")
# Marketing names and other spellings, for the nearest chip: the maker's own pages.
_OTHER_NAMES = {
    "DIMENSITY1000+": "MT6889",
    "DIMENSITY1000": "MT6889",
    "DIMENSITY1200": "MT6893",
    "DIMENSITY9000": "MT6983",
    "DIMENSITY9200": "MT6985",
    "DIMENSITY9300": "MT6989",
    "DIMENSITY9400": "MT6991",
    "DIMENSITY9500": "MT6993",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NpuReport:
    """What an NPU's compiler plugin says of a file.

    Attributes:
        file: Its name.
        vendor: The NPU's maker.
        soc: The chip, as the plugin calls it, or as it was asked for where it does not know it.
        soc_known: Whether the plugin compiles for it.
        soc_sentence: The same in words, with the nearest chip where it does not.
        operators: In the file.
        outside: Operators that are not on the plugin's list; None where it holds none.
        operators_unknown_because: Why there is no list; empty where there is one.
        compilation: What compiling ahead of time gave, or why it was not tried.
        compiled: Whether it was done.
    """

    file: str
    vendor: str
    soc: str
    soc_known: bool
    soc_sentence: str
    operators: int
    outside: tuple[FileOperator, ...] | None
    operators_unknown_because: str
    compilation: str
    compiled: bool

    @property
    def covered(self) -> int:
        """How many operators are on the plugin's list."""
        return self.operators - len(self.outside or ())

    @property
    def passed(self) -> bool:
        """Whether nothing that could be asked speaks against it."""
        return self.soc_known and not self.outside


def check_npu(path: Path, vendor_name: str, soc: str) -> NpuReport:
    """Ask a maker's plugin about a file and a chip.

    Args:
        path: A .tflite file of any origin.
        vendor_name: One of `plugins.VENDORS`.
        soc: The chip, in any case and with or without hyphens.

    Raises:
        SpecError: There is no such maker.
        InputError: The file cannot be read.
        DeviceError: The installed wheel is not the one this was made for.
    """
    if vendor_name not in VENDORS:
        raise SpecError(unknown("NPU", vendor_name, VENDORS))
    vendor = VENDORS[vendor_name]
    operators = list_operators(read_file(path), name=str(path))
    known, name, sentence = find_soc(vendor, soc)
    listed = read_operators(vendor)
    outside = None if listed is None else tuple(o for o in operators if o.kind not in listed)
    compiled, compilation = _compile(path, vendor, name) if known else (False, "no such chip")
    return NpuReport(
        file=path.name,
        vendor=vendor.name,
        soc=name,
        soc_known=known,
        soc_sentence=sentence,
        operators=len(operators),
        outside=outside,
        operators_unknown_because=""
        if listed is not None
        else f"{vendor.manufacturer}'s plugin holds no list, it asks the SDK about each operator",
        compilation=compilation,
        compiled=compiled,
    )


def find_soc(vendor: Vendor, asked: str) -> tuple[bool, str, str]:
    """Return whether a plugin knows a chip, what it calls it, and both in words.

    Raises:
        InputError: No chip is named.
    """
    socs = list_socs(vendor)
    wanted = _plain(asked)
    if not wanted:
        raise InputError(f"--soc {asked!r} names no chip: give one of {', '.join(socs)}")
    wanted = _plain(_OTHER_NAMES.get(wanted, asked))
    by_plain = {_plain(name): name for name in socs}
    if wanted in by_plain:
        name = by_plain[wanted]
        return True, name, f"{vendor.manufacturer}'s compiler knows {name}"
    shown = asked.strip().upper() if wanted == _plain(asked) else f"{wanted} ({asked.strip()})"
    start = f"{vendor.manufacturer}'s compiler in ai-edge-litert does not know {shown}"
    nearest = _nearest(wanted, list(by_plain))
    if nearest is None:
        return False, shown, f"{start}; it knows {', '.join(socs)}"
    return (
        False,
        shown,
        (
            f"{start}; the nearest of its {len(socs)} is {by_plain[nearest]}, and a file compiled "
            "for one chip runs on no other"
        ),
    )


def _plain(name: str) -> str:
    return "".join(c for c in name.upper() if c.isalnum() or c == "+")


def _nearest(wanted: str, known: list[str]) -> str | None:
    """Return the nearest number behind equal letters, or the most similar name; None for none."""
    digits = re.sub(r"\D", "", wanted)
    alike = [name for name in known if digits and _letters(name) == _letters(wanted)]
    if alike:
        return min(alike, key=lambda name: (abs(int(re.sub(r"\D", "", name)) - int(digits)), name))
    return next(iter(difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)), None)


def _letters(name: str) -> str:
    return re.sub(r"\d.*", "", name)


def _compile(path: Path, vendor: Vendor, soc: str) -> tuple[bool, str]:
    """Compile where the maker's libraries are; return whether it worked, and what it gave."""
    libraries, missing = find_sdk(vendor)
    if libraries is None:
        return False, f"not tried: {missing}"
    wheel = wheel_folder()
    with tempfile.TemporaryDirectory(prefix="pfd-npu-") as folder:
        target = Path(folder) / "compiled.tflite"
        paths = [str(libraries), os.environ.get("LD_LIBRARY_PATH", "")]
        try:
            done = subprocess.run(
                [
                    str(wheel / "tools" / "apply_plugin_main"),
                    "--cmd=apply",
                    f"--model={path.resolve()}",
                    f"--o={target}",
                    f"--soc_manufacturer={vendor.manufacturer}",
                    f"--soc_model={soc.lower() if vendor.name == 'mediatek' else soc}",
                    f"--libs={wheel / 'vendors' / vendor.folder / 'compiler'}",
                    "--err=--",
                ],
                env={**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths))},
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return False, f"failed: {str(error)[:200]}"
        log = done.stdout + done.stderr
        if done.returncode or not target.exists():
            return False, f"failed: {_error_line(log)}"
    found = _PARTITIONED.search(log)
    if found is None:
        return True, "done"
    return True, f"done: {found[1]} of {found[2]} operators in {found[3]} pieces"


def _error_line(log: str) -> str:
    """Return the first error's words: what follows only says where it was passed on."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [match[1] for line in lines if (match := _ERROR.match(line))]
    return (*errors, *reversed(lines), "it says nothing")[0][:200]
