"""
Calls of a database that fail below the adapter, as the driver or the wire fails.

SQLite's are those of a connection class that is handed to `SqliteStorage.open`; PostgreSQL's go
through a server on a socket that hands them on (`postgres_gate`). Both count every call, and let
one of a step fail: refused before it is done, or done and then never heard of.
"""

import asyncio
import sqlite3
import struct
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from attrs import define, field


class How(StrEnum):
    """What becomes of the call."""

    REFUSED = "refused"
    """An error, and nothing was done."""

    LOST = "lost"
    """It was done, and the connection broke before the answer."""


@define
class Calls:
    """
    Counts the calls of a run, which goes by steps. Of each step, or of the one that `only` names
    (the first is 0), the call of number `fails_at` fails, counted from 1.

    `hits` are the calls that did: the step, and the statement.
    """

    fails_at: int | None = None
    how: How = How.REFUSED
    only: int | None = None
    made: int = 0
    hits: list[tuple[int, str]] = field(factory=list)
    longest: int = 0
    _step: int = 0
    _in_step: int = 0
    _under_way: int = 0
    _lock: threading.Lock = field(factory=threading.Lock)

    def is_busy(self) -> bool:
        """Whether a call is under way."""
        return self._under_way > 0

    def next_step(self) -> None:
        """What comes now is another step."""
        with self._lock:
            self._step += 1
            self._in_step = 0

    def fails(self, statement: str) -> bool:
        """Count a call; whether it is to fail."""
        with self._lock:
            self.made += 1
            self._in_step += 1
            self.longest = max(self.longest, self._in_step)
            if self._in_step != self.fails_at or self.only not in (None, self._step):
                return False
            self.hits.append((self._step, statement))
            return True

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call is under way."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1


# --- SQLite


def failing_driver(calls: Calls) -> type[sqlite3.Connection]:
    """A class of connections that count their statements there."""

    class FailingConnection(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            with calls.call():
                fails = calls.fails(sql)
                if fails and calls.how is How.REFUSED:
                    raise _io_error()
                cursor = super().execute(sql, parameters)
                if fails:
                    # A cursor that stays open would keep the statement from being over.
                    cursor.fetchall()
                    raise _io_error()
                return cursor

    return FailingConnection


@define
class Outage:
    """Every call fails while it lasts; `refused` counts them."""

    lasts: bool = False
    refused: int = 0

    def driver(self) -> type[sqlite3.Connection]:
        """A class of connections that fail then."""
        outage = self

        class AwayConnection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                if outage.lasts:
                    outage.refused += 1
                    raise _io_error()
                return super().execute(sql, parameters)

        return AwayConnection


def _io_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    error.sqlite_errorname = "SQLITE_IOERR"
    return error


# --- PostgreSQL

_CANCEL_REQUEST = 80877102
_REFUSED_QUERY = (
    b"do $$ begin raise exception 'could not write' using errcode = 'io_error'; end $$"  # 58030
)
_REFUSED_STATEMENT = b"this cannot be prepared"


@asynccontextmanager
async def postgres_gate(dsn: str, calls: Calls) -> AsyncIterator[str]:
    """A way to a database on which calls fail; its DSN."""
    with tempfile.TemporaryDirectory(prefix="kiebot-gate-") as folder:
        gate = _Gate(dsn, calls)
        server = await asyncio.start_unix_server(gate.serve, f"{folder}/.s.PGSQL.5432")
        try:
            parts = urlsplit(dsn)
            query = urlencode({"host": folder})
            user = f"{parts.username}:{parts.password}" if parts.password else parts.username
            yield urlunsplit(parts._replace(netloc=f"{user or 'postgres'}@", query=query))
        finally:
            server.close()
            await gate.close()


class _Gate:
    """Hands on what a client says, batch by batch: what the server answers as a whole."""

    def __init__(self, dsn: str, calls: Calls) -> None:
        self._dsn = dsn
        self._calls = calls
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await _Line(self._calls, client, answers).run(*await self._server())
        finally:
            self._serving.discard(task)
            answers.transport.abort()

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._dsn)
        host = parse_qs(parts.query).get("host", [parts.hostname or "localhost"])[0]
        port = parts.port or 5432
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


class _Line:
    """One connection through the gate. Source of the messages: "Message Formats" of PostgreSQL."""

    def __init__(
        self, calls: Calls, client: asyncio.StreamReader, answers: asyncio.StreamWriter
    ) -> None:
        self._calls = calls
        self._client = client
        self._answers = answers
        self._prepared: dict[bytes, str] = {}

    async def run(self, server: asyncio.StreamReader, words: asyncio.StreamWriter) -> None:
        try:
            head = await self._client.readexactly(8)
            length, code = struct.unpack("!ii", head)
            words.write(head + await self._client.readexactly(length - 8))
            if code != _CANCEL_REQUEST:
                with self._calls.call():
                    await self._admitted(server, words)
                while await self._batch(server, words):
                    pass
        finally:
            words.transport.abort()

    async def _admitted(self, server: asyncio.StreamReader, words: asyncio.StreamWriter) -> None:
        """Until the server is ready: what the client says meanwhile is a password."""
        saying = asyncio.ensure_future(self._hand_on_passwords(words))
        try:
            await self._answer(server, self._answers)
        finally:
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)

    async def _hand_on_passwords(self, words: asyncio.StreamWriter) -> None:
        # Cancelled between two messages or before one: nothing is said after the last password.
        while True:
            _, message = await _message(self._client)
            words.write(message)

    async def _batch(self, server: asyncio.StreamReader, words: asyncio.StreamWriter) -> bool:
        """Hand on what the client wants done, and what became of it; False where it goes."""
        batch = bytearray()
        statement = ""
        while True:
            kind, message = await _message(self._client)
            batch += message
            if kind == b"X":
                words.write(batch)
                return False
            match kind:
                case b"Q":
                    statement = message[5:].split(b"\0", 1)[0].decode()
                case b"P":
                    name, said, _ = message[5:].split(b"\0", 2)
                    statement = self._prepared[name] = said.decode()
                case b"B":
                    _, name, _ = message[5:].split(b"\0", 2)
                    statement = self._prepared.get(name, "")
                case _:
                    pass
            if kind in b"QSH":
                break
        # A statement is prepared up to a flush; whatever else is done ends with a moment at which
        # the server is ready.
        ends = b"TnE" if kind == b"H" else b"Z"
        with self._calls.call():
            fails = self._calls.fails(statement)
            if fails and self._calls.how is How.REFUSED:
                batch = _refused(is_prepared=kind == b"H")
            words.write(batch)
            is_lost = fails and self._calls.how is How.LOST
            await self._answer(server, None if is_lost else self._answers, ends)
        return not is_lost

    async def _answer(
        self,
        server: asyncio.StreamReader,
        answers: asyncio.StreamWriter | None,
        ends: bytes = b"Z",
    ) -> None:
        """What the server says up to a message of these, handed on where somebody hears it."""
        kind = b""
        while not kind or kind not in ends:
            kind, message = await _message(server)
            if answers is not None:
                answers.write(message)


def _refused(*, is_prepared: bool) -> bytearray:
    """What the server itself refuses, so that it knows as well that the transaction is over."""
    if not is_prepared:
        body = _REFUSED_QUERY + b"\0"
        return bytearray(b"Q" + struct.pack("!i", 4 + len(body)) + body)
    # No name, the statement, no types; then a flush.
    body = b"\0" + _REFUSED_STATEMENT + b"\0" + struct.pack("!h", 0)
    return bytearray(b"P" + struct.pack("!i", 4 + len(body)) + body + b"H" + struct.pack("!i", 4))


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)
