"""What `Storage.once` does in every storage: one thing stored, and stored whole, with no lock."""

import asyncio

import pytest
from attrs import evolve, field, frozen

from kiebot.core import jobs
from kiebot.core.billing import Change, Expecting, JobStep, TopUpStep
from kiebot.core.errors import DuplicateRefError, LeadLostError, NotFoundError, StaleError
from kiebot.core.expect import Amount
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.overview import Visitor
from kiebot.core.tasks import Task, TaskId
from kiebot.core.topups import TopUpStatus
from kiebot.core.users import User
from kiebot.core.wallet import EntryKind, JobId
from kiebot.ports.storage import Lead, Storage
from tests.contracts.conftest import Storages
from tests.fakes.values import BUYER, NOON, OTHER, entry, job, topup, wallet

ANYA = User(id=BUYER, name="Аня", language=Language.RU, created_at=NOON)
QUEUED = job(JobStatus.QUEUED)
TASK = Task(id=TaskId("task-1"), job_id=QUEUED.id, created_at=NOON, updated_at=NOON)


async def once(storage: Storage, change: Change, lead: Lead | None = None) -> None:
    async with storage.once(lead) as uow:
        await uow.record(change)


async def meet(storage: Storage, *known: Job) -> None:
    """Anya, who has 100 kopecks, and jobs as they are."""
    async with storage.begin() as uow:
        await uow.users.add(ANYA)
        await uow.record(Change(jobs=tuple(JobStep(one, None) for one in known)))
        await uow.record(Change(entry=entry(EntryKind.GRANT, 100, "rich")))


async def the_job(storage: Storage) -> Job:
    async with storage.glance() as uow:
        return await uow.jobs.get(QUEUED.id)


async def test_what_is_stored_once_stands_whatever_comes_after_it(storage: Storage) -> None:
    await meet(storage)

    async def grant_and_fail() -> None:
        async with storage.once() as uow:
            await uow.record(Change(entry=entry(EntryKind.GRANT, 20)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await grant_and_fail()

    async with storage.glance() as uow:
        assert await uow.wallets.get(BUYER) == wallet(120)


async def test_of_what_is_refused_nothing_is_stored(storage: Storage) -> None:
    """The job and the question would be as new, and only the money is not."""
    await meet(storage, QUEUED)
    change = Change(
        jobs=(JobStep(jobs.wait(QUEUED, NOON, NOON), JobStatus.QUEUED, seen=QUEUED),),
        entry=entry(EntryKind.GRANT, 5, "rich"),
        tasks=(TASK,),
        expecting=Expecting(user_id=BUYER, expect=Amount()),
    )

    with pytest.raises(DuplicateRefError):
        await once(storage, change)

    async with storage.glance() as uow:
        assert await uow.wallets.get(BUYER) == wallet(100)
        assert await uow.ui_state.get(BUYER) is None
        assert await uow.tasks.of_job(QUEUED.id) == []


@pytest.mark.parametrize(
    "since",
    [
        jobs.count_submission(QUEUED, NOON, NOON),
        evolve(QUEUED, updated_at=NOON.replace(hour=13)),
        evolve(QUEUED, kie_task_id=TaskId("another")),
        jobs.start(QUEUED, TaskId("task-1"), NOON, NOON),
    ],
)
async def test_a_job_that_changed_since_it_was_seen_is_left_as_it_is(
    storage: Storage, since: Job
) -> None:
    """Two who read the same job submit it once."""
    await meet(storage, QUEUED)
    async with storage.begin() as uow:
        await uow.record(Change(jobs=(JobStep(since, JobStatus.QUEUED),)))
    counted = jobs.count_submission(QUEUED, NOON, NOON)

    with pytest.raises(StaleError):
        await once(
            storage,
            Change(jobs=(JobStep(counted, JobStatus.QUEUED, seen=QUEUED),), tasks=(TASK,)),
        )

    assert await the_job(storage) == since
    async with storage.glance() as uow:
        assert await uow.tasks.of_job(QUEUED.id) == []


async def test_a_job_that_is_as_it_was_seen_goes_on(storage: Storage) -> None:
    await meet(storage, QUEUED)
    counted = jobs.count_submission(QUEUED, NOON, NOON)
    running = jobs.start(counted, TASK.id, NOON, NOON)

    await once(storage, Change(jobs=(JobStep(counted, JobStatus.QUEUED, seen=QUEUED),)))
    step = JobStep(running, JobStatus.QUEUED, seen=counted)
    await once(storage, Change(jobs=(step,), tasks=(TASK,)))

    assert await the_job(storage) == running
    async with storage.glance() as uow:
        assert await uow.tasks.of_job(QUEUED.id) == [TASK]


@frozen
class Believer:
    """Who led once, and was not told that another does."""

    token: int
    scope: str = "serve"
    lost: asyncio.Event = field(factory=asyncio.Event)

    def holds(self) -> bool:
        return True


async def test_who_led_stores_nothing_once(storages: Storages) -> None:
    """The token is looked up in the database, whatever the process believes of itself."""
    one, other = await storages.open(), await storages.open()
    await meet(one, QUEUED)
    step = JobStep(jobs.wait(QUEUED, NOON, NOON), JobStatus.QUEUED, seen=QUEUED)
    async with one.lead("serve") as first:
        await once(one, Change(entry=entry(EntryKind.GRANT, 1, "leading")), first)

    async def speak(lead: Lead) -> None:
        async with one.once(lead) as uow:
            await uow.users.speak(BUYER, Language.EN)

    async with other.lead("serve"):
        for late in (first, Believer(first.token)):
            with pytest.raises(LeadLostError):
                await once(one, Change(jobs=(step,), entry=entry(EntryKind.GRANT, 1)), late)
            with pytest.raises(LeadLostError):
                await speak(late)

    async with other.glance() as uow:
        assert await uow.wallets.get(BUYER) == wallet(101)
        assert (await uow.users.get(BUYER)).language is Language.RU


async def test_a_topup_is_stored_once_like_anything_else(storage: Storage) -> None:
    await meet(storage)
    await once(storage, Change(topups=(TopUpStep(topup(), None),)))

    with pytest.raises(StaleError):
        await once(storage, Change(topups=(TopUpStep(topup(id="topup2"), None),)))

    async with storage.glance() as uow:
        waiting = await uow.topups.waiting_of(BUYER)
        assert waiting == topup()
        assert waiting.status is TopUpStatus.PENDING


async def test_a_visitor_is_told_of_at_once(storage: Storage) -> None:
    await meet(storage)

    async with storage.glance() as uow:
        assert await uow.users.visitor(BUYER) == Visitor(user=ANYA, wallet=wallet(100), off=())
        with pytest.raises(NotFoundError):
            await uow.users.visitor(OTHER)


async def test_open_jobs_are_counted(storage: Storage) -> None:
    running = evolve(job(JobStatus.RUNNING), id=JobId("job2"))
    over = evolve(job(JobStatus.SUCCEEDED), id=JobId("job3"))
    await meet(storage, QUEUED, running, over, evolve(job(), id=JobId("job4")))

    async with storage.glance() as uow:
        assert await uow.jobs.count_open_of(BUYER) == 2
        assert await uow.jobs.count_open_of(OTHER) == 0
