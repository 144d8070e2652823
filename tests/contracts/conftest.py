"""Every adapter of a port, for the port's one suite."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from attrs import define, field

from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.ports.storage import Storage
from tests.fakes.clock import FakeClock
from tests.fakes.postgres import PostgresServer

STORAGES = ("memory", "sqlite", "postgres")
PATIENT_LEASE_S = 600.0
"""A lease that does not end while a test runs."""


@define
class Storages:
    """Ways into one database: each `open` is as another process would have it."""

    kind: str
    path: Path
    dsn: str
    clock: FakeClock
    memory: MemoryStorage
    _open: list[Storage] = field(factory=list)

    async def open(self, lease_s: float = PATIENT_LEASE_S) -> Storage:
        """One more; nothing is migrated by this."""
        storage: Storage
        match self.kind:
            case "memory":
                storage = self.memory  # who shares its objects shares everything
            case "sqlite":
                storage = await SqliteStorage.open(self.path, clock=self.clock, lease_s=lease_s)
            case _:
                storage = await PostgresStorage.open(
                    self.dsn, clock=self.clock, lease_s=lease_s, pool_max=4
                )
        self._open.append(storage)
        return storage

    async def close(self) -> None:
        """Close all of them."""
        while self._open:
            await self._open.pop().close()


@pytest.fixture(scope="module")
def shared_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database for a whole file: to be emptied is faster than to be made."""
    dsn = postgres_server.create()
    yield dsn
    postgres_server.drop(dsn)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a migrated SQLite file is, once somebody has made it."""
    return tmp_path_factory.mktemp("sqlite") / "template.db"


@pytest.fixture(params=STORAGES)
async def empty_storages(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Storages]:
    """A database of every kind that nobody has migrated."""
    dsn = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else ""
    opened = Storages(request.param, tmp_path / "kiebot.db", dsn, clock, MemoryStorage(clock=clock))
    yield opened
    await opened.close()


@pytest.fixture(params=STORAGES)
async def storages(
    request: pytest.FixtureRequest, tmp_path: Path, template: Path, clock: FakeClock
) -> AsyncIterator[Storages]:
    """A migrated database of every kind with nothing in it."""
    dsn = request.getfixturevalue("shared_dsn") if request.param == "postgres" else ""
    path = tmp_path / "kiebot.db"
    if request.param == "postgres":
        await _make_empty(dsn)
    if request.param == "sqlite":
        await _copy_migrated(template, path)
    opened = Storages(request.param, path, dsn, clock, MemoryStorage(clock=clock))
    yield opened
    await opened.close()


@pytest.fixture
async def storage(storages: Storages) -> Storage:
    """A migrated database of every kind with nothing in it."""
    return await storages.open()


async def _copy_migrated(template: Path, to: Path) -> None:
    if not await asyncio.to_thread(template.exists):
        storage = await SqliteStorage.open(template)
        await storage.migrate()
        await storage.close()
    shutil.copy(template, to)


async def _make_empty(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetchval(
            "select string_agg(quote_ident(tablename), ', ') from pg_tables"
            " where schemaname = 'public' and tablename <> 'schema_migrations'"
        )
        if tables is None:
            storage = await PostgresStorage.open(dsn)
            await storage.migrate()
            await storage.close()
            return
        # As a replica the session passes over the triggers that keep the ledger from this.
        await connection.execute("set session_replication_role = replica")
        await connection.execute(f"truncate {tables} restart identity")
    finally:
        await connection.close()
