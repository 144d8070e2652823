"""A whole kiebot in the test's process: real rules, a real database, the stub KIE, one reader."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count

from attrs import define, field

from kiebot.adapters.catalog import load_catalog
from kiebot.adapters.kie.stub import StubKieClient
from kiebot.adapters.media.stub import StubMedia
from kiebot.app import Kiebot
from kiebot.core.audit import Problem
from kiebot.core.catalog import Catalog
from kiebot.core.dialog.screen import Screen
from kiebot.core.errors import MediaError
from kiebot.core.events import Event
from kiebot.core.jobs import Job
from kiebot.core.language import Language
from kiebot.core.money import Money
from kiebot.core.terms import PaymentDetails, Terms
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.kie import InputFile, KieClient
from kiebot.ports.media import Media
from kiebot.ports.storage import Storage
from kiebot.worker import Worker
from tests.fakes import leaks
from tests.fakes.clock import FakeClock
from tests.fakes.values import ADMIN, BUYER

CATALOG = load_catalog(None)
CHEAP = "recraft/remove-background"
PICTURE = "flux-2/pro-text-to-image"
"""30 roubles, and needs nothing but a prompt."""

TERMS = Terms(
    admins=frozenset({ADMIN}),
    payment=PaymentDetails(card=leaks.CARD, bank="Т-Банк", holder="Иван И."),
)


@define
class Reader:
    """A frontend that notes what people are told."""

    told: list[Event] = field(factory=list)
    heard: asyncio.Event = field(factory=asyncio.Event)

    async def show(self, user_id: UserId, screen: Screen) -> None:
        """Events reach the reader through `screen_of`."""

    def open(self, reference: str) -> AbstractAsyncContextManager[InputFile]:
        """Nobody attaches anything here."""
        raise MediaError(reference, "nobody attached it")

    async def run(self) -> None:
        """Nobody comes here."""

    async def screen_of(self, event: Event) -> Screen:
        """Note what is told, in place of words for it."""
        self.told.append(event)
        self.heard.set()
        return Screen(text=type(event).__name__)


@define(kw_only=True)
class Shop:
    """The parts of a kiebot, open to the test."""

    storage: Storage
    kie: KieClient
    clock: FakeClock
    terms: Terms = TERMS
    catalog: Catalog = CATALOG
    media: Media = field(factory=StubMedia)
    reader: Reader = field(factory=Reader)
    prefix: str = "id"
    kiebot: Kiebot = field(init=False)
    worker: Worker = field(init=False)

    def __attrs_post_init__(self) -> None:
        numbers = count(1)
        self.kiebot = Kiebot(
            self.storage,
            self.kie,
            self.catalog,
            self.terms,
            media=self.media,
            clock=self.clock,
            new_id=lambda: f"{self.prefix}{next(numbers)}",
        )
        self.worker = Worker(self.kiebot, self.reader, self.reader.screen_of, audience=BUYER)

    async def meet(self, *user_ids: UserId, roubles: int = 0) -> None:
        """Make people known, each with this much money."""
        for user_id in user_ids or (BUYER,):
            await self.kiebot.greet(user_id, "Аня", Language.RU)
            if roubles:
                await self.kiebot.grant(
                    user_id, Money(roubles * 100), by="tests", why="a test", ref=f"g:{user_id}"
                )

    async def offer(
        self, user_id: UserId = BUYER, model_id: str = PICTURE, prompt: str = "рыжий кот"
    ) -> JobId:
        """An offer of a model that needs only a prompt."""
        drafted = await self.kiebot.draft(user_id, model_id, {"prompt": prompt})
        assert drafted.job.is_offer
        return drafted.job.id

    async def work(self, steps: int = 20) -> None:
        """Let the worker go on until nothing is open, in the clock's time."""
        for _ in range(steps):
            await self.worker.step()
            if not await self.kiebot.all_open_jobs(1):
                return
            self.clock.advance(5)
        raise AssertionError("something is still open")

    async def problems(self) -> Sequence[Problem]:
        """What an audit finds."""
        return (await self.kiebot.audit()).problems

    async def job(self, job_id: JobId, user_id: UserId = BUYER) -> Job:
        """A job as it is."""
        return await self.kiebot.job(user_id, job_id)


def stub_shop(storage: Storage, clock: FakeClock, terms: Terms = TERMS) -> Shop:
    """A shop with the stub KIE."""
    return Shop(storage=storage, kie=StubKieClient(clock), clock=clock, terms=terms)
