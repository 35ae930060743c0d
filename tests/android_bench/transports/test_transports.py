import hashlib
import os
import threading
import time

import pytest

from android_bench.errors import (
    ConnectionLostError,
    DeviceTimeoutError,
    StorageError,
    TransferError,
)
from android_bench.transports import delivery
from android_bench.transports.streams import Deadline
from android_bench.virtual_phone import hooks
from pfd_models.errors import InputError

TMP = "/data/local/tmp"
MB = 1_000_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """50 MB that cannot be compressed."""
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(os.urandom(50 * MB))
    return path


@pytest.fixture(scope="module")
def medium(tmp_path_factory):
    """20 MB: enough to be interrupted."""
    path = tmp_path_factory.mktemp("medium") / "medium.bin"
    path.write_bytes(os.urandom(20 * MB))
    return path


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.bin"
    path.write_bytes(os.urandom(100_000))
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def left_in(transport, folder=TMP):
    return transport.run(f"ls -A {folder}").stdout.split()


def test_exit_code_and_both_outputs_arrive_apart(transport):
    result = transport.run("echo out; echo err >&2; exit 7")
    assert (result.exit_code, result.stdout, result.stderr) == (7, "out\n", "err\n")


def test_a_program_ended_by_a_signal_says_which(transport):
    result = transport.run("sh -c 'kill -SEGV $$'; echo $?")
    assert result.stdout.strip() == "139"
    assert transport.run("kill -SEGV $$").exit_code == 139


def test_a_command_that_reads_its_input_sees_the_end(transport):
    assert transport.run("cat; echo done", timeout_s=10).stdout == "done\n"


def test_bytes_arrive_as_they_are(transport):
    noise = f"{TMP}/noise"
    command = f"head -c 1500000 /dev/urandom > {noise}; sha256sum < {noise}; cat {noise}"
    head, _, content = transport.run(command).stdout_bytes.partition(b"\n")
    assert hashlib.sha256(content).hexdigest() == head.split()[0].decode()


def test_output_that_is_not_text_is_shown_escaped(transport):
    assert transport.run(r"printf 'a\377b'").stdout == r"a\xffb"


def test_properties_are_read(transport):
    properties = transport.properties()
    assert properties["ro.soc.model"] == "MT6889Z/CZA"
    assert properties["ro.product.cpu.abi"] == "arm64-v8a"
    assert properties["ro.build.version.sdk"] == "31"


def test_hostile_property_strings_stay_values(transport, phone):
    hostile = "x]\n$(reboot)`id`\x1b[31m' \";[y"
    hooks.set_property(phone, "ro.product.model", hostile)
    properties = transport.properties()
    assert properties["ro.product.model"] == hostile
    assert properties["ro.product.name"] == "virtual_mt6889"


def test_50_mb_go_there_and_back_unchanged(transport, large, tmp_path):
    reported = []
    remote = f"{TMP}/deep/folder/large.bin"
    pushed = transport.push(large, remote, progress=lambda *step: reported.append(step))
    assert not pushed.skipped
    assert pushed.sha256 == digest(large)
    assert [total for _, total in reported] == [50 * MB] * len(reported)
    sent = [sent for sent, _ in reported]
    assert sent == sorted(sent)
    assert len(set(sent)) > 10
    assert sent[-1] == 50 * MB
    assert left_in(transport, f"{TMP}/deep/folder") == ["large.bin"]
    transport.pull(remote, tmp_path / "back.bin")
    assert digest(tmp_path / "back.bin") == digest(large)


def test_a_file_that_is_there_is_not_sent_again(transport, small):
    assert not transport.push(small, f"{TMP}/small.bin").skipped
    assert transport.push(small, f"{TMP}/small.bin").skipped
    small.write_bytes(b"changed")
    assert not transport.push(small, f"{TMP}/small.bin").skipped
    assert transport.run(f"cat {TMP}/small.bin").stdout == "changed"


def test_a_pushed_program_runs(transport, tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/system/bin/sh\nexit 5\n")
    transport.push(program, f"{TMP}/program", executable=True)
    assert transport.run(f"{TMP}/program").exit_code == 5
    transport.push(program, f"{TMP}/program", executable=False)
    assert transport.run(f"{TMP}/program").exit_code == 126


@pytest.mark.parametrize("name", ["with space", "$(reboot)", "quote'\"", "-n", "ünï,cödé"])
def test_any_file_name_is_only_a_name(transport, small, tmp_path, name):
    remote = f"{TMP}/{name}"
    transport.push(small, remote)
    transport.pull(remote, tmp_path / "back.bin")
    assert digest(tmp_path / "back.bin") == digest(small)
    assert transport.run(f"ls {TMP} | wc -l").stdout.strip() == "1"


def test_an_empty_file_arrives(transport, tmp_path):
    (tmp_path / "empty").touch()
    transport.push(tmp_path / "empty", f"{TMP}/empty")
    transport.pull(f"{TMP}/empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_a_local_file_that_is_missing_is_the_users_mistake(transport, tmp_path, one_line):
    with pytest.raises(InputError) as error:
        transport.push(tmp_path / "absent", f"{TMP}/absent")
    one_line(error, 2, "absent", "no such file")


def test_a_remote_file_that_is_missing_leaves_no_local_one(transport, tmp_path, one_line):
    with pytest.raises(TransferError) as error:
        transport.pull(f"{TMP}/absent", tmp_path / "absent")
    one_line(error, 3, f"{TMP}/absent")
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_takes_too_long_is_given_up(transport, phone, one_line):
    begin = time.monotonic()
    with pytest.raises(DeviceTimeoutError) as error:
        transport.run("sleep 60", timeout_s=1.0)
    assert time.monotonic() - begin < 3
    one_line(error, 3, "sleep 60", "1 s")
    assert transport.run("echo still").stdout == "still\n"


def test_a_daemon_that_dies_during_a_command_is_noticed_at_once(transport, phone, one_line):
    threading.Timer(0.7, hooks.kill_daemon, [phone]).start()
    begin, used = time.monotonic(), time.process_time()
    with pytest.raises(ConnectionLostError) as error:
        transport.run("sleep 30", timeout_s=25)
    assert time.monotonic() - begin < 5
    assert time.process_time() - used < 0.5  # waiting does not spin
    one_line(error, 3, transport.serial, "try again")
    with pytest.raises(ConnectionLostError):
        transport.run("true", timeout_s=5)
    hooks.start_daemon(phone)
    transport.wait(20)
    assert transport.run("echo back").stdout == "back\n"


def test_a_push_cut_in_the_middle_leaves_the_old_file_and_can_be_repeated(
    transport, phone, medium, one_line
):
    transport.run(f"echo old > {TMP}/medium.bin")

    def cut(sent, total):
        if sent > 5 * MB:
            hooks.kill_daemon(phone)

    with pytest.raises(ConnectionLostError) as error:
        transport.push(medium, f"{TMP}/medium.bin", progress=cut)
    one_line(error, 3, "medium.bin", "try again")
    hooks.start_daemon(phone)
    transport.wait(20)
    assert transport.run(f"cat {TMP}/medium.bin").stdout == "old\n"
    assert not transport.push(medium, f"{TMP}/medium.bin").skipped
    assert left_in(transport) == ["medium.bin"]


def test_a_full_device_is_known_before_anything_is_sent(transport, phone, medium, one_line):
    hooks.leave_free(phone, 8 * MB)
    sent = []
    with pytest.raises(StorageError) as error:
        transport.push(medium, f"{TMP}/medium.bin", progress=lambda *step: sent.append(step))
    one_line(error, 3, "medium.bin needs 20.0 MB", "8.0 MB free")
    assert sent == []
    assert left_in(transport) == []


def test_a_device_that_fills_up_during_a_push_is_told_apart(transport, phone, medium, one_line):
    def fill(sent, total):
        if sent < 5 * MB:
            hooks.leave_free(phone, 4 * MB)

    with pytest.raises(StorageError) as error:
        transport.push(medium, f"{TMP}/medium.bin", progress=fill)
    one_line(error, 3, "no room", "medium.bin")
    assert left_in(transport) == []
    hooks.make_room(phone)
    transport.push(medium, f"{TMP}/medium.bin")


def test_a_folder_that_takes_no_files_is_named(transport, phone, small, one_line):
    hooks.remount_data(phone, read_only=True)
    with pytest.raises(StorageError) as error:
        transport.push(small, f"{TMP}/small.bin")
    one_line(error, 3, TMP)
    with pytest.raises(StorageError) as error:
        transport.push(small, "/system/small.bin")
    one_line(error, 3, "/system", "/data/local/tmp")


def test_a_folder_where_nothing_runs_is_found_out_before_the_bench(direct, phone, one_line):
    delivery.require_runnable(direct.run, TMP)
    hooks.remount_data(phone, noexec=True)
    with pytest.raises(StorageError) as error:
        delivery.require_runnable(direct.run, TMP)
    one_line(error, 3, TMP, "noexec")
    assert left_in(direct) == []


def test_a_network_that_is_gone_ends_by_the_time_limit_and_comes_back(transport, phone, one_line):
    threading.Timer(0.3, hooks.set_network, [phone], {"up": False}).start()
    with pytest.raises(DeviceTimeoutError) as error:
        transport.run("sleep 0.8; echo late", timeout_s=2)
    one_line(error, 3, "more time")
    hooks.set_network(phone, up=True)
    transport.wait(20)
    assert transport.run("echo back").stdout == "back\n"


def test_waiting_for_a_silent_device_ends(transport, phone, one_line):
    hooks.freeze_daemon(phone)
    with pytest.raises(DeviceTimeoutError) as error:
        transport.wait(1.5)
    one_line(error, 3, "1.5 s")
    hooks.thaw_daemon(phone)
    transport.wait(20)


def test_a_service_the_device_does_not_have_is_refused_at_once(transport):
    begin = time.monotonic()
    with pytest.raises(ConnectionLostError):
        transport._link.open("no-such-service:", Deadline(20, "a service"))
    assert time.monotonic() - begin < 3
    assert transport.run("echo fine").stdout == "fine\n"


def test_several_threads_may_use_one_transport(transport):
    results = {}

    def run(number):
        results[number] = transport.run(f"echo {number}").stdout.strip()

    threads = [threading.Thread(target=run, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: str(n) for n in range(4)}


def test_a_changed_byte_on_the_way_is_noticed(direct, small, one_line, monkeypatch):
    from android_bench.transports import adb

    def corrupt(link, local, remote, progress, deadline):
        direct.run(f"head -c {local.stat().st_size} /dev/zero > {remote}")

    monkeypatch.setattr(adb.file_sync, "send", corrupt)
    with pytest.raises(TransferError) as error:
        direct.push(small, f"{TMP}/small.bin")
    one_line(error, 3, "small.bin", "sha256")
    assert left_in(direct) == []


def test_closing_twice_is_fine_and_the_next_call_connects_again(transport):
    transport.close()
    transport.close()
    assert transport.run("echo again").stdout == "again\n"
