"""What every storage does: the contract of `kiebot.ports.storage`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from kiebot.core import holds, jobs, topups
from kiebot.core.audit import Fact, JobFact, TopUpFact, WalletFact
from kiebot.core.billing import Change, Expecting, JobStep, TopUpStep
from kiebot.core.errors import (
    DuplicateRefError,
    InsufficientFundsError,
    LeadLostError,
    NotFoundError,
    StaleError,
    StorageError,
    WrongDatabaseError,
)
from kiebot.core.events import (
    Event,
    JobFailed,
    JobRefunded,
    JobSucceeded,
    LateSuccess,
    OperatorAlert,
    ReceiptJoined,
    TopUpApproved,
    TopUpRejected,
    TopUpToReview,
)
from kiebot.core.expect import Amount, Answer, AnswerForm, Expect, Reason, Receipt
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment, MediaKind
from kiebot.core.money import LARGEST_KOPECKS, Money
from kiebot.core.tasks import FailReason, Failure, Outcome, Result, Task, TaskId
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind, JobId, LedgerEntry, Wallet
from kiebot.ports.storage import Lane, Storage
from tests.contracts.conftest import Storages
from tests.fakes.clock import FakeClock
from tests.fakes.values import ADMIN, BUYER, FAILURE, NOON, OTHER, RESULT, entry, job, topup, wallet

JOB = JobId("job1")
TOPUP = TopUpId("topup1")
PHOTO = Attachment(
    reference="file:///чек.png", name="чек.png", mime="image/png", size=1234, digest="abc"
)
PRICE = 3000


def person(user_id: UserId = BUYER, name: str = "Аня") -> User:
    return User(id=user_id, name=name, language=Language.RU, created_at=NOON)


async def meet(storage: Storage, *people: UserId, kopecks: int = 0) -> None:
    """People, with as much money each."""
    for user_id in people or (BUYER,):
        async with storage.begin() as uow:
            await uow.users.add(person(user_id))
        if kopecks:
            await record(
                storage,
                Change(entry=entry(EntryKind.GRANT, kopecks, f"rich:{user_id}", user_id=user_id)),
            )


async def record(storage: Storage, change: Change) -> None:
    async with storage.begin() as uow:
        await uow.record(change)


async def insert(storage: Storage, *new: Job | TopUp) -> None:
    """Jobs and top-ups as they are, whatever led to them."""
    await record(
        storage,
        Change(
            jobs=tuple(JobStep(thing, None) for thing in new if isinstance(thing, Job)),
            topups=tuple(TopUpStep(thing, None) for thing in new if isinstance(thing, TopUp)),
        ),
    )


def confirmed(at: datetime = NOON, job_id: str = JOB, user_id: UserId = BUYER) -> Change:
    """An offer is confirmed: queued, and its price held."""
    offer = job(id=JobId(job_id), user_id=user_id, offered_at=NOON)
    return Change(
        jobs=(JobStep(jobs.queue(offer, at), JobStatus.DRAFT),),
        entry=holds.place(offer.id, user_id, Money(PRICE), at),
    )


def settled(status: JobStatus, was: JobStatus, at: datetime = NOON) -> Change:
    """A job ends, and its hold with it."""
    hold = holds.Hold(job_id=JOB, user_id=BUYER, amount=Money(PRICE))
    settlement = holds.charge if status is JobStatus.SUCCEEDED else holds.release
    return Change(jobs=(JobStep(job(status), was),), entry=settlement(hold, at))


async def the_wallet(storage: Storage, user_id: UserId = BUYER) -> Wallet:
    async with storage.read() as uow:
        return await uow.wallets.get(user_id)


async def the_job(storage: Storage, job_id: str = JOB) -> Job:
    async with storage.read() as uow:
        return await uow.jobs.get(JobId(job_id))


async def the_ledger(storage: Storage, user_id: UserId = BUYER) -> Sequence[LedgerEntry]:
    async with storage.read() as uow:
        return await uow.ledger.recent(user_id, 1000)


async def the_facts(storage: Storage) -> list[Fact]:
    async with storage.read() as uow:
        return [fact async for fact in uow.facts()]


def ids(found: Sequence[Job | TopUp]) -> list[str]:
    return [thing.id for thing in found]


# --- People


async def test_a_new_person_has_an_empty_wallet(storage: Storage) -> None:
    async with storage.begin() as uow:
        is_new = await uow.users.add(person())

    assert is_new
    async with storage.read() as uow:
        assert await uow.users.get(BUYER) == person()
        assert await uow.wallets.get(BUYER) == wallet()


async def test_meeting_again_keeps_everything_but_the_name(storage: Storage) -> None:
    await meet(storage, kopecks=500)
    again = evolve(person(name="Anna"), language=Language.EN, created_at=NOON + timedelta(days=1))

    async with storage.begin() as uow:
        is_new = await uow.users.add(again)

    assert not is_new
    async with storage.read() as uow:
        assert await uow.users.get(BUYER) == person(name="Anna")
        assert await uow.wallets.get(BUYER) == wallet(500)


async def test_a_language_is_kept(storage: Storage) -> None:
    await meet(storage)

    async with storage.begin() as uow:
        await uow.users.speak(BUYER, Language.EN)

    async with storage.read() as uow:
        assert (await uow.users.get(BUYER)).language is Language.EN


async def test_who_is_unknown_is_not_found(storage: Storage) -> None:
    async with storage.begin() as uow:
        with pytest.raises(NotFoundError):
            await uow.users.get(OTHER)
        with pytest.raises(NotFoundError):
            await uow.wallets.get(OTHER)
        with pytest.raises(NotFoundError):
            await uow.users.speak(OTHER, Language.EN)
        with pytest.raises(NotFoundError):
            await uow.jobs.get(JOB)
        with pytest.raises(NotFoundError):
            await uow.topups.get(TOPUP)


# --- What is stored comes back


@pytest.mark.parametrize("status", JobStatus)
async def test_a_job_of_every_status_comes_back(storage: Storage, status: JobStatus) -> None:
    await meet(storage)
    stored = job(status)

    await insert(storage, stored)

    assert await the_job(storage) == stored


@pytest.mark.parametrize(
    "fields",
    [
        {"price": None, "kie_price": None, "params": {}},
        {
            "params": {
                "text": "a \"b\" \\ 'c' ; -- $1 кот 🐈 \\u0000",
                "number": 2.5,
                "whole": 7,
                "flag": True,
                "nothing": None,
                "list": ["a", 1, {"deep": []}],
            }
        },
        {"price": Money(LARGEST_KOPECKS), "updated_at": NOON + timedelta(microseconds=1)},
        {"result": Result(text="ответ"), "submissions": 2, "kie_task_id": TaskId("a" * 100)},
        {"result": Result(urls=("https://a/1", "https://a/2"), text="both")},
        {"failure": Failure(reason=FailReason.BAD_INPUT, param="a:b", detail="line\nline")},
        {"failure": Failure(reason=FailReason.TIMED_OUT)},
    ],
)
async def test_every_field_of_a_job_comes_back(storage: Storage, fields: dict[str, object]) -> None:
    await meet(storage)
    stored = job(JobStatus.RUNNING, **fields)

    await insert(storage, stored)

    assert await the_job(storage) == stored


async def test_a_job_is_changed_whole(storage: Storage) -> None:
    """Whatever a step of the machine sets is stored, and nothing else is touched."""
    await meet(storage)
    first = job(JobStatus.QUEUED, submissions=0)
    second = evolve(
        first,
        status=JobStatus.RUNNING,
        params={"prompt": "пёс"},
        price=Money(1),
        kie_price=Money(2),
        offered_at=NOON + timedelta(seconds=1),
        confirmed_at=NOON + timedelta(seconds=2),
        submissions=3,
        kie_task_id=TaskId("t"),
        next_check_at=NOON + timedelta(seconds=4),
        result=RESULT,
        failure=FAILURE,
        replaced_by=JobId("job2"),
        updated_at=NOON + timedelta(seconds=5),
    )
    await insert(storage, first, job(id=JobId("job2")))

    await record(storage, Change(jobs=(JobStep(second, JobStatus.QUEUED),)))

    assert await the_job(storage) == second
    assert await the_job(storage, "job2") == job(id=JobId("job2"))


async def test_an_offer_is_replaced_in_one_change(storage: Storage) -> None:
    """The old one names the new one, which is stored by the same change."""
    await meet(storage)
    await insert(storage, job(offered_at=NOON))
    cancelled = jobs.cancel(job(offered_at=NOON), NOON, replaced_by=JobId("job2"))

    await record(
        storage,
        Change(jobs=(JobStep(cancelled, JobStatus.DRAFT), JobStep(job(id=JobId("job2")), None))),
    )

    assert await the_job(storage) == cancelled
    assert await the_job(storage, "job2") == job(id=JobId("job2"))


async def test_a_moment_of_another_zone_comes_back_as_the_same_moment(storage: Storage) -> None:
    moscow = datetime.fromisoformat("2026-11-22T15:00:00.5+03:00")
    await meet(storage)

    await insert(storage, job(created_at=moscow))

    stored = await the_job(storage)
    assert stored.created_at == moscow
    assert stored.created_at.utcoffset() in {timedelta(0), timedelta(hours=3)}


async def test_a_text_that_no_database_takes_is_stored_all_the_same(storage: Storage) -> None:
    """What KIE says may hold a NUL or half a character; the job must end nevertheless."""
    bad = "a\0b\ud800c"
    await meet(storage)
    await insert(storage, job(JobStatus.RUNNING))
    failed = job(JobStatus.FAILED, failure=Failure(reason=FailReason.MODEL_FAILED, detail=bad))

    await record(storage, Change(jobs=(JobStep(failed, JobStatus.RUNNING),)))
    await insert(storage, job(id=JobId("job2"), params={"prompt": [bad]}, result=Result(text=bad)))

    assert (await the_job(storage)).status is JobStatus.FAILED
    assert (await the_job(storage, "job2")).result is not None


@pytest.mark.parametrize("status", TopUpStatus)
async def test_a_topup_of_every_status_comes_back(storage: Storage, status: TopUpStatus) -> None:
    await meet(storage)
    stored = topup(
        status=status,
        receipt=(PHOTO, Attachment(reference="tg:photo:x")),
        amount=Money(100),
        reviewed_by=ADMIN,
        reviewed_at=NOON,
        why="не пришло",
    )

    await insert(storage, stored)

    async with storage.read() as uow:
        assert await uow.topups.get(TOPUP) == stored


async def test_a_topup_is_changed_whole(storage: Storage) -> None:
    await meet(storage)
    await insert(storage, topup())
    reviewed = topups.correct(topups.add_receipt(topup(), PHOTO), Money(70000))
    rejected = topups.reject(reviewed, ADMIN, "мало", NOON)

    await record(storage, Change(topups=(TopUpStep(reviewed, TopUpStatus.PENDING),)))
    await record(storage, Change(topups=(TopUpStep(rejected, TopUpStatus.MANUAL_REVIEW),)))

    async with storage.read() as uow:
        assert await uow.topups.get(TOPUP) == rejected


@pytest.mark.parametrize("kind", EntryKind)
async def test_an_entry_of_every_kind_moves_money_as_it_says(
    storage: Storage, kind: EntryKind
) -> None:
    moved = {
        EntryKind.TOPUP: wallet(10_000 + 100, 3000),
        EntryKind.GRANT: wallet(10_000 + 100, 3000),
        EntryKind.DEBIT: wallet(10_000 - 100, 3000),
        EntryKind.HOLD: wallet(10_000 - 100, 3000 + 100),
        EntryKind.CHARGE: wallet(10_000, 3000 - 100),
        EntryKind.RELEASE: wallet(10_000 + 100, 3000 - 100),
        EntryKind.REFUND: wallet(10_000 + 100, 3000),
    }
    await meet(storage, kopecks=13_000)
    await insert(storage, job(id=JobId("job0")), job())
    await record(storage, Change(entry=entry(EntryKind.HOLD, 3000, "h", job_id=JobId("job0"))))
    made = entry(kind, 100, "it", by="who", why="why")

    await record(storage, Change(entry=made))

    assert await the_wallet(storage) == moved[kind]
    async with storage.read() as uow:
        stored = await uow.ledger.by_ref("it")
    assert stored is not None
    assert stored.id > 0
    assert evolve(stored, id=0) == made


EVENTS: list[Event] = [
    JobSucceeded(
        user_id=BUYER,
        job_id=JOB,
        model_id="m",
        title="М",
        output=MediaKind.IMAGE,
        summary="кот",
        price=Money(1),
        result=Result(urls=("https://a/1",), text="t"),
    ),
    JobFailed(
        user_id=BUYER,
        job_id=JOB,
        model_id="m",
        title="М",
        price=Money(1),
        reason=FailReason.BAD_INPUT,
        param="prompt",
    ),
    JobFailed(
        user_id=BUYER,
        job_id=JOB,
        model_id="m",
        title="М",
        price=Money(1),
        reason=FailReason.TIMED_OUT,
    ),
    JobRefunded(user_id=BUYER, job_id=JOB, title="М", price=Money(1), why="why"),
    TopUpToReview(
        user_id=ADMIN,
        topup_id=TOPUP,
        amount=Money(1),
        person_id=BUYER,
        person_name="Аня",
        receipt=(PHOTO, Attachment(reference="https://a")),
        seen_in=TopUpId("t0"),
    ),
    ReceiptJoined(user_id=ADMIN, topup_id=TOPUP, file=PHOTO, number=2, seen_in=TopUpId("t0")),
    TopUpApproved(user_id=BUYER, topup_id=TOPUP, amount=Money(1), requested=Money(2)),
    TopUpRejected(user_id=BUYER, topup_id=TOPUP, amount=Money(1), why=""),
    OperatorAlert(user_id=ADMIN, code=402, detail="balance"),
    LateSuccess(user_id=ADMIN, job_id=JOB, title="Flux", credits=Decimal("0.96")),
    LateSuccess(user_id=ADMIN, job_id=JOB, title="Flux", credits=None),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
async def test_every_event_comes_back(storage: Storage, event: Event) -> None:
    await record(storage, Change(events=(event,)))

    async with storage.read() as uow:
        untold = await uow.outbox.untold_of(event.user_id, 10)
    assert [row.event for row in untold] == [event]


@pytest.mark.parametrize(
    "expect",
    [
        *(Answer(job_id=JOB, param="prompt", form=form) for form in AnswerForm),
        Amount(),
        Amount(topup_id=TOPUP),
        Receipt(topup_id=TOPUP),
        Reason(topup_id=TOPUP),
        None,
    ],
    ids=str,
)
async def test_every_expectation_comes_back(storage: Storage, expect: Expect | None) -> None:
    await record(storage, Change(expecting=Expecting(user_id=BUYER, expect=Amount())))

    await record(storage, Change(expecting=Expecting(user_id=BUYER, expect=expect)))

    async with storage.read() as uow:
        assert await uow.ui_state.get(BUYER) == expect
        assert await uow.ui_state.get(OTHER) is None


# --- All or nothing


async def test_what_a_block_wrote_before_it_raised_is_not_stored(storage: Storage) -> None:
    await meet(storage, kopecks=10_000)
    await insert(storage, job(offered_at=NOON))

    async def fail_late() -> None:
        async with storage.begin() as uow:
            await uow.users.add(person(OTHER))
            await uow.record(confirmed())
            raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        await fail_late()

    assert await the_wallet(storage) == wallet(10_000)
    assert (await the_job(storage)).status is JobStatus.DRAFT
    with pytest.raises(NotFoundError):
        await the_wallet(storage, OTHER)


async def test_a_cancelled_block_stores_nothing_and_blocks_nobody(storage: Storage) -> None:
    await meet(storage, kopecks=10_000)
    inside = asyncio.Event()

    async def wait_inside() -> None:
        async with storage.begin() as uow:
            await uow.wallets.get(BUYER)
            await uow.record(Change(entry=entry(EntryKind.GRANT, 1, "inside")))
            inside.set()
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait_inside())
    await inside.wait()
    waiting.cancel()
    await asyncio.wait([waiting])

    await record(storage, Change(entry=entry(EntryKind.GRANT, 5, "after")))
    assert await the_wallet(storage) == wallet(10_005)


async def test_an_error_of_record_is_not_to_be_swallowed(storage: Storage) -> None:
    """Who catches it inside the block must not believe that the rest was stored."""
    await meet(storage, kopecks=100)

    async def go_on() -> None:
        async with storage.begin() as uow:
            await uow.record(Change(entry=entry(EntryKind.GRANT, 1, "first")))
            with pytest.raises(InsufficientFundsError):
                await uow.record(Change(entry=entry(EntryKind.DEBIT, 1000, "second")))

    with pytest.raises(StorageError):
        await go_on()

    assert await the_wallet(storage) == wallet(100)


async def test_a_refused_part_takes_every_other_part_with_it(storage: Storage) -> None:
    await meet(storage, kopecks=PRICE - 1)
    offer = job(offered_at=NOON)
    await insert(storage, offer, topup())
    async with storage.begin() as uow:
        await uow.inbox.store(1, BUYER, "{}", NOON)
    change = evolve(
        confirmed(),
        topups=(TopUpStep(topups.cancel(topup()), TopUpStatus.PENDING),),
        events=(OperatorAlert(user_id=BUYER, code=1, detail=""),),
        expecting=Expecting(user_id=BUYER, expect=Amount()),
        update_id=1,
    )

    with pytest.raises(InsufficientFundsError) as refused:
        await record(storage, change)

    assert (refused.value.needed, refused.value.available) == (Money(PRICE), Money(PRICE - 1))
    assert await the_wallet(storage) == wallet(PRICE - 1)
    assert await the_job(storage) == offer
    async with storage.read() as uow:
        assert (await uow.topups.get(TOPUP)).status is TopUpStatus.PENDING
        assert await uow.outbox.untold_of(BUYER, 10) == []
        assert await uow.ui_state.get(BUYER) is None
        assert len(await uow.inbox.waiting(10)) == 1


async def test_a_snapshot_refuses_to_write(storage: Storage) -> None:
    await meet(storage)

    async def write() -> None:
        async with storage.read() as uow:
            await uow.record(Change(entry=entry(EntryKind.GRANT, 100)))

    with pytest.raises(StorageError):
        await write()

    assert await the_wallet(storage) == wallet()


async def test_a_snapshot_does_not_see_what_comes_later(storage: Storage) -> None:
    await meet(storage)

    async with storage.read() as uow:
        before = await uow.wallets.get(BUYER)
        await record(storage, Change(entry=entry(EntryKind.GRANT, 100)))
        after = await uow.wallets.get(BUYER)

    assert (before, after) == (wallet(), wallet())
    assert await the_wallet(storage) == wallet(100)


# --- Nothing is changed that is no longer as it was read


async def test_the_second_of_two_steps_from_one_reading_is_refused(storage: Storage) -> None:
    """A result and a time-out come at once: one of them is late."""
    await meet(storage, kopecks=10_000)
    await insert(storage, job(offered_at=NOON))
    await record(storage, confirmed())
    await record(storage, settled(JobStatus.FAILED, JobStatus.QUEUED))

    with pytest.raises(StaleError):
        await record(storage, settled(JobStatus.SUCCEEDED, JobStatus.QUEUED))

    assert await the_wallet(storage) == wallet(10_000)
    assert (await the_job(storage)).status is JobStatus.FAILED


@pytest.mark.parametrize("was", [None, *JobStatus])
async def test_a_job_is_changed_only_from_the_status_it_has(
    storage: Storage, was: JobStatus | None
) -> None:
    """Also without money: the status is in the statement, not only in what was read."""
    await meet(storage)
    await insert(storage, job(JobStatus.RUNNING))
    later = job(JobStatus.RUNNING, updated_at=NOON + timedelta(hours=1))
    event = OperatorAlert(user_id=ADMIN, code=1, detail="")
    change = Change(jobs=(JobStep(later, was),), events=(event,))

    if was is JobStatus.RUNNING:
        await record(storage, change)
    else:
        with pytest.raises(StaleError):
            await record(storage, change)

    async with storage.read() as uow:
        told = len(await uow.outbox.untold_of(ADMIN, 10))
    expected = (later, 1) if was is JobStatus.RUNNING else (job(JobStatus.RUNNING), 0)
    assert (await the_job(storage), told) == expected


@pytest.mark.parametrize("was", [None, *TopUpStatus])
async def test_a_topup_is_changed_only_from_the_status_it_has(
    storage: Storage, was: TopUpStatus | None
) -> None:
    await meet(storage)
    reviewed = topup(status=TopUpStatus.MANUAL_REVIEW)
    await insert(storage, reviewed)
    approved = topups.approve(reviewed, ADMIN, NOON)
    change = Change(topups=(TopUpStep(approved, was),), entry=topups.credit(approved, "700", NOON))

    if was is TopUpStatus.MANUAL_REVIEW:
        await record(storage, change)
    else:
        with pytest.raises(StaleError):
            await record(storage, change)

    is_done = was is TopUpStatus.MANUAL_REVIEW
    assert await the_wallet(storage) == wallet(50_000 if is_done else 0)
    async with storage.read() as uow:
        assert await uow.topups.get(TOPUP) == (approved if is_done else reviewed)


async def test_a_job_that_does_not_exist_cannot_be_changed(storage: Storage) -> None:
    await meet(storage)

    with pytest.raises(StaleError):
        await record(storage, Change(jobs=(JobStep(job(), JobStatus.DRAFT),)))


async def test_an_update_is_handled_once(storage: Storage) -> None:
    """Two instances read the same waiting update: only one of them does what it says."""
    await meet(storage)
    async with storage.begin() as uow:
        await uow.inbox.store(1, BUYER, "{}", NOON)
    await record(storage, Change(entry=entry(EntryKind.GRANT, 1, "one"), update_id=1))

    with pytest.raises(StaleError):
        await record(storage, Change(entry=entry(EntryKind.GRANT, 1, "two"), update_id=1))
    await record(storage, Change(update_id=1))

    assert await the_wallet(storage) == wallet(1)


# --- A ref is applied once


async def test_a_repeated_entry_is_told_from_a_mistaken_one(storage: Storage) -> None:
    await meet(storage, BUYER, OTHER, kopecks=100)
    first = entry(EntryKind.GRANT, 7, "ref", at=NOON)
    await record(storage, Change(entry=first))
    again = {
        "same": evolve(first, at=NOON + timedelta(days=1), why="another"),
        "amount": evolve(first, amount=Money(8)),
        "person": evolve(first, user_id=OTHER),
        "kind": evolve(first, kind=EntryKind.DEBIT),
    }

    outcomes = {}
    for name, repeated in again.items():
        with pytest.raises(DuplicateRefError) as refused:
            await record(storage, Change(entry=repeated))
        outcomes[name] = refused.value.same

    assert outcomes == {"same": True, "amount": False, "person": False, "kind": False}
    assert await the_wallet(storage) == wallet(107)
    assert await the_wallet(storage, OTHER) == wallet(100, user_id=OTHER)


async def test_a_repeated_ref_is_a_duplicate_also_where_the_money_is_gone(
    storage: Storage,
) -> None:
    await meet(storage, kopecks=100)
    spent = entry(EntryKind.DEBIT, 100, "spent")
    await record(storage, Change(entry=spent))

    with pytest.raises(DuplicateRefError) as refused:
        await record(storage, Change(entry=spent))

    assert refused.value.same


async def test_a_job_has_one_hold_whatever_its_ref(storage: Storage) -> None:
    await meet(storage, kopecks=10_000)
    await insert(storage, job())
    await record(storage, Change(entry=entry(EntryKind.HOLD, 10, "hold:job1")))

    with pytest.raises(DuplicateRefError) as refused:
        await record(storage, Change(entry=entry(EntryKind.HOLD, 10, "hold:again")))

    assert not refused.value.same
    assert await the_wallet(storage) == wallet(9_990, 10)


async def test_a_job_is_charged_or_released_whatever_the_refs(storage: Storage) -> None:
    await meet(storage, kopecks=10_000)
    await insert(storage, job())
    await record(storage, Change(entry=entry(EntryKind.HOLD, 10, "hold:job1")))
    await record(storage, Change(entry=entry(EntryKind.CHARGE, 10, "settle:job1")))

    with pytest.raises((DuplicateRefError, InsufficientFundsError)):
        await record(storage, Change(entry=entry(EntryKind.RELEASE, 10, "settle:again")))

    assert await the_wallet(storage) == wallet(9_990)


@pytest.mark.parametrize(
    ("kind", "kopecks"), [(EntryKind.DEBIT, 101), (EntryKind.HOLD, 101), (EntryKind.CHARGE, 1)]
)
async def test_no_part_of_a_wallet_falls_below_zero(
    storage: Storage, kind: EntryKind, kopecks: int
) -> None:
    await meet(storage, kopecks=100)
    await insert(storage, job())

    with pytest.raises(InsufficientFundsError) as refused:
        await record(storage, Change(entry=entry(kind, kopecks, "it")))

    available = 0 if kind is EntryKind.CHARGE else 100
    assert (refused.value.needed, refused.value.available) == (Money(kopecks), Money(available))
    assert await the_wallet(storage) == wallet(100)
    async with storage.read() as uow:
        assert await uow.ledger.by_ref("it") is None


async def test_the_last_kopeck_can_be_spent(storage: Storage) -> None:
    await meet(storage, kopecks=PRICE)
    await insert(storage, job(offered_at=NOON))

    await record(storage, confirmed())

    assert await the_wallet(storage) == wallet(0, PRICE)


async def test_more_than_64_bits_is_refused_and_not_rounded(storage: Storage) -> None:
    await meet(storage, kopecks=LARGEST_KOPECKS)

    with pytest.raises((StorageError, ValueError)):
        await record(storage, Change(entry=entry(EntryKind.GRANT, 1, "more")))

    assert await the_wallet(storage) == wallet(LARGEST_KOPECKS)


async def test_an_entry_of_nobody_is_refused(storage: Storage) -> None:
    with pytest.raises(NotFoundError):
        await record(storage, Change(entry=entry(EntryKind.GRANT, 1)))


@pytest.mark.parametrize(
    "change",
    [
        Change(jobs=(JobStep(job(user_id=OTHER), None),)),
        Change(topups=(TopUpStep(topup(user_id=OTHER), None),)),
        Change(entry=entry(EntryKind.HOLD, 1, job_id=JobId("nojob"))),
    ],
    ids=["job of nobody", "top-up of nobody", "entry of no job"],
)
async def test_nothing_refers_to_what_does_not_exist(storage: Storage, change: Change) -> None:
    await meet(storage, kopecks=100)

    with pytest.raises(StorageError):
        await record(storage, change)


# --- Listings


async def test_a_hold_and_what_settles_it_are_one_movement(storage: Storage) -> None:
    await meet(storage, kopecks=10_000)
    await insert(storage, job(offered_at=NOON), job(id=JobId("job2"), offered_at=NOON))
    await record(storage, confirmed())
    await record(storage, confirmed(job_id="job2"))
    await record(storage, settled(JobStatus.FAILED, JobStatus.QUEUED))

    movements = await the_ledger(storage)

    assert [made.ref for made in movements] == ["settle:job1", "hold:job2", f"rich:{BUYER}"]


async def test_movements_come_in_pages(storage: Storage) -> None:
    await meet(storage, BUYER, OTHER, kopecks=10_000)
    for number in range(5):
        await record(storage, Change(entry=entry(EntryKind.GRANT, 1, f"g{number}")))
        await record(storage, Change(entry=entry(EntryKind.GRANT, 1, f"o{number}", user_id=OTHER)))

    async with storage.read() as uow:
        first = await uow.ledger.recent(BUYER, 4)
        second = await uow.ledger.recent(BUYER, 4, first[-1].id)

    assert [made.ref for made in first] == ["g4", "g3", "g2", "g1"]
    assert [made.ref for made in second] == ["g0", f"rich:{BUYER}"]


async def test_entries_of_a_job_come_in_order_and_topups_alone(storage: Storage) -> None:
    await meet(storage, kopecks=10_000)
    await insert(storage, job(offered_at=NOON), topup(status=TopUpStatus.APPROVED))
    await record(storage, confirmed())
    await record(storage, Change(entry=entry(EntryKind.TOPUP, 50_000, "topup:topup1", by="700")))
    await record(storage, settled(JobStatus.SUCCEEDED, JobStatus.QUEUED))

    async with storage.read() as uow:
        of_job = await uow.ledger.of_job(JOB)
        topped_up = await uow.ledger.topped_up(BUYER)

    assert [made.kind for made in of_job] == [EntryKind.HOLD, EntryKind.CHARGE]
    assert [made.ref for made in topped_up] == ["topup:topup1"]


async def test_confirmed_jobs_come_in_pages_newest_first(storage: Storage) -> None:
    """Two confirmed at the same moment are neither lost nor shown twice between pages."""
    await meet(storage, BUYER, OTHER)
    minutes = {"a": 1, "b": 2, "c": 2, "d": 2, "e": 5}
    await insert(
        storage,
        *(
            job(JobStatus.QUEUED, id=JobId(name), confirmed_at=NOON + timedelta(minutes=number))
            for name, number in minutes.items()
        ),
        job(id=JobId("draft")),
        job(JobStatus.CANCELLED, id=JobId("never")),
        job(JobStatus.QUEUED, id=JobId("other"), user_id=OTHER),
    )

    pages = []
    async with storage.read() as uow:
        page = await uow.jobs.recent(BUYER, 2)
        while page:
            pages.append(ids(page))
            page = await uow.jobs.recent(BUYER, 2, page[-1].id)
        beyond = await uow.jobs.recent(BUYER, 2, JobId("nosuch"))

    assert pages == [["e", "d"], ["c", "b"], ["a"]]
    assert beyond == []


async def test_open_jobs_are_those_that_hold_money(storage: Storage) -> None:
    await meet(storage, BUYER, OTHER)
    for number, status in enumerate(JobStatus):
        await insert(storage, job(status, id=JobId(status), updated_at=NOON))
        confirmed_at = NOON - timedelta(minutes=number)
        await insert(
            storage,
            job(
                status,
                id=JobId(f"o-{status}"),
                user_id=OTHER,
                confirmed_at=confirmed_at if status in jobs.OPEN else None,
            ),
        )

    async with storage.read() as uow:
        of_buyer = await uow.jobs.open_of(BUYER)
        of_all = await uow.jobs.open(3)

    assert ids(of_buyer) == ["queued", "running"]
    assert ids(of_all) == ["o-running", "o-queued", "queued"]


async def test_the_draft_touched_last_is_the_draft(storage: Storage) -> None:
    await meet(storage, BUYER, OTHER)
    await insert(
        storage,
        job(id=JobId("a"), updated_at=NOON + timedelta(minutes=2)),
        job(id=JobId("b"), updated_at=NOON + timedelta(minutes=1)),
        job(JobStatus.CANCELLED, id=JobId("c"), updated_at=NOON + timedelta(minutes=3)),
    )

    async with storage.read() as uow:
        of_buyer = await uow.jobs.draft_of(BUYER)
        of_other = await uow.jobs.draft_of(OTHER)

    assert of_buyer is not None
    assert (of_buyer.id, of_other) == ("a", None)


@pytest.mark.parametrize("lane", Lane)
async def test_due_jobs_come_the_longest_due_first(storage: Storage, lane: Lane) -> None:
    far = UserId(5)
    await meet(storage, BUYER, far)
    status = JobStatus.QUEUED if lane is Lane.SUBMIT else JobStatus.RUNNING
    dues = {"a": 2, "b": 1, "c": 0, "later": 3}
    await insert(
        storage,
        *(
            job(status, id=JobId(name), next_check_at=NOON + timedelta(minutes=number))
            for name, number in dues.items()
        ),
        job(status, id=JobId("far"), user_id=far, next_check_at=NOON),
        job(status, id=JobId("never"), next_check_at=None),
    )
    at = NOON + timedelta(minutes=2)

    async with storage.read() as uow:
        assert ids(await uow.jobs.due(at, 10, lane, local=True)) == ["c", "b", "a"]
        assert ids(await uow.jobs.due(at, 2, lane, local=True)) == ["c", "b"]
        assert ids(await uow.jobs.due(at, 10, lane, local=False)) == ["far"]
        assert ids(await uow.jobs.due(NOON - timedelta(seconds=1), 10, lane, local=True)) == []
        assert await uow.jobs.next_due(local=True) == NOON
        assert await uow.jobs.next_due(local=False) == NOON


async def test_one_lane_never_hides_the_other(storage: Storage) -> None:
    """Hundreds of jobs that wait to be submitted must not keep those that run from being seen."""
    await meet(storage)
    for status, number in ((JobStatus.QUEUED, 0), (JobStatus.RUNNING, 50)):
        await insert(
            storage,
            *(job(status, id=JobId(f"{status}{n}")) for n in range(number, number + 50)),
        )

    async with storage.read() as uow:
        submit = await uow.jobs.due(NOON, 60, Lane.SUBMIT, local=True)
        check = await uow.jobs.due(NOON, 60, Lane.CHECK, local=True)

    assert ({one.status for one in submit}, len(submit)) == ({JobStatus.QUEUED}, 50)
    assert ({one.status for one in check}, len(check)) == ({JobStatus.RUNNING}, 50)


@pytest.mark.parametrize("status", [one for one in JobStatus if one is not JobStatus.QUEUED])
async def test_what_has_ended_is_looked_at_as_long_as_a_task_of_it_runs(
    storage: Storage, status: JobStatus
) -> None:
    await meet(storage)
    await insert(storage, job(status, next_check_at=NOON))

    async with storage.read() as uow:
        assert ids(await uow.jobs.due(NOON, 9, Lane.CHECK, local=True)) == [JOB]
        assert ids(await uow.jobs.due(NOON, 9, Lane.SUBMIT, local=True)) == []
        assert await uow.jobs.next_due(local=True) == NOON


async def test_nothing_is_due_where_no_next_look_is_named(storage: Storage) -> None:
    await meet(storage)
    for status in JobStatus:
        await insert(storage, job(status, id=JobId(status), next_check_at=None))

    async with storage.read() as uow:
        assert await uow.jobs.next_due(local=True) is None
        for lane in Lane:
            assert ids(await uow.jobs.due(NOON, 9, lane, local=True)) == []


async def test_running_jobs_are_counted_by_age(storage: Storage) -> None:
    """Those of the terminal too: the limit of the account is one for all."""
    await meet(storage, BUYER, ADMIN)
    for number, age in enumerate((0, 29, 30, 31, 119, 120, 4000)):
        await insert(
            storage,
            job(
                JobStatus.RUNNING,
                id=JobId(f"job{number}"),
                user_id=BUYER if number % 2 else ADMIN,
                confirmed_at=NOON - timedelta(seconds=age),
            ),
        )
    await insert(storage, job(JobStatus.QUEUED, id=JobId("q")), job(id=JobId("d")))
    moments = [NOON - timedelta(seconds=30), NOON - timedelta(seconds=120)]

    async with storage.read() as uow:
        assert list(await uow.jobs.running(moments)) == [2, 3, 2]
        assert list(await uow.jobs.running(moments[:1])) == [2, 5]
        assert list(await uow.jobs.running([])) == [7]


async def test_nobody_runs_in_an_empty_database(storage: Storage) -> None:
    async with storage.read() as uow:
        assert list(await uow.jobs.running([NOON, NOON - timedelta(days=1)])) == [0, 0, 0]


async def test_how_long_files_last_comes_back(storage: Storage) -> None:
    await meet(storage)
    measures = {
        "file:///звук.mp3": Decimal("12.345"),
        "tg:A_b-c": Decimal(0),
        "https://x/?a=1&b='2'": Decimal(86400),
    }
    stored = job(measures=measures)
    await insert(storage, stored)
    assert await the_job(storage) == stored

    changed = evolve(stored, measures={"tg:A_b-c": Decimal("0.001")})
    await record(storage, Change(jobs=(JobStep(changed, JobStatus.DRAFT),)))
    assert await the_job(storage) == changed


# --- Tasks


def task(name: str = "task-1", job_id: str = JOB, **fields: Any) -> Task:
    standard: dict[str, Any] = {"created_at": NOON, "updated_at": NOON}
    return Task(id=TaskId(name), job_id=JobId(job_id), **{**standard, **fields})


async def tasks_of(storage: Storage, job_id: str = JOB) -> list[Task]:
    async with storage.read() as uow:
        return list(await uow.tasks.of_job(JobId(job_id)))


async def find_task(storage: Storage, name: str) -> Task | None:
    async with storage.read() as uow:
        return await uow.tasks.find(TaskId(name))


@pytest.mark.parametrize(
    "taken",
    [None, *map(Decimal, ("0", "0.4", "0.96", "5", "10", "0.000001", "1847.5", "9000000000000"))],
)
@pytest.mark.parametrize("outcome", [None, *Outcome])
async def test_a_task_comes_back(
    storage: Storage, outcome: Outcome | None, taken: Decimal | None
) -> None:
    await meet(storage)
    await insert(storage, job())
    stored = task(
        "задача_" + "x" * 190,
        outcome=outcome,
        credits=taken,
        updated_at=NOON + timedelta(microseconds=1),
    )

    await record(storage, Change(tasks=(stored,)))

    assert await tasks_of(storage) == [stored]
    assert await find_task(storage, stored.id) == stored


@pytest.mark.parametrize("taken", [*map(Decimal, ("1e30", "-1", "NaN", "Infinity"))])
async def test_credits_that_nobody_could_take_keep_no_task_from_being_stored(
    storage: Storage, taken: Decimal
) -> None:
    """What KIE says is not ours to choose; the job must end nevertheless."""
    await meet(storage)
    await insert(storage, job())

    await record(storage, Change(tasks=(task(outcome=Outcome.SUCCEEDED, credits=taken),)))

    found = await find_task(storage, "task-1")
    assert found is not None
    assert found.outcome is Outcome.SUCCEEDED


async def test_a_task_is_changed_in_place(storage: Storage) -> None:
    await meet(storage)
    await insert(storage, job())
    await record(storage, Change(tasks=(task(), task("task-2"))))
    ended = task(
        outcome=Outcome.SUCCEEDED, credits=Decimal("0.4"), updated_at=NOON + timedelta(minutes=1)
    )

    await record(storage, Change(tasks=(ended,)))
    await record(storage, Change(tasks=(ended,)))

    assert await tasks_of(storage) == [ended, task("task-2")]


async def test_tasks_of_a_job_come_oldest_first(storage: Storage) -> None:
    await meet(storage)
    await insert(storage, job(), job(id=JobId("job2")))
    first = NOON - timedelta(seconds=1)
    await record(
        storage,
        Change(tasks=(task("b"), task("a"), task("z", created_at=first), task("o", "job2"))),
    )

    assert [one.id for one in await tasks_of(storage)] == ["z", "a", "b"]
    assert [one.id for one in await tasks_of(storage, "job2")] == ["o"]
    assert await tasks_of(storage, "nobody's") == []
    assert await find_task(storage, "nobody's") is None


async def test_a_task_never_changes_its_job(storage: Storage) -> None:
    """And nothing else of the change that wants it is stored."""
    await meet(storage, kopecks=10_000)
    await insert(storage, job(offered_at=NOON), job(id=JobId("job2")))
    await record(storage, Change(tasks=(task(job_id="job2"),)))
    wanted = evolve(
        confirmed(),
        tasks=(task("new"), task(outcome=Outcome.FAILED)),
        events=(OperatorAlert(user_id=ADMIN, code=1, detail=""),),
    )

    with pytest.raises(StaleError) as refused:
        await record(storage, wanted)

    assert refused.value.id == "task-1"
    assert await find_task(storage, "task-1") == task(job_id="job2")
    assert await find_task(storage, "new") is None
    assert await the_wallet(storage) == wallet(10_000)
    assert (await the_job(storage)).status is JobStatus.DRAFT
    async with storage.read() as uow:
        assert await uow.outbox.untold(9, local=False) == []


async def test_a_task_of_no_job_is_refused(storage: Storage) -> None:
    await meet(storage)
    await insert(storage, job())

    with pytest.raises(StorageError):
        await record(storage, Change(tasks=(task("mine"), task("strange", "nosuch"))))

    assert await find_task(storage, "mine") is None
    assert await find_task(storage, "strange") is None


async def test_a_job_and_its_task_are_new_in_one_change(storage: Storage) -> None:
    await meet(storage)

    await record(storage, Change(jobs=(JobStep(job(), None),), tasks=(task(),)))

    assert await tasks_of(storage) == [task()]


async def test_a_snapshot_stores_no_task(storage: Storage) -> None:
    await meet(storage)
    await insert(storage, job())

    with pytest.raises(StorageError):
        async with storage.read() as uow:
            await uow.record(Change(tasks=(task(),)))

    assert await tasks_of(storage) == []


async def test_of_two_jobs_that_claim_a_task_at_once_one_gets_it(storages: Storages) -> None:
    one, other = await storages.open(), await storages.open()
    await meet(one)
    await insert(one, job(), job(id=JobId("job2")))

    outcomes = await asyncio.gather(
        record(one, Change(tasks=(task(),))),
        record(other, Change(tasks=(task(job_id="job2"),))),
        return_exceptions=True,
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "StaleError"]
    assert len(await tasks_of(one)) + len(await tasks_of(one, "job2")) == 1


# --- Limits


async def take(storage: Storage, at: datetime, slots: int = 3, name: str = "x") -> int | None:
    async with storage.begin() as uow:
        await uow.limits.make(name, slots)
        return await uow.limits.take(name, slots, at, at + timedelta(seconds=40))


async def give(storage: Storage, slot: int, taken_at: datetime, free_at: datetime) -> None:
    async with storage.begin() as uow:
        await uow.limits.give("x", slot, taken_at + timedelta(seconds=40), free_at)


async def free_at(storage: Storage, slots: int = 3, name: str = "x") -> datetime | None:
    async with storage.read() as uow:
        return await uow.limits.free_at(name, slots)


async def test_a_limit_has_so_many_slots_and_no_more(storage: Storage) -> None:
    assert [await take(storage, NOON) for _ in range(5)] == [0, 1, 2, None, None]

    assert await free_at(storage) == NOON + timedelta(seconds=40)
    assert await take(storage, NOON, name="y") == 0


async def test_a_slot_is_taken_again_from_the_moment_it_was_given_back_for(
    storage: Storage,
) -> None:
    taken = [await take(storage, NOON) for _ in range(3)]
    assert taken == [0, 1, 2]
    again_at = NOON + timedelta(seconds=10)
    await give(storage, 1, NOON, again_at)

    assert await free_at(storage) == again_at
    assert await take(storage, again_at - timedelta(microseconds=1)) is None
    assert await take(storage, again_at) == 1
    assert await take(storage, again_at) is None


async def test_a_slot_that_nobody_gives_back_is_free_in_the_end(storage: Storage) -> None:
    for _ in range(3):
        await take(storage, NOON)

    assert await take(storage, NOON + timedelta(seconds=39)) is None
    assert await take(storage, NOON + timedelta(seconds=40)) == 0


async def test_who_gives_back_too_late_frees_nobody_elses_turn(storage: Storage) -> None:
    """A process that stood still for long must not end the turn of who came after it."""
    assert await take(storage, NOON, slots=1) == 0
    later = NOON + timedelta(seconds=41)
    assert await take(storage, later, slots=1) == 0

    await give(storage, 0, NOON, later + timedelta(seconds=1))

    assert await free_at(storage, slots=1) == later + timedelta(seconds=40)


async def test_fewer_slots_than_were_made_are_kept_to(storage: Storage) -> None:
    """An operator lowers the limit, and then raises it above what it was."""
    await take(storage, NOON - timedelta(hours=1), slots=5)

    assert [await take(storage, NOON, slots=2) for _ in range(3)] == [1, 0, None]
    assert await free_at(storage, slots=2) == NOON + timedelta(seconds=40)
    assert sorted([await take(storage, NOON, slots=7) or 0 for _ in range(5)]) == [2, 3, 4, 5, 6]
    assert await take(storage, NOON, slots=7) is None


async def test_a_limit_that_nobody_made_has_no_slot(storage: Storage) -> None:
    assert await free_at(storage) is None
    async with storage.begin() as uow:
        assert await uow.limits.take("x", 3, NOON, NOON) is None


async def test_a_turn_that_is_rolled_back_was_not_taken(storage: Storage) -> None:
    await take(storage, NOON - timedelta(hours=1))

    async def take_and_fail() -> None:
        async with storage.begin() as uow:
            await uow.limits.take("x", 3, NOON, NOON + timedelta(days=1))
            raise KeyError

    with pytest.raises(KeyError):
        await take_and_fail()

    assert [await take(storage, NOON) for _ in range(4)] == [1, 2, 0, None]


async def test_a_snapshot_takes_no_slot(storage: Storage) -> None:
    await take(storage, NOON - timedelta(hours=1))

    with pytest.raises(StorageError):
        async with storage.read() as uow:
            await uow.limits.take("x", 3, NOON, NOON + timedelta(days=1))


async def test_of_32_at_once_each_slot_is_taken_by_one(storages: Storages) -> None:
    several = [await storages.open() for _ in range(4)]

    taken = await asyncio.gather(*(take(several[n % 4], NOON, slots=20) for n in range(32)))

    assert sorted(slot for slot in taken if slot is not None) == list(range(20))
    assert taken.count(None) == 12


@pytest.mark.parametrize("status", TopUpStatus)
async def test_a_draft_is_not_stale_while_a_topup_of_its_person_waits(
    storage: Storage, status: TopUpStatus
) -> None:
    """Who lacked the money and sends it must find the draft again."""
    await meet(storage, BUYER, OTHER)
    await insert(
        storage,
        job(id=JobId("old"), user_id=OTHER, updated_at=NOON - timedelta(minutes=1)),
        job(id=JobId("older"), updated_at=NOON - timedelta(minutes=2)),
        job(id=JobId("fresh"), updated_at=NOON + timedelta(microseconds=1)),
        topup(status=status),
    )

    async with storage.read() as uow:
        stale = await uow.jobs.stale_drafts(NOON, 10)
        first = await uow.jobs.stale_drafts(NOON, 1)

    waits = status in {TopUpStatus.PENDING, TopUpStatus.MANUAL_REVIEW}
    assert ids(stale) == (["old"] if waits else ["older", "old"])
    assert ids(first) == ids(stale)[:1]


async def test_times_are_those_of_the_latest_successes_of_a_model(storage: Storage) -> None:
    await meet(storage)
    ends = {"a": 10.5, "b": 30, "c": 20}
    await insert(
        storage,
        *(
            job(JobStatus.SUCCEEDED, id=JobId(name), updated_at=NOON + timedelta(seconds=seconds))
            for name, seconds in ends.items()
        ),
        job(JobStatus.FAILED, id=JobId("f"), updated_at=NOON + timedelta(seconds=99)),
        job(JobStatus.SUCCEEDED, id=JobId("m"), model_id="m"),
    )

    async with storage.read() as uow:
        assert await uow.jobs.times("flux-2/pro-text-to-image", 2) == [30, 20]
        assert await uow.jobs.times("flux-2/pro-text-to-image", 10) == [30, 20, 10.5]
        assert await uow.jobs.times("unknown", 10) == []


# --- Top-ups


async def test_a_person_has_one_pending_topup(storage: Storage) -> None:
    await meet(storage, BUYER, OTHER)
    await insert(storage, topup(), topup(id=TopUpId("others"), user_id=OTHER))

    with pytest.raises(StaleError):
        await insert(storage, topup(id=TopUpId("second")))

    async with storage.read() as uow:
        assert await uow.topups.pending_of(BUYER) == topup()
        assert await uow.topups.pending_of(ADMIN) is None


async def test_a_new_amount_replaces_the_pending_topup_in_one_change(storage: Storage) -> None:
    await meet(storage)
    await insert(storage, topup())
    second = topup(id=TopUpId("second"))

    await record(
        storage,
        Change(
            topups=(
                TopUpStep(topups.cancel(topup()), TopUpStatus.PENDING),
                TopUpStep(second, None),
            )
        ),
    )

    async with storage.read() as uow:
        assert await uow.topups.pending_of(BUYER) == second


async def test_topups_to_review_come_oldest_first(storage: Storage) -> None:
    await meet(storage, BUYER, OTHER)
    review = TopUpStatus.MANUAL_REVIEW
    await insert(
        storage,
        topup(id=TopUpId("b"), status=review, created_at=NOON + timedelta(minutes=1)),
        topup(id=TopUpId("a"), status=review, created_at=NOON),
        topup(id=TopUpId("c"), status=review, user_id=OTHER, created_at=NOON),
        topup(id=TopUpId("d"), status=TopUpStatus.APPROVED),
    )

    async with storage.read() as uow:
        assert ids(await uow.topups.to_review(10)) == ["a", "c", "b"]
        assert ids(await uow.topups.to_review(1)) == ["a"]
        latest = await uow.topups.reviewed_of(BUYER)
        assert latest is not None
        assert latest.id == "b"
        assert await uow.topups.reviewed_of(ADMIN) is None


async def test_a_receipt_seen_before_is_found(storage: Storage) -> None:
    await meet(storage, BUYER, OTHER)
    first = topups.add_receipt(topup(), PHOTO)
    await insert(storage, topup())
    await record(storage, Change(topups=(TopUpStep(first, TopUpStatus.PENDING),)))
    other = evolve(PHOTO, reference="tg:2", digest="other")
    twice = topups.add_receipt(
        topups.add_receipt(first, other), evolve(PHOTO, reference="tg:3", digest="abc")
    )
    await record(storage, Change(topups=(TopUpStep(twice, TopUpStatus.MANUAL_REVIEW),)))

    async with storage.read() as uow:
        assert await uow.topups.with_receipt("abc", TopUpId("new"), 9) == [twice]
        assert await uow.topups.with_receipt("other", TopUpId("new"), 9) == [twice]
        assert await uow.topups.with_receipt("abc", TOPUP, 9) == []
        assert await uow.topups.with_receipt("never", TopUpId("new"), 9) == []


async def test_of_several_with_the_same_receipt_the_latest_is_told(storage: Storage) -> None:
    await meet(storage)
    await insert(
        storage,
        *(
            topup(
                id=TopUpId(name),
                status=TopUpStatus.REJECTED,
                receipt=(PHOTO,),
                created_at=NOON + timedelta(minutes=number),
            )
            for name, number in {"a": 1, "c": 3, "b": 2}.items()
        ),
    )

    async with storage.read() as uow:
        found = await uow.topups.with_receipt("abc", TopUpId("c"), 9)

    assert [other.id for other in found] == ["b", "a"]


# --- Outbox


async def test_an_event_is_untold_until_it_is_told(storage: Storage) -> None:
    alerts = [OperatorAlert(user_id=BUYER, code=number, detail="") for number in range(3)]
    to_admin = OperatorAlert(user_id=ADMIN, code=9, detail="")
    await record(storage, Change(events=(*alerts, to_admin)))

    async with storage.begin() as uow:
        first, *rest = await uow.outbox.untold(10, local=True)
        await uow.outbox.told(first.id, NOON)
        await uow.outbox.told(first.id, NOON)
        await uow.outbox.told(10**9, NOON)

    async with storage.read() as uow:
        assert await uow.outbox.untold(10, local=True) == rest
        assert await uow.outbox.untold(1, local=True) == rest[:1]
        assert [row.event for row in await uow.outbox.untold(10, local=False)] == [to_admin]
        assert await uow.outbox.untold_of(BUYER, 10) == rest
    assert [row.event for row in (first, *rest)] == alerts


async def test_whom_something_waits_for_is_found_past_any_pile_of_news(storage: Storage) -> None:
    alert = OperatorAlert(user_id=UserId(5), code=1, detail="")
    pile = (alert,) * 30
    others = [evolve(alert, user_id=UserId(number)) for number in (0, 9, 7, -1, -3, -2)]
    await record(storage, Change(events=(*pile, *others)))

    async with storage.begin() as uow:
        assert await uow.outbox.awaiting(9, local=False) == [0, 5, 7, 9]
        assert await uow.outbox.awaiting(2, local=False) == [0, 5]
        assert await uow.outbox.awaiting(2, UserId(5), local=False) == [7, 9]
        assert await uow.outbox.awaiting(2, UserId(9), local=False) == []
        assert await uow.outbox.awaiting(9, local=True) == [-3, -2, -1]
        assert await uow.outbox.awaiting(1, UserId(-3), local=True) == [-2]
        for untold in await uow.outbox.untold_of(UserId(7), 9):
            await uow.outbox.told(untold.id, NOON)
        assert await uow.outbox.awaiting(9, local=False) == [0, 5, 9]


async def test_told_events_are_found_again_by_their_number(storage: Storage) -> None:
    alerts = [OperatorAlert(user_id=BUYER, code=number, detail="") for number in range(4)]
    await record(storage, Change(events=(*alerts, OperatorAlert(user_id=ADMIN, code=9, detail=""))))
    async with storage.begin() as uow:
        made = await uow.outbox.untold_of(BUYER, 10)
        for row in made[1:3]:
            await uow.outbox.told(row.id, NOON)

    async with storage.read() as uow:
        assert await uow.outbox.untold_of(BUYER, 10, made[1].id) == [made[0], made[2], made[3]]
        assert await uow.outbox.untold_of(BUYER, 2, made[1].id) == [made[0], made[2]]
        assert await uow.outbox.untold_of(BUYER, 10, 0) == made
        assert await uow.outbox.last_of(BUYER) == made[3].id
        assert await uow.outbox.last_of(OTHER) == 0


async def test_the_last_alert_of_a_cause_is_known(storage: Storage, clock: FakeClock) -> None:
    alert = OperatorAlert(user_id=ADMIN, code=402, detail="")
    await record(storage, Change(events=(alert,)))
    later = clock.advance(60)
    await record(storage, Change(events=(alert,)))
    clock.advance(60)
    await record(storage, Change(events=(evolve(alert, code=401),)))

    async with storage.read() as uow:
        assert await uow.outbox.last_alert("kie:402") == later
        assert await uow.outbox.last_alert("kie:433") is None


# --- Migrations, and whose database it is


async def test_an_empty_database_lacks_what_migrate_applies(empty_storages: Storages) -> None:
    storage = await empty_storages.open()

    missing = await storage.missing_migrations()
    still_missing = await storage.missing_migrations()
    applied = await storage.migrate()

    assert list(missing) == list(still_missing) == list(applied)
    assert list(await storage.missing_migrations()) == []
    assert list(await storage.migrate()) == []


async def test_8_that_migrate_at_once_apply_everything_once(empty_storages: Storages) -> None:
    several = [await empty_storages.open() for _ in range(8)]
    wanted = list(await several[0].missing_migrations())

    applied = await asyncio.gather(*(storage.migrate() for storage in several))

    assert sorted(name for names in applied for name in names) == wanted
    await meet(several[-1])


async def test_a_database_stays_what_it_was_first_used_as(storage: Storage) -> None:
    assert await storage.claimed() == {}
    await storage.claim([("kind", "demo"), ("bot", "7")])
    await storage.claim([("kind", "demo")])
    assert await storage.claimed() == {"kind": "demo", "bot": "7"}

    with pytest.raises(WrongDatabaseError) as refused:
        await storage.claim([("kind", "live")])
    assert (refused.value.found, refused.value.wanted) == ("demo", "live")
    with pytest.raises(WrongDatabaseError):
        await storage.claim([("bot", "8")])


async def test_a_refused_claim_claims_nothing(storage: Storage) -> None:
    await storage.claim([("kind", "demo")])

    with pytest.raises(WrongDatabaseError):
        await storage.claim([("bot", "7"), ("kind", "live")])

    await storage.claim([("bot", "8")])


async def test_of_two_first_uses_one_decides(storages: Storages) -> None:
    one, other = await storages.open(), await storages.open()

    outcomes = await asyncio.gather(
        one.claim([("kind", "demo")]), other.claim([("kind", "live")]), return_exceptions=True
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "NoneType",
        "WrongDatabaseError",
    ]


async def test_a_database_answers(storage: Storage) -> None:
    await storage.ping()


# --- Leading


async def test_one_leads_and_the_next_waits_for_it(storages: Storages) -> None:
    one, other = await storages.open(), await storages.open()
    led: list[str] = []

    async def lead_next() -> None:
        async with other.lead("serve") as lead:
            led.append("other")
            assert lead.holds()

    async with one.lead("serve") as first:
        waiting = asyncio.create_task(lead_next())
        async with one.lead("chat") as elsewhere:
            assert elsewhere.holds()
        assert first.holds()
        assert led == []
        led.append("one")
    await waiting

    assert led == ["one", "other"]
    assert first.lost.is_set()
    assert not first.holds()


async def test_who_leads_writes_and_who_has_led_does_not(storages: Storages) -> None:
    one, other = await storages.open(), await storages.open()
    await meet(one)

    async with one.lead("serve") as first, one.begin(first) as uow:
        await uow.record(Change(entry=entry(EntryKind.GRANT, 1, "leading")))

    async def write_late() -> None:
        async with one.begin(first) as uow:
            await uow.record(Change(entry=entry(EntryKind.GRANT, 1, "late")))

    with pytest.raises(LeadLostError):
        await write_late()
    async with other.lead("serve") as second:
        assert second.token > first.token
        with pytest.raises(LeadLostError):
            await write_late()
    assert await the_wallet(one) == wallet(1)


async def test_a_stranger_s_token_is_refused(storage: Storage) -> None:
    """The token is looked up in the database, whatever the process believes of itself."""

    class Believer:
        scope = "serve"
        token = 99
        lost = asyncio.Event()

        def holds(self) -> bool:
            return True

    async def write() -> None:
        async with storage.begin(Believer()):
            pass

    with pytest.raises(LeadLostError):
        await write()


async def test_a_wait_for_the_lead_can_be_given_up(storages: Storages) -> None:
    one, other = await storages.open(), await storages.open()

    async def lead_next() -> None:
        async with other.lead("serve"):
            pytest.fail("nobody has left")

    async with one.lead("serve"):
        waiting = asyncio.create_task(lead_next())
        await one.ping()
        waiting.cancel()
        await asyncio.wait([waiting])

    async with one.lead("serve") as lead:
        assert lead.holds()


async def test_several_wait_and_each_leads_alone(storages: Storages) -> None:
    several = [await storages.open() for _ in range(4)]
    leading = 0
    tokens = []

    async def lead_once(storage: Storage) -> None:
        nonlocal leading
        async with storage.lead("serve") as lead:
            leading += 1
            assert leading == 1
            tokens.append(lead.token)
            await storage.ping()
            leading -= 1

    await asyncio.gather(*(lead_once(storage) for storage in several))

    assert sorted(set(tokens)) == tokens
    assert len(tokens) == 4


# --- Facts


async def test_the_facts_of_an_honest_database(storage: Storage) -> None:
    await meet(storage, kopecks=10_000)
    await insert(storage, job(offered_at=NOON), job(id=JobId("job2"), offered_at=NOON))
    await insert(storage, job(id=JobId("job3")))
    await record(storage, confirmed())
    await record(storage, settled(JobStatus.SUCCEEDED, JobStatus.QUEUED))
    await record(storage, confirmed(job_id="job2"))
    approved = topup(status=TopUpStatus.APPROVED)
    await insert(storage, approved, topup(id=TopUpId("topup2")))
    await record(storage, Change(entry=topups.credit(approved, "700", NOON)))

    facts = await the_facts(storage)

    def fact(job_id: str, status: JobStatus, holds: int, charges: int) -> JobFact:
        return JobFact(
            job_id=job_id,
            status=status,
            holds=holds,
            charges=charges,
            releases=0,
            refunds=0,
            foreign=0,
        )

    assert {*facts} == {
        WalletFact(
            user_id=BUYER,
            balance_kop=54_000,
            hold_kop=PRICE,
            ledger_balance_kop=54_000,
            ledger_hold_kop=PRICE,
            open_jobs_kop=PRICE,
            entries=5,
        ),
        fact("job1", JobStatus.SUCCEEDED, 1, 1),
        fact("job2", JobStatus.QUEUED, 1, 0),
        fact("job3", JobStatus.DRAFT, 0, 0),
        TopUpFact(topup_id="topup1", status=TopUpStatus.APPROVED, credits=1, foreign=0),
        TopUpFact(topup_id="topup2", status=TopUpStatus.PENDING, credits=0, foreign=0),
    }
    assert len(facts) == 6


async def test_foreign_entries_are_counted(storage: Storage) -> None:
    await meet(storage, BUYER, OTHER, kopecks=10_000)
    await insert(storage, job(), topup(status=TopUpStatus.APPROVED))
    await record(storage, Change(entry=entry(EntryKind.HOLD, 1, "h")))
    await record(storage, Change(entry=entry(EntryKind.REFUND, PRICE, "r", user_id=OTHER)))
    await record(storage, Change(entry=entry(EntryKind.TOPUP, 1, "topup:topup1")))
    await record(storage, Change(entry=entry(EntryKind.TOPUP, 1, "topup:nosuch")))

    facts = await the_facts(storage)

    assert [fact.foreign for fact in facts if isinstance(fact, JobFact)] == [2]
    assert [fact.foreign for fact in facts if isinstance(fact, TopUpFact)] == [1]
    assert [str(fact) for fact in facts if "Stray" in str(fact)] == [
        "StrayFact(ref='topup:nosuch', why='no top-up')"
    ]


async def test_facts_are_of_one_moment(storage: Storage) -> None:
    """Money that moves while an audit runs must not look like money that is missing."""
    await meet(storage, BUYER, OTHER, kopecks=10_000)
    await insert(storage, job(offered_at=NOON))

    async def read_slowly() -> AsyncIterator[Fact]:
        async with storage.read() as uow:
            async for fact in uow.facts():
                yield fact

    facts = []
    moved = False
    async for fact in read_slowly():
        facts.append(fact)
        if not moved:
            await record(storage, confirmed())
            moved = True

    assert {fact.status for fact in facts if isinstance(fact, JobFact)} == {"draft"}
    assert {fact.hold_kop for fact in facts if isinstance(fact, WalletFact)} == {0}
