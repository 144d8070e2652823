"""
A kiebot whose KIE answers at once, so that what is measured is kiebot and its database.

It is opened on a real database, and its jobs go through `Kiebot` as everybody's: a draft that is
complete, its confirmation, one step that submits it, one that finds it done and charges it.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

from attrs import define, evolve, frozen

from kiebot import Kiebot, Money, UserId
from kiebot.adapters.catalog import load_catalog
from kiebot.adapters.media.stub import StubMedia
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sql import utc_now
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.errors import KieUnavailableError
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.tasks import Pace, Result, TaskId, TaskRequest, TaskStatus, TaskSucceeded
from kiebot.core.terms import Terms
from kiebot.ports.kie import InputFile
from kiebot.ports.storage import Lead, Storage, UnitOfWork

MODEL = "flux-2/pro-text-to-image"
ANSWERS = {"prompt": "a red cat"}
CATALOG = load_catalog(None)
TERMS = Terms(user_jobs_max=1_000_000, pace=Pace(interval_s=0.000001))
PEOPLE = 1_000
PURSE = Money(10**12)
"""What each person has: more than any run spends."""

AT_ONCE = 8


class InstantKie:
    """A KIE that takes every task and has it done already."""

    _RESULT = TaskSucceeded(Result(urls=("https://files.example/1.png",)))

    async def create_task(self, request: TaskRequest) -> TaskId:
        """See the port."""
        return TaskId(f"task-{request.job_id}")

    async def task_status(self, request: TaskRequest, task_id: TaskId) -> TaskStatus:  # noqa: ARG002
        """See the port."""
        return self._RESULT

    async def is_task_of(self, request: TaskRequest, task_id: TaskId) -> bool:
        """See the port."""
        return task_id == f"task-{request.job_id}"

    async def upload(self, file: InputFile) -> str:
        """See the port."""
        raise KieUnavailableError(f"{file.name}: no files here")

    async def credits(self) -> Decimal:
        """See the port."""
        return Decimal(1_000_000)

    def open_result(self, url: str) -> AbstractAsyncContextManager[InputFile]:
        """See the port."""
        raise KieUnavailableError(f"{url}: no files here")


@define
class Counted:
    """A storage, and how many transactions that write it committed."""

    storage: Storage
    commits: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    @asynccontextmanager
    async def begin(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        async with self.storage.begin(lead) as uow:
            yield uow
        self.commits += 1

    @asynccontextmanager
    async def once(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        """See the port; each stores one thing."""
        async with self.storage.once(lead) as uow:
            yield uow
        self.commits += 1


@frozen
class Shop:
    """A kiebot and its storage; `url` is as a DATABASE_URL."""

    kiebot: Kiebot
    storage: Storage
    url: str

    async def fill(self, people: int = PEOPLE) -> None:
        """Make people known, and rich."""
        for number in range(1, people + 1):
            await self.kiebot.greet(UserId(number), "somebody", Language.EN)
            await self.kiebot.grant(UserId(number), PURSE, by="benchmark", why="to be spent")

    async def job(self, person: UserId) -> None:
        """One whole job: draft, confirmation with its hold, running, charge."""
        drafted = await self.kiebot.draft(person, MODEL, ANSWERS)
        await self.kiebot.confirm(person, drafted.job.id)
        await self.finish(drafted.job)

    async def finish(self, job: Job) -> None:
        """Submit what is queued, and charge it."""
        await self.kiebot.advance(job.id, None)
        done = await self.kiebot.advance(job.id, None)
        if done.status is not JobStatus.SUCCEEDED:
            raise AssertionError(f"{done.id} is {done.status}")

    async def commits(self) -> int:
        """How many transactions that write make a whole job."""
        counted = Counted(self.storage)
        await evolve(self, kiebot=_kiebot(cast("Storage", counted))).job(UserId(1))
        return counted.commits


@asynccontextmanager
async def on_postgres(dsn: str, at_once: int = AT_ONCE) -> AsyncIterator[Shop]:
    """A migrated one, with a connection for each that works at once."""
    storage = await PostgresStorage.open(dsn, pool_min=at_once, pool_max=at_once)
    async with _migrated(storage, dsn) as shop:
        yield shop


@asynccontextmanager
async def on_sqlite(path: Path) -> AsyncIterator[Shop]:
    """A migrated one."""
    async with _migrated(await SqliteStorage.open(path), f"sqlite:///{path}") as shop:
        yield shop


async def rate(work: Callable[[UserId], Awaitable[None]], at_once: int, seconds: float,
               people: int = PEOPLE) -> float:  # fmt: skip
    """How often a second the work is done, by so many at once, each for a random person."""
    done = 0
    begun_at = time.perf_counter()
    until = begun_at + seconds

    async def go_on() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await work(UserId(random.randint(1, people)))
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(go_on())
    return done / (time.perf_counter() - begun_at)


@asynccontextmanager
async def _migrated(storage: Storage, url: str) -> AsyncIterator[Shop]:
    try:
        await storage.migrate()
        yield Shop(_kiebot(storage), storage, url)
    finally:
        await storage.close()


def _kiebot(storage: Storage) -> Kiebot:
    return Kiebot(
        storage,
        InstantKie(),
        CATALOG,
        TERMS,
        media=StubMedia(),
        clock=utc_now,
        new_id=lambda: token_hex(8),
    )
