"""
10,000 open jobs on one process: what they take of memory and processor, and whether the account's
limit on looks holds.

    python -m benchmarks.open_jobs [--jobs 10000] [--seconds 12] [--rounds 5]
                                   [--database postgresql://...] [--to FOLDER]

kie.ai's stand-in runs as a process of its own and counts. One process works for nobody (idle), one
for all the jobs, in turn; each says what it took of the processor in that time, and of memory at
its end.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from attrs import evolve

from benchmarks import measure
from kiebot import Money, Settings, UserId
from kiebot.compose import compose
from kiebot.core import billing, holds, jobs
from kiebot.core.billing import Change, JobStep
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.tasks import Task, TaskId
from kiebot.core.wallet import JobId
from kiebot.ports.storage import Storage

MODEL = "flux-2/pro-text-to-image"
PARAMS = {"prompt": "stall", "aspect_ratio": "1:1", "resolution": "1K"}
PRICE = Money.rub("30")
PEOPLE = 100
LIMIT = 10
"""Looks a second that kie.ai allows."""

ABOUT = f"""
One process works on the jobs, at the account's limit of {LIMIT} looks a second; kie.ai's stand-in
runs beside it and never has a task done. An idle process works on a database without jobs.
"""

WHY = (
    "The worker keeps nothing of a job that is not due: the moments are in the database's index."
    " What a busy process has more is the HTTP client with its connections (1 MiB, with 20 jobs as"
    " with all), and what SQLite's connections keep of the file: 2 MiB by the one that writes, 0.25"
    " by each that reads."
)

OLDEST = timedelta(minutes=50)
"""The jobs were confirmed between now and then: less than JOB_TIMEOUT."""


def main() -> None:
    """Measure, and keep the page."""
    asked = _arguments()
    if asked.role is not None:
        asyncio.run(_work(asked))
        return
    with tempfile.TemporaryDirectory() as folder, _stand_in(Path(folder)) as address:
        database = asked.database or f"sqlite:///{folder}/jobs.db"
        tasks = asyncio.run(_make_tasks(address, asked.jobs))
        asyncio.run(_fill(_settings(database, address), tasks))
        subjects = {
            "idle": partial(_measure, asked, "idle", f"sqlite:///{folder}/idle.db", address),
            "busy": partial(_measure, asked, "busy", database, address),
        }
        subjects["idle"]()  # its database is made
        found = measure.in_turn(subjects, asked.rounds)
        after = asyncio.run(_counts(address))
    measure.keep(_page(found, after, asked.jobs), asked.to)


def _page(
    found: Mapping[str, Sequence[dict[str, Any]]], after: Mapping[str, Any], jobs: int
) -> measure.Page:
    idle, busy = found["idle"], found["busy"]
    refused, most = after["queries_refused"], after["most_queries_in_1s"]
    return measure.Page(
        name="open_jobs",
        title=f"{jobs:,} open jobs",
        about=ABOUT.strip(),
        rows=(
            measure.Row(
                measured=f"memory with {jobs:,} open jobs",
                against="what an idle process takes, subtracted",
                rounds=tuple(b["rss"] - i["rss"] for i, b in zip(idle, busy, strict=True)),
                goal=measure.at_most(5),
                unit="MiB",
                why=WHY,
            ),
            measure.Row(
                measured=f"processor with {jobs:,} open jobs, {LIMIT} looks a second",
                against="one core",
                rounds=tuple(one["cpu"] * 100 for one in busy),
                goal=measure.at_most(15),
                unit="%",
                also={f"at most {LIMIT} looks in any second": most <= LIMIT and not refused},
            ),
        ),
        figures=(
            _figure("looks a second", "", [one["looks"] / one["seconds"] for one in busy]),
            _figure("the latest look after its time", "s", [one["late"] for one in busy]),
            _figure("memory, idle", "MiB", [one["rss"] for one in idle]),
            _figure("memory, busy", "MiB", [one["rss"] for one in busy]),
            _figure("processor, idle", "%", [one["cpu"] * 100 for one in idle]),
        ),
        packages=("aiohttp",),
    )


def _figure(of: str, unit: str, values: Sequence[float]) -> measure.Figure:
    return measure.Figure(of=of, unit=unit, rounds=tuple(values))


def _arguments() -> argparse.Namespace:
    parser = measure.arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--database")
    parser.add_argument("--role", choices=["idle", "busy"], help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    return parser.parse_args()


@contextmanager
def _stand_in(folder: Path) -> Iterator[str]:
    """kie.ai's stand-in: it takes everything, and counts."""
    lines = folder / "stub-kie.log"
    command = [sys.executable, "-m", "kiebot", "stub-kie", "--port", "0", "--no-limits"]
    with lines.open("w") as out, subprocess.Popen(command, stdout=out) as process:
        try:
            while not (first := lines.read_text().partition("\n"))[1]:
                time.sleep(0.05)
            yield first[0]
        finally:
            process.terminate()


def _settings(database: str, address: str) -> Settings:
    return Settings.from_env(
        {
            "DATABASE_URL": database,
            "KIE_API_TOKEN": "any",
            "KIE_API_URL": address,
            "KIE_UPLOAD_URL": address,
            "LOG_LEVEL": "error",
        }
    )


async def _make_tasks(address: str, count: int) -> list[TaskId]:
    """Tasks at kie.ai that never end."""
    some = asyncio.Semaphore(16)
    body = {"model": MODEL, "input": PARAMS}
    headers = {"Authorization": "Bearer any", "User-Agent": "benchmark"}

    async def make(session: aiohttp.ClientSession) -> TaskId:
        url = f"{address}/api/v1/jobs/createTask"
        async with some, session.post(url, json=body, headers=headers) as answer:
            return TaskId((await answer.json())["data"]["taskId"])

    async with aiohttp.ClientSession() as session:
        await session.post(f"{address}/stub/balance", json={"credits": 1e8})
        return list(await asyncio.gather(*(make(session) for _ in range(count))))


async def _fill(settings: Settings, tasks: list[TaskId]) -> None:
    """A running job for each task, its price held."""
    async with compose(settings) as runtime:
        shop = runtime.kiebot
        people = [UserId(number) for number in range(1, PEOPLE + 1)]
        for person in people:
            await shop.greet(person, "somebody", Language.EN)
            each = PRICE.kopecks * (len(tasks) // PEOPLE + 1)
            await shop.grant(person, Money(each), by="benchmark", why="to be spent")
        storage: Storage = shop._storage  # noqa: SLF001 - rows in bulk are nobody's use-case
        now = datetime.now(UTC)
        for start in range(0, len(tasks), 500):
            async with storage.begin() as uow:
                for number, task in enumerate(tasks[start : start + 500], start):
                    person = people[number % PEOPLE]
                    at = now - OLDEST * number / len(tasks)
                    draft = Job(
                        id=JobId(f"job{number}"),
                        user_id=person,
                        model_id=MODEL,
                        params=PARAMS,
                        price=PRICE,
                        kie_price=PRICE,
                        created_at=at,
                        updated_at=at,
                    )
                    await uow.record(Change(jobs=(JobStep(jobs.offer(draft, at), None),)))
                    running = evolve(
                        draft,
                        status=JobStatus.RUNNING,
                        offered_at=at,
                        confirmed_at=at,
                        submissions=1,
                        kie_task_id=task,
                        # As if each had just been looked at, or nearly so.
                        next_check_at=now
                        + timedelta(seconds=len(tasks) / LIMIT) * number / len(tasks),
                    )
                    await uow.record(
                        billing.Change(
                            jobs=(JobStep(running, JobStatus.DRAFT),),
                            entry=holds.place(draft.id, person, PRICE, at),
                            tasks=(Task(id=task, job_id=draft.id, created_at=at, updated_at=at),),
                        )
                    )


async def _work(asked: argparse.Namespace) -> None:
    """Work for so long, and say what that took."""
    async with compose(_settings(asked.database, asked.address)) as runtime, runtime.working():
        await asyncio.sleep(3)  # until it leads and has begun
        looks = (await _counts(asked.address))["queries"]
        cpu, wall = time.process_time(), time.monotonic()
        late = 0.0
        while (lasted := time.monotonic() - wall) < asked.seconds:
            await asyncio.sleep(1)
            if await runtime.kiebot.all_open_jobs(1):
                late = max(late, await _latest(runtime.kiebot._storage))  # noqa: SLF001
        spent = time.process_time() - cpu
        looks = (await _counts(asked.address))["queries"] - looks
        found = {"seconds": lasted, "looks": looks, "cpu": spent / lasted, "late": late}
        print(json.dumps({**found, "rss": _rss_mib()}))


async def _latest(storage: Storage) -> float:
    """How long the job waits that is due the longest, in seconds."""
    async with storage.read() as uow:
        moment = await uow.jobs.next_due(local=False)
    return 0.0 if moment is None else max(0.0, (datetime.now(UTC) - moment).total_seconds())


def _measure(asked: argparse.Namespace, role: str, database: str, address: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.open_jobs", "--role", role]
    command += ["--seconds", str(asked.seconds), "--database", database, "--address", address]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def _counts(address: str) -> dict[str, Any]:
    """What the stand-in has counted."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}/stub/counts") as said:
        counts: dict[str, Any] = await said.json()
        return counts


def _rss_mib() -> float:
    """Memory that is in use now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
