"""A phone that cannot be measured on: one line, the right status, nothing recorded."""

import os

import pytest
from bench_rig import stored
from phone_rig import over_adb_shell

from android_bench.devices.phone.cache import upload_file
from android_bench.devices.phone.lock import locked
from android_bench.errors import NoDeviceError, StorageError, UnfitDeviceError
from android_bench.virtual_phone import hooks
from pfd_models.errors import DeviceError, InputError

ROOT = "/data/local/tmp/pfd"


@pytest.mark.parametrize(
    ("abis", "says"),
    [("x86_64", "another processor"), ("armeabi-v7a,armeabi", "a 32-bit device")],
)
def test_a_phone_of_another_kind(rig_on_phone, kept_phone, one_line, abis, says):
    hooks.set_property(kept_phone, "ro.product.cpu.abi", abis.partition(",")[0])
    hooks.set_property(kept_phone, "ro.product.cpu.abilist", abis)
    with pytest.raises(UnfitDeviceError) as error:
        rig_on_phone.run()
    one_line(error, 3, abis.partition(",")[0], says)
    assert rig_on_phone.campaigns() == ()


def test_a_full_phone(rig_on_phone, kept_phone, one_line):
    transport = over_adb_shell(kept_phone)
    transport.run(f"rm -rf {ROOT}")
    hooks.leave_free(kept_phone, 4_000_000)
    with pytest.raises(StorageError) as error:
        rig_on_phone.run()
    one_line(error, 3, "no room on the device")
    hooks.make_room(kept_phone)
    assert transport.run(f"ls -A {ROOT}/lock").exit_code != 0  # the next bench may come
    transport.close()
    assert rig_on_phone.left_behind() == []
    assert rig_on_phone.campaigns() == ()


def test_a_folder_where_nothing_runs(rig_on_phone, kept_phone, one_line):
    hooks.remount_data(kept_phone, noexec=True)
    with pytest.raises(StorageError) as error:
        rig_on_phone.run()
    one_line(error, 3, "programs do not run", "noexec")
    assert rig_on_phone.campaigns() == ()


def test_a_read_only_phone(rig_on_phone, kept_phone, one_line):
    hooks.remount_data(kept_phone, read_only=True)
    with pytest.raises(DeviceError) as error:
        rig_on_phone.run()
    one_line(error, 3, "Read-only file system")


def test_another_bench_is_on_the_phone_already(rig_on_phone, kept_phone, one_line):
    other = over_adb_shell(kept_phone)
    with locked(other):
        entry = other.run(f"ls {ROOT}/lock").stdout.strip()
        other.run(f"echo 'laptop-of-somebody, process 12 []' > {ROOT}/lock/{entry}")
        with pytest.raises(DeviceError) as error:
            rig_on_phone.run()
        one_line(error, 3, "another bench is using virtual", "laptop-of-somebody")
        assert other.run(f"cat {ROOT}/lock/*").stdout == "laptop-of-somebody, process 12 []\n"
    other.close()
    assert rig_on_phone.campaigns() == ()


def test_a_harness_of_another_version(rig_on_phone, monkeypatch, one_line):
    monkeypatch.setattr(
        "android_bench.harness.description.source_version", lambda: "1+000000000000"
    )
    with pytest.raises(DeviceError) as error:
        rig_on_phone.run()
    one_line(error, 3, "is version '", "this host is 1+000000000000")
    assert rig_on_phone.campaigns() == ()


def test_no_such_phone_and_none_at_all(adb_bench, tiny_set, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "android_bench.devices.phone.choice.list_devices", lambda server=None, **options: []
    )
    monkeypatch.setattr("android_bench.devices.phone.discovery.list_devices", list)
    files = ("--artifacts", tiny_set / "*.pte")
    assert adb_bench(*files, "--serial", "R58M123ABC") == 3
    assert "no device 'R58M123ABC' is connected" in adb_bench.error
    assert adb_bench(*files, "--all") == 3
    assert "no phone is connected" in adb_bench.error
    assert adb_bench("devices") == 0
    assert "no phone is connected" in adb_bench.out
    assert adb_bench(*files, "--serial", "a", "--all") == 2


def test_several_phones_and_none_named(monkeypatch, one_line):
    from android_bench.devices.phone.device import open_phone
    from android_bench.transports.device_listing import ListedDevice

    seen = [
        ListedDevice(serial=name, state=state, description="", via="server")
        for name, state in (("A1", "device"), ("B2", "device"), ("C3", "unauthorized"))
    ]
    monkeypatch.setattr(
        "android_bench.devices.phone.choice.list_devices", lambda server=None, **options: seen
    )
    with pytest.raises(NoDeviceError) as error:
        open_phone()
    one_line(error, 3, "A1 device", "B2 device", "--serial")
    with pytest.raises(DeviceError) as error:
        open_phone("C3")
    one_line(error, 3, "C3", "tap" if "tap" in str(error.value) else "allow")
    seen[0] = ListedDevice(serial="A1", state="offline", description="", via="server")
    with pytest.raises(DeviceError) as error:
        open_phone("A1")
    one_line(error, 3, "A1", "offline")


def test_hostile_names_are_shown_harmless(virtual_is_ours, adb_bench, monkeypatch):
    monkeypatch.setattr("android_bench.devices.phone.discovery.list_devices", list)
    hostile = "\x1b]0;owned\x07<script>$(reboot)`id`\nsecond: line" + "x" * 5000
    hooks.set_property(virtual_is_ours, "ro.product.model", hostile)
    hooks.set_property(virtual_is_ours, "ro.soc.model", "';rm -rf /;'")
    assert adb_bench("devices") == 0
    assert "\x1b" not in adb_bench.out
    assert "<script>$(reboot)`id`" in adb_bench.out
    assert max(len(line) for line in adb_bench.out.splitlines()) < 500


def test_a_file_with_a_hostile_name_is_one_file(rig_on_phone, tmp_path):
    path = tmp_path / "a b$(touch pwned);'\"&.bin"
    path.write_bytes(b"content")
    remote = rig_on_phone.device.upload(path)
    transport = over_adb_shell(rig_on_phone.phone)
    names = transport.run(f"ls {ROOT}/files; ls /data/local/tmp /pwned pwned").stdout
    transport.close()
    assert remote.rpartition("/")[2] in names.splitlines()
    assert "\npwned" not in names
    with pytest.raises(InputError):
        rig_on_phone.device.upload(tmp_path / "missing.bin")


def test_the_doctor_says_which_step_failed(virtual_is_ours, adb_bench, tiny_set):
    files = ("--artifacts", tiny_set / "orig*.pte")
    assert adb_bench("doctor", "--device", "virtual", *files) == 0
    lines = adb_bench.out.splitlines()
    assert all(line.startswith("ok    ") for line in lines)
    for word in ("Connection", "executorch 1.5.1", "outputs within", "What stays on the phone"):
        assert word in adb_bench.out
    hooks.remount_data(virtual_is_ours, noexec=True)
    assert adb_bench("doctor", "--device", "virtual", *files) == 3
    last = adb_bench.out.splitlines()[-1]
    assert last.startswith("FAILED Storage: programs do not run")


def test_wrong_outputs_on_the_phone_stop_everything(virtual_is_ours, adb_bench, tiny_set, tmp_path):
    import json
    import shutil

    import numpy as np

    from android_bench.store import open_store
    from export.sets.files import sha256_file

    folder = tmp_path / "wrong"
    shutil.copytree(tiny_set, folder)
    (manifest,) = folder.glob("orig*.json")
    plain = json.loads(manifest.read_text())
    path = folder / plain["reference"]["file"]
    with np.load(path) as data:
        arrays = {name: data[name].copy() for name in data}
    arrays["output_0"].flat[3] += 0.01 * np.abs(arrays["output_0"]).max()
    np.savez(path, **arrays)
    plain["reference"] |= {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
    manifest.write_text(json.dumps(plain))
    assert adb_bench("--device", "virtual", "--artifacts", folder / "*.pte") == 1
    assert "away from what was expected" in adb_bench.error
    with open_store("bench.sqlite") as store:
        assert store.campaigns() == ()
    with pytest.raises(InputError):
        stored()


def test_a_phone_too_small_for_a_campaign_keeps_what_the_campaign_has(
    rig_on_phone, kept_phone, tmp_path, one_line
):
    device = rig_on_phone.device
    old, first, second = (tmp_path / name for name in ("old.pte", "first.pte", "second.pte"))
    for path in (old, first, second):
        path.write_bytes(os.urandom(6_000_000))
    transport = over_adb_shell(kept_phone)
    left = upload_file(transport, old)  # by an earlier bench
    hooks.leave_free(kept_phone, 3_000_000)
    kept = device.upload(first)
    assert transport.run(f"ls {left}").exit_code != 0
    with pytest.raises(StorageError) as error:
        device.upload(second)
    one_line(error, 3, "no room on the device", "needs 6.0 MB")
    assert transport.run(f"ls {kept}").exit_code == 0
    transport.close()
