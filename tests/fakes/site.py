"""A site on loopback that serves what a test says, byte by byte, and counts who asks."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult
from attrs import define, field

Page: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What answers a request: it writes the whole answer, head and all."""


class Names(AbstractResolver):
    """A name server that answers with these addresses, one list a question; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = [*answers]
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        assert family in {socket.AF_UNSPEC, socket.AF_INET}
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


@define
class Site:
    """Pages by their paths; `asked` are the requests, heads whole."""

    pages: dict[str, Page] = field(factory=dict)
    asked: list[str] = field(factory=list)
    port: int = 0
    visited: asyncio.Event = field(factory=asyncio.Event)

    @property
    def paths(self) -> list[str]:
        """Which paths were asked for."""
        return [head.split(" ")[1] for head in self.asked]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a page."""
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            self.visited.set()
            page = self.pages.get(head.split(" ")[1].partition("?")[0], answer(404))
            await page(reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # who asked has gone
        finally:
            writer.close()


@asynccontextmanager
async def site(pages: dict[str, Page] | None = None) -> AsyncIterator[Site]:
    """A site that is there while the block runs."""
    here = Site(pages=pages or {})
    server = await asyncio.start_server(here.serve, "127.0.0.1", 0)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()


def answer(
    status: int = 200, body: bytes = b"", *, length: int | None = -1, **headers: str
) -> Page:
    """An answer; `length` is what its head says (-1: the truth, None: nothing)."""
    lines = [f"HTTP/1.1 {status} x", "Connection: close"]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines) + "\r\n\r\n"

    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + body)

    return write


def moved(to: str, status: int = 302) -> Page:
    """A redirect."""
    return answer(status, Location=to)


def endless(chunk: bytes, times: int, *, length: int | None = None) -> Page:
    """The same bytes over and over, as fast as they are taken."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(200, length=length)(reader, writer)
        for _ in range(times):
            writer.write(chunk)
            await writer.drain()

    return write


def silent(first: bytes = b"", *, length: int | None = None) -> Page:
    """A beginning, and then nothing until whoever asked goes."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(200, first, length=length)(reader, writer)
        await writer.drain()
        await reader.read()

    return write


def dripping(first: bytes, *, every_s: float) -> Page:
    """A beginning, and then a byte from time to time."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(200, first, length=None)(reader, writer)
        while True:
            await writer.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await reader.read()
                return
            writer.write(b".")

    return write
