"""
Every call of the database fails once, and everything comes out as if it had not.

A tale (`tests/fakes/tale.py`) goes by steps: a person does something, or the worker works until
nothing is left. In the n-th telling the n-th call of every step fails: as an error, before anything
is done; or it is done, and the connection is lost before anybody hears of it. Tellings go on until
no step has an n-th call.
"""

import asyncio
import logging
import multiprocessing
import random
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Protocol, TypeVar

from attrs import frozen

from tests.fakes import hasty_loop
from tests.fakes.driver_faults import How
from tests.fakes.tale import Telling, tell
from tests.torture.chapters import DATABASES, Budget, Chapter, Place, Tally

SIDE_BY_SIDE = 3
"""Processes that tell, each in a database of its own; they wait as much as they work."""

PRELOADED = (
    "tests.torture.shuffled",
    "tests.torture.clocks",
    "tests.torture.disk",
    "tests.torture.money",
)
"""The chapters that tell in these processes, too."""

IN_A_ROW = 5
"""Tellings in one database before the next."""


@frozen
class Task:
    """One telling."""

    number: int
    how: How
    fails_at: int | None
    only: int | None = None

    def __str__(self) -> str:
        which = "every step" if self.only is None else f"step {self.only}"
        return f"call {self.fails_at} of {which}, {self.how}"


def tell_here(database: str, tasks: Sequence[Task], until: float) -> list[Telling | str]:
    """
    Tell in this process, and begin none after `until` on the monotonic clock, which is that of all
    processes. What went wrong in place of a telling that did not come to its end.
    """
    tellings: list[Telling | str] = []
    for task in tasks:
        if tellings and time.monotonic() > until:
            break
        try:
            tellings.append(
                hasty_loop.hasten(tell(database, task.number, task.how, task.fails_at, task.only))
            )
        except Exception as error:
            tellings.append("".join(traceback.format_exception(error)))
    return tellings


@contextmanager
def tellers(processes: int = SIDE_BY_SIDE) -> Iterator[ProcessPoolExecutor]:
    """Processes that tell."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *PRELOADED])
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_be_quiet)
    try:
        yield pool
    except BaseException:
        # Nobody waits for who does not end: the next chapter has its own.
        for process in list(pool._processes.values()):  # noqa: SLF001 - `kill_workers` is of 3.14
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _be_quiet() -> None:
    # What fails is meant to fail.
    logging.disable(logging.CRITICAL)


class Ended(Protocol):
    """What came of a tale; `problem` where it did not come to its end."""

    @property
    def problem(self) -> str | None: ...


E = TypeVar("E", bound=Ended)
TellSome = Callable[[str, Sequence[tuple[int, int]], float], Sequence[E]]
"""Tells tales (number, seed) in a database, beginning none after a moment."""


async def tell_tales(
    tell_some: TellSome[E],
    most: int,
    place: Place,
    budget: Budget,
    rng: random.Random,
    tally: Tally,
    judge: Callable[[E], None],
) -> None:
    """Have so many tales told in processes, several at once; `judge` raises where one is wrong."""
    numbers = count()
    until = time.monotonic() + budget.left_s
    with tellers() as pool:

        async def go_on() -> None:
            while next(numbers) * IN_A_ROW < most and not budget.is_over:
                tales = [(number, rng.getrandbits(32)) for number in range(1, IN_A_ROW + 1)]
                async with place.fresh() as url:
                    loop = asyncio.get_running_loop()
                    told = await loop.run_in_executor(pool, tell_some, url, tales, until)
                    await place.audited(url)
                for (number, seed), one in zip(tales, told, strict=False):
                    with tally.part(f"tale {number} of its database, seed {seed}"):
                        assert one.problem is None, one.problem
                        tally.did("tale")
                        judge(one)

        await asyncio.gather(*(go_on() for _ in range(SIDE_BY_SIDE)))


class EveryCallFails:
    """The chapter."""

    name = "calls"
    does = (
        "Every call of the database fails once in a tale of a top-up, a paid generation, a failed"
        " one and a refund: refused before it is done, or done and the connection lost."
    )
    checks = "Money, jobs and what people were told are those of a tale in which nothing failed."
    full = "every call of every step, both ways"
    least = ("call refused", "call lost")
    weight = 520.0
    databases = DATABASES

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        with tellers() as pool:
            tell_some = Tellers(place, pool, tally, time.monotonic() + budget.left_s)
            (clean,) = await tell_some([Task(1, How.REFUSED, None)])
            assert isinstance(clean, Telling), clean
            waiting = [(how, n) for n in range(1, clean.longest + 1) for how in How]
            rng.shuffle(waiting)
            left = len(waiting)
            ended: set[How] = set()
            beyond = clean.longest

            async def go_on() -> None:
                nonlocal left, beyond
                while not budget.is_over:
                    if not waiting:
                        more = [how for how in How if how not in ended]
                        if not more:
                            return
                        # What failed makes a step longer: also what comes then may fail.
                        beyond += 1
                        waiting.extend((how, beyond) for how in more)
                        left += len(more)
                    batch = [waiting.pop() for _ in range(min(IN_A_ROW, len(waiting)))]
                    tasks = [Task(i, how, n) for i, (how, n) in enumerate(batch, 1)]
                    for task, told in zip(tasks, await tell_some(tasks), strict=False):
                        left -= 1
                        with tally.part(str(task)):
                            assert isinstance(told, Telling), told
                            if not told.hits:
                                ended.add(task.how)
                                continue
                            tally.did(f"call {task.how}", len(told.hits))
                            assert told.outcome == clean.outcome, told
                            tally.checked("ledger, jobs and news are the clean tale's")

            await asyncio.gather(*(go_on() for _ in range(SIDE_BY_SIDE)))
        tally.note("calls of the longest step", str(clean.longest))
        tally.note("tellings left undone", str(left))


@frozen
class Tellers:
    """Tell in another process, in a fresh database that is watched meanwhile."""

    place: Place
    pool: ProcessPoolExecutor
    tally: Tally
    until: float

    async def __call__(self, tasks: Sequence[Task]) -> list[Telling | str]:
        async with self.place.fresh() as url:
            loop = asyncio.get_running_loop()
            told = await loop.run_in_executor(self.pool, tell_here, url, tasks, self.until)
            await self.place.audited(url)
        self.tally.did("tale", len(told))
        self.tally.checked("the audit of the end is clean")
        return told


CHAPTERS: tuple[Chapter, ...] = (EveryCallFails(),)
