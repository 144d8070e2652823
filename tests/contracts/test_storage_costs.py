"""What every storage says of sales and of what KIE took for them: `costs` and `billed`."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from attrs import define, field

from kiebot.core.billing import Change, JobStep
from kiebot.core.events import LowCredits
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.margins import Billed, ModelSums
from kiebot.core.money import Money
from kiebot.core.params import JsonValue
from kiebot.core.tasks import Outcome, Task, TaskId
from kiebot.core.users import User
from kiebot.core.wallet import EntryKind, JobId
from kiebot.ports.storage import Storage
from tests.fakes.clock import FakeClock
from tests.fakes.values import ADMIN, BUYER, NOON, entry, job

MODEL = "flux-2/pro-text-to-image"
OTHER_MODEL = "a/model-that-left"
MANY = 1000

ENDS = {
    JobStatus.SUCCEEDED: (EntryKind.CHARGE,),
    JobStatus.FAILED: (EntryKind.RELEASE,),
    JobStatus.REFUNDED: (EntryKind.CHARGE, EntryKind.REFUND),
}
"""The entries that follow the hold."""


@define
class Books:
    """A database in which jobs are sold as the test says it."""

    storage: Storage
    numbers: Iterator[int] = field(factory=lambda: count(1))

    async def sell(
        self,
        status: JobStatus = JobStatus.SUCCEEDED,
        *took: str | Outcome | None,
        price: int = 3000,
        **fields: Any,
    ) -> JobId:
        """
        A job of this status with its entries, and a task for each of `took`: its credits, or how
        it ended where KIE did not say what it took; None: it runs.
        """
        job_id = JobId(f"job{next(self.numbers)}")
        sold = job(status, id=job_id, price=Money(price), **fields)
        await self.record(Change(jobs=(JobStep(sold, None),)))
        is_confirmed = sold.confirmed_at is not None
        for kind in (EntryKind.HOLD, *ENDS.get(status, ())) if is_confirmed and price else ():
            await self.record(
                Change(entry=entry(kind, price, f"{kind}:{job_id}", job_id=job_id, at=NOON))
            )
        for number, what in enumerate(took):
            await self.record(Change(tasks=(task(job_id, number, what),)))
        return job_id

    async def record(self, change: Change) -> None:
        async with self.storage.begin() as uow:
            await uow.record(change)

    async def costs(self, since: datetime | None = None) -> Sequence[ModelSums]:
        async with self.storage.read() as uow:
            found = await uow.jobs.costs(since)
        return sorted(found, key=lambda sums: sums.model_id)

    async def billed(
        self, since: datetime | None = None, alike: int = MANY, worst: int = MANY
    ) -> Sequence[Billed]:
        async with self.storage.read() as uow:
            found = await uow.jobs.billed(since, alike, worst)
        return sorted(found, key=lambda one: one.job_id)


def task(job_id: JobId, number: int, what: str | Outcome | None) -> Task:
    is_told = isinstance(what, str) and not isinstance(what, Outcome)
    return Task(
        id=TaskId(f"{job_id}-{number}"),
        job_id=job_id,
        outcome=Outcome.SUCCEEDED if is_told else Outcome(what) if what else None,
        credits=Decimal(what) if is_told and what else None,
        created_at=NOON,
        updated_at=NOON,
    )


@pytest.fixture
async def books(storage: Storage) -> Books:
    made = Books(storage)
    async with storage.begin() as uow:
        await uow.users.add(User(id=BUYER, name="", language=Language.RU, created_at=NOON))
    await made.record(Change(entry=entry(EntryKind.GRANT, 10_000_000, "rich")))
    return made


async def test_where_nothing_was_sold_there_is_nothing(books: Books) -> None:
    assert (await books.costs(), await books.billed()) == ([], [])


async def test_every_confirmed_job_counts(books: Books) -> None:
    """A grant is no income, a hold not yet, and a refund takes back what was."""
    for status in JobStatus:
        await books.sell(status)
    await books.sell(JobStatus.SUCCEEDED, price=500)
    await books.sell(JobStatus.SUCCEEDED, model_id=OTHER_MODEL)

    assert await books.costs() == [
        ModelSums(model_id=OTHER_MODEL, jobs=1, income=Money(3000)),
        ModelSums(model_id=MODEL, jobs=6, failed=1, refunded=1, income=Money(3500)),
    ]


async def test_all_tasks_of_a_job_cost(books: Books) -> None:
    """Two tasks of a lost answer were both billed, and the fractions add up exactly."""
    await books.sell(JobStatus.SUCCEEDED, "0.4", "0.1")
    await books.sell(JobStatus.FAILED, "0.96")
    await books.sell(JobStatus.RUNNING, None)
    for _ in range(10):
        await books.sell(JobStatus.SUCCEEDED, "0.1")

    (sums,) = await books.costs()

    assert (sums.credits, sums.untold) == (Decimal("2.46"), 0)
    assert sums.income == Money(11 * 3000)


async def test_what_kie_did_not_say_is_counted(books: Books) -> None:
    """A failure without credits took none; the others took nobody knows what."""
    await books.sell(JobStatus.SUCCEEDED, Outcome.SUCCEEDED)
    await books.sell(JobStatus.FAILED, Outcome.FAILED, Outcome.LOST)
    await books.sell(JobStatus.RUNNING, None)
    await books.sell(JobStatus.SUCCEEDED, "0")

    (sums,) = await books.costs()

    assert (sums.credits, sums.untold) == (Decimal(0), 2)


async def test_costs_are_those_of_jobs_confirmed_since_then(books: Books) -> None:
    later = NOON + timedelta(hours=1)
    await books.sell(JobStatus.SUCCEEDED, "1")
    latest = await books.sell(JobStatus.SUCCEEDED, "2", confirmed_at=later)

    (sums,) = await books.costs(later)
    (billed,) = await books.billed(later)

    assert (sums.jobs, sums.income, sums.credits) == (1, Money(3000), Decimal(2))
    assert billed.job_id == latest
    assert await books.costs(later + timedelta(microseconds=1)) == []
    assert await books.billed(later + timedelta(microseconds=1)) == []


async def test_a_billed_job_comes_with_its_answers_and_its_dearest_task(books: Books) -> None:
    params: dict[str, JsonValue] = {"prompt": "кот", "n": 2}
    measures = {"file:///a.mp3": Decimal("12.5")}
    job_id = await books.sell(
        JobStatus.REFUNDED, "5", "7.25", Outcome.LOST, params=params, measures=measures
    )
    await books.sell(JobStatus.SUCCEEDED, Outcome.SUCCEEDED)
    await books.sell(JobStatus.FAILED, "0")

    assert await books.billed() == [
        Billed(
            job_id=job_id,
            model_id=MODEL,
            params=params,
            measures=measures,
            price=Money(3000),
            credits=Decimal("7.25"),
        )
    ]


async def test_of_jobs_alike_the_latest_are_enough(books: Books) -> None:
    """However many there are: they cost the same and took the same."""
    for minutes in (3, 1, 2):
        at = NOON + timedelta(minutes=minutes)
        await books.sell(JobStatus.SUCCEEDED, "5", confirmed_at=at)
    other_price = await books.sell(JobStatus.SUCCEEDED, "5", price=2000)
    other_credits = await books.sell(JobStatus.SUCCEEDED, "7")
    other_model = await books.sell(JobStatus.SUCCEEDED, "5", model_id=OTHER_MODEL)

    found = [one.job_id for one in await books.billed(alike=2)]

    assert found == ["job1", "job3", other_price, other_credits, other_model]


async def test_of_each_model_the_worst_are_kept(books: Books) -> None:
    """The worst are those that took the most for their price, also where they were free."""
    await books.sell(JobStatus.SUCCEEDED, "10", price=3000)
    dear = await books.sell(JobStatus.SUCCEEDED, "9", price=1000)
    free = await books.sell(JobStatus.SUCCEEDED, "1", price=0)
    other = await books.sell(JobStatus.SUCCEEDED, "1", model_id=OTHER_MODEL)

    assert [one.job_id for one in await books.billed(worst=2)] == [dear, free, other]


async def test_low_credits_are_an_alert_of_their_own(storage: Storage, clock: FakeClock) -> None:
    low = LowCredits(user_id=ADMIN, credits=Decimal("12.5"), enough=Decimal(500))
    at = clock()
    async with storage.begin() as uow:
        await uow.record(Change(events=(low,)))
    clock.advance(60)

    async with storage.read() as uow:
        assert await uow.outbox.last_alert(LowCredits.cause) == at
        assert await uow.outbox.last_alert("kie:402") is None
        (untold,) = await uow.outbox.untold_of(ADMIN, 10)
    assert untold.event == low
