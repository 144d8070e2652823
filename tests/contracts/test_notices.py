"""What every storage keeps of messages that go on telling something."""

from datetime import UTC, datetime, timedelta

import pytest

from kiebot.core.errors import StorageError
from kiebot.core.notices import About, Notice
from kiebot.core.topups import TopUpId
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.storage import Storage

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANNA, BORIS = UserId(7), UserId(8)
JOB, OTHER_JOB = JobId("j1"), JobId("j2")
REQUEST = TopUpId("j1")
"""A request may have the id of a job: they are not the same."""


def of_job(user_id: UserId, message_id: int, job_id: JobId = JOB) -> Notice:
    return Notice(user_id=user_id, message_id=message_id, about=About.JOB, ref=job_id)


def of_request(user_id: UserId, message_id: int) -> Notice:
    return Notice(
        user_id=user_id, message_id=message_id, about=About.TOPUP, ref=REQUEST, has_file=True
    )


async def save(storage: Storage, *notices: Notice, at: datetime = NOON) -> None:
    for number, notice in enumerate(notices):
        async with storage.begin() as uow:
            await uow.notices.save(notice, at + timedelta(seconds=number))


async def of(storage: Storage, user_id: UserId) -> list[Notice]:
    async with storage.read() as uow:
        return list(await uow.notices.of_person(user_id))


async def test_notices_are_found_by_person_and_by_what_they_tell(storage: Storage) -> None:
    await save(storage, of_job(ANNA, 10), of_request(ANNA, 11), of_request(BORIS, 10))

    assert await of(storage, ANNA) == [of_job(ANNA, 10), of_request(ANNA, 11)]
    assert await of(storage, BORIS) == [of_request(BORIS, 10)]
    async with storage.read() as uow:
        about = await uow.notices.of(About.TOPUP, REQUEST)
        assert about == [of_request(ANNA, 11), of_request(BORIS, 10)]
        assert await uow.notices.of(About.JOB, JOB) == [of_job(ANNA, 10)]
        assert await uow.notices.of(About.JOB, OTHER_JOB) == []


async def test_a_person_has_one_message_about_a_thing_and_a_message_one_thing(
    storage: Storage,
) -> None:
    await save(storage, of_job(ANNA, 10), of_job(ANNA, 12), of_job(BORIS, 10))
    assert await of(storage, ANNA) == [of_job(ANNA, 12)]

    await save(storage, of_job(ANNA, 12, OTHER_JOB))

    assert await of(storage, ANNA) == [of_job(ANNA, 12, OTHER_JOB)]
    assert await of(storage, BORIS) == [of_job(BORIS, 10)]


async def test_the_newest_come_first_and_not_all(storage: Storage) -> None:
    notices = [of_job(UserId(number), 1) for number in range(1, 5)]
    await save(storage, *notices, of_request(ANNA, 2))

    async with storage.read() as uow:
        assert await uow.notices.newest(About.JOB, 3) == notices[:0:-1]


async def test_what_is_removed_is_gone_and_nothing_else(storage: Storage) -> None:
    await save(storage, of_job(ANNA, 10), of_request(ANNA, 11), of_job(BORIS, 10))

    async with storage.begin() as uow:
        await uow.notices.remove(ANNA, [10, 99])
        await uow.notices.remove(BORIS, [])

    assert await of(storage, ANNA) == [of_request(ANNA, 11)]
    assert await of(storage, BORIS) == [of_job(BORIS, 10)]


async def test_old_ones_are_pruned(storage: Storage) -> None:
    await save(storage, *(of_job(UserId(number), 1) for number in range(1, 4)))
    await save(storage, of_job(ANNA, 2), at=NOON + timedelta(days=1))

    pruned = []
    for _ in range(3):
        async with storage.begin() as uow:
            pruned.append(await uow.notices.prune(NOON + timedelta(hours=1), 2))

    assert pruned == [2, 1, 0]
    assert await of(storage, ANNA) == [of_job(ANNA, 2)]


async def test_a_snapshot_keeps_nothing(storage: Storage) -> None:
    with pytest.raises(StorageError):
        async with storage.read() as uow:
            await uow.notices.save(of_job(ANNA, 1), NOON)
