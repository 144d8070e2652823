"""
Ten thousand runs of the model of the money (`tests/acceptance/test_money_model.py`).

Each run is a database of its own and any order of whatever moves money, repeats and races among it.
They are made by processes side by side, each from a seed of its own. A run that breaks a rule is
made small by Hypothesis, and said with the steps that break it.
"""

import asyncio
import io
import random
import shutil
import tempfile
import time
import traceback
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, redirect_stdout
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from attrs import frozen
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from tests.acceptance.test_money_model import AnyOrder
from tests.fakes import databases
from tests.torture.calls import tellers
from tests.torture.chapters import DATABASES, Budget, Chapter, Place, Tally

RUNS = {"sqlite": 9000, "postgres": 1000}
"""Together ten thousand; PostgreSQL, which empties a database before each, has fewer."""

STEPS = 12
"""Of one run: many short ones see more orders than few long ones, in the same time."""

AUDITED = 4
"""Every so many steps there is an audit, and one at the end of the run."""

AT_ONCE = 25
"""Runs of one task: Hypothesis learns from those before, and the budget is looked at in between."""

PROCESSES = 2

MEMORY = Path("/dev/shm")
"""Where a file costs no disk; elsewhere the temporary folder is used."""


@frozen
class Runs:
    """What one task did."""

    made: int
    seconds: float
    problem: str | None = None


def run_some(database: str, dsn: str | None, number: int, runs: int) -> Runs:
    """Make some runs from a seed, on databases of a kind, in this process."""
    parent = MEMORY if MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="kiebot-money-", dir=parent))
    loop = asyncio.new_event_loop()
    many = databases.make(database, folder, dsn)
    made = 0

    class Counted(AnyOrder):
        databases = many

        def __init__(self) -> None:
            nonlocal made
            super().__init__()
            made += 1
            self.steps = 0

        @invariant()
        def the_rules_hold(self) -> None:
            # An audit takes as long as all else of a step.
            self.steps += 1
            if self.steps % AUDITED == 0:
                assert self.run(self.shop.problems()) == ()

        def teardown(self) -> None:
            try:
                assert self.run(self.shop.problems()) == ()
            finally:
                super().teardown()

    Counted.loop = loop
    began = time.monotonic()
    said = io.StringIO()
    problem = None
    try:
        with redirect_stdout(said):
            run_state_machine_as_test(
                seed(number)(Counted),
                settings=settings(
                    max_examples=runs,
                    stateful_step_count=STEPS,
                    database=None,
                    deadline=None,
                    phases=[Phase.generate, Phase.shrink],
                    suppress_health_check=list(HealthCheck),
                ),
            )
    except Exception as error:
        problem = said.getvalue() + "".join(traceback.format_exception(error))
    finally:
        loop.run_until_complete(many.close())
        loop.close()
        shutil.rmtree(folder)
    return Runs(made, time.monotonic() - began, problem)


@asynccontextmanager
async def _unwatched(place: Place) -> AsyncIterator[str | None]:
    """
    A PostgreSQL database that nobody else reads: it is emptied before each run, which waits for
    every reader. None for SQLite, of which each run has a file.
    """
    if place.database == "sqlite":
        yield None
        return
    async with place.fresh(migrated=False) as beside:
        parts = urlsplit(beside)
        name = f"{parts.path.removeprefix('/')}_money"
        connection = await asyncpg.connect(beside)
        try:
            await connection.execute(f"create database {name} template template0")
            try:
                yield urlunsplit(parts._replace(path=f"/{name}"))
            finally:
                await connection.execute(f"drop database {name} with (force)")
        finally:
            await connection.close()


class MoneyModel:
    """The chapter."""

    name = "money"
    does = "Any order of everything that moves money, with repeats and races, found by Hypothesis."
    checks = (
        "After every step the wallets are what a simple model says; every rule holds, as an audit"
        " finds in between and at the end of each run."
    )
    full = f"{RUNS['sqlite']:,} runs on SQLite and {RUNS['postgres']:,} on PostgreSQL"
    least = ("run",)
    weight = 400.0
    databases = DATABASES

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        began = time.monotonic()
        left = RUNS[place.database]

        async def go_on(pool: ProcessPoolExecutor, seeds: random.Random) -> None:
            nonlocal left
            async with _unwatched(place) as dsn:
                while left > 0 and not budget.is_over:
                    runs = min(AT_ONCE, left)
                    left -= runs
                    number = seeds.getrandbits(32)
                    loop = asyncio.get_running_loop()
                    done = await loop.run_in_executor(
                        pool, run_some, place.database, dsn, number, runs
                    )
                    tally.did("run", done.made)
                    with tally.part(f"Hypothesis seed {number}, {runs} runs"):
                        assert done.problem is None, done.problem
                        tally.checked("wallets as the model says, after every step", done.made)

        with tellers(PROCESSES) as pool:
            seeds = [random.Random(rng.random()) for _ in range(PROCESSES)]
            await asyncio.gather(*(go_on(pool, mine) for mine in seeds))
        minutes = (time.monotonic() - began) / 60
        tally.note("runs a minute", f"{tally.done['run'] / minutes:,.0f}")
        tally.note("steps of a run, at most", str(STEPS))


CHAPTERS: tuple[Chapter, ...] = (MoneyModel(),)
