"""
What every storage keeps for administrators: acts, blocked people, nicknames, models switched off,
and the numbers of a day.
"""

from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import pytest
from attrs import evolve

from kiebot.core.acts import SAYS_WHY, Act, ActKind, Deed, SwitchedOff
from kiebot.core.billing import Change, Expecting, JobStep, TopUpStep
from kiebot.core.errors import DuplicateRefError, StorageError
from kiebot.core.expect import Amount, Answer, AnswerForm, Expect, Reason, Receipt, Whom
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.topups import TopUpId, TopUpStatus
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind, JobId
from kiebot.ports.storage import Storage
from tests.contracts.conftest import Storages
from tests.fakes.values import ADMIN, BUYER, FAILURE, NOON, OTHER, entry, job, topup

LATER = NOON + timedelta(minutes=5)


def person(user_id: UserId = BUYER, nickname: str | None = None) -> User:
    return User(id=user_id, name="Аня", language=Language.RU, created_at=NOON, nickname=nickname)


async def meet(storage: Storage, *people: User) -> None:
    async with storage.begin() as uow:
        for one in people or (person(),):
            await uow.users.add(one)


async def record(storage: Storage, change: Change) -> None:
    async with storage.begin() as uow:
        await uow.record(change)


async def user(storage: Storage, user_id: UserId = BUYER) -> User:
    async with storage.read() as uow:
        return await uow.users.get(user_id)


def act(kind: ActKind = ActKind.BLOCK, subject: str = "-1", **fields: object) -> Act:
    why = "шумел" if kind in SAYS_WHY else ""
    made = Act(actor=str(ADMIN), kind=kind, subject=subject, why=why, at=NOON)
    return evolve(made, **fields)  # type: ignore[arg-type]


async def acts(storage: Storage, **about: object) -> Sequence[Act]:
    async with storage.read() as uow:
        return await uow.acts.recent(99, **about)  # type: ignore[arg-type]


# --- Acts


@pytest.mark.parametrize("kind", list(ActKind))
async def test_every_kind_of_act_is_kept(storage: Storage, kind: ActKind) -> None:
    done = act(kind, user_id=BUYER, amount=Money(500_00))

    await record(storage, Change(acts=(done,)))

    assert await acts(storage) == [evolve(done, id=1)]


async def test_acts_are_read_in_pages_newest_first(storage: Storage) -> None:
    await record(storage, Change(acts=tuple(act(subject=str(number)) for number in range(3))))
    await record(storage, Change(acts=(act(subject="3"),)))

    async with storage.read() as uow:
        first = await uow.acts.recent(3)
        rest = await uow.acts.recent(3, before=first[-1].id)

    assert [one.subject for one in (*first, *rest)] == ["3", "2", "1", "0"]


async def test_the_acts_of_one_person(storage: Storage) -> None:
    mine = act(user_id=BUYER)
    model = act(ActKind.SWITCH_OFF, "a/model")
    await record(storage, Change(acts=(mine, act(user_id=OTHER), model)))

    assert [one.user_id for one in await acts(storage, user_id=BUYER)] == [BUYER]
    assert await acts(storage, user_id=BUYER, before=1) == []


async def test_an_act_is_stored_with_its_money_or_not_at_all(storage: Storage) -> None:
    await meet(storage)
    given = Change(
        entry=entry(EntryKind.GRANT, 500, "grant:1"), acts=(act(ActKind.GRANT, user_id=BUYER),)
    )
    await record(storage, given)

    with pytest.raises(DuplicateRefError):
        await record(storage, given)

    assert len(await acts(storage)) == 1


async def test_what_no_database_takes_is_kept_as_it_can_be(storage: Storage) -> None:
    await record(storage, Change(acts=(act(why="а\0б\ud800"),)))

    (kept,) = await acts(storage)
    assert kept.why.startswith("а")


@pytest.mark.parametrize("storages", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize(
    "statement",
    [
        "update acts set why = 'nothing'",
        "delete from acts",
        "insert or replace into acts select * from acts",
        "truncate acts",
    ],
)
async def test_an_act_is_never_changed_or_deleted(storages: Storages, statement: str) -> None:
    """The database refuses it by itself, whoever asks."""
    storage = await storages.open()
    await record(storage, Change(acts=(act(),)))
    postgres_only, sqlite_only = statement.startswith("truncate"), "replace" in statement

    if storages.kind == "postgres" and not sqlite_only:
        connection = await asyncpg.connect(storages.dsn)
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(statement)
        await connection.close()
    if storages.kind == "sqlite" and not postgres_only:
        with pytest.raises(StorageError, match="append-only"):
            async with storage.begin() as uow:
                await uow.acts._connection.fetch(statement)  # type: ignore[attr-defined]  # noqa: SLF001

    assert [one.why for one in await acts(storage)] == ["шумел"]


# --- People


async def test_a_nickname_is_kept_and_goes_with_its_person(storage: Storage) -> None:
    await meet(storage, person(BUYER, "Anya_K"))
    assert (await user(storage)).nickname == "Anya_K"

    await meet(storage, evolve(person(), name="Анна"))

    assert (await user(storage)) == evolve(person(), name="Анна")


async def test_people_are_found_by_nickname_whoever_came_last_first(storage: Storage) -> None:
    third = UserId(3)
    await meet(storage, person(BUYER, "anya"), person(OTHER, "ANYA"), person(third, "anya_"))
    async with storage.begin() as uow:
        await uow.users.saw(OTHER, LATER)

    async with storage.read() as uow:
        assert [one.id for one in await uow.users.named("Anya", 9)] == [OTHER, BUYER]
        assert [one.id for one in await uow.users.named("Anya", 1)] == [OTHER]
        assert await uow.users.named("nobody", 9) == []


async def test_who_is_blocked_is_so_once(storage: Storage) -> None:
    await meet(storage)

    async with storage.begin() as uow:
        assert await uow.users.block(BUYER, NOON)
        assert not await uow.users.block(BUYER, LATER)
        assert not await uow.users.block(UserId(404), NOON)
    assert (await user(storage)).blocked_at == NOON
    async with storage.begin() as uow:
        assert await uow.users.block(BUYER, None)
        assert not await uow.users.block(BUYER, None)

    assert not (await user(storage)).is_blocked


async def test_who_comes_again_stays_blocked(storage: Storage) -> None:
    await meet(storage)
    async with storage.begin() as uow:
        await uow.users.block(BUYER, NOON)

    await meet(storage, person(BUYER, "new_name"))

    assert (await user(storage)).is_blocked


async def test_who_came_is_counted_once_and_not_backwards(storage: Storage) -> None:
    await meet(storage, person(), person(OTHER), person(UserId(3)))
    async with storage.begin() as uow:
        await uow.users.saw(BUYER, LATER)
        await uow.users.saw(BUYER, NOON)
        await uow.users.saw(OTHER, NOON)
        await uow.users.saw(UserId(404), LATER)

    async with storage.read() as uow:
        assert await uow.users.came(NOON) == (2, 2)
        assert await uow.users.came(LATER) == (1, 0)
        assert await uow.users.came(LATER + timedelta(minutes=1)) == (0, 0)


# --- Models switched off


async def test_a_model_is_switched_off_once_and_on_again(storage: Storage) -> None:
    off = SwitchedOff(model_id="b/model", by="7", why="дорого", at=NOON)
    other = evolve(off, model_id="a/model")

    async with storage.begin() as uow:
        assert await uow.switches.switch_off(off)
        assert not await uow.switches.switch_off(evolve(off, by="8"))
        assert await uow.switches.switch_off(other)
    async with storage.read() as uow:
        assert await uow.switches.off() == [other, off]
        assert await uow.switches.find("b/model") == off
        assert await uow.switches.find("c/model") is None
    async with storage.begin() as uow:
        assert await uow.switches.switch_on("b/model")
        assert not await uow.switches.switch_on("b/model")

    async with storage.read() as uow:
        assert await uow.switches.off() == [other]


async def test_a_snapshot_switches_nothing(storage: Storage) -> None:
    off = SwitchedOff(model_id="b/model", by="7", why="дорого", at=NOON)

    with pytest.raises(StorageError):
        async with storage.read() as uow:
            await uow.switches.switch_off(off)


# --- Numbers


async def test_jobs_are_counted_by_what_became_of_them(storage: Storage) -> None:
    await meet(storage)
    made = [
        job(JobStatus.DRAFT, id=JobId("draft")),
        job(JobStatus.SUCCEEDED, id=JobId("early"), confirmed_at=NOON - timedelta(seconds=1)),
        job(JobStatus.SUCCEEDED, id=JobId("s1")),
        job(JobStatus.SUCCEEDED, id=JobId("s2")),
        job(JobStatus.FAILED, id=JobId("f1"), failure=FAILURE),
        job(JobStatus.RUNNING, id=JobId("r1"), confirmed_at=LATER),
    ]
    await record(storage, Change(jobs=tuple(JobStep(one, None) for one in made)))

    async with storage.read() as uow:
        assert dict(await uow.jobs.counts(NOON)) == {
            JobStatus.SUCCEEDED: 2,
            JobStatus.FAILED: 1,
            JobStatus.RUNNING: 1,
        }
        assert dict(await uow.jobs.counts(LATER)) == {JobStatus.RUNNING: 1}


async def test_failed_jobs_the_latest_first(storage: Storage) -> None:
    await meet(storage)
    made = [
        job(
            JobStatus.FAILED,
            id=JobId(f"f{number}"),
            failure=FAILURE,
            updated_at=NOON + timedelta(minutes=number),
        )
        for number in (1, 3, 2)
    ]
    await record(
        storage,
        Change(jobs=(*(JobStep(one, None) for one in made), JobStep(job(id=JobId("d")), None))),
    )

    async with storage.read() as uow:
        assert [one.id for one in await uow.jobs.failed(2)] == ["f3", "f2"]


async def test_what_moved_since_a_moment_by_kind(storage: Storage) -> None:
    await meet(storage)
    for number, (kind, kopecks, at) in enumerate(
        (
            (EntryKind.GRANT, 900, NOON - timedelta(microseconds=1)),
            (EntryKind.GRANT, 5, NOON),
            (EntryKind.GRANT, 7, LATER),
            (EntryKind.DEBIT, 3, LATER),
        )
    ):
        await record(storage, Change(entry=entry(kind, kopecks, f"r{number}", at=at)))

    async with storage.read() as uow:
        assert dict(await uow.ledger.moved(NOON)) == {
            EntryKind.GRANT: Money(12),
            EntryKind.DEBIT: Money(3),
        }
        assert dict(await uow.ledger.moved(LATER + timedelta(days=1))) == {}


# --- Receipts


async def test_of_the_same_receipts_the_approved_ones_come_first(storage: Storage) -> None:
    """However many were sent since, the one whose money was credited is not missed."""
    await meet(storage)
    photo = Attachment(reference="tg:1", mime="image/jpeg", digest="abc")
    for number in range(5):
        status = TopUpStatus.APPROVED if number == 1 else TopUpStatus.REJECTED
        made = topup(
            id=TopUpId(f"t{number}"),
            status=status,
            receipt=(photo,),
            created_at=NOON + timedelta(minutes=number),
        )
        await record(storage, Change(topups=(TopUpStep(made, None),)))

    async with storage.read() as uow:
        found = await uow.topups.with_receipt("abc", TopUpId("t4"), 3)

    assert [other.id for other in found] == ["t1", "t3", "t2"]


# --- What is asked


QUESTION = Answer(job_id=JobId("job1"), param="prompt", form=AnswerForm.TEXT)
DEED = Deed(id="d1", kind=ActKind.DEBIT, subject="-1")


@pytest.mark.parametrize(
    "expect",
    [
        Whom(),
        Amount(deed=DEED),
        Reason(deed=evolve(DEED, amount=Money(12_34))),
        Reason(topup_id=TopUpId("t1"), after=QUESTION),
        Reason(topup_id=TopUpId("t1"), after=Receipt(topup_id=TopUpId("t2"))),
        Amount(topup_id=TopUpId("t1"), after=Amount()),
        Amount(topup_id=TopUpId("t1"), after=evolve(QUESTION, form=AnswerForm.CHOICE)),
    ],
    ids=repr,
)
async def test_what_administrators_are_asked_is_kept(storage: Storage, expect: Expect) -> None:
    await record(storage, Change(expecting=Expecting(user_id=ADMIN, expect=expect)))

    async with storage.read() as uow:
        assert await uow.ui_state.get(ADMIN) == expect
