"""Exported campaigns, and the programs that read what was exported."""

import importlib
import os

import pytest

from android_bench.campaign.result import read_result
from android_bench.report.exports import export_campaigns, get_format


def import_reader(name, package):
    """Return a package that only reads what we write; without it there is nothing to test with."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        reason = f"{package} is not installed (pip install 'pfd-mobile[dev]')"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def jsonschema():
    return import_reader("jsonschema", "jsonschema")


@pytest.fixture
def perfetto_protos():
    return import_reader("perfetto.protos.perfetto.trace.perfetto_trace_pb2", "perfetto")


@pytest.fixture
def protoc():
    return import_reader("grpc_tools.protoc", "grpcio-tools")


@pytest.fixture
def blocks_result(store, make):
    """A campaign of blocks, as stored and read again."""
    make.fill(store)
    return read_result(store, "last")


@pytest.fixture
def export(tmp_path):
    """Give a function that exports campaigns and returns word to bytes of the files."""

    def write(name, *results):
        target = tmp_path / f"out{get_format(name).ENDING}"
        files = export_campaigns(results, name, target)
        stem = target.name.removesuffix(get_format(name).ENDING)
        return {
            path.name.removeprefix(stem).removesuffix(get_format(name).ENDING): path.read_bytes()
            for path in files
        }

    return write
