"""
A whole job on PostgreSQL: kiebot, and the smallest right statements by asyncpg and by pgbench.

    python -m benchmarks.whole_job_postgres [--rounds 5] [--seconds 4]
"""

import asyncio
import random
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg

from benchmarks import measure, postgres, shop, smallest
from benchmarks.measure import Figure, Page, Row
from benchmarks.shop import AT_ONCE, PEOPLE, Shop
from kiebot import UserId
from tests.fakes.postgres import PostgresServer

ABOUT = """
One job from its draft to its charge, through `Kiebot`: `draft`, `confirm` (which holds the price),
`advance` (which submits it) and `advance` (which finds it done, and charges it); kie.ai answers at
once. {at_once} go on at the same time, each with a connection, for one of {people:,} people drawn
by chance. kiebot commits {commits} transactions a job that write, and some that only read.

The references make the same {commits} commits with nothing but the smallest statements that are
still right (`benchmarks/smallest.py`), one a commit, each a single round trip, on tables of their
own with few columns and no other index; they read nothing and know nothing. The one is asyncpg in
one process of Python, as kiebot; the other is pgbench, written in C. All have prepared statements,
a unix socket, and the durability that PostgreSQL comes with.
"""

WHY = """
The reference knows everything beforehand. kiebot asks {trips} times: it reads what it decides on (a
draft 2, a confirmation 6, a submission 3, a look that charges 4), and a confirmation locks the job
and the wallet, which takes a `begin` and a `commit`. The questions themselves are not what costs
most: {trips} times `select 1` with asyncpg, and nothing else, are the last line of the figures. The
processor is shared between two: PostgreSQL keeps for each job the indexes of its history, of what
is due, of its tasks, its news and its dialog, and the triggers that refuse a change of the ledger;
Python makes values of rows and rows of values, and runs every rule on every answer again before
money is held for it. kie.ai takes 2 new tasks a second from one account: that is what sets the pace
of a shop.
"""

TRIPS = 15
"""Round trips of a whole job, in so many uses of a connection: `tests/test_plans.py` has them."""
TAKEN = 8


def main() -> None:
    """Measure, and keep it."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    with postgres.running() as server:
        asyncio.run(_measure(server, asked.rounds, asked.seconds, asked.to))


async def _measure(server: PostgresServer, rounds: int, seconds: float, folder: Path) -> None:
    with postgres.database(server) as ours, postgres.database(server) as theirs:
        await smallest.prepare(theirs, PEOPLE)
        pool = await asyncpg.create_pool(
            theirs, min_size=AT_ONCE, max_size=AT_ONCE, reset=_keep_as_it_is
        )
        try:
            async with shop.on_postgres(ours) as kiebot:
                await kiebot.fill()
                commits = await kiebot.commits()
                if commits != len(smallest.WHOLE_JOB):
                    raise AssertionError(f"kiebot commits {commits} times")
                subjects = _subjects(kiebot, pool, theirs, seconds)
                # Once before it counts: nobody measures a shop that has no rows yet.
                await measure.in_turn_async(subjects, 1)
                found = await measure.in_turn_async(subjects, rounds)
        finally:
            await pool.close()
    kept = {name: tuple(values) for name, values in found.items()}
    measured = f"whole job through `Kiebot`, PostgreSQL, {AT_ONCE} at once"
    measure.keep(
        Page(
            name="whole_job_postgres",
            title="A whole job on PostgreSQL",
            pictures={"Where the time of kiebot goes": "whole_job_postgres-flame.svg"},
            about=ABOUT.format(at_once=AT_ONCE, people=PEOPLE, commits=commits).strip(),
            rows=(
                Row(
                    measured=measured,
                    against=f"pgbench, the smallest right statements, {commits} commits",
                    rounds=measure.ratios(kept["kiebot"], kept["pgbench"]),
                    goal=measure.at_least(0.5),
                    why=WHY.format(trips=TRIPS).strip(),
                ),
                Row(
                    measured=measured,
                    against=f"the same statements in bare asyncpg, {commits} commits",
                    rounds=measure.ratios(kept["kiebot"], kept["asyncpg"]),
                    goal=measure.at_least(0.85),
                    why=WHY.format(trips=TRIPS).strip(),
                ),
            ),
            figures=tuple(
                Figure(of=name, unit="jobs a second", rounds=values)
                for name, values in kept.items()
            ),
        ),
        folder,
    )


def _subjects(
    kiebot: Shop, pool: asyncpg.Pool, dsn: str, seconds: float
) -> dict[str, Callable[[], Awaitable[float]]]:
    async def ours() -> float:
        return await shop.rate(kiebot.job, AT_ONCE, seconds)

    async def bare() -> float:
        return await shop.rate(lambda person: _bare_job(pool, person), AT_ONCE, seconds)

    async def pgbench() -> float:
        return await asyncio.to_thread(_pgbench, dsn, seconds)

    async def nothing() -> float:
        return await shop.rate(lambda _: _empty_job(pool), AT_ONCE, seconds)

    empty = f"asyncpg, {TRIPS} times select 1"
    return {
        "kiebot": postgres.tidied(kiebot.url, ours),
        "asyncpg": postgres.tidied(dsn, bare),
        "pgbench": postgres.tidied(dsn, pgbench),
        empty: nothing,
    }


_STATEMENTS = [
    (smallest.renumbered(statement), smallest.used(statement)) for statement in smallest.WHOLE_JOB
]


async def _bare_job(pool: asyncpg.Pool, person: UserId) -> None:
    values = {1: person, 2: random.randint(1, 100), 3: random.getrandbits(61)}
    for statement, used in _STATEMENTS:
        async with pool.acquire() as driver:
            await driver.fetchrow(statement, *(values[number] for number in used))


async def _empty_job(pool: asyncpg.Pool) -> None:
    """As many round trips as a job of kiebot, in as many uses of a connection."""
    asked = 0
    for taken in range(1, TAKEN + 1):
        async with pool.acquire() as driver:
            while asked * TAKEN < taken * TRIPS:
                await driver.fetchval("select 1")
                asked += 1


def _pgbench(dsn: str, seconds: float) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(smallest.script(PEOPLE))
        file.flush()
        how = ["-n", "-M", "prepared", "-c", str(AT_ONCE), "-j", "2"]
        said = postgres.pgbench(dsn, *how, "-T", str(max(1, round(seconds))), "-f", file.name)
    return float(re.findall(r"^tps = ([\d.]+)", said, re.MULTILINE)[0])


async def _keep_as_it_is(_: object) -> None:
    """Nothing is done to a session that would have to be undone, as in kiebot's pool."""


if __name__ == "__main__":
    main()
