"""
Killed at any moment: a process that moves money as fast as it can, and says what was acknowledged.

It says so in a file, a ledger ref a line, and only after the use-case returned: whatever stands
there is in the ledger, whenever the process dies and whatever becomes of the database.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from attrs import define, evolve, field, frozen

from kiebot.adapters.kie.stub import StubKieClient
from kiebot.adapters.media.stub import StubMedia
from kiebot.app import Kiebot
from kiebot.core.dialog.screen import Screen
from kiebot.core.errors import (
    InsufficientFundsError,
    RefusedByStatusError,
    StaleError,
    StorageError,
    TooManyJobsError,
)
from kiebot.core.events import Event, JobFailed, JobSucceeded
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.users import UserId
from kiebot.ports.storage import Storage
from kiebot.worker import Worker
from tests.fakes.clock import FakeClock
from tests.fakes.crash import Diary
from tests.fakes.shop import CATALOG, PICTURE, TERMS, Reader, stub_shop
from tests.fakes.values import ADMIN
from tests.torture.chapters import Budget, Chapter, Place, Tally
from tests.torture.kills import LANES, ended, live, start
from tests.torture.watcher import open_database

KILLS = 1000
KILLS_OF_ONE = 40
"""Kills of one database; after that its ledger is long enough to slow the audits of everybody."""

LONGEST_S = 0.2
"""A process lives so long at most, once it moves money; `IN_THE_MIDDLE` of them come so far."""

IN_THE_MIDDLE = 0.8

PEOPLE = tuple(UserId(number) for number in range(101, 109))
HOT = PEOPLE[0]
"""Half of everything happens to this one."""

ALONE = ("grant", "debit", "buy", "buy", "buy", "fail", "topup", "refund")
BESIDE = ("grant",) * 30 + ("debit",) * 30 + ("buy",)
"""Mostly what nobody is told of: Telegram takes a message a second for one person."""

AT_ONCE = 6
LEASE_S = 5.0
PATIENCE_S = 60.0

# --- The process


@frozen(kw_only=True)
class Rush:
    """
    One process. `last`: it moves nothing new, finishes what is open, and ends.

    `beside`: another process leads and works on the jobs; where the database does not answer, this
    one tries on.
    """

    folder: Path
    database: str
    last: bool = False
    beside: bool = False

    def run(self) -> None:
        """Live it in this process."""
        live(self.folder, self._live())

    @property
    def begun(self) -> int:
        """How many processes of this folder came so far as to move money."""
        return len(Diary(self.folder).lines("began"))

    @property
    def last_words(self) -> str:
        """The end of why the latest process of this folder ended by itself."""
        return "\n".join(Diary(self.folder).lines("errors")[-25:])

    async def _live(self) -> None:
        diary = Diary(self.folder)
        async with open_database(self.database) as storage:
            kiebot = make(storage)
            if self.beside:
                await self._move_all(kiebot, diary)
            reader = Teller(diary=diary)
            # What is told of a job is in the ledger: that is where the news came from.
            worker = Worker(kiebot, reader, reader.screen_of, audience=None)
            async with kiebot.lead(worker.scope) as lead:
                working = asyncio.create_task(worker.serve(lead))
                if self.last:
                    await self._finish(kiebot)
                else:
                    await self._move_all(kiebot, diary)
                worker.stop()
                await working

    async def _finish(self, kiebot: Kiebot) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await kiebot.all_open_jobs(1) or await kiebot.untold(1, local=False):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def _move_all(self, kiebot: Kiebot, diary: Diary) -> None:
        diary.note("began", "x")
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(self._move(kiebot, diary, number))

    async def _move(self, kiebot: Kiebot, diary: Diary, number: int) -> None:
        """For ever, one thing after another."""
        rng = random.Random()
        while True:
            what = rng.choice(BESIDE if self.beside else ALONE)
            is_hot = number % 2 and not (self.beside and what == "buy")
            who = HOT if is_hot else rng.choice(PEOPLE)
            try:
                await _one(kiebot, diary, who, rng, what)
            except (InsufficientFundsError, TooManyJobsError, RefusedByStatusError, StaleError):
                # The last: somebody else changed it between our look and our word.
                continue
            except StorageError:
                if not self.beside:
                    raise
                await asyncio.sleep(0.02)


@define
class Teller(Reader):
    """Notes what is told, and with it what must be in the ledger."""

    diary: Diary = field(kw_only=True)

    async def screen_of(self, event: Event) -> Screen:
        match event:
            case JobSucceeded(job_id=job_id) | JobFailed(job_id=job_id):
                self.diary.note("acked", f"settle:{job_id}")
            case _:
                pass
        return Screen(text="")


def make(storage: Storage) -> Kiebot:
    """A kiebot in the hours of this machine, whose jobs are done at once."""

    def now() -> datetime:
        return datetime.now(UTC)

    return Kiebot(
        storage,
        StubKieClient(now, delay_s=0.0),
        CATALOG,
        # Who died over a call of KIE is waited for as long as that may take.
        evolve(TERMS, user_jobs_max=30, call_timeout=timedelta(seconds=1)),
        media=StubMedia(),
        clock=now,
        new_id=lambda: secrets.token_hex(6),
    )


async def meet(kiebot: Kiebot) -> None:
    """Everybody, with some money."""
    for who in PEOPLE:
        await kiebot.greet(who, "Аня", Language.RU)
        await kiebot.grant(who, Money(100_00), by="torture", why="a rush", ref=f"first:{who}")


async def _one(kiebot: Kiebot, diary: Diary, who: UserId, rng: random.Random, what: str) -> None:
    match what:
        case "grant":
            ref = f"grant:{secrets.token_hex(6)}"
            await kiebot.grant(who, Money(50_00), by="torture", why="a rush", ref=ref)
            diary.note("acked", ref)
        case "debit":
            ref = f"debit:{secrets.token_hex(6)}"
            await kiebot.debit(who, Money(7_00), by="torture", why="a rush", ref=ref)
            diary.note("acked", ref)
        case "topup":
            topup = await kiebot.start_topup(who, "100")
            receipt = Attachment(reference="tg:r", digest=topup.id)
            await kiebot.submit_receipt(who, topup.id, receipt)
            await kiebot.approve_topup(ADMIN, topup.id)
            diary.note("acked", f"topup:{topup.id}")
        case "refund":
            done = [job for job in await kiebot.jobs(who, 20) if job.status is JobStatus.SUCCEEDED]
            if done:
                job_id = rng.choice(done).id
                await kiebot.refund(job_id, by="torture", why="a rush")
                diary.note("acked", f"refund:{job_id}")
        case _:
            prompt = "fail" if what == "fail" else "рыжий кот"
            job_id = (await kiebot.draft(who, PICTURE, {"prompt": prompt})).job.id
            await kiebot.confirm(who, job_id)
            diary.note("acked", f"hold:{job_id}")


# --- Who watches it


@define
class Acked:
    """What the processes of one folder were told is done, checked against the ledger."""

    folder: Path
    tally: Tally
    _seen: int = 0

    async def check(self, storage: Storage) -> None:
        """All that came since the last time."""
        # A line that a process died over was not said.
        path = self.folder / "acked"
        said = path.read_text("utf-8").rpartition("\n")[0].splitlines() if path.exists() else []
        new, self._seen = said[self._seen :], len(said)
        kiebot = stub_shop(storage, FakeClock()).kiebot
        async with storage.read() as uow:
            lost = [ref for ref in new if await uow.ledger.by_ref(ref) is None]
        assert lost == [], f"{len(lost)} of {len(new)} that were acknowledged are lost: {lost[:5]}"
        self.tally.checked("what was acknowledged is in the ledger", len(new))
        assert (await kiebot.audit()).problems == ()
        self.tally.checked("the audit is clean")


@asynccontextmanager
async def rushing(rush: Rush) -> AsyncIterator[ForkServerProcess]:
    """The process, killed when the block ends if it still runs."""
    process = await asyncio.to_thread(start, rush.run)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.to_thread(wait, [process.sentinel])
        ended(process)


async def until_begun(rush: Rush, process: ForkServerProcess, before: int) -> None:
    """Wait until it moves money, as `before` others of its folder did."""
    async with asyncio.timeout(PATIENCE_S):
        while rush.begun == before and ended(process) is None:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.005)


async def finish(folder: Path, url: str) -> None:
    """Let a last process finish what all others left."""
    last = Rush(folder=folder, database=url, last=True)
    async with rushing(last) as process:
        await asyncio.to_thread(wait, [process.sentinel], 2 * PATIENCE_S)
        assert ended(process) == 0, last.last_words


@frozen
class KillsAtAnyMoment:
    """See `does`."""

    name = "kills-at-any-moment"
    does = (
        "A process confirms, charges, releases, refunds, tops up, gives and takes money as fast as"
        " the database lets it, half of it in one hot wallet, and is killed (SIGKILL) after a"
        f" random while of at most {LONGEST_S:g} s, or in its beginning; the next one goes on."
    )
    checks = (
        "after every kill what was acknowledged is in the ledger and the audit is clean; in the"
        " end every job has ended and everybody was told."
    )
    full = f"{KILLS:,} kills on each database"
    least = ("kill",)
    weight = 180.0
    databases = ("sqlite", "postgres")

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        async with asyncio.TaskGroup() as group:
            for lane in range(LANES):
                group.create_task(self._lane(lane, place, budget, rng, tally))

    async def _lane(
        self, lane: int, place: Place, budget: Budget, rng: random.Random, tally: Tally
    ) -> None:
        """One database after another, the processes of each one after another."""
        for database in count():
            if tally.done["kill"] >= KILLS or budget.is_over:
                return
            folder = place.folder / f"rush-{lane}-{database}"
            folder.mkdir()
            acked = Acked(folder, tally)
            async with place.fresh() as url, place.open(url) as storage:
                await meet(make(storage))
                for number in range(KILLS_OF_ONE):
                    if tally.done["kill"] >= KILLS or budget.left_s <= 0:
                        break
                    with tally.part(f"lane {lane}, database {database}, kill {number}"):
                        await self._kill(Rush(folder=folder, database=url), rng, tally)
                        await acked.check(storage)
                with tally.part(f"lane {lane}, the end of database {database}"):
                    await finish(folder, url)
                    await acked.check(storage)
                    await all_is_over(storage, tally)
            tally.did("database")

    async def _kill(self, rush: Rush, rng: random.Random, tally: Tally) -> None:
        before = rush.begun
        async with rushing(rush) as process:
            if rng.random() < IN_THE_MIDDLE:
                # The others are killed in their beginning, too.
                await until_begun(rush, process, before)
            await asyncio.sleep(rng.uniform(0, LONGEST_S))
            assert ended(process) is None, rush.last_words
        tally.did("kill")


async def all_is_over(storage: Storage, tally: Tally) -> None:
    """No job is open, and nobody waits for news."""
    kiebot = stub_shop(storage, FakeClock()).kiebot
    assert await kiebot.all_open_jobs(1) == []
    assert (await kiebot.inbox.figures()).untold == 0
    count = 0
    for who in PEOPLE:
        jobs = await kiebot.jobs(who, 10_000)
        count += len(jobs)
    tally.checked("a job has ended, and its person knows", count)
    tally.did("job", count)


CHAPTERS: tuple[Chapter, ...] = (KillsAtAnyMoment(),)
