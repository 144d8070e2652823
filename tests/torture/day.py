"""
A day of a shop in minutes: hundreds of people, everything that can be pressed, and a worker.

The clock is a fake one and goes from midnight to midnight; the database, the dialogs, the use-cases
and the worker are real. People press what they see, type what they are asked for and sometimes
something else; programs order by the library; administrators press about at their desk; KIE fails
in each of its ways.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

from attrs import define, evolve, field, frozen

from kiebot.adapters.kie.stub import BytesFile, Fault, StubKieClient
from kiebot.adapters.media.stub import StubMedia
from kiebot.app import Kiebot
from kiebot.conversation import Conversation
from kiebot.core.dialog.screen import COMMANDS, Attach, Did, Press, Say, Screen
from kiebot.core.errors import (
    InsufficientFundsError,
    KieNoAnswerError,
    KieOperatorError,
    KieUnavailableError,
    NotOnSaleError,
    TooManyJobsError,
    UserError,
)
from kiebot.core.expect import Amount, Answer, AnswerForm, Receipt
from kiebot.core.jobs import OPEN, JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.tasks import TaskPending
from kiebot.core.users import UserId
from kiebot.ports.kie import InputFile
from kiebot.ports.storage import Storage
from kiebot.worker import Worker
from tests.fakes.clock import START, FakeClock
from tests.fakes.crash import CAT
from tests.fakes.shop import CATALOG, PICTURE, TERMS
from tests.fakes.values import ADMIN
from tests.torture.chapters import Budget, Chapter, Place, Tally

PEOPLE = 300
TICK_S = 60
TICKS = 24 * 60 * 60 // TICK_S
AUDIT_EVERY = 3600 // TICK_S
"""Ticks: an hour."""

PER_HOUR = (2, 1, 1, 1, 1, 1, 2, 3, 4, 5, 5, 4, 5, 5, 4, 4, 5, 5, 6, 6, 6, 5, 4, 3)
"""How many people do something in a tick, by the hour."""

PROMPTS = (*["рыжий кот"] * 8, "fail", "slow", "stall", "refuse", "busy", "lost", "broke")
FAULTS = (
    lambda: Fault("task_status", KieUnavailableError("503")),
    lambda: Fault("task_status", TaskPending("generating")),
    lambda: Fault("create_task", KieUnavailableError("429")),
    lambda: Fault("create_task", KieNoAnswerError("the line is cut")),
    lambda: Fault("create_task", KieOperatorError(402, "nothing is left")),
    lambda: Fault("upload", KieUnavailableError("503")),
)
FAULTS_PER_TICK = 0.2
RUBBISH = ("", "0", "-5", "99999999999999", "<b>&", "/start", "кот" * 2000, "1e9", "￿")


@define
class Inhabitant:
    """Somebody of the town, and the screens they have."""

    user_id: UserId
    screens: list[Screen] = field(factory=list)

    def next(self, rng: random.Random) -> Did:
        """What they do now."""
        if not self.screens or rng.random() < 0.05:
            return Press(rng.choice(sorted(COMMANDS.values(), key=lambda action: action.parts)))
        screen = self.screens[-1] if rng.random() < 0.85 else rng.choice(self.screens)
        if rng.random() < 0.02:
            return Say(rng.choice(RUBBISH))
        if screen.expects is not None and rng.random() < 0.7:
            return _answer(screen, rng)
        buttons = [button for button in screen.actions if not button.minor] or screen.actions
        paying = [
            one for one in buttons if one.action.parts[:2] in {("gen", "confirm"), ("topup", "ok")}
        ]
        if paying and rng.random() < 0.6:
            return Press(paying[0].action)
        if not buttons:
            return Press(COMMANDS["start"])
        return Press(rng.choice(buttons).action)


def _answer(screen: Screen, rng: random.Random) -> Did:
    match screen.expects:
        case Receipt():
            return Attach(_picture())
        case Amount():
            return Say(str(rng.choice((100, 300, 500, 1500))))
        case Answer(form=AnswerForm.FILE):
            return Attach(_picture())
        case Answer(form=AnswerForm.NUMBER):
            return Say(str(rng.randint(1, 10)))
        case _:
            return Say(rng.choice(PROMPTS))


def _picture() -> Attachment:
    number = secrets.token_hex(4)
    return Attachment(
        reference=f"file:///{number}.png",
        name="cat.png",
        mime="image/png",
        size=len(CAT),
        digest=number,
    )


@define
class Town:
    """Everybody; the frontend at which they are told."""

    people: dict[UserId, Inhabitant]
    ended: set[str] = field(factory=set)
    told: int = 0

    async def show(self, user_id: UserId, screen: Screen) -> None:
        """News."""
        self.told += 1
        if screen.ended is not None:
            self.ended.add(screen.ended)
        self.saw(user_id, screen)

    def saw(self, user_id: UserId, screen: Screen) -> None:
        """A screen, kept for a while."""
        if user_id in self.people:
            screens = self.people[user_id].screens
            screens.append(screen)
            del screens[:-6]

    @asynccontextmanager
    async def open(self, _: str) -> AsyncIterator[InputFile]:
        """What somebody attached."""
        yield BytesFile(name="cat.png", content=CAT)

    async def run(self) -> None:
        """Nobody comes here by themselves."""


@frozen
class DayOfTraffic:
    """See `does`."""

    name = "day-of-traffic"
    does = (
        f"A day of a shop in minutes, in one process: {PEOPLE} people press, type and attach their"
        " way through every dialog, programs order by the library, two administrators press about"
        " at their desk (they approve, correct, reject, give, take, refund, block and switch off),"
        " KIE fails in each of its ways. The clock is a fake one, all else is real."
    )
    checks = (
        "the audit is clean in every hour; in the end every job has ended and its person was told,"
        " nobody waits for news, and nobody was shown an unexpected error."
    )
    full = "24 hours, and then until nothing is open"
    least = ("hour", "piece of news told")
    weight = 80.0
    databases = ("sqlite", "postgres")

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        errors = _Errors()
        logging.getLogger("kiebot").addHandler(errors)
        try:
            async with place.fresh() as url, place.open(url) as storage:
                await Day(storage, budget, rng, tally).goes_by()
                await place.audited(url)
        finally:
            logging.getLogger("kiebot").removeHandler(errors)
        assert errors.seen == [], "\n".join(errors.seen)
        tally.checked("nothing unexpected was logged")


class _Errors(logging.Handler):
    """Keeps what was logged as an unexpected error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


class Day:
    """One day on one database."""

    def __init__(self, storage: Storage, budget: Budget, rng: random.Random, tally: Tally) -> None:
        self._budget = budget
        self._rng = rng
        self._tally = tally
        self._clock = FakeClock(START.replace(hour=0))
        self._kie = StubKieClient(self._clock)
        self._storage = storage
        others = {ADMIN, UserId(701)}
        self._kiebot = Kiebot(
            storage,
            self._kie,
            CATALOG,
            evolve(TERMS, admins=frozenset(others), price_multiplier=Decimal("1.7")),
            media=StubMedia(),
            clock=self._clock,
            new_id=lambda: f"{rng.getrandbits(48):012x}",
        )
        self._talk = Conversation(self._kiebot, clock=self._clock)
        self._admins = sorted(others)
        people = [UserId(1001 + number) for number in range(PEOPLE)]
        self._town = Town({who: Inhabitant(who) for who in (*people, *self._admins)})
        self._customers = people
        self._worker = Worker(self._kiebot, self._town, self._talk.news, audience=None)
        self._kiebot.open_with(self._town.open)

    async def goes_by(self) -> None:
        """From midnight to midnight, or until there is no time left; and to the end of all work."""
        for who in self._town.people:
            language = Language.EN if who % 3 == 0 else Language.RU
            await self._talk.meet(who, f"П{who}", language, f"p{who}")
        self._tally.did("person", len(self._customers))
        for tick in range(TICKS):
            if self._budget.left_s <= 0:
                break
            await self._tick(tick)
            self._clock.advance(TICK_S)
            if tick % AUDIT_EVERY == AUDIT_EVERY - 1:
                await self._audit()
                self._tally.did("hour")
        await self._ends()
        await self._audit()

    async def _tick(self, tick: int) -> None:
        rng = self._rng
        if rng.random() < FAULTS_PER_TICK:
            self._kie.script(rng.choice(FAULTS)())
            self._tally.did("fault of KIE")
        hour = tick * TICK_S // 3600
        active = rng.sample(self._customers, PER_HOUR[hour])
        if tick % 4 == 0:
            active.append(rng.choice(self._admins))
        acts = [self._acts(self._town.people[who]) for who in active]
        acts += [self._orders(rng.choice(self._customers)) for _ in range(1 + PER_HOUR[hour] // 4)]
        if tick % 20 == 0:
            acts.append(self._approves_all())
        await asyncio.gather(*acts)
        await self._worker.step()

    async def _acts(self, who: Inhabitant) -> None:
        did = who.next(self._rng)
        # A double tap now and then: both at once.
        times = 2 if self._rng.random() < 0.1 else 1
        screens = await asyncio.gather(*(self._talk.handle(who.user_id, did) for _ in range(times)))
        self._tally.did("press, word or file", times)
        for screen in screens:
            self._town.saw(who.user_id, screen)

    async def _orders(self, who: UserId) -> None:
        """As a program does, that pays in advance."""
        ref = f"paid:{self._rng.getrandbits(48):012x}"
        await self._kiebot.grant(who, Money(31_00), by="program", why="an order", ref=ref)
        try:
            await self._kiebot.order(who, PICTURE, {"prompt": self._rng.choice(PROMPTS)})
        except (InsufficientFundsError, TooManyJobsError, NotOnSaleError):
            self._tally.did("order that was refused")
        except UserError:
            # Blocked meanwhile.
            self._tally.did("order that was refused")
        else:
            self._tally.did("order of a program")

    async def _approves_all(self) -> None:
        """An administrator has an hour for what waits; and lets in again whom they shut out."""
        for topup in await self._kiebot.topups_to_review(ADMIN):
            try:
                if self._rng.random() < 0.8:
                    await self._kiebot.approve_topup(ADMIN, topup.id, topup.amount)
                else:
                    await self._kiebot.reject_topup(ADMIN, topup.id, "")
            except UserError:
                continue
            self._tally.did("top-up decided")
        for switched in await self._kiebot.switched_off(ADMIN):
            await self._kiebot.switch_on(ADMIN, switched.model_id, "the day goes on")

    async def _ends(self) -> None:
        """The night: what was begun comes to its end."""
        for _ in range(400):
            await self._worker.step()
            is_open = await self._kiebot.all_open_jobs(1)
            if not is_open and not await self._kiebot.untold(1, local=False):
                break
            self._clock.advance(timedelta(seconds=60).total_seconds())
        assert await self._kiebot.all_open_jobs(1) == []
        figures = await self._kiebot.inbox.figures()
        assert figures.untold == 0
        self._tally.did("piece of news told", self._town.told)
        for who in self._customers:
            for job in await self._kiebot.jobs(who, 10_000):
                assert job.status not in OPEN, job
                assert job.id in self._town.ended, job
                self._tally.checked("a job has ended, and its person was told")
                self._tally.did(f"job {job.status}")
        if self._tally.done["hour"]:
            assert self._tally.done[f"job {JobStatus.SUCCEEDED}"], "nothing was sold"

    async def _audit(self) -> None:
        problems: Sequence[object] = (await self._kiebot.audit()).problems
        assert problems == ()
        self._tally.checked("the audit is clean")


CHAPTERS: tuple[Chapter, ...] = (DayOfTraffic(),)
