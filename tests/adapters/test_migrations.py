"""Migrations: which are known, which are missing, and databases that are not as they should be."""

import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from attrs import define, evolve, field

from kiebot.adapters.storage import migrations
from kiebot.adapters.storage.migrations import Migration
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.rows import Row
from kiebot.adapters.storage.sql import SqlJobs, SqlOutbox, SqlTasks
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.billing import Change
from kiebot.core.errors import SchemaAheadError, StorageError
from kiebot.core.tasks import Outcome, Task
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.storage import Lane, Storage

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


# What 0002 makes of what 0001 has

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MOMENT = "'2026-11-22T12:00:00.000000+00:00'"
BEFORE = (
    "insert into users (id, name, language, created_at) values (1, 'Ann', 'en', $at)",
    *(
        "insert into jobs (id, user_id, model_id, params, status, submissions, kie_task_id,"
        " confirmed_at, next_check_at, created_at, updated_at)"
        f" values ('{job_id}', 1, 'm', '{{}}', '{status}', {submissions}, {task}, {confirmed_at},"
        f" {next_check_at}, $at, $at)"
        for job_id, status, submissions, task, confirmed_at, next_check_at in (
            ("draft", "draft", 0, "null", "null", "null"),
            ("queued", "queued", 1, "null", "$at", "$at"),
            ("running", "running", 1, "'task-r'", "$at", "$at"),
            ("done", "succeeded", 2, "'task-s'", "$at", "null"),
            ("given-back", "refunded", 1, "'task-b'", "$at", "null"),
            ("failed", "failed", 1, "'task-f'", "$at", "null"),
            ("refused", "failed", 1, "null", "$at", "null"),
        )
    ),
)
TASKS = {
    "running": ("task-r", None),
    "done": ("task-s", Outcome.SUCCEEDED),
    "given-back": ("task-b", Outcome.SUCCEEDED),
    "failed": ("task-f", Outcome.FAILED),
    "queued": None,
    "draft": None,
    "refused": None,
}


def sown(dialect: str) -> list[str]:
    """A database of the first release, with people and jobs of every kind."""
    first = migrations.known(dialect)[0]
    stamp = "name text primary key, checksum text not null, applied_at timestamptz not null"
    return [
        first.script,
        f"create table schema_migrations ({stamp})",
        f"insert into schema_migrations values ('{first.name}', '{first.checksum}', {MOMENT})",
        *(statement.replace("$at", MOMENT) for statement in BEFORE),
    ]


async def has_its_tasks(storage: Storage) -> None:
    applied = await storage.migrate()

    assert applied[0] == "0002_tasks"
    async with storage.read() as uow:
        for job_id, wanted in TASKS.items():
            job = await uow.jobs.get(JobId(job_id))
            assert (job.measures, job.created_at) == ({}, NOON)
            found = await uow.tasks.of_job(JobId(job_id))
            assert [(task.id, task.outcome) for task in found] == ([wanted] if wanted else [])
            assert [task.credits for task in found] == [None] * len(found)
            assert [task.created_at for task in found] == [NOON] * len(found)
        assert [job.id for job in await uow.jobs.due(NOON, 9, Lane.SUBMIT, local=False)] == [
            "queued"
        ]
        assert [job.id for job in await uow.jobs.due(NOON, 9, Lane.CHECK, local=False)] == [
            "running"
        ]
    async with storage.begin() as uow:
        ended = evolve(found_of(await uow.tasks.of_job(JobId("running"))), outcome=Outcome.FAILED)
        await uow.record(Change(tasks=(ended,)))


def found_of(tasks: Sequence[Task]) -> Task:
    (task,) = tasks
    return task


async def test_jobs_of_the_first_release_get_their_tasks_in_sqlite(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as raw:
        for script in sown("sqlite"):
            raw.executescript(script)
    storage = await SqliteStorage.open(tmp_path / "a.db")

    await has_its_tasks(storage)

    await storage.close()
    with closing(sqlite3.connect(tmp_path / "a.db")) as raw, raw:
        with pytest.raises(sqlite3.IntegrityError, match="not JSON"):
            raw.execute("update jobs set measures = '{'")
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute("update tasks set outcome = 'odd'")
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute("update tasks set microcredits = -1")


async def test_jobs_of_the_first_release_get_their_tasks_in_postgresql(postgres_dsn: str) -> None:
    raw = await asyncpg.connect(postgres_dsn)
    for script in sown("postgres"):
        await raw.execute(script)
    await raw.close()
    storage = await PostgresStorage.open(postgres_dsn)

    await has_its_tasks(storage)

    await storage.close()


# That the indexes serve what is asked every second


SOMEBODY = "insert into users (id, name, language, created_at) values (1, 'Ann', 'en', {at})"
JOBS = (
    "insert into jobs (id, user_id, model_id, params, status, submissions, confirmed_at,"
    " next_check_at, created_at, updated_at)"
    " select 'j' || n, 1, 'm', '{{}}',"
    " case n % 100 when 0 then 'queued' when 1 then 'running' else 'succeeded' end, 1, {at},"
    " case when n % 100 < 2 then {at} end, {at}, {at} from numbers"
)
THEIR_TASKS = (
    "insert into tasks (id, job_id, created_at, updated_at)"
    " select 't' || n, 'j' || n, {at}, {at} from numbers"
)
THEIR_NEWS = (
    "insert into outbox (user_id, kind, event, created_at, told_at)"
    " select n % 50, 'JobFailed', '{{}}', {at}, case when n % 10 > 0 then {at} end from numbers"
)
NUMBERS = (
    "with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 5000) "
)


def many_jobs(at: str) -> list[str]:
    return [
        SOMEBODY.format(at=at),
        *(NUMBERS + statement.format(at=at) for statement in (JOBS, THEIR_TASKS, THEIR_NEWS)),
    ]


@define
class Explaining:
    """A connection that says how it would find things, and finds nothing."""

    explain: Callable[[str, Sequence[object]], Awaitable[str]]
    plans: list[str] = field(factory=list)
    locking: str = ""

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        self.plans.append(await self.explain(query, values))
        return []

    async def fetchrow(self, query: str, *values: object) -> Row | None:
        await self.fetch(query, *values)
        return None

    async def survey(self, query: str) -> Sequence[Row]:
        raise NotImplementedError(query)

    def stream(self, query: str) -> AsyncIterator[Row]:
        raise NotImplementedError(query)

    def skipping(self, table: str) -> str:
        raise NotImplementedError(table)

    async def store(self, *_: object) -> None:
        raise NotImplementedError

    async def write(self, *_: object) -> Sequence[bool]:
        raise NotImplementedError

    async def queue_up(self, what: str) -> None:
        raise NotImplementedError(what)

    def give_up(self, error: BaseException) -> None:
        raise error


async def plans_use_their_indexes(explaining: Explaining) -> None:
    jobs, tasks, outbox = SqlJobs(explaining), SqlTasks(explaining), SqlOutbox(explaining)
    wanted = []
    for lane, index in ((Lane.SUBMIT, "jobs_to_submit"), (Lane.CHECK, "jobs_to_check")):
        await jobs.due(NOON, 16, lane, local=False)
        wanted.append(index)
    await jobs.next_due(local=False)
    wanted += ["jobs_to_submit", "jobs_to_check"]
    with suppress(AssertionError):  # nothing was counted
        await jobs.running([NOON, NOON])
    wanted.append("jobs_open")
    await tasks.of_job(JobId("j1"))
    wanted.append("tasks_of_job")
    await outbox.awaiting(64, UserId(10), local=False)
    wanted.append("outbox_untold_of")

    assert [
        index in plan and "sort" not in plan.lower() and "temp b-tree" not in plan.lower()
        for index, plan in zip(wanted, explaining.plans, strict=True)
    ] == [True] * len(wanted), explaining.plans


async def test_the_lanes_are_found_by_their_indexes_in_sqlite(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "a.db")
    await storage.migrate()
    await storage.close()
    with closing(sqlite3.connect(tmp_path / "a.db")) as raw, raw:
        for statement in many_jobs(MOMENT):
            raw.execute(statement)

        async def explain(query: str, values: Sequence[object]) -> str:
            named = {str(number): str(value) for number, value in enumerate(values, 1)}
            rows = raw.execute(f"explain query plan {query}", named).fetchall()
            return " / ".join(row[-1] for row in rows)

        await plans_use_their_indexes(Explaining(explain))


async def test_the_lanes_are_found_by_their_indexes_in_postgresql(postgres_dsn: str) -> None:
    storage = await PostgresStorage.open(postgres_dsn)
    await storage.migrate()
    await storage.close()
    raw = await asyncpg.connect(postgres_dsn)
    for statement in many_jobs(f"timestamptz {MOMENT}"):
        await raw.execute(statement)
    await raw.execute("analyze")

    async def explain(query: str, values: Sequence[object]) -> str:
        return " / ".join(row[0] for row in await raw.fetch(f"explain {query}", *values))

    await plans_use_their_indexes(Explaining(explain))

    await raw.close()
