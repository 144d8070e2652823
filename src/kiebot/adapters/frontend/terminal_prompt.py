"""
The line a person types on, by prompt-toolkit: completion, history, and the line below it.
"""

import os
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, in_terminal
from prompt_toolkit.application.current import set_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from kiebot.adapters.frontend.terminal_look import Look, Note
from kiebot.adapters.frontend.terminal_markup import MARK, Asked, Offer, Option, one_line, plain
from kiebot.core.dialog.screen import COMMANDS, Screen

_KEY = re.compile(r"/?\d{1,3}")
STYLE = Style.from_dict(
    {
        "mark": "bold ansicyan",
        "placeholder": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
    }
)


class AnswerCompleter(Completer):
    """The options by number and label, the commands, and paths where a file is asked."""

    def __init__(self, offer: Callable[[], Offer]) -> None:
        self._offer = offer
        self._paths = PathCompleter(expanduser=True)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """What the line so far may become."""
        offer = self._offer()
        typed = document.text
        if document.cursor_position != len(typed):
            return
        for option in offer.options:
            label = one_line(option.button.label)
            wanted = plain(typed)
            if option.key.startswith(typed) or (wanted and plain(label).startswith(wanted)):
                yield Completion(
                    option.key, start_position=-len(typed), display=f"{option.key}  {label}"
                )
        if typed.startswith("/"):
            for name in COMMANDS:
                if f"/{name}".startswith(typed.lower()):
                    yield Completion(f"/{name}", start_position=-len(typed))
        if offer.asked is Asked.FILE and typed:
            yield from self._paths.get_completions(document, complete_event)


class KeptHistory(FileHistory):
    """What was typed, across runs, for its owner alone; in memory where it cannot be kept."""

    def load_history_strings(self) -> Iterable[str]:
        """The newest first; none where the file cannot be read."""
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def append_string(self, string: str) -> None:
        """Keep what may be wanted again, which the number of an option is not."""
        if string.strip() and not _KEY.fullmatch(string.strip()):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Keep one line."""
        with suppress(OSError):
            path = Path(os.fsdecode(self.filename))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            super().store_string(string)


class TtyDesk:
    """Asks for one answer after another; what is drawn meanwhile appears above the line."""

    def __init__(self, offer: Callable[[], Offer], history_file: Path | None) -> None:
        self._output = create_output()
        self._look = Look.of(os.environ)
        history: History = KeptHistory(history_file) if history_file else InMemoryHistory()
        self._session: PromptSession[str] = PromptSession(
            [("class:mark", MARK)],
            history=history,
            completer=AnswerCompleter(offer),
            complete_while_typing=False,
            key_bindings=_keys(),
            style=STYLE,
            reserve_space_for_menu=6,
            enable_suspend=True,
        )
        self._is_asking = False
        self._patience = _Patience()

    async def ask(self, hint: str, before: str) -> str:
        """The next answer; EOFError at Ctrl-D on an empty line, KeyboardInterrupt at Ctrl-C."""
        self._is_asking = True
        self._patience.pressed = 0
        try:
            return await self._session.prompt_async(
                placeholder=lambda: _unless_done(hint), default=before
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._session.default_buffer.text) from None
        finally:
            self._is_asking = False

    async def draw(self, screen: Screen, options: Sequence[Option], notes: Sequence[Note]) -> None:
        """Show a screen."""
        await self._write(self._look.screen(screen, options, notes, self._columns))

    async def say(self, note: Note) -> None:
        """Show one line."""
        await self._write(self._look.note(note, self._columns))

    def below(self, rows: Sequence[str]) -> None:
        """Show these lines below the one that is typed on; none takes them away."""
        shown: StyleAndTextTuples = [("", "\n".join(rows))]
        self._session.bottom_toolbar = (lambda: shown) if rows else None
        if self._is_asking:
            self._session.app.invalidate()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """What others print appears above the line too; Ctrl-C between two answers is no end."""
        with patch_stdout(raw=True), self._patience:
            yield

    @property
    def _columns(self) -> int:
        return self._output.get_size().columns

    async def _write(self, text: str) -> None:
        with set_app(self._session.app):
            async with in_terminal():
                self._output.enable_autowrap()
                self._output.write_raw(text.replace("\n", "\r\n"))
                self._output.flush()


class _Patience:
    """
    Ctrl-C while an answer is being worked on: it comes too early, and is no answer.

    Who presses it again and again means it.
    """

    MOST = 3

    def __init__(self) -> None:
        self.pressed = 0
        self._before: Any = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._press)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, number: int, frame: FrameType | None) -> None:
        self.pressed += 1
        if self.pressed >= self.MOST and callable(self._before):
            self._before(number, frame)


def _unless_done(hint: str) -> StyleAndTextTuples:
    """A hint is not to be left behind, as if it had been the answer."""
    return [] if get_app().is_done else [("class:placeholder", hint)]


def _keys() -> KeyBindings:
    """The arrow down on an empty line goes through what can be chosen."""
    keys = KeyBindings()

    @keys.add("down", filter=Condition(lambda: not get_app().current_buffer.text))
    def choose(event: KeyPressEvent) -> None:
        event.current_buffer.start_completion(select_first=True)

    return keys
