"""
Somebody at a program's terminal: a real pseudo-terminal with a screen, or pipes.

Nothing sleeps: what is waited for comes, or the deadline does.
"""

import codecs
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pexpect
import pyte
from pexpect.fdpexpect import fdspawn

PATIENCE_S = 30.0
"""When a test gives up; far longer than anything takes on the slowest machine."""

CLEARINGS = 6
"""How often a screen is cleared that news keep coming to."""

OPTION = re.compile(r"^\s*(?P<key>/?\d+)  +(?P<label>\S.*?)\s*$", re.MULTILINE)

TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""
Makes the terminal the program's own, for Ctrl-C. In a program, because forking is what a process
with threads, as the tests' is, had better not do.
"""

ROWS, COLUMNS = 60, 100
"""A screen so tall that what one answer brings does not leave it."""

SHORT = 100
"""Longer answers are pasted: nobody types so much, and a line is drawn anew with each key."""


class Terminal(ABC):
    """A program, and what can be read of it since the last answer."""

    @abstractmethod
    def text(self) -> str:
        """What came since the last answer."""

    @abstractmethod
    def types(self, line: str) -> None:
        """Type an answer."""

    @abstractmethod
    def ends(self) -> int:
        """Say that there are no more answers, wait for the end; the exit code."""

    @abstractmethod
    def wait(self) -> int:
        """Wait for the end; the exit code."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, as a power cut does."""

    @property
    @abstractmethod
    def has_ended(self) -> bool:
        """Whether the program was waited for."""

    def sees(self, *texts: str) -> str:
        """Wait until all of these are there since the last answer; what is there then."""
        return self.until(lambda text: all(bare(wanted) in bare(text) for wanted in texts), texts)

    def option(self, label: str) -> str:
        """The number printed before an option; the latest of that label."""
        wanted = bare(label)

        def keys(text: str) -> list[str]:
            found = OPTION.finditer(text)
            return [match["key"] for match in found if wanted in bare(match["label"])]

        return keys(self.until(lambda text: bool(keys(text)), (label,)))[-1]

    def until(
        self, is_so: Callable[[str], bool], wanted: object, patience_s: float = PATIENCE_S
    ) -> str:
        """Wait until this is so of what came since the last answer."""
        deadline = time.monotonic() + patience_s
        while True:
            is_over = self.is_over
            text = self.text()
            if is_so(text):
                return text
            if is_over or time.monotonic() > deadline:
                end = "the program ended" if is_over else f"{patience_s} s passed"
                raise AssertionError(f"{end} without {wanted}; there is:\n{text}")
            self._listen(0.1)

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether nothing more will come."""

    @abstractmethod
    def _listen(self, seconds: float) -> None:
        """Wait for more, at most so long."""


class Pipe(Terminal):
    """A program on pipes."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self._process = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._came = threading.Condition()
        self._output = b""
        self._mark = 0
        self._is_over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_over(self) -> bool:
        return self._is_over

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    @property
    def output(self) -> bytes:
        """All that was ever written."""
        with self._came:
            return self._output

    def text(self) -> str:
        return self.output[self._mark :].decode(errors="replace")

    def types(self, line: str) -> None:
        self.sends(f"{line}\n".encode())

    def sends(self, line: bytes) -> None:
        """Send bytes as they are."""
        assert self._process.stdin is not None
        self._mark = len(self.output)
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def ends(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        code = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        return code

    def kill(self) -> None:
        self._process.kill()
        self.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while chunk := os.read(self._process.stdout.fileno(), 65536):
            with self._came:
                self._output += chunk
                self._came.notify_all()
        with self._came:
            self._is_over = True
            self._came.notify_all()

    def _listen(self, seconds: float) -> None:
        with self._came:
            self._came.wait(seconds)


class _Screen(pyte.Screen):
    """A screen that answers when it is asked where its cursor is."""

    say: Callable[[str], Any]

    def write_process_input(self, data: str) -> None:
        self.say(data)


class Pty(Terminal):
    """A program at a real pseudo-terminal, whose screen is read."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *,
        rows: int = ROWS,
        columns: int = COLUMNS,
    ) -> None:
        self._screen = _Screen(columns, rows)
        self._screen.say = self.keys
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.raw = b""
        self._window, theirs = os.openpty()
        self.resizes(rows, columns)
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *command],
            env={"TERM": "xterm-256color", "PYTHONUTF8": "1", **env},
            cwd=cwd,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = fdspawn(self._window, timeout=PATIENCE_S)
        self._is_over = False

    @property
    def is_over(self) -> bool:
        return self._is_over

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    def text(self) -> str:
        self._listen(0)
        return "\n".join(row.rstrip() for row in self._screen.display).rstrip("\n")

    def types(self, line: str) -> None:
        self.clears()
        is_pasted = "\n" in line or len(line) > SHORT
        self.keys(f"\x1b[200~{line}\x1b[201~" if is_pasted else line)
        self.keys("\r")

    def clears(self) -> None:
        """The line that is typed on becomes empty and goes to the top; nothing is above it."""
        self.is_asked()
        for tries_left in reversed(range(CLEARINGS)):
            self.keys("\x05\x15\x0c")  # Ctrl-E, Ctrl-U, Ctrl-L
            try:
                self.until(
                    lambda _: self._screen.cursor.y == 0, "an empty screen", PATIENCE_S / CLEARINGS
                )
            except AssertionError:
                # News that came between the keys and the cleared screen stand on it again.
                if not tries_left or self.is_over:
                    raise
            else:
                return

    def is_asked(self) -> None:
        """Wait for the line that is typed on."""
        self.until(lambda _: self._row().startswith("›"), "the prompt")

    def keys(self, keys: str) -> None:
        """Press keys."""
        # Nobody is there to read them once the program has ended.
        with suppress(OSError):
            os.write(self._window, keys.encode())

    def interrupts(self) -> None:
        """Ctrl-C."""
        self.clears()
        self.keys("\x03")

    def resizes(self, rows: int, columns: int) -> None:
        """Give the window another size."""
        self._screen.resize(rows, columns)
        fcntl.ioctl(self._window, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def ends(self) -> int:
        self.is_asked()
        self.keys("\x04")
        return self.wait()

    def wait(self) -> int:
        self.until(lambda _: self._is_over, "the end")
        code = self._process.wait(PATIENCE_S)
        os.close(self._window)
        return code

    def kill(self) -> None:
        self._process.kill()
        self.wait()

    def _row(self) -> str:
        return str(self._screen.display[self._screen.cursor.y])

    def _listen(self, seconds: float) -> None:
        while not self._is_over:
            try:
                came: Any = self._reader.read_nonblocking(65536, seconds)
            except pexpect.TIMEOUT:
                return
            except pexpect.EOF:
                self._is_over = True
                return
            self.raw += came
            # pyte stops at marks that have no width.
            text = self._decoder.decode(came)
            self._stream.feed(text.replace("\ufe0f", "").replace("\u200d", ""))
            seconds = 0


def bare(text: str) -> str:
    """Words without what the width of a screen does to them: a long path is cut anywhere."""
    return "".join(text.replace("\ufe0f", "").replace("\u200d", "").split())
