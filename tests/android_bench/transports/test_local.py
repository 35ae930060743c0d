import os
import time

import pytest

from android_bench.errors import DeviceTimeoutError, StorageError, TransferError
from android_bench.transports.local import LocalTransport


@pytest.fixture
def transport():
    return LocalTransport()


def test_exit_code_and_both_outputs_arrive_apart(transport):
    result = transport.run("echo out; echo err >&2; exit 7")
    assert (result.exit_code, result.stdout, result.stderr) == (7, "out\n", "err\n")


def test_a_program_ended_by_a_signal_says_which(transport):
    assert transport.run("kill -SEGV $$").exit_code == 139


def test_the_time_limit_ends_everything_a_command_started(transport, one_line):
    begin = time.monotonic()
    with pytest.raises(DeviceTimeoutError) as error:
        transport.run("sleep 71 & sleep 72", timeout_s=0.5)
    assert time.monotonic() - begin < 3
    one_line(error, 3, "0.5 s")
    assert transport.run("ps ax -o args | grep -c '^sleep 7[12]'").stdout.strip() == "0"


def test_files_go_whole_and_once(transport, tmp_path):
    source, there, back = tmp_path / "a", tmp_path / "folder" / "b", tmp_path / "c"
    source.write_bytes(os.urandom(3_000_000))
    steps = []
    pushed = transport.push(
        source, str(there), executable=True, progress=lambda *step: steps.append(step)
    )
    assert not pushed.skipped
    assert steps[-1] == (3_000_000, 3_000_000)
    assert os.access(there, os.X_OK)
    assert transport.push(source, str(there)).skipped
    transport.pull(str(there), back)
    assert back.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c", "folder"]
    assert [path.name for path in there.parent.iterdir()] == ["b"]


def test_a_missing_file_leaves_nothing(transport, tmp_path, one_line):
    with pytest.raises(TransferError) as error:
        transport.pull(str(tmp_path / "absent"), tmp_path / "here")
    one_line(error, 3, "absent")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_is_named(transport, tmp_path, one_line):
    (tmp_path / "a").touch()
    with pytest.raises(StorageError) as error:
        transport.push(tmp_path / "a", "/proc/folder/b")
    one_line(error, 3, "/proc/folder")


def test_it_names_its_processor_as_android_does(transport):
    assert transport.properties()["ro.product.cpu.abi"] in ("x86_64", "arm64-v8a")
