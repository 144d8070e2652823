"""Databases for tests that need many fresh ones, quickly."""

import shutil
from pathlib import Path
from typing import Protocol

import asyncpg
from attrs import define, field

from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.ports.storage import Storage

DATABASES = ("sqlite", "postgres")


class Databases(Protocol):
    """Real databases of one kind, one in use at a time."""

    async def fresh(self) -> Storage:
        """An empty, migrated one; the one before is closed."""

    async def another(self) -> Storage:
        """A second way into the one in use, as another process would have it."""

    async def close(self) -> None:
        """Give everything back."""


@define
class SqliteDatabases:
    """SQLite files, each a copy of one that was migrated."""

    folder: Path
    _made: int = 0
    _open: list[Storage] = field(factory=list)

    @property
    def path(self) -> Path:
        """The file in use."""
        return self.folder / f"{self._made}.db"

    @property
    def url(self) -> str:
        """As a DATABASE_URL."""
        return f"sqlite:///{self.path}"

    async def fresh(self) -> Storage:
        await self.close()
        template = self.folder / "template.db"
        if not template.exists():
            storage = await SqliteStorage.open(template)
            await storage.migrate()
            await storage.close()
        self._made += 1
        shutil.copy(template, self.path)
        return await self.another()

    async def another(self) -> Storage:
        storage = await SqliteStorage.open(self.path)
        self._open.append(storage)
        return storage

    async def close(self) -> None:
        while self._open:
            await self._open.pop().close()


@define
class PostgresDatabases:
    """One PostgreSQL database, emptied each time."""

    url: str
    _open: list[Storage] = field(factory=list)
    _migrated: bool = False

    async def fresh(self) -> Storage:
        await self.close()
        storage = await self.another()
        if not self._migrated:
            await storage.migrate()
            self._migrated = True
        await self._empty()
        return storage

    async def another(self) -> Storage:
        storage = await PostgresStorage.open(self.url)
        self._open.append(storage)
        return storage

    async def close(self) -> None:
        while self._open:
            await self._open.pop().close()

    async def _empty(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            tables = await connection.fetchval(
                "select string_agg(quote_ident(tablename), ', ') from pg_tables"
                " where schemaname = 'public' and tablename <> 'schema_migrations'"
            )
            # As a replica the session passes over the triggers that keep the ledger from this.
            await connection.execute("set session_replication_role = replica")
            await connection.execute(f"truncate {tables} restart identity cascade")
        finally:
            await connection.close()


def make(kind: str, folder: Path, dsn: str | None) -> SqliteDatabases | PostgresDatabases:
    """Databases of a kind of `DATABASES`."""
    if kind == "sqlite":
        return SqliteDatabases(folder)
    assert dsn is not None
    return PostgresDatabases(dsn)
