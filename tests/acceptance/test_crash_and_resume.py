"""Killed anywhere, started again: the money is right, every job ends, the person is told."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from attrs import evolve

from kiebot.core.audit import Audit
from kiebot.core.jobs import Job
from kiebot.core.topups import TopUpStatus
from tests.fakes import crash
from tests.fakes.clock import FakeClock
from tests.fakes.crash import KILLED, Diary, Story
from tests.fakes.databases import DATABASES
from tests.fakes.kie_server import kie_process
from tests.fakes.postgres import PostgresServer
from tests.fakes.shop import TERMS, stub_shop
from tests.fakes.values import BUYER

PROMPTS = {"succeeds": "рыжий кот", "fails": "fail", "answer lost": "lost"}
STEPS = ("a commit", "an upload", "createTask", "telling", "the migration", "the claim")
MORE_STEPS = {"рыжий кот": ("recordInfo", "reading a result"), "fail": ("recordInfo",), "lost": ()}
"""What belongs to how a story ends; the answer that is lost leaves nothing to ask about."""


class Rooms:
    """A place and an empty database for each telling of a story."""

    def __init__(self, kind: str, folder: Path, server: PostgresServer | None, kie: str) -> None:
        self._folder = folder
        self._kie = kie
        self._server = server if kind == "postgres" else None
        self._dsns: list[str] = []

    def story(self, number: int, prompt: str) -> Story:
        folder = self._folder / str(number)
        folder.mkdir()
        database = f"sqlite:///{folder / 'shop.db'}"
        if self._server is not None:
            database = self._server.create()
            self._dsns.append(database)
        return Story(folder=folder, database=database, prompt=prompt, kie=self._kie)

    def close(self) -> None:
        for dsn in self._dsns:
            assert self._server is not None
            self._server.drop(dsn)


@pytest.fixture(scope="module")
def kie_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """kie.ai's stand-in, which outlives the processes that are killed; a task is done at once."""
    folder = tmp_path_factory.mktemp("kie")
    with kie_process(folder, "--no-limits", "--strict", "--delay", "0") as address:
        yield address


@pytest.fixture(params=DATABASES)
def rooms(request: pytest.FixtureRequest, tmp_path: Path, kie_address: str) -> Iterator[Rooms]:
    postgres = request.param == "postgres"
    server = request.getfixturevalue("postgres_server") if postgres else None
    made = Rooms(request.param, tmp_path, server, kie_address)
    yield made
    made.close()


def told_alike(prompt: str, steps: Sequence[str]) -> int:
    """
    How many steps at the beginning are those of the story that succeeds, killed at there: kie.ai
    decides how a story goes on, by its answer to createTask.
    """
    return 0 if prompt == PROMPTS["succeeds"] else steps.index("before createTask")


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_killed_at_every_step_everything_comes_right(rooms: Rooms, prompt: str) -> None:
    unhurt = rooms.story(0, prompt)
    assert crash.run(unhurt) == 0
    steps = Diary(unhurt.folder).lines("steps")
    wanted = (*STEPS, *MORE_STEPS[prompt])
    assert {f"{when} {what}" for when in ("before", "after") for what in wanted} <= set(steps)

    first = told_alike(prompt, steps)
    for number, step in enumerate(steps[first:], first):
        story = rooms.story(number + 1, prompt)
        assert crash.run(evolve(story, kill_at=number)) == KILLED, step
        diary = Diary(story.folder)
        assert diary.lines("steps") == steps[: number + 1]

        assert crash.run(evolve(story, later=True)) == 0, step

        audit, jobs = asyncio.run(_look(story))
        told = diary.lines("told")
        assert audit.problems == (), step
        assert [job.status for job in jobs if job.is_open] == [], step
        assert [job.id for job in jobs if f"job {job.id}" not in told] == [], step
        assert max(Counter(diary.lines("tasks")).values()) <= TERMS.submissions_max, step


async def _look(story: Story) -> tuple[Audit, list[Job]]:
    async with crash.open_database(story.database) as storage:
        kiebot = stub_shop(storage, FakeClock()).kiebot
        waiting = await kiebot.waiting_topup(BUYER)
        assert waiting is None or waiting.status is TopUpStatus.MANUAL_REVIEW
        return await kiebot.audit(), list(await kiebot.jobs(BUYER, 10))
