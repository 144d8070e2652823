"""kiebot as a library: the README's example, and what a program may bring of its own."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

import kiebot
from kiebot import (
    Job,
    JobStatus,
    Language,
    MemoryStorage,
    Money,
    Result,
    Settings,
    TaskId,
    TaskRequest,
    TaskStatus,
    TaskSucceeded,
    UserId,
    compose,
)

ROOT = Path(__file__).parent.parent
MODEL = "flux-2/pro-text-to-image"
ANNA = UserId(42)
PICTURE = "https://pictures.example.org/cat.png"


def example() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(
        r"<!-- library example -->\s*```python\n(.*?)```.*?<!-- end -->", text, re.DOTALL
    )
    assert found is not None
    return found[1]


def run(script: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    said = run(example(), tmp_path).splitlines()

    assert said[0] == "costs 30.00 RUB"
    assert [line.split()[0] for line in said[1:-1]][-1] == "succeeded"
    assert "https://" in said[-2]
    assert said[-1] == "left 70.00 RUB"


def test_the_example_can_be_run_again(tmp_path: Path) -> None:
    run(example(), tmp_path)

    assert run(example(), tmp_path).splitlines()[-1] == "left 140.00 RUB"


def test_the_example_uses_public_names_only() -> None:
    (names,) = re.findall(r"from kiebot import (.*)", example())

    assert set(names.split(", ")) <= set(kiebot.__all__)
    assert len(example().strip().splitlines()) <= 20


ORDER = """
import asyncio, sys
from kiebot import Language, Money, Settings, UserId, compose

async def main():
    settings = Settings.from_env({"DATABASE_URL": "sqlite:///shop.db", "TEST_MODE": "1"})
    async with compose(settings) as runtime:
        shop, anna = runtime.kiebot, UserId(42)
        await shop.greet(anna, "Anna", Language.EN)
        await shop.grant(anna, Money.rub("100"), by="me", why="a welcome")
        print((await shop.order(anna, "flux-2/pro-text-to-image", {"prompt": "a cat"})).id)

asyncio.run(main())
"""

RESUME = """
import asyncio, sys
from kiebot import JobId, Settings, UserId, compose

async def main():
    settings = Settings.from_env({"DATABASE_URL": "sqlite:///shop.db", "TEST_MODE": "1"})
    async with compose(settings) as runtime, runtime.working():
        async for job in runtime.kiebot.follow(UserId(42), JobId(sys.argv[1])):
            print(job.status)

asyncio.run(main())
"""


def test_a_job_is_resumed_by_its_id_in_another_process(tmp_path: Path) -> None:
    job_id = run(ORDER, tmp_path).strip()

    statuses = run(RESUME, tmp_path, job_id).split()

    assert statuses[0] == "queued"
    assert statuses[-1] == "succeeded"


class Painter:
    """A KIE client of the program's own: it paints at once."""

    async def create_task(self, request: TaskRequest) -> TaskId:
        return TaskId(f"painting-of-{request.params['prompt']}")

    async def task_status(self, request: TaskRequest, task_id: TaskId) -> TaskStatus:
        assert task_id == f"painting-of-{request.params['prompt']}"
        return TaskSucceeded(Result(urls=(PICTURE,)))

    async def is_task_of(self, request: TaskRequest, task_id: TaskId) -> bool:
        return task_id == f"painting-of-{request.params['prompt']}"

    async def upload(self, file: kiebot.InputFile) -> str:
        raise NotImplementedError(file.name)

    async def credits(self) -> Decimal:
        return Decimal(0)

    @asynccontextmanager
    async def open_result(self, url: str) -> AsyncIterator[kiebot.InputFile]:
        raise kiebot.MediaError(url, "only in the imagination")
        yield


class Bell:
    """A frontend of the program's own: it keeps what it is to show."""

    def __init__(self, conversation: kiebot.Conversation) -> None:
        self.conversation = conversation
        self.heard: list[kiebot.Screen] = []

    async def show(self, user_id: UserId, screen: kiebot.Screen) -> None:
        assert user_id == ANNA
        self.heard.append(screen)

    @asynccontextmanager
    async def open(self, reference: str) -> AsyncIterator[kiebot.InputFile]:
        raise kiebot.MediaError(reference, "no files here")
        yield

    async def run(self) -> None:
        await self.conversation.meet(ANNA, "Anna", Language.EN)
        await self.presses("mmodel", MODEL)
        offer = await self.conversation.handle(ANNA, kiebot.Say("a red cat"))
        (pay,) = [b.action for b in offer.actions if b.action.parts[:2] == ("gen", "confirm")]
        await self.conversation.handle(ANNA, kiebot.Press(pay))

    async def presses(self, *parts: str) -> kiebot.Screen:
        return await self.conversation.handle(ANNA, kiebot.Press(kiebot.Action.of(*parts)))


async def last_job(shop: kiebot.Kiebot) -> Job:
    (job,) = await shop.jobs(ANNA, 10)
    return [now async for now in shop.follow(ANNA, job.id)][-1]


async def test_a_shop_of_ones_own_parts() -> None:
    """A live one: what is handed in is not the stub, and the database is the program's own."""
    async with compose(
        Settings(kie_poll_interval=0.01), storage=MemoryStorage(), kie=Painter(), frontend=Bell
    ) as runtime:
        shop, bell = runtime.kiebot, runtime.frontend
        assert isinstance(bell, Bell)
        await shop.greet(ANNA, "Anna", Language.EN)
        await shop.grant(ANNA, Money.rub("30"), by="me", why="a welcome")
        async with runtime.working():
            await bell.run()
            job = await last_job(shop)
            await runtime.worker.tell()

    assert (job.status, job.result) == (JobStatus.SUCCEEDED, Result(urls=(PICTURE,)))
    assert [[media.url for media in screen.media] for screen in bell.heard] == [[PICTURE]]
    assert (await shop.wallet(ANNA)).available == Money(0)


async def test_errors_are_caught_by_their_public_names() -> None:
    async with compose(Settings(test_mode=True), storage=MemoryStorage()) as runtime:
        shop = runtime.kiebot
        await shop.greet(ANNA, "Anna", Language.EN)

        with pytest.raises(kiebot.InsufficientFundsError) as poor:
            await shop.order(ANNA, MODEL, {"prompt": "a red cat"})
        with pytest.raises(kiebot.InvalidAnswerError):
            await shop.order(ANNA, MODEL, {"prompt": "a red cat", "colour": "red"})
        with pytest.raises(kiebot.NotFoundError):
            await shop.order(ANNA, "no-such-model", {})

    assert (poor.value.needed, poor.value.available) == (Money.rub("30"), Money(0))
