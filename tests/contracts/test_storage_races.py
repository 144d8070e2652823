"""
What every database does when many come at once, through several connections of several storages.

One after the other, each of these is an easy test that proves nothing: money was lost in form after
form of SQL that passed them.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from attrs import evolve

from kiebot.core import holds, topups
from kiebot.core.audit import Problem, judge
from kiebot.core.billing import Change, JobStep, TopUpStep
from kiebot.core.errors import DuplicateRefError, KiebotError
from kiebot.core.events import OperatorAlert
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.money import Money
from kiebot.core.topups import TopUpId, TopUpStatus
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind, JobId, Wallet
from kiebot.ports.storage import Storage
from tests.contracts.conftest import Storages
from tests.fakes.values import BUYER, FAILURE, NOON, OTHER, RESULT, entry, job, topup, wallet

AT_ONCE = 8
ROUNDS = 300
PRICE = 10

pytestmark = pytest.mark.parametrize("storages", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
async def several(storages: Storages) -> Sequence[Storage]:
    """Two processes' ways into one database; each has several connections where there are any."""
    return [await storages.open() for _ in range(2)]


async def meet(storage: Storage, *people: UserId, kopecks: int) -> None:
    for user_id in people:
        async with storage.begin() as uow:
            await uow.users.add(User(id=user_id, name="", language=Language.RU, created_at=NOON))
            rich = entry(EntryKind.GRANT, kopecks, f"rich:{user_id}", user_id=user_id)
            await uow.record(Change(entry=rich))


async def record(storage: Storage, change: Change) -> None:
    async with storage.begin() as uow:
        await uow.record(change)


async def at_once(several: Sequence[Storage], changes: Sequence[Change]) -> list[str]:
    """Record all of them at once, spread over the storages; what became of each."""
    outcomes = await asyncio.gather(
        *(record(several[number % len(several)], change) for number, change in enumerate(changes)),
        return_exceptions=True,
    )
    for outcome in outcomes:
        if outcome is not None and not isinstance(outcome, KiebotError):
            raise outcome
    return ["stored" if outcome is None else type(outcome).__name__ for outcome in outcomes]


async def the_wallet(storage: Storage, user_id: UserId = BUYER) -> Wallet:
    async with storage.read() as uow:
        return await uow.wallets.get(user_id)


async def problems(storage: Storage) -> list[Problem]:
    async with storage.read() as uow:
        return [problem async for fact in uow.facts() for problem in judge(fact)]


def started(job_id: str, user_id: UserId = BUYER) -> Change:
    """A job that runs, and its hold."""
    running = job(JobStatus.RUNNING, id=JobId(job_id), user_id=user_id, price=Money(PRICE))
    return Change(
        jobs=(JobStep(running, None),),
        entry=holds.place(running.id, user_id, Money(PRICE), NOON),
    )


def ended(job_id: str, status: JobStatus, user_id: UserId = BUYER) -> Change:
    """The job ends, and its hold with it."""
    fields = {"id": JobId(job_id), "user_id": user_id, "price": Money(PRICE)}
    hold = holds.Hold(job_id=JobId(job_id), user_id=user_id, amount=Money(PRICE))
    if status is JobStatus.SUCCEEDED:
        done, settlement = job(status, result=RESULT, **fields), holds.charge(hold, NOON)
    else:
        done, settlement = job(status, failure=FAILURE, **fields), holds.release(hold, NOON)
    return Change(jobs=(JobStep(done, JobStatus.RUNNING),), entry=settlement)


async def test_a_ref_that_comes_8_times_at_once_is_applied_once(
    several: Sequence[Storage],
) -> None:
    await meet(several[0], BUYER, kopecks=ROUNDS * PRICE + 5)

    outcomes: Counter[str] = Counter()
    for number in range(ROUNDS):
        debit = Change(entry=entry(EntryKind.DEBIT, PRICE, f"debit:{number}"))
        outcomes.update(await at_once(several, [debit] * AT_ONCE))

    assert outcomes == {"stored": ROUNDS, "DuplicateRefError": ROUNDS * (AT_ONCE - 1)}
    assert await the_wallet(several[0]) == wallet(5)
    assert await problems(several[0]) == []


async def test_a_charge_and_a_release_exclude_each_other(several: Sequence[Storage]) -> None:
    """With the job's status in the way in every other round; in the rest the ref alone stands."""
    await meet(several[0], BUYER, kopecks=ROUNDS * PRICE)

    winners: Counter[JobStatus] = Counter()
    for number in range(ROUNDS):
        job_id = f"job{number}"
        await record(several[0], started(job_id))
        ends = [JobStatus.SUCCEEDED, JobStatus.FAILED] * 2
        Random(number).shuffle(ends)
        changes = [ended(job_id, end) for end in ends]
        if number % 2:
            changes = [evolve(change, jobs=()) for change in changes]
        outcomes = await at_once(several, changes)
        assert outcomes.count("stored") == 1, outcomes
        assert set(outcomes) == {"stored", "DuplicateRefError" if number % 2 else "StaleError"}
        winners[ends[outcomes.index("stored")]] += 1

    paid = winners[JobStatus.SUCCEEDED] * PRICE
    assert await the_wallet(several[0]) == wallet(ROUNDS * PRICE - paid)


async def test_32_holds_on_money_for_10_place_exactly_10(several: Sequence[Storage]) -> None:
    await meet(several[0], BUYER, kopecks=10 * PRICE + PRICE - 1)

    outcomes = await at_once(several, [started(f"job{number}") for number in range(32)])

    assert Counter(outcomes) == {"stored": 10, "InsufficientFundsError": 22}
    assert await the_wallet(several[0]) == wallet(PRICE - 1, 10 * PRICE)
    assert await problems(several[0]) == []


async def test_one_ref_for_different_movements_at_once_stands_for_one(
    several: Sequence[Storage],
) -> None:
    await meet(several[0], BUYER, OTHER, kopecks=10_000)
    rounds = 50

    for number in range(rounds):
        one = entry(EntryKind.DEBIT, PRICE, f"ref:{number}")
        movements = [one, evolve(one, amount=Money(PRICE + 1)), evolve(one, user_id=OTHER)]

        async def send(storage: Storage, number: int, movements: Sequence = movements) -> str:  # type: ignore[type-arg]
            try:
                await record(storage, Change(entry=movements[number]))
            except DuplicateRefError as error:
                return f"same={error.same}"
            return "stored"

        outcomes = await asyncio.gather(
            *(send(several[which % 2], which) for which in range(len(movements)))
        )
        assert Counter(outcomes) == {"stored": 1, "same=False": 2}

    left = [(await the_wallet(several[0], person)).available.kopecks for person in (BUYER, OTHER)]
    assert 20_000 - rounds * (PRICE + 1) <= sum(left) <= 20_000 - rounds * PRICE
    assert await problems(several[0]) == []


async def test_who_has_got_a_wallet_is_alone_with_it(several: Sequence[Storage]) -> None:
    """What is decided from a wallet that `get` returned is still true when it is stored."""
    await meet(several[0], BUYER, kopecks=1000)

    async def take_half(storage: Storage, number: int) -> None:
        async with storage.begin() as uow:
            found = await uow.wallets.get(BUYER)
            half = found.available.kopecks // 2
            await uow.record(Change(entry=entry(EntryKind.DEBIT, half, f"half:{number}")))

    await asyncio.gather(*(take_half(several[number % 2], number) for number in range(AT_ONCE)))

    assert await the_wallet(several[0]) == wallet(4)


async def test_who_has_got_a_job_is_alone_with_it(several: Sequence[Storage]) -> None:
    await meet(several[0], BUYER, kopecks=PRICE)
    await record(several[0], started("job1"))

    async def count(storage: Storage) -> None:
        async with storage.begin() as uow:
            found = await uow.jobs.get(JobId("job1"))
            counted = evolve(found, submissions=found.submissions + 1)
            await uow.record(Change(jobs=(JobStep(counted, found.status),)))

    await asyncio.gather(*(count(several[number % 2]) for number in range(AT_ONCE)))

    async with several[0].read() as uow:
        assert (await uow.jobs.get(JobId("job1"))).submissions == 1 + AT_ONCE


async def test_of_pending_topups_that_come_at_once_one_stays(several: Sequence[Storage]) -> None:
    await meet(several[0], BUYER, kopecks=1)

    outcomes = await at_once(
        several,
        [
            Change(topups=(TopUpStep(topup(id=TopUpId(f"t{number}")), None),))
            for number in range(AT_ONCE)
        ],
    )

    assert Counter(outcomes) == {"stored": 1, "StaleError": AT_ONCE - 1}


async def test_an_approval_that_comes_8_times_at_once_credits_once(
    several: Sequence[Storage],
) -> None:
    await meet(several[0], BUYER, kopecks=1)
    for number in range(20):
        reviewed = topup(id=TopUpId(f"t{number}"), status=TopUpStatus.MANUAL_REVIEW)
        await record(several[0], Change(topups=(TopUpStep(reviewed, None),)))
        approved = topups.approve(reviewed, UserId(7), NOON)
        approval = Change(
            topups=(TopUpStep(approved, TopUpStatus.MANUAL_REVIEW),),
            entry=topups.credit(approved, "7", NOON),
        )
        outcomes = await at_once(several, [approval] * AT_ONCE)
        assert Counter(outcomes) == {"stored": 1, "StaleError": AT_ONCE - 1}

    assert await the_wallet(several[0]) == wallet(20 * 50_000 + 1)


async def test_an_update_that_is_handled_8_times_at_once_does_its_work_once(
    several: Sequence[Storage],
) -> None:
    await meet(several[0], BUYER, kopecks=1)
    async with several[0].begin() as uow:
        await uow.inbox.store(1, BUYER, "{}", NOON)

    outcomes = await at_once(
        several,
        [
            Change(entry=entry(EntryKind.GRANT, 1, f"grant:{number}"), update_id=1)
            for number in range(AT_ONCE)
        ],
    )

    assert Counter(outcomes) == {"stored": 1, "StaleError": AT_ONCE - 1}
    assert await the_wallet(several[0]) == wallet(2)


async def test_a_crowd_does_not_block_itself(several: Sequence[Storage]) -> None:
    """
    No deadlock: jobs are locked before wallets, by those that `get` first and by the rest.

    Every job is ended by both at once, and every person's wallet is wanted by many.
    """
    people = [UserId(-number) for number in range(1, 5)]
    await meet(several[0], *people, kopecks=1000 * PRICE)

    async def end_after_get(storage: Storage, job_id: str, user_id: UserId) -> None:
        async with storage.begin() as uow:
            await uow.jobs.get(JobId(job_id))
            await uow.wallets.get(user_id)
            await uow.record(ended(job_id, JobStatus.FAILED, user_id))

    async def live(number: int) -> None:
        one, other = several[number % 2], several[(number + 1) % 2]
        for turn in range(5):
            user_id = people[(number + turn) % len(people)]
            job_id = f"{number}.{turn}"
            await record(one, started(job_id, user_id))
            outcomes = await asyncio.gather(
                end_after_get(one, job_id, user_id),
                record(other, ended(job_id, JobStatus.SUCCEEDED, user_id)),
                return_exceptions=True,
            )
            assert sorted(type(outcome).__name__ for outcome in outcomes) == [
                "NoneType",
                "StaleError",
            ], outcomes

    await asyncio.gather(*(live(number) for number in range(24)))

    assert await problems(several[0]) == []
    wallets = [await the_wallet(several[0], user_id) for user_id in people]
    assert {found.held for found in wallets} == {Money(0)}


async def test_who_reads_after_a_commit_sees_it(several: Sequence[Storage]) -> None:
    """However many others begin and end to read meanwhile: a snapshot is never an old one."""
    storage = several[0]
    await meet(storage, BUYER, kopecks=1)
    stop = asyncio.Event()

    async def keep_reading() -> None:
        while not stop.is_set():
            await the_wallet(storage)

    readers = [asyncio.create_task(keep_reading()) for _ in range(2)]
    seen = []
    for number in range(150):
        await record(storage, Change(entry=entry(EntryKind.GRANT, 1, f"more:{number}")))
        seen.append((await the_wallet(storage)).available.kopecks)
    stop.set()
    await asyncio.gather(*readers)

    assert seen == list(range(2, 152))


async def test_of_many_who_find_the_same_trouble_one_tells_it(several: Sequence[Storage]) -> None:
    """Two processes on one database, each refused by KIE at the same moment."""

    async def alert(storage: Storage, code: int) -> bool:
        news = OperatorAlert(user_id=OTHER, code=code, detail="")
        async with storage.begin() as uow:
            if await uow.outbox.last_alert(news.cause) is not None:
                return False
            await uow.record(Change(events=(news,)))
        return True

    for code in range(400, 430):
        told = await asyncio.gather(
            *(alert(several[number % len(several)], code) for number in range(AT_ONCE))
        )
        assert sum(told) == 1, code
