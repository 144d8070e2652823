"""
A ledger of any length, made by the database itself, that an audit finds right.

Of a hundred entries of each person sixty are grants, and forty the holds and charges of jobs that
succeeded. One person may have many more.
"""

import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from benchmarks import postgres, shop
from benchmarks.shop import Shop
from kiebot.adapters.storage import rows
from kiebot.core.tasks import Result
from kiebot.core.users import UserId

FIRST = 1_000_000
"""The ids of these people are this one and those after it."""

HOT = UserId(999_999)
"""The person with many entries."""

JOBS_OF_ONE = 20
GRANTS_OF_ONE = 60
ENTRIES_OF_ONE = 2 * JOBS_OF_ONE + GRANTS_OF_ONE

_AT = "'2026-01-01T00:00:00.000000+00:00'"
_RESULT = rows.dump(Result(urls=("https://files.example/1.png",)))


@asynccontextmanager
async def on_postgres(entries: int, hot_jobs: int = 0) -> AsyncIterator[Shop]:
    """A filled shop with one connection, in a PostgreSQL of its own."""
    with postgres.running() as server, postgres.database(server) as dsn:
        async with shop.on_postgres(dsn, 1) as kiebot:
            driver = await asyncpg.connect(dsn)
            try:
                # What is made here is right; nobody needs to look up every person and job for it.
                await driver.execute("set session_replication_role = replica")
                for statement in statements(entries, hot_jobs):
                    await driver.execute(statement)
            finally:
                await driver.close()
            await postgres.vacuum(dsn)
            yield kiebot


@asynccontextmanager
async def on_sqlite(entries: int, hot_jobs: int = 0) -> AsyncIterator[Shop]:
    """A filled shop, in an SQLite file of its own."""
    with tempfile.TemporaryDirectory(prefix="kiebot-bench-") as folder:
        path = Path(folder) / "kiebot.db"
        async with shop.on_sqlite(path) as kiebot:
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                connection.execute("begin")
                for statement in statements(entries, hot_jobs):
                    connection.execute(statement)
                connection.execute("commit")
                connection.execute("pragma wal_checkpoint(truncate)").fetchall()
            finally:
                connection.close()
            yield kiebot


def statements(entries: int, hot_jobs: int = 0) -> list[str]:
    """
    What fills a migrated, empty database, in SQL that PostgreSQL and SQLite both read; the entries
    of `HOT`, two for each of these jobs and one grant, come on top.
    """
    people = entries // ENTRIES_OF_ONE
    found = [
        *_fill("p", f"{FIRST} + n % {people}", people, people * JOBS_OF_ONE),
        *(_grants(f"p{number}", f"{FIRST} + n", people) for number in range(GRANTS_OF_ONE)),
    ]
    if hot_jobs:
        found += [*_fill("h", str(HOT), 1, hot_jobs), _grants("h", str(HOT), 1, 10 * hot_jobs)]
    return [*found, _WALLETS]


def _fill(prefix: str, person: str, people: int, jobs: int) -> list[str]:
    job = f"'{prefix}' || n"
    return [
        (
            f"insert into users (id, name, language, created_at) {_numbers(people)}"
            f" select {person}, 'somebody', 'en', {_AT} from numbers"
        ),
        (
            "insert into jobs (id, user_id, model_id, params, status, price_kop, kie_price_kop,"
            " offered_at, confirmed_at, submissions, result, created_at, updated_at)"
            f" {_numbers(jobs)} select {job}, {person}, 'flux-2/pro-text-to-image', '{{}}',"
            f" 'succeeded', 100, 50, {_AT}, {_AT}, 1, '{_RESULT}', {_AT}, {_AT} from numbers"
        ),
        (
            "insert into ledger (user_id, kind, amount_kop, ref, job_id, created_at)"
            f" {_numbers(jobs)} select {person}, kind, 100, kind || ':' || {job}, {job}, {_AT}"
            " from numbers,"
            " (select 'hold' as kind, 0 as place union all select 'charge', 1) as kinds"
            " order by n, place"
        ),
    ]


def _grants(prefix: str, person: str, people: int, amount: int = 10_000) -> str:
    return (
        "insert into ledger (user_id, kind, amount_kop, ref, actor, why, created_at)"
        f" {_numbers(people)} select {person}, 'grant', {amount * 100}, 'grant:{prefix}:' || n,"
        f" 'benchmark', 'to be spent', {_AT} from numbers"
    )


def _numbers(many: int) -> str:
    """`numbers`, with n from 0 on."""
    return (
        "with recursive numbers (n) as ("
        f"select 0 union all select n + 1 from numbers where n < {many - 1})"
    )


_WALLETS = (
    "insert into wallets (user_id, balance_kop, hold_kop)"
    " select user_id, sum(case kind when 'grant' then amount_kop when 'hold' then -amount_kop"
    " else 0 end), 0 from ledger group by user_id"
)
