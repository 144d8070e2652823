"""
The terminal without a terminal: one answer a line comes in, plain text goes out.
"""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import BinaryIO

from kiebot.adapters.frontend.terminal_look import Note
from kiebot.adapters.frontend.terminal_markup import MARK, Option, lines, one_line
from kiebot.core.dialog.screen import Screen

CHUNK_BYTES = 64 * 1024

LINE_BYTES = 1024 * 1024
"""A longer line is no answer to anything, and is not kept in memory."""

AHEAD = 64
"""Lines read before they are asked for."""


class BadLine(Enum):
    """A line that is no answer."""

    NOT_TEXT = "not_text"  # no UTF-8, or with a NUL
    TOO_LONG = "too_long"


class Lines:
    """
    The lines of a stream, read beside the event loop.

    A file, a pipe and a socket are all read in a thread: an event loop cannot wait for a file. The
    thread is a daemon and reads past Python's buffers, so that it holds up no end.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: asyncio.Queue[str | BadLine | None] = asyncio.Queue(AHEAD)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def next(self) -> str | BadLine:
        """
        The next line without its end.

        Raises:
            EOFError: There is none.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._read, name="kiebot-stdin", daemon=True).start()
        line = await self._lines.get()
        if line is None:
            self._lines.put_nowait(None)
            raise EOFError
        return line

    def _read(self) -> None:
        # The loop may be closed, and the queue full for ever, once nobody wants lines any more.
        with suppress(RuntimeError, CancelledError):
            for line in self._split():
                self._hand_on(line)
            self._hand_on(None)

    def _hand_on(self, line: str | BadLine | None) -> None:
        assert self._loop is not None
        putting = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(putting, self._loop).result()
        finally:
            putting.close()

    def _split(self) -> Iterator[str | BadLine]:
        rest = bytearray()
        is_too_long = False
        first = True
        while chunk := self._chunk():
            *ended, begun = chunk.split(b"\n")
            for part in ended:
                rest += part
                is_too_long = is_too_long or len(rest) > LINE_BYTES
                yield BadLine.TOO_LONG if is_too_long else _decoded(bytes(rest), first=first)
                rest.clear()
                is_too_long = first = False
            rest += begun
            if len(rest) > LINE_BYTES:
                rest.clear()
                is_too_long = True
        if is_too_long:
            yield BadLine.TOO_LONG
        elif rest:
            yield _decoded(bytes(rest), first=first)

    def _chunk(self) -> bytes:
        try:
            return os.read(self._stream.fileno(), CHUNK_BYTES)
        except (OSError, ValueError):
            # Closed, or no longer there: nothing more will come.
            return b""


def _decoded(line: bytes, *, first: bool) -> str | BadLine:
    if b"\0" in line:
        return BadLine.NOT_TEXT
    try:
        # Some editors begin a file with a byte order mark.
        return line.removesuffix(b"\r").decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError:
        return BadLine.NOT_TEXT


class PipeDesk:
    """One answer a line in, plain text out."""

    def __init__(self, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self._lines = Lines(stdin)
        self._stdout = stdout

    async def ask(self, hint: str, before: str) -> str | BadLine:  # noqa: ARG002 - nobody sees them
        """The next line."""
        return await self._lines.next()

    async def draw(self, screen: Screen, options: Sequence[Option], notes: Sequence[Note]) -> None:
        """Write a screen, after an empty line."""
        drawn = lines(screen, options, [note.text for note in notes])
        self._write(["", *drawn])

    async def say(self, note: Note) -> None:
        """Write one line."""
        self._write([one_line(note.text)])

    def below(self, rows: Sequence[str]) -> None:
        """There is no place for it."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Nothing is to be arranged."""
        yield

    def _write(self, rows: Sequence[str]) -> None:
        self._send("".join(f"{row}\n" for row in rows))

    def _send(self, text: str) -> None:
        try:
            self._stdout.write(text.encode(errors="replace"))
            self._stdout.flush()
        except ValueError as exc:
            # Python's word for a stream that was closed on this side.
            raise OSError(str(exc)) from exc
        except OSError:
            _let_go(self._stdout)
            raise


class DumbDesk(PipeDesk):
    """
    A terminal that knows nothing but lines (TERM=dumb): an editor's shell window, say.

    What is typed is the terminal's own affair; news come below the line and begin it anew.
    """

    def __init__(self, stdin: BinaryIO, stdout: BinaryIO) -> None:
        super().__init__(stdin, stdout)
        self._interrupted = asyncio.Event()
        self._is_asking = False

    async def ask(self, hint: str, before: str) -> str | BadLine:  # noqa: ARG002 - no place for them
        """The next line; KeyboardInterrupt at Ctrl-C, EOFError at Ctrl-D."""
        self._interrupted.clear()
        self._send(MARK)
        self._is_asking = True
        line = asyncio.ensure_future(self._lines.next())
        interrupted = asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait({line, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if line.done():
                return line.result()
            self._send("\n")
            raise KeyboardInterrupt("")
        except EOFError:
            self._send("\n")
            raise
        finally:
            self._is_asking = False
            interrupted.cancel()
            line.cancel()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Ctrl-C is an answer."""
        loop = asyncio.get_running_loop()
        try:
            loop.add_signal_handler(signal.SIGINT, self._interrupted.set)
        except (NotImplementedError, RuntimeError, ValueError):
            # Not where signals are handled (another thread, another system): Ctrl-C is the end.
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def _write(self, rows: Sequence[str]) -> None:
        if not self._is_asking:
            super()._write(rows)
            return
        super()._write(["", *rows])
        self._send(MARK)


def _let_go(stream: BinaryIO) -> None:
    """
    What is left in a stream that nobody reads goes nowhere, so that Python does not complain of it
    at its end. Source: the note on SIGPIPE in the documentation of Python's `signal` module.
    """
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
