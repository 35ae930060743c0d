"""What only PostgreSQL does; test_store.py runs the rest on both databases."""

from sqlalchemy import inspect, text

from android_bench.store import open_store
from pfd_models.errors import DeviceError, InputError


def columns_of(store):
    with store.reading() as connection:
        found = inspect(connection)
        return {
            table: {c["name"]: (str(c["type"]), c["nullable"]) for c in found.get_columns(table)}
            for table in found.get_table_names()
        }


def test_a_store_of_version_1_is_upgraded(postgres_url, make):
    with open_store(postgres_url) as store:
        new = columns_of(store)
        make.fill(store, [make.block(0)])
        with store.writing() as connection:  # what version 1 was: see the stored SQLite example
            for column in ("leftovers", "params", "macs", "calibration"):
                connection.execute(text(f"ALTER TABLE artifacts DROP COLUMN {column}"))
            for table in ("turns", "heats", "arm_counts", "foreign_results"):
                connection.execute(text(f"DROP TABLE {table}"))
            connection.execute(text("UPDATE schema_version SET version = 1"))
    with open_store(postgres_url) as store:
        assert columns_of(store) == new
        assert store.campaigns() == (make.campaign(),)
        assert {f.macs for f in store.artifacts(make.campaign().campaign_id).values()} == {None}


def test_a_newer_store_is_refused(postgres_url, refusal):
    with open_store(postgres_url) as store, store.writing() as connection:
        connection.execute(text("UPDATE schema_version SET version = 99"))
    refusal(InputError, lambda: open_store(postgres_url), "schema 99", "update", "bench:***@")


def test_a_text_that_the_server_cannot_hold_is_one_line(postgres_url, make, refusal):
    with open_store(postgres_url) as store:
        make.fill(store, [])
        refusal(InputError, lambda: store.add_event(make.event(message="a\0b")), "NUL")


def test_a_server_that_is_not_there_is_one_line(refusal):
    line = refusal(
        DeviceError,
        lambda: open_store("postgresql://me:secret@127.0.0.1:1/bench"),
        "postgresql://me:***@127.0.0.1:1/bench",
        "cannot be reached",
        "check the URL",
    )
    assert "secret" not in line
    assert DeviceError.exit_status == 3
    refusal(DeviceError, lambda: open_store("postgresql://host.invalid/bench"), "name is unknown")


def test_a_server_that_refuses_is_one_line(server, refusal):
    refusal(InputError, lambda: open_store(f"{server}/nosuch"), "no such user, database")
    wrong = server.replace("right", "wrong")
    line = refusal(InputError, lambda: open_store(f"{wrong}/postgres"), "refused the user")
    assert "wrong" not in line


def test_a_server_that_dies_in_between_is_one_line(postgres_url, make, refusal):
    def lose_the_connection(store):
        with store.writing() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with open_store(postgres_url) as other, other.writing() as killer:
                killer.execute(text(f"SELECT pg_terminate_backend({pid})"))
            connection.execute(text("SELECT 1"))

    with open_store(postgres_url) as store:
        make.fill(store, [make.block(0)])
        refusal(DeviceError, lambda: lose_the_connection(store), "cannot use the store")
        store.add_block(make.block(1))  # the next transaction has a new connection
        assert len(store.blocks(make.campaign().campaign_id)) == 2
