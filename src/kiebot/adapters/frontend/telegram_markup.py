"""
Screen -> what Telegram is sent: HTML in pieces, keyboards, albums. Pure: nothing is sent here.

Telegram's limits are kept by construction. Lengths are counted in UTF-16 units, which are never
fewer than Telegram's characters. Source of the numbers: the Bot API documentation.
"""

import html
import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby

from aiogram.types import CopyTextButton, InlineKeyboardButton, InlineKeyboardMarkup
from attrs import frozen

from kiebot.core.dialog.screen import Button, Media, Screen
from kiebot.core.media import MediaKind

TEXT_UNITS = 4096
CAPTION_UNITS = 1024
COPY_UNITS = 256
BUTTONS = 100
ROW_BUTTONS = 8
ALBUM = 10

LABEL_CHARS = 100
"""Characters of a label. Ours: Telegram names no limit, and no phone shows more."""

SHORT_CHARS = 14
"""Characters of a label beside which another way out fits on a phone. Ours."""

_UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""The categories Cc, but for line ends and tabs, and Cs."""

_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
"""Marks that turn the direction of what follows: a name must not turn a price around."""

_JOINERS = {"\u200d", "\ufe0f", "\ufe0e"}
_REGIONAL = range(0x1F1E6, 0x1F200)
_TONES = range(0x1F3FB, 0x1F400)

_ENDS = ("\n\n", "\n", " ")
"""Where a text may be cut, the best place first."""


@frozen(kw_only=True)
class Drawing:
    """
    A screen as messages: `media` in albums, then `pieces` of HTML; the keyboard goes with the last.

    `caption` is the text where it fits under one file, and then there are no pieces.
    """

    pieces: tuple[str, ...]
    keyboard: InlineKeyboardMarkup | None
    albums: tuple[tuple[Media, ...], ...] = ()
    caption: str | None = None


def draw(screen: Screen) -> Drawing:
    """A screen as messages."""
    text = clean(screen.text)
    keys = keyboard(screen)
    grouped = albums(screen.media)
    alone = len(screen.media) == 1
    if alone and units(text) <= CAPTION_UNITS:
        caption = markup(text, screen.copyable)
        return Drawing(pieces=(), keyboard=keys, albums=grouped, caption=caption)
    pieces = tuple(markup(piece, screen.copyable) for piece in split(text, TEXT_UNITS))
    return Drawing(pieces=pieces, keyboard=keys, albums=grouped)


def units(text: str) -> int:
    """The length in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def clean(text: str) -> str:
    """
    Without what Telegram drops or no screen should show: control characters, broken Unicode, marks
    that turn the direction, blanks at the ends. Never empty: Telegram sends no empty message.
    """
    text = _TURNS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    kept = _UNSEEN.sub("", text).strip()
    return kept if any(_is_ink(char) for char in kept) else "…"


def markup(text: str, copyable: Sequence[str] = ()) -> str:
    """As HTML; every copyable part that stands in it can be copied by a tap."""
    parts = sorted({clean(part) for part in copyable if part.strip()}, key=len, reverse=True)
    if not parts:
        return _escaped(text)
    pattern = re.compile("|".join(map(re.escape, parts)))
    done, at = [], 0
    for found in pattern.finditer(text):
        done += [_escaped(text[at : found.start()]), f"<code>{_escaped(found[0])}</code>"]
        at = found.end()
    return "".join([*done, _escaped(text[at:])])


def plain(marked: str) -> str:
    """What is read of a piece of `markup`."""
    return html.unescape(marked.replace("<code>", "").replace("</code>", ""))


def split(text: str, most: int) -> tuple[str, ...]:
    """
    In pieces of at most `most` UTF-16 units, cut at the end of a paragraph, line or word where
    there is one in the latter half of a piece, and never inside an emoji or an accented letter.
    """
    pieces = []
    rest = text.strip()
    while units(rest) > most:
        end = _cut(rest, _reach(rest, most))
        piece, rest = rest[:end].rstrip(), rest[end:].lstrip()
        if piece:
            pieces.append(piece)
    if rest:
        pieces.append(rest)
    return tuple(pieces)


def keyboard(screen: Screen) -> InlineKeyboardMarkup | None:
    """
    The buttons, and one to copy each copyable part; None where there are none.

    What is too much for Telegram is left out before the last row, which is the way back.
    """
    rows = [
        [InlineKeyboardButton(text=f"📋 {label(part)}", copy_text=CopyTextButton(text=part))]
        for part in map(clean, screen.copyable)
        if units(part) <= COPY_UNITS
    ]
    for row in joined(screen.buttons):
        keys = [
            InlineKeyboardButton(text=label(button.label), callback_data=button.action.encode())
            for button in row
        ]
        rows += [keys[at : at + ROW_BUTTONS] for at in range(0, len(keys), ROW_BUTTONS)]
    if not rows:
        return None
    last = rows.pop()
    kept: list[list[InlineKeyboardButton]] = []
    left = BUTTONS - len(last)
    for keys in rows:
        if len(keys) > left:
            break
        kept.append(keys)
        left -= len(keys)
    return InlineKeyboardMarkup(inline_keyboard=[*kept, last])


def joined(rows: Sequence[tuple[Button, ...]]) -> tuple[tuple[Button, ...], ...]:
    """Ways back that stand alone in the rows at the end share one row, where they are short."""
    kept = [row for row in rows if row]
    if len(kept) < 2 or not all(_is_short_way_back(row) for row in kept[-2:]):
        return tuple(kept)
    return (*kept[:-2], (*kept[-2], *kept[-1]))


def label(text: str) -> str:
    """On one line, not empty, not longer than is shown."""
    line = " ".join(clean(text).split())
    return line if len(line) <= LABEL_CHARS else f"{line[: LABEL_CHARS - 1].rstrip()}…"


def albums(media: Sequence[Media]) -> tuple[tuple[Media, ...], ...]:
    """
    What goes together, in order: pictures and clips, sounds alone, documents alone; ten at most.
    """
    together: list[tuple[Media, ...]] = []
    for _, same in groupby(media, key=lambda one: _shelf(one.kind)):
        files = list(same)
        together += [tuple(files[at : at + ALBUM]) for at in range(0, len(files), ALBUM)]
    return tuple(together)


def _shelf(kind: MediaKind) -> str:
    match kind:
        case MediaKind.IMAGE | MediaKind.VIDEO:
            return "seen"
        case MediaKind.AUDIO:
            return "heard"
        case MediaKind.TEXT | MediaKind.DOCUMENT:
            return "kept"


def _is_short_way_back(row: Sequence[Button]) -> bool:
    return len(row) == 1 and row[0].minor and len(row[0].label) <= SHORT_CHARS


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _is_ink(char: str) -> bool:
    """Whether something is seen: neither a blank nor a character without width."""
    return not char.isspace() and unicodedata.category(char) not in {"Cf", "Mn", "Me"}


def _reach(text: str, most: int) -> int:
    """How many characters fit into so many units."""
    used = 0
    for at, char in enumerate(text):
        used += 1 + (ord(char) > 0xFFFF)
        if used > most:
            return at
    return len(text)


def _cut(text: str, reach: int) -> int:
    for mark in _ENDS:
        at = text.rfind(mark, reach // 2, reach)
        if at > 0:
            return at + len(mark)
    at = reach
    while at > reach - 32 and at > 1 and _belongs_together(text, at):
        at -= 1
    return reach if _belongs_together(text, at) else at


def _belongs_together(text: str, at: int) -> bool:
    """Whether a cut here would be inside what is seen as one character."""
    before, after = text[at - 1], text[at]
    return (
        after in _JOINERS
        or before == "\u200d"
        or bool(unicodedata.combining(after))
        or ord(after) in _TONES
        or (ord(before) in _REGIONAL and ord(after) in _REGIONAL)
    )
