"""
`kiebot serve` itself is killed, at any moment, with many people in the middle of it.

A crowd shops in Telegram, each from /start to what they bought, while processes of the bot are
killed and replaced. What is random of it comes of the seed; where a kill meets a process is also
the machine's doing.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import frozen

from tests.fakes.chaos import WEBHOOK, Chaos, chaos, gives
from tests.fakes.telegram_server import telegram_server
from tests.torture.chapters import Budget, Chapter, Place, Tally

KILLS = 200
KILLS_OF_ONE = 12
CROWD = 40
CALLS = 120
"""Calls of the bot to Telegram between two kills, at most."""


@asynccontextmanager
async def shops(place: Place, rng: random.Random, **settings: str) -> AsyncIterator[Chaos]:
    """A shop without processes on a new database, and an empty crowd."""
    name = f"{rng.getrandbits(32):08x}"
    folder = place.folder / name
    folder.mkdir()
    async with (
        place.fresh(migrated=False) as url,
        telegram_server() as telegram,
        chaos(folder, telegram, url, rng.randrange(10**6), **settings) as shop,
    ):
        yield shop


async def all_is_right(shop: Chaos, tally: Tally) -> None:
    """Everybody has what they paid for, once; every update was taken in; the audit is clean."""
    await shop.settles()
    await shop.ends()
    await shop.all_is_right()
    tally.checked("the audit is clean")
    tally.checked("a customer has what they paid for, once", len(shop.crowd.customers))
    tally.checked("an update that was sent is in the inbox", len(shop.telegram.updates.made))


@frozen
class KillsOfServe:
    """See `does`."""

    name = "kills-of-serve"
    does = (
        f"{CROWD} people shop in Telegram while processes of `kiebot serve` are killed (SIGKILL)"
        " and replaced: on SQLite the only one, by polling; on PostgreSQL in turn one of two that"
        " poll, and one of three at a webhook."
    )
    checks = (
        "in the end everybody has what they paid for and was told so, each job has its hold and one"
        " of charge and release, every update was taken in, the audit is clean, and no process"
        " logged an error."
    )
    full = f"{KILLS} kills on each database"
    least = ("kill",)
    weight = 80.0
    databases = ("sqlite", "postgres")

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        while not tally.done["crowd"] or (tally.done["kill"] < KILLS and not budget.is_over):
            modes = ("one",) if place.database == "sqlite" else ("standby", "webhook")
            mode = modes[tally.done["crowd"] % len(modes)]
            with tally.part(f"crowd {tally.done['crowd']}, {mode}"):
                await self._crowd(mode, place, budget, rng, tally)
            tally.did("crowd")

    async def _crowd(
        self, mode: str, place: Place, budget: Budget, rng: random.Random, tally: Tally
    ) -> None:
        settings = WEBHOOK if mode == "webhook" else {}
        async with shops(place, rng, **settings) as shop:
            shop.crowd.fill(CROWD)
            await gives(shop)
            await shop.starts_some({"one": 1, "webhook": 3}.get(mode, 1))
            if mode == "standby":
                await shop.starts(ready=503)
            async with shop.crowd.shopping():
                while shop.kills < KILLS_OF_ONE and not shop.crowd.is_done:
                    if budget.left_s <= 0:
                        break
                    await shop.some_calls(1, CALLS)
                    victim = rng.choice(shop.running)
                    await shop.replaces(victim, ready=None if mode == "standby" else 200)
                    if mode == "standby":
                        await shop.leader()
            tally.did("kill", shop.kills)
            tally.did("customer", CROWD)
            await all_is_right(shop, tally)


CHAPTERS: tuple[Chapter, ...] = (KillsOfServe(),)
