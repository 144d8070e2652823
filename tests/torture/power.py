"""
The power of the database goes: PostgreSQL is stopped in immediate mode under load, and comes back.

The server is one of its own that writes to the disk what it commits (`fsync` is on). `kiebot serve`
is never started again: it has to find its way back by itself.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from attrs import define, frozen

from tests.acceptance.test_serve_chaos import OWNER, Chaos, chaos, gives
from tests.fakes import postgres
from tests.fakes.crowd import Crowd
from tests.fakes.postgres import DURABLE, PostgresServer, shared_server
from tests.fakes.served import Instance
from tests.fakes.telegram_server import TelegramServer, telegram_server
from tests.torture.chapters import Budget, Chapter, Place, Tally
from tests.torture.rush import PEOPLE, Acked, Rush, make, meet, rushing, until_begun

CUTS = 20
CUTS_OF_ONE_CROWD = 4
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
    weight = 2.0
    databases = ("postgres",)

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        async with AsyncExitStack() as stack:
            power = await stack.enter_async_context(powered())
            telegram = await stack.enter_async_context(telegram_server())
            dsn = await asyncio.to_thread(power.server.create)
            seed = rng.randrange(10**6)
            shop = await stack.enter_async_context(chaos(place.folder, telegram, dsn, seed))
            await stack.enter_async_context(place.watched(dsn))
            cuts = Cuts(place, power, shop, rng, tally)
            await cuts.begin()
            while not cuts.crowds or (tally.done["cut"] < CUTS and not budget.is_over):
                with tally.part(f"crowd {cuts.crowds}"):
                    await cuts.crowd(min(CUTS_OF_ONE_CROWD, CUTS - tally.done["cut"]), budget)
            with tally.part("the end"):
                await cuts.end()
        tally.note("longest until served again", f"{cuts.longest_s:.2f} s")


@define
class Cuts:
    """The cuts of one server, and what is looked at after each."""

    place: Place
    power: Powered
    shop: Chaos
    rng: random.Random
    tally: Tally
    crowds: int = 0
    longest_s: float = 0.0

    @property
    def _telegram(self) -> TelegramServer:
        return self.shop.telegram

    @property
    def _dsn(self) -> str:
        return self.shop.shop.settings["DATABASE_URL"]

    async def begin(self) -> None:
        """Somebody serves, and somebody will ask."""
        await meet(make(self.shop.storage))
        for who in PEOPLE:
            self._telegram.person(who, "Аня", language_code="ru").types("/start")
        await self.shop.starts(ready=200)
        probe = self._telegram.person(PROBE, "Проба", language_code="ru")
        probe.types("/start")
        await probe.sees("Баланс")

    async def crowd(self, cuts: int, budget: Budget) -> None:
        """A new crowd, and cuts while they shop."""
        self.crowds += 1
        self.shop.crowd = Crowd(self._telegram, OWNER)
        self.shop.crowd.fill(CROWD, first=10_000 * self.crowds)
        await gives(self.shop)
        (instance,) = self.shop.running
        # Read from the beginning with every crowd: what is in the ledger stays there.
        acked = Acked(self.place.folder, self.tally)
        async with self.shop.crowd.shopping():
            rush = Rush(folder=self.place.folder, database=self._dsn, beside=True)
            before = rush.begun
            async with rushing(rush) as moving:
                await until_begun(rush, moving, before)
                for number in range(cuts):
                    if number and (self.shop.crowd.is_done or budget.left_s <= 0):
                        break
                    await asyncio.sleep(self.rng.uniform(0.3, 2))
                    assert moving.exitcode is None, rush.last_words
                    await self._cut(instance, acked)
        await self.shop.settles()
        await self.shop.all_is_right()
        self.tally.checked("a customer has what they paid for, once", CROWD)

    async def end(self) -> None:
        """It stops as it should."""
        (instance,) = self.shop.running
        assert len(self.shop.shop.instances) == 1
        instance.terminate()
        assert await instance.ends() == 0
        await self.place.audited(self._dsn)

    async def _cut(self, instance: Instance, acked: Acked) -> None:
        await self.power.cut()
        await asyncio.sleep(self.rng.uniform(0, 2))
        await self.power.back()
        let_in_at = time.monotonic()
        self.tally.did("cut")
        probe = self._telegram.person(PROBE, "Проба", language_code="ru")
        probe.types("/balance")
        async with asyncio.timeout(WITHIN_S):
            await probe.sees("Баланс: 0 ₽")
        self.longest_s = max(self.longest_s, time.monotonic() - let_in_at)
        assert instance.process.poll() is None
        self.tally.checked(f"served again within {WITHIN_S:g} s by the same process")
        async with self.place.open(self._dsn) as storage:
            await acked.check(storage)


CHAPTERS: tuple[Chapter, ...] = (PowerCuts(),)
