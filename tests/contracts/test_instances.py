"""What every storage knows of the instances that send side by side."""

from datetime import UTC, datetime, timedelta

from kiebot.ports.storage import Storage

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


async def note(storage: Storage, name: str, after_s: int) -> int:
    at = NOON + after_s * SECOND
    async with storage.begin() as uow:
        return await uow.instances.note(name, at, at - 15 * SECOND)


async def test_instances_count_each_other(storage: Storage) -> None:
    assert await note(storage, "a", 0) == 1
    assert await note(storage, "b", 5) == 2
    assert await note(storage, "a", 10) == 2


async def test_who_is_silent_is_forgotten_and_may_come_back(storage: Storage) -> None:
    await note(storage, "a", 0)

    assert await note(storage, "b", 15) == 2
    assert await note(storage, "b", 16) == 1
    assert await note(storage, "a", 17) == 2


async def test_who_leaves_is_not_counted(storage: Storage) -> None:
    await note(storage, "a", 0)
    async with storage.begin() as uow:
        await uow.instances.leave("a")
        await uow.instances.leave("nobody")

    assert await note(storage, "b", 1) == 1
