import time

import pytest
from fuzzing.scripted import ReplayTransport

from android_bench.errors import ProtocolError, StorageError
from android_bench.transports import detached
from android_bench.transports.detached import RunState
from android_bench.transports.local import LocalTransport
from android_bench.virtual_phone import hooks
from pfd_models.errors import DeviceError, InputError


def follow(transport, run, *, timeout_s=30):
    """Poll until the run has ended and all its output is here."""
    stdout, stderr, end = b"", b"", time.monotonic() + timeout_s
    while time.monotonic() < end:
        status = detached.poll(transport, run, stdout_from=len(stdout), stderr_from=len(stderr))
        stdout, stderr = stdout + status.stdout, stderr + status.stderr
        if status.complete:
            return status, stdout, stderr
        time.sleep(0.1)
    raise AssertionError(f"still {status}")


def test_a_run_goes_on_while_the_cable_is_out(transport, phone):
    command = "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.3; done; echo bad >&2; exit 4"
    run = detached.start(transport, command)
    hooks.kill_daemon(phone)
    time.sleep(1.0)
    hooks.start_daemon(phone)
    transport.wait(20)
    status, stdout, stderr = follow(transport, run)
    assert (status.state, status.exit_code) == (RunState.ENDED, 4)
    assert stdout.decode() == "".join(f"line {i}\n" for i in range(1, 7))
    assert stderr == b"bad\n"


def test_another_host_takes_a_run_up_by_name(transport, phone):
    detached.start(transport, "echo begun; sleep 0.5; echo done", run_id="campaign-7.block-3")
    transport.close()  # the first host is gone
    assert detached.runs(transport) == ["campaign-7.block-3"]
    run = detached.attach(transport, "campaign-7.block-3")
    assert follow(transport, run)[1] == b"begun\ndone\n"
    detached.remove(transport, run)
    assert detached.runs(transport) == []


def test_a_run_that_does_not_exist_is_named_with_those_that_do(direct, one_line):
    detached.start(direct, "true", run_id="known")
    with pytest.raises(InputError) as error:
        detached.attach(direct, "unknown")
    one_line(error, 2, "'unknown'", "known")


def test_a_name_is_used_once(direct, one_line):
    detached.start(direct, "true", run_id="twice")
    with pytest.raises(InputError) as error:
        detached.start(direct, "true", run_id="twice")
    one_line(error, 2, "'twice'", "attach")


@pytest.mark.parametrize("name", ["../up", "a b", "", "$(reboot)", "-rf", "x" * 65])
def test_a_name_is_only_a_name(direct, name):
    with pytest.raises(InputError):
        detached.start(direct, "true", run_id=name)


def test_a_run_killed_on_the_device_is_lost_not_running(direct, phone):
    run = detached.start(direct, "echo half; sleep 60")
    direct.run(f"kill -KILL -$(cat {run.folder}/pid)")
    status, stdout, _ = follow(direct, run)
    assert (status.state, status.exit_code, stdout) == (RunState.LOST, None, b"half\n")


def test_a_reboot_ends_a_run_even_when_its_number_is_used_again(direct, phone):
    run = detached.start(direct, "echo half; sleep 60")
    hooks.reboot(phone)
    direct.wait(20)
    direct.run(f"echo $$ > {run.folder}/pid")  # a live process, of another boot
    status, stdout, _ = follow(direct, run)
    assert (status.state, stdout) == (RunState.LOST, b"half\n")


def test_stopping_ends_all_a_run_started(direct, phone):
    run = detached.start(direct, "sleep 61 & sleep 62 & wait")
    detached.stop(direct, run)
    assert follow(direct, run)[0].state is RunState.LOST
    lines = [" ".join(line) for line in phone.request("processes")["processes"]]
    assert [line for line in lines if "sleep" in line] == []


def test_output_of_any_bytes_and_of_some_size_is_followed(direct):
    run = detached.start(direct, r"printf 'a\377\000b\n'; head -c 2500000 /dev/zero; echo end")
    status, stdout, _ = follow(direct, run)
    assert status.exit_code == 0
    assert stdout == b"a\xff\x00b\n" + bytes(2_500_000) + b"end\n"


def test_a_run_that_was_removed_is_an_error(direct, one_line):
    run = detached.start(direct, "true")
    detached.remove(direct, run)
    with pytest.raises(DeviceError) as error:
        detached.poll(direct, run)
    one_line(error, 3, run.run_id)


def test_a_folder_that_cannot_be_made_is_named(direct, one_line):
    with pytest.raises(StorageError) as error:
        detached.start(direct, "true", root="/system/runs")
    one_line(error, 3, "/system/runs")


def test_this_computer_runs_detached_too(tmp_path):
    transport = LocalTransport()
    run = detached.start(transport, "echo here; exit 2", root=str(tmp_path))
    status, stdout, _ = follow(transport, run)
    assert (status.exit_code, stdout) == (2, b"here\n")


# -- what a device may answer ------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b" 12 0\n",  # an exit code that a full disk left empty, as earlier versions wrote it
        b"ended 12 0\n",
        b"running 12\n",
        b"running -1 0\n",
        b"0x1 1 1\n",
        "٣ 1 1\n".encode(),
        b"1" * 5000 + b" 1 1\n",
        b"running " + b"9" * 25 + b" 0\n",
        b"no newline",
        b"running 0 0\n" + b"y" * ((1 << 20) + 1),
    ],
)
def test_an_answer_that_is_none_is_one_line(answer, one_line):
    run = detached.DetachedRun(run_id="block-3", folder="/data/runs/block-3")
    with pytest.raises(ProtocolError) as error:
        detached.poll(ReplayTransport(answer), run)
    one_line(error, 3, "replay", "block-3")


def test_a_disk_that_fills_up_loses_no_exit_code(direct, phone):
    run = detached.start(direct, "while [ ! -f go ]; do sleep 0.05; done; echo lost; exit 7")
    hooks.leave_free(phone, 0)
    assert direct.run(f": > {run.folder}/go").exit_code == 0  # an empty file needs no room
    status, _, _ = follow(direct, run)
    assert (status.state, status.exit_code) == (RunState.ENDED, 7)


def test_a_run_that_finds_no_room_at_all_is_not_begun(direct, phone, one_line):
    direct.run("mkdir -p /data/local/tmp/pfd/runs")
    hooks.leave_free(phone, 0)
    with pytest.raises(StorageError) as error:
        detached.start(direct, "true", run_id="none")
    one_line(error, 3, "/data/local/tmp/pfd/runs/none", "make room")
    assert detached.runs(direct) == []


def test_a_run_that_has_ended_is_left_alone_by_a_stop(tmp_path):
    transport = LocalTransport()
    run = detached.start(transport, "exit 300", root=str(tmp_path))
    status, _, _ = follow(transport, run)
    assert status.exit_code == 300 % 256
    detached.stop(transport, run)
    assert detached.poll(transport, run).state is RunState.ENDED
    detached.remove(transport, run)
    assert list(tmp_path.iterdir()) == []
