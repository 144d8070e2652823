"""Many at once, on a real database, through several connections."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import evolve

from kiebot.core.errors import (
    DuplicateRefError,
    InsufficientFundsError,
    PriceChangedError,
    RefusedByStatusError,
    TooManyJobsError,
)
from kiebot.core.jobs import JobStatus
from kiebot.core.money import Money
from kiebot.core.params import TextParam
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from tests.fakes import databases
from tests.fakes.clock import FakeClock
from tests.fakes.databases import DATABASES
from tests.fakes.shop import CATALOG, PICTURE, TERMS, Shop, stub_shop
from tests.fakes.values import BUYER, OTHER, wallet

FREELY = evolve(TERMS, user_jobs_max=1000)


@pytest.fixture(params=DATABASES)
async def shops(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[list[Shop]]:
    """Four shops, as four processes would be, on one database."""
    dsn = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None
    made = databases.make(request.param, tmp_path, dsn)
    opened = [await made.fresh(), *[await made.another() for _ in range(3)]]
    several = [stub_shop(storage, clock, FREELY) for storage in opened]
    for number, shop in enumerate(several):
        shop.prefix = f"s{number}x"
    yield several
    await made.close()


async def test_32_confirmations_on_money_for_10_start_exactly_10(shops: list[Shop]) -> None:
    first = shops[0]
    await first.meet(roubles=300)
    offers = [await first.offer() for _ in range(32)]

    outcomes = await asyncio.gather(
        *(
            shops[number % len(shops)].kiebot.confirm(BUYER, offer)
            for number, offer in enumerate(offers)
        ),
        return_exceptions=True,
    )

    assert Counter(type(outcome).__name__ for outcome in outcomes) == {
        "Job": 10,
        "InsufficientFundsError": 22,
    }
    assert await first.kiebot.wallet(BUYER) == wallet(0, 30000)
    assert await first.problems() == ()

    await first.work(60)

    assert await first.kiebot.wallet(BUYER) == wallet(0, 0)
    assert await first.problems() == ()


async def test_the_limit_of_open_jobs_holds_under_a_burst(shops: list[Shop]) -> None:
    first = shops[0]
    await first.meet(roubles=3000)
    offers = [await first.offer() for _ in range(16)]
    few = [
        Shop(
            storage=shop.storage,
            kie=shop.kie,
            clock=shop.clock,
            terms=evolve(TERMS, user_jobs_max=3),
            prefix=f"few{number}x",
        )
        for number, shop in enumerate(shops)
    ]

    outcomes = await asyncio.gather(
        *(few[n % len(few)].kiebot.confirm(BUYER, offer) for n, offer in enumerate(offers)),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, TooManyJobsError) for outcome in outcomes) == 13
    assert len(await first.kiebot.open_jobs(BUYER)) == 3


async def test_one_offer_pressed_everywhere_at_once_is_paid_once(shops: list[Shop]) -> None:
    """A double tap on a slow phone must not cost twice."""
    first = shops[0]
    await first.meet(roubles=300)
    offer = await first.offer()

    confirmed = await asyncio.gather(
        *(shops[number % len(shops)].kiebot.confirm(BUYER, offer) for number in range(16))
    )

    assert {job.status for job in confirmed} == {JobStatus.QUEUED}
    assert await first.kiebot.wallet(BUYER) == wallet(27000, 3000)


async def test_a_late_copy_of_a_refused_confirmation_never_passes(shops: list[Shop]) -> None:
    """What lacked money yesterday must not be paid by yesterday's press today."""
    first, second = shops[:2]
    await first.meet(roubles=20)
    refused = await first.offer()
    with pytest.raises(InsufficientFundsError) as caught:
        await first.kiebot.confirm(BUYER, refused)
    await first.kiebot.grant(BUYER, Money(10000), by="tests", why="a test")

    for shop in (first, second):
        with pytest.raises(RefusedByStatusError):
            await shop.kiebot.confirm(BUYER, refused)

    again = await first.job(JobId(caught.value.draft_id or ""))
    assert again.is_offer
    assert again.params == (await first.job(refused)).params
    assert (await first.kiebot.confirm(BUYER, again.id)).status is JobStatus.QUEUED
    assert await first.kiebot.wallet(BUYER) == wallet(9000, 3000)


async def test_a_ref_is_one_amount_of_one_person(shops: list[Shop]) -> None:
    first = shops[0]
    await first.meet(BUYER, OTHER)
    acts = [
        (BUYER, Money(500)),
        (BUYER, Money(700)),
        (OTHER, Money(500)),
    ]

    outcomes = await asyncio.gather(
        *(
            shops[number % len(shops)].kiebot.grant(who, amount, by="t", why="t", ref="gift")
            for number, (who, amount) in enumerate(acts)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, DuplicateRefError) for outcome in outcomes) == 2
    entries = [*await first.kiebot.ledger(BUYER, 9), *await first.kiebot.ledger(OTHER, 9)]
    assert [entry.ref for entry in entries] == ["gift"]
    assert await first.problems() == ()


async def test_many_people_at_once_do_not_stand_in_each_others_way(shops: list[Shop]) -> None:
    """Presses, work and the operator's acts, all at once: no deadlock, nothing lost."""
    first = shops[0]
    people = [UserId(-number) for number in range(1, 9)]
    await first.meet(*people, roubles=300)

    async def live(shop: Shop, who: UserId) -> None:
        offer = await shop.offer(who)
        await shop.kiebot.confirm(who, offer)
        await shop.kiebot.grant(who, Money(100), by="t", why="t")
        await shop.kiebot.confirm(who, await shop.offer(who))

    async def work() -> None:
        for _ in range(20):
            first.clock.advance(5)
            await first.worker.step()

    await asyncio.gather(
        work(), *(live(shops[number % len(shops)], who) for number, who in enumerate(people * 2))
    )
    await first.work(60)

    for who in people:
        assert await first.kiebot.wallet(who) == wallet(30000 + 200 - 4 * 3000, 0, who)
    assert await first.problems() == ()


async def test_an_offer_that_the_catalog_no_longer_allows_is_not_paid(shops: list[Shop]) -> None:
    """The owner may replace the catalog between the confirmation and the press."""
    first = shops[0]
    await first.meet(roubles=100)
    offer = await first.offer(prompt="рыжий кот на луне")
    model = CATALOG.model(PICTURE)
    prompt, *others = model.params
    assert isinstance(prompt, TextParam)
    stricter = evolve(model, params=(evolve(prompt, max_length=5), *others))
    second = Shop(
        storage=shops[1].storage,
        kie=first.kie,
        clock=first.clock,
        catalog=evolve(CATALOG, models=(stricter,)),
        prefix="stricter",
    )

    with pytest.raises(PriceChangedError) as caught:
        await second.kiebot.confirm(BUYER, offer)

    assert await first.kiebot.wallet(BUYER) == wallet(10000)
    instead = await second.job(JobId(caught.value.draft_id or ""))
    assert not instead.is_offer
    assert instead.params["prompt"] == "рыжий кот на луне"
