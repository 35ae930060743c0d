"""One bench at a time: shells that try at the same moment, and owners that are gone."""

import contextlib
import os
import subprocess
import threading

import pytest

from android_bench.cancellation import Cancellation, Cancelled
from android_bench.devices.phone import lock as lock_module
from android_bench.devices.phone.lock import FOLDER, locked, take_script
from android_bench.errors import StorageError
from android_bench.transports.local import LocalTransport
from android_bench.virtual_phone import hooks
from pfd_models.errors import DeviceError

STALE_S = 900


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "pfd" / "lock")


@pytest.fixture
def here():
    return LocalTransport()


def stale_entry(folder, token="dead", boot="another-boot", renewed=5):
    """Put a lock in place whose owner is long gone."""
    os.makedirs(folder, exist_ok=True)
    name = f"{token}.{boot}.{renewed}"
    with open(f"{folder}/{name}", "w") as file:
        file.write("some-laptop, process 1 [x y z]\n")
    return name


# -- many at once ------------------------------------------------------------------------------

# A shell tries once for every line it reads, and says how that ended.
_CONTENDER = """
    while read -r round; do
        ( token={name}x$round; {take} ) > /dev/null 2> /dev/null
        echo $?
    done
"""


def race(tmp_path, rounds, contenders=2, prepare=lambda folder: None):
    """Let shells try to take one lock, round by round; return how many won each round."""
    folder = str(tmp_path / "lock")
    names = [f"c{number}" for number in range(contenders)]
    shells = {}
    for name in names:
        # The token is the shell's own in each round.
        take = take_script("TOKEN", f"{name}, process 1", stale_s=STALE_S, folder=folder)
        script = _CONTENDER.format(name=name, take=take.replace("TOKEN", "$token"))
        shells[name] = subprocess.Popen(
            ["sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
    winners = []
    try:
        for number in range(rounds):
            prepare(folder)
            for shell in shells.values():
                shell.stdin.write(f"{number}\n")
            statuses = {name: int(shell.stdout.readline()) for name, shell in shells.items()}
            assert set(statuses.values()) <= {0, 12}, statuses
            won = [name for name, status in statuses.items() if status == 0]
            held = os.listdir(folder)
            assert [name.partition("x")[0] for name in held] == won
            winners.append(len(won))
            for name in held:
                os.unlink(f"{folder}/{name}")
            os.rmdir(folder)
            assert os.listdir(tmp_path) == []  # what was made aside is gone
    finally:
        for shell in shells.values():
            shell.kill()
            shell.communicate()
    return winners


def test_of_two_that_try_at_once_one_holds_the_lock(tmp_path):
    assert race(tmp_path, 100) == [1] * 100


def test_of_two_that_find_a_dead_owners_lock_one_takes_it_over(tmp_path):
    assert race(tmp_path, 100, prepare=stale_entry) == [1] * 100


def test_of_many_that_find_what_a_crash_left_one_holds_the_lock(tmp_path):
    def leave(folder):
        stale_entry(folder)
        os.makedirs(f"{folder}/lock.crashed")  # put inside by a shell that died then

    assert race(tmp_path, 50, 4, prepare=leave) == [1] * 50


@pytest.mark.slow
@pytest.mark.parametrize("prepare", [stale_entry, os.makedirs, lambda folder: None])
def test_of_ten_thousand_tries_none_is_held_twice(tmp_path, prepare):
    winners = race(tmp_path, 10_000, prepare=prepare)
    assert [number for number, won in enumerate(winners) if won != 1] == []


def test_two_hosts_on_the_phone_itself(phone, direct):
    from phone_rig import over_adb_server, over_adb_shell

    held, most = [], []
    guard, start = threading.Lock(), threading.Barrier(2)

    def work(host):
        with contextlib.closing(host):
            host.wait(30)
            start.wait()
            for _ in range(8):
                with contextlib.suppress(DeviceError), locked(host):
                    with guard:
                        held.append(host)
                        most.append(len(held))
                    host.run("true")
                    with guard:
                        held.remove(host)

    hosts = [over_adb_shell(phone), over_adb_server(phone)]
    threads = [threading.Thread(target=work, args=[host]) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert direct.run(f"ls -A {FOLDER}").exit_code != 0


# -- taking, renewing, giving up ---------------------------------------------------------------


def test_a_second_bench_is_kept_out_and_told_whose_the_device_is(direct, one_line):
    with locked(direct) as lock:
        lock.renew()
        lock.renew()
        with pytest.raises(DeviceError) as error, locked(direct):
            pass
        one_line(error, 3, "another bench", f"process {os.getpid()}")
        assert "[" not in str(error.value)
        lock.renew()
    with locked(direct):
        pass
    assert direct.run("ls -A /data/local/tmp/pfd").stdout == ""


def test_a_lock_of_an_earlier_boot_or_a_dead_owner_is_taken_over(direct, phone, one_line):
    first = locked(direct)
    lock = first.__enter__()
    hooks.reboot(phone)
    direct.wait(20)
    with locked(direct):
        with pytest.raises(DeviceError) as error:
            lock.renew()
        one_line(error, 3, "took over")
    with locked(direct), locked(direct, stale_s=-1):
        pass
    first.__exit__(None, None, None)


def test_a_lock_survives_a_reboot_that_nobody_used(direct, phone):
    with locked(direct) as lock:
        hooks.reboot(phone)
        direct.wait(20)
        lock.renew()
        with pytest.raises(DeviceError, match="another bench"), locked(direct):
            pass


def test_a_live_owner_who_renews_in_the_last_moment_keeps_the_lock(
    here, folder, tmp_path, one_line
):
    """The thief has seen a stale entry; before it removes it, the owner renews."""
    with locked(here, folder=folder) as lock:
        (entry,) = os.listdir(folder)
        old = entry.rpartition(".")[0] + ".5"
        os.rename(f"{folder}/{entry}", f"{folder}/{old}")
        programs = tmp_path / "bin"
        programs.mkdir()
        # The thief's `rm` finds that the owner was faster.
        (programs / "rm").write_text(
            f"#!/bin/sh\n[ -e {folder}/{old} ] && mv {folder}/{old} {folder}/{entry}\n"
            'exec /bin/rm "$@"\n'
        )
        (programs / "rm").chmod(0o755)
        script = take_script("thief", "a thief", stale_s=100, folder=folder)
        result = here.run(f"PATH={programs}:$PATH\n{script}")
        assert (result.exit_code, result.stdout.splitlines()[0]) == (12, entry)
        lock.renew()
        assert len(os.listdir(folder)) == 1
    assert not os.path.exists(folder)


def test_an_owner_whose_lock_was_stolen_neither_renews_nor_removes_it(here, folder, one_line):
    with locked(here, folder=folder) as first:
        with locked(here, folder=folder, stale_s=-1) as second:
            with pytest.raises(DeviceError) as error:
                first.renew()
            one_line(error, 3, "took over")
            first.give_up()
            second.renew()
        assert not os.path.exists(folder)


def test_the_lock_of_a_process_of_this_computer_that_is_gone_is_taken_over(here, folder):
    child = subprocess.Popen(["sleep", "100"])
    owner = (
        f"{lock_module._here()}, process {child.pid} [{lock_module._process_identity(child.pid)}]"
    )
    assert here.run(take_script("other", owner, folder=folder)).exit_code == 0
    with pytest.raises(DeviceError, match=f"process {child.pid}"), locked(here, folder=folder):
        pass
    child.kill()
    child.wait()
    with locked(here, folder=folder):
        assert len(os.listdir(folder)) == 1


@pytest.mark.parametrize(
    "owner",
    [
        "elsewhere, process 1 []",
        "elsewhere, process 999999999 [other-boot pid:[1] 5]",
        "{here}, process 999999999 []",
        "{here}, process 999999999 [{boot} pid:[another-container] 5]",
        "{here}, process ٣ [{boot} {names} 5]",
    ],
)
def test_nobody_is_taken_for_dead_who_may_live_elsewhere(here, folder, owner):
    boot, names, _ = lock_module._process_identity(os.getpid()).split()
    owner = owner.format(here=lock_module._here(), boot=boot, names=names)
    assert here.run(take_script("other", owner, folder=folder)).exit_code == 0
    with pytest.raises(DeviceError, match="another bench"), locked(here, folder=folder):
        pass


def test_entries_that_are_none_belong_to_nobody(here, folder):
    for renewed in ("", "x", "$(touch pwned)", "0777", "1" * 30, "a[$(touch pwned)]"):
        stale_entry(folder, boot="b", renewed=renewed)
        with locked(here, folder=folder):
            assert len(os.listdir(folder)) == 1
    assert "pwned" not in os.listdir(os.path.dirname(folder))


def test_an_interrupt_gives_the_lock_back(here, folder):
    with pytest.raises(KeyboardInterrupt), locked(here, folder=folder):
        raise KeyboardInterrupt
    assert not os.path.exists(folder)
    cancellation = Cancellation()

    def measure():
        with locked(here.cancelled_by(cancellation), folder=folder) as lock:
            cancellation.cancel()
            lock.renew()

    with pytest.raises(Cancelled):
        measure()
    assert not os.path.exists(folder)


def test_a_full_phone_cannot_be_locked_and_says_so(direct, phone, one_line):
    direct.run("mkdir -p /data/local/tmp/pfd")
    hooks.leave_free(phone, 0)
    with pytest.raises(StorageError) as error, locked(direct):
        pass
    one_line(error, 3, "cannot lock virtual", "not full")
    assert direct.run("ls -A /data/local/tmp/pfd").stdout == ""
