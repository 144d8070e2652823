"""
Everything that is told to kiebot is told 1 to 5 times, shuffled, to two instances at once.

A person's updates first come in the order in which they were sent, as Telegram sends them; copies
of them come at the same moment, later, or among later ones, and all of them once more after a
restart. kie.ai's callbacks come in any order while the worker works, and again in the end.
"""

import asyncio
import json
import random
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from attrs import define, field, frozen

from kiebot.core.tasks import TaskId
from kiebot.core.updates import Update
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.system import Clock
from kiebot.reception import Reception
from tests.fakes import hasty_loop
from tests.fakes.driver_faults import Calls
from tests.fakes.tale import BETWEEN, LEASE_S, Outcome, Tale, reached
from tests.torture.calls import tell_tales
from tests.torture.chapters import DATABASES, Budget, Chapter, Place, Tally

TALES = 200

MOST = 5
"""How often something is told at most."""

LATE_S = 5.0
"""How much later a copy may come."""

LOOK_S = 0.2


@define
class Post:
    """What brings news to kiebot; it remembers all of it, and repeats itself."""

    rng: random.Random
    updates: list[Update] = field(factory=list)
    callbacks: list[tuple[JobId, TaskId]] = field(factory=list)
    copies: int = 0
    _late: set[asyncio.Task[None]] = field(factory=set)

    async def sends(self, update: Update, tales: Sequence["Shuffled"]) -> None:
        """An update for the first time; copies of it and of older ones come now or later."""
        self.updates.append(update)
        times = self.rng.randint(1, MOST)
        now = self.rng.randint(1, times)
        for _ in range(times - now):
            self._later(self._brings(update, tales))
        old = self.rng.choice(self.updates)
        await asyncio.gather(*(self._brings(one, tales) for one in [update] * now + [old]))

    def calls_back(
        self, tales: Sequence["Shuffled"], tasks: Iterable[tuple[JobId, TaskId]]
    ) -> None:
        """kie.ai says of tasks that they may be done, each up to five times in the next seconds."""
        for task in tasks:
            if task not in self.callbacks:
                self.callbacks.append(task)
                for _ in range(self.rng.randint(1, MOST)):
                    self._later(self._says_done(task, tales))

    async def all_again(self, tales: Sequence["Shuffled"]) -> None:
        """Everything that ever was, 1 to 5 times, in any order, some of it side by side."""
        everything: list[Callable[[], Awaitable[None]]] = [
            lambda one=one: self._brings(one, tales)  # type: ignore[misc]
            for one in self.updates
            for _ in range(self.rng.randint(1, MOST))
        ]
        everything += [
            lambda one=one: self._says_done(one, tales)  # type: ignore[misc]
            for one in self.callbacks
            for _ in range(self.rng.randint(1, MOST))
        ]
        self.rng.shuffle(everything)
        while everything:
            some = [everything.pop() for _ in range(min(len(everything), self.rng.randint(1, 8)))]
            await asyncio.gather(*(bring() for bring in some))

    async def all_here(self) -> None:
        """Nothing is on its way any more."""
        while self._late:
            await asyncio.gather(*self._late)

    async def _brings(self, update: Update, tales: Sequence["Shuffled"]) -> None:
        self.copies += 1
        await self.rng.choice(tales).at_work.take_in([update])

    async def _says_done(self, task: tuple[JobId, TaskId], tales: Sequence["Shuffled"]) -> None:
        self.copies += 1
        await self.rng.choice(tales).kiebot.called_back(*task)

    def _later(self, what: Awaitable[None]) -> None:
        pause = self.rng.uniform(0, LATE_S)

        async def wait() -> None:
            await asyncio.sleep(pause)
            await what

        late = asyncio.create_task(wait())
        self._late.add(late)
        late.add_done_callback(self._late.discard)


@define
class Shuffled(Tale):
    """A tale of which everything is told to it, and to another instance, by the post."""

    post: Post = field(kw_only=True)
    others: list["Shuffled"] = field(factory=list)
    at_work: Reception = field(init=False)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Its reception is at work."""
        async with self.reception() as self.at_work:
            yield

    async def sends(self, user_id: UserId, **what: str) -> None:
        number = next(self._updates)
        body = json.dumps({"update_id": number, "user_id": user_id, **what})
        await self.post.sends(Update(id=number, user_id=user_id, body=body), [self, *self.others])
        await self.is_heard(user_id)

    async def is_heard(self, user_id: UserId) -> None:
        """All that a person sent was answered."""
        async with asyncio.timeout(LEASE_S):
            while not await self._is_answered(user_id):  # noqa: ASYNC110 - only a row says so
                await asyncio.sleep(LOOK_S)

    async def works(self) -> None:
        created = [task for tale in [self, *self.others] for task in tale.kie.created]
        self.post.calls_back([self, *self.others], created)
        await super().works()
        created = [task for tale in [self, *self.others] for task in tale.kie.created]
        self.post.calls_back([self, *self.others], created)


async def tell_shuffled(database: str, number: int, seed: int) -> tuple[Outcome, int]:
    """One tale; how it ended, and how many copies were brought."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, hasty_loop.HastyLoop)
    calls = Calls()
    loop.mind(calls.is_busy)

    def clock() -> datetime:
        return loop.now() + number * BETWEEN

    post = Post(random.Random(seed))
    async with _shop(database, calls, clock, number, post) as tale:
        await tale.tell()
        await post.all_here()
        await tale.is_heard(tale.person)
        await tale.works()
    # The restart: new connections and new minds on what is stored.
    async with _shop(database, calls, clock, number, post, ids="zw") as later:
        later.window.told.extend(tale.window.told)
        await post.all_again([later, *later.others])
        await post.all_here()
        for who in (later.person, later.admin):
            await later.is_heard(who)
        await later.works()
        await post.all_here()
        return await later.outcome(), post.copies


@asynccontextmanager
async def _shop(
    database: str, calls: Calls, clock: Clock, number: int, post: Post, ids: str = "xy"
) -> AsyncIterator[Shuffled]:
    """Two instances on one database; people see what either of them shows."""
    async with (
        reached(database, calls, clock) as unhurt,
        reached(database, calls, clock) as first,
        reached(database, calls, clock) as second,
    ):
        tale, other = (
            Shuffled(storage, unhurt, number, clock=clock, calls=calls, post=post, ids=one)
            for storage, one in zip((first, second), ids, strict=True)
        )
        other.window.screens = tale.window.screens
        other.window.told = tale.window.told
        tale.others.append(other)
        async with tale.open(), other.open():
            yield tale


@frozen
class Shuffle:
    """What came of one tale."""

    outcome: Outcome | None
    copies: int = 0
    problem: str | None = None


def shuffle_here(database: str, tales: Sequence[tuple[int, int]], until: float) -> list[Shuffle]:
    """Tell tales (number, seed) in this process, beginning none after `until`."""
    told: list[Shuffle] = []
    for number, seed in tales:
        if told and time.monotonic() > until:
            break
        try:
            outcome, copies = hasty_loop.hasten(tell_shuffled(database, number, seed))
            told.append(Shuffle(outcome, copies))
        except Exception as error:
            told.append(Shuffle(None, problem="".join(traceback.format_exception(error))))
    return told


CLEAN = Outcome(
    available=50000,
    held=0,
    entries=(
        ("", "topup", 50000),
        ("fail", "hold", 3000),
        ("fail", "release", 3000),
        ("рыжий кот", "charge", 3000),
        ("рыжий кот", "hold", 3000),
        ("рыжий кот", "refund", 3000),
    ),
    jobs=(("fail", "failed", 3000), ("рыжий кот", "refunded", 3000)),
    topups=(("approved", 50000),),
    news=frozenset(
        {
            ("TopUpToReview", ""),
            ("TopUpApproved", ""),
            ("JobSucceeded", "рыжий кот"),
            ("JobRefunded", "рыжий кот"),
            ("JobFailed", "fail"),
        }
    ),
)
"""How a tale ends to which everything is told once."""


class EverythingAgain:
    """The chapter."""

    name = "shuffled"
    does = (
        f"Every update and every callback of kie.ai is told 1 to {MOST} times, shuffled, at once"
        " and late, to two instances on one database; and all of it again after a restart."
    )
    checks = "Ledger, jobs and news are those of the tale to which everything was told once."
    full = f"{TALES} tales on each database"
    least = ("tale",)
    weight = 60.0
    databases = DATABASES

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""

        def judge(one: Shuffle) -> None:
            assert one.outcome == CLEAN, one.outcome
            tally.did("delivery", one.copies)
            tally.checked("ledger, jobs and news are the clean tale's")

        await tell_tales(shuffle_here, TALES, place, budget, rng, tally, judge)


CHAPTERS: tuple[Chapter, ...] = (EverythingAgain(),)
