"""
A story that can be killed at any of its steps, and gone on with.

A process tells the story and writes down each step it takes: before and after every commit, every
call of KIE and every word to the person. Which steps there are is thus read off the code: one run
that nobody kills lists them. Other processes are then killed (SIGKILL, by themselves) at the n-th,
and a last one starts on what they left.

Processes are forked from a server that has everything imported.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from attrs import define, evolve, field, frozen

from kiebot.adapters.kie.live import LiveKieClient
from kiebot.adapters.kie.stub import BytesFile
from kiebot.adapters.media.live import LiveMedia
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.dialog.screen import Screen
from kiebot.core.errors import MediaError
from kiebot.core.events import Event, JobFailed, JobSucceeded, TopUpApproved
from kiebot.core.language import Language
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.tasks import TaskId, TaskRequest, TaskStatus
from kiebot.core.users import UserId
from kiebot.ports.kie import InputFile, KieClient
from kiebot.ports.media import Media
from kiebot.ports.storage import Lead, Storage, UnitOfWork
from tests.fakes import leaks
from tests.fakes.clock import FakeClock
from tests.fakes.shop import TERMS, Reader, Shop
from tests.fakes.values import ADMIN, BUYER

EDITING = "flux-2/pro-image-to-image"
"""A model that asks for pictures and a prompt."""

CAT = b"\x89PNG\r\n\x1a\n and a cat"
KILLED = -signal.SIGKILL
LONG = timedelta(minutes=10)
"""How much later the killed process is started again: less than JOB_TIMEOUT."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@frozen
class Diary:
    """What a story's processes did, written down in files that outlive them."""

    folder: Path

    def note(self, what: str, line: str) -> None:
        """Add a line."""
        with (self.folder / what).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def lines(self, what: str) -> list[str]:
        """Every line so far."""
        path = self.folder / what
        return path.read_text("utf-8").splitlines() if path.exists() else []


@define
class Steps:
    """Counts the steps of a process and kills it at one of them."""

    diary: Diary
    kill_at: int | None
    taken: int = 0

    def __call__(self, name: str) -> None:
        self.diary.note("steps", name)
        if self.taken == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.taken += 1


@frozen
class SteppingStorage:
    """A storage whose commits are steps."""

    inner: Storage
    step: Steps

    @asynccontextmanager
    async def begin(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        async with self.inner.begin(lead) as uow:
            yield uow
            self.step("before a commit")
        self.step("after a commit")

    @asynccontextmanager
    async def once(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        async with self.inner.once(lead) as uow:
            self.step("before a commit")
            yield uow
        self.step("after a commit")

    def read(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self.inner.read()

    def glance(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self.inner.glance()

    def lead(self, scope: str) -> AbstractAsyncContextManager[Lead]:
        return self.inner.lead(scope)

    async def migrate(self) -> Sequence[str]:
        self.step("before the migration")
        applied = await self.inner.migrate()
        self.step("after the migration")
        return applied

    async def missing_migrations(self) -> Sequence[str]:
        return await self.inner.missing_migrations()

    async def claim(self, facts: Iterable[tuple[str, str]]) -> None:
        self.step("before the claim")
        await self.inner.claim(facts)
        self.step("after the claim")

    async def claimed(self) -> Mapping[str, str]:
        return await self.inner.claimed()

    async def ping(self) -> None:
        await self.inner.ping()

    async def close(self) -> None:
        await self.inner.close()


@frozen
class SteppingKie:
    """A KIE whose calls are steps."""

    inner: KieClient
    step: Steps

    async def create_task(self, request: TaskRequest) -> TaskId:
        self.step("before createTask")
        self.step.diary.note("tasks", request.job_id)
        try:
            return await self.inner.create_task(request)
        finally:
            self.step("after createTask")

    async def task_status(self, request: TaskRequest, task_id: TaskId) -> TaskStatus:
        self.step("before recordInfo")
        try:
            return await self.inner.task_status(request, task_id)
        finally:
            self.step("after recordInfo")

    async def is_task_of(self, request: TaskRequest, task_id: TaskId) -> bool:
        self.step("before recordInfo")
        try:
            return await self.inner.is_task_of(request, task_id)
        finally:
            self.step("after recordInfo")

    async def upload(self, file: InputFile) -> str:
        self.step("before an upload")
        try:
            return await self.inner.upload(file)
        finally:
            self.step("after an upload")

    async def credits(self) -> Decimal:
        return await self.inner.credits()

    @asynccontextmanager
    async def open_result(self, url: str) -> AsyncIterator[InputFile]:
        self.step("before reading a result")
        async with self.inner.open_result(url) as file:
            yield file
        self.step("after reading a result")


@define
class SteppingReader(Reader):
    """A reader whose being told is a step, and who looks at results."""

    step: Steps = field(kw_only=True)
    kie: KieClient = field(kw_only=True)

    async def show(self, _: UserId, screen: Screen) -> None:
        self.step("before telling")
        self.step.diary.note("told", screen.text)
        self.step("after telling")

    @asynccontextmanager
    async def open(self, _: str) -> AsyncIterator[InputFile]:
        yield BytesFile(name="cat.png", content=CAT)

    async def screen_of(self, event: Event) -> Screen:
        match event:
            case JobSucceeded(job_id=about, result=result):
                for url in result.urls:
                    async with self.kie.open_result(url) as file:
                        assert [chunk async for chunk in file.chunks()]
                return Screen(text=f"job {about}")
            case JobFailed(job_id=about):
                return Screen(text=f"job {about}")
            case TopUpApproved(topup_id=about):
                return Screen(text=f"topup {about}")
            case _:
                raise MediaError(str(event), "nobody reads this here")


@frozen
class Story:
    """
    A person tops up, has a picture changed and waits for it; `prompt` says what becomes of it.

    `kie` is the address of kie.ai's stand-in. `later`: the process was killed before, and this one
    is started again.
    """

    folder: Path
    database: str
    prompt: str
    kie: str
    kill_at: int | None = None
    later: bool = False

    def run(self) -> None:
        """Tell it in this process."""
        asyncio.run(self._tell())

    async def _tell(self) -> None:
        clock = FakeClock()
        if self.later:
            clock.advance(LONG.total_seconds())
        step = Steps(Diary(self.folder), self.kill_at)
        async with open_database(self.database) as storage, self._far_side() as (kie, media):
            stepping = SteppingKie(kie, step)
            shop = Shop(
                storage=SteppingStorage(storage, step),
                kie=stepping,
                media=media,
                clock=clock,
                terms=evolve(TERMS, demo_grant=Money(1000), creates_per_10s=20, queries_per_s=10),
                reader=SteppingReader(step=step, kie=stepping),
                prefix="later" if self.later else "first",
            )
            await shop.storage.migrate()
            await shop.storage.claim([("kind", "demo")])
            async with shop.kiebot.lead(shop.worker.scope) as lead:
                if self.later:
                    await _work(shop, lead)
                await _live(shop, lead, self.prompt)

    @asynccontextmanager
    async def _far_side(self) -> AsyncIterator[tuple[KieClient, Media]]:
        """kie.ai over HTTP, and what reads its results."""
        place = urlsplit(self.kie)
        media = LiveMedia(allowed={(place.hostname or "", place.port or 80)})
        kie = LiveKieClient(
            api_url=self.kie,
            upload_url=self.kie,
            token=leaks.KIE_KEY,
            timeout_s=10,
            fetch=media.fetch,
        )
        yield kie, media
        await kie.close()
        await media.close()


async def _live(shop: Shop, lead: Lead, prompt: str) -> None:
    kiebot = shop.kiebot
    await kiebot.greet(BUYER, "Аня", Language.RU)
    topup = await kiebot.start_topup(BUYER, "100")
    await kiebot.submit_receipt(BUYER, topup.id, Attachment(reference="tg:receipt", digest="x"))
    await kiebot.approve_topup(ADMIN, topup.id)
    job_id = (await kiebot.draft(BUYER, EDITING)).job.id
    cat = Attachment(reference="file:///cat.png", name="cat.png", mime="image/png", size=len(CAT))
    await kiebot.answer(BUYER, job_id, "input_urls", cat)
    await kiebot.finish_files(BUYER, job_id, "input_urls")
    await kiebot.answer(BUYER, job_id, "prompt", prompt)
    await kiebot.confirm(BUYER, job_id)
    await _work(shop, lead)


async def _work(shop: Shop, lead: Lead) -> None:
    for _ in range(20):
        await shop.worker.step(lead)
        if not await shop.kiebot.all_open_jobs(1) and not await shop.kiebot.untold_of(BUYER, 1):
            return
        shop.clock.advance(40)
    raise AssertionError("something is still open")


@asynccontextmanager
async def open_database(database: str) -> AsyncIterator[Storage]:
    """The storage of a story, by its address."""
    storage: Storage
    if database.startswith("sqlite:///"):
        storage = await SqliteStorage.open(Path(database.removeprefix("sqlite:///")))
    else:
        storage = await PostgresStorage.open(database)
    try:
        yield storage
    finally:
        await storage.close()


def run(story: Story) -> int:
    """Tell a story in a process of its own; how that ended (`KILLED`, 0, or 1 after an error)."""
    process = _processes.Process(target=story.run)
    process.start()
    process.join()
    code = process.exitcode
    process.close()
    assert code is not None
    return code
