"""From a URL to an engine, and from a database's errors to one line."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from pfd_models.errors import DeviceError, InputError, IntegrityError, OutputError, PfdError
from pfd_models.plain_data import decode_json

__all__ = ["make_engine", "parse_url", "shown", "store_errors"]

WAIT_S = 30  # for another process that is writing; a write takes milliseconds
CONNECT_S = 10  # for a PostgreSQL server to answer

_URLS = ("postgresql://", "postgresql+psycopg://", "sqlite:///")
_CHOICES = "give a file's name, sqlite:///bench.sqlite or postgresql://user@host/database"


def parse_url(text: str) -> URL:
    """Read a store's place: one of three kinds of URL, or a file's name, taken as it stands.

    Raises:
        InputError: It is another kind of URL, or no place that keeps anything.
    """
    if "://" not in text:
        return _file(text, text)
    if not text.startswith(_URLS):
        raise InputError(f"{_hidden(text)!r} is no kind of store: {_CHOICES}")
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError) as error:
        raise InputError(f"cannot read the store URL {_hidden(text)!r}: {_CHOICES}") from error
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if "?" in text:  # what follows would be options: never write to half a name
        raise InputError(
            f"the store URL {text!r} has options after '?', which a file takes none of: give the "
            "file's name alone, without sqlite:///, or write %3F"
        )
    return _file(url.database or "", text)


def _file(name: str, text: str) -> URL:
    if name in ("", ":memory:") or "\0" in name:
        raise InputError(
            f"{text!r} names no file, and records must outlive this program: {_CHOICES} "
            "(./:memory: for a file of that name)"
        )
    return URL.create("sqlite", database=name)


def _hidden(text: str) -> str:
    """Return a URL that cannot be read, without what may be its password."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", text)


def shown(url: URL) -> str:
    """Return the URL for a message: a file's path, or the server's URL without its password."""
    if url.get_backend_name() == "sqlite":
        name = str(url.database)
        return name if name.isprintable() else ascii(name)
    url = url.difference_update_query(["password", "sslpassword"])
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def make_engine(url: URL, *, create: bool) -> Engine:
    """Return an engine whose transactions are durable when they have returned.

    Args:
        url: From `parse_url`.
        create: Whether a SQLite file may be created.

    Raises:
        InputError: The file does not exist, or the PostgreSQL driver is not installed.
    """
    # Text as it is, not escaped: what is no Unicode is then refused here as in every column.
    dumps = partial(json.dumps, allow_nan=False, ensure_ascii=False)
    if url.get_backend_name() == "sqlite":
        if not create and not Path(str(url.database)).is_file():
            raise InputError(f"no store at {shown(url)}; run a campaign first or give its URL")
        engine = create_engine(
            url,
            connect_args={"timeout": WAIT_S},
            json_serializer=dumps,
            json_deserializer=_load_json,
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(
            url,
            # Without the second, a network that is gone is noticed after a quarter of an hour.
            connect_args={"connect_timeout": CONNECT_S, "tcp_user_timeout": 1000 * WAIT_S},
            json_serializer=dumps,
            json_deserializer=_load_json,
            pool_pre_ping=True,  # a campaign may be silent for longer than a server waits
        )
    except ModuleNotFoundError as error:
        raise InputError(
            "a PostgreSQL store needs the extra 'postgres': pip install 'pfd-mobile[postgres]'"
        ) from error


def _load_json(text: str | bytes) -> Any:
    """Read a column's value; rows.py makes it a part of a record."""
    what = "a value in the store, which is damaged (restore a backup),"
    anything = cast("type[Any]", Any)
    return decode_json(anything, text, what=what, error=IntegrityError, strict=False)


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
    except UnicodeDecodeError as error:  # SQLite quotes a damaged file in its message
        raise InputError(
            f"cannot use the store {shown(url)}: the file is damaged; restore a backup"
        ) from error
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
    ("no such table", "it is no whole bench store; restore a backup", InputError),
    ("no such column", "it is no whole bench store; restore a backup", InputError),
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
