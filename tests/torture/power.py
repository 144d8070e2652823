"""
The power of the database goes: PostgreSQL is stopped in immediate mode under load, and comes back.

The server is one of its own that writes to the disk what it commits (`fsync` is on). `kiebot serve`
is never started again: it has to find its way back by itself.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, frozen

from tests.fakes import postgres
from tests.fakes.chaos import Chaos, chaos, gives
from tests.fakes.postgres import DURABLE, PostgresServer, shared_server
from tests.fakes.telegram_server import telegram_server
from tests.torture.chapters import Budget, Chapter, Place, Tally
from tests.torture.kills import ended
from tests.torture.rush import PEOPLE, Acked, Rush, make, meet, rushing, until_begun

CUTS = 20
CUTS_OF_ONE_CROWD = 5
CROWD = 24
WITHIN_S = 5.0
"""How soon people are served again after the server lets anybody in."""

PROBE = 900


@define
class Powered:
    """A PostgreSQL whose power can be cut."""

    folder: Path
    server: PostgresServer

    async def cut(self) -> None:
        """Stop it at once."""
        await asyncio.to_thread(postgres.crash, self.folder)

    async def back(self) -> None:
        """Start it on what is on the disk, until it lets people in."""
        await asyncio.to_thread(postgres.start_again, self.folder)


@asynccontextmanager
async def powered() -> AsyncIterator[Powered]:
    """One of its own, with nothing in it."""
    folder = postgres.make_folder()
    try:
        yield Powered(folder, await asyncio.to_thread(shared_server, folder, DURABLE))
    finally:
        await asyncio.to_thread(postgres.stop, folder)


@frozen
class PowerCuts:
    """See `does`."""

    name = "power-cuts"
    does = (
        "PostgreSQL, with fsync on, is stopped in immediate mode while `kiebot serve` serves a"
        f" crowd of {CROWD} by polling and a second process moves money as fast as it can; it is"
        " down for up to 2 s and starts again. No process of ours is."
    )
    checks = (
        "everything that was acknowledged is in the ledger after each cut; somebody who asks for"
        f" their balance is answered within {WITHIN_S:g} s of the server letting people in, by the"
        " same process; in the end everybody of the crowd has what they paid for, once."
    )
    full = f"{CUTS} cuts"
    least = ("cut",)
    weight = 230.0
    databases = ("postgres",)

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        async with powered() as power:
            cuts = Cuts(place, power, rng, tally)
            while not cuts.crowds or (tally.done["cut"] < CUTS and not budget.is_over):
                with tally.part(f"crowd {cuts.crowds}"):
                    await cuts.crowd(min(CUTS_OF_ONE_CROWD, CUTS - tally.done["cut"]), budget)
        tally.note("longest until served again", f"{cuts.longest_s:.2f} s")


@define
class Cuts:
    """The cuts of one server, and what is looked at after each."""

    place: Place
    power: Powered
    rng: random.Random
    tally: Tally
    crowds: int = 0
    longest_s: float = 0.0

    async def crowd(self, cuts: int, budget: Budget) -> None:
        """A new database and its one process, a crowd, and cuts while they shop."""
        self.crowds += 1
        folder = self.place.folder / f"crowd-{self.crowds}"
        folder.mkdir()
        dsn = await asyncio.to_thread(self.power.server.create)
        async with (
            telegram_server() as telegram,
            chaos(folder, telegram, dsn, self.rng.randrange(10**6)) as shop,
            self.place.watched(dsn),
        ):
            shop.crowd.fill(CROWD)
            await gives(shop)
            await meet(make(shop.storage))
            for who in (*PEOPLE, PROBE):
                telegram.person(who, "Аня", language_code="ru").types("/start")
            await shop.starts(ready=200)
            await telegram.person(PROBE).sees("Баланс")
            rush = Rush(folder=folder, database=dsn, beside=True)
            acked = Acked(folder, self.tally)
            async with shop.crowd.shopping(), rushing(rush) as moving:
                await until_begun(rush, moving, 0)
                for number in range(cuts):
                    if number and budget.left_s <= 0:
                        break
                    await asyncio.sleep(self.rng.uniform(0.3, 2))
                    assert ended(moving) is None, rush.last_words
                    await self._cut(shop, acked)
                moving.kill()
            await shop.settles()
            await shop.all_is_right()
            self.tally.checked("a customer has what they paid for, once", CROWD)
            await self._end(shop)
            await self.place.audited(dsn)

    async def _cut(self, shop: Chaos, acked: Acked) -> None:
        (instance,) = shop.running
        await self.power.cut()
        await asyncio.sleep(self.rng.uniform(0, 2))
        await self.power.back()
        let_in_at = time.monotonic()
        self.tally.did("cut")
        probe = shop.telegram.person(PROBE)
        probe.types("/balance")
        await probe.sees("Баланс: 0 ₽")
        took_s = time.monotonic() - let_in_at
        self.longest_s = max(self.longest_s, took_s)
        if took_s <= WITHIN_S:
            self.tally.checked(f"served again within {WITHIN_S:g} s by the same process")
        else:
            self.tally.problem(f"served again only after {took_s:.1f} s")
        assert instance.process.poll() is None
        await acked.check(shop.storage)

    async def _end(self, shop: Chaos) -> None:
        """It stops as it should, and was never started again."""
        (instance,) = shop.running
        assert shop.shop.instances == [instance]
        instance.terminate()
        assert await instance.ends() == 0


CHAPTERS: tuple[Chapter, ...] = (PowerCuts(),)
