"""
A whole job on SQLite: kiebot, and the smallest right statements by plain sqlite3.

    python -m benchmarks.whole_job_sqlite [--rounds 5] [--seconds 4]
"""

import asyncio
import random
import sqlite3
import tempfile
import time
from pathlib import Path

import aiosqlite

from benchmarks import measure, shop, smallest
from benchmarks.measure import Figure, Page, Row
from benchmarks.shop import AT_ONCE, PEOPLE

ABOUT = """
The job of the page on PostgreSQL, {at_once} at once, in an SQLite file with a WAL and
`synchronous = full`: every commit is on the disk before it is said to be one. The reference is one
loop around Python's own `sqlite3`: the smallest statements that are still right
(`benchmarks/smallest.py`), in {commits} transactions a job, as many as kiebot commits.
"""

WHY = """
A use-case waits for its connection's thread once or twice where it stores one thing (to read, to
store) and five times to confirm, and a rule in Python decides in between; the reference is one
thread that never waits and reads nothing. {hops} hops to a thread of aiosqlite that does nothing
are the last line of the figures: what a job takes longer than that are the statements, the commits,
and the rules.
"""

HOPS = 14
"""How often a whole job waits for a thread."""


def main() -> None:
    """Measure, and keep it."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kiebot-bench-") as folder:
        page = asyncio.run(_measure(Path(folder), asked.rounds, asked.seconds))
    measure.keep(page, asked.to)


async def _measure(folder: Path, rounds: int, seconds: float) -> Page:
    plain = smallest.open_sqlite(folder / "smallest.db", PEOPLE)
    try:
        async with shop.on_sqlite(folder / "kiebot.db") as kiebot:
            await kiebot.fill()
            commits = await kiebot.commits()
            if commits != len(smallest.SQLITE_WHOLE_JOB):
                raise AssertionError(f"kiebot commits {commits} times")

            async def ours() -> float:
                return await shop.rate(kiebot.job, AT_ONCE, seconds)

            async def bare() -> float:
                return _plain(plain, seconds)

            async def nothing() -> float:
                async with aiosqlite.connect(":memory:") as thread:
                    return await shop.rate(lambda _: _empty_job(thread), AT_ONCE, seconds)

            empty = f"aiosqlite, {HOPS} hops"
            found = await measure.in_turn_async(
                {"kiebot": ours, "sqlite3": bare, empty: nothing}, rounds
            )
    finally:
        plain.close()
    return Page(
        name="whole_job_sqlite",
        title="A whole job on SQLite",
        pictures={"Where the time of kiebot goes": "whole_job_sqlite-flame.svg"},
        about=ABOUT.format(at_once=AT_ONCE, commits=commits).strip(),
        rows=(
            Row(
                measured="whole job through `Kiebot`, SQLite, synchronous FULL",
                against=f"plain sqlite3, the smallest right statements, {commits} commits",
                rounds=measure.ratios(found["kiebot"], found["sqlite3"]),
                goal=measure.at_least(0.6),
                why=WHY.format(hops=HOPS).strip(),
            ),
        ),
        figures=tuple(
            Figure(of=name, unit="jobs a second", rounds=tuple(values))
            for name, values in found.items()
        ),
    )


async def _empty_job(thread: aiosqlite.Connection) -> None:
    for _ in range(HOPS):
        await thread.rollback()


def _plain(connection: sqlite3.Connection, seconds: float) -> float:
    done = 0
    begun_at = time.perf_counter()
    while time.perf_counter() < begun_at + seconds:
        values = (random.randint(1, PEOPLE), random.randint(1, 100), random.getrandbits(61))
        for transaction in smallest.SQLITE_WHOLE_JOB:
            connection.execute("begin immediate")
            for statement in transaction:
                connection.execute(statement, smallest.bound(statement, values))
            connection.execute("commit")
        done += 1
    return done / (time.perf_counter() - begun_at)


if __name__ == "__main__":
    main()
