"""
The smallest statements that are still right: what a job would cost if there were nothing else.

No questions, no news, no history, no second guard; but no money is lost or moved twice, whoever
does it at the same time: a status is left once, the wallet is locked before the ledger is written,
and moves by what was written. As many commits as kiebot makes, one statement in each.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import asyncpg

SCHEMA = """
create table wallet (
  user_id bigint primary key,
  balance bigint not null check (balance >= 0),
  held bigint not null default 0 check (held >= 0)
);
create table ledger (
  id integer primary key,
  user_id bigint not null,
  kind text not null,
  amount bigint not null check (amount > 0),
  ref text not null unique
);
create table job (
  id bigint primary key,
  user_id bigint not null,
  amount bigint not null,
  status text not null,
  submissions integer not null default 0
);
"""

POSTGRES = """
alter table ledger alter id type bigint, alter id add generated always as identity;
alter table wallet set (fillfactor = 70);
alter table job set (fillfactor = 70);
"""

FILL = "insert into wallet (user_id, balance) values ($1, 1000000000000)"

# $1 is the person, $2 the price, $3 the job.
DRAFT = "insert into job (id, user_id, amount, status) values ($3, $1, $2, 'draft')"
HOLD = (
    "with step as ("
    "  update job set status = 'queued' where id = $3 and status = 'draft' returning id),"
    " locked as ("
    "  select user_id from wallet"
    "  where user_id = $1 and balance >= $2 and exists (select from step) for no key update),"
    " posted as ("
    "  insert into ledger (user_id, kind, amount, ref)"
    "  select user_id, 'hold', $2, 'hold:' || $3::bigint from locked"
    "  on conflict do nothing returning user_id, amount)"
    " update wallet set balance = balance - posted.amount, held = held + posted.amount"
    " from posted where wallet.user_id = posted.user_id returning wallet.user_id"
)
COUNT = (
    "update job set submissions = submissions + 1 where id = $3 and status = 'queued' returning id"
)
START = "update job set status = 'running' where id = $3 and status = 'queued' returning id"
CHARGE = (
    "with step as ("
    "  update job set status = 'succeeded' where id = $3 and status = 'running'"
    "  returning user_id, amount),"
    " locked as ("
    "  select wallet.user_id, step.amount from wallet join step on step.user_id = wallet.user_id"
    "  for no key update of wallet),"
    " posted as ("
    "  insert into ledger (user_id, kind, amount, ref)"
    "  select user_id, 'charge', amount, 'charge:' || $3::bigint from locked"
    "  on conflict do nothing returning user_id, amount)"
    " update wallet set held = held - posted.amount"
    " from posted where wallet.user_id = posted.user_id returning wallet.user_id"
)
WHOLE_JOB = (DRAFT, HOLD, COUNT, START, CHARGE)
"""One commit each."""


def used(statement: str) -> tuple[int, ...]:
    """Which of the three values a statement has, in order."""
    return tuple(number for number in (1, 2, 3) if f"${number}" in statement)


def renumbered(statement: str) -> str:
    """With its values numbered from 1 on, as a prepared statement needs them."""
    for new, old in enumerate(used(statement), 1):
        statement = statement.replace(f"${old}", f"${new}")
    return statement


def script(people: int, statements: Sequence[str] = WHOLE_JOB) -> str:
    """A transaction script of pgbench."""
    names = {"$1": ":person", "$2": ":price", "$3": ":job"}
    lines = [
        f"\\set person random(1, {people})",
        "\\set price random(1, 100)",
        "\\set job random(1, 4000000000000000000)",
    ]
    for statement in statements:
        for place, name in names.items():
            statement = statement.replace(place, name)
        lines.append(f"{statement};")
    return "\n".join(lines) + "\n"


async def prepare(dsn: str, people: int) -> None:
    """Make the tables in a PostgreSQL, and fill the wallets."""
    driver = await asyncpg.connect(dsn)
    try:
        await driver.execute(SCHEMA + POSTGRES)
        await driver.executemany(FILL, [(number,) for number in range(1, people + 1)])
        await driver.execute("vacuum analyze")
    finally:
        await driver.close()


# --- The same for SQLite, which has no statement that writes to two tables. A transaction there is
# alone, so nothing is to be locked.

_SQLITE_HOLD = (
    "insert into ledger (user_id, kind, amount, ref)"
    " select user_id, 'hold', $2, 'hold:' || $3 from wallet"
    " where user_id = $1 and balance >= $2 and changes() = 1"
)
_SQLITE_CHARGE = (
    "insert into ledger (user_id, kind, amount, ref)"
    " select user_id, 'charge', amount, 'charge:' || id from job where id = $3 and changes() = 1"
)
SQLITE_WHOLE_JOB = (
    (DRAFT,),
    (
        "update job set status = 'queued' where id = $3 and status = 'draft'",
        _SQLITE_HOLD,
        (
            "update wallet set balance = balance - $2, held = held + $2"
            " where user_id = $1 and changes() = 1"
        ),
    ),
    ("update job set submissions = submissions + 1 where id = $3 and status = 'queued'",),
    ("update job set status = 'running' where id = $3 and status = 'queued'",),
    (
        "update job set status = 'succeeded' where id = $3 and status = 'running'",
        _SQLITE_CHARGE,
        "update wallet set held = held - $2 where user_id = $1 and changes() = 1",
    ),
)
"""One commit a tuple."""


def bound(statement: str, values: Sequence[int]) -> dict[str, int]:
    """The values that an SQLite statement has, by name."""
    return {str(number): values[number - 1] for number in used(statement)}


def open_sqlite(path: Path, people: int) -> sqlite3.Connection:
    """A file with the tables and filled wallets, as careful as kiebot's."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal").fetchall()
    connection.execute("pragma synchronous = full")
    connection.executescript(SCHEMA)
    connection.execute("begin")
    connection.executemany(
        "insert into wallet (user_id, balance) values (?, 1000000000000)",
        [(number,) for number in range(1, people + 1)],
    )
    connection.execute("commit")
    return connection
