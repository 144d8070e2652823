"""The engine when KIE's answers are lost: several tasks of a job, callbacks, and what they cost."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from importlib import resources
from pathlib import Path

import pytest
from attrs import define, evolve

from kiebot.adapters.catalog import read_catalog
from kiebot.adapters.kie.stub import TASK_CREDITS, BytesFile, Fault, StubKieClient
from kiebot.adapters.media.stub import StubMedia
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.callbacks import Callbacks
from kiebot.core.errors import (
    KieNoAnswerError,
    KieOperatorError,
    KieRejectedError,
    KieUnavailableError,
    LeadLostError,
    MediaError,
    NotFoundError,
    StorageUnavailableError,
)
from kiebot.core.events import JobFailed, JobSucceeded, LateSuccess, OperatorAlert
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.media import Attachment
from kiebot.core.tasks import (
    FOLLOWED_FOR,
    MISSING,
    MISSING_FOR,
    FailReason,
    Outcome,
    Task,
    TaskId,
    TaskPending,
    TaskRequest,
    TaskStatus,
    TaskSucceeded,
)
from kiebot.core.terms import Terms
from kiebot.core.users import UserId
from kiebot.core.wallet import EntryKind, JobId
from kiebot.ports.kie import InputFile
from kiebot.ports.storage import Lead, Storage, UnitOfWork
from kiebot.worker import Worker
from tests.fakes.clock import FakeClock
from tests.fakes.shop import CHEAP, PICTURE, TERMS, Reader, Shop
from tests.fakes.values import ADMIN, BUYER, RESULT, wallet

PRICE = 3000
WAIT_S = 10.0
"""Until the second submission."""

DEADLINE_S = TERMS.job_timeout.total_seconds()
SECOND_ADMIN = UserId(701)
CALLED_BACK = evolve(
    TERMS,
    admins=frozenset({ADMIN, SECOND_ADMIN}),
    callbacks=Callbacks(address="https://shop.example", secret="s"),
)
LOST = Fault("create_task", KieNoAnswerError("time-out"))
RUNS = Fault("task_status", TaskPending("generating"))
AS_USUAL = Fault("task_status", None)
DONE = Fault("task_status", TaskSucceeded(RESULT, Decimal("0.96")))


class Stub(StubKieClient):
    """A stub that lets something happen between the making of a task and the answer about it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.requests: list[TaskRequest] = []
        self.before_answer: Callable[[JobId, TaskId], Awaitable[object]] | None = None
        self.before_status: Callable[[], Awaitable[object]] | None = None
        self.before_claim: Callable[[], Awaitable[object]] | None = None

    async def create_task(self, request: TaskRequest) -> TaskId:
        self.requests.append(request)
        task_id = await super().create_task(request)
        if self.before_answer is not None:
            await self.before_answer(request.job_id, task_id)
        return task_id

    async def task_status(self, request: TaskRequest, task_id: TaskId) -> TaskStatus:
        if self.before_status is not None:
            await self.before_status()
        return await super().task_status(request, task_id)

    async def is_task_of(self, request: TaskRequest, task_id: TaskId) -> bool:
        if self.before_claim is not None:
            await self.before_claim()
        return await super().is_task_of(request, task_id)


def open_shop(storage: Storage, clock: FakeClock, terms: Terms) -> Shop:
    return Shop(storage=storage, kie=Stub(clock), clock=clock, terms=terms)


@pytest.fixture
def terms() -> Terms:
    """With callbacks; a test without them says so."""
    return CALLED_BACK


without_callbacks = pytest.mark.parametrize("terms", [TERMS], ids=["no-callbacks"])


@pytest.fixture
async def shop(tmp_path: Path, clock: FakeClock, terms: Terms) -> AsyncIterator[Shop]:
    """Whatever happens in it, an audit finds nothing."""
    storage = await SqliteStorage.open(tmp_path / "shop.db", clock=clock)
    await storage.migrate()
    made = open_shop(storage, clock, terms)
    await made.meet(roubles=100)
    yield made
    assert await made.problems() == ()
    await storage.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def busy_shop(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, terms: Terms
) -> AsyncIterator[Shop]:
    """A shop in which things happen at once."""
    storage: SqliteStorage | PostgresStorage
    if request.param == "sqlite":
        storage = await SqliteStorage.open(tmp_path / "shop.db", clock=clock)
    else:
        dsn = request.getfixturevalue("postgres_dsn")
        storage = await PostgresStorage.open(dsn, clock=clock, pool_max=8)
    await storage.migrate()
    made = open_shop(storage, clock, terms)
    await made.meet(roubles=1000)
    yield made
    assert await made.problems() == ()
    await storage.close()


def kie(shop: Shop) -> Stub:
    assert isinstance(shop.kie, Stub)
    return shop.kie


async def confirmed(shop: Shop, prompt: str = "рыжий кот") -> JobId:
    return (await shop.kiebot.confirm(BUYER, await shop.offer(prompt=prompt))).id


async def step(shop: Shop, after_s: float = 0) -> None:
    shop.clock.advance(after_s)
    await shop.worker.step()


async def tasks(shop: Shop, job_id: JobId) -> Sequence[Task]:
    async with shop.storage.read() as uow:
        return await uow.tasks.of_job(job_id)


async def outcomes(shop: Shop, job_id: JobId) -> list[tuple[Outcome | None, Decimal | None]]:
    return [(task.outcome, task.credits) for task in await tasks(shop, job_id)]


async def told_admins(shop: Shop, kind: type) -> list[UserId]:
    """Who is told events of a kind, once for each."""
    untold = await shop.kiebot.untold(1000, local=False)
    return [one.event.user_id for one in untold if isinstance(one.event, kind)]


async def kinds(shop: Shop, job_id: JobId) -> list[EntryKind]:
    async with shop.storage.read() as uow:
        return [entry.kind for entry in await uow.ledger.of_job(job_id)]


def reason(job: Job) -> FailReason | None:
    return None if job.failure is None else job.failure.reason


CHARGED = [EntryKind.HOLD, EntryKind.CHARGE]
RELEASED = [EntryKind.HOLD, EntryKind.RELEASE]


async def submitted_twice(shop: Shop, prompt: str = "рыжий кот") -> tuple[JobId, TaskId]:
    """A job whose first answer was lost and whose second task is known; the lost one's id."""
    kie(shop).script(LOST)
    job_id = await confirmed(shop, prompt)
    await step(shop)
    await step(shop, WAIT_S)
    assert (await shop.job(job_id)).status is JobStatus.RUNNING
    (_, lost), (_, known) = kie(shop).created
    assert [task.id for task in await tasks(shop, job_id)] == [known]
    return job_id, lost


# Several tasks of a job


async def test_both_tasks_are_kept_and_the_first_result_is_paid_once(shop: Shop) -> None:
    job_id, lost = await submitted_twice(shop)
    assert await shop.kiebot.called_back(job_id, lost)
    assert {task.id for task in await tasks(shop, job_id)} == {
        task_id for _, task_id in kie(shop).created
    }
    kie(shop).script(AS_USUAL, RUNS)

    await step(shop, 3)

    job = await shop.job(job_id)
    assert job.status is JobStatus.SUCCEEDED
    assert await kinds(shop, job_id) == CHARGED
    assert await shop.kiebot.wallet(BUYER) == wallet(10000 - PRICE)
    assert sorted(await outcomes(shop, job_id), key=str) == [
        (Outcome.SUCCEEDED, TASK_CREDITS),
        (None, None),
    ]
    assert job.next_check_at == shop.clock() + timedelta(minutes=5)

    await step(shop, 300)

    assert await outcomes(shop, job_id) == [(Outcome.SUCCEEDED, TASK_CREDITS)] * 2
    assert (await shop.job(job_id)).next_check_at is None
    assert await kinds(shop, job_id) == CHARGED
    assert [type(event) for event in shop.reader.told] == [JobSucceeded]
    assert await told_admins(shop, LateSuccess) == []


async def test_when_both_fail_the_job_fails_once(shop: Shop) -> None:
    job_id, lost = await submitted_twice(shop, "fail")
    assert await shop.kiebot.called_back(job_id, lost)

    await step(shop, 3)
    await step(shop, 3600)

    job = await shop.job(job_id)
    assert (job.status, reason(job)) == (JobStatus.FAILED, FailReason.MODEL_FAILED)
    assert await kinds(shop, job_id) == RELEASED
    assert [type(event) for event in shop.reader.told] == [JobFailed]
    assert await outcomes(shop, job_id) == [(Outcome.FAILED, Decimal(0))] * 2
    assert job.next_check_at is None


async def test_of_two_tasks_one_may_fail(shop: Shop) -> None:
    job_id, lost = await submitted_twice(shop, "fail")
    assert await shop.kiebot.called_back(job_id, lost)
    kie(shop).script(AS_USUAL, RUNS, DONE)

    await step(shop, 3)
    assert (await shop.job(job_id)).status is JobStatus.RUNNING
    await step(shop, 3)

    assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED
    assert sorted(await outcomes(shop, job_id), key=str) == [
        (Outcome.FAILED, Decimal(0)),
        (Outcome.SUCCEEDED, Decimal("0.96")),
    ]


async def test_a_lost_task_is_waited_for_until_the_deadline(shop: Shop) -> None:
    """The known one failed; the other may still be named by a callback."""
    job_id, _ = await submitted_twice(shop, "fail")

    await step(shop, 3)
    await step(shop, DEADLINE_S - 60)
    assert (await shop.job(job_id)).status is JobStatus.RUNNING
    assert await shop.kiebot.wallet(BUYER) == wallet(10000 - PRICE, PRICE)

    await step(shop, 60)
    job = await shop.job(job_id)
    assert (job.status, reason(job)) == (JobStatus.FAILED, FailReason.TIMED_OUT)
    assert await kinds(shop, job_id) == RELEASED


@without_callbacks
async def test_nobody_waits_for_a_callback_that_cannot_come(shop: Shop) -> None:
    job_id, _ = await submitted_twice(shop, "fail")

    await step(shop, 3)

    job = await shop.job(job_id)
    assert (job.status, reason(job)) == (JobStatus.FAILED, FailReason.MODEL_FAILED)


@without_callbacks
async def test_two_lost_answers_without_callbacks_end_the_job_at_once(shop: Shop) -> None:
    job_id = await confirmed(shop, "lost")
    await step(shop)
    assert (await shop.job(job_id)).status is JobStatus.QUEUED

    await step(shop, WAIT_S)

    job = await shop.job(job_id)
    assert (job.status, reason(job)) == (JobStatus.FAILED, FailReason.NO_ANSWER)
    assert len(kie(shop).created) == TERMS.submissions_max == 2
    assert job.next_check_at is None


@pytest.mark.parametrize("number", [0, 1])
async def test_two_lost_answers_wait_for_a_callback_of_either(shop: Shop, number: int) -> None:
    job_id = await confirmed(shop, "lost")
    for _ in range(6):
        await step(shop, 100)
    job = await shop.job(job_id)
    assert (job.status, job.submissions) == (JobStatus.QUEUED, 2)
    assert len(kie(shop).created) == 2

    assert await shop.kiebot.called_back(job_id, kie(shop).created[number][1])
    await step(shop)  # at once: KIE said that there is something to see

    job = await shop.job(job_id)
    assert (job.status, job.submissions) == (JobStatus.SUCCEEDED, 2)
    assert await kinds(shop, job_id) == CHARGED


async def test_two_lost_answers_are_given_up_at_the_deadline(shop: Shop) -> None:
    job_id = await confirmed(shop, "lost")
    for _ in range(40):
        await step(shop, 100)

    job = await shop.job(job_id)
    assert (job.status, reason(job)) == (JobStatus.FAILED, FailReason.TIMED_OUT)
    assert len(kie(shop).created) == 2
    assert await kinds(shop, job_id) == RELEASED


async def test_an_adopted_task_ends_the_submitting(shop: Shop) -> None:
    kie(shop).script(LOST)
    job_id = await confirmed(shop, "slow")
    await step(shop)

    assert await shop.kiebot.called_back(job_id, kie(shop).created[0][1])
    for _ in range(20):
        await step(shop, WAIT_S)

    assert len(kie(shop).created) == 1
    assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED


async def test_kie_that_takes_nothing_uses_up_no_submission(shop: Shop) -> None:
    kie(shop).script(Fault("create_task", KieUnavailableError("429")), LOST)
    job_id = await confirmed(shop)

    await step(shop)
    assert (await shop.job(job_id)).submissions == 0
    await step(shop, WAIT_S)
    assert (await shop.job(job_id)).submissions == 1
    await step(shop, WAIT_S)
    await step(shop, WAIT_S)

    job = await shop.job(job_id)
    assert (job.status, job.submissions) == (JobStatus.SUCCEEDED, 2)


async def test_a_refusal_after_a_lost_answer_does_not_lose_the_first_task(shop: Shop) -> None:
    kie(shop).script(LOST, Fault("create_task", KieRejectedError(422, "no")))
    job_id = await confirmed(shop)
    await step(shop)
    await step(shop, WAIT_S)
    assert (await shop.job(job_id)).status is JobStatus.FAILED

    assert await shop.kiebot.called_back(job_id, kie(shop).created[0][1])
    await step(shop)

    assert await outcomes(shop, job_id) == [(Outcome.SUCCEEDED, TASK_CREDITS)]
    assert await told_admins(shop, LateSuccess) == [ADMIN, SECOND_ADMIN]


# Late successes


async def failed_with_a_lost_task(shop: Shop) -> tuple[JobId, TaskId]:
    kie(shop).script(LOST, LOST)
    job_id = await confirmed(shop)
    await step(shop)
    await step(shop, WAIT_S)
    await step(shop, DEADLINE_S)
    assert (await shop.job(job_id)).status is JobStatus.FAILED
    return job_id, kie(shop).created[0][1]


async def test_a_success_after_the_release_is_the_operators_cost(shop: Shop) -> None:
    job_id, lost = await failed_with_a_lost_task(shop)
    before = await shop.job(job_id)

    assert await shop.kiebot.called_back(job_id, lost)
    await step(shop)

    assert await outcomes(shop, job_id) == [(Outcome.SUCCEEDED, TASK_CREDITS)]
    assert await told_admins(shop, LateSuccess) == [ADMIN, SECOND_ADMIN]
    assert await kinds(shop, job_id) == RELEASED
    assert await shop.kiebot.wallet(BUYER) == wallet(10000)
    assert await shop.job(job_id) == before
    assert [type(event) for event in shop.reader.told] == [JobFailed]

    assert await shop.kiebot.called_back(job_id, lost)
    for _ in range(5):
        await step(shop, 400)
    assert await told_admins(shop, LateSuccess) == [ADMIN, SECOND_ADMIN]


async def test_two_who_follow_a_job_at_once_tell_of_it_once(busy_shop: Shop) -> None:
    job_id, lost = await failed_with_a_lost_task(busy_shop)
    assert await busy_shop.kiebot.called_back(job_id, lost)
    both = asyncio.Barrier(2)

    async def meet() -> None:
        await both.wait()
        busy_shop.clock.advance(1)

    kie(busy_shop).before_status = meet

    await asyncio.gather(*(busy_shop.kiebot.advance(job_id, None) for _ in range(2)))

    assert await told_admins(busy_shop, LateSuccess) == [ADMIN, SECOND_ADMIN]


async def test_a_late_failure_is_no_news(shop: Shop) -> None:
    job_id = await confirmed(shop, "stall")
    await step(shop)
    await step(shop, DEADLINE_S)
    assert (await shop.job(job_id)).status is JobStatus.FAILED
    kie(shop).script(Fault("task_status", KieUnavailableError("502")))

    await step(shop, 300)
    assert await outcomes(shop, job_id) == [(None, None)]

    assert await told_admins(shop, LateSuccess) == []


async def test_a_task_is_followed_for_a_day_and_then_counts_as_lost(shop: Shop) -> None:
    job_id = await confirmed(shop, "stall")
    await step(shop)
    await step(shop, DEADLINE_S)

    await step(shop, FOLLOWED_FOR.total_seconds() - 400)
    job = await shop.job(job_id)
    assert job.next_check_at == shop.clock() + timedelta(minutes=5)
    await step(shop, 400)

    assert await outcomes(shop, job_id) == [(Outcome.LOST, None)]
    assert (await shop.job(job_id)).next_check_at is None


async def test_the_end_of_following_tells_nothing_anew(shop: Shop) -> None:
    """One of two tasks came late and was told; the other never ends."""
    job_id, lost = await submitted_twice(shop, "stall")
    assert await shop.kiebot.called_back(job_id, lost)
    await step(shop, DEADLINE_S)
    kie(shop).script(DONE)
    await step(shop, 300)
    assert await told_admins(shop, LateSuccess) == [ADMIN, SECOND_ADMIN]

    await step(shop, FOLLOWED_FOR.total_seconds())

    assert sorted(await outcomes(shop, job_id), key=str) == [
        (Outcome.LOST, None),
        (Outcome.SUCCEEDED, Decimal("0.96")),
    ]
    assert await told_admins(shop, LateSuccess) == [ADMIN, SECOND_ADMIN]


async def test_what_was_given_back_is_followed_too(shop: Shop) -> None:
    job_id, lost = await submitted_twice(shop)
    assert await shop.kiebot.called_back(job_id, lost)
    kie(shop).script(AS_USUAL, RUNS)
    await step(shop, 3)
    await shop.kiebot.refund(job_id, by="tests", why="blurred")

    await step(shop, 300)

    assert await outcomes(shop, job_id) == [(Outcome.SUCCEEDED, TASK_CREDITS)] * 2
    assert await told_admins(shop, LateSuccess) == []


# Tasks that KIE does not know


async def test_a_task_that_kie_does_not_know_is_given_up(shop: Shop) -> None:
    kie(shop).script(*[Fault("task_status", TaskPending(MISSING))] * 100)
    job_id = await confirmed(shop)
    await step(shop)
    await step(shop, 3)
    await step(shop, MISSING_FOR.total_seconds() - 1)
    assert (await shop.job(job_id)).status is JobStatus.RUNNING

    await step(shop, 40)

    job = await shop.job(job_id)
    assert (job.status, reason(job)) == (JobStatus.FAILED, FailReason.NO_ANSWER)
    assert await outcomes(shop, job_id) == [(Outcome.LOST, None)]
    assert job.next_check_at is None


async def test_a_task_thought_lost_may_be_named_by_a_callback(shop: Shop) -> None:
    """KIE's record was late, the job failed, and then the task was done and paid for."""
    kie(shop).script(*[Fault("task_status", TaskPending(MISSING))] * 2)
    job_id = await confirmed(shop)
    await step(shop)
    await step(shop, 3)
    await step(shop, MISSING_FOR.total_seconds())
    assert await outcomes(shop, job_id) == [(Outcome.LOST, None)]

    assert await shop.kiebot.called_back(job_id, kie(shop).created[0][1])
    await step(shop)

    assert await outcomes(shop, job_id) == [(Outcome.SUCCEEDED, TASK_CREDITS)]
    assert await told_admins(shop, LateSuccess) == [ADMIN, SECOND_ADMIN]
    assert await kinds(shop, job_id) == RELEASED


async def test_a_task_that_kie_forgets_for_a_moment_is_waited_for(shop: Shop) -> None:
    """KIE's front may say 404 for a moment, of every task at once: they run, and are paid for."""
    forgets = Fault("task_status", TaskPending(MISSING))
    silent = Fault("task_status", KieUnavailableError("502"))
    kie(shop).script(RUNS, forgets, RUNS, forgets, silent, forgets, DONE)
    job_id = await confirmed(shop)
    await step(shop)
    for pause_s in (3, 600, 30, 30, 30, 30):
        await step(shop, pause_s)
        assert (await shop.job(job_id)).status is JobStatus.RUNNING
        assert await outcomes(shop, job_id) == [(None, None)]

    await step(shop, 30)

    assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED


async def test_a_task_that_is_unknown_for_a_moment_is_waited_for(shop: Shop) -> None:
    kie(shop).script(*[Fault("task_status", TaskPending(MISSING))] * 3)
    job_id = await confirmed(shop)

    await shop.work()

    assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED


# Whose task it is


async def test_nobody_elses_task_is_adopted(shop: Shop) -> None:
    kie(shop).script(LOST)
    job_id = await confirmed(shop, "рыжий кот")
    await step(shop)
    other = await confirmed(shop, "чёрный кот")
    await step(shop)
    (theirs,) = await tasks(shop, other)
    before = await shop.job(job_id)

    assert not await shop.kiebot.called_back(job_id, theirs.id)
    for strange in ("unknown", "stub_image", "🐈" * 50, "x" * 200):
        assert not await shop.kiebot.called_back(job_id, TaskId(strange))

    assert await tasks(shop, job_id) == []
    assert await tasks(shop, other) == [theirs]
    assert await shop.job(job_id) == before


async def another_task_of(shop: Shop, job_id: JobId) -> TaskId:
    """A task of which KIE says that it is this job's."""
    job = await shop.job(job_id)
    model = shop.kiebot.catalog.model(job.model_id)
    return await StubKieClient(shop.clock).create_task(
        TaskRequest(job_id=job_id, model=model, params=job.params)
    )


async def test_a_job_has_no_more_tasks_than_it_was_submitted(shop: Shop) -> None:
    job_id = await confirmed(shop)
    early = await another_task_of(shop, job_id)
    assert not await shop.kiebot.called_back(job_id, early)
    await step(shop)

    assert not await shop.kiebot.called_back(job_id, await another_task_of(shop, job_id))

    assert len(await tasks(shop, job_id)) == 1
    draft = await shop.offer()
    assert not await shop.kiebot.called_back(draft, await another_task_of(shop, draft))
    assert await tasks(shop, draft) == []


async def test_two_callbacks_at_once_adopt_no_more_than_were_lost(busy_shop: Shop) -> None:
    kie(busy_shop).script(LOST)
    job_id = await confirmed(busy_shop)
    await step(busy_shop)
    claims = [await another_task_of(busy_shop, job_id) for _ in range(2)]
    both = asyncio.Barrier(2)
    kie(busy_shop).before_claim = both.wait

    adopted = await asyncio.gather(
        *(busy_shop.kiebot.called_back(job_id, task_id) for task_id in claims)
    )

    assert sorted(adopted) == [False, True]
    assert len(await tasks(busy_shop, job_id)) == 1


async def test_of_two_jobs_that_claim_a_task_at_once_one_gets_it(busy_shop: Shop) -> None:
    kie(busy_shop).script(LOST, LOST)
    one, other = await confirmed(busy_shop), await confirmed(busy_shop)
    await step(busy_shop)
    claim = await another_task_of(busy_shop, one)
    both = asyncio.Barrier(2)
    kie(busy_shop).before_claim = both.wait

    adopted = await asyncio.gather(
        *(busy_shop.kiebot.called_back(job_id, claim) for job_id in (one, other))
    )

    assert sorted(adopted) == [False, True]
    assert len(await tasks(busy_shop, one)) + len(await tasks(busy_shop, other)) == 1


async def test_a_callback_about_no_job_is_refused(shop: Shop) -> None:
    with pytest.raises(NotFoundError):
        await shop.kiebot.called_back(JobId("nosuch"), TaskId("t"))


@pytest.mark.parametrize(
    "error", [KieUnavailableError("502"), KieOperatorError(401, "key")], ids=["silent", "refused"]
)
async def test_kie_that_cannot_be_asked_adopts_nothing(shop: Shop, error: Exception) -> None:
    kie(shop).script(LOST)
    job_id = await confirmed(shop)
    await step(shop)

    async def fail() -> None:
        raise error

    kie(shop).before_claim = fail
    with pytest.raises(type(error)):
        await shop.kiebot.called_back(job_id, kie(shop).created[0][1])
    assert await tasks(shop, job_id) == []

    kie(shop).before_claim = None
    assert await shop.kiebot.called_back(job_id, kie(shop).created[0][1])


async def test_a_callback_again_and_again_changes_nothing(shop: Shop) -> None:
    kie(shop).script(LOST)
    job_id = await confirmed(shop)
    await step(shop)
    lost = kie(shop).created[0][1]

    assert [await shop.kiebot.called_back(job_id, lost) for _ in range(3)] == [True] * 3
    assert [task.id for task in await tasks(shop, job_id)] == [lost]
    await step(shop, 3)
    ended = await shop.job(job_id)
    assert [await shop.kiebot.called_back(job_id, lost) for _ in range(3)] == [True] * 3

    assert await shop.job(job_id) == ended
    assert ended.status is JobStatus.SUCCEEDED


async def test_a_callback_wakes_the_job_up(shop: Shop) -> None:
    job_id = await confirmed(shop)
    await step(shop)
    shop.clock.advance(1)
    await shop.worker.step()
    assert (await shop.job(job_id)).status is JobStatus.RUNNING

    assert await shop.kiebot.called_back(job_id, kie(shop).created[0][1])
    await shop.worker.step()

    assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED


# The answer and the callback at once


async def test_a_callback_may_be_quicker_than_the_answer(busy_shop: Shop) -> None:
    async def call_back(job_id: JobId, task_id: TaskId) -> None:
        assert await busy_shop.kiebot.called_back(job_id, task_id)

    kie(busy_shop).before_answer = call_back
    job_id = await confirmed(busy_shop)

    await step(busy_shop)
    assert len(await tasks(busy_shop, job_id)) == 1
    await busy_shop.work()

    job = await busy_shop.job(job_id)
    assert (job.status, job.submissions) == (JobStatus.SUCCEEDED, 1)
    assert len(kie(busy_shop).created) == 1


async def test_answer_and_callback_at_once_make_one_task(busy_shop: Shop) -> None:
    calling: list[asyncio.Task[bool]] = []

    async def call_back(job_id: JobId, task_id: TaskId) -> None:
        for delay in range(2):
            calling.append(asyncio.create_task(busy_shop.kiebot.called_back(job_id, task_id)))
            for _ in range(len(calling) % (5 + delay)):
                await asyncio.sleep(0)

    kie(busy_shop).before_answer = call_back
    for _ in range(20):
        job_id = await confirmed(busy_shop)
        await busy_shop.worker.step()
        assert await asyncio.gather(*calling) == [True] * len(calling)
        calling.clear()
        (task,) = await tasks(busy_shop, job_id)
        await busy_shop.work()
        job = await busy_shop.job(job_id)
        assert (job.status, job.submissions) == (JobStatus.SUCCEEDED, 1)
        assert (job.kie_task_id, await kinds(busy_shop, job_id)) == (task.id, CHARGED)

    assert len(kie(busy_shop).created) == 20


async def test_the_lost_task_may_come_while_the_second_is_made(busy_shop: Shop) -> None:
    kie(busy_shop).script(LOST)
    job_id = await confirmed(busy_shop)
    await step(busy_shop)
    lost = kie(busy_shop).created[0][1]

    async def call_back(job_id: JobId, _: TaskId) -> None:
        assert await busy_shop.kiebot.called_back(job_id, lost)

    kie(busy_shop).before_answer = call_back
    await step(busy_shop, WAIT_S)

    job = await busy_shop.job(job_id)
    assert {task.id for task in await tasks(busy_shop, job_id)} == {
        task_id for _, task_id in kie(busy_shop).created
    }
    await busy_shop.work()
    job = await busy_shop.job(job_id)
    assert (job.status, await kinds(busy_shop, job_id)) == (JobStatus.SUCCEEDED, CHARGED)


# Who does not lead stores nothing


async def test_a_lost_lead_submits_nothing(shop: Shop) -> None:
    job_id = await confirmed(shop)
    before = await shop.job(job_id)
    async with shop.kiebot.lead("local") as lead:
        pass

    with pytest.raises(LeadLostError):
        await shop.kiebot.advance(job_id, lead)

    assert await shop.job(job_id) == before
    assert kie(shop).created == []


async def test_a_lead_lost_in_a_call_loses_no_task(shop: Shop) -> None:
    """KIE took it and is paid for it: else the next leader would have it made a second time."""
    job_id = await confirmed(shop)
    async with AsyncExitStack() as leading:
        lead = await leading.enter_async_context(shop.kiebot.lead("local"))

        async def lose(*_: object) -> None:
            await leading.aclose()

        kie(shop).before_answer = lose
        await shop.kiebot.advance(job_id, lead)

    job = await shop.job(job_id)
    assert (job.status, job.submissions) == (JobStatus.RUNNING, 1)
    assert [task.id for task in await tasks(shop, job_id)] == [kie(shop).created[0][1]]


async def test_a_lead_lost_while_asking_settles_nothing(shop: Shop) -> None:
    job_id = await confirmed(shop)
    await step(shop)
    shop.clock.advance(3)
    before = await shop.job(job_id)
    async with AsyncExitStack() as leading:
        lead = await leading.enter_async_context(shop.kiebot.lead("local"))
        kie(shop).before_status = leading.aclose
        with pytest.raises(LeadLostError):
            await shop.kiebot.advance(job_id, lead)

    assert await shop.job(job_id) == before
    assert await outcomes(shop, job_id) == [(None, None)]
    assert await kinds(shop, job_id) == [EntryKind.HOLD]


async def test_a_lead_lost_while_following_tells_nothing(shop: Shop) -> None:
    job_id, lost = await failed_with_a_lost_task(shop)
    assert await shop.kiebot.called_back(job_id, lost)
    async with AsyncExitStack() as leading:
        lead = await leading.enter_async_context(shop.kiebot.lead("local"))
        kie(shop).before_status = leading.aclose
        with pytest.raises(LeadLostError):
            await shop.kiebot.advance(job_id, lead)

    assert await outcomes(shop, job_id) == [(None, None)]
    assert await told_admins(shop, LateSuccess) == []


# Ends and pauses in the middle of a call


class Hurried(Stub):
    """A stub whose answer to a create is there when the test says so."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.taken, self.answers = asyncio.Event(), asyncio.Event()
        self.before_answer = self._wait

    async def _wait(self, *_: object) -> None:
        self.taken.set()
        await self.answers.wait()


@asynccontextmanager
async def submitting(shop: Shop, job_id: JobId) -> AsyncIterator[asyncio.Task[Job]]:
    """KIE took a task of the job, and its answer is on the way."""
    advancing = asyncio.create_task(shop.kiebot.advance(job_id, None))
    assert isinstance(shop.kie, Hurried)
    async with asyncio.timeout(20):
        await shop.kie.taken.wait()
        yield advancing


@pytest.fixture
def hurried(shop: Shop, clock: FakeClock, terms: Terms) -> Shop:
    return Shop(storage=shop.storage, kie=Hurried(clock), clock=clock, terms=terms)


async def test_who_is_stopped_waits_for_the_answer_to_a_create(hurried: Shop) -> None:
    """At every new release of a shop: the task would be made, and paid, once more."""
    job_id = await confirmed(hurried)
    assert isinstance(hurried.kie, Hurried)
    async with submitting(hurried, job_id) as advancing:
        advancing.cancel()
        await asyncio.sleep(0)
        hurried.kie.answers.set()

        with pytest.raises(asyncio.CancelledError):
            await advancing

    job = await hurried.job(job_id)
    assert (job.status, job.kie_task_id) == (JobStatus.RUNNING, hurried.kie.created[0][1])


@pytest.mark.parametrize(
    "terms", [evolve(CALLED_BACK, call_timeout=timedelta(milliseconds=50))], ids=["short"]
)
async def test_who_is_stopped_does_not_wait_for_ever(hurried: Shop) -> None:
    job_id = await confirmed(hurried)
    async with submitting(hurried, job_id) as advancing:
        advancing.cancel()

        with pytest.raises(asyncio.CancelledError):
            await advancing

    job = await hurried.job(job_id)
    assert (job.status, job.submissions) == (JobStatus.QUEUED, 1)


class ShakyStorage(SqliteStorage):
    """A database that refuses its next `refusals` transactions."""

    refusals = 0

    @asynccontextmanager
    async def begin(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        self._may_refuse()
        async with super().begin(lead) as uow:
            yield uow

    @asynccontextmanager
    async def once(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        self._may_refuse()
        async with super().once(lead) as uow:
            yield uow

    def _may_refuse(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StorageUnavailableError("it starts anew")


@pytest.fixture
async def shaky(tmp_path: Path, clock: FakeClock) -> AsyncIterator[ShakyStorage]:
    storage = await ShakyStorage.open(tmp_path / "shaky.db", clock=clock)
    assert isinstance(storage, ShakyStorage)
    await storage.migrate()
    yield storage
    await storage.close()


async def test_a_task_survives_a_database_that_is_away_for_a_moment(
    shaky: ShakyStorage, clock: FakeClock, terms: Terms
) -> None:
    shop = open_shop(shaky, clock, terms)
    await shop.meet(roubles=100)
    job_id = await confirmed(shop)

    async def goes_away(*_: object) -> None:
        shaky.refusals = 1

    kie(shop).before_answer = goes_away
    await shop.kiebot.advance(job_id, None)

    job = await shop.job(job_id)
    assert (job.status, job.kie_task_id) == (JobStatus.RUNNING, kie(shop).created[0][1])


# Files


class DripMedia(StubMedia):
    """Reads addresses, which never come to their end."""

    reads_addresses = True

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[InputFile]:
        await asyncio.Event().wait()
        raise MediaError(url, "it never comes")
        yield  # a generator, as a context manager needs


async def test_files_that_take_too_long_give_the_money_back(shop: Shop) -> None:
    """Places to submit are few, and everybody's."""
    model = shop.catalog.model(CHEAP)
    drafted = await shop.kiebot.draft(
        BUYER, model.id, {model.params[0].name: "https://example.com/cat.png"}
    )
    await shop.kiebot.confirm(BUYER, drafted.job.id)
    terms = evolve(TERMS, files_timeout=timedelta(milliseconds=20))
    slow = Shop(
        storage=shop.storage, kie=shop.kie, clock=shop.clock, terms=terms, media=DripMedia()
    )

    await slow.worker.step()

    assert reason(await shop.job(drafted.job.id)) is FailReason.UNREADABLE_FILE
    assert await kinds(shop, drafted.job.id) == RELEASED
    assert kie(shop).created == []


# A catalog that changed meanwhile


def spoiled(shop: Shop) -> Shop:
    """The same shop, started again with a mistake in the model's entry."""
    catalog = json.loads((resources.files("kiebot") / "catalog.json").read_text("utf-8"))
    (entry,) = [entry for entry in catalog["models"] if entry["id"] == PICTURE]
    entry["prices"][0]["rub"] = "thirty"
    return Shop(
        storage=shop.storage,
        kie=shop.kie,
        clock=shop.clock,
        terms=shop.terms,
        catalog=read_catalog(json.dumps(catalog)),
        prefix="later",
    )


async def test_nothing_is_asked_for_by_an_entry_that_cannot_be_read(shop: Shop) -> None:
    """Its request would be another one, and name the files of our disk."""
    job_id = await confirmed(shop)

    await spoiled(shop).worker.step()

    assert reason(await shop.job(job_id)) is FailReason.UNAVAILABLE
    assert kie(shop).requests == []


async def test_what_runs_ends_well_with_an_entry_that_cannot_be_read(shop: Shop) -> None:
    job_id = await confirmed(shop)
    await step(shop)

    await spoiled(shop).work()

    assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED


# Time that passes meanwhile


@define
class SlowDesk(Reader):
    """A reader whose file takes an hour to be read."""

    clock: FakeClock | None = None

    @asynccontextmanager
    async def open(self, _: str) -> AsyncIterator[InputFile]:
        assert self.clock is not None
        self.clock.advance(DEADLINE_S)
        yield BytesFile(name="cat.png", content=b"\x89PNG\r\n\x1a\n rest")


async def test_nothing_is_submitted_after_the_deadline(shop: Shop) -> None:
    """It was not late when the step began; by the turn to call, it is."""
    desk = SlowDesk(clock=shop.clock)
    shop.worker = Worker(shop.kiebot, desk, desk.screen_of, audience=BUYER)
    drafted = await shop.kiebot.draft(BUYER, CHEAP)
    cat = Attachment(reference="file:///cat.png", name="cat.png", mime="image/png", size=12)
    drafted = await shop.kiebot.answer(BUYER, drafted.job.id, "image", cat)
    job_id = (await shop.kiebot.confirm(BUYER, drafted.job.id)).id

    await shop.worker.step()
    assert (await shop.job(job_id)).submissions == 0
    await shop.worker.step()

    job = await shop.job(job_id)
    assert (job.status, reason(job)) == (JobStatus.FAILED, FailReason.TIMED_OUT)
    assert kie(shop).created == []


async def test_a_result_that_is_there_at_the_deadline_counts(shop: Shop) -> None:
    job_id = await confirmed(shop)
    await step(shop)

    await step(shop, DEADLINE_S)

    assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED


async def test_a_failure_that_is_there_at_the_deadline_is_told(shop: Shop) -> None:
    job_id = await confirmed(shop, "fail")
    await step(shop)

    await step(shop, DEADLINE_S)

    assert reason(await shop.job(job_id)) is FailReason.MODEL_FAILED


# What administrators are told


async def test_a_refused_look_is_told_once_an_hour_and_the_job_goes_on(shop: Shop) -> None:
    job_id = await confirmed(shop, "stall")
    await step(shop)
    for code in (401, 401, 402, 401):
        kie(shop).script(Fault("task_status", KieOperatorError(code, "no")))
        await step(shop, 40)
    assert await told_admins(shop, OperatorAlert) == [ADMIN, SECOND_ADMIN] * 2
    assert (await shop.job(job_id)).status is JobStatus.RUNNING

    shop.clock.advance(3300)
    kie(shop).script(Fault("task_status", KieOperatorError(401, "no")), DONE)
    await step(shop)
    assert (await shop.job(job_id)).status is JobStatus.RUNNING
    await step(shop, 40)

    assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED
    assert await told_admins(shop, OperatorAlert) == [ADMIN, SECOND_ADMIN] * 2


async def test_many_refusals_at_once_are_told_once(busy_shop: Shop) -> None:
    jobs = [await confirmed(busy_shop, "broke") for _ in range(8)]

    await busy_shop.worker.step()

    assert {(await busy_shop.job(job_id)).status for job_id in jobs} == {JobStatus.FAILED}
    assert await told_admins(busy_shop, OperatorAlert) == [ADMIN, SECOND_ADMIN]


# What a request says


async def test_kie_is_told_where_to_call_back(shop: Shop) -> None:
    job_id = await confirmed(shop)

    await step(shop)

    assert CALLED_BACK.callbacks is not None
    assert [one.callback_url for one in kie(shop).requests] == [CALLED_BACK.callbacks.url(job_id)]
