import os

import pytest

from android_bench.devices.phone import cache
from android_bench.devices.phone.cache import ROOT, clean_cache, upload_file
from android_bench.devices.phone.lock import locked
from android_bench.errors import StorageError
from android_bench.transports import detached
from android_bench.virtual_phone import hooks
from pfd_models.errors import DeviceError, InputError

FILES = f"{ROOT}/files"
MB = 1_000_000


@pytest.fixture(autouse=True)
def _empty_cache(direct):
    """Other tests of this session's phone leave files in its cache, as they should."""
    direct.run(f"rm -rf {FILES}")


@pytest.fixture
def make(tmp_path):
    def write(name, content=None, *, size=100):
        path = tmp_path / name
        path.write_bytes(os.urandom(size) if content is None else content)
        return path

    return write


@pytest.fixture
def sent(direct, monkeypatch):
    """The files that crossed the cable."""
    names, push = [], direct.push

    def counted(local, remote, **options):
        pushed = push(local, remote, **options)
        if not pushed.skipped:
            names.append(local.name)
        return pushed

    monkeypatch.setattr(direct, "push", counted)
    return names


def there(transport):
    return transport.run(f"ls -A {FILES}").stdout.split()


def age(transport, remote, days):
    """Make a file look unused for so long."""
    transport.run(f"touch -d @$(( $(date +%s) - {days} * 86400 )) {remote}")


def test_equal_content_is_sent_once_whatever_it_is_called(direct, make, sent):
    first = upload_file(direct, make("reference_0.input_0.bin", b"the same input"))
    again = upload_file(direct, make("reference_1.input_0.bin", b"the same input"))
    other = upload_file(direct, make("reference_0.output_0.bin", b"an output"))
    assert first == again != other
    assert sent == ["reference_0.input_0.bin", "reference_0.output_0.bin"]
    assert len(there(direct)) == 2


def test_retrained_weights_of_the_same_size_are_sent(direct, make, sent):
    before = upload_file(direct, make("net.pte", b"weights 1"))
    after = upload_file(direct, make("net.pte", b"weights 2"))
    assert before != after
    assert sent == ["net.pte", "net.pte"]
    assert direct.run(f"cat {after}").stdout == "weights 2"


def test_a_file_that_was_damaged_there_is_sent_again(direct, make, sent):
    path = make("net.pte")
    remote = upload_file(direct, path)
    direct.run(f"echo damaged > {remote}")
    assert upload_file(direct, path) == remote
    assert sent == ["net.pte"] * 2
    assert direct.run(f"sha256sum < {remote}").stdout.startswith(cache.sha256_file(path))


def test_a_name_is_for_the_reader_and_no_more(direct, make, sent):
    hostile = upload_file(direct, make("a b$(touch pwned);'\"&é\n.pte", b"1"))
    assert hostile.rpartition("/")[2].endswith("-a_b__touch_pwned_______.pte")
    upload_file(direct, make("x" * 240, b"2"))
    names = there(direct)
    assert len(names) == 2
    assert all(cache._NAME.fullmatch(name) for name in names)
    with pytest.raises(InputError, match="name a file that is there"):
        upload_file(direct, make("gone").with_name("missing.bin"))


def test_files_not_used_for_long_go_when_a_new_one_comes(direct, make, sent):
    old, used, new = (upload_file(direct, make(name)) for name in ("old", "used", "new"))
    for remote in (old, used):
        age(direct, remote, cache.MAX_IDLE_DAYS + 1)
    age(direct, new, cache.MAX_IDLE_DAYS - 1)
    upload_file(direct, make("used").with_name("used"))  # other content, so this is a new file
    assert old.rpartition("/")[2] not in there(direct)
    assert new.rpartition("/")[2] in there(direct)


def test_using_a_file_is_what_counts_not_when_it_was_made(direct, make):
    path, other = make("net.pte"), make("other.pte")
    os.utime(path, (1e9, 1e9))  # a push gives a file the time it has here
    remote = upload_file(direct, path)
    upload_file(direct, other)
    assert remote.rpartition("/")[2] in there(direct)
    age(direct, remote, 300)
    upload_file(direct, path)
    upload_file(direct, make("third.pte"))
    assert remote.rpartition("/")[2] in there(direct)


def test_what_is_used_longest_ago_makes_room_and_what_is_in_use_stays(
    direct, phone, make, one_line
):
    names = ("oldest", "in-use", "older", "young")
    remotes = {name: upload_file(direct, make(name, size=4 * MB)) for name in names}
    for days, name in enumerate(reversed(names), start=1):
        age(direct, remotes[name], days)
    in_use = {remotes["in-use"]}
    hooks.leave_free(phone, 2 * MB)
    new = upload_file(direct, make("new", size=7 * MB), in_use=in_use)
    left = there(direct)
    assert sorted(name.rpartition("-")[2] for name in left) == ["new", "use", "young"]
    # All that may go is not enough: it says so, and what is in use is still there.
    with pytest.raises(StorageError) as error:
        upload_file(direct, make("huge", size=40 * MB), in_use={*in_use, new})
    one_line(error, 3, "no room on the device", "needs 40.0 MB")
    assert {*in_use, new} <= {f"{FILES}/{name}" for name in there(direct)}


def test_nothing_goes_where_there_is_room(direct, make):
    for name in ("a", "b", "c"):
        age(direct, upload_file(direct, make(name)), 5)
    upload_file(direct, make("d"))
    assert len(there(direct)) == 4


def test_what_a_broken_upload_left_goes_with_the_next_one(direct, make):
    upload_file(direct, make("a"))
    direct.run(f"echo half > {FILES}/.{'0' * 32}-b.part")
    upload_file(direct, make("c"))
    assert [name for name in there(direct) if name.endswith(".part")] == []


def test_cleaning_says_what_was_freed_and_leaves_nothing(direct, make, one_line):
    for name in ("a", "b"):
        upload_file(direct, make(name, size=MB))
    direct.run(f"mkdir -p {ROOT}/harness/0123 && echo x > {ROOT}/harness/0123/pfd_bench")
    detached.start(direct, "sleep 100", run_id="left-by-a-dead-bench")
    freed = clean_cache(direct)
    assert freed.files == 3
    assert 2 * MB <= freed.size_bytes < 2.2 * MB
    assert direct.run(f"ls -A {ROOT}").stdout == ""
    assert clean_cache(direct).files == 0


def test_cleaning_waits_for_nobody_and_takes_no_lock_twice(direct, make, one_line):
    upload_file(direct, make("a"))
    with locked(direct) as lock:
        with pytest.raises(DeviceError) as error:
            clean_cache(direct)
        one_line(error, 3, "another bench is using virtual")
        assert len(there(direct)) == 1
        assert clean_cache(direct, lock=lock).files == 1
        lock.renew()
