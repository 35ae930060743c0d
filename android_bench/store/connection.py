"""From a URL to an engine, and from a database's errors to one line."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from pfd_models.errors import DeviceError, InputError, OutputError, PfdError

__all__ = ["make_engine", "parse_url", "shown", "store_errors"]

WAIT_S = 30  # for another process that is writing; a write takes milliseconds
CONNECT_S = 10  # for a PostgreSQL server to answer


def parse_url(text: str) -> URL:
    """Read a store's URL; a bare path is a SQLite file.

    Raises:
        InputError: It is no URL of a database that is supported.
    """
    text = text if "://" in text else f"sqlite:///{text}"
    try:
        url = make_url(text)
        kind = url.get_backend_name()
    except (exc.ArgumentError, ValueError) as error:
        raise InputError(
            f"cannot read the store URL {text!r}; give sqlite:///bench.sqlite or "
            "postgresql://user@host/database"
        ) from error
    if kind == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if kind == "sqlite":
        return url.set(drivername="sqlite")
    raise InputError(
        f"the store cannot be a {kind} database; give sqlite:///bench.sqlite or "
        "postgresql://user@host/database"
    )


def shown(url: URL) -> str:
    """Return the URL for a message: a file's path, or the server's URL without its password."""
    if url.get_backend_name() == "sqlite":
        return url.database or ":memory:"
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def make_engine(url: URL, *, create: bool) -> Engine:
    """Return an engine whose transactions are durable when they have returned.

    Args:
        url: From `parse_url`.
        create: Whether a SQLite file may be created.

    Raises:
        InputError: The file does not exist, or the PostgreSQL driver is not installed.
    """
    dumps = partial(json.dumps, allow_nan=False)
    if url.get_backend_name() == "sqlite":
        in_memory = url.database in (None, "", ":memory:")
        if not create and not in_memory and not Path(str(url.database)).is_file():
            raise InputError(f"no store at {url.database}; run a campaign first or give its URL")
        engine = create_engine(url, connect_args={"timeout": WAIT_S}, json_serializer=dumps)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(
            url,
            connect_args={"connect_timeout": CONNECT_S},
            json_serializer=dumps,
            pool_pre_ping=True,  # a campaign may be silent for longer than a server waits
        )
    except ModuleNotFoundError as error:
        raise InputError(
            "a PostgreSQL store needs the extra 'postgres': pip install 'pfd-mobile[postgres]'"
        ) from error


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    # Transactions are begun by _begin_sqlite: the driver's own begin is late and never immediate.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    _switch_to_wal(cursor)
    # In WAL mode the default leaves the last commits to the operating system's mercy.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    # The switch of a new file needs it alone and does not wait by itself when two start at once.
    until = time.monotonic() + WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later could lose its place to another writer.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def store_errors(url: URL) -> Iterator[None]:
    """Turn a database error raised inside into one line with its remedy.

    Raises:
        OutputError: The disk is full or the place cannot be written.
        InputError: The file is no database, or the server refuses this user or database.
        DeviceError: The server cannot be reached, or another process kept the store busy.
    """
    try:
        yield
    except exc.StatementError as error:
        # Errors of this project pass through SQLAlchemy unchanged unless raised in a converter.
        if isinstance(error.orig, PfdError):
            raise error.orig from error
        raise _one_line(shown(url), error) from error
    except exc.SQLAlchemyError as error:
        raise DeviceError(f"the store {shown(url)} failed: {_first_line(error)}") from error
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text {error.object!r} cannot be stored: it is not valid Unicode; rename it"
        ) from error


# What a database says (part of its message, lower case), how to say it, and the error's class.
_SAYINGS: tuple[tuple[str, str, type[PfdError]], ...] = (
    ("disk is full", "the disk is full; make room, then resume", OutputError),
    ("no space left", "the disk is full; make room, then resume", OutputError),
    ("disk i/o error", "the disk failed or is full; make room, then resume", OutputError),
    ("unable to open", "the file cannot be opened; check its folder", OutputError),
    ("readonly", "it may only be read; change its permissions", OutputError),
    ("read-only", "it may only be read; change its permissions", OutputError),
    ("not a database", "the file is no bench store; choose another", InputError),
    ("malformed", "the file is damaged; restore a backup", InputError),
    ("is locked", f"another process kept it busy for {WAIT_S} s; try again", DeviceError),
    ("password", "the server refused the user or password; check the URL", InputError),
    ("pg_hba", "the server refused the user or host; check pg_hba.conf", InputError),
    ("does not exist", "the server has no such user, database or table; check the URL", InputError),
    ("permission denied", "the server forbids it to this user; ask for the right", InputError),
    ("connection", "the server cannot be reached; start it or check the URL", DeviceError),
    ("resolve", "the server's name is unknown; check the URL", DeviceError),
)


def _one_line(name: str, error: exc.StatementError) -> PfdError:
    message = str(error.orig or error).lower()
    if isinstance(error.orig, ValueError | TypeError):  # a converter: JSON, text encoding
        return InputError(f"a value cannot be stored in {name}: {_first_line(error.orig)}")
    for part, saying, kind in _SAYINGS:
        if part in message:
            return kind(f"cannot use the store {name}: {saying}")
    kind = InputError if isinstance(error, exc.IntegrityError | exc.DataError) else DeviceError
    return kind(f"cannot use the store {name}: {_first_line(error.orig or error)}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]
