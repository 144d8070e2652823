"""
`kiebot serve` as processes that are started, killed and replaced, and the crowd that shops there.

    async with chaos(folder, telegram, database, seed, **settings) as shop:
        shop.crowd.fill(12)
        await gives(shop)
        await shop.starts(ready=200)
        async with shop.crowd.shopping():
            await shop.some_calls(1, 50)
            await shop.replaces(shop.running[0], ready=200)
        await shop.settles()
        await shop.ends()
        await shop.all_is_right()
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from attrs import define

from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.jobs import JobStatus
from kiebot.core.money import Money
from kiebot.core.wallet import EntryKind
from kiebot.ports.storage import Storage
from tests.fakes.clock import FakeClock
from tests.fakes.crowd import CARD, FAILS, PRICE_KOP, TOPUP_KOP, Crowd, Customer
from tests.fakes.served import Instance, Served, served, until
from tests.fakes.shop import stub_shop
from tests.fakes.telegram_rules import Json
from tests.fakes.telegram_server import TelegramServer
from tests.fakes.telegram_updates import SECRET_HEADER

PUBLIC = "https://bot.example"
WEBHOOK = {"BOT_MODE": "webhook", "WEBHOOK_URL": PUBLIC}
OWNER = 700
PATIENCE_S = 120.0


@define
class Chaos:
    """A shop with a crowd, and what is done to its processes."""

    shop: Served
    crowd: Crowd
    storage: Storage
    rng: random.Random
    is_webhook: bool
    running: list[Instance]
    names: int = 0
    kills: int = 0

    @property
    def telegram(self) -> TelegramServer:
        return self.shop.telegram

    async def begins(self) -> Instance:
        """One more, which has hardly begun."""
        self.names += 1
        self.running.append(await self.shop.start(f"n{self.names}", ready=None))
        return self.running[-1]

    async def starts(self, *, ready: int | None) -> Instance:
        """One more, which updates are sent to as well where they are sent."""
        instance = await self.begins()
        await instance.listens()
        self.route()
        if ready is not None:
            await instance.becomes(ready, PATIENCE_S)
        return instance

    async def starts_some(self, number: int) -> None:
        """Several at once, all of which take updates."""
        await asyncio.gather(*(self.begins() for _ in range(number)))
        for instance in self.running:
            await instance.listens()
        self.route()
        for instance in self.running:
            await instance.becomes(200, PATIENCE_S)

    async def posts(self, updates: Sequence[Json]) -> None:
        """To each of those who run, all at once."""
        hook = self.telegram.updates.hook
        assert hook is not None
        headers = {SECRET_HEADER: hook.secret or ""}

        async def post(to: Instance, update: Json) -> None:
            url = f"{to.address}/telegram/webhook"
            async with self.shop.session.post(url, json=update, headers=headers) as answer:
                assert answer.status == 200

        pairs = [(to, update) for update in updates for to in self.running]
        self.rng.shuffle(pairs)
        await asyncio.gather(*(post(to, update) for to, update in pairs))

    def kill(self, victim: Instance) -> None:
        """The power goes."""
        victim.kill()
        self.running.remove(victim)
        self.kills += 1

    async def some_calls(self, least: int, most: int) -> None:
        """Until something happened, so that every kill finds people in the middle of it."""
        wanted = len(self.telegram.calls) + self.rng.randint(least, most)
        while len(self.telegram.calls) < wanted and not self.crowd.is_done:
            await self.telegram.bell.wait(1)

    async def replaces(self, victim: Instance, *, ready: int | None) -> None:
        """Kill one and start another, which may be killed before it is there."""
        self.kill(victim)
        self.route()
        if self.rng.random() < 0.15:
            hasty = await self.begins()
            # Anywhere in its beginning, which nobody outside sees.
            await asyncio.sleep(self.rng.uniform(0.2, 2))
            self.kill(hasty)
        await self.starts(ready=ready)

    async def deploys(self) -> None:
        """As a host does it: the old one is told to stop when the new one is healthy."""
        (old,) = self.running
        await self.starts(ready=200 if self.is_webhook else 503)
        self.running.remove(old)
        self.route()
        old.terminate()
        assert await old.ends(10) == 0

    async def leader(self) -> Instance:
        """Who leads."""
        found: list[Instance] = []

        async def is_there() -> bool:
            for instance in self.running:
                status, said = await instance.ready()
                if status == 200 and said["role"] == "leader":
                    found.append(instance)
            return bool(found)

        await until(is_there, "leader", PATIENCE_S)
        return found[-1]

    async def settles(self) -> None:
        """Until nothing is left to do."""
        kiebot = stub_shop(self.storage, FakeClock()).kiebot

        async def is_settled() -> bool:
            figures = await kiebot.inbox.figures()
            is_open = await kiebot.all_open_jobs(1)
            return not (is_open or figures.untold or figures.updates_waiting)

        # What is not stored yet is no work yet.
        await self.telegram.idle()
        await until(is_settled, "end of all work", PATIENCE_S)
        await self.telegram.idle()

    async def ends(self) -> None:
        """Everything stops as it should, and said nothing that it should not."""
        for instance in self.running:
            instance.terminate()
        for instance in self.running:
            assert await instance.ends() == 0
        for instance in self.shop.instances:
            assert "Traceback" not in instance.log, instance.log
            for secret in (self.telegram.token, CARD, "рыжий кот", json.dumps("рыжий кот")[1:-1]):
                assert secret not in instance.log, secret
            errors = [line for line in instance.lines if line.get("level") == "error"]
            assert errors == []

    async def all_is_right(self) -> None:
        """The rules of the money, and what each of the crowd has."""
        kiebot = stub_shop(self.storage, FakeClock()).kiebot
        assert (await kiebot.audit()).problems == ()
        async with self.storage.read() as uow:
            for update in self.telegram.updates.made:
                assert await uow.inbox.knows(update["update_id"]), update
        for customer in self.crowd.customers:
            await self._is_right(customer)

    async def _is_right(self, customer: Customer) -> None:
        kiebot = stub_shop(self.storage, FakeClock()).kiebot
        who = customer.user_id
        jobs = {job.id: job for job in await kiebot.jobs(who, 100)}
        assert sorted(jobs) == sorted(customer.confirmed), who
        prompts = dict(zip(customer.confirmed, customer.prompts, strict=True))
        for job_id, job in jobs.items():
            has_failed = prompts[job_id] == FAILS
            assert job.status is (JobStatus.FAILED if has_failed else JobStatus.SUCCEEDED), who
            assert (customer.knows_of_failure if has_failed else customer.has)(job_id), who
        async with self.storage.read() as uow:
            for job_id in jobs:
                entries = [entry.kind for entry in await uow.ledger.of_job(job_id)]
                settled = EntryKind.RELEASE if prompts[job_id] == FAILS else EntryKind.CHARGE
                assert entries == [EntryKind.HOLD, settled], who
        wallet = await kiebot.wallet(who)
        given = customer.roubles * 100 or TOPUP_KOP
        spent = PRICE_KOP * sum(prompt != FAILS for prompt in customer.prompts)
        assert (wallet.available, wallet.held) == (Money(given - spent), Money(0)), who

    def route(self) -> None:
        if self.is_webhook:
            there = [instance.address for instance in self.running if instance.address]
            # Telegram finds nobody where nobody is.
            self.telegram.route(PUBLIC, *(there or ["http://127.0.0.1:1"]))


@asynccontextmanager
async def chaos(
    folder: Path, telegram: TelegramServer, database: str, seed: int, **settings: str
) -> AsyncIterator[Chaos]:
    """A shop without instances, and an empty crowd."""
    storage: Storage
    if database.startswith("sqlite"):
        storage = await SqliteStorage.open(Path(database.removeprefix("sqlite:///")))
    else:
        storage = await PostgresStorage.open(database)
    known = {"PAYMENT_CARD": CARD, "ADMIN_IDS": str(OWNER)}
    try:
        await storage.migrate()
        async with served(folder, telegram, database, **known, **settings) as shop:
            is_webhook = settings.get("BOT_MODE") == "webhook"
            crowd = Crowd(telegram, OWNER)
            yield Chaos(shop, crowd, storage, random.Random(seed), is_webhook, [])
    finally:
        await storage.close()


async def gives(chaos: Chaos) -> None:
    """Each has the money they are said to have."""
    shop = stub_shop(chaos.storage, FakeClock())
    for customer in chaos.crowd.customers:
        await shop.meet(customer.user_id, roubles=customer.roubles)


async def stored_in(dsn: str) -> dict[str, list[str]]:
    """All that a PostgreSQL database has by tables, but for who leads and until when."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch(
            "select tablename from pg_tables where schemaname = 'public' and tablename <> 'lead'"
        )
        found = {}
        for (table,) in tables:
            rows = await connection.fetch(f'select t::text as row from "{table}" t')
            found[table] = sorted(row["row"] for row in rows)
        return found
    finally:
        await connection.close()
