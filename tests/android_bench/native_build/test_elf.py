"""Which libraries a file asks for: as readelf says, and damaged files in one line."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from android_bench.native_build.elf import needed_libraries
from pfd_models.errors import DeviceError

PYTHON = Path(sys.executable).resolve()


@pytest.fixture
def libraries():
    """Files of this computer that name many libraries, one and none."""
    import ai_edge_litert

    found = sorted(Path(ai_edge_litert.__file__).parent.glob("*.so"))[:5]
    return [PYTHON, *found]


def test_the_names_are_those_that_readelf_prints(libraries):
    for path in libraries:
        said = subprocess.run(
            ["readelf", "--dynamic", "--wide", path], capture_output=True, text=True, check=True
        ).stdout
        assert needed_libraries(path) == re.findall(r"\(NEEDED\).*\[(.+)\]", said), path
    assert needed_libraries(PYTHON)


def damage(data, place, value):
    return data[:place] + value + data[place + len(value) :]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: b"MZ" + data[2:],
        lambda data: data[:200],
        lambda data: damage(data, 32, struct.pack("<Q", 1 << 60)),  # a table beyond the file
        lambda data: damage(data, 54, struct.pack("<2H", 56, 65535)),
    ],
)
def test_a_damaged_file_is_one_line(change, tmp_path, refusal):
    path = tmp_path / "damaged.so"
    path.write_bytes(change(PYTHON.read_bytes()))
    refusal(DeviceError, lambda: needed_libraries(path), str(path), "damaged", "build the harness")
