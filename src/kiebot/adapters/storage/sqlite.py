"""
SqliteStorage: one file, for one machine.

A connection is worked by a thread of its own, a change in one hop to it. There is one connection
that writes; in its own process whoever wants it queues, and between processes SQLite's lock on the
file does the same (`begin immediate`, and a long patience). Readers have connections of their own
and, the journal being a WAL, wait for nobody.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import aiosqlite

from kiebot.adapters.storage import migrations, rows
from kiebot.adapters.storage.lead import holder, leading
from kiebot.adapters.storage.migrations import Migration
from kiebot.adapters.storage.rows import Row
from kiebot.adapters.storage.sql import Part, SqlUnitOfWork, Step, not_usable, utc_now
from kiebot.core.errors import (
    LeadLostError,
    StorageError,
    StorageUnavailableError,
    WrongDatabaseError,
)
from kiebot.core.wallet import EFFECTS, LedgerEntry
from kiebot.ports.storage import Lead, UnitOfWork
from kiebot.ports.system import Clock

try:
    import fcntl
except ImportError:
    _LOCKS = False  # Windows: the row of the lead alone decides
else:
    _LOCKS = True

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_S = 60.0
"""How long a transaction waits for those of other processes."""

_READERS = 4
_BATCH = 500
_LOOK_S = 0.1  # at a leader's lock: no more than a system call
_LOOK_AT_ROW_S = 0.5
_UNAVAILABLE = ("SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_NOTADB")


class SqliteStorage:
    """An SQLite file."""

    def __init__(
        self,
        path: Path,
        writer: "_Thread",
        clock: Clock,
        lease_s: float,
        patience_s: float,
        driver: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        self._path = path
        self._writer = writer
        self._writing = asyncio.Lock()
        self._idle: list[_Thread] = []
        self._opening: set[asyncio.Task[_Thread]] = set()
        self._reading = asyncio.Semaphore(_READERS)
        self._clock = clock
        self._lease_s = lease_s
        self._patience_s = patience_s
        self._driver = driver

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock = utc_now,
        lease_s: float = 15.0,
        patience_s: float = PATIENCE_S,
        driver: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> "SqliteStorage":
        """
        Open the file, or make it and its folder. `driver` is what connections are made of.

        Raises:
            StorageUnavailableError: It cannot be opened and written; the message says why.
        """
        writer = await _Thread.start(path, lambda: _open_writer(path, patience_s, driver))
        return cls(path, writer, clock, lease_s, patience_s, driver)

    @asynccontextmanager
    async def begin(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        async with self.write() as connection:
            if lead is not None:
                await connection.call(_check_lead, lead)
            yield SqlUnitOfWork(connection, self._clock)

    @asynccontextmanager
    async def once(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        async with self._writing:
            yield SqlUnitOfWork(_LoneConnection(self._writer, lead), self._clock)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        async with self.snapshot() as connection:
            yield SqlUnitOfWork(connection, self._clock)

    @asynccontextmanager
    async def glance(self) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        async with self._reading:
            reader = await self._reader()
            try:
                yield SqlUnitOfWork(_GlancingConnection(reader), self._clock)
            finally:
                # With no transaction there is none to end: no hop to the thread.
                self._idle.append(reader)

    def lead(self, scope: str) -> AbstractAsyncContextManager[Lead]:
        """See the port."""
        return leading(scope, _SqliteSeat(self, self._path, scope, self._lease_s), self._lease_s)

    async def migrate(self) -> Sequence[str]:
        """See the port."""
        async with self.write() as connection:
            return await connection.call(_migrate, self._clock())

    async def missing_migrations(self) -> Sequence[str]:
        """See the port."""
        missing = await self._writer.call(_missing_migrations)
        return [migration.name for migration in missing]

    async def claim(self, facts: Iterable[tuple[str, str]]) -> None:
        """See the port."""
        async with self.write() as connection:
            for what, wanted in facts:
                await connection.fetchrow(
                    "insert into identity (key, value) values ($1, $2)"
                    " on conflict (key) do nothing returning key",
                    what,
                    wanted,
                )
                row = await connection.fetchrow("select value from identity where key = $1", what)
                if row is not None and row["value"] != wanted:
                    raise WrongDatabaseError(what, found=row["value"], wanted=wanted)

    async def claimed(self) -> Mapping[str, str]:
        """See the port."""
        async with self.snapshot() as connection:
            is_migrated = await connection.fetchrow(
                "select 1 from sqlite_master where type = 'table' and name = 'identity'"
            )
            if is_migrated is None:
                return {}
            found = await connection.fetch("select key, value from identity")
            return {row["key"]: row["value"] for row in found}

    async def ping(self) -> None:
        """See the port."""
        async with self.snapshot() as connection:
            await connection.fetchrow("select count(*) from sqlite_master")

    async def close(self) -> None:
        """See the port."""
        # A reader that was being opened for somebody who was cancelled has a thread, too.
        await asyncio.gather(*self._opening, return_exceptions=True)
        for thread in (*self._idle, self._writer):
            await thread.stop()
        self._idle.clear()

    @asynccontextmanager
    async def write(self) -> AsyncIterator["_Connection"]:
        """A transaction that writes, for what is no unit of work."""
        async with self._writing:
            connection = _Transaction(self._writer, _begin_immediate)
            try:
                yield connection
                connection.must_be_whole()
                if connection.has_begun:
                    await self._writer.call(_commit)
            except BaseException:
                await asyncio.shield(self._writer.call(_rollback))
                raise

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["_Connection"]:
        """A transaction that reads, for what is no unit of work."""
        async with self._reading:
            reader = await self._reader()
            try:
                yield _Transaction(reader, _begin_to_read)
            finally:
                try:
                    await asyncio.shield(reader.call(_rollback))
                finally:
                    # Only now: who takes it sooner would read in the transaction that ends.
                    self._idle.append(reader)

    async def _reader(self) -> "_Thread":
        if self._idle:
            return self._idle.pop()
        opening = asyncio.create_task(
            _Thread.start(
                self._path, lambda: _connect(self._path, self._patience_s, _READER, self._driver)
            )
        )
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._keep_idle)
            raise

    def _keep_idle(self, opening: "asyncio.Task[_Thread]") -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._idle.append(opening.result())


class _Thread:
    """A connection of aiosqlite, and with it the one thread that works it."""

    def __init__(self, path: Path, connection: aiosqlite.Connection) -> None:
        self._path = path
        self._connection = connection
        self._closed = False

    @classmethod
    async def start(cls, path: Path, connect: Callable[[], sqlite3.Connection]) -> "_Thread":
        """Connect; StorageUnavailableError where that fails."""
        failures: list[Exception] = []

        def attempt() -> sqlite3.Connection:
            # What fails to connect leaves aiosqlite with a thread that nobody can wait for; one
            # that is connected to nothing is closed like any other.
            try:
                return connect()
            except (sqlite3.Error, OSError) as exc:
                failures.append(exc)
                return sqlite3.connect(":memory:")

        connecting = asyncio.ensure_future(_connected(attempt))
        try:
            connection = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # Its thread will answer: the loop must not be closed before.
            await (await connecting).close()
            raise
        for exc in failures:
            await connection.close()
            raise StorageUnavailableError(f"cannot open {path}: {_reason(exc)}") from exc
        return cls(path, connection)

    async def call(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work` on the connection, in the order of the calls."""
        connection = self._connection
        if self._closed:
            raise StorageUnavailableError(f"{self._path} was closed")
        try:
            # Everything public hops to the thread once a statement; a change has several.
            done: T = await connection._execute(  # type: ignore[no-untyped-call]  # noqa: SLF001
                work,
                connection._conn,  # noqa: SLF001
                *args,
                **kwargs,
            )
        except sqlite3.Error as exc:
            gone = getattr(exc, "sqlite_errorname", "").startswith(_UNAVAILABLE)
            error = StorageUnavailableError if gone else StorageError
            raise error(f"{self._path}: {_reason(exc)}") from exc
        return done

    async def stop(self) -> None:
        """Close the connection and end the thread."""
        self._closed = True
        await self._connection.close()


class _Connection:
    """The connection of one unit of work."""

    # Nothing to add to a `get`: a transaction that writes is alone.
    locking = ""

    def __init__(self, thread: _Thread) -> None:
        self._thread = thread
        self._broken: BaseException | None = None

    async def queue_up(self, what: str) -> None:
        """Nobody else writes."""

    def skipping(self, table: str) -> str:  # noqa: ARG002 - nobody else writes
        return ""

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        return await self.call(_fetch, query, values)

    async def fetchrow(self, query: str, *values: object) -> Row | None:
        found = await self.fetch(query, *values)
        return found[0] if found else None

    async def survey(self, query: str) -> Sequence[Row]:
        return [row async for row in self.stream(query)]

    async def stream(self, query: str) -> AsyncIterator[Row]:
        cursor = await self.call(_open_cursor, query)
        while batch := await self.call(_next_batch, cursor):
            for row in batch:
                yield row

    async def write(self, *steps: Step) -> Sequence[bool]:
        return await self.call(_write, steps)

    async def store(
        self, topups: Sequence[Step], jobs: Sequence[Step], entry: LedgerEntry | None,
        others: Sequence[Step],
    ) -> Part | None:  # fmt: skip
        return await self.call(_store, (*topups, *jobs), entry, others)

    def give_up(self, error: BaseException) -> None:
        self._broken = error

    def must_be_whole(self) -> None:
        """StorageError where something was refused: then nothing more is done, or stored."""
        if self._broken is not None:
            raise not_usable(self._broken) from self._broken

    async def call(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work` in the connection's thread."""
        self.must_be_whole()
        try:
            return await self._thread.call(work, *args, **kwargs)
        except StorageError as error:
            self.give_up(error)
            raise


class _Transaction(_Connection):
    """A transaction, begun in one hop with what is asked first."""

    def __init__(self, thread: _Thread, begin: Callable[[sqlite3.Connection], None]) -> None:
        super().__init__(thread)
        self._begin = begin
        self.has_begun = False

    async def call(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        if self.has_begun:
            return await super().call(work, *args, **kwargs)
        self.has_begun = True

        def begin_and_work(connection: sqlite3.Connection) -> T:
            self._begin(connection)
            return work(connection, *args, **kwargs)

        return await super().call(begin_and_work)


class _GlancingConnection(_Connection):
    """Outside any transaction."""

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        return await self.call(_glance, query, values)


class _LoneConnection(_GlancingConnection):
    """Outside any transaction: what writes is one, in one hop."""

    def __init__(self, thread: _Thread, lead: Lead | None) -> None:
        super().__init__(thread)
        self._lead = lead

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        if query.startswith("select "):
            return await super().fetch(query, *values)
        return await self._alone(_fetch, query, values)

    async def write(self, *steps: Step) -> Sequence[bool]:
        return await self._alone(_write, steps)

    async def store(
        self, topups: Sequence[Step], jobs: Sequence[Step], entry: LedgerEntry | None,
        others: Sequence[Step],
    ) -> Part | None:  # fmt: skip
        return await self._alone(_store_or_undo, (*topups, *jobs), entry, others)

    async def _alone(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        lead = self._lead

        def whole(connection: sqlite3.Connection) -> T:
            _begin_immediate(connection)
            try:
                if lead is not None:
                    _check_lead(connection, lead)
                done = work(connection, *args, **kwargs)
                if connection.in_transaction:  # nothing was refused
                    _commit(connection)
            except BaseException:
                _rollback(connection)
                raise
            return done

        return await self.call(whole)


class _SqliteSeat:
    """The row of a scope, and the lock on a file of its own beside the database."""

    def __init__(self, storage: SqliteStorage, path: Path, scope: str, lease_s: float) -> None:
        self.alarm = asyncio.Event()  # never: a lock on a file is not lost before its process is
        self._storage = storage
        self._scope = scope
        self._lease = timedelta(seconds=lease_s)
        self._lock = _FileLock(Path(f"{path}-lead-{quote(scope, safe='')}"))

    async def take(self) -> int | None:
        locked = self._lock.take()
        now = utc_now()
        async with self._storage.write() as connection:
            await connection.fetch(
                "insert into lead (scope, token, holder, until, locked)"
                " values ($1, 0, '', '', 0) on conflict do nothing",
                self._scope,
            )
            row = await connection.fetchrow(
                "update lead set token = token + 1, holder = $2, until = $3, locked = $4"
                " where scope = $1 and (until <= $5 or ($4 and locked))"
                " returning token",
                self._scope,
                holder(),
                now + self._lease,
                locked,
                now,
            )
        if row is None:
            # Not ours to keep: the leader may be without it, and wants it.
            self._lock.give_back()
            return None
        return int(row["token"])

    async def wait(self) -> None:
        until, locked = await self._row()
        pause = min((until - utc_now()).total_seconds(), self._lease.total_seconds() / 3)
        if not locked:
            # A leader without the lock: only the row will say that it left.
            pause = min(pause, _LOOK_AT_ROW_S)
        end = time.monotonic() + max(pause, 0.01)
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _LOOK_S))
            if locked and self._lock.take():
                return

    async def renew(self, token: int) -> bool:
        locked = self._lock.take()
        async with self._storage.write() as connection:
            row = await connection.fetchrow(
                "update lead set until = $3, locked = $4 where scope = $1 and token = $2"
                " returning token",
                self._scope,
                token,
                utc_now() + self._lease,
                locked,
            )
        return row is not None

    async def leave(self, token: int) -> None:
        async with self._storage.write() as connection:
            await connection.fetchrow(
                "update lead set until = $3 where scope = $1 and token = $2 returning token",
                self._scope,
                token,
                utc_now(),
            )

    async def close(self) -> None:
        self._lock.give_back()

    async def _row(self) -> tuple[datetime, bool]:
        async with self._storage.write() as connection:
            row = await connection.fetchrow(
                "select until, locked from lead where scope = $1", self._scope
            )
        if row is None:
            return utc_now(), False
        return rows.moment(row["until"]), bool(row["locked"])


class _FileLock:
    """A lock that the system drops when its process dies; on Windows nobody ever has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """Whether we have it, now or already."""
        if not _LOCKS or self._file is not None:
            return self._file is not None
        try:
            file = self._path.open("a")
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def give_back(self) -> None:
        """Nobody has it, or someone else."""
        if self._file is not None:
            self._file.close()
            self._file = None


async def _connected(connect: Callable[[], sqlite3.Connection]) -> aiosqlite.Connection:
    return await aiosqlite.Connection(connect, iter_chunk_size=_BATCH)


# --- What runs in a connection's thread

_WRITER = ("journal_mode = wal", "synchronous = full", "foreign_keys = on")
# Little is kept by who reads: it is out of date as soon as anybody writes, and there are several.
# Negative sizes of caches are KiB; 2000 are SQLite's own.
_READER = ("query_only = on", "cache_size = -256")
_STREAMING = "pragma cache_size = -2000"


def _open_writer(
    path: Path, patience_s: float, driver: type[sqlite3.Connection]
) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(path, patience_s, _WRITER, driver)
    try:
        # Says at once whether it may be written.
        _begin_immediate(connection)
        connection.execute("rollback")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(
    path: Path, patience_s: float, pragmas: Sequence[str], driver: type[sqlite3.Connection]
) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=patience_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        factory=driver,
    )
    connection.row_factory = sqlite3.Row
    patient_until = time.monotonic() + patience_s
    try:
        for pragma in pragmas:
            while True:
                try:
                    connection.execute(f"pragma {pragma}").fetchall()
                    break
                except sqlite3.OperationalError as exc:
                    # Two that make the file a WAL at once: SQLite does not wait here by itself.
                    if exc.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > patient_until:
                        raise
                    time.sleep(0.02)
    except BaseException:
        connection.close()
        raise
    return connection


def _begin_immediate(connection: sqlite3.Connection) -> None:
    _rollback(connection)
    connection.execute("begin immediate")


def _begin_to_read(connection: sqlite3.Connection) -> None:
    _rollback(connection)
    connection.execute("begin")


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("commit")


def _rollback(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("rollback")


def _glance(
    connection: sqlite3.Connection, query: str, values: Sequence[object]
) -> Sequence[sqlite3.Row]:
    # In a transaction that would not end we should see its moment for ever.
    _rollback(connection)
    return _fetch(connection, query, values)


def _fetch(
    connection: sqlite3.Connection, query: str, values: Sequence[object]
) -> Sequence[sqlite3.Row]:
    return connection.execute(query, _bound(values)).fetchall()


def _open_cursor(connection: sqlite3.Connection, query: str) -> sqlite3.Cursor:
    connection.execute(_STREAMING)
    return connection.execute(query)


def _next_batch(_: sqlite3.Connection, cursor: sqlite3.Cursor) -> Sequence[sqlite3.Row]:
    return cursor.fetchmany(_BATCH)


def _store(
    connection: sqlite3.Connection,
    first: Sequence[Step],
    entry: LedgerEntry | None,
    others: Sequence[Step],
) -> Part | None:
    for step in first:
        if not _fetch(connection, step.statement, step.values) and step.part is not None:
            return step.part
    if entry is not None and not _post(connection, entry):
        return entry
    for step in others:
        if not _fetch(connection, step.statement, step.values) and step.part is not None:
            return step.part
    return None


def _store_or_undo(
    connection: sqlite3.Connection,
    first: Sequence[Step],
    entry: LedgerEntry | None,
    others: Sequence[Step],
) -> Part | None:
    refused = _store(connection, first, entry, others)
    if refused is not None:
        _rollback(connection)
    return refused


def _write(connection: sqlite3.Connection, steps: Sequence[Step]) -> Sequence[bool]:
    return [bool(_fetch(connection, step.statement, step.values)) for step in steps]


def _check_lead(connection: sqlite3.Connection, lead: Lead) -> None:
    found = _fetch(
        connection,
        "select token from lead where scope = $1 and token = $2",
        (lead.scope, lead.token),
    )
    if not found or lead.lost.is_set():
        raise LeadLostError(lead.scope)


def _post(connection: sqlite3.Connection, entry: LedgerEntry) -> bool:
    available, held = EFFECTS[entry.kind]
    # `begin immediate` has locked the wallet already.
    posted = _fetch(
        connection,
        "insert into ledger (user_id, kind, amount_kop, ref, job_id, actor, why, created_at)"
        " select user_id, $2, $3, $4, $5, $6, $7, $8 from wallets"
        " where user_id = $1 and balance_kop + $3 * $9 >= 0 and hold_kop + $3 * $10 >= 0"
        " and not exists (select 1 from ledger where ref = $4)"
        # The job has no such entry yet: what the index `ledger_of_job` says.
        " and not exists (select 1 from ledger where job_id = $5"
        "   and (case when kind in ('charge', 'release') then 'settlement' else kind end)"
        "     = (case when $2 in ('charge', 'release') then 'settlement' else $2 end))"
        " returning id",
        (*rows.entry_row(entry), available, held),
    )
    if not posted:
        return False
    _fetch(
        connection,
        "update wallets set balance_kop = balance_kop + $2 * $3, hold_kop = hold_kop + $2 * $4"
        " where user_id = $1",
        (entry.user_id, entry.amount.kopecks, available, held),
    )
    return True


def _migrate(connection: sqlite3.Connection, at: datetime) -> Sequence[str]:
    missing = _missing_migrations(connection)
    connection.execute(
        "create table if not exists schema_migrations ("
        " name text primary key, checksum text not null, applied_at timestamptz not null)"
    )
    for migration in missing:
        for statement in _statements(migration.script):
            connection.execute(statement)
        connection.execute(
            "insert into schema_migrations (name, checksum, applied_at) values (?, ?, ?)",
            (migration.name, migration.checksum, rows.dump_moment(at)),
        )
    return [migration.name for migration in missing]


def _missing_migrations(connection: sqlite3.Connection) -> Sequence[Migration]:
    is_known = connection.execute(
        "select 1 from sqlite_master where type = 'table' and name = 'schema_migrations'"
    ).fetchone()
    applied: dict[str, str] = {}
    if is_known is not None:
        applied = dict(
            connection.execute("select name, checksum from schema_migrations").fetchall()
        )
    return migrations.missing(migrations.known("sqlite"), applied)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script: `executescript` would commit what is not to be committed yet."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _bound(values: Sequence[object]) -> Mapping[str, object]:
    # By name: SQLite takes `$2` for a name and would bind a list in the order of appearance.
    return {
        str(number): rows.dump_moment(value) if isinstance(value, datetime) else value
        for number, value in enumerate(values, 1)
    }


def _reason(exc: Exception) -> str:
    """The driver's words, without the path it may repeat."""
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return str(exc)
