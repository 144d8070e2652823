"""
The disk is full for a while, again and again.

SQLite is told that its file may not grow (`max_page_count`). PostgreSQL has its database on a file
system of 64 MiB, mounted for this and filled by a file that grows until nothing fits; a machine
that does not let us mount one says so in the report, and nothing is checked there.
"""

import asyncio
import os
import pwd
import random
import shutil
import sqlite3
import subprocess
import tempfile
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from attrs import define, field, frozen

from kiebot.adapters.frontend.terminal import TerminalFrontend
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.dialog.en import EN
from kiebot.core.language import Language
from kiebot.core.users import UserId
from tests.fakes import hasty_loop
from tests.fakes.driver_faults import Calls
from tests.fakes.tale import BETWEEN, LEASE_S, Outcome, Tale, reached
from tests.torture.calls import tellers
from tests.torture.chapters import DATABASES, Budget, Chapter, Place, Tally
from tests.torture.shuffled import CLEAN

TALES = 60
SIZE = "64m"
BLOCK = bytes(64 * 1024)
PAGE_BYTES = 512
"""The smallest page of SQLite."""

ONE_STEP_IN = 3
"""At how many steps of a tale the disk fills up once."""

LONGEST_S = 20.0
"""How long it is full, at most, as people wait."""

PAGES = 0xFFFFFFFE
"""What a file may have. Source: "Maximum Number Of Pages In A Database File" of SQLite."""


class Disk(Protocol):
    """Where a database is, and what it is full of."""

    def fill(self) -> None:
        """Nothing fits any more."""

    def empty(self) -> None:
        """There is room again."""


@define
class LimitedFile:
    """An SQLite file that may not grow; `driver` is of connections that keep to it."""

    is_full: bool = False
    refused: int = 0

    def fill(self) -> None:
        self.is_full = True

    def empty(self) -> None:
        self.is_full = False

    def driver(self) -> type[sqlite3.Connection]:
        """A class of connections."""
        disk = self

        class LimitedConnection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                # Less than there is means: what there is.
                super().execute(f"pragma max_page_count = {1 if disk.is_full else PAGES}")
                try:
                    return super().execute(sql, parameters)
                except sqlite3.OperationalError as error:
                    disk.refused += error.sqlite_errorname == "SQLITE_FULL"
                    raise

        return LimitedConnection


@frozen
class SmallDisk:
    """A file system, and the file in it that takes all the room."""

    folder: Path

    def fill(self) -> None:
        with suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while file.write(BLOCK):
                pass

    def empty(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


def make_small_pages(database: str) -> None:
    """Make an empty SQLite file whose pages are small: they are full sooner."""
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as file:
        file.execute(f"pragma page_size = {PAGE_BYTES}")
        file.execute("vacuum")


@contextmanager
def small_disk() -> Iterator[SmallDisk]:
    """
    A small file system that PostgreSQL may write to.

    Raises:
        OSError, subprocess.CalledProcessError: This machine does not let us mount one.
    """
    folder = Path(tempfile.mkdtemp(prefix="kiebot-disk-"))
    try:
        nobody = pwd.getpwnam("nobody")
        options = f"size={SIZE}"
        if os.geteuid() == 0:
            options += f",uid={nobody.pw_uid},gid={nobody.pw_gid}"
        folder.chmod(0o711)
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        subprocess.run(mount, check=True, capture_output=True)
        try:
            yield SmallDisk(folder)
        finally:
            subprocess.run(["umount", str(folder)], check=True, capture_output=True)
    finally:
        shutil.rmtree(folder)


@define
class Cramped(Tale):
    """A tale on a disk that fills up at any step, and has room again a little later."""

    disk: Disk = field(kw_only=True)
    rng: random.Random = field(kw_only=True)
    filled: int = 0
    _making_room: list[asyncio.Task[None]] = field(factory=list)

    async def sends(self, user_id: UserId, **what: str) -> None:
        self._fills_up()
        await super().sends(user_id, **what)

    async def works(self) -> None:
        self._fills_up()
        await super().works()

    async def has_room(self) -> None:
        """Until it has."""
        await asyncio.gather(*self._making_room)

    def _fills_up(self) -> None:
        if self.rng.randrange(ONE_STEP_IN) == 0:
            self.filled += 1
            self.disk.fill()
            self._making_room.append(asyncio.create_task(self._make_room()))

    async def _make_room(self) -> None:
        await asyncio.sleep(self.rng.uniform(0, LONGEST_S))
        self.disk.empty()


@frozen
class Full:
    """What came of one tale: how often the disk was full, and how often somebody noticed."""

    outcome: Outcome | None
    filled: int = 0
    noticed: int = 0
    problem: str | None = None


async def tell_cramped(database: str, seed: int, folder: Path | None) -> Full:
    """One tale in a database of its own; `folder` is the small disk's, None for SQLite."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, hasty_loop.HastyLoop)
    calls = Calls()
    loop.mind(calls.is_busy)

    def clock() -> datetime:
        return loop.now() + BETWEEN

    disk: LimitedFile | SmallDisk = LimitedFile() if folder is None else SmallDisk(folder)
    rng = random.Random(seed)
    async with (
        reached(database, calls, clock) as unhurt,
        _on(disk, database, calls, clock) as storage,
    ):
        tale = Cramped(storage, unhurt, 1, clock=clock, calls=calls, disk=disk, rng=rng)
        try:
            await tale.tell()
        finally:
            disk.empty()
        await tale.has_room()
        noticed = tale.ended["interrupted"] + tale.ended["not done"]
        return Full(await tale.outcome(), tale.filled, noticed)


@asynccontextmanager
async def _on(
    disk: LimitedFile | SmallDisk, database: str, calls: Calls, clock: Callable[[], datetime]
) -> AsyncIterator[Any]:
    if isinstance(disk, SmallDisk):
        async with reached(database, calls, clock) as storage:
            yield storage
        return
    path = Path(database.removeprefix("sqlite:///"))
    sqlite = await SqliteStorage.open(path, clock=clock, lease_s=LEASE_S, driver=disk.driver())
    try:
        yield sqlite
    finally:
        await sqlite.close()


async def said_in_the_terminal(database: str, folder: Path) -> str:
    """What somebody at the terminal reads who orders while the disk is full."""
    disk = LimitedFile()
    path = Path(database.removeprefix("sqlite:///"))
    storage = await SqliteStorage.open(path, driver=disk.driver())
    try:
        tale = Tale(storage, storage, 1, clock=lambda: datetime.now().astimezone())
        conversation = tale.window.conversation
        await conversation.meet(UserId(-1), "Anna", Language.EN)
        typed, said = folder / "typed.txt", folder / "said.txt"
        # So much that it does not fit into the pages that have room.
        typed.write_text("topup:500\n" * 50, "utf-8")
        disk.fill()
        with typed.open(encoding="utf-8") as stdin, said.open("w", encoding="utf-8") as stdout:
            frontend = TerminalFrontend(
                conversation,
                UserId(-1),
                name="Anna",
                output=folder,
                language=Language.EN,
                history_file=None,
                stdin=stdin,
                stdout=stdout,
            )
            await frontend.run()
        return said.read_text("utf-8")
    finally:
        await storage.close()


def cramp_here(database: str, seed: int, folder: Path | None) -> Full:
    """Tell one tale in this process."""
    try:
        return hasty_loop.hasten(tell_cramped(database, seed, folder))
    except Exception as error:
        return Full(None, problem="".join(traceback.format_exception(error)))


class FullDisk:
    """The chapter."""

    name = "disk"
    does = "The disk is full for up to 20 s at any step of a tale, and has room again."
    checks = (
        "Who is at a terminal reads that it did not work; in the end ledger, jobs and news are"
        " those of a tale whose disk was never full."
    )
    full = f"{TALES} tales on each database"
    least = ("full disk",)
    weight = 40.0
    databases = DATABASES

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""
        if place.database == "sqlite":
            with tally.part("at the terminal"):
                async with _database(place, None) as url:
                    said = await said_in_the_terminal(url, place.folder)
                assert EN.terminal_failed in said, said
                tally.checked("somebody at the terminal reads that it did not work")
            await self._go_on(place, budget, rng, tally, None)
            return
        try:
            with small_disk() as disk:
                await self._go_on(place, budget, rng, tally, disk)
        except (OSError, subprocess.CalledProcessError) as error:
            tally.leave_out(f"no small file system can be mounted here ({error})")

    async def _go_on(
        self,
        place: Place,
        budget: Budget,
        rng: random.Random,
        tally: Tally,
        disk: SmallDisk | None,
    ) -> None:
        with tellers(1) as pool:
            for number in range(TALES):
                if budget.is_over:
                    return
                seed = rng.getrandbits(32)
                with tally.part(f"tale {number}, seed {seed}"):
                    async with _database(place, disk) as url:
                        loop = asyncio.get_running_loop()
                        folder = None if disk is None else disk.folder
                        told = await loop.run_in_executor(pool, cramp_here, url, seed, folder)
                        await place.audited(url)
                    assert told.problem is None, told.problem
                    assert told.outcome == CLEAN, told.outcome
                    tally.did("tale")
                    tally.did("full disk", told.filled)
                    tally.did("act that had to be tried again", told.noticed)
                    tally.checked("ledger, jobs and news are the clean tale's")


@asynccontextmanager
async def _database(place: Place, disk: SmallDisk | None) -> AsyncIterator[str]:
    """A fresh one, on the small disk where there is one."""
    if disk is None:
        async with place.fresh(migrated=False) as url:
            make_small_pages(url)
            async with place.open(url) as storage:
                await storage.migrate()
            yield url
        return
    async with place.fresh(migrated=False) as beside:
        small = urlunsplit(urlsplit(beside)._replace(path=f"/small_{os.getpid()}"))
        name = urlsplit(small).path.removeprefix("/")
        connection = await asyncpg.connect(beside)
        try:
            await connection.execute(f"create tablespace {name} location '{disk.folder}'")
            await connection.execute(f"create database {name} tablespace {name} template template0")
            try:
                async with place.open(small) as storage:
                    await storage.migrate()
                async with place.watched(small):
                    yield small
            finally:
                disk.empty()
                await connection.execute(f"drop database {name} with (force)")
                await connection.execute(f"drop tablespace {name}")
        finally:
            await connection.close()


CHAPTERS: tuple[Chapter, ...] = (FullDisk(),)
