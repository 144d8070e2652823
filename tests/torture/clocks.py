"""
The clock of the machine jumps, by minutes and hours, forward and backward, amid everything.

In a tale the clock that kiebot reads is right only sometimes: at any reading it may begin to be
wrong by up to hours, either way. Leases, looks at a task, slots of a limit and drafts that expire
all go by it. Two leaders, whose lease goes by the clock of the machine or of the server, find the
moment until which it holds moved: which is what a jump of that clock makes of it.
"""

import asyncio
import random
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import aiosqlite
import asyncpg
from attrs import define, evolve, field, frozen

from kiebot.adapters.storage import rows
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.billing import Change
from kiebot.core.errors import LeadLostError, StorageError, StorageUnavailableError
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.money import Money
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind, LedgerEntry
from kiebot.ports.storage import Storage
from tests.fakes import hasty_loop
from tests.fakes.clock import START
from tests.fakes.driver_faults import Calls
from tests.fakes.shop import PICTURE
from tests.fakes.tale import BETWEEN, CAT, FAILING, HASTY_TERMS, STEP_S, Tale, reached
from tests.torture.calls import tell_tales
from tests.torture.chapters import DATABASES, Budget, Chapter, Place, Tally

TALES = 150
ROUNDS = 10
JUMPS_OF_A_ROUND = 30

ONE_IN = 25
"""At how many readings the clock jumps once."""

FARTHEST_S = 6 * 3600
"""How wrong it is at most, either way; half of the jumps are of minutes."""

OFTEN = 8
"""How often a person begins anew whose draft the clock took away."""

SHORT_S = 1.0
"""A lease so short that who stands by looks often whether it is over."""

SCOPE = "remote"
WRITER = UserId(999_999)


@define
class JumpyClock:
    """Right, but for an error that changes at once; `after` are the moments of tales before."""

    rng: random.Random
    after: timedelta
    error: timedelta = timedelta()
    jumps: int = 0

    def __call__(self) -> datetime:
        if self.rng.randrange(ONE_IN) == 0:
            farthest = self.rng.choice([600, FARTHEST_S])
            self.error = timedelta(seconds=self.rng.randint(-farthest, farthest))
            self.jumps += 1
        return hasty_loop.now() + self.after + self.error


@define
class Jumping(Tale):
    """A tale in which people begin anew when what they had begun is gone."""

    jumpy: JumpyClock = field(kw_only=True)

    async def tell(self) -> None:
        await self.does(self.person, say="/start")
        await self.tops_up()
        for prompt in (CAT, FAILING, CAT):
            for _ in range(OFTEN):
                await self.does(self.person, press=f"mmodel:{PICTURE}")
                await self.does(self.person, say=prompt)
                with suppress(AssertionError):  # the draft was too old
                    confirm = self.button(self.person, "gen:confirm:")
                    await self.does(self.person, press=confirm)
                    # Somebody is impatient, and the clock is another by now.
                    await self.does(self.person, press=confirm)
                    break
            await self.works()
        for _ in range(3):
            # What was stored with a moment far ahead is due when that has come.
            self.jumpy.after += timedelta(seconds=2 * FARTHEST_S)
            await self.works()
            await asyncio.sleep(STEP_S)


@frozen
class Jumped:
    """What came of one tale."""

    jumps: int = 0
    jobs: int = 0
    problem: str | None = None


async def tell_jumping(database: str, number: int, seed: int) -> Jumped:
    """
    One tale by a jumping clock.

    Raises:
        AssertionError: Somebody was charged twice, or something did not come to its end.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, hasty_loop.HastyLoop)
    calls = Calls()
    loop.mind(calls.is_busy)
    # Far from the tale before, whatever its clock said.
    jumpy = JumpyClock(random.Random(seed), 20 * number * BETWEEN)
    async with (
        reached(database, calls, jumpy) as unhurt,
        reached(database, calls, jumpy) as storage,
    ):
        terms = evolve(HASTY_TERMS, draft_age=timedelta(hours=2))
        tale = Jumping(storage, unhurt, number, clock=jumpy, calls=calls, terms=terms, jumpy=jumpy)
        await tale.tell()
        jobs = await _settled(unhurt, tale)
        return Jumped(jumpy.jumps, jobs)


async def _settled(unhurt: Storage, tale: Tale) -> int:
    """How many jobs were paid for; each is over, and was paid or given back exactly once."""
    async with unhurt.read() as uow:
        jobs = await uow.jobs.recent(tale.person, 100)
        topups = await uow.ledger.topped_up(tale.person)
        wallet = await uow.wallets.get(tale.person)
        left = 0
        for job in jobs:
            assert job.status in {JobStatus.SUCCEEDED, JobStatus.FAILED}, job
            kinds = Counter(entry.kind for entry in await uow.ledger.of_job(job.id))
            paid = EntryKind.CHARGE if job.status is JobStatus.SUCCEEDED else EntryKind.RELEASE
            assert kinds == {EntryKind.HOLD: 1, paid: 1}, (job, kinds)
            left += job.price.kopecks if job.price and paid is EntryKind.CHARGE else 0
    assert [entry.amount.kopecks for entry in topups] == [50000]
    has = (wallet.available.kopecks, wallet.held.kopecks)
    assert has == (50000 - left, 0), (has, left, jobs)
    assert len(jobs) == 3, jobs
    # None at all where the clock jumped over every deadline before.
    asked = Counter(job for job, _ in tale.kie.created)
    assert max(asked.values(), default=0) <= tale.terms.submissions_max
    return len(jobs)


def jump_here(database: str, tales: Sequence[tuple[int, int]], until: float) -> list[Jumped]:
    """Tell tales (number, seed) in this process, beginning none after `until`."""
    told: list[Jumped] = []
    for number, seed in tales:
        if told and time.monotonic() > until:
            break
        try:
            told.append(hasty_loop.hasten(tell_jumping(database, number, seed)))
        except Exception as error:
            told.append(Jumped(problem="".join(traceback.format_exception(error))))
    return told


# --- Two leaders


async def two_leaders(database: str, rng: random.Random, jumps: int) -> tuple[int, int]:
    """
    Two that want to lead, and write while they do, while the moment in the row of the lead jumps.

    How many entries they made, and how often the lead changed hands.

    Raises:
        AssertionError: One wrote after the other had begun to.
    """
    made = unheard = jumped = 0
    tokens_seen: set[int] = set()
    stopping = asyncio.Event()
    async with _with_short_lease(database) as one, _with_short_lease(database) as other:
        async with one.begin() as uow:
            await uow.users.add(
                User(id=WRITER, name="W", language=Language.EN, created_at=START, seen_at=START)
            )

        async def lead(storage: Storage, name: str) -> None:
            nonlocal made, unheard
            while not stopping.is_set():
                # Not at the end of the block: who is turned out does not leave by itself.
                async with storage.lead(SCOPE) as lead:
                    try:
                        # As one that was frozen: it asks nobody whether it leads.
                        while not stopping.is_set():
                            ref = f"{name}:{lead.token}:{made}:{unheard}"
                            async with storage.begin(lead) as uow:
                                await uow.record(Change(entry=_entry(ref, lead.token)))
                            made += 1
                            tokens_seen.add(lead.token)
                            await asyncio.sleep(0)
                    except LeadLostError:
                        pass
                    except StorageUnavailableError:
                        # A server ends who waits for so long in a transaction, on a slow machine.
                        unheard += 1

        leading = [
            asyncio.create_task(lead(storage, name)) for storage, name in ((one, "a"), (other, "b"))
        ]
        try:
            # On a slow machine it takes more of them until the lead has changed hands.
            while jumped < jumps or (len(tokens_seen) < 2 and jumped < 20 * jumps):
                jumped += 1
                await asyncio.sleep(rng.uniform(0.01, 0.15))
                with suppress(StorageError, asyncpg.PostgresError):
                    await _jump(database, timedelta(seconds=rng.randint(-7200, 7200)))
        finally:
            stopping.set()
            # The last jump may have been back: nobody waits until the clock is there again.
            await _jump(database, timedelta(hours=-12))
            await asyncio.wait_for(asyncio.gather(*leading), 60)
        async with one.read() as uow:
            entries = await uow.ledger.recent(WRITER, 10**6)
    tokens = [int(entry.why or "") for entry in reversed(entries)]
    assert made <= len(tokens) <= made + unheard
    assert tokens == sorted(tokens), "a leader wrote after its successor"
    return made, len(set(tokens)) - 1


@asynccontextmanager
async def _with_short_lease(database: str) -> AsyncIterator[Storage]:
    storage: Storage
    if database.startswith("sqlite:///"):
        path = Path(database.removeprefix("sqlite:///"))
        storage = await SqliteStorage.open(path, lease_s=SHORT_S)
    else:
        storage = await PostgresStorage.open(database, lease_s=SHORT_S)
    try:
        yield storage
    finally:
        await storage.close()


async def _jump(database: str, by: timedelta) -> None:
    """Move the moment until which the lead holds, as a jump of the clock by the opposite would."""
    if database.startswith("sqlite:///"):
        path = Path(database.removeprefix("sqlite:///"))
        async with aiosqlite.connect(path, timeout=30) as connection:
            await connection.execute("begin immediate")
            found = await connection.execute_fetchall("select scope, until from lead")
            for scope, until in found:
                if until:
                    moved = rows.dump_moment(rows.moment(until) + by)
                    await connection.execute(
                        "update lead set until = ? where scope = ?", (moved, scope)
                    )
            await connection.commit()
        return
    connected = await asyncpg.connect(database)
    try:
        await connected.execute("update lead set until = until + $1", by)
    finally:
        await connected.close()


def _entry(ref: str, token: int) -> LedgerEntry:
    return LedgerEntry(
        user_id=WRITER,
        kind=EntryKind.GRANT,
        amount=Money(1),
        ref=ref,
        at=START,
        by="torture",
        why=str(token),
    )


class JumpingClocks:
    """The chapter."""

    name = "clocks"
    does = (
        "The clock jumps by minutes and hours, forward and backward, in the middle of a tale; and"
        " under two that want to lead and write all the time."
    )
    checks = (
        "Nobody is charged twice, every job ends, every hold is settled once; no leader writes"
        " after its successor."
    )
    full = f"{TALES} tales and {ROUNDS} rounds of two leaders on each database"
    least = ("change of the lead", "tale")
    weight = 60.0
    databases = DATABASES

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        half_s = budget.left_s / 2
        for number in range(ROUNDS):
            if budget.left_s < half_s:
                # The tales have their half.
                break
            with tally.part(f"leaders, round {number}"):
                async with place.fresh() as url:
                    made, changes = await two_leaders(url, rng, JUMPS_OF_A_ROUND)
                    tally.did("entry by a leader", made)
                    tally.did("change of the lead", changes)
                    tally.did("jump under two leaders", JUMPS_OF_A_ROUND)
                    tally.checked("no leader wrote after its successor")

        def judge(one: Jumped) -> None:
            tally.did("jump", one.jumps)
            tally.checked("every job is over, and settled once", one.jobs)

        await tell_tales(jump_here, TALES, place, budget, rng, tally, judge)


CHAPTERS: tuple[Chapter, ...] = (JumpingClocks(),)
