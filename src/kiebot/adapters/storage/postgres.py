"""
PostgresStorage: one database, for any number of machines.

A change is one statement: it locks the wallet, inserts the entry, and updates the wallet from what
was locked and inserted. (Updating first, with `on conflict do nothing` after it, loses money where
the same ref comes twice at once.) What a `get` locks is locked `for no key update`, which keeps
writers out and lets foreign keys be checked.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from kiebot.adapters.storage import migrations, postgres_rights, rows
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

_LOCKS_OF_KIEBOT = 0x6B6965  # "kie": the first key of our advisory locks
_QUEUES = _LOCKS_OF_KIEBOT + 1  # the first key of those that end with their transaction
_MIGRATING = (_LOCKS_OF_KIEBOT << 32) + 1
_CONNECT_S = 10
_ACQUIRE_S = 30
_STATEMENT_S = 30
_PATIENT_S = 3600  # migrations and audits
_BATCH = 500
_LOOK_AT_ROW_S = 0.5

_END_FROZEN = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and usename = current_user and application_name = 'kiebot'
  and state = 'active' and wait_event = 'ClientRead'
  and state_change < clock_timestamp() - $1::interval
"""
"""
Ends the sessions that have waited longer than this inside a statement for what its process says
next. The server's own timeouts are for those that wait between statements.
"""


class PostgresStorage:
    """A PostgreSQL database."""

    def __init__(self, dsn: str, pool: Any, clock: Clock, lease_s: float) -> None:
        self._dsn = dsn
        self._pool = pool
        self._clock = clock
        self._lease_s = lease_s

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        clock: Clock = utc_now,
        lease_s: float = 15.0,
        pool_min: int = 1,
        pool_max: int = 10,
    ) -> "PostgresStorage":
        """
        Connect; `pool_max` transactions run at once, others wait for one of them.

        Raises:
            StorageUnavailableError: It cannot be reached, or lets us not in. The password is not
                in the message.
        """
        settings = {
            "application_name": "kiebot",
            "statement_timeout": f"{_STATEMENT_S}s",
            # A process that was frozen inside a transaction must not hold its locks for ever.
            "idle_in_transaction_session_timeout": f"{max(1, round(lease_s))}s",
            # Also of a statement that is a transaction of its own.
            "default_transaction_isolation": "read committed",
            "jit": "off",
        }
        with _connecting(dsn):
            pool = await asyncpg.create_pool(
                dsn,
                min_size=pool_min,
                max_size=pool_max,
                timeout=_CONNECT_S,
                # More patient than the server, so that it is the server that gives up first.
                command_timeout=2 * _STATEMENT_S,
                server_settings=settings,
                # A round trip for each transaction, to undo what nobody here does to a session.
                reset=_keep,
            )
        return cls(dsn, pool, clock, lease_s)

    @asynccontextmanager
    async def begin(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        async with self._transaction(_BEGIN) as connection:
            if lead is not None:
                await _check(connection, lead)
            yield SqlUnitOfWork(connection, self._clock)

    @asynccontextmanager
    async def once(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        async with self._driver() as driver:
            yield SqlUnitOfWork(_LoneConnection(driver, lead), self._clock)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        start = "begin isolation level repeatable read read only"
        async with self._transaction(start, is_snapshot=True) as connection:
            yield SqlUnitOfWork(connection, self._clock)

    @asynccontextmanager
    async def glance(self) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        # No transaction, and so no round trips to begin and end it.
        async with self._driver() as driver:
            yield SqlUnitOfWork(_GlancingConnection(driver), self._clock)

    def lead(self, scope: str) -> AbstractAsyncContextManager[Lead]:
        """See the port."""
        return leading(scope, _PostgresSeat(self._dsn, scope, self._lease_s), self._lease_s)

    async def migrate(self) -> Sequence[str]:
        """See the port."""
        async with self._transaction("begin") as connection:
            await connection.run("set local statement_timeout = 0")
            await connection.fetchrow("select pg_advisory_xact_lock($1)", _MIGRATING)
            missing = await _missing_migrations(connection)
            if not missing:
                # Also for a role that may make no table.
                return []
            await connection.run(
                "create table if not exists schema_migrations ("
                " name text primary key, checksum text not null, applied_at timestamptz not null)"
            )
            for migration in missing:
                await connection.run(migration.script)
                await connection.fetch(
                    "insert into schema_migrations (name, checksum, applied_at)"
                    " values ($1, $2, $3)",
                    migration.name,
                    migration.checksum,
                    self._clock(),
                )
        return [migration.name for migration in missing]

    async def missing_migrations(self) -> Sequence[str]:
        """See the port."""
        async with self._transaction("begin read only", is_snapshot=True) as connection:
            return [migration.name for migration in await _missing_migrations(connection)]

    async def grant_to(self, role: str) -> None:
        """
        Let this role serve, and do nothing else (`postgres_rights`).

        Raises:
            StorageError: There is no such role, it could still do more, or we may not give it that.
        """
        async with self._transaction("begin") as connection:
            await connection.fetchrow("select pg_advisory_xact_lock($1)", _MIGRATING)
            await postgres_rights.grant(connection, role)

    async def claim(self, facts: Iterable[tuple[str, str]]) -> None:
        """See the port."""
        async with self._transaction(_BEGIN) as connection:
            for what, wanted in facts:
                await connection.fetch(
                    "insert into identity (key, value) values ($1, $2)"
                    " on conflict (key) do nothing",
                    what,
                    wanted,
                )
                row = await connection.fetchrow("select value from identity where key = $1", what)
                if row is not None and row["value"] != wanted:
                    raise WrongDatabaseError(what, found=row["value"], wanted=wanted)

    async def claimed(self) -> Mapping[str, str]:
        """See the port."""
        async with self._transaction("begin read only", is_snapshot=True) as connection:
            row = await connection.fetchrow("select to_regclass('identity') is not null as there")
            if row is None or not row["there"]:
                return {}
            found = await connection.fetch("select key, value from identity")
            return {row["key"]: row["value"] for row in found}

    async def ping(self) -> None:
        """See the port."""
        async with self._driver() as driver:
            with _translated():
                await driver.execute("select 1")

    async def close(self) -> None:
        """See the port."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._pool.close()
        except (*_UNAVAILABLE, asyncpg.PostgresError):
            # Silent, or gone: what it is told goodbye by is what finds that out.
            self._pool.terminate()

    @asynccontextmanager
    async def _transaction(
        self, start: str, *, is_snapshot: bool = False
    ) -> AsyncIterator["_Connection"]:
        async with (
            self._driver() as driver,
            _transaction(_Connection(driver, is_snapshot=is_snapshot), start) as connection,
        ):
            yield connection

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[Any]:
        with _translated():
            # Where one is free nothing is waited for, and no timer is needed.
            is_free = self._pool.get_idle_size() > 0
            driver = await self._pool.acquire(timeout=None if is_free else _ACQUIRE_S)
        try:
            yield driver
        finally:
            # With no reset in the pool, an open transaction would go on in the next one's.
            if not _is_closed(driver) and driver.is_in_transaction():
                driver.terminate()
            # A query that was cancelled may be waited for here, on a server that is silent.
            await self._pool.release(driver, timeout=_ACQUIRE_S)


class _Connection:
    """The connection of one unit of work."""

    def __init__(self, driver: Any, *, is_snapshot: bool) -> None:
        self._driver = driver
        self._is_snapshot = is_snapshot
        self._broken: BaseException | None = None
        self.locking = "" if is_snapshot else " for no key update"

    def skipping(self, table: str) -> str:
        return f" for no key update of {table} skip locked"

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        with self._guarded():
            found: Sequence[Row] = await self._driver.fetch(query, *values)
            return found

    async def fetchrow(self, query: str, *values: object) -> Row | None:
        with self._guarded():
            found: Row | None = await self._driver.fetchrow(query, *values)
            return found

    async def write(self, *steps: Step) -> Sequence[bool]:
        query = _one_statement((), tuple(step.statement for step in steps), posts=False)
        assert query is not None
        row = await self.fetchrow(query, *_values((), None, steps))
        return [row is not None and bool(row[f"done_{number}"]) for number in range(len(steps))]

    async def queue_up(self, what: str) -> None:
        if not self._is_snapshot:
            await self.fetchrow("select pg_advisory_xact_lock($1, hashtext($2))", _QUEUES, what)

    async def run(self, script: str) -> None:
        """Run statements without values."""
        with self._guarded():
            await self._driver.execute(script, timeout=_PATIENT_S)

    async def survey(self, query: str) -> Sequence[Row]:
        await self._take_time()
        with self._guarded():
            # No cursor: the server would not share the work among its processes for one.
            found: Sequence[Row] = await self._driver.fetch(query, timeout=_PATIENT_S)
            return found

    async def stream(self, query: str) -> AsyncIterator[Row]:
        await self._take_time()
        with self._guarded():
            async for row in self._driver.cursor(query, prefetch=_BATCH, timeout=_PATIENT_S):
                yield row

    async def store(
        self,
        topups: Sequence[Step],
        jobs: Sequence[Step],
        entry: LedgerEntry | None,
        others: Sequence[Step],
    ) -> Part | None:
        # One after the other: a new top-up is let in only where the one it replaces is cancelled.
        for step in topups:
            if await self.fetchrow(step.statement, *step.values) is None and step.part is not None:
                return step.part

        query = _one_statement(
            tuple(step.statement for step in jobs),
            tuple(step.statement for step in others),
            posts=entry is not None,
        )
        if query is None:
            return None
        row = await self.fetchrow(query, *_values(jobs, entry, others))
        parts = _parts(jobs, entry, others)
        for number, part in enumerate(parts):
            if part is not None and (row is None or not row[f"done_{number}"]):
                return part
        return None

    def give_up(self, error: BaseException) -> None:
        self._broken = error

    def must_be_whole(self) -> None:
        """StorageError where something was refused: then nothing more is done, or stored."""
        if self._broken is not None:
            raise not_usable(self._broken) from self._broken

    async def roll_back(self) -> None:
        """Undo everything; where that fails the connection is not used again."""
        if _is_closed(self._driver):
            return
        try:
            await self._driver.execute("rollback")
        except (*_UNAVAILABLE, asyncpg.PostgresError):
            if not _is_closed(self._driver):
                self._driver.terminate()

    async def _take_time(self) -> None:
        if not self._is_snapshot:
            raise StorageError("an audit needs a snapshot: `read`, not `begin`")
        await self.run("set local statement_timeout = 0")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        self.must_be_whole()
        try:
            with _translated():
                yield
        except StorageError as error:
            self.give_up(error)
            raise


class _GlancingConnection(_Connection):
    """Outside any transaction. There the server would not mind a statement that writes; we do."""

    def __init__(self, driver: Any) -> None:
        super().__init__(driver, is_snapshot=True)

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        _must_read(query)
        return await super().fetch(query, *values)

    async def fetchrow(self, query: str, *values: object) -> Row | None:
        _must_read(query)
        return await super().fetchrow(query, *values)


class _LoneConnection(_Connection):
    """Outside any transaction: a statement that writes is one."""

    def __init__(self, driver: Any, lead: Lead | None) -> None:
        super().__init__(driver, is_snapshot=True)
        self._lead = lead

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        if self._lead is None or _reads(query):
            return await super().fetch(query, *values)
        lead = self._lead
        with self._guarded():
            if not lead.lost.is_set():
                with suppress(asyncpg.InvalidTextRepresentationError):
                    found: Sequence[Row] = await self._driver.fetch(
                        _led(query, len(values)), *values, lead.scope, lead.token
                    )
                    return found
        raise LeadLostError(lead.scope)

    async def fetchrow(self, query: str, *values: object) -> Row | None:
        found = await self.fetch(query, *values)
        return found[0] if found else None

    async def queue_up(self, what: str) -> None:
        raise StorageError(f"{what}: a queue ends with its transaction")

    async def store(
        self,
        topups: Sequence[Step],
        jobs: Sequence[Step],
        entry: LedgerEntry | None,
        others: Sequence[Step],
    ) -> Part | None:
        needed = tuple(part is not None for part in _parts(jobs, entry, others))
        if not topups and await self._at_once(jobs, entry, others, needed) is not None:
            return None
        # Step by step, to find out what was refused.
        refused: Part | None = None
        with suppress(_RefusedError):
            async with _transaction(_Connection(self._driver, is_snapshot=False), _BEGIN) as whole:
                if self._lead is not None:
                    await _check(whole, self._lead)
                refused = await whole.store(topups, jobs, entry, others)
                if refused is not None:
                    raise _RefusedError
        return refused

    async def write(self, *steps: Step) -> Sequence[bool]:
        row = await self._at_once((), None, steps, (False,) * len(steps))
        if row is None:
            assert self._lead is not None
            raise LeadLostError(self._lead.scope)
        return [bool(row[f"done_{number}"]) for number in range(len(steps))]

    async def _at_once(
        self,
        jobs: Sequence[Step],
        entry: LedgerEntry | None,
        others: Sequence[Step],
        needed: tuple[bool, ...],
    ) -> Row | None:
        """
        All in one statement; None, and nothing is stored, where a part that is needed was refused,
        or the lead is another's.
        """
        query = _one_statement(
            tuple(step.statement for step in jobs),
            tuple(step.statement for step in others),
            posts=entry is not None,
            needed=needed,
            led=self._lead is not None,
        )
        if query is None or (self._lead is not None and self._lead.lost.is_set()):
            return None
        lead = () if self._lead is None else (self._lead.scope, self._lead.token)
        with self._guarded(), suppress(asyncpg.InvalidTextRepresentationError):
            row: Row | None = await self._driver.fetchrow(
                query, *_values(jobs, entry, others), *lead
            )
            return row
        return None


class _RefusedError(Exception):
    """A part of a change was refused."""


def _reads(query: str) -> bool:
    return query.lstrip().startswith(("select ", "with recursive "))


def _must_read(query: str) -> None:
    if not _reads(query):
        raise StorageError("a glance is only read")


_BEGIN = "begin isolation level read committed"


@asynccontextmanager
async def _transaction(connection: _Connection, start: str) -> AsyncIterator[_Connection]:
    try:
        await connection.run(start)
        yield connection
        connection.must_be_whole()
        await connection.run("commit")
    except BaseException:
        await connection.roll_back()
        raise


def _parts(
    jobs: Sequence[Step], entry: LedgerEntry | None, others: Sequence[Step]
) -> tuple[Part | None, ...]:
    """What is refused where a step writes nothing, in the order of the steps."""
    return (
        *(step.part for step in jobs),
        *(() if entry is None else (entry,)),
        *(step.part for step in others),
    )


def _values(
    jobs: Sequence[Step], entry: LedgerEntry | None, others: Sequence[Step]
) -> tuple[object, ...]:
    """The values of all steps in one statement."""
    return (
        *(value for step in jobs for value in step.values),
        *(() if entry is None else (*rows.entry_row(entry), *EFFECTS[entry.kind])),
        *(value for step in others for value in step.values),
    )


# How an entry is posted: values 1 to 8 are the entry's, 9 and 10 what its kind does to each part.
_LOCK_WALLET = (
    "select user_id, balance_kop, hold_kop from wallets where user_id = $1 for no key update"
)
_LOCK_WALLET_AFTER_JOB = (
    "select user_id, balance_kop, hold_kop from wallets"
    " where user_id = $1 and exists (select from job_0) for no key update"
)
_POST_ENTRY = (
    "insert into ledger (user_id, kind, amount_kop, ref, job_id, actor, why, created_at)"
    " select user_id, $2::text, $3::bigint, $4::text, $5::text, $6::text, $7::text,"
    " $8::timestamptz from locked"
    " where balance_kop + $3 * $9::bigint >= 0 and hold_kop + $3 * $10::bigint >= 0"
    " on conflict do nothing"
    " returning user_id, amount_kop"
)
# From what was locked, which is what is there now. `wallets` is first what was there when the
# statement began: that may be too little, and its check is done before anybody looks again.
_MOVE_MONEY = (
    "update wallets set balance_kop = locked.balance_kop + posted.amount_kop * $9,"
    " hold_kop = locked.hold_kop + posted.amount_kop * $10"
    " from locked, posted where wallets.user_id = $1"
    " returning wallets.user_id"
)
_POST_VALUES = 10
# Held to the end: who takes the lead over raises the token, a key column, and waits for us.
_LED = "select token from lead where scope = $1 and token = $2 for key share"


@lru_cache
def _one_statement(
    jobs: tuple[str, ...],
    others: tuple[str, ...],
    *,
    posts: bool,
    needed: tuple[bool, ...] = (),
    led: bool = False,
) -> str | None:
    """
    The steps as one statement; its row has `done_0`, `done_1`, ...: whether each wrote.

    It fails, and stores nothing, where a part that is `needed` wrote nothing, or where it is to be
    `led` and another process has the lead: its last values are a scope and a token.

    The order of its parts is only that of what one reads from another.
    """
    parts: list[str] = []
    done: list[str] = []
    values = 0

    def add(name: str, statement: str) -> None:
        parts.append(f"{name} as ({_renumbered(statement, values)})")

    for number, statement in enumerate(jobs):
        add(f"job_{number}", statement)
        done.append(f"job_{number}")
        values += _count_values(statement)
    if posts:
        # The job first, then the wallet: that is everybody's order.
        add("locked", _LOCK_WALLET_AFTER_JOB if jobs else _LOCK_WALLET)
        add("posted", _POST_ENTRY)
        add("moved", _MOVE_MONEY)
        done.append("moved")
        values += _POST_VALUES
    for number, statement in enumerate(others):
        add(f"other_{number}", statement)
        done.append(f"other_{number}")
        values += _count_values(statement)
    if not parts:
        return None
    wrote = [f"exists (select from {name})" for name in done]
    columns = [f"{has} as done_{number}" for number, has in enumerate(wrote)]
    must = [has for has, is_needed in zip(wrote, needed, strict=False) if is_needed]
    if led:
        add("led", _LED)
        must.append("exists (select from led)")
    if must:
        columns.append(f"{_true_or_nothing(' and '.join(must))} as whole")
    selected = ", ".join(columns)
    return f"with {', '.join(parts)} select {selected}"


@lru_cache
def _led(statement: str, values: int) -> str:
    """
    A statement that returns what it writes, if anything; it fails, and writes nothing, where
    another process has the lead. Its last values are a scope and a token.
    """
    parts = f"with led as ({_renumbered(_LED, values)}), done as ({statement})"
    return f"{parts} select done.*, {_true_or_nothing('exists (select from led)')} as led from done"


def _true_or_nothing(condition: str) -> str:
    """No boolean is spelled `refused`: the statement fails, and all that it wrote is undone."""
    return f"cast(case when {condition} then 'true' else 'refused' end as boolean)"


def _renumbered(statement: str, by: int) -> str:
    return re.sub(r"\$(\d+)", lambda match: f"${int(match[1]) + by}", statement)


def _count_values(statement: str) -> int:
    return max(int(number) for number in re.findall(r"\$(\d+)", statement))


class _PostgresSeat:
    """
    The row of a scope, and an advisory lock on a connection of its own: a pooled one would drop it.

    The moments of the row are the server's: machines need not agree on the time.
    """

    def __init__(self, dsn: str, scope: str, lease_s: float) -> None:
        self.alarm = asyncio.Event()
        self._dsn = dsn
        self._scope = scope
        self._lease = timedelta(seconds=lease_s)
        self._driver: Any = None
        self._locked = False

    async def take(self) -> int | None:
        driver = await self._connected()
        with _translated():
            locked = await self._try_lock(driver)
            await driver.execute(
                "insert into lead (scope, token, holder, until, locked)"
                " values ($1, 0, '', '-infinity', false) on conflict do nothing",
                self._scope,
            )
            await driver.fetch(_END_FROZEN, self._lease)
            token: int | None = None
            # Something may still be written under the old token; then we look again.
            with suppress(asyncpg.LockNotAvailableError):
                token = await driver.fetchval(
                    "update lead set token = token + 1, holder = $2,"
                    " until = clock_timestamp() + $3, locked = $4"
                    " where scope = $1 and (until <= clock_timestamp() or ($4 and locked))"
                    " returning token",
                    self._scope,
                    holder(),
                    self._lease,
                    locked,
                )
            if token is None:
                # Not ours to keep: the leader may be without it, and wants it.
                await self._unlock(driver)
        self.alarm.clear()
        return token

    async def wait(self) -> None:
        driver = await self._connected()
        with _translated():
            row = await driver.fetchrow(
                "select extract(epoch from until - clock_timestamp())::float8 as left_s, locked"
                " from lead where scope = $1",
                self._scope,
            )
            left_s = 0.0 if row is None else float(row["left_s"])
            pause = max(0.01, min(left_s, self._lease.total_seconds() / 3))
            if row is None or not row["locked"]:
                # A leader without the lock: only the row will say that it left.
                await asyncio.sleep(min(pause, _LOOK_AT_ROW_S))
                return
            # Whoever waits for the lock is told the moment its holder dies.
            await driver.execute(f"set lock_timeout = {max(1, round(pause * 1000))}")
            try:
                await driver.execute(
                    f"select pg_advisory_lock({_LOCKS_OF_KIEBOT}, hashtext($1))", self._scope
                )
                self._locked = True
            except asyncpg.LockNotAvailableError:
                pass
            await driver.execute("reset lock_timeout")

    async def renew(self, token: int) -> bool:
        try:
            async with asyncio.timeout(self._lease.total_seconds() / 3):
                driver = await self._connected()
                with _translated():
                    locked = await self._try_lock(driver)
                    row = await driver.fetchrow(
                        "update lead set until = clock_timestamp() + $3, locked = $4"
                        " where scope = $1 and token = $2 returning token",
                        self._scope,
                        token,
                        self._lease,
                        locked,
                    )
                    await driver.fetch(_END_FROZEN, self._lease)
        except (TimeoutError, asyncio.CancelledError) as exc:
            # A server that is silent: the next try has a connection of its own.
            self._drop()
            if isinstance(exc, TimeoutError):
                raise StorageUnavailableError("PostgreSQL is silent") from exc
            raise
        if not driver.is_closed():
            self.alarm.clear()
        return row is not None

    async def leave(self, token: int) -> None:
        async with asyncio.timeout(_CONNECT_S):
            driver = await self._connected()
            with _translated():
                await driver.execute(
                    "update lead set until = clock_timestamp() where scope = $1 and token = $2",
                    self._scope,
                    token,
                )

    async def close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None and not driver.is_closed():
            try:
                await driver.close(timeout=_CONNECT_S)
            except (*_UNAVAILABLE, asyncpg.PostgresError):
                driver.terminate()

    async def _connected(self) -> Any:
        if self._driver is None or self._driver.is_closed():
            self._locked = False
            with _connecting(self._dsn):
                self._driver = await asyncpg.connect(
                    self._dsn,
                    timeout=_CONNECT_S,
                    server_settings={
                        "application_name": "kiebot lead",
                        "lock_timeout": f"{round(self._lease.total_seconds() / 3 * 1000)}ms",
                    },
                )
            self._driver.add_termination_listener(self._sound_alarm)
        return self._driver

    async def _try_lock(self, driver: Any) -> bool:
        if not self._locked:
            self._locked = bool(
                await driver.fetchval(
                    f"select pg_try_advisory_lock({_LOCKS_OF_KIEBOT}, hashtext($1))", self._scope
                )
            )
        return self._locked

    async def _unlock(self, driver: Any) -> None:
        if self._locked:
            self._locked = False
            await driver.execute("select pg_advisory_unlock_all()")

    def _sound_alarm(self, driver: Any) -> None:
        if driver is self._driver:
            self._locked = False
            self.alarm.set()

    def _drop(self) -> None:
        if self._driver is not None:
            self._driver.terminate()


async def _check(connection: _Connection, lead: Lead) -> None:
    row = await connection.fetchrow(_LED, lead.scope, lead.token)
    if row is None or lead.lost.is_set():
        raise LeadLostError(lead.scope)


async def _missing_migrations(connection: _Connection) -> Sequence[Migration]:
    applied: dict[str, str] = {}
    row = await connection.fetchrow("select to_regclass('schema_migrations') as name")
    if row is not None and row["name"] is not None:
        found = await connection.fetch("select name, checksum from schema_migrations")
        applied = {row["name"]: row["checksum"] for row in found}
    return migrations.missing(migrations.known("postgres"), applied)


def _is_closed(driver: Any) -> bool:
    try:
        return bool(driver.is_closed())
    except asyncpg.InterfaceError:
        return True  # it broke, and the pool has taken it back


async def _keep(_: Any) -> None:
    """What the pool does to a connection that comes back."""


_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # where a connection breaks at the wrong moment
    OSError,
    TimeoutError,
)


@contextmanager
def _translated() -> Iterator[None]:
    """Driver errors as ours."""
    try:
        yield
    except asyncpg.QueryCanceledError as exc:
        raise StorageError(f"PostgreSQL: {exc}") from exc
    except _UNAVAILABLE as exc:
        raise StorageUnavailableError(f"PostgreSQL: {str(exc) or type(exc).__name__}") from exc
    except asyncpg.PostgresError as exc:
        raise StorageError(f"PostgreSQL: {exc}") from exc


@contextmanager
def _connecting(dsn: str) -> Iterator[None]:
    """Errors of connecting as ours, in one line that has no password in it."""
    try:
        yield
    except ValueError:
        # What asyncpg says here may quote the address, and with it the password.
        raise StorageUnavailableError(
            "this is no address of a PostgreSQL database"
            " (postgresql://user:password@host:port/name; other signs in a password as %XX)"
        ) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
        why = str(exc) or type(exc).__name__
        raise StorageUnavailableError(
            f"cannot connect to PostgreSQL at {_place(dsn)}: {why}"
        ) from exc


def _place(dsn: str) -> str:
    address = urlsplit(dsn)
    try:
        port = f":{address.port}" if address.port else ""
    except ValueError:
        port = ""
    return f"{address.hostname or 'the default host'}{port}{address.path}"
