"""
Hurts kiebot in every way that the chapters know, and writes down what became of the money.

    python -m tests.torture --minutes 30 [--seed N] [--database sqlite|postgres|both]
                            [--chapter NAME] [--report docs/torture.md]

The databases are hurt side by side. The minutes are for everything, and shared by the chapters'
weights; what one does not need is for those after it. Ctrl-C ends it when what is in hand is done,
and the report is still written; a second Ctrl-C ends it at once. Exit 1 where anything is broken,
or a chapter had too little time to show anything.
"""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from attrs import define, field

from kiebot.ports.storage import Storage
from tests.fakes import launcher, postgres
from tests.fakes.postgres import PostgresServer
from tests.torture import chapters, report
from tests.torture.chapters import DATABASES, GRACE_S, Budget, Chapter, Tally, TooManyProblemsError
from tests.torture.report import Run, Turn
from tests.torture.watcher import Watcher, audited, open_database, watcher

ALONE = {"power-cuts"}
"""Chapters with a deadline in seconds: nothing else is hurt meanwhile."""

MEMORY = next((place for place in ("/dev/shm",) if Path(place).is_dir()), None)
"""Where SQLite files are: as with PostgreSQL, who is killed has no need of the disk's patience."""

Plan = Mapping[str, Sequence[Chapter]]
"""The chapters of each database, in their order."""


@define
class Ground:
    """The place of one chapter on one kind of database (`chapters.Place`)."""

    database: str
    folder: Path
    server: Callable[[], PostgresServer] | None
    watcher: Watcher
    audits: Counter[str]
    entries: Counter[str]

    @asynccontextmanager
    async def fresh(self, *, migrated: bool = True) -> AsyncIterator[str]:
        """See `Place`."""
        if self.server is None:
            folder = Path(tempfile.mkdtemp(prefix="kiebot-torture-", dir=MEMORY))
            url = f"sqlite:///{folder / 'kiebot.db'}"
        else:
            server = await asyncio.to_thread(self.server)
            url = await asyncio.to_thread(server.create)
        try:
            if migrated:
                async with self.open(url) as storage:
                    await storage.migrate()
            async with self.watched(url):
                yield url
        finally:
            if self.server is None:
                shutil.rmtree(folder)
            else:
                await asyncio.to_thread(server.drop, url)

    @asynccontextmanager
    async def watched(self, url: str) -> AsyncIterator[None]:
        """See `Place`."""
        self.watcher.watch(url)
        try:
            yield
        finally:
            done = await self.watcher.leave(url)
            self.audits[self.database] += done.audits
            self.entries[self.database] = max(self.entries[self.database], done.entries)
        found = [what for where, what in self.watcher.found if where == url]
        assert found == [], f"the watcher found {found}"

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[Storage]:
        """See `Place`."""
        async with open_database(url) as storage:
            yield storage

    async def audited(self, url: str) -> None:
        """See `Place`."""
        async with self.open(url) as storage:
            found = await audited(storage)
        assert found is not None, "no schema"
        assert found.problems == ()


@define
class Torture:
    """One run."""

    seed: int
    minutes: float
    stopping: asyncio.Event
    folder: Path
    watcher: Watcher
    turns: list[Turn] = field(factory=list)
    audits: Counter[str] = field(factory=Counter)
    entries: Counter[str] = field(factory=Counter)

    async def go_through(self, plan: Plan) -> None:
        """What must be alone; then the databases side by side, the chapters one after the other."""
        until = time.monotonic() + self.minutes * 60
        others = {
            database: [chapter for chapter in chosen if chapter.name not in ALONE]
            for database, chosen in plan.items()
        }
        for database, chosen in plan.items():
            for chapter in chosen:
                if chapter not in others[database] and not self.stopping.is_set():
                    left = max(0.0, until - time.monotonic())
                    await self._turn(
                        chapter, database, chapters.share(chapter, others[database], left)
                    )
        async with asyncio.TaskGroup() as group:
            for database, chosen in others.items():
                group.create_task(self._lane(database, chosen, until))

    async def _lane(self, database: str, chosen: Sequence[Chapter], until: float) -> None:
        for number, chapter in enumerate(chosen):
            if self.stopping.is_set():
                return
            left = max(0.0, until - time.monotonic())
            await self._turn(chapter, database, chapters.share(chapter, chosen[number + 1 :], left))

    async def _turn(self, chapter: Chapter, database: str, seconds: float) -> None:
        print(f"{chapter.name} on {database}, {seconds:.0f} s", flush=True)
        began = time.monotonic()
        tally = Tally()
        budget = Budget(seconds, self.stopping)
        # A chapter does the same whatever was done before it.
        rng = random.Random(f"{self.seed} {chapter.name} {database}")
        end = "broken"
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=chapter.name) as name:
            place = Ground(
                database=database,
                folder=Path(name),
                server=self._start_server if database == "postgres" else None,
                watcher=self.watcher,
                audits=self.audits,
                entries=self.entries,
            )
            try:
                async with asyncio.timeout(seconds + GRACE_S):
                    await chapter.run(place, budget, rng, tally)
                end = "stopped" if self.stopping.is_set() else "time" if budget.is_over else "all"
            except TooManyProblemsError:
                pass
            except Exception as error:
                tally.problem("".join(traceback.format_exception(error)))
        turn = Turn(
            chapter=chapter,
            database=database,
            seconds=time.monotonic() - began,
            end=end,
            tally=tally,
        )
        self.turns.append(turn)
        done = ", ".join(f"{times:,} × {what}" for what, times in tally.done.items())
        checks = f"{sum(tally.checks.values()):,} checks in {turn.seconds:.0f} s"
        print(f"{chapter.name} on {database}: {done}; {checks}", flush=True)
        for found in tally.problems:
            print(f"    PROBLEM in {found.part}: {found.what}", flush=True)

    def _start_server(self) -> PostgresServer:
        """One for all chapters, begun by the first that needs it."""
        place = self.folder / "postgres"
        place.mkdir(mode=0o711, exist_ok=True)
        return postgres.shared_server(place)


async def run(asked: argparse.Namespace, plan: Plan) -> Run:
    """Hurt it, and say what was seen."""
    began_at, began = datetime.now(UTC), time.monotonic()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    everything = asyncio.current_task()
    assert everything is not None

    def stop() -> None:
        if stopping.is_set():
            everything.cancel()
        print("stopping: what is in hand is done first; again ends it at once", flush=True)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    folder = postgres.make_folder()
    broken: list[str] = []
    try:
        async with watcher() as watching:
            torture = Torture(asked.seed, asked.minutes, stopping, folder, watching)
            await torture.go_through(plan)
        broken += [what for _, what in watching.found]
    except RuntimeError as error:
        broken.append(str(error))
    finally:
        place = folder / "postgres"
        if place.exists():
            await asyncio.to_thread(postgres.stop, place)
        shutil.rmtree(folder)
    order = {chapter.name: number for number, chapter in enumerate(chapters.known())}
    done = {(turn.chapter.name, turn.database) for turn in torture.turns}
    return Run(
        seed=asked.seed,
        minutes=asked.minutes,
        began_at=began_at,
        seconds=time.monotonic() - began,
        command=report.command(asked.seed, asked.minutes, asked.database, asked.chapter),
        turns=sorted(torture.turns, key=lambda turn: (order[turn.chapter.name], turn.database)),
        left_out=[
            (chapter, database)
            for database, chosen in plan.items()
            for chapter in chosen
            if (chapter.name, database) not in done
        ],
        was_stopped=stopping.is_set(),
        audits=torture.audits,
        entries=torture.entries,
        broken=broken,
    )


def main() -> int:
    """Exit code."""
    known = chapters.known()
    asked = _arguments([chapter.name for chapter in known])
    databases = DATABASES if asked.database == "both" else (asked.database,)
    plan = {
        database: [
            chapter
            for chapter in known
            if database in chapter.databases and asked.chapter in (None, chapter.name)
        ]
        for database in databases
    }
    print(f"--seed {asked.seed}", flush=True)
    launcher.load()
    done = asyncio.run(run(asked, plan))
    # Where the code lies on this machine is nobody's business.
    text = report.write(done).replace(f"{Path(__file__).parents[2]}/", "")
    if asked.report is None:
        print(text)
    else:
        asked.report.write_text(text, "utf-8")
        print(f"the report is in {asked.report}")
    for turn in done.turns:
        if turn.missing:
            print(f"NOT REACHED: {turn.chapter.name} on {turn.database}, give it more --minutes")
    print("BROKEN" if not done.is_clean else "clean" if done.is_whole else "NOT WHOLE")
    return 0 if done.is_clean and done.is_whole else 1


def _arguments(names: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[1])
    parser.add_argument("--minutes", type=float, default=30.0, help="for all chapters together")
    parser.add_argument("--seed", type=int, help="of a run that is to be seen again")
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--chapter", choices=names, help="this one alone")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where to write it")
    asked = parser.parse_args()
    if asked.seed is None:
        asked.seed = random.SystemRandom().randrange(1_000_000)
    return asked


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(main())
    sys.exit(130)
