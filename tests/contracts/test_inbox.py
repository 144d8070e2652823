"""What every storage does with updates that were received: `Inbox` in `kiebot.ports.storage`."""

import asyncio
from datetime import timedelta

from kiebot.core.billing import Change, Expecting, JobStep, TopUpStep
from kiebot.core.events import Event, JobFailed, OperatorAlert
from kiebot.core.expect import Amount
from kiebot.core.figures import Figures
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.money import Money
from kiebot.core.tasks import FailReason
from kiebot.core.topups import TopUpStatus
from kiebot.core.updates import Update
from kiebot.core.users import User, UserId
from kiebot.core.wallet import JobId
from kiebot.ports.storage import Storage
from tests.contracts.conftest import Storages
from tests.fakes.values import NOON, job, topup

ANNA = UserId(101)
BORIS = UserId(102)
SOON = NOON + timedelta(seconds=15)
LATER = NOON + timedelta(seconds=30)


async def store(storage: Storage, *updates: tuple[int, UserId]) -> None:
    async with storage.begin() as uow:
        for update_id, user_id in updates:
            await uow.inbox.store(update_id, user_id, f'{{"n": {update_id}}}', NOON)


async def take(storage: Storage, taker: str = "a", limit: int = 10, at: int = 0) -> list[int]:
    """The ids of what is taken, so many seconds after noon, for 15 seconds."""
    moment = NOON + timedelta(seconds=at)
    async with storage.begin() as uow:
        taken = await uow.inbox.take(taker, limit, moment, moment + timedelta(seconds=15))
    return [update.id for update in taken]


async def finish(storage: Storage, update_id: int, user_id: UserId, taker: str = "a") -> None:
    async with storage.begin() as uow:
        await uow.inbox.answered(update_id, NOON)
        await uow.inbox.give_back(taker, user_id, NOON)


async def test_an_update_is_stored_once(storage: Storage) -> None:
    async with storage.begin() as uow:
        assert await uow.inbox.store(12, ANNA, '{"b": 1}', NOON)
        assert await uow.inbox.store(11, BORIS, "{}", NOON)
        assert not await uow.inbox.store(12, ANNA, "again", NOON)
        assert await uow.inbox.knows(12)
        assert not await uow.inbox.knows(13)

    async with storage.read() as uow:
        assert await uow.inbox.waiting(10) == [
            Update(id=11, user_id=BORIS, body="{}"),
            Update(id=12, user_id=ANNA, body='{"b": 1}'),
        ]
        assert [update.id for update in await uow.inbox.waiting(1)] == [11]


async def test_an_update_waits_until_it_is_answered(storage: Storage) -> None:
    """What was done and not replied to is not over yet."""
    await store(storage, (1, ANNA), (2, ANNA))

    async with storage.begin() as uow:
        await uow.record(Change(update_id=1))
    async with storage.read() as uow:
        done, _ = await uow.inbox.waiting(10)
        assert await uow.inbox.waiting_of(ANNA) == 2
    async with storage.begin() as uow:
        await uow.inbox.answered(1, NOON)
        await uow.inbox.answered(1, LATER)
        await uow.inbox.answered(9, NOON)

    assert done == Update(id=1, user_id=ANNA, body='{"n": 1}', is_done=True)
    async with storage.begin() as uow:
        assert [update.id for update in await uow.inbox.waiting(10)] == [2]
        assert await uow.inbox.waiting_of(ANNA) == 1
        assert not await uow.inbox.store(1, ANNA, "{}", NOON)


async def test_the_oldest_update_of_each_person_is_taken(storage: Storage) -> None:
    await store(storage, (4, BORIS), (3, ANNA), (1, ANNA), (2, BORIS))

    assert await take(storage) == [1, 2]
    assert await take(storage, "b") == []


async def test_those_who_wait_longest_are_taken_first(storage: Storage) -> None:
    await store(storage, (1, BORIS), (2, ANNA))

    assert await take(storage, limit=1) == [1]
    assert await take(storage, limit=1) == [2]


async def test_a_person_is_taken_again_when_they_were_given_back(storage: Storage) -> None:
    await store(storage, (1, ANNA), (2, ANNA))

    assert await take(storage) == [1]
    await finish(storage, 1, ANNA)

    assert await take(storage, "b") == [2]
    await finish(storage, 2, ANNA, "b")
    assert await take(storage) == []


async def test_an_older_update_that_comes_late_does_not_overtake(storage: Storage) -> None:
    """Two of one person are never handled at once."""
    await store(storage, (5, ANNA))
    assert await take(storage) == [5]

    await store(storage, (4, ANNA))

    assert await take(storage, "b") == []
    await finish(storage, 5, ANNA)
    assert await take(storage, "b") == [4]


async def test_whom_a_silent_process_has_is_taken_over_in_time(storage: Storage) -> None:
    await store(storage, (1, ANNA))

    assert await take(storage, "a") == [1]
    assert await take(storage, "b", at=14) == []
    assert await take(storage, "b", at=15) == [1]

    # Too late: it is another's by now.
    async with storage.begin() as uow:
        assert await uow.inbox.renew("a", [ANNA], LATER) == set()
        await uow.inbox.give_back("a", ANNA, NOON)
    assert await take(storage, "c", at=16) == []


async def test_who_says_so_in_time_keeps_a_person(storage: Storage) -> None:
    await store(storage, (1, ANNA), (2, BORIS))
    await take(storage, "a")

    async with storage.begin() as uow:
        assert await uow.inbox.renew("a", [ANNA, BORIS], LATER) == {ANNA, BORIS}
        assert await uow.inbox.renew("a", [], LATER) == set()

    assert await take(storage, "b", at=15) == []
    assert await take(storage, "b", at=30) == [1, 2]


async def test_what_failed_is_counted_and_left_alone_for_a_while(storage: Storage) -> None:
    await store(storage, (1, ANNA))
    await take(storage)

    async with storage.begin() as uow:
        await uow.inbox.failed(1)
        await uow.inbox.give_back("a", ANNA, SOON)

    assert await take(storage, at=14) == []
    async with storage.begin() as uow:
        (update,) = await uow.inbox.take("a", 1, SOON, LATER)
    assert update.tries == 1


async def test_whoever_is_alone_frees_everybody(storage: Storage) -> None:
    await store(storage, (1, ANNA), (2, BORIS))
    await take(storage, "dead")

    async with storage.begin() as uow:
        await uow.inbox.free()

    assert await take(storage) == [1, 2]


async def test_processes_share_the_people_out(storages: Storages) -> None:
    """However many take at once: each person is one process's, and nobody is left over."""
    one = await storages.open()
    people = range(1, 61)
    await store(one, *((number, UserId(number)) for number in people))
    processes = [one, *[await storages.open() for _ in range(3)]]

    async def taken_by(name: str, storage: Storage) -> list[int]:
        mine: list[int] = []
        while some := await take(storage, name, limit=4):
            mine += some
        return mine

    shares = await asyncio.gather(
        *(taken_by(str(number), storage) for number, storage in enumerate(processes))
    )

    assert sorted(number for share in shares for number in share) == list(people)


async def test_what_was_answered_is_removed_in_time(storage: Storage) -> None:
    await store(storage, *((number, ANNA) for number in range(1, 6)))
    async with storage.begin() as uow:
        for number in (1, 2, 3):
            await uow.inbox.answered(number, NOON)
        await uow.inbox.answered(4, SOON)

    async with storage.begin() as uow:
        assert await uow.inbox.prune(SOON, 2) == 2
        assert await uow.inbox.prune(SOON, 2) == 1
        assert await uow.inbox.prune(SOON, 2) == 0
        assert [update.id for update in await uow.inbox.waiting(10)] == [5]
        assert await uow.inbox.knows(4)


def alert(number: int, user_id: UserId = ANNA) -> OperatorAlert:
    return OperatorAlert(user_id=user_id, code=number, detail="")


def failed(number: int, user_id: UserId) -> JobFailed:
    return JobFailed(
        user_id=user_id,
        job_id=JobId(f"job{number}"),
        model_id="flux",
        title="FLUX",
        price=Money(3000),
        reason=FailReason.MODEL_FAILED,
    )


async def test_what_was_told_is_removed_but_for_the_latest(storage: Storage) -> None:
    """Who reads on from a number, or asks when it was told last, finds what they need."""
    events: list[Event] = [
        failed(1, ANNA),
        failed(2, ANNA),
        alert(7, BORIS),
        failed(3, BORIS),
        failed(4, BORIS),
    ]
    async with storage.begin() as uow:
        await uow.record(Change(events=tuple(events)))
    async with storage.begin() as uow:
        untold = await uow.outbox.untold(10, local=False)
        for event in untold[:4]:
            await uow.outbox.told(event.id, NOON)

    async with storage.begin() as uow:
        assert await uow.outbox.prune(SOON, 10) == 2
        assert await uow.outbox.prune(SOON, 10) == 0

    async with storage.read() as uow:
        assert await uow.outbox.last_of(ANNA) == untold[1].id
        assert await uow.outbox.untold(10, local=False) == untold[4:]
        assert await uow.outbox.last_alert(alert(7).cause) is not None
        kept = await uow.outbox.untold_of(BORIS, 10, since=0)
    assert [one.event for one in kept] == [events[2], events[4]]


async def test_figures_say_how_much_there_is(storage: Storage) -> None:
    async with storage.read() as uow:
        assert await uow.figures() == Figures()
    async with storage.begin() as uow:
        await uow.users.add(User(id=ANNA, name="Anna", language=Language.EN, created_at=NOON))
        await uow.inbox.store(1, ANNA, "{}", LATER)
        await uow.inbox.store(2, ANNA, "{}", SOON)
        await uow.record(
            Change(
                jobs=tuple(
                    JobStep(job(status, id=JobId(f"job-{status}"), user_id=ANNA), None)
                    for status in (JobStatus.DRAFT, JobStatus.QUEUED, JobStatus.FAILED)
                ),
                events=(failed(1, ANNA), failed(2, UserId(-1))),
                expecting=Expecting(user_id=ANNA, expect=Amount()),
            )
        )
        waiting = topup(user_id=ANNA, status=TopUpStatus.PENDING)
        await uow.record(Change(topups=(TopUpStep(waiting, None),)))

    async with storage.read() as uow:
        figures = await uow.figures()

    assert dict(figures.jobs) == {
        JobStatus.DRAFT: 1,
        JobStatus.QUEUED: 1,
        JobStatus.FAILED: 1,
    }
    assert (figures.oldest_open, figures.held) == (NOON, Money(3000))
    assert (figures.untold, figures.topups_waiting) == (1, 0)
    assert (figures.updates_waiting, figures.oldest_update) == (2, SOON)
