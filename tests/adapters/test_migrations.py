"""Migrations: which are known, which are missing, and databases that are not as they should be."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from kiebot.adapters.storage import migrations
from kiebot.adapters.storage.migrations import Migration
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.errors import SchemaAheadError, StorageError
from kiebot.ports.storage import Storage

FIRST = Migration("0001_initial", "create table a (b text);")
SECOND = Migration("0002_more", "create table c (d text);")


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_migrations_are_numbered_without_a_gap(dialect: str) -> None:
    known = migrations.known(dialect)

    assert [name.name[:5] for name in known] == [f"{n:04}_" for n in range(1, len(known) + 1)]
    assert all(re.fullmatch(r"\d{4}_[a-z_]+", migration.name) for migration in known)


def test_both_databases_have_the_same_tables_and_their_own_triggers() -> None:
    sqlite, postgres = migrations.known("sqlite")[0], migrations.known("postgres")[0]

    assert "create table ledger" in sqlite.script
    assert "create table ledger" in postgres.script
    assert "raise(abort" in sqlite.script
    assert "plpgsql" in postgres.script
    assert sqlite.checksum != postgres.checksum


def test_what_was_applied_is_not_missing() -> None:
    applied = {FIRST.name: FIRST.checksum}

    assert migrations.missing([FIRST, SECOND], applied) == [SECOND]
    assert migrations.missing([FIRST, SECOND], {}) == [FIRST, SECOND]


def test_a_migration_of_a_newer_kiebot_is_named() -> None:
    with pytest.raises(SchemaAheadError, match="0002_more"):
        migrations.missing([FIRST], {FIRST.name: FIRST.checksum, SECOND.name: SECOND.checksum})


def test_a_migration_that_was_edited_is_named() -> None:
    edited = Migration(FIRST.name, FIRST.script + " ")

    with pytest.raises(SchemaAheadError, match="0001_initial"):
        migrations.missing([edited], {FIRST.name: FIRST.checksum})


async def refuses_as_ahead(storage: Storage, name: str) -> None:
    with pytest.raises(SchemaAheadError) as refused:
        await storage.missing_migrations()
    assert refused.value.name == name
    with pytest.raises(SchemaAheadError) as refused:
        await storage.migrate()
    assert refused.value.name == name


NEWER = "insert into schema_migrations values ('9999_newer', 'x', '2026-01-01T00:00:00+00:00')"
EDITED = "update schema_migrations set checksum = 'x' where name = '0001_initial'"


@pytest.mark.parametrize(("statement", "name"), [(NEWER, "9999_newer"), (EDITED, "0001_initial")])
async def test_an_sqlite_file_of_a_newer_kiebot_is_refused(
    tmp_path: Path, statement: str, name: str
) -> None:
    storage = await SqliteStorage.open(tmp_path / "a.db")
    await storage.migrate()
    with closing(sqlite3.connect(tmp_path / "a.db")) as raw, raw:
        raw.execute(statement)

    await refuses_as_ahead(storage, name)

    await storage.close()


@pytest.mark.parametrize(("statement", "name"), [(NEWER, "9999_newer"), (EDITED, "0001_initial")])
async def test_a_postgresql_database_of_a_newer_kiebot_is_refused(
    postgres_dsn: str, statement: str, name: str
) -> None:
    storage = await PostgresStorage.open(postgres_dsn)
    await storage.migrate()
    raw = await asyncpg.connect(postgres_dsn)
    await raw.execute(statement)
    await raw.close()

    await refuses_as_ahead(storage, name)

    await storage.close()


async def test_a_migration_that_fails_leaves_nothing_in_sqlite(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "a.db")) as raw, raw:
        raw.execute("create table outbox (in_the_way text)")

        with pytest.raises(StorageError):
            await storage.migrate()

        tables = raw.execute("select name from sqlite_master where type = 'table'").fetchall()
    assert tables == [("outbox",)]
    await storage.close()


async def test_a_migration_that_fails_leaves_nothing_in_postgresql(postgres_dsn: str) -> None:
    storage = await PostgresStorage.open(postgres_dsn)
    raw = await asyncpg.connect(postgres_dsn)
    await raw.execute("create table outbox (in_the_way text)")

    with pytest.raises(StorageError):
        await storage.migrate()

    tables = await raw.fetch("select tablename from pg_tables where schemaname = 'public'")
    assert [row["tablename"] for row in tables] == ["outbox"]
    await raw.close()
    await storage.close()
