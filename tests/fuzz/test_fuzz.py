import pytest
from fuzzing import TARGETS, Target, run_target
from scripts import load_script

from pfd_models.errors import DeviceError

INPUTS = 2_000  # tools/fuzz.py tries 100,000


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_answers_end_in_one_line_or_well(name):
    tried, failure = run_target(TARGETS[name], INPUTS)
    assert failure is None, f"{failure.input} ended in {failure.error!r}"
    assert tried >= INPUTS


@pytest.fixture
def broken(monkeypatch):
    """Make a protocol whose reader has two faults."""

    def check(given):
        if b"99999" in given.data:
            raise IndexError("tuple index out of range")
        if b"\xff" in given.data:
            raise DeviceError("two\nlines")

    chosen = Target(name="broken", examples=(b"cpu 7 of 8",), check=check)
    monkeypatch.setitem(TARGETS, "broken", chosen)
    return chosen


def test_a_fault_is_found_and_shown_small(broken):
    tried, failure = run_target(broken, INPUTS)
    assert 0 < tried < INPUTS
    assert isinstance(failure.error, IndexError | AssertionError)
    assert len(failure.input.data) < 400


def test_another_seed_gives_other_inputs_and_the_same_one_the_same():
    def heard(seed):
        seen = []
        chosen = Target(
            name="x", examples=(b"cpu 7 of 8",), check=lambda given: seen.append(given.data)
        )
        run_target(chosen, 200, seed_number=seed)
        return seen

    first = heard(1)
    assert first == heard(1)
    assert first != heard(2)
    assert len(set(first)) > 100


def test_the_command_counts_and_shows_what_failed(broken, repository, capsys):
    fuzz = load_script(repository / "tools" / "fuzz.py")
    assert fuzz.main(["--protocol", "cpu-lists", "--inputs", "64"]) == 0
    assert "cpu-lists                 64 inputs" in capsys.readouterr().out
    assert fuzz.main(["--protocol", "broken", "--inputs", "2000", "--seed", "3"]) == 1
    shown = capsys.readouterr().out
    assert "failed" in shown
    assert "IndexError: tuple index out of range" in shown or "more than a line" in shown
    assert "input: " in shown


@pytest.mark.parametrize("options", [("--inputs", "0"), ("--inputs", "-5"), ("--protocol", "x")])
def test_the_command_refuses_what_it_cannot_do(repository, capsys, options):
    fuzz = load_script(repository / "tools" / "fuzz.py")
    with pytest.raises(SystemExit) as stop:
        fuzz.main(list(options))
    assert stop.value.code == 2
    assert options[1] in capsys.readouterr().err


def test_every_protocol_has_its_examples():
    assert set(TARGETS) >= {
        *("adb-packets", "adb-server", "devices-l", "shell-v2", "file-sync"),
        *("detached-run", "device-profile", "device-state", "cpu-lists", "dumpsys", "device-lock"),
        *("harness-lines", "harness-describe"),
        *("manifest", "reference-npz", "build-json", "store-journal"),
    }
    assert all(target.examples for target in TARGETS.values())
