"""The worker and the engine: every way a job can go, and that one's trouble is its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import define, evolve, field

from kiebot.adapters.kie.stub import BytesFile, Fault, StubKieClient
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.billing import Change
from kiebot.core.dialog.screen import Screen
from kiebot.core.errors import (
    FrontendRefusedError,
    FrontendUnavailableError,
    KieNoAnswerError,
    KieOperatorError,
    KieUnavailableError,
    MediaError,
    StorageError,
)
from kiebot.core.events import Event, JobFailed, JobSucceeded, OperatorAlert
from kiebot.core.jobs import JobStatus
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.tasks import FailReason, TaskId, TaskPending, TaskRequest
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.kie import InputFile
from kiebot.ports.storage import Lane
from kiebot.worker import Worker
from tests.fakes.clock import FakeClock
from tests.fakes.shop import CHEAP, TERMS, Reader, Shop, stub_shop
from tests.fakes.values import ADMIN, BUYER, OTHER, wallet

PRICE = 3000


@pytest.fixture
async def shop(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Shop]:
    storage = await SqliteStorage.open(tmp_path / "shop.db", clock=clock)
    await storage.migrate()
    made = stub_shop(storage, clock)
    await made.meet(roubles=100)
    yield made
    assert await made.problems() == ()
    await storage.close()


def kie(shop: Shop) -> StubKieClient:
    assert isinstance(shop.kie, StubKieClient)
    return shop.kie


async def confirmed(shop: Shop, prompt: str = "рыжий кот", user_id: UserId = BUYER) -> JobId:
    return (await shop.kiebot.confirm(user_id, await shop.offer(user_id, prompt=prompt))).id


async def settle(shop: Shop, prompt: str) -> tuple[JobStatus, FailReason | None]:
    job_id = await confirmed(shop, prompt)
    await shop.work(50)
    job = await shop.job(job_id)
    return job.status, None if job.failure is None else job.failure.reason


async def test_a_result_is_charged_and_told(shop: Shop) -> None:
    assert await settle(shop, "рыжий кот") == (JobStatus.SUCCEEDED, None)

    assert await shop.kiebot.wallet(BUYER) == wallet(10000 - PRICE)
    (told,) = shop.reader.told
    assert isinstance(told, JobSucceeded)
    assert told.summary == "рыжий кот"


@pytest.mark.parametrize(
    ("prompt", "reason", "tasks"),
    [
        ("fail", FailReason.MODEL_FAILED, 1),
        ("refuse", FailReason.BAD_INPUT, 0),
        ("broke", FailReason.UNAVAILABLE, 0),
        ("lost", FailReason.NO_ANSWER, 2),
    ],
)
async def test_a_failure_releases_and_is_told(
    shop: Shop, prompt: str, reason: FailReason, tasks: int
) -> None:
    assert await settle(shop, prompt) == (JobStatus.FAILED, reason)

    assert await shop.kiebot.wallet(BUYER) == wallet(10000)
    assert [e.reason for e in shop.reader.told if isinstance(e, JobFailed)] == [reason]
    assert len(kie(shop).created) == tasks


async def test_what_kie_refuses_names_the_question(shop: Shop) -> None:
    job_id = await confirmed(shop, "refuse")

    await shop.worker.step()

    failure = (await shop.job(job_id)).failure
    assert failure is not None
    assert failure.param == "prompt"


async def test_an_outage_of_kie_uses_up_no_submission(shop: Shop) -> None:
    for _ in range(5):
        kie(shop).script(Fault("create_task", KieUnavailableError("429")))

    assert await settle(shop, "рыжий кот") == (JobStatus.SUCCEEDED, None)

    assert len(kie(shop).created) == 1


async def test_an_outage_that_does_not_end_releases_at_the_deadline(shop: Shop) -> None:
    for _ in range(500):
        kie(shop).script(Fault("create_task", KieUnavailableError("455")))
    job_id = await confirmed(shop)

    await shop.work(1000)

    job = await shop.job(job_id)
    assert job.failure is not None
    assert job.failure.reason is FailReason.TIMED_OUT
    assert job.updated_at - (job.confirmed_at or job.updated_at) >= TERMS.job_timeout


async def test_a_task_without_end_fails_at_the_deadline(shop: Shop) -> None:
    job_id = await confirmed(shop, "stall")
    await shop.worker.step()

    shop.clock.advance(TERMS.job_timeout.total_seconds())
    await shop.worker.step()

    failure = (await shop.job(job_id)).failure
    assert failure is not None
    assert failure.reason is FailReason.TIMED_OUT
    assert await shop.kiebot.wallet(BUYER) == wallet(10000)


async def test_a_lost_answer_is_tried_once_more_and_paid_once(shop: Shop) -> None:
    kie(shop).script(Fault("create_task", KieNoAnswerError("time-out")))

    assert await settle(shop, "рыжий кот") == (JobStatus.SUCCEEDED, None)

    assert len(kie(shop).created) == 2
    assert await shop.kiebot.wallet(BUYER) == wallet(10000 - PRICE)


async def test_a_look_that_fails_is_just_a_look(shop: Shop) -> None:
    for fault in (KieUnavailableError("502"), KieOperatorError(401, "key"), None):
        kie(shop).script(Fault("task_status", fault))
    kie(shop).script(Fault("task_status", TaskPending("odd word")))

    assert await settle(shop, "рыжий кот") == (JobStatus.SUCCEEDED, None)


async def test_a_clock_that_is_set_back_keeps_no_job_waiting(shop: Shop) -> None:
    job_id = await confirmed(shop)
    await shop.worker.step()
    assert (await shop.job(job_id)).status is JobStatus.RUNNING

    async def is_due() -> bool:
        return [job.id for job in await shop.kiebot.due(9, Lane.CHECK, local=True)] == [job_id]

    assert not await is_due()
    shop.clock.now -= timedelta(seconds=30)
    assert not await is_due()
    shop.clock.now -= timedelta(hours=3)
    assert await is_due()

    # Looked at, it waits as any other does.
    await shop.worker.step()
    assert not await is_due()


async def test_a_clock_that_is_set_back_keeps_no_administrator_from_being_told(shop: Shop) -> None:
    await settle(shop, "broke")
    shop.clock.now -= timedelta(hours=3)
    await settle(shop, "broke")

    untold = await shop.kiebot.untold(100, local=False)
    assert [type(one.event) for one in untold] == [OperatorAlert, OperatorAlert]


async def test_administrators_are_told_once_an_hour_and_cause(shop: Shop) -> None:
    async def alerts() -> int:
        untold = await shop.kiebot.untold(100, local=False)
        return sum(isinstance(one.event, OperatorAlert) for one in untold)

    for _ in range(3):
        await settle(shop, "broke")
    assert await alerts() == 1

    shop.clock.advance(3601)
    await settle(shop, "broke")
    assert await alerts() == 2
    assert {one.event.user_id for one in await shop.kiebot.untold(9, local=False)} == {ADMIN}


# Files


@define
class Desk(Reader):
    """A reader on whose desk one file lies."""

    content: bytes | None = b"\x89PNG\r\n\x1a\n rest"

    @asynccontextmanager
    async def open(self, reference: str) -> AsyncIterator[InputFile]:
        if self.content is None:
            raise MediaError(reference, "gone")
        yield BytesFile(name="cat.png", content=self.content)


async def with_file(shop: Shop, desk: Desk) -> JobId:
    shop.worker = Worker(shop.kiebot, desk, desk.screen_of, audience=BUYER)
    drafted = await shop.kiebot.draft(BUYER, CHEAP)
    cat = Attachment(reference="file:///cat.png", name="cat.png", mime="image/png", size=12)
    drafted = await shop.kiebot.answer(BUYER, drafted.job.id, "image", cat)
    return (await shop.kiebot.confirm(BUYER, drafted.job.id)).id


async def test_a_file_is_handed_to_kie_before_the_task(shop: Shop) -> None:
    job_id = await with_file(shop, Desk())

    await shop.work()

    assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED


async def test_a_file_that_is_gone_costs_nothing(shop: Shop) -> None:
    job_id = await with_file(shop, Desk(content=None))

    await shop.worker.step()

    failure = (await shop.job(job_id)).failure
    assert failure is not None
    assert failure.reason is FailReason.UNREADABLE_FILE
    assert kie(shop).created == []


async def test_uploads_wait_for_kie_like_everything_else(shop: Shop) -> None:
    kie(shop).script(Fault("upload", KieUnavailableError("503")))
    job_id = await with_file(shop, Desk())

    await shop.work()

    assert (await shop.job(job_id)).submissions == 1
    assert (await shop.job(job_id)).status is JobStatus.SUCCEEDED


# One's trouble is one's own


async def test_an_unexpected_error_in_one_job_does_not_stop_the_others(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    kie(shop).script(Fault("create_task", RuntimeError("a bug")))
    first, second = await confirmed(shop), await confirmed(shop)

    await shop.worker.step()

    statuses = {(await shop.job(job)).status for job in (first, second)}
    assert statuses == {JobStatus.QUEUED, JobStatus.RUNNING}
    assert "job step failed" in caplog.text

    await shop.work(50)
    assert {(await shop.job(job)).status for job in (first, second)} == {JobStatus.SUCCEEDED}


@define
class Deaf(Reader):
    """A frontend where nobody can be reached."""

    trouble: Exception = field(kw_only=True)

    async def show(self, _: UserId, __: Screen) -> None:
        raise self.trouble


async def test_who_cannot_be_reached_counts_as_told(shop: Shop) -> None:
    deaf = Deaf(trouble=FrontendRefusedError("blocked"))
    shop.worker = Worker(shop.kiebot, deaf, deaf.screen_of, audience=BUYER)

    await settle(shop, "рыжий кот")

    assert await shop.kiebot.untold_of(BUYER, 9) == []


async def test_what_could_not_be_told_waits_in_order(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    deaf = Deaf(trouble=RuntimeError("a bug"))
    shop.worker = Worker(shop.kiebot, deaf, deaf.screen_of, audience=BUYER)
    await settle(shop, "рыжий кот")
    await settle(shop, "fail")
    assert len(await shop.kiebot.untold_of(BUYER, 9)) == 2
    assert "telling failed" in caplog.text

    later = Reader()
    await Worker(shop.kiebot, later, later.screen_of, audience=BUYER).tell()

    assert [type(event) for event in later.told] == [JobSucceeded, JobFailed]
    assert await shop.kiebot.untold_of(BUYER, 9) == []


async def test_a_terminal_tells_only_its_own_person(shop: Shop) -> None:
    await shop.meet(OTHER, roubles=100)
    await confirmed(shop, user_id=OTHER)

    await shop.work()

    assert shop.reader.told == []
    assert len(await shop.kiebot.untold_of(OTHER, 9)) == 1


# News of many


def news(*people: int) -> tuple[OperatorAlert, ...]:
    """A piece of news for each of them, numbered through."""
    return tuple(
        OperatorAlert(user_id=UserId(user_id), code=code, detail="")
        for code, user_id in enumerate(people)
    )


async def leave(shop: Shop, *people: int) -> None:
    """News that wait to be told."""
    async with shop.storage.begin() as uow:
        await uow.record(Change(events=news(*people)))


@define
class Notes(Reader):
    """A frontend that notes who was shown what, in order."""

    shown: list[tuple[UserId, str]] = field(factory=list)

    async def show(self, user_id: UserId, screen: Screen) -> None:
        self.shown.append((user_id, screen.text))
        self.heard.set()

    async def screen_of(self, event: Event) -> Screen:
        assert isinstance(event, OperatorAlert)
        return Screen(text=str(event.code))


@define
class Patchy(Notes):
    """Some cannot be reached for an hour."""

    deaf: frozenset[UserId] = frozenset()

    async def show(self, user_id: UserId, screen: Screen) -> None:
        if user_id in self.deaf:
            raise FrontendUnavailableError("too much", retry_s=3600)
        await super().show(user_id, screen)


def teller(shop: Shop, notes: Notes) -> Worker:
    return Worker(shop.kiebot, notes, notes.screen_of, audience=None)


async def test_a_pile_of_news_of_one_person_holds_up_nobody_else(shop: Shop) -> None:
    patchy = Patchy(deaf=frozenset([UserId(5)]))
    await leave(shop, *[5] * 250, 4, 6)

    await teller(shop, patchy).tell()

    assert sorted(patchy.shown) == [(4, "250"), (6, "251")]


async def test_any_number_who_cannot_be_reached_hold_up_nobody_else(shop: Shop) -> None:
    deaf = range(10, 260)
    patchy = Patchy(deaf=frozenset(map(UserId, deaf)))
    worker = teller(shop, patchy)
    await leave(shop, *deaf, 400, 1)
    await worker.tell()
    assert sorted(patchy.shown) == [(1, "251"), (400, "250")]

    await leave(shop, 500, 2, 300)
    await worker.tell()

    assert sorted(user_id for user_id, _ in patchy.shown[2:]) == [2, 300, 500]


async def test_news_of_one_person_are_told_in_order_and_of_many_in_turn(shop: Shop) -> None:
    notes = Notes()
    await leave(shop, *[5] * 100, *range(100, 140))

    await teller(shop, notes).tell()

    assert [text for user_id, text in notes.shown if user_id == 5] == [str(n) for n in range(100)]
    assert {user_id for user_id, _ in notes.shown} == {5, *range(100, 140)}
    assert notes.shown[-1][0] == 5
    assert not await shop.kiebot.awaiting(1, local=False)


@define
class Sluggish(Notes):
    """It takes some as long as the test says."""

    slow: frozenset[UserId] = frozenset()
    begun: asyncio.Event = field(factory=asyncio.Event)
    ready: asyncio.Event = field(factory=asyncio.Event)
    cut: list[UserId] = field(factory=list)

    async def show(self, user_id: UserId, screen: Screen) -> None:
        if user_id in self.slow:
            self.begun.set()
            try:
                await self.ready.wait()
            except asyncio.CancelledError:
                self.cut.append(user_id)
                raise
        await super().show(user_id, screen)


async def heard(notes: Notes, count: int) -> None:
    """Until so much was shown."""
    while len(notes.shown) < count:
        notes.heard.clear()
        await notes.heard.wait()


async def test_who_is_told_slowly_holds_up_no_later_news_of_others(shop: Shop) -> None:
    sluggish = Sluggish(slow=frozenset([UserId(5)]))
    worker = teller(shop, sluggish)
    await leave(shop, 5, 6)
    telling = asyncio.create_task(worker.run())

    try:
        async with asyncio.timeout(60):
            await sluggish.begun.wait()
            await heard(sluggish, 1)
            await leave(shop, 7, 5, 6)
            await heard(sluggish, 3)
            assert sorted(user_id for user_id, _ in sluggish.shown) == [6, 6, 7]

            sluggish.ready.set()
            await heard(sluggish, 5)
    finally:
        telling.cancel()
        await asyncio.wait([telling])

    assert [shown for shown in sluggish.shown if shown[0] == 5] == [(5, "0"), (5, "1")]


async def test_to_stop_finishes_what_is_being_told_and_begins_nothing(shop: Shop) -> None:
    sluggish = Sluggish(slow=frozenset([UserId(5)]))
    worker = teller(shop, sluggish)
    await leave(shop, 5, 5)

    async with asyncio.timeout(60), shop.kiebot.lead("remote") as lead:
        serving = asyncio.create_task(worker.serve(lead))
        await sluggish.begun.wait()
        worker.stop()
        await leave(shop, 6)
        sluggish.ready.set()
        await serving

    assert sluggish.shown == [(5, "0")]
    assert await shop.kiebot.awaiting(9, local=False) == [5, 6]
    assert len(await shop.kiebot.untold_of(UserId(5), 9)) == 1


async def test_who_lost_the_lead_says_nothing_more(shop: Shop) -> None:
    sluggish = Sluggish(slow=frozenset([UserId(5)]))
    await leave(shop, 5)

    async with asyncio.timeout(60), shop.kiebot.lead("remote") as lead:
        serving = asyncio.create_task(teller(shop, sluggish).serve(lead))
        await sluggish.begun.wait()
        lead.lost.set()
        await serving

    assert (sluggish.shown, sluggish.cut) == ([], [5])
    assert await shop.kiebot.awaiting(9, local=False) == [5]


async def test_a_database_that_fails_for_a_moment_is_no_bug(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    await leave(shop, 5)
    deaf = Deaf(trouble=StorageError("gone"))

    await Worker(shop.kiebot, deaf, deaf.screen_of, audience=None).tell()

    assert "told later: gone" in caplog.text
    assert "Traceback" not in caplog.text
    assert await shop.kiebot.awaiting(9, local=False) == [5]


# Side by side


async def test_two_workers_at_once_submit_a_job_once(shop: Shop) -> None:
    for _ in range(3):
        await confirmed(shop)
    twin = Worker(shop.kiebot, shop.reader, shop.reader.screen_of, audience=BUYER)

    await asyncio.gather(shop.worker.step(), twin.step())
    await shop.work()

    assert len(kie(shop).created) == 3


async def test_running_means_working_and_telling(shop: Shop) -> None:
    """No step is called: a confirmed job comes to its end while the worker runs."""
    running = asyncio.create_task(shop.worker.run())
    job_id = await confirmed(shop)

    async with asyncio.timeout(20):
        async for job in shop.kiebot.follow(BUYER, job_id, every_s=0.05):
            shop.clock.advance(4)
            last = job.status
        await shop.reader.heard.wait()

    assert last is JobStatus.SUCCEEDED
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_drafts_nobody_touched_are_cancelled(shop: Shop) -> None:
    offer = await shop.offer()
    shop.clock.advance(timedelta(hours=24, seconds=1).total_seconds())

    await shop.kiebot.cancel_stale_drafts(None)

    assert (await shop.job(offer)).status is JobStatus.CANCELLED


async def test_a_draft_waits_for_the_money_to_come(shop: Shop) -> None:
    offer = await shop.offer()
    topup = await shop.kiebot.start_topup(BUYER, "100")
    shop.clock.advance(timedelta(hours=25).total_seconds())

    await shop.kiebot.cancel_stale_drafts(None)
    assert (await shop.job(offer)).is_offer

    await shop.kiebot.cancel_topup(BUYER, topup.id)
    await shop.kiebot.cancel_stale_drafts(None)
    assert (await shop.job(offer)).status is JobStatus.CANCELLED


async def test_a_model_that_left_the_catalog_gives_the_money_back(shop: Shop) -> None:
    job_id = await confirmed(shop)
    shop.catalog = evolve(shop.catalog, models=shop.catalog.models[:1])
    other = Shop(
        storage=shop.storage, kie=shop.kie, clock=shop.clock, catalog=shop.catalog, prefix="o"
    )

    await other.worker.step()

    assert (await shop.job(job_id)).status is JobStatus.FAILED
    assert [type(event) for event in other.reader.told] == [JobFailed]


# Lanes


@asynccontextmanager
async def at_work(shop: Shop) -> AsyncIterator[None]:
    """The worker runs meanwhile."""
    running = asyncio.create_task(shop.worker.run())
    try:
        async with asyncio.timeout(30):
            yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def ends(shop: Shop, job_id: JobId) -> JobStatus:
    """Let time pass until the job has ended; how."""
    async for job in shop.kiebot.follow(BUYER, job_id, every_s=0.02):
        shop.clock.advance(4)
        last = job.status
    return last


MANY = evolve(TERMS, user_jobs_max=1000)


async def test_jobs_that_wait_to_be_submitted_hold_up_none_that_runs(shop: Shop) -> None:
    """Forty wait for a turn at KIE that does not come."""
    crowded = Shop(
        storage=shop.storage,
        kie=shop.kie,
        clock=shop.clock,
        terms=evolve(MANY, creates_per_10s=1),
        prefix="c",
    )
    await crowded.kiebot.grant(BUYER, Money.rub("2000"), by="tests", why="a test")
    running = await confirmed(crowded)
    await crowded.worker.step()
    at = shop.clock.advance(11)
    async with crowded.storage.begin() as uow:
        assert await uow.limits.take("creates", 1, at, at + timedelta(seconds=60)) is not None
    waiting = [await confirmed(crowded) for _ in range(40)]

    async with at_work(crowded):
        assert await ends(crowded, running) is JobStatus.SUCCEEDED

    jobs = [await crowded.job(job_id) for job_id in waiting]
    assert {(job.status, job.submissions) for job in jobs} == {(JobStatus.QUEUED, 0)}
    assert [job_id for job_id, _ in kie(shop).created] == [running]


class Moody(StubKieClient):
    """A KIE that some jobs make stumble, whenever they come."""

    bad: frozenset[JobId] = frozenset()

    async def create_task(self, request: TaskRequest) -> TaskId:
        if request.job_id in self.bad:
            raise RuntimeError("a bug")
        return await super().create_task(request)


async def test_jobs_that_rest_hold_up_none_behind_them(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """Forty that fail unexpectedly are due first, for ever; there is work behind them."""
    moody = Moody(shop.clock)
    crowded = Shop(storage=shop.storage, kie=moody, clock=shop.clock, terms=MANY, prefix="c")
    await crowded.kiebot.grant(BUYER, Money.rub("2000"), by="tests", why="a test")
    moody.bad = frozenset([await confirmed(crowded) for _ in range(40)])
    shop.clock.advance(1)
    good = [await confirmed(crowded) for _ in range(3)]

    async with at_work(crowded):
        assert {await ends(crowded, job_id) for job_id in good} == {JobStatus.SUCCEEDED}

    assert "job step failed" in caplog.text
    assert {(await crowded.job(job_id)).status for job_id in moody.bad} == {JobStatus.QUEUED}


class Slow(StubKieClient):
    """A KIE that is silent about the jobs of some people."""

    silent: frozenset[JobId] = frozenset()

    async def create_task(self, request: TaskRequest) -> TaskId:
        if request.job_id in self.silent:
            await asyncio.Event().wait()
        return await super().create_task(request)


async def test_the_jobs_of_one_person_leave_places_for_others(shop: Shop) -> None:
    """Forty of somebody's are due first, and none of them gets on."""
    slow = Slow(shop.clock)
    crowded = Shop(storage=shop.storage, kie=slow, clock=shop.clock, terms=MANY, prefix="c")
    crowded.worker = Worker(crowded.kiebot, crowded.reader, crowded.reader.screen_of, audience=None)
    greedy, other = UserId(1), UserId(2)
    await crowded.meet(greedy, other, roubles=2000)
    jobs = [await crowded.offer(greedy) for _ in range(40)]
    slow.silent = frozenset(jobs)
    for job_id in jobs:
        await crowded.kiebot.confirm(greedy, job_id)
    shop.clock.advance(1)
    job_id = await crowded.offer(other)
    await crowded.kiebot.confirm(other, job_id)

    async with at_work(crowded):
        async for job in crowded.kiebot.follow(other, job_id, every_s=0.02):
            shop.clock.advance(4)
            status = job.status

    assert status is JobStatus.SUCCEEDED


async def test_what_has_ended_is_worked_on_while_a_task_of_it_runs(shop: Shop) -> None:
    kie(shop).script(Fault("task_status", TaskPending()))
    job_id = await confirmed(shop, "stall")
    await shop.worker.step()
    shop.clock.advance(TERMS.job_timeout.total_seconds())
    await shop.worker.step()
    failed = await shop.job(job_id)
    assert (failed.status, failed.next_check_at) == (
        JobStatus.FAILED,
        shop.clock() + TERMS.pace.follow_pause(),
    )

    shop.clock.advance(TERMS.pace.follow_pause().total_seconds())
    await shop.worker.step()

    assert (await shop.job(job_id)).next_check_at == shop.clock() + TERMS.pace.follow_pause()
