"""
How a screen looks in a terminal: rich's lines, links, and pictures where the terminal draws them.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from io import StringIO
from pathlib import Path

from attrs import frozen
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from kiebot.adapters.frontend.terminal_markup import Option, one_line, parted, printable
from kiebot.core.dialog.screen import Screen
from kiebot.core.media import SNIFF_BYTES, sniff

PICTURE_BYTES = 8 * 1024 * 1024
"""Larger pictures are not drawn: they go through the terminal as text."""

PICTURE_COLUMNS = 40
KITTY_CHUNK = 4096
"""Base64 characters of one escape code. Source: kitty's graphics protocol."""

NARROW = 40
"""In fewer columns the prices stand under the labels' ends, not in a column."""


class Pictures(Enum):
    """How a terminal takes pictures."""

    NONE = "none"
    KITTY = "kitty"
    ITERM = "iterm"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Pictures":
        """By what the terminal says of itself; nothing is sent to find out."""
        term = environment.get("TERM", "")
        program = environment.get("TERM_PROGRAM", "")
        if "TMUX" in environment or term.startswith(("screen", "tmux", "dumb")):
            # A multiplexer stands between, and does not pass pictures on.
            return cls.NONE
        if program == "iTerm.app" or environment.get("LC_TERMINAL") == "iTerm2":
            return cls.ITERM
        if program == "WezTerm":
            return cls.ITERM
        if "KITTY_WINDOW_ID" in environment or "kitty" in term or program == "ghostty":
            return cls.KITTY
        if "ghostty" in term:
            return cls.KITTY
        return cls.NONE

    def draw(self, path: Path, columns: int) -> str | None:
        """The escape codes that draw this file, None where it or the terminal is not up to it."""
        if self is Pictures.NONE:
            return None
        try:
            if path.stat().st_size > PICTURE_BYTES:
                return None
            content = path.read_bytes()
        except OSError:
            return None
        mime = sniff(content[:SNIFF_BYTES])
        columns = max(min(columns - 2, PICTURE_COLUMNS), 1)
        if self is Pictures.KITTY:
            return "".join(_kitty(content, columns)) if mime == "image/png" else None
        if mime not in {"image/png", "image/jpeg", "image/gif"}:
            return None
        data = base64.b64encode(content).decode()
        settings = f"inline=1;size={len(content)};width={columns};preserveAspectRatio=1"
        return f"\x1b]1337;File={settings}:{data}\x07"


def _kitty(content: bytes, columns: int) -> Iterator[str]:
    data = base64.b64encode(content).decode()
    for start in range(0, len(data), KITTY_CHUNK):
        more = int(start + KITTY_CHUNK < len(data))
        # f=100: PNG; a=T: store and show; q=2: say nothing back, nobody reads it.
        first = f"f=100,a=T,q=2,c={columns}," if start == 0 else ""
        yield f"\x1b_G{first}m={more};{data[start : start + KITTY_CHUNK]}\x1b\\"


def is_dumb(environment: Mapping[str, str]) -> bool:
    """Whether the terminal knows nothing but lines."""
    return environment.get("TERM", "").lower() in {"", "dumb", "unknown"}


@frozen(kw_only=True)
class Note:
    """One line about what happened; `path` is the file it names, to be linked."""

    text: str
    path: Path | None = None
    is_trouble: bool = False


@frozen
class Look:
    """What this terminal can do, from its environment."""

    pictures: Pictures
    has_links: bool

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Look":
        """By what the terminal says of itself."""
        # The Linux console prints what it does not know.
        return cls(Pictures.of(environment), environment.get("TERM") != "linux")

    def screen(
        self, screen: Screen, options: Sequence[Option], notes: Sequence[Note], columns: int
    ) -> str:
        """A screen, ready to be sent to the terminal."""
        drawn = [self.pictures.draw(note.path, columns) for note in notes if note.path is not None]
        parts: list[RenderableType] = []
        text = printable(screen.text).strip("\n")
        if text:
            parts.append(_words(text, screen.copyable))
        parts.extend(self._note(note) for note in notes)
        if options:
            parts.append(_options(options, columns))
        pictures = "".join(f"{picture}\n" for picture in drawn if picture)
        return f"\n{pictures}{self._render(Group(*parts), columns)}"

    def note(self, note: Note, columns: int) -> str:
        """One line, ready to be sent to the terminal."""
        return self._render(self._note(note), columns)

    def _note(self, note: Note) -> Text:
        style = "yellow" if note.is_trouble else "green" if note.path else "dim"
        text = Text(printable(note.text), style=style)
        if note.path is not None:
            # A path that is to be copied has no line ends in it: the terminal breaks it.
            text.no_wrap, text.overflow = True, "ignore"
        if note.path is not None and self.has_links:
            text.stylize(Style(link=note.path.absolute().as_uri()))
        return text

    def _render(self, what: RenderableType, columns: int) -> str:
        buffer = StringIO()
        Console(
            file=buffer,
            width=max(columns, 10),
            force_terminal=True,
            highlight=False,
            emoji=False,
            markup=False,
            legacy_windows=False,
            soft_wrap=False,
        ).print(what, crop=False)
        return buffer.getvalue()


def _words(text: str, copyable: Sequence[str]) -> Text:
    title, newline, rest = text.partition("\n")
    words = Text.assemble((title, "bold"), newline, rest)
    for part in copyable:
        words.highlight_words([printable(part)], "bold cyan")
    return words


def _options(options: Sequence[Option], columns: int) -> RenderableType:
    prices = columns >= NARROW and any(parted(option.button.label)[1] for option in options)
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    if prices:
        table.add_column(overflow="fold")
    for option in options:
        label = one_line(option.button.label)
        style = "dim" if option.button.minor else ""
        name, price = parted(label) if prices else (label, "")
        cells = [Text(option.key, style="cyan"), Text(name, style=style)]
        table.add_row(*cells, *([Text(price, style="bold")] if prices else []))
    return Padding(table, (0, 0, 0, 2), expand=False)
