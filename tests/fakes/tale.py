"""
A tale: what one person and an administrator do from the first word to a refund.

It goes through the real reception, conversation and worker, on a real database that may fail at
any call. People do what people do: what Telegram was not told of is sent again, and who saw nothing
come of a press presses again. In the end there is an `Outcome`, which knows no ids and no moments:
that of a tale that was hurt is that of one that was not.

It runs in a hasty loop (`hasty_loop.py`), and by its clock.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, evolve, field, frozen

from kiebot.adapters.kie.stub import StubKieClient
from kiebot.adapters.media.stub import StubMedia
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.app import Kiebot
from kiebot.conversation import Conversation
from kiebot.core.dialog.screen import Attach, Did, Press, Say, Screen
from kiebot.core.errors import (
    KiebotError,
    LeadLostError,
    MediaError,
    NotFoundError,
    StorageError,
)
from kiebot.core.events import Event
from kiebot.core.jobs import Job
from kiebot.core.language import Language
from kiebot.core.media import Attachment
from kiebot.core.tasks import Pace
from kiebot.core.terms import Terms
from kiebot.core.topups import TopUp, TopUpId
from kiebot.core.updates import Update
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.kie import InputFile
from kiebot.ports.storage import Storage, UnitOfWork
from kiebot.ports.system import Clock
from kiebot.reception import Reception
from kiebot.worker import Worker
from tests.fakes import hasty_loop
from tests.fakes.driver_faults import Calls, How, failing_driver, postgres_gate
from tests.fakes.shop import CATALOG, PICTURE, TERMS

T = TypeVar("T")

LEASE_S = 600.0
"""Of the lead and of people: longer than a database may be silent, as the loop counts."""

BETWEEN = timedelta(hours=6)
"""From the beginning of one tale to that of the next in the same database."""

UPDATES = 10_000
"""Update ids that are one tale's own."""

ADMINS = 1_000_000
"""The administrator of a person's tale has the person's id and this."""

NAMES = "xyzw"
"""What tells the ids that one instance of a tale makes from another's (`Tale.ids`)."""

UNUSED = 30
"""Ids in a row that may be missing: what failed, or was there already, used one up."""

ROUNDS = 100
"""Of the worker, or of somebody who tries again: after so many nothing will come of it."""

HASTY_TERMS = evolve(TERMS, pace=Pace(interval_s=0.5), creates_per_10s=2, queries_per_s=2)
"""A task is done at the first look; the limits of the account are kept."""

STEP_S = 1.0
"""Between two rounds of the worker."""

OVER = frozenset({"done", "shown", "refused", "replaced", "given_up"})
"""How an update ends, as the reception notes it; all else is tried again."""

CAT, FAILING = "рыжий кот", "fail"


@frozen
class Outcome:
    """
    What is true in the end, in a form that is the same each time it is told.

    `jobs` and `topups` are those of any status: whoever begins something twice leaves a draft, or
    something cancelled, behind.
    """

    available: int
    held: int
    entries: tuple[tuple[str, str, int], ...]
    jobs: tuple[tuple[str, str, int], ...]
    topups: tuple[tuple[str, int], ...]
    news: frozenset[tuple[str, str]]


@define
class Window:
    """A frontend by which people see the last screen, and that remembers what they were told."""

    conversation: Conversation
    screens: dict[UserId, Screen] = field(factory=dict)
    told: list[Event] = field(factory=list)

    async def handle(
        self,
        update: Mapping[str, Any],
        is_ours: Callable[[], bool] = lambda: True,  # noqa: ARG002 - there is one instance
    ) -> asyncio.Future[None] | None:
        user_id = UserId(update["user_id"])
        await self.conversation.meet(user_id, "Аня", Language.RU)
        self.screens[user_id] = await self.conversation.handle(user_id, _did(update))
        return None

    async def answer_press(self, update: Mapping[str, object]) -> None:
        """Nothing turns here."""

    async def show(self, user_id: UserId, screen: Screen) -> None:
        self.screens[user_id] = screen

    async def news(self, event: Event) -> Screen:
        """The screen that tells an event; it is told when it is shown, as this is."""
        screen = await self.conversation.news(event)
        self.told.append(event)
        return screen

    def open(self, reference: str) -> AbstractAsyncContextManager[InputFile]:
        raise MediaError(reference, "nobody attached it")

    async def run(self) -> None:
        """Nobody comes here by themselves."""

    def share(self, instances: int) -> None:
        """There is one."""

    async def close(self) -> None:
        """Nothing is open."""


@define
class Tale:
    """
    One telling. `number` tells its people and ids from those of other tales in the same database;
    `unhurt` is a way into it that does not fail, for those who look how it goes.
    """

    storage: Storage
    unhurt: Storage
    number: int
    clock: Clock = hasty_loop.now
    terms: Terms = HASTY_TERMS
    calls: Calls = field(factory=Calls)
    ids: str = "x"
    kiebot: Kiebot = field(init=False)
    window: Window = field(init=False)
    worker: Worker = field(init=False)
    kie: StubKieClient = field(init=False)
    ended: Counter[str] = field(factory=Counter)
    _updates: Any = field(init=False)
    _over: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        numbers = count(1)
        self._updates = count(self.number * UPDATES)
        self.kie = StubKieClient(self.clock)
        self.kiebot = Kiebot(
            self.storage,
            self.kie,
            CATALOG,
            evolve(self.terms, admins=frozenset({self.admin})),
            media=StubMedia(),
            clock=self.clock,
            new_id=lambda: f"{self.number}{self.ids}{next(numbers)}",
        )
        conversation = Conversation(self.kiebot, clock=self.clock)
        self.window = Window(conversation)
        self.worker = Worker(self.kiebot, self.window, self.window.news, audience=None)

    @property
    def person(self) -> UserId:
        return UserId(self.number)

    @property
    def admin(self) -> UserId:
        return UserId(ADMINS + self.number)

    async def tell(self) -> None:
        """From the first word to the refund."""
        await self.does(self.person, say="/start")
        await self.tops_up()
        job_id = await self.gets(CAT)
        await self.surely(lambda: self.kiebot.refund(job_id, by="tests", why="a test"))
        await self.works()
        await self.gets(FAILING)
        await self.does(self.person, press="history:ledger")
        await self.does(self.person, press=f"history:job:{job_id}")
        self.calls.next_step()

    @asynccontextmanager
    async def reception(self) -> AsyncIterator[Reception]:
        """At work while the block runs: while nobody does anything, nobody asks for updates."""
        reception = Reception(
            self.kiebot,
            self.window,
            where=self.window.conversation.where,
            went_wrong=self.window.conversation.went_wrong,
            turn_away=_never,
            lease_s=LEASE_S,
            note=self._note,
        )
        running = asyncio.create_task(reception.run())
        try:
            yield reception
            assert not running.done(), "the reception ended"
        finally:
            reception.stop()
            await running
            await reception.close()

    # What people do

    async def tops_up(self) -> None:
        """500 roubles, with a receipt that the administrator approves."""
        await self.does(self.person, press="topup:500")
        await self.does(self.person, attach=f"receipt-{self.number}")
        await self.works()
        await self.does(self.admin, press=self.button(self.admin, "admin:topup:approve:"))
        await self.works()

    async def offered(self, prompt: str) -> str:
        """A picture is asked for; what the button says that confirms it."""
        await self.does(self.person, press=f"mmodel:{PICTURE}")
        await self.does(self.person, say=prompt)
        return self.button(self.person, "gen:confirm:")

    async def gets(self, prompt: str) -> JobId:
        """A picture is asked for, paid, and waited for."""
        confirm = await self.offered(prompt)
        await self.does(self.person, press=confirm)
        await self.works()
        return JobId(confirm.rpartition(":")[2])

    async def does(self, user_id: UserId, **what: str) -> None:
        """
        One thing, until it is answered: what was not acknowledged is sent again. Who decides about
        money and heard nothing for a while does it again.
        """
        self.calls.next_step()
        hits = len(self.calls.hits)
        await self.sends(user_id, **what)
        if len(self.calls.hits) > hits and _decides(what.get("press", "")):
            await self.sends(user_id, **what)

    async def sends(self, user_id: UserId, **what: str) -> None:
        """One update, until it is answered."""
        number = next(self._updates)
        body = json.dumps({"update_id": number, "user_id": user_id, **what})
        update = Update(id=number, user_id=user_id, body=body)
        self._over.clear()
        async with self.reception() as reception, asyncio.timeout(LEASE_S * 3):
            await self.surely(lambda: reception.take_in([update]))
            while not self._over.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(STEP_S):
                        await self._over.wait()
                if self.ended["interrupted"] and await self._is_answered(user_id):
                    # It was said, and who said it did not hear that it was stored.
                    return

    def button(self, user_id: UserId, data: str) -> str:
        """What a button says that is on the person's screen and begins so."""
        screen = self.window.screens[user_id]
        for row in screen.buttons:
            for button in row:
                if button.action.encode().startswith(data):
                    return button.action.encode()
        raise AssertionError(f"no {data}... below: {screen.text}")

    async def works(self) -> None:
        """The worker, until nothing is open and nothing untold."""
        self.calls.next_step()
        for _ in range(ROUNDS):
            try:
                async with self.kiebot.lead(self.worker.scope) as lead:
                    for _ in range(ROUNDS):
                        await self.worker.step(lead)
                        if await self._is_settled():
                            return
                        await asyncio.sleep(STEP_S)
            except (StorageError, LeadLostError):
                self.ended["not done"] += 1
            await asyncio.sleep(STEP_S)
        raise AssertionError("something is still open")

    async def surely(self, make: Callable[[], Awaitable[T]]) -> T:
        """Again, while the database fails."""
        for _ in range(ROUNDS):
            try:
                return await make()
            except StorageError:
                self.ended["not done"] += 1
            await asyncio.sleep(1)
        raise AssertionError("the database does not come back")

    # How it ended

    async def outcome(self) -> Outcome:
        """What is true now."""
        async with self.unhurt.read() as uow:
            wallet = await uow.wallets.get(self.person)
            made = [one async for one in self._made(uow)]
            jobs = {one.id: one for one in made if isinstance(one, Job)}
            entries = [*await uow.ledger.topped_up(self.person)]
            for job in jobs.values():
                entries += await uow.ledger.of_job(job.id)

        def prompt(job_id: JobId | None) -> str:
            return "" if job_id is None else str(jobs[job_id].params.get("prompt", ""))

        return Outcome(
            available=wallet.available.kopecks,
            held=wallet.held.kopecks,
            entries=tuple(
                sorted((prompt(one.job_id), one.kind.value, one.amount.kopecks) for one in entries)
            ),
            jobs=tuple(
                sorted(
                    (prompt(job.id), job.status.value, job.price.kopecks if job.price else 0)
                    for job in jobs.values()
                )
            ),
            topups=tuple(
                sorted(
                    (one.status.value, one.amount.kopecks) for one in made if isinstance(one, TopUp)
                )
            ),
            news=frozenset(
                (type(event).__name__, prompt(getattr(event, "job_id", None)))
                for event in self.window.told
                if event.user_id in {self.person, self.admin}
            ),
        )

    async def _made(self, uow: UnitOfWork) -> AsyncIterator[Job | TopUp]:
        """Every job and top-up that this tale ever made, by any instance, whatever became of it."""
        for ids in NAMES:
            last = 0
            for number in count(1):
                if number > last + UNUSED:
                    break
                name = f"{self.number}{ids}{number}"
                with suppress(NotFoundError):
                    yield await uow.jobs.get(JobId(name))
                    last = number
                with suppress(NotFoundError):
                    yield await uow.topups.get(TopUpId(name))
                    last = number

    async def _is_answered(self, user_id: UserId) -> bool:
        async with self.unhurt.read() as uow:
            return not await uow.inbox.waiting_of(user_id)

    async def _is_settled(self) -> bool:
        async with self.unhurt.read() as uow:
            if await uow.jobs.open_of(self.person):
                return False
            people = (self.person, self.admin)
            return not any([await uow.outbox.untold_of(who, 1) for who in people])

    def _note(self, how: str, _: float) -> None:
        self.ended[how] += 1
        if how in OVER:
            self._over.set()


@frozen
class Telling:
    """How one tale went: the calls that failed, and how many calls the longest step had."""

    hits: tuple[tuple[int, str], ...]
    longest: int
    outcome: Outcome


async def tell(
    database: str, number: int, how: How, fails_at: int | None, only: int | None = None
) -> Telling:
    """
    Tell one tale in a database that was migrated; of each step the call of this number fails.

    Raises:
        Exception: It did not come to its end.
    """
    calls = Calls(fails_at=fails_at, how=how, only=only)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, hasty_loop.HastyLoop)
    loop.mind(calls.is_busy)

    def clock() -> datetime:
        # Later than all that was told in this database before.
        return loop.now() + number * BETWEEN

    async with (
        reached(database, Calls(), clock) as unhurt,
        reached(database, calls, clock) as storage,
    ):
        tale = Tale(storage, unhurt, number, clock=clock, calls=calls)
        await tale.tell()
        assert tale.ended["given_up"] == 0, tale.ended
        return Telling(tuple(calls.hits), calls.longest, await tale.outcome())


@asynccontextmanager
async def reached(database: str, calls: Calls, clock: Clock) -> AsyncIterator[Storage]:
    """A storage whose calls are counted, and may fail; its opening, too, is tried again."""
    if database.startswith("sqlite:///"):
        path = Path(database.removeprefix("sqlite:///"))
        driver = failing_driver(calls)
        sqlite = await _opened(
            lambda: SqliteStorage.open(path, clock=clock, lease_s=LEASE_S, driver=driver)
        )
        try:
            yield sqlite
        finally:
            await sqlite.close()
        return
    async with postgres_gate(database, calls) as dsn:
        postgres = await _opened(lambda: PostgresStorage.open(dsn, clock=clock, lease_s=LEASE_S))
        try:
            yield postgres
        finally:
            await postgres.close()


async def _opened(make: Callable[[], Awaitable[T]]) -> T:
    for _ in range(ROUNDS):
        with suppress(KiebotError):
            return await make()
    raise AssertionError("the database cannot be opened")


def _did(update: Mapping[str, Any]) -> Did:
    match update:
        case {"press": data}:
            return Press.of(data)
        case {"say": text}:
            return Say(text)
        case _:
            digest = update["attach"]
            return Attach(
                Attachment(
                    reference=f"tg:{digest}", name="r.jpg", mime="image/jpeg", size=9, digest=digest
                )
            )


def _decides(data: str) -> bool:
    """Whether money hangs on a press."""
    return data.startswith(("gen:confirm:", "admin:topup:approve:"))


async def _never(update: Update, is_first: bool) -> None:
    """Nobody is too fast here."""
