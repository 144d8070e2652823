"""The daily warning that KIE's credits run low: whom it reaches, how often, and when never."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import define, evolve, field

from kiebot.adapters.kie.stub import Fault, StubKieClient
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core import stock
from kiebot.core.dialog import news
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.news import Background
from kiebot.core.dialog.ru import RU
from kiebot.core.dialog.texts import Texts
from kiebot.core.errors import KieOperatorError, KieUnavailableError, LeadLostError
from kiebot.core.events import LowCredits
from kiebot.core.jobs import JobStatus
from kiebot.core.money import Money
from kiebot.core.terms import Terms
from kiebot.core.users import UserId
from kiebot.worker import Worker
from tests.fakes.clock import FakeClock
from tests.fakes.shop import CATALOG, TERMS, Shop
from tests.fakes.values import ADMIN, BUYER

BOSS = UserId(701)
WATCHED = evolve(TERMS, watches_credits=True, admins=frozenset({ADMIN, BOSS}))
DAY_S = 24 * 60 * 60.0
ENOUGH = stock.enough(CATALOG)


class Purse(StubKieClient):
    """A KIE with as many credits as the test says, which counts who asks, and may be silent."""

    def __init__(self, clock: FakeClock, left: Decimal | str = "12.5") -> None:
        super().__init__(clock)
        self.left = Decimal(left)
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def credits(self) -> Decimal:
        self.asked += 1
        await self.answers.wait()
        await super().credits()  # a scripted fault
        return self.left


@define
class Watch:
    """A shop whose purse is looked at."""

    shop: Shop
    purse: Purse
    path: Path
    extra: list[SqliteStorage] = field(factory=list)

    async def told(self) -> list[LowCredits]:
        """All warnings in the outbox, told or not."""
        found = [
            untold.event
            for admin in (ADMIN, BOSS)
            for untold in await self.shop.kiebot.untold_of(admin, 100, 0)
        ]
        return [event for event in found if isinstance(event, LowCredits)]

    async def again(self, terms: Terms = WATCHED) -> Shop:
        """Another process on the same database."""
        storage = await SqliteStorage.open(self.path, clock=self.shop.clock)
        self.extra.append(storage)
        return Shop(storage=storage, kie=self.purse, clock=self.shop.clock, terms=terms)


@pytest.fixture
async def watch(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Watch]:
    path = tmp_path / "shop.db"
    storage = await SqliteStorage.open(path, clock=clock)
    await storage.migrate()
    purse = Purse(clock)
    shop = Shop(storage=storage, kie=purse, clock=clock, terms=WATCHED)
    made = Watch(shop, purse, path)
    yield made
    for one in (storage, *made.extra):
        await one.close()


async def test_every_administrator_is_told_what_is_left(watch: Watch) -> None:
    await watch.shop.worker.step()

    assert await watch.told() == [
        LowCredits(user_id=admin, credits=Decimal("12.5"), enough=ENOUGH) for admin in (ADMIN, BOSS)
    ]


@pytest.mark.parametrize("left", [ENOUGH, ENOUGH + 1], ids=str)
async def test_enough_is_no_news(watch: Watch, left: Decimal) -> None:
    watch.purse.left = left

    await watch.shop.worker.step()

    assert (watch.purse.asked, await watch.told()) == (1, [])


async def test_it_is_told_once_a_day_whoever_asks(watch: Watch) -> None:
    """Restarts and other processes know of it by the database."""
    await watch.shop.kiebot.check_credits(None)
    for _ in range(3):
        watch.shop.clock.advance(DAY_S / 4)
        await watch.shop.kiebot.check_credits(None)
        await (await watch.again()).worker.step()
    assert (len(await watch.told()), watch.purse.asked) == (2, 1)

    watch.shop.clock.advance(DAY_S / 4)
    await watch.shop.kiebot.check_credits(None)

    assert (len(await watch.told()), watch.purse.asked) == (4, 2)


async def test_kie_is_not_asked_at_every_step(watch: Watch) -> None:
    watch.purse.left = ENOUGH

    for _ in range(5):
        await watch.shop.worker.step()

    assert watch.purse.asked == 1


@pytest.mark.parametrize(
    "error",
    [KieUnavailableError("502"), KieOperatorError(402, "Credits insufficient")],
    ids=lambda error: type(error).__name__,
)
async def test_no_answer_is_no_news(watch: Watch, error: Exception) -> None:
    """What KIE refuses the operator is told by the jobs, under its own cause."""
    watch.purse.script(Fault("credits", error))

    await watch.shop.worker.step()

    assert await watch.told() == []
    watch.shop.clock.advance(60)
    await watch.shop.kiebot.check_credits(None)
    assert len(await watch.told()) == 2


@pytest.mark.parametrize(
    "terms",
    [evolve(WATCHED, watches_credits=False), evolve(WATCHED, admins=frozenset())],
    ids=["a stub", "nobody to tell"],
)
async def test_where_nobody_is_to_be_told_kie_is_not_asked(watch: Watch, terms: Terms) -> None:
    await (await watch.again(terms)).worker.step()

    assert (watch.purse.asked, await watch.told()) == (0, [])


async def test_who_lost_the_lead_tells_nothing(clock: FakeClock) -> None:
    storage = MemoryStorage(clock=clock)
    shop = Shop(storage=storage, kie=Purse(clock), clock=clock, terms=WATCHED)
    async with storage.lead("local") as lead:
        pass

    with pytest.raises(LeadLostError):
        await shop.kiebot.check_credits(lead)
    await shop.worker.step(lead)

    assert await shop.kiebot.untold_of(ADMIN, 10) == []


async def test_the_work_does_not_wait_for_the_answer(watch: Watch) -> None:
    """A KIE that is silent about credits must not keep jobs from being made."""
    shop = watch.shop
    watch.purse.answers.clear()
    await shop.meet(roubles=100)
    job_id = (await shop.kiebot.confirm(BUYER, await shop.offer())).id
    worker = Worker(shop.kiebot, None, shop.reader.screen_of, audience=BUYER)

    running = asyncio.create_task(worker.run())
    try:
        async for _ in shop.kiebot.follow(BUYER, job_id):
            shop.clock.advance(5)
        assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED
        assert (watch.purse.asked, await watch.told()) == (1, [])

        watch.purse.answers.set()
        while True:
            beat = shop.kiebot.pulse.next()
            if await watch.told():
                break
            await beat.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert len(await watch.told()) == 2


@pytest.mark.parametrize("t", [RU, EN], ids=["ru", "en"])
def test_the_warning_says_how_much_and_what_to_do(t: Texts) -> None:
    now = Background(catalog=CATALOG, terms=Terms(), tz=UTC, available=Money(0))
    event = LowCredits(user_id=ADMIN, credits=Decimal("12.5"), enough=Decimal(2500))

    text = news.screen(t, event, now).text

    assert t.credits(Decimal("12.5")) in text
    assert t.credits(Decimal(2500)) in text
    assert "kie.ai" in text
