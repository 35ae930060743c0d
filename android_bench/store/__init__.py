"""Where records are kept: SQLAlchemy Core on a URL, SQLite by default, append only.

schema.py      the tables          migrations.py  one function per version
connection.py  URL, engine, errors packing.py     samples as compact bytes
rows.py        records <-> rows    archive.py     Store: what the bench calls
lock.py        one bench on a device at a time
"""

from android_bench.store.archive import Store, open_store
from android_bench.store.lock import device_lock
from android_bench.store.schema import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "Store", "device_lock", "open_store"]
