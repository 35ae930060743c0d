"""Files to check, and the driver to check them with."""

import os

import pytest
from tflite_files import make_file

from export.check.vulkan import find_drivers
from pfd_models.errors import DeviceError


@pytest.fixture(scope="session")
def gpu():
    """Nothing, where there is a Vulkan driver; else the reason why these tests cannot run."""
    try:
        return find_drivers()
    except DeviceError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def write_file(tmp_path):
    """Give a function that writes a chain of operators and returns the file's path."""

    def write(*kinds):
        path = tmp_path / "net.tflite"
        path.write_bytes(make_file(*kinds))
        return path

    return write
