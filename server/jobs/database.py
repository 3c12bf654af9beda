"""The SQLite file that two processes share: its tables and connections.

Readers never wait for writers. Every write is in the write-ahead log when it returns. A durable
write is also flushed to disk; any other survives a crash of the process, but perhaps not of the
machine. On a full disk, a write raises ServiceError `disk_full` and changes nothing.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.errors import ServiceError, ServiceFailure

_SCHEMA_VERSION = 3
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,  -- in order of acceptance
    id          TEXT NOT NULL UNIQUE,
    owner       TEXT NOT NULL DEFAULT '',           -- name of the user
    key         TEXT UNIQUE,                        -- owner, a colon, Idempotency-Key
    fingerprint TEXT,                               -- of the submission with that key
    state       TEXT NOT NULL CHECK (state IN ('queued','running','done','failed','cancelled')),
    parameters  TEXT NOT NULL,
    created     REAL NOT NULL,
    started     REAL,
    ended       REAL,
    touched     REAL NOT NULL,                      -- latest report of progress
    attempt     INTEGER NOT NULL DEFAULT 0,
    deaths      INTEGER NOT NULL DEFAULT 0,
    stop_at     INTEGER,
    steps       INTEGER NOT NULL DEFAULT 0,
    progress    TEXT,
    preview     TEXT,
    results     TEXT,
    error       TEXT,
    notes       TEXT,
    lease_s     REAL,
    lease_until REAL,
    last_event  INTEGER NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0,
    task        TEXT NOT NULL DEFAULT 'restore'     -- or 'detect'
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, deaths, number);
CREATE TABLE IF NOT EXISTS events (
    job  TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq  INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (job, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS turns (
    owner TEXT PRIMARY KEY,
    taken REAL NOT NULL  -- when a job was last taken
);
CREATE TABLE IF NOT EXISTS status (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_MIGRATIONS = {2: "ALTER TABLE jobs ADD COLUMN task TEXT NOT NULL DEFAULT 'restore'"}
"""The statement that turns a file of an older version into one of the next version."""
_READERS = 4
_BUSY_TIMEOUT_S = 30.0


class Database:
    """Connections to one database file.

    Parameters
    ----------
    path : Path
        Created, with its tables, if it is missing.

    Raises
    ------
    ServiceFailure
        The file is no database, or of another version.
    """

    def __init__(self, path: Path) -> None:
        version = _version_of(path)
        self._path = path
        self._write_lock = threading.Lock()
        self._writer = self._connect()
        self._flushes = True
        with self.writing() as db:
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            if version != _SCHEMA_VERSION:
                if version in _MIGRATIONS:
                    db.execute(_MIGRATIONS[version])
                db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._connections = [self._connect() for _ in range(_READERS)]
        for connection in self._connections:
            self._readers.put(connection)
        self._watcher = self._connect()

    def close(self) -> None:
        for connection in (*self._connections, self._watcher, self._writer):
            connection.close()

    def version(self) -> int:
        """A number that changes with every write of any process. For one thread only."""
        return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read from."""
        connection = self._readers.get()
        try:
            yield connection
        finally:
            self._readers.put(connection)

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction; `durable` flushes it to disk."""
        with self._write_lock:
            db = self._writer
            if durable != self._flushes:
                db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._flushes = durable
            try:
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                if "full" in str(error) or "disk I/O" in str(error):
                    raise ServiceError("disk_full", "The disk with the jobs is full.") from error
                raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection


def _version_of(path: Path) -> int:
    """The version of the tables in a file; 0 where there is no file."""
    if not path.exists():
        return 0
    db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)
    try:
        found: int = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise ServiceFailure(
            f"{path} is no database of jobs: {error}.",
            "Move it away and start again; its jobs are lost.",
        ) from error
    finally:
        db.close()
    if found not in (0, *_MIGRATIONS, _SCHEMA_VERSION):
        raise ServiceFailure(
            f"{path} was written by another version of dip.",
            "Use that version, move the file away, or choose another folder with --data-dir.",
        )
    return found
