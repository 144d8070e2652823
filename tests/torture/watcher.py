"""
The watcher: a second process that reads the rules of the money while others are being hurt.

    python -m tests.torture.watcher

It is told on its standard input which databases to watch, a line each: `watch URL` or `leave URL`,
and does nothing but audit them, one after another, again and again, each time opened anew and for
reading alone. On its standard output it says in JSON what it left, and at once what it found. An
audit is one snapshot: whatever is going on, every rule holds in it.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from attrs import define, field, frozen

from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.audit import Audit
from kiebot.core.errors import StorageError
from kiebot.ports.storage import Storage
from tests.fakes.clock import FakeClock
from tests.fakes.shop import stub_shop

PAUSE_S = 0.1
"""Between two audits: the watcher is to see much, and to leave the machine to those it watches."""

BRIEF_S = 1.0
"""How long it waits for a file that somebody has locked whole."""

ENDED = "the watcher ended"

PATIENCE_S = 30.0
"""How long one audit may wait for a database that is being hurt."""


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Storage]:
    """A database by its DATABASE_URL; what is at `sqlite:///` is a path."""
    storage: Storage
    if url.startswith("sqlite:///"):
        storage = await SqliteStorage.open(Path(url.removeprefix("sqlite:///")))
    else:
        storage = await PostgresStorage.open(url)
    try:
        yield storage
    finally:
        await storage.close()


async def audited(storage: Storage) -> Audit | None:
    """What an audit finds; None where there is no schema yet."""
    if await storage.missing_migrations():
        return None
    return await stub_shop(storage, FakeClock()).kiebot.audit()


class _OnlyReading(sqlite3.Connection):
    """A connection that cannot write, and so takes nobody's lock either."""

    def __init__(self, path: Path, **settings: Any) -> None:
        super().__init__(f"file:{quote(str(path))}?mode=ro", uri=True, **settings)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """What begins in order to write begins to read."""
        return super().execute("begin" if sql == "begin immediate" else sql, parameters)


@asynccontextmanager
async def open_to_read(url: str) -> AsyncIterator[Storage]:
    """A database by its DATABASE_URL, in a way in which nothing can be written."""
    storage: Storage
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        storage = await SqliteStorage.open(path, patience_s=BRIEF_S, driver=_OnlyReading)
    else:
        storage = await PostgresStorage.open(only_reading(url))
    try:
        yield storage
    finally:
        await storage.close()


def only_reading(url: str) -> str:
    """The address of a PostgreSQL database, for sessions that can write nothing."""
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query), ("default_transaction_read_only", "on")]
    return urlunsplit(parts._replace(query=urlencode(query)))


# --- The process that watches


@define
class _Watch:
    """One database that is watched."""

    url: str
    is_left: asyncio.Event = field(factory=asyncio.Event)
    audits: int = 0
    entries: int = 0
    unreachable: int = 0
    said: set[str] = field(factory=set)

    async def look_on(self) -> None:
        """Again and again until it is left, and once more then."""
        while not self.is_left.is_set():
            await self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S):
                    await self.is_left.wait()
        await self._look()
        _say(
            {
                "left": self.url,
                "audits": self.audits,
                "entries": self.entries,
                "unreachable": self.unreachable,
            }
        )

    async def _look(self) -> None:
        """Audit once; what is wrong is said at once, and once."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                async with open_to_read(self.url) as storage:
                    found = await audited(storage)
        except (StorageError, TimeoutError):
            # Stopped, full or being made: whoever hurts it knows of that.
            self.unreachable += 1
            return
        if found is None:
            return
        self.audits += 1
        self.entries = max(self.entries, found.entries)
        for problem in found.problems:
            line = f"{problem.rule}: {problem.detail}"
            if line not in self.said:
                self.said.add(line)
                _say({"found": line, "url": self.url})


async def _watch_all() -> None:
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    watches: dict[str, _Watch] = {}
    async with asyncio.TaskGroup() as group:
        while line := (await lines.readline()).decode():
            what, _, url = line.strip().partition(" ")
            if what == "watch":
                watches[url] = _Watch(url)
                group.create_task(watches[url].look_on())
            else:
                watches.pop(url).is_left.set()
        # Whoever started us is gone.
        for watch in watches.values():
            watch.is_left.set()


def _say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


# --- Who starts it


@frozen
class Watched:
    """What the watcher did with one database."""

    audits: int
    entries: int
    unreachable: int


@define
class Watcher:
    """
    The process, as seen by whoever runs the chapters. `found` is what it found, ever: the database
    and the rule.
    """

    process: asyncio.subprocess.Process
    log: IO[bytes]
    found: list[tuple[str, str]] = field(factory=list)
    has_ended: bool = False
    _left: dict[str, asyncio.Future[Watched]] = field(factory=dict)

    def watch(self, url: str) -> None:
        """Look at it, until it is left."""
        self._tell(f"watch {url}")

    async def leave(self, url: str) -> Watched:
        """Look at it a last time; RuntimeError where the process has ended."""
        if self.has_ended:
            raise RuntimeError(ENDED)
        self._left[url] = asyncio.get_running_loop().create_future()
        self._tell(f"leave {url}")
        return await self._left[url]

    async def listen(self) -> None:
        """Hear what it says, as long as it lives."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            said = json.loads(line)
            if "found" in said:
                self.found.append((said["url"], said["found"]))
                print(f"the watcher found: {said['found']}", file=sys.stderr, flush=True)
            else:
                left = self._left.pop(said.pop("left"))
                if not left.done():
                    left.set_result(Watched(**said))
        self.has_ended = True
        for waiting in self._left.values():
            if not waiting.done():
                waiting.set_exception(RuntimeError(ENDED))

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())


@asynccontextmanager
async def watcher() -> AsyncIterator[Watcher]:
    """The process, for as long as the block runs; RuntimeError where it ended by itself."""
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.torture.watcher",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            # Ctrl-C is for the torture, which then ends what it began.
            start_new_session=True,
        )  # fmt: skip
        found = Watcher(process, log)
        listening = asyncio.create_task(found.listen())
        try:
            yield found
            if process.returncode is not None:
                log.seek(0)
                raise RuntimeError(f"the watcher ended: {log.read().decode()}")
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(2 * PATIENCE_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
            await listening


if __name__ == "__main__":
    os.nice(5)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_watch_all())
