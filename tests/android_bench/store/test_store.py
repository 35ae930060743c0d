import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event, inspect, text

from android_bench.records import Flag
from android_bench.store import SCHEMA_VERSION, open_store
from android_bench.store.connection import parse_url, shown
from android_bench.store.schema import metadata
from pfd_models.errors import InputError, IntegrityError, OutputError

# -- what is kept ------------------------------------------------------------------------------


def test_everything_comes_back(any_store, make):
    store = any_store
    blocks = make.measured_blocks(rounds=4)
    blocks.append(
        make.block(
            99, "ours", (), flags=frozenset({Flag.ENGINE_CRASHED, Flag.PARTIAL}), load_ns=None
        )
    )
    make.fill(store, blocks)
    campaign = make.campaign()
    assert store.campaigns() == (campaign,)
    assert store.device(campaign.device_id) == make.device()
    files = store.artifacts(campaign.campaign_id)
    assert list(files.values()) == [make.artifact("orig"), make.artifact("ours")]
    assert list(store.blocks(campaign.campaign_id)) == blocks
    ours = store.blocks(campaign.campaign_id, "ours")
    assert list(ours) == [b for b in blocks if b.label == "ours"]
    assert len(ours) > 1
    assert store.profiles(campaign.campaign_id) == (make.profile(),)
    assert store.memory(campaign.campaign_id) == (make.memory(),)
    events = store.events(campaign.campaign_id)
    assert [e.kind for e in events] == ["started", "stopped"]
    assert events[0] == make.event()
    (line,) = store.overview()
    assert store.heats(campaign.campaign_id) == (make.heat(),)
    assert (line.blocks, line.flagged) == (len(blocks) + 1, 1)  # and a heat
    assert (line.device, line.last_event) == (make.device(), events[-1])


def test_counts_of_a_file_come_back_and_need_no_campaign(any_store, make, refusal):
    first, later = make.arm_count(), make.arm_count(counted_utc="2026-04-01T00:00:00+00:00")
    for count in (later, first, first):  # the same again changes nothing
        any_store.add_arm_count(count, make.artifact())
    assert any_store.arm_counts(make.artifact().sha256) == (first, later)
    assert any_store.arm_counts(make.artifact("ours").sha256) == ()
    assert any_store.campaigns() == ()
    refusal(InputError, lambda: any_store.add_arm_count(first, make.artifact("ours")), "own record")


def test_it_comes_back_from_a_closed_file_too(tmp_path, make):
    path = tmp_path / "a b" / "bench.sqlite"
    path.parent.mkdir()
    with open_store(str(path)) as store:
        make.fill(store)
    assert [p.name for p in path.parent.iterdir()] == ["bench.sqlite"]  # no journal left over
    with open_store(str(path), create=False) as store:
        assert list(store.blocks(make.campaign().campaign_id)) == make.measured_blocks()


def test_records_are_never_replaced(any_store, make, refusal):
    store = any_store
    make.fill(store, [make.block(0)])
    campaign = make.campaign()
    files = [make.artifact("orig"), make.artifact("ours")]
    refusal(
        InputError, lambda: store.add_block(make.block(0)), "index 0", "records are never replaced"
    )
    refusal(
        InputError, lambda: store.add_campaign(campaign, make.device(), files), campaign.campaign_id
    )
    store.add_block(make.block(0, attempt=1))  # a repetition is another record
    for key, value in {
        "artifact_sha256": "b" * 64,
        "engine": "litert",
        "threads": 2,
        "cpu_mask": 4,
    }.items():
        refusal(
            InputError,
            lambda key=key, value=value: store.add_block(make.block(1, **{key: value})),
            "does not belong to arm 'orig'",
            key,
        )
    refusal(
        InputError,
        lambda: store.add_block(make.block(1, campaign_id="other")),
        "no campaign 'other'",
    )
    refusal(InputError, lambda: store.add_memory(make.memory(label="x")), "no arm 'x'", "'ours'")
    refusal(InputError, lambda: store.add_profile(make.profile(label="x")), "no arm 'x'")
    refusal(InputError, lambda: store.add_event(make.event(campaign_id="other")))
    assert [b.key[1:] for b in store.blocks(campaign.campaign_id)] == [(0, 0), (0, 1)]


def test_a_campaign_comes_with_its_own_device_and_files(store, make, refusal):
    files = [make.artifact("orig"), make.artifact("ours")]
    other = make.device(kernel="7")
    refusal(InputError, lambda: store.add_campaign(make.campaign(), other, files), other.device_id)
    refusal(
        InputError,
        lambda: store.add_campaign(make.campaign(), make.device(), files[:1]),
        "'ours'",
        "not among",
    )
    assert store.campaigns() == ()
    assert store.overview() == ()


def test_a_known_file_and_device_are_kept_as_they_were(store, make):
    make.fill(store, [])
    again = make.campaign(campaign_id="second")
    store.add_campaign(
        again, make.device(), [make.artifact("orig", file="renamed.pte"), make.artifact("ours")]
    )
    names = [f.file for f in store.artifacts("second").values()]
    assert names == [make.artifact("orig").file, make.artifact("ours").file]


def test_a_campaign_is_found_by_the_beginning_of_its_id_or_as_the_last(store, make, refusal):
    refusal(InputError, lambda: store.campaign("last"), "none yet")
    make.fill(store, [])
    files = [make.artifact("orig"), make.artifact("ours")]
    later = make.campaign(campaign_id="20260302-x", started_utc="2026-03-02T00:00:00+00:00")
    store.add_campaign(later, make.device(), files)
    assert store.campaign("last") == later
    assert store.campaign("20260301") == make.campaign()
    refusal(InputError, lambda: store.campaign("2026030"), "2 campaigns", later.campaign_id)
    refusal(InputError, lambda: store.campaign(""), "no campaign ''")


def test_a_block_is_stored_whole_or_not_at_all(store, make, monkeypatch, refusal):
    make.fill(store, [make.block(0)])
    from android_bench.store import rows

    monkeypatch.setattr(rows, "samples_row", lambda block, block_id: {"block_id": block_id})
    refusal(InputError, lambda: store.add_block(make.block(1)))
    monkeypatch.undo()
    with store.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM blocks")).scalar_one() == 1
    store.add_block(make.block(1))


@pytest.mark.parametrize("name", ["a'; DROP TABLE blocks; --", "\U0001f41f", "<b>", "\u202e\t"])
def test_odd_texts_are_kept_as_they_are(any_store, make, name):
    make.fill(any_store, [])
    any_store.add_event(make.event(message=name))
    assert any_store.events(make.campaign().campaign_id)[-1].message == name


def test_a_file_name_that_is_no_unicode_is_one_line(any_store, make, refusal):
    make.fill(any_store, [])
    refusal(InputError, lambda: any_store.add_event(make.event(message="\udcff")), "stored")
    data = {"file": "\udcff"}
    refusal(InputError, lambda: any_store.add_event(make.event(data=data)), "stored")


def test_damaged_samples_are_noticed(store, make, refusal):
    make.fill(store, [make.block(0)])
    with store.writing() as connection:
        connection.execute(text("UPDATE samples SET samples_ns = x'00'"))
    refusal(IntegrityError, lambda: store.blocks(make.campaign().campaign_id), "damaged")


@pytest.mark.parametrize("damaged", ["{", "", "[" * 100_000], ids=lambda text: text[:5])
def test_a_damaged_value_is_one_line(store, make, refusal, damaged):
    make.fill(store, [make.block(0)])
    with store.writing() as connection:
        connection.execute(text("UPDATE events SET data = :d"), {"d": damaged})
        connection.execute(text("UPDATE blocks SET flags = :d"), {"d": damaged})
    campaign = make.campaign().campaign_id
    for read in (store.events, store.blocks):
        refusal(IntegrityError, lambda read=read: read(campaign), "damaged", "restore a backup")


def test_numbers_that_json_lacks_are_refused(store, make, refusal):
    make.fill(store, [])
    refusal(
        InputError,
        lambda: store.add_event(make.event(data={"x": float("nan")})),
        "cannot be stored",
    )


# -- where it is kept --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "what?.sqlite",
        "a#b.sqlite",
        "a%41b.sqlite",
        "a b .sqlite",
        "./:memory:",
        "file:x.sqlite?mode=memory",
        "C:\\bench.sqlite",
        "mysql:bench",
        "-x",
        "a'b\"c\nd.sqlite",
        "\udcff.sqlite",
    ],
)
def test_a_name_is_a_name(name, tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    with open_store(name) as store:
        make.fill(store, [])
    assert os.listdir(tmp_path) == [name.removeprefix("./")]
    with open_store(name, create=False) as store:
        assert store.campaigns() == (make.campaign(),)
        assert "\n" not in store.name


def test_a_sqlite_url_is_a_url(tmp_path):
    open_store(f"sqlite:///{tmp_path}/a%20b%3F.sqlite").close()
    assert os.listdir(tmp_path) == ["a b?.sqlite"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("sqlite:///what?.sqlite", "options after '?'"),
        ("sqlite:///x.sqlite?mode=ro", "options after '?'"),
        ("mysql://me:secret@x/y", "mysql://me:***@x/y"),
        ("postgres://x/y", "postgresql://"),
        ("postgresql+psycopg2://x/y", "no kind of store"),
        ("postgresql://me:secret@x:port/y", "cannot read the store URL 'postgresql://me:***@x"),
        ("c://x", "a file's name"),
        ("://", "'://'"),
        ("sqlite://host/x", "no kind of store"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "outlive"),
        (":memory:", "./:memory:"),
        ("", "names no file"),
        ("a\0b", "names no file"),
    ],
)
def test_what_is_no_place_is_one_line_and_makes_nothing(text, part, tmp_path, monkeypatch, refusal):
    monkeypatch.chdir(tmp_path)
    line = refusal(InputError, lambda: open_store(text), part)
    assert "secret" not in line
    assert os.listdir(tmp_path) == []


def test_places_are_shown_without_passwords():
    assert shown(parse_url("bench.sqlite")) == "bench.sqlite"
    assert shown(parse_url("sqlite:////tmp/x.sqlite")) == "/tmp/x.sqlite"
    laboratory = parse_url("postgresql://me:secret@lab:5433/bench")
    assert laboratory.drivername == "postgresql+psycopg"
    assert shown(laboratory) == "postgresql://me:***@lab:5433/bench"
    assert parse_url("postgresql+psycopg://me:secret@lab:5433/bench") == laboratory


def test_a_store_that_is_not_there_is_not_made_for_reading(tmp_path, refusal):
    path = tmp_path / "none.sqlite"
    refusal(InputError, lambda: open_store(str(path), create=False), str(path), "run a campaign")
    assert not path.exists()
    missing = tmp_path / "no" / "folder.sqlite"
    refusal(OutputError, lambda: open_store(str(missing)), str(missing), "check its folder")


def test_a_file_that_is_no_database_is_refused(tmp_path, refusal):
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, not a database, and long enough to be read as one" * 20)
    refusal(InputError, lambda: open_store(str(path)), str(path), "no bench store")
    assert path.read_text().startswith("these are my notes")


def test_the_database_of_another_program_is_refused(tmp_path, refusal):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE events (what TEXT)")
    other.close()
    refusal(InputError, lambda: open_store(str(path)), "'events'", "choose another")


def test_a_store_of_a_newer_version_is_refused(tmp_path, make, refusal):
    path = tmp_path / "bench.sqlite"
    with open_store(str(path)) as store, store.writing() as connection:
        connection.execute(text("UPDATE schema_version SET version = 99"))
    refusal(
        InputError,
        lambda: open_store(str(path)),
        str(path),
        "schema 99",
        f"up to {SCHEMA_VERSION}",
        "update",
    )
    with open_store(str(tmp_path / "b.sqlite")) as store, store.writing() as connection:
        connection.execute(text("DELETE FROM schema_version"))
    refusal(InputError, lambda: open_store(str(tmp_path / "b.sqlite")), "no schema version")


# -- versions ----------------------------------------------------------------------------------


def columns_of(store):
    """Return table to column to (type, nullable) as the database has it."""
    with store.reading() as connection:
        found = inspect(connection)
        return {
            table: {c["name"]: (str(c["type"]), c["nullable"]) for c in found.get_columns(table)}
            for table in found.get_table_names()
        }


def test_a_store_of_version_1_is_upgraded_and_keeps_its_records(tmp_path, make, data_folder):
    path = tmp_path / "old.sqlite"
    old = sqlite3.connect(path)
    old.executescript((data_folder / "store_v1.sql").read_text())
    assert old.execute("SELECT version FROM schema_version").fetchone() == (1,)
    names = [row[1] for row in old.execute("PRAGMA table_info(artifacts)")]
    assert "leftovers" not in names
    old.close()
    with open_store(str(path), create=False) as store, open_store(str(tmp_path / "new")) as new:
        assert columns_of(store) == columns_of(new)
        (campaign,) = store.campaigns()
        assert campaign == make.campaign(manifests={})  # version 1 did not say where they lay
        assert list(store.blocks(campaign.campaign_id)) == make.few_blocks()
        files = store.artifacts(campaign.campaign_id).values()
        assert [(f.leftovers, f.params, f.macs) for f in files] == [(None, None, None)] * 2
        assert [e.kind for e in store.events(campaign.campaign_id)] == ["started", "stopped"]
        store.add_block(make.block(500))
    with open_store(str(path)) as store:  # the second time there is nothing to do
        assert len(store.blocks(campaign.campaign_id)) == len(make.few_blocks()) + 1


def test_an_upgrade_that_breaks_off_leaves_the_old_store(
    tmp_path, data_folder, monkeypatch, refusal
):
    from android_bench.store import migrations

    path = tmp_path / "old.sqlite"
    old = sqlite3.connect(path)
    old.executescript((data_folder / "store_v1.sql").read_text())
    old.close()

    def half(connection):
        connection.execute(text("ALTER TABLE artifacts ADD COLUMN leftovers INTEGER"))
        raise OutputError("the disk is full")

    monkeypatch.setattr(migrations, "MIGRATIONS", {2: half})
    refusal(OutputError, lambda: open_store(str(path)), "the disk is full")
    monkeypatch.undo()
    with open_store(str(path)) as store:
        assert len(store.campaigns()) == 1


def test_every_version_since_the_first_has_its_step():
    from android_bench.store.migrations import MIGRATIONS

    assert sorted(MIGRATIONS) == list(range(2, SCHEMA_VERSION + 1))
    assert "schema_version" in metadata.tables


# -- faults ------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_and_loses_nothing_stored(store, make, refusal):
    make.fill(store, [make.block(0)])
    with store.writing() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    store._engine.dispose()
    event.listen(
        store._engine, "connect", lambda c, _: c.execute(f"PRAGMA max_page_count = {pages}")
    )
    samples = np.random.default_rng(0).integers(1, 10**9, 100_000)  # does not compress
    refusal(
        OutputError,
        lambda: store.add_block(make.block(1, samples_ns=samples)),
        "the disk is full",
        "make room",
    )
    assert [b.index for b in store.blocks(make.campaign().campaign_id)] == [0]


def fill_the_disk(store, make):
    """Yield the index of each stored block until the store says that its disk is full."""
    for index in range(200):
        samples = np.random.default_rng(index).integers(1, 10**9, 3000)
        try:
            store.add_block(make.block(index, samples_ns=samples))
        except OutputError as error:
            if "full; make room" not in str(error):
                raise
            return
        yield index
    pytest.fail("the disk never got full")


def test_a_file_system_that_is_full_is_one_line(tmp_path, make):
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        with open_store(str(place / "bench.sqlite")) as store:
            make.fill(store, [])
            filler = fill_the_disk(store, make)
            stored = len(list(filler))
            assert stored > 0
            assert len(store.blocks(make.campaign().campaign_id)) == stored
    finally:
        subprocess.run(["umount", str(place)], check=True)


WRITER = """
import sys
from conftest import Make
from android_bench.store import open_store
url, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
make = Make()
with open_store(url) as store:
    if first == 0:
        make.fill(store, [])
    for index in range(first, first + count):
        store.add_block(make.block(index, samples_ns=range(1, 300)))
        print(index, flush=True)
"""


def start_writer(url, first, count):
    """Start a process that adds blocks and prints each index when it is stored."""
    here = Path(__file__).parent.parent
    path = os.pathsep.join([str(here), str(here.parents[1])])
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, str(first), str(count)],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_write_at_once(any_url, make):
    url = any_url
    first = start_writer(url, 0, 60)
    assert first.stdout.readline() == "0\n"
    second = start_writer(url, 1000, 60)
    for process in (first, second):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    with open_store(url) as store:
        indices = [b.index for b in store.blocks(make.campaign().campaign_id)]
    assert indices == [*range(60), *range(1000, 1060)]


OPENERS = """
import os, sys
from android_bench.store import open_store
reading, writing = os.pipe()
children = []
for _ in range(4):
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)  # returns in all of them when the parent closes its end
        status = 1
        try:
            open_store(sys.argv[1]).close()
            status = 0
        finally:
            os._exit(status)
    children.append(child)
os.close(writing)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_several_processes_create_one_store(any_url):
    done = subprocess.run(
        [sys.executable, "-c", OPENERS, any_url],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == "[0, 0, 0, 0]\n", done.stderr
    with open_store(any_url) as store:
        assert store.campaigns() == ()


def test_a_killed_writer_loses_nothing_acknowledged(any_url, make):
    url = any_url
    writer = start_writer(url, 0, 100_000)
    acknowledged = [int(writer.stdout.readline()) for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    rest, _ = writer.communicate(timeout=60)
    acknowledged += [int(line) for line in rest.splitlines() if line]
    with open_store(url) as store:
        blocks = store.blocks(make.campaign().campaign_id)
        store.add_block(make.block(500_000))
    indices = [b.index for b in blocks]
    assert indices[: len(acknowledged)] == acknowledged
    assert len(indices) - len(acknowledged) in (0, 1)  # committed, killed before it could say so
    assert all(b.run.samples_ns.tolist() == list(range(1, 300)) for b in blocks)


def test_commits_wait_for_the_disk(store):
    with store.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
