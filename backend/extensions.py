"""The database and its migrations, unbound: nothing is opened at import."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from flask import Flask, current_app
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, Connection, DateTime, Dialect, Integer, MetaData, event
from sqlalchemy import Table as CoreTable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from backend.errors import Unavailable

POOL_SIZE = 12  # transactions are short: more threads than this take turns
POOL_TIMEOUT = 5.0  # seconds
IDLE_TRANSACTION_MS = 10_000  # a process that stopped in the middle of one would keep its rows locked for good
IDLE_SECONDS = 1.0  # after which a connection is asked whether it still lives
BUSY_TIMEOUT_MS = 15_000
LOCK_LOOK = 0.001  # seconds between looks at the lock of SQLite


class Table(DeclarativeBase):
    """Base of every table; constraints are named so that migrations can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(metadata=Table.metadata)
migrate = Migrate()

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER primary keys only


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, stored in UTC; a naive one is refused because nobody can say when it is."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC, naive for SQLite, which stores no zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


@contextmanager
def transaction(*, read_only: bool = False) -> Iterator[Session]:
    """Open one short transaction, commit it at the end, roll it back on any error: the only place that commits.

    Raises:
        Unavailable: the database does not answer.
    """
    try:
        with (
            _turn_to_write(read_only=read_only),
            Session(db.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            if read_only:
                session.connection(execution_options={"read_only": True})
            yield session
    except sqlite3.OperationalError as error:  # at BEGIN, which SQLAlchemy does not translate
        raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
    except (DBAPIError, PoolTimeoutError) as error:
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        if not lost and not isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError)):
            raise
        raise Unavailable(f"the database does not answer ({type(error.__cause__ or error).__name__})") from error


_writing = threading.Lock()


def _take_turns_anew() -> None:
    """Leave a forked child with a lock that no thread of the parent holds."""
    global _writing  # noqa: PLW0603 - one per process
    _writing = threading.Lock()


os.register_at_fork(after_in_child=_take_turns_anew)


@contextmanager
def _turn_to_write(*, read_only: bool) -> Iterator[None]:
    """Let the threads of this process write to SQLite one after the other.

    SQLite lets one write at a time too, but those who wait for it sleep, up to 100 ms at a time, in no order.
    """
    if read_only or db.engine.dialect.name != "sqlite":
        yield
        return
    if not _writing.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
        raise Unavailable("the database is busy writing")
    try:
        yield
    finally:
        _writing.release()


def insert_new(table: CoreTable) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that leaves out rows which a unique index refuses; `returning` says which went in."""
    insert = postgresql.insert if db.engine.dialect.name == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()


def current(name: str) -> object:
    """Return what the current application holds under `name`, such as its doorbell."""
    return current_app.extensions[name]


def in_background(target: Callable[[], None], *, name: str) -> None:
    """Run `target` on a daemon thread of its own, in the current application."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - the documented way

    def _run() -> None:
        with app.app_context():
            target()

    threading.Thread(target=_run, name=name, daemon=True).start()


def engine_options(url: str) -> dict[str, Any]:
    """Return the SQLAlchemy engine options for the database at `url`."""
    # No overflow: opening a connection for one transaction costs more than waiting for one of these.
    pool = {"pool_size": POOL_SIZE, "max_overflow": 0, "pool_timeout": POOL_TIMEOUT}
    if url.startswith("sqlite"):
        return pool | {"connect_args": {"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}}
    options = f"-c timezone=UTC -c idle_in_transaction_session_timeout={IDLE_TRANSACTION_MS}"
    return pool | {
        # A server that vanished without a word is noticed within ten seconds.
        "connect_args": {"connect_timeout": 3, "tcp_user_timeout": 10_000, "keepalives_idle": 10, "options": options},
    }


def prepare_engine(engine: Engine) -> None:
    """Make the database safe for processes that stop at any moment, and SQLite for several that write.

    PostgreSQL: many rows go in one INSERT. A pipeline, which psycopg would use, is not ended by the timeout of idle
    transactions when its process stops in the middle. A connection that lay idle is asked whether it still lives: a
    restarted server costs one question, not one error for each of them.

    SQLite: WAL, and write transactions that take the lock at their start. A deferred transaction that upgrades to a
    write fails at once under WAL however long the busy timeout is. Those who wait for the lock look again every
    millisecond: SQLite itself sleeps up to 100 ms in between, and then one process may keep another out for seconds.
    """
    if engine.dialect.name != "sqlite":
        engine.dialect.use_insertmanyvalues_wo_returning = True
        _ask_idle_connections(engine)
        return

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # BEGIN is ours, below
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("read_only", False):
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_writing(cast("sqlite3.Connection", connection.connection.dbapi_connection))


def _begin_writing(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # also busy with recovery, after a crash
                    raise
                if time.monotonic() > deadline:
                    raise Unavailable("the database is busy writing") from error
                time.sleep(LOCK_LOOK)
            else:
                return
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")


def _ask_idle_connections(engine: Engine) -> None:
    @event.listens_for(engine, "checkin")
    def _rest(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ask(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get("rests_since", time.monotonic()) < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error
