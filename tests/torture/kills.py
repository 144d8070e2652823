"""
Killed at every step that the code can take.

Which steps there are is read off the code twice: a process that nobody kills writes down each step
it takes and which function of kiebot took it, and `steps_in_code` finds the same functions in the
source. A step is the moment before and after each commit, each call of KIE that may cost money or
say how a job ends, and each word to a person. `tests/test_torture.py` compares the two lists, so
that a new step needs a story here that takes it.
"""

import ast
import asyncio
import json
import logging
import multiprocessing
import random
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import count
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType
from typing import Any

from attrs import define, evolve, field, frozen

import kiebot
from kiebot.adapters.kie.stub import StubKieClient
from kiebot.app import Kiebot
from kiebot.core.dialog.screen import Screen
from kiebot.core.errors import FrontendUnavailableError, InsufficientFundsError
from kiebot.core.events import Event, JobFailed, JobSucceeded
from kiebot.core.expect import Amount
from kiebot.core.jobs import OPEN, Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment, MediaKind, SentFile
from kiebot.core.money import Money
from kiebot.core.notices import About, Notice
from kiebot.core.updates import Update
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.storage import Lead, Storage
from kiebot.reception import Reception
from kiebot.worker import Worker
from tests.fakes.clock import START, FakeClock
from tests.fakes.crash import (
    CAT,
    EDITING,
    KILLED,
    Diary,
    SteppingKie,
    SteppingReader,
    SteppingStorage,
    Steps,
)
from tests.fakes.shop import CHEAP, PICTURE, TERMS, Shop, stub_shop
from tests.fakes.values import ADMIN
from tests.torture.chapters import Budget, Chapter, Place, Tally
from tests.torture.watcher import open_database

SOURCE = Path(kiebot.__file__).parent
APART = timedelta(days=6)
"""How much later each process lives: longer than any of them lives in its own hours."""

PATIENCE_S = 60.0
LOOK_S = 0.005
LOOKS = 20

KILLS = 1000
KILLS_OF_ONE = 75
"""Kills of one database; after that its ledger is long enough to slow the audits of everybody."""

LANES = 2
"""Databases side by side: a process that is killed waits as much as it works."""

PEOPLE = 10
"""Numbers of people that each process has for itself."""

PROCESSES = multiprocessing.get_context("forkserver")
"""Forks of a server that has everything imported."""

PROCESSES.set_forkserver_preload(["tests.fakes.crash", "tests.torture.kills", "tests.torture.rush"])


# --- Which steps the code can take

_CALLS = {
    "begin": "a commit",
    "once": "a commit",
    "create_task": "createTask",
    "task_status": "recordInfo",
    "is_task_of": "recordInfo",
    "upload": "an upload",
    "open_result": "reading a result",
    "show": "telling",
    "migrate": "the migration",
    "claim": "the claim",
}
_RECEIVERS = {"_storage", "_kie", "_frontend"}

_ANYWHERE = {"reading a result", "the migration", "the claim"}
"""Taken by whoever opens the file, or starts the process: which function it is says nothing."""


def steps_in_code() -> frozenset[str]:
    """Every step that a function of kiebot's own can take: "before a commit in app.confirm"."""
    found: set[str] = set()
    for path in sorted(SOURCE.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            match function:
                # Who passes a storage on begins for somebody else.
                case ast.AsyncFunctionDef(name=name) | ast.FunctionDef(name=name) if (
                    name not in _PASSED_ON
                ):
                    for what in _steps_of(function):
                        where = "" if what in _ANYWHERE else f" in {path.stem}.{name}"
                        found |= {f"{when} {what}{where}" for when in ("before", "after")}
                case _:
                    pass
    return frozenset(found)


_PASSED_ON = {"begin", "once"}


def _steps_of(function: ast.AsyncFunctionDef | ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            # A method that is named is called, at once or by another name.
            case ast.Attribute(attr=name, value=ast.Attribute(attr=receiver)) if (
                name in _CALLS and receiver in _RECEIVERS
            ):
                yield _CALLS[name]


@define
class NamedSteps(Steps):
    """
    Steps that say which function took them. The process is killed at the `nth` (from 1) of
    one `name`.
    """

    name: str = ""
    nth: int = 0
    _seen: int = 0

    def __call__(self, name: str) -> None:
        """See `Steps`."""
        step = name
        if name.partition(" ")[2] not in _ANYWHERE:
            step = f"{name} in {_who(sys._getframe(1))}"  # noqa: SLF001 - whose step it is
        if step == self.name:
            self._seen += 1
            if self._seen == self.nth:
                self.kill_at = self.taken
        super().__call__(step)


def _who(frame: FrameType | None) -> str:
    """The function of kiebot's own modules that is on its way down to `frame`."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.parent == SOURCE and frame.f_code.co_name not in _PASSED_ON:
            return f"{path.stem}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "a story"


# --- The processes


@frozen(kw_only=True)
class Life:
    """
    One process: it finishes what the one before left, then lives `story`, and may be killed in
    either. `number` is its own on this database: people, ids and hours come of it.
    """

    folder: Path
    database: str
    number: int
    story: str
    name: str = ""
    nth: int = 0

    def run(self) -> None:
        """Live it in this process."""
        live(self.folder, self._live())

    async def _live(self) -> None:
        diary = Diary(self.folder)
        step = NamedSteps(diary, None, name=self.name, nth=self.nth)
        clock = FakeClock(START + self.number * APART)
        async with open_database(self.database) as storage:
            stub = StubKieClient(clock)
            kie = PoorKie(inner=stub, step=step)
            reader = Desk(step=step, kie=kie)
            stepping: Storage = SteppingStorage(storage, step)
            shop = Shop(
                storage=stepping,
                kie=kie,
                clock=clock,
                terms=evolve(
                    TERMS,
                    demo_grant=Money(1000),
                    creates_per_10s=20,
                    queries_per_s=10,
                    watches_credits=True,
                ),
                reader=reader,
                prefix=f"n{self.number}-",
            )
            reader.kiebot = shop.kiebot
            shop.worker = Worker(shop.kiebot, reader, reader.screen_of, audience=None)
            past = Past(
                shop=shop,
                stub=stub,
                reader=reader,
                diary=diary,
                first=1000 + self.number * PEOPLE,
            )
            await stepping.migrate()
            await stepping.claim([("kind", "demo")])
            async with shop.kiebot.lead(shop.worker.scope) as lead:
                await past.finish(lead)
                await STORIES[self.story](past, lead)
                await past.finish(lead)
            diary.note("ended", str(self.number))


@frozen
class PoorKie(SteppingKie):
    """A KIE at which nothing is left, so that administrators are to be told."""

    async def credits(self) -> Decimal:
        return Decimal(0)


@define
class Desk(SteppingReader):
    """
    A frontend that notes what it tells, and does what updates ask for: `{"do": "confirm", ...}`.

    `deaf` are people who are not reached the first time.
    """

    kiebot: Kiebot = field(init=False)
    deaf: set[int] = field(factory=set)

    async def handle(
        self, update: Mapping[str, object], is_ours: Callable[[], bool] = lambda: True
    ) -> None:
        """Do what it asks for, and reply."""
        assert is_ours()
        person, subject = UserId(int(str(update["who"]))), str(update["what"])
        match update["do"]:
            case "confirm":
                await self.kiebot.confirm(person, JobId(subject))
                self.step.diary.note("acked", f"hold:{subject}")
            case "speak":
                await self.kiebot.speak(person, Language(subject))
            case _:
                raise AssertionError(update)
        if person in self.deaf:
            self.deaf.remove(person)
            raise FrontendUnavailableError("not now", None)
        # A word that is lost here is lost between two commits, which are steps already.
        self.step.diary.note("told", f"done {subject}")

    async def where(self, _: UserId) -> Screen:
        """Where somebody is who did something and never saw what came of it."""
        return Screen(text="where")

    async def answer_press(self, update: Mapping[str, object]) -> None:
        """No button is pressed here."""

    def share(self, instances: int) -> None:
        """Nothing is limited here."""

    async def close(self) -> None:
        """Nothing is open."""

    async def screen_of(self, event: Event) -> Screen:
        """Every event is read here, results with their files."""
        match event:
            case JobSucceeded() | JobFailed():
                return await super().screen_of(event)
            case _:
                return Screen(text=type(event).__name__)


@frozen(kw_only=True)
class Past:
    """What a story has at hand."""

    shop: Shop
    stub: StubKieClient
    reader: Desk
    diary: Diary
    first: int

    @property
    def kiebot(self) -> Kiebot:
        return self.shop.kiebot

    def person(self, number: int) -> UserId:
        """One of this process's own people."""
        return UserId(self.first + number)

    async def meet(self, number: int, roubles: int) -> UserId:
        """Somebody with this much money."""
        who = self.person(number)
        await self.kiebot.greet(who, "Аня", Language.RU)
        await self.grant(who, roubles, f"grant:{who}")
        return who

    async def grant(self, who: UserId, roubles: int, ref: str) -> None:
        """Give money, and say that it was given."""
        await self.kiebot.grant(who, Money(roubles * 100), by="torture", why="a story", ref=ref)
        self.diary.note("acked", ref)

    async def buys(self, who: UserId, prompt: str, model: str = PICTURE) -> Job:
        """Confirm an offer."""
        job_id = (await self.kiebot.draft(who, model, {"prompt": prompt})).job.id
        job = await self.kiebot.confirm(who, job_id)
        self.diary.note("acked", f"hold:{job_id}")
        return job

    def reception(self) -> Reception:
        """Handles updates."""

        async def turn_away(update: Update, is_first: bool) -> None:
            raise AssertionError((update, is_first))

        return Reception(
            self.kiebot,
            self.reader,
            where=self.reader.where,
            went_wrong=self.reader.where,
            turn_away=turn_away,
            lease_s=60,
        )

    async def finish(self, lead: Lead) -> None:
        """Until nothing is open, untold or unanswered."""
        await self.answer([], lead)
        for _ in range(200):
            await self.shop.worker.step(lead)
            is_open = await self.kiebot.all_open_jobs(1)
            if not is_open and not await self.kiebot.untold(1, local=False):
                return
            self.shop.clock.advance(40)
        raise AssertionError("something is still open")

    async def answer(self, updates: Sequence[Update], lead: Lead) -> None:
        """Take updates in, and handle what waits."""
        await self.reception().take_in(updates, lead)
        async with asyncio.timeout(PATIENCE_S):
            while await self._is_waiting():
                # Who begins anew leaves nobody alone that could not be reached a moment ago.
                reception = self.reception()
                running = asyncio.create_task(reception.run(lead))
                for _ in range(LOOKS):
                    if await self._is_waiting():
                        await asyncio.sleep(LOOK_S)
                reception.stop()
                await running
                await reception.close()
                self.shop.clock.advance(10)

    async def _is_waiting(self) -> bool:
        return bool((await self.kiebot.inbox.figures()).updates_waiting)


# --- The stories


async def _sends_money(past: Past, _: Lead) -> None:
    """Top-ups of every end, and what the operator does to money and people."""
    bot, who = past.kiebot, past.person(1)
    await bot.greet(who, "Аня", Language.RU)
    past.diary.note("acked", f"demo:{who}")
    await bot.saw(who)
    await bot.speak(who, Language.EN)
    await bot.expect(who, Amount())
    replaced = await bot.start_topup(who, "50")
    topup = await bot.start_topup(who, "100")
    await bot.cancel_topup(who, (await _again(past, who)).id)
    assert replaced.id != topup.id
    for roubles, is_good in ((200, True), (300, False)):
        topup = await bot.start_topup(who, str(roubles))
        receipt = Attachment(reference="tg:receipt", digest=f"{who}:{roubles}")
        await bot.submit_receipt(who, topup.id, receipt)
        if is_good:
            await bot.correct_topup(ADMIN, topup.id, "150")
            await bot.approve_topup(ADMIN, topup.id, Money(15000))
            past.diary.note("acked", f"topup:{topup.id}")
        else:
            await bot.reject_topup(ADMIN, topup.id, "no money came")
    await past.grant(who, 10, f"grant:{who}")
    await bot.debit(who, Money(500), by="torture", why="a story", ref=f"debit:{who}")
    past.diary.note("acked", f"debit:{who}")
    await bot.block(ADMIN, who, "a story")
    await bot.unblock(ADMIN, who, "a story")


async def _again(past: Past, who: UserId) -> Any:
    return await past.kiebot.start_topup(who, "70")


async def _has_things_made(past: Past, lead: Lead) -> None:
    """Jobs of every end, a lost answer that a callback finds, and a refund."""
    bot, who = past.kiebot, await past.meet(1, 1000)
    job_id = (await bot.draft(who, EDITING)).job.id
    cat = Attachment(reference="file:///cat.png", name="cat.png", mime="image/png", size=len(CAT))
    await bot.answer(who, job_id, "input_urls", cat)
    await bot.finish_files(who, job_id, "input_urls")
    await bot.answer(who, job_id, "prompt", "рыжий кот")
    await bot.confirm(who, job_id)
    past.diary.note("acked", f"hold:{job_id}")
    await past.buys(who, "fail")
    lost = await past.buys(who, "lost")
    await past.shop.worker.step(lead)
    (task_id,) = (task for job, task in past.stub.created if job == lost.id)
    for running in await bot.all_open_jobs(10):
        if running.kie_task_id is not None:
            await bot.look(running)
    assert await bot.called_back(lost.id, task_id)
    await past.buys(who, "refuse")
    await past.buys(who, "broke")
    await past.finish(lead)
    past.diary.note("acked", f"settle:{job_id}")
    await bot.refund(job_id, by="torture", why="a story")
    past.diary.note("acked", f"refund:{job_id}")

    poor = past.person(2)
    await bot.greet(poor, "Пётр", Language.RU)
    try:
        await past.buys(poor, "рыжий кот")
    except InsufficientFundsError as error:
        await bot.cancel(poor, JobId(error.draft_id or ""))
    else:
        raise AssertionError("sold for nothing")


async def _waits_in_vain(past: Past, lead: Lead) -> None:
    """A task that never ends, a draft that nobody wants, a model off sale, files and notices."""
    bot, who = past.kiebot, await past.meet(1, 100)
    await bot.draft(who, PICTURE)
    job = await past.buys(who, "stall")
    await past.shop.worker.step(lead)
    past.shop.clock.advance(3700)
    await past.shop.worker.step(lead)
    await past.finish(lead)
    assert (await bot.job(who, job.id)).status is JobStatus.FAILED
    # Whoever died in between left it switched off.
    for switched in await bot.switched_off(ADMIN):
        await bot.switch_on(ADMIN, switched.model_id, "a story")
    await bot.switch_off(ADMIN, CHEAP, "a story")
    await bot.switch_on(ADMIN, CHEAP, "a story")
    past.shop.clock.advance(25 * 3600)
    await bot.cancel_stale_drafts(lead)
    sent = SentFile(file_id="f", kind=MediaKind.IMAGE)
    await bot.remember_sent(f"https://x/{who}", MediaKind.IMAGE, sent)
    await bot.report_not_sent(who, "cat.png", "too large")
    notice = Notice(user_id=who, message_id=1, about=About.JOB, ref=job.id)
    await bot.notices.put(notice)
    await bot.notices.remove(who, [1])


async def _writes_to_us(past: Past, lead: Lead) -> None:
    """Updates: handled, not heard, handled by somebody who died before they could reply."""
    bot, who = past.kiebot, await past.meet(1, 100)
    other = await past.meet(2, 100)
    job_id = (await bot.draft(who, PICTURE, {"prompt": "рыжий кот"})).job.id
    past.reader.deaf.add(who)
    numbers = (past.first * 10 + number for number in range(10))

    def update(person: UserId, do: str, what: str) -> Update:
        body = json.dumps({"who": person, "do": do, "what": what})
        return Update(id=next(numbers), user_id=person, body=body)

    asked = [update(who, "confirm", job_id), update(other, "speak", "en")]
    await past.answer(asked, lead)
    # The same once more, as Telegram does when we did not say that we have them.
    await past.answer([*asked, update(who, "speak", "en")], lead)
    past.diary.note("acked", f"hold:{job_id}")
    await bot.inbox.present(f"taker-{past.first}")
    await bot.inbox.receive([update(who, "speak", "ru")], lead)
    (taken,) = await bot.inbox.take("somebody", 1, timedelta(minutes=1), lead)
    await bot.inbox.keep("somebody", [who], timedelta(minutes=1), lead)
    await bot.inbox.put_off("somebody", taken, timedelta(0), failed=True, lead=lead)
    await bot.inbox.leave(f"taker-{past.first}")
    past.shop.clock.advance(4 * 24 * 3600)
    await bot.inbox.prune(lead)


Story = Callable[[Past, Lead], Coroutine[Any, Any, None]]

STORIES: Mapping[str, Story] = {
    "sends money": _sends_money,
    "has things made": _has_things_made,
    "waits in vain": _waits_in_vain,
    "writes to us": _writes_to_us,
}


_BOOK = threading.Lock()
"""
Whoever starts a process looks how all others ended, in any thread; what two read at once of the
same end, one reads as 255.
"""


def start(work: Callable[[], None]) -> ForkServerProcess:
    """A process that does this."""
    process = PROCESSES.Process(target=work)
    with _BOOK:
        process.start()
    return process


def ended(process: ForkServerProcess) -> int | None:
    """How it ended (`KILLED`, 0, or 1 after an error); None while it lives."""
    with _BOOK:
        return process.exitcode


def live(folder: Path, life: Coroutine[Any, Any, None]) -> None:
    """Live a life in this process, without a word; why it went wrong is noted in its folder."""
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(life)
    except BaseException:
        Diary(folder).note("errors", traceback.format_exc())
        raise


def run(life: Life, seconds: float = 2 * PATIENCE_S) -> int:
    """Live it in a process of its own; how that ended (`KILLED`, 0, or 1 after an error)."""
    process = start(life.run)
    wait([process.sentinel], seconds)
    code = ended(process)
    if code is None:
        process.kill()
        wait([process.sentinel])
        ended(process)
        raise TimeoutError(f"it does not end: {life}")
    return code


# --- The chapter


@frozen(order=True)
class Kill:
    """Where a process is killed: at the `nth` step of this name in a story."""

    story: str
    name: str
    nth: int


@frozen
class KillsAtSteps:
    """See `does`."""

    name = "kills-at-steps"
    does = (
        "A process lives a story of people, money, jobs and updates through the real use-cases,"
        " worker and reception, and is killed (SIGKILL, by itself) at one step of it: before or"
        " after a commit, a call of KIE or a word to a person. The next process begins with what is"
        " left, and is killed in turn. The list of steps is read off the code."
    )
    checks = (
        "after every kill the audit is clean and what was acknowledged before is in the ledger; in"
        " the end every job has ended, its person was told of it, every update was answered, and"
        " KIE was never asked for more tasks of one job than may be."
    )
    full = f"{KILLS:,} kills on each database"
    least = ("kill",)
    weight = 380.0
    databases = ("sqlite", "postgres")

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        plan = Plan(rng)
        async with asyncio.TaskGroup() as group:
            for lane in range(LANES):
                group.create_task(self._lane(lane, plan, place, budget, tally))
        known = steps_in_code()
        hit = plan.hit & known
        tally.note("steps killed at, of those in the code", f"{len(hit)} of {len(known)}")
        if tally.done["kill"] >= KILLS:
            assert hit == known, f"never killed at {sorted(known - hit)}"

    async def _lane(
        self, lane: int, plan: "Plan", place: Place, budget: Budget, tally: Tally
    ) -> None:
        """One database after another, the processes of each one after another."""
        for number in count():
            if tally.done["kill"] >= KILLS or budget.is_over:
                return
            folder = place.folder / f"lives-{lane}-{number}"
            folder.mkdir()
            async with place.fresh(migrated=False) as url:
                lives = Lives(place, url, folder, tally)
                steps = await lives.unhurt()
                plan.learn(steps)
                async with place.open(url) as storage:
                    for _ in range(KILLS_OF_ONE):
                        if tally.done["kill"] >= KILLS or budget.left_s <= 0:
                            break
                        kill = plan.next()
                        with tally.part(f"lane {lane}, process {lives.number}, {kill}"):
                            if await lives.hurt(kill, storage):
                                plan.hit.add(kill.name)
                    with tally.part(f"lane {lane}, the end of database {number}"):
                        await lives.end(storage)
            tally.did("database")


@define
class Plan:
    """Which kill is next, and which names were hit."""

    rng: random.Random
    hit: set[str] = field(factory=set)
    _kills: deque[Kill] = field(factory=deque)

    def learn(self, steps: Mapping[str, Sequence[str]]) -> None:
        """The steps of each story, as they were seen first."""
        if not self._kills:
            self._kills.extend(_in_order(steps, self.rng))

    def next(self) -> Kill:
        """One after another, and all of them again."""
        self._kills.rotate(-1)
        return self._kills[-1]


def _in_order(steps: Mapping[str, Sequence[str]], rng: random.Random) -> Sequence[Kill]:
    """Every kill that there is in the stories, each name's first kill before any name's second."""
    by_name: dict[str, list[Kill]] = {}
    for story, taken in steps.items():
        for name, times in Counter(taken).items():
            by_name.setdefault(name, []).extend(
                Kill(story, name, nth) for nth in range(1, times + 1)
            )
    for of_one in by_name.values():
        rng.shuffle(of_one)
    first = [of_one.pop() for of_one in by_name.values()]
    others = sorted(kill for of_one in by_name.values() for kill in of_one)
    rng.shuffle(first)
    rng.shuffle(others)
    return [*first, *others]


@define
class Lives:
    """The processes of one database, one after another."""

    place: Place
    url: str
    folder: Path
    tally: Tally
    number: int = 0
    _acked: int = 0

    async def unhurt(self) -> Mapping[str, Sequence[str]]:
        """Each story once, to its end; the steps of each."""
        found: dict[str, Sequence[str]] = {}
        for story in STORIES:
            before = len(self._diary.lines("steps"))
            assert await self._lives(story) == 0, story
            found[story] = self._diary.lines("steps")[before:]
        return found

    async def hurt(self, kill: Kill, storage: Storage) -> bool:
        """A story that is killed, and what is true then; False where it never came to that step."""
        code = await self._lives(kill.story, kill.name, kill.nth)
        errors = "\n".join(self._diary.lines("errors")[-20:])
        assert code in {KILLED, 0}, f"exit {code}\n{errors}"
        if code == KILLED:
            assert self._diary.lines("steps")[-1] == kill.name
            self.tally.did("kill")
        else:
            self.tally.did("life that never came to its step")
        await self._look(storage)
        return code == KILLED

    async def end(self, storage: Storage) -> None:
        """The last process is not hurt, and nothing is left of what the others left."""
        assert await self._lives(next(iter(STORIES))) == 0
        await self._look(storage)
        bot = stub_shop(storage, FakeClock()).kiebot
        figures = await bot.inbox.figures()
        assert (figures.untold, figures.updates_waiting) == (0, 0)
        self.tally.checked("everybody was told everything, and answered")
        told = set(self._diary.lines("told"))
        async with storage.read() as uow:
            for job_id in {line.partition(":")[2] for line in self._holds()}:
                job = await uow.jobs.get(JobId(job_id))
                assert job.status not in OPEN, job
                assert job.status is JobStatus.REFUNDED or f"job {job_id}" in told, job
                self.tally.checked("a job has ended, and its person knows")
        submitted = Counter(self._diary.lines("tasks"))
        assert max(submitted.values()) <= TERMS.submissions_max, submitted.most_common(1)

    async def _lives(self, story: str, name: str = "", nth: int = 0) -> int:
        life = Life(
            folder=self.folder,
            database=self.url,
            number=self.number,
            story=story,
            name=name,
            nth=nth,
        )
        self.number += 1
        return await asyncio.to_thread(run, life)

    async def _look(self, storage: Storage) -> None:
        audit = await stub_shop(storage, FakeClock()).kiebot.audit()
        assert audit.problems == ()
        self.tally.checked("the audit is clean")
        acked = self._diary.lines("acked")
        new, self._acked = acked[self._acked :], len(acked)
        async with storage.read() as uow:
            for ref in new:
                assert await uow.ledger.by_ref(ref) is not None, ref
                self.tally.checked("what was acknowledged is in the ledger")

    def _holds(self) -> Iterator[str]:
        return (line for line in self._diary.lines("acked") if line.startswith("hold:"))

    @property
    def _diary(self) -> Diary:
        return Diary(self.folder)


CHAPTERS: tuple[Chapter, ...] = (KillsAtSteps(),)
