"""
Limits: what the far side counts is never more than the account allows, whatever happens on the way.

The calls here go to a far side in this process that notes when each arrives; nothing is said of how
long anything takes, only of what was noted.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import pytest
from attrs import define, field, frozen

from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.errors import StorageError, StorageUnavailableError
from kiebot.core.terms import Terms
from kiebot.limits import CREATES, QUERIES, SLACK, Account, Limit
from kiebot.ports.storage import Lead, Storage, UnitOfWork
from kiebot.ports.system import Clock
from tests.fakes.clock import FakeClock

WINDOW = timedelta(milliseconds=250)
HOUR = timedelta(hours=1)
PATIENCE_S = 60

real_clock: Clock = partial(datetime.now, UTC)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def several(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Storage]]:
    """Two processes' ways into one database."""
    opened: list[Storage] = []
    match request.param:
        case "memory":
            opened = [MemoryStorage()] * 2
        case "sqlite":
            opened = [await SqliteStorage.open(tmp_path / "a.db") for _ in range(2)]
        case _:
            dsn = request.getfixturevalue("postgres_dsn")
            opened = [await PostgresStorage.open(dsn, pool_max=4) for _ in range(2)]
    await opened[0].migrate()
    yield opened
    for storage in opened:
        await storage.close()


def limit(
    storage: Storage,
    slots: int,
    *,
    window: timedelta = WINDOW,
    clock: Clock = real_clock,
    call_timeout: timedelta = HOUR,
) -> Limit:
    return Limit("x", slots, window, storage, clock, call_timeout)


async def free_at(storage: Storage, slots: int = 1) -> datetime | None:
    async with storage.read() as uow:
        return await uow.limits.free_at("x", slots)


@define
class FarSide:
    """Somebody who counts calls as they arrive, after a while on the road, and answers later."""

    chance: Random
    arrivals: list[float] = field(factory=list)

    async def call(self) -> None:
        await asyncio.sleep(self.chance.choice((0, 0, 0.02, 0.15)))
        self.arrivals.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.chance.choice((0, 0.01, 0.1)))

    def most_in_a(self, window: timedelta) -> int:
        """The most calls that arrived in any while of that length."""
        at = sorted(self.arrivals)
        return max(
            sum(start <= arrival < start + window.total_seconds() for arrival in at) for start in at
        )


@frozen
class Watched:
    """A database that says how many transactions it has done; after so many it fails."""

    inner: Storage
    good: int = 1000
    done: list[None] = field(factory=list)
    more: asyncio.Condition = field(factory=asyncio.Condition)

    @asynccontextmanager
    async def begin(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        if len(self.done) >= self.good:
            raise StorageUnavailableError("the disk is full")
        async with self.inner.begin(lead) as uow:
            yield uow
        async with self.more:
            self.done.append(None)
            self.more.notify_all()

    async def has_done(self, count: int) -> None:
        """Wait until it has done so many."""
        async with self.more:
            await self.more.wait_for(lambda: len(self.done) >= count)

    @asynccontextmanager
    async def once(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        if len(self.done) >= self.good:
            raise StorageUnavailableError("the disk is full")
        async with self.inner.once(lead) as uow:
            yield uow
        async with self.more:
            self.done.append(None)
            self.more.notify_all()

    def read(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self.inner.read()

    def glance(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self.inner.glance()

    def lead(self, scope: str) -> AbstractAsyncContextManager[Lead]:
        return self.inner.lead(scope)

    async def migrate(self) -> Sequence[str]:
        return await self.inner.migrate()

    async def missing_migrations(self) -> Sequence[str]:
        return await self.inner.missing_migrations()

    async def claim(self, facts: Iterable[tuple[str, str]]) -> None:
        await self.inner.claim(facts)

    async def claimed(self) -> Mapping[str, str]:
        return await self.inner.claimed()

    async def ping(self) -> None:
        await self.inner.ping()

    async def close(self) -> None:
        await self.inner.close()


@pytest.mark.parametrize("slots", [1, 4])
async def test_the_far_side_never_counts_more_than_is_allowed(
    several: list[Storage], slots: int
) -> None:
    limits = [limit(storage, slots) for storage in several]
    far_side = FarSide(Random(slots))

    async def call(number: int) -> None:
        async with limits[number % 2].turn():
            await far_side.call()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(call(number) for number in range(5 * slots + 1)))

    assert len(far_side.arrivals) == 5 * slots + 1
    assert far_side.most_in_a(WINDOW) <= slots


async def test_who_asks_first_is_served_first(several: list[Storage]) -> None:
    one = limit(several[0], 2, window=timedelta(milliseconds=10))
    served: list[int] = []

    async def call(number: int) -> None:
        async with one.turn():
            served.append(number)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(call(number) for number in range(12)))

    assert served == list(range(12))


async def test_a_turn_is_waited_for_no_longer_than_the_call_before_it_lasts(
    several: list[Storage],
) -> None:
    """The slot says "an hour" while a call is under way; its answer may come much sooner."""
    mine, theirs = (Watched(storage) for storage in several)
    one, other = limit(mine, 1, call_timeout=HOUR), limit(theirs, 1, call_timeout=HOUR)

    async with asyncio.timeout(PATIENCE_S):
        async with one.turn():
            waiting = [asyncio.create_task(_enter(turns)) for turns in (one, other)]
            await mine.has_done(2)
            await theirs.has_done(1)
        await asyncio.gather(*waiting)


async def test_a_slot_rests_for_one_window_after_the_answer(
    several: list[Storage], clock: FakeClock
) -> None:
    async with limit(several[0], 1, clock=clock).turn():
        assert await free_at(several[1]) == clock() + HOUR + WINDOW + SLACK
        clock.advance(7)

    assert await free_at(several[1]) == clock() + WINDOW + SLACK


async def test_who_dies_in_a_call_leaves_the_slot_taken_until_the_call_must_be_over(
    several: list[Storage], clock: FakeClock
) -> None:
    died = limit(several[0], 1, clock=clock, call_timeout=timedelta(seconds=30))
    turn = died.turn()
    await turn.__aenter__()
    until = clock() + timedelta(seconds=30) + WINDOW + SLACK

    assert await free_at(several[1]) == until
    clock.now = until
    async with limit(several[1], 1, clock=clock).turn():
        assert await free_at(several[0]) == until + HOUR + WINDOW + SLACK

    # Who was only thought dead does not end the turn of who came after it.
    await turn.__aexit__(None, None, None)
    assert await free_at(several[0]) == until + WINDOW + SLACK


@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError])
async def test_a_call_that_fails_gives_its_slot_back(
    several: list[Storage], clock: FakeClock, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        async with limit(several[0], 1, clock=clock).turn():
            raise error

    assert await free_at(several[0]) == clock() + WINDOW + SLACK


async def test_a_cancelled_call_gives_its_slot_back(
    several: list[Storage], clock: FakeClock
) -> None:
    called = asyncio.Event()

    async def call() -> None:
        async with limit(several[0], 1, clock=clock).turn():
            called.set()
            await asyncio.Event().wait()

    calling = asyncio.create_task(call())
    await called.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    assert await free_at(several[0]) == clock() + WINDOW + SLACK


async def test_who_gives_up_waiting_takes_nothing(several: list[Storage], clock: FakeClock) -> None:
    """At whatever moment: also while the database hands it a slot."""
    one = limit(several[0], 1, clock=clock)
    for moment in range(60):
        waiting = asyncio.create_task(_enter(one))
        for _ in range(moment):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

        found = await free_at(several[0])

        assert found is None or found <= clock() + WINDOW + SLACK
        clock.advance(1)

    async with asyncio.timeout(PATIENCE_S), one.turn():
        pass


async def _enter(one: Limit) -> None:
    async with one.turn():
        await asyncio.sleep(0)


async def test_a_waiter_that_gives_up_holds_up_nobody(several: list[Storage]) -> None:
    storage = Watched(several[0])
    one = limit(storage, 1, window=timedelta(milliseconds=10))

    async with asyncio.timeout(PATIENCE_S):
        async with one.turn():
            first, second, third = (asyncio.create_task(_enter(one)) for _ in range(3))
            await storage.has_done(2)
            first.cancel()
            second.cancel()
        await third

    assert (first.cancelled(), second.cancelled()) == (True, True)


async def test_what_a_call_brought_survives_a_database_that_fails_after_it(
    several: list[Storage], caplog: pytest.LogCaptureFixture
) -> None:
    one = limit(Watched(several[0], good=1), 1)

    async with one.turn():
        brought = "a task"

    assert brought == "a task"
    assert "a turn was not given back" in caplog.text


async def test_a_database_that_fails_before_a_call_lets_nobody_call(
    several: list[Storage],
) -> None:
    with pytest.raises(StorageError):
        await _enter(limit(Watched(several[0], good=0), 1))


async def test_an_operator_who_lowers_the_limit_is_obeyed_at_once(several: list[Storage]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(_enter(limit(several[0], 5)) for _ in range(5)))
        far_side = FarSide(Random(0))
        lower = [limit(storage, 2) for storage in several]

        async def call(number: int) -> None:
            async with lower[number % 2].turn():
                await far_side.call()

        await asyncio.gather(*(call(number) for number in range(7)))

    assert far_side.most_in_a(WINDOW) <= 2


async def test_an_account_has_the_limits_that_were_set(clock: FakeClock) -> None:
    """And one that has none, as with the stub, waits for nothing and writes nothing."""
    storage = MemoryStorage(clock=clock)
    both = Account.of(storage, clock, Terms(creates_per_10s=20, queries_per_s=10))
    none = Account.of(storage, clock, Terms())

    assert [(one.name, one.slots, one.window) for one in _limits(both)] == [
        ("creates", 20, CREATES),
        ("queries", 10, QUERIES),
    ]
    assert _limits(none) == []
    for _ in range(100):
        async with none.creating(), none.asking():
            pass
    async with both.creating(), both.asking(), storage.read() as uow:
        assert await uow.limits.free_at("creates", 20) is not None
        assert await uow.limits.free_at("queries", 10) is not None


def _limits(account: Account) -> Sequence[Limit]:
    return [one for one in (account.creates, account.queries) if one is not None]
