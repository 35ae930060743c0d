import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from android_bench.errors import VirtualPhoneError
from android_bench.virtual_phone import hooks, packages
from android_bench.virtual_phone import phone as virtual


@pytest.fixture
def command(session_phone, repository, short_folder, monkeypatch):
    """Runs ``python -m android_bench.virtual_phone …`` with phones of its own."""
    monkeypatch.setenv("TMPDIR", str(short_folder))
    monkeypatch.setenv("PYTHONPATH", str(repository))

    def run(*arguments, **options):
        line = [sys.executable, "-m", "android_bench.virtual_phone", *arguments]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, **options)

    return run


def test_one_command_starts_a_phone_and_runs_beside_it(command):
    done = command("run", "--", "adb", "shell", "getprop", "ro.soc.model")
    assert (done.returncode, done.stdout, done.stderr) == (0, "MT6889Z/CZA\n", "")


def test_the_commands_own_exit_status_and_outputs_come_through(command):
    done = command("run", "--", "adb", "shell", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_up_run_down(command):
    assert "is up" in command("up").stdout
    assert command("up").returncode == 0
    command("run", "--", "adb", "shell", "echo kept > /data/local/tmp/kept")
    done = command("run", "--", "adb", "shell", "cat /data/local/tmp/kept")
    assert done.stdout == "kept\n"
    assert "is down" in command("down").stdout
    assert "no virtual phone" in command("down").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["run"], "run needs a command"), (["run", "--", "no-such"], "no-such")],
)
def test_a_wrong_use_is_one_line_and_status_2(command, arguments, words):
    done = command(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_runs_on_it_is_aarch64_as_the_shell_user(direct):
    result = direct.run("uname -m; id -un; head -c 20 /system/bin/uname")
    machine, user, head = result.stdout_bytes.split(b"\n", 2)
    assert (machine, user) == (b"aarch64", b"shell")
    assert head[18] == 0xB7  # EM_AARCH64


def test_the_processor_looks_like_the_chips(direct):
    text = direct.run("cat /proc/cpuinfo").stdout
    assert text.count("0xd05") == text.count("0xd0d") == 4
    assert direct.run("cat /sys/devices/system/cpu/possible").stdout == "0-7\n"


def test_it_has_no_glibc_of_its_own(direct):
    assert direct.run("ls /lib /lib64 /usr").exit_code != 0


def test_the_machine_outside_sees_nothing_of_it(phone):
    host, port = phone.serial.split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=2)
    registered = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
    assert not registered.exists()
    mounts = Path("/proc/self/mounts").read_text()
    assert str(phone.folder) not in mounts
    assert phone.folder.stat().st_mode & 0o077 == 0
    assert phone.folder.parent.stat().st_mode & 0o077 == 0


def test_it_sees_nothing_of_the_machine(direct):
    assert direct.run("ls /home /root /work /usr").exit_code != 0
    assert direct.run("ls /sys/class/net").exit_code != 0


@pytest.mark.parametrize("place", ["/x", "/system/x", "/sys/class/x", "/sys/class/thermal/x"])
def test_its_user_changes_nothing_outside_data(direct, place):
    assert direct.run(f"echo changed > {place}").exit_code != 0
    assert direct.run(f"ls {place}").exit_code != 0


def test_its_user_changes_no_setting(direct):
    path = "/sys/devices/system/cpu/cpufreq/policy4/scaling_governor"
    assert direct.run(f"echo performance > {path}").exit_code != 0
    assert direct.run(f"cat {path}").stdout == "schedutil\n"


def test_a_phone_ends_with_the_process_that_started_it(repository, short_folder, session_phone):
    program = (
        "import sys, time\n"
        "from android_bench.virtual_phone import phone\n"
        "print((phone.start().folder / 'pid').read_text(), flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "TMPDIR": str(short_folder), "PYTHONPATH": str(repository)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as starter:
        inside = int(starter.stdout.readline())
        assert Path(f"/proc/{inside}").exists()
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        end = time.monotonic() + 10
        while Path(f"/proc/{inside}/root").exists():
            assert time.monotonic() < end, "the phone outlived its starter"
            time.sleep(0.05)


def test_a_name_is_taken_once_and_found_again(session_phone, short_folder, monkeypatch, one_line):
    monkeypatch.setattr("tempfile.tempdir", str(short_folder))
    assert virtual.find("mine") is None
    with virtual.start("mine") as mine:
        assert virtual.find("mine").folder == mine.folder
        with pytest.raises(VirtualPhoneError) as error:
            virtual.start("mine")
        one_line(error, 3, "'mine'", "already up")
    assert virtual.find("mine") is None
    with pytest.raises(VirtualPhoneError) as error:
        mine.request("alive")
    one_line(error, 3, "does not answer", "up")


def test_a_folder_that_others_may_enter_is_refused(tmp_path, monkeypatch, one_line):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"pfd-phone-{os.getuid()}").mkdir(mode=0o777)
    (tmp_path / f"pfd-phone-{os.getuid()}").chmod(0o777)
    with pytest.raises(VirtualPhoneError) as error:
        virtual.find("any")
    one_line(error, 3, "others", "TMPDIR")


def test_a_path_too_long_for_a_socket_is_told(tmp_path, monkeypatch, one_line):
    (tmp_path / ("long" * 30)).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 30)))
    monkeypatch.setattr(virtual.packages, "unpacked", lambda wanted: tmp_path)
    with pytest.raises(VirtualPhoneError) as error:
        virtual.start()
    one_line(error, 3, "too long", "TMPDIR")


def test_an_operation_that_fails_says_why(phone, one_line):
    with pytest.raises(VirtualPhoneError) as error:
        phone.request("read", path="no/such/file")
    one_line(error, 3, "read", "No such file")
    with pytest.raises(VirtualPhoneError) as error:
        phone.request("no_such_operation")
    one_line(error, 3, "no_such_operation", "KeyError")
    assert phone.request("alive")["adbd"]


def test_a_reboot_keeps_files_and_ends_processes(direct, phone):
    direct.run("echo kept > /data/local/tmp/kept; setsid sleep 99 > /dev/null 2>&1 &")
    before = direct.run("cat /proc/sys/kernel/random/boot_id").stdout
    hooks.reboot(phone)
    direct.wait(20)
    assert direct.run("cat /proc/sys/kernel/random/boot_id").stdout != before
    assert direct.run("cat /data/local/tmp/kept").stdout == "kept\n"
    lines = [" ".join(line) for line in phone.request("processes")["processes"]]
    assert [line for line in lines if "sleep 99" in line] == []


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("sys.platform", "darwin", "needs Linux"),
        ("platform.machine", lambda: "riscv64", "riscv64"),
        ("shutil.which", lambda name: None, "apt-get is missing"),
    ],
)
def test_a_machine_that_cannot_says_what_is_missing(monkeypatch, one_line, setting, value, words):
    monkeypatch.setattr(setting, value)
    assert words in virtual.missing()
    with pytest.raises(VirtualPhoneError) as error:
        virtual.start()
    monkeypatch.undo()
    one_line(error, 3, words)


def test_a_machine_without_user_namespaces_says_so(monkeypatch):
    def forbidden(flags):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(virtual.kernel, "unshare", forbidden)
    assert "user namespaces" in virtual.missing()


WANTED = packages.PackageSet(
    name="test-set-1",
    suite="trixie",
    architecture="arm64",
    packages=("no-such-package-anywhere",),
    keep=("usr/bin/x",),
)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PFD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_without_a_debian_source_the_advice_is_to_name_one(empty_cache, monkeypatch, one_line):
    nothing = subprocess.CompletedProcess([], 0, stdout="", stderr="")
    monkeypatch.setattr(packages.subprocess, "run", lambda *_, **__: nothing)
    with pytest.raises(VirtualPhoneError) as error:
        packages.unpacked(WANTED)
    one_line(error, 3, "PFD_DEBIAN_MIRROR")


def test_a_mirror_that_does_not_answer_is_one_line(empty_cache, monkeypatch, one_line):
    monkeypatch.setenv("PFD_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    with pytest.raises(VirtualPhoneError) as error:
        packages.unpacked(WANTED)
    one_line(error, 3, "no-such-package-anywhere", "trixie", "try again")
    left = [path.name for path in (empty_cache / "virtual-phone").iterdir()]
    assert left == ["test-set-1.lock"]


def test_a_set_that_is_unpacked_is_not_fetched_again(empty_cache, monkeypatch):
    monkeypatch.setenv("PATH", "")
    (empty_cache / "virtual-phone" / WANTED.name).mkdir(parents=True)
    assert packages.unpacked(WANTED).name == WANTED.name


def test_a_cache_that_cannot_be_made_is_named(tmp_path, monkeypatch, one_line):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PFD_CACHE_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(VirtualPhoneError) as error:
        packages.cache_folder()
    one_line(error, 3, "PFD_CACHE_DIR")


@pytest.mark.slow
def test_everything_is_fetched_anew(empty_cache):
    for wanted in packages.ALL:
        folder = packages.unpacked(wanted)
        for pattern in wanted.keep:
            assert list(folder.glob(pattern))
