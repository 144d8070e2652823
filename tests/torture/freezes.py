"""
Who leads is frozen (SIGSTOP) and woken when it is too late (SIGCONT).

Its lease is over then and another one leads: it must write nothing and say nothing more.
"""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

from attrs import frozen

from tests.fakes.chaos import Chaos, gives, stored_in
from tests.fakes.served import Instance
from tests.torture.chapters import Budget, Chapter, Place, Tally
from tests.torture.serving import all_is_right, shops

FREEZES = 24
FREEZES_OF_ONE = 4
CROWD = 24
CALLS = 60

TAKES_OVER_S = {"sqlite": 20.0, "postgres": 60.0}
"""
How long the other one is waited for; a lease is 5 s. An SQLite file is locked by who is frozen as
it writes, for as long as that lasts; PostgreSQL ends such a transaction after one more lease.
"""

PATIENCE_S = 120.0


@frozen
class Freezes:
    """See `does`."""

    name = "freezes"
    does = (
        f"Of two processes of `kiebot serve` that poll for a crowd of {CROWD} the leader is frozen"
        " (SIGSTOP) until the other one leads, and woken (SIGCONT); with every crowd once more when"
        " all is done. Where it was frozen while it wrote to an SQLite file, nobody else can write,"
        " and it is woken after its lease."
    )
    checks = (
        "who wakes up is standby, and has called Telegram not once since; where nobody else is"
        " busy not a row of the database is another; in the end everybody of the crowd has what"
        " they paid for, once."
    )
    full = f"{FREEZES} freezes on each database"
    least = ("freeze",)
    weight = 40.0
    databases = ("sqlite", "postgres")

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        while not tally.done["crowd"] or (tally.done["freeze"] < FREEZES and not budget.is_over):
            with tally.part(f"crowd {tally.done['crowd']}"):
                await self._crowd(place, budget, rng, tally)
            tally.did("crowd")

    async def _crowd(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        async with shops(place, rng) as shop:
            shop.crowd.fill(CROWD)
            await gives(shop)
            await shop.starts(ready=200)
            await shop.starts(ready=503)
            async with shop.crowd.shopping():
                for _ in range(FREEZES_OF_ONE - 1):
                    if shop.crowd.is_done or budget.left_s <= 0:
                        break
                    await shop.some_calls(1, CALLS)
                    await _freeze(shop, place.database, tally)
            await shop.settles()
            await _freeze(shop, place.database, tally, is_quiet=True)
            await all_is_right(shop, tally)


async def _freeze(shop: Chaos, database: str, tally: Tally, *, is_quiet: bool = False) -> None:
    """Freeze who leads, and wake it when the other one does; `is_quiet`: nobody does anything."""
    first = await shop.leader()
    (second,) = (instance for instance in shop.running if instance is not first)
    first.freeze()
    try:
        is_led = await _leads(second, TAKES_OVER_S[database])
        # What it had said before it froze has arrived long ago.
        said = len(shop.telegram.called(by=first.name))
        stored = await _rows(shop) if is_quiet and is_led else {}
    finally:
        first.thaw()
    tally.did("freeze")
    if not is_led:
        assert database == "sqlite", "nobody takes over"
        tally.did("freeze with the file locked")
        await shop.leader()
        return
    assert await first.becomes(503, PATIENCE_S) == {"role": "standby"}
    assert len(shop.telegram.called(by=first.name)) == said
    assert await second.becomes(200, PATIENCE_S) == {"role": "leader"}
    tally.checked("who woke up said nothing, and stands by")
    if is_quiet:
        assert await _rows(shop) == stored
        tally.checked("who woke up changed no row")


async def _leads(instance: Instance, patience_s: float) -> bool:
    try:
        await instance.becomes(200, patience_s)
    except AssertionError:
        return False
    return True


async def _rows(shop: Chaos) -> dict[str, list[str]]:
    """All that is stored, but for who leads and until when."""
    url = shop.shop.settings["DATABASE_URL"]
    if url.startswith("sqlite:///"):
        return await asyncio.to_thread(_rows_of_file, Path(url.removeprefix("sqlite:///")))
    return await stored_in(url)


def _rows_of_file(path: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = connection.execute(
            "select name from sqlite_master where type = 'table' and name <> 'lead'"
        ).fetchall()
        return {
            table: sorted(map(repr, connection.execute(f'select * from "{table}"')))
            for (table,) in tables
        }


CHAPTERS: tuple[Chapter, ...] = (Freezes(),)
