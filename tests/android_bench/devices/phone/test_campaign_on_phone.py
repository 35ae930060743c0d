"""Whole campaigns on the virtual phone: push, verify, run, record, report; through both clients."""

import json
import time
from pathlib import Path

import pytest
from phone_rig import PhoneRig, over_adb_server, over_adb_shell

from android_bench.devices.cpu_choice import choose_cpus
from android_bench.devices.phone import launcher
from android_bench.records import Pairing
from android_bench.statistics.design import is_disturbed
from pfd_models.errors import DeviceError

# Both engines and both clients each once: ExecuTorch over adb-shell takes turns, in the test below.
PAIRS = [
    ("litert", over_adb_server),
    pytest.param("executorch", over_adb_shell, marks=pytest.mark.slow),
    pytest.param("litert", over_adb_shell, marks=pytest.mark.slow),
    pytest.param("executorch", over_adb_server, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("engine", "make"), PAIRS)
def test_both_engines_end_to_end_through_each_client(kept_phone, tiny_set, tmp_path, engine, make):
    rig = PhoneRig(kept_phone, tiny_set, tmp_path, make)
    try:
        result = rig.run(engine)
        assert result.complete
        assert result.device.kind == "android"
        assert result.device.emulated
        assert [c.core for c in result.device.clusters] == ["Cortex-A55", "Cortex-A77"]
        assert max(result.events[0].data["relative_linf"].values()) < 1e-4
        good = [block for block in result.blocks if not is_disturbed(block)]
        assert len(good) >= 2
        assert {b.label for b in good} <= {"orig", "orig (A/A)", "ours"}
        for block in good:
            assert block.engine == engine
            assert len(block.run.samples_ns) == 3
            assert block.run.before.temp_mc["mtktscpu"] > 0
            assert block.run.before.freq_cap_khz[7] == 2_600_000
            assert block.run.after.at_ns > block.run.before.at_ns > 0
    finally:
        rig.close()
    assert rig.left_behind() == []


def test_variants_take_turns_and_the_phone_is_not_asked_meanwhile(rig_on_phone, monkeypatch):
    asked, plain = [], launcher.detached.poll

    def poll(*arguments, **keywords):
        asked.append(time.monotonic_ns())  # the emulated phone has this computer's clock
        return plain(*arguments, **keywords)

    monkeypatch.setattr(launcher.detached, "poll", poll)
    result = rig_on_phone.run(pairing=Pairing.TURNS, budget_seconds=3.0)
    assert result.complete
    assert result.heats
    for heat, judged in zip(result.heats, result.judged, strict=True):
        assert not is_disturbed(judged)
        turns = heat.turns
        assert set(turns.children) >= {"orig", "ours"}
        assert set(turns.cpus.tolist()) <= set(rig_on_phone.device.usable_cpus)
        assert heat.before.freq_cap_khz[7] == 2_600_000
        begin, end = int(turns.turn_begin_ns[0]), int(turns.turn_end_ns[-1])
        assert not [at for at in asked if begin <= at <= end]


def test_an_emulated_phone_gets_records_and_no_verdict(virtual_is_ours, tiny_set, adb_bench):
    files = ("--artifacts", tiny_set / "*.pte", "--budget", "1s")
    assert adb_bench("--device", "virtual", *files, "--json", "r.json", "--profile") == 0
    assert "no verdict: Virtual Dimensity 1000+ is emulated" in adb_bench.out
    assert "nothing is pinned: this emulated phone has only this computer's CPUs" in adb_bench.err
    said = adb_bench.out + adb_bench.err
    assert not any(word in said for word in ("faster", "slower", "A/A control", "% ±"))
    plain = json.loads(Path("r.json").read_text())["campaigns"][0]
    assert len(plain["heats"]) >= 1
    assert (plain["comparisons"], plain["control"]) == ([], None)
    assert plain["profiles"][0]["operators"]
    assert adb_bench("compare", "last", "--fail-if-slower", "0%") == 0
    assert "is emulated" in adb_bench.out
    assert adb_bench("report", "last", "-o", "page.html") == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "data-emulated" in page
    assert "data-comparison" not in page
    assert adb_bench("qualify", "--device", "virtual", *files) == 2
    assert "its times mean nothing" in adb_bench.error


def test_a_bundle_is_sent_once_mended_and_replaced(rig_on_phone, kept_phone):
    bundle = rig_on_phone.device.bundle
    assert all(file.licence and file.size_bytes for file in bundle.files)
    transport = over_adb_shell(kept_phone)
    rig_on_phone.close()
    transport.run(
        f"mkdir -p /data/local/tmp/pfd/harness/of-another-version && echo x > {bundle.folder}"
        "/libm.so.6"
    )
    rig_on_phone.steps.clear()
    assert rig_on_phone.device.harness.machine == "aarch64"
    assert [step for step in rig_on_phone.steps if step.startswith("sending")] == [
        next(step for step in rig_on_phone.steps if "libm.so.6" in step)
    ]
    names = transport.run("ls /data/local/tmp/pfd/harness").stdout.split()
    assert names == [bundle.folder.rpartition("/")[2]]
    transport.close()


def test_cores_are_pinned_where_they_can_be(rig_on_phone):
    device = rig_on_phone.device
    mine = device.usable_cpus
    if 4 not in mine:  # a computer with eight CPUs can be pinned as a phone would be
        assert choose_cpus(device, 1) == 0
        with pytest.raises(DeviceError, match="CPU 4 cannot be used on this device"):
            choose_cpus(device, 1, "4-7")
    mask = choose_cpus(device, 1, str(mine[0]))
    result = rig_on_phone.run(cpu_mask=mask)
    for block in result.blocks:
        assert block.cpu_mask == mask
        assert set(block.run.cpus.tolist()) == {mine[0]}
