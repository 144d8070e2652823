"""
Jobs deferred and finished: kiebot with their money moved, procrastinate and pgqueuer with none.

    python -m benchmarks.peers [--rounds 5] [--jobs 500]
"""

import argparse
import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import procrastinate
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job

from benchmarks import measure, postgres, shop
from benchmarks.measure import Figure, Page, Row
from benchmarks.shop import MODEL, PEOPLE, Shop
from kiebot import UserId
from kiebot.core.jobs import Job as OurJob
from kiebot.ports.storage import Lane

DEFERRING = 8
"""Who defers does so this many at once."""

WORKING = 16
"""Who works does so on this many at once."""

BATCH = 200

ABOUT = """
Each defers {jobs:,} jobs, {deferring} at once, then works through them, {working} at once, in one
process of Python on one PostgreSQL; the rate is that of both together. For kiebot to defer is
`draft` and `confirm`, with the price held; to finish is to find what is due, submit it, find it
done, and charge it: two entries in a ledger that can be audited, for each job. The peers' jobs
do nothing, and move nothing. pgqueuer's clock stops when its last handler ran; what it notes
afterwards is not counted.
"""

WHY = """
A job of a peer is one row, inserted, fetched in a batch with others, and noted as done in another
batch. A job of kiebot is five transactions of its own, none of which may wait for those of others:
each is what is known for certain should the process die before the next.
"""


def main() -> None:
    """Measure, and keep it."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=500)
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with (
        postgres.running() as server,
        postgres.database(server) as ours,
        postgres.database(server) as first,
        postgres.database(server) as second,
    ):
        asyncio.run(_measure(asked, ours, first, second))


async def _measure(asked: argparse.Namespace, ours: str, first: str, second: str) -> None:
    jobs: int = asked.jobs
    folder: Path = asked.to
    async with (
        shop.on_postgres(ours, WORKING) as kiebot,
        _procrastinate(first, jobs) as run_procrastinate,
        _pgqueuer(second, jobs) as run_pgqueuer,
    ):
        await kiebot.fill()

        async def run_kiebot() -> float:
            return await _kiebot(kiebot, jobs)

        subjects = {
            "kiebot": postgres.tidied(ours, run_kiebot),
            "procrastinate": postgres.tidied(first, run_procrastinate),
            "pgqueuer": postgres.tidied(second, run_pgqueuer),
        }
        # Once before it counts: nobody measures a queue that has no rows yet.
        await measure.in_turn_async(subjects, 1)
        found = await measure.in_turn_async(subjects, asked.rounds)
        audit = await kiebot.kiebot.audit()
    goals = {"procrastinate": measure.at_least(5), "pgqueuer": measure.at_least(1)}
    rows = tuple(
        Row(
            measured="defer and finish a job with its money moved",
            against=f"{peer}, without money",
            rounds=measure.ratios(found["kiebot"], found[peer]),
            goal=goal,
            why=WHY.strip(),
            also={"the audit is content": audit.ok},
        )
        for peer, goal in goals.items()
    )
    figures = tuple(
        Figure(of=name, unit="jobs a second", rounds=tuple(values))
        for name, values in found.items()
    )
    about = ABOUT.format(jobs=jobs, deferring=DEFERRING, working=WORKING).strip()
    measure.keep(
        Page(
            name="peers",
            title="Beside other queues",
            pictures={"Where the time of kiebot goes": "whole_job_postgres-flame.svg"},
            about=about,
            rows=rows,
            figures=figures,
            packages=("procrastinate", "pgqueuer"),
        ),
        folder,
    )


async def _kiebot(kiebot: Shop, jobs: int) -> float:
    people = iter(range(jobs))

    async def order() -> None:
        for number in people:
            person = UserId(1 + number % PEOPLE)
            drafted = await kiebot.kiebot.draft(person, MODEL, shop.ANSWERS)
            await kiebot.kiebot.confirm(person, drafted.job.id)

    begun_at = time.perf_counter()
    await _at_once(order, DEFERRING)
    done = 0
    while done < jobs:
        for lane in (Lane.SUBMIT, Lane.CHECK):
            due = iter(await kiebot.kiebot.due(BATCH, lane, local=False))
            done += sum(await asyncio.gather(*(_advance(kiebot, due) for _ in range(WORKING))))
    return jobs / (time.perf_counter() - begun_at)


async def _advance(kiebot: Shop, due: Iterator[OurJob]) -> int:
    """Take a step of each; how many are finished by it."""
    finished = 0
    for job in due:
        moved = await kiebot.kiebot.advance(job.id, None)
        finished += not moved.is_open
    return finished


@asynccontextmanager
async def _procrastinate(dsn: str, jobs: int) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    parts = urlsplit(dsn)
    host = parse_qs(parts.query)["host"][0]
    connector = procrastinate.PsycopgConnector(
        conninfo=f"host={host} user={parts.username} dbname={parts.path.lstrip('/')}",
        min_size=4,
        max_size=WORKING + 4,
    )
    app = procrastinate.App(connector=connector)

    @app.task(name="nothing")
    async def nothing(number: int) -> None:
        """A job."""

    async def run() -> float:
        numbers = iter(range(jobs))

        async def defer() -> None:
            for number in numbers:
                await nothing.defer_async(number=number)

        begun_at = time.perf_counter()
        await _at_once(defer, DEFERRING)
        await app.run_worker_async(
            wait=False, concurrency=WORKING, install_signal_handlers=False, listen_notify=False
        )
        return jobs / (time.perf_counter() - begun_at)

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        yield run


@asynccontextmanager
async def _pgqueuer(dsn: str, jobs: int) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    pool = await asyncpg.create_pool(dsn, min_size=4, max_size=WORKING)
    driver = AsyncpgPoolDriver(pool)
    queries = Queries(driver)
    await queries.install()

    async def run() -> float:
        done = 0
        finished = asyncio.Event()
        numbers = iter(range(jobs))
        queue = PgQueuer(driver)

        @queue.entrypoint("nothing")
        async def nothing(job: Job) -> None:  # noqa: ARG001
            nonlocal done
            done += 1
            if done >= jobs:
                finished.set()

        async def defer() -> None:
            for number in numbers:
                await queries.enqueue("nothing", str(number).encode())

        begun_at = time.perf_counter()
        await _at_once(defer, DEFERRING)
        working = asyncio.create_task(queue.run(batch_size=WORKING))
        await finished.wait()
        lasted = time.perf_counter() - begun_at
        queue.shutdown.set()
        await asyncio.gather(working, return_exceptions=True)
        return jobs / lasted

    try:
        yield run
    finally:
        await pool.close()


async def _at_once(work: Callable[[], Awaitable[None]], many: int) -> None:
    await asyncio.gather(*(work() for _ in range(many)))


if __name__ == "__main__":
    main()
