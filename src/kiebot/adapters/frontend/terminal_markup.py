"""
Screen -> lines, and a typed answer -> what it means. Pure: nothing is read, written or asked here.

An answer is read in this order, the first that fits:

1. a command (`/balance`), or a way to end (`/quit`, `/exit`);
2. `/3`: the option with that number, on every screen;
3. callback data (`gen:confirm:...`): of a button that can be seen, or of kiebot's vocabulary. It
   beats a text that is asked for: it has no spaces and begins as no prose does;
4. where text is asked: the words as they are. No label is looked for, as any could be prose;
5. where a number or an amount is asked: that; else an option's label, unless it reads as a number;
6. a bare number: the option with that number; a label;
7. where a file is asked: an address or a path. Where nothing is asked a path counts when it is
   plainly one (`/...`, `~/...`, `./...`, `file:///...`, in quotes) and something is there;
8. anything else is words, and the conversation says what it thinks of them (`/blance` too).

Labels are compared without case, emoji, marks and spacing, with and without the price at the end.
"""

import re
import shlex
import unicodedata
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from attrs import evolve, field, frozen

from kiebot.core.dialog.screen import COMMANDS, Action, Button, Press, Say, Screen
from kiebot.core.expect import Amount, Answer, AnswerForm, Expect, Reason, Receipt, Whom
from kiebot.core.media import Attachment

MARK = "› "
"""What a line that is typed on begins with."""

QUIT = frozenset({"quit", "exit"})
"""Commands of the terminal's own."""

LABEL_CHARS = 200
"""A longer answer is no label."""

PATHS_CHARS = 16_384
"""A longer answer is no path, nor several: systems take 4096 bytes for one at most."""

WAYS: dict[str, int] = {
    "menu:main": 2,
    "marketing:main": 2,
    "mcat": 2,
    "mmodel": 2,
    "mparam": 4,
    "mskip": 3,
    "mdone": 3,
    "mclear": 3,
    "mopen": 3,
    "gen:open": 3,
    "gen:tune": 3,
    "gen:confirm": 3,
    "gen:cancel": 3,
    "gen:again": 3,
    "gen:edit": 3,
    "gen:use": 4,
    "balance:main": 2,
    "topup": 2,
    "history:jobs": 2,
    "history:open": 2,
    "history:ledger": 2,
    "history:job": 3,
    "history:file": 3,
    "admin": 2,
    "lang:main": 2,
    "lang:ru": 2,
    "lang:en": 2,
    "help:main": 2,
    "cancel:main": 2,
    "paysupport:main": 2,
}
"""How callback data of the vocabulary begins, and the fewest parts it has then."""

_SEPARATOR = " · "
_COMMAND = re.compile(r"/([A-Za-z]+)")
_OPTION = re.compile(r"/(\d{1,9})", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_LIKE_A_NUMBER = re.compile(r"[\d.,\s+\-]*\d[\d.,\s+\-]*(?:\D{1,5})?")
_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)
_OTHER_ADDRESS = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.\-]*://\S*", re.IGNORECASE)
_QUOTES = {"'": "'", '"': '"', "«": "»", "“": "”", "‘": "’"}


class Asked(Enum):
    """What a screen wants typed."""

    NOTHING = "nothing"
    CHOICE = "choice"
    TEXT = "text"
    NUMBER = "number"
    FILE = "file"

    @classmethod
    def by(cls, expect: Expect | None) -> "Asked":
        """What this expectation wants."""
        match expect:
            case Answer(form=AnswerForm.TEXT) | Reason() | Whom():
                return cls.TEXT
            case Answer(form=AnswerForm.NUMBER) | Amount():
                return cls.NUMBER
            case Answer(form=AnswerForm.FILE) | Receipt():
                return cls.FILE
            case Answer():
                return cls.CHOICE
            case None:
                return cls.NOTHING

    @property
    def takes_numbers(self) -> bool:
        """Whether a bare number is the answer itself: the options are then `/1`, `/2`."""
        return self in {Asked.TEXT, Asked.NUMBER}


# --- What can be chosen


@frozen(kw_only=True)
class Option:
    """A button with the number it goes by."""

    number: int
    button: Button
    slash: bool = False

    @property
    def key(self) -> str:
        """What is printed before its label, and what chooses it."""
        return f"/{self.number}" if self.slash else str(self.number)


@frozen(kw_only=True)
class Offer:
    """
    What can be answered now: the options of the latest screen, and after them those of news.

    The numbers of a screen never change while it is the latest: what comes unasked is numbered on.
    """

    asked: Asked = Asked.NOTHING
    options: tuple[Option, ...] = ()

    @classmethod
    def of(cls, screen: Screen) -> "Offer":
        """What an answer's screen offers: all that was offered before is gone."""
        return cls(asked=Asked.by(screen.expects)).plus(screen)

    def plus(self, news: Screen) -> "Offer":
        """With the options of a screen that nobody asked for."""
        first = len(self.options) + 1
        added = tuple(
            Option(number=number, button=button, slash=self.asked.takes_numbers)
            for number, button in enumerate(news.actions, first)
        )
        return evolve(self, options=(*self.options, *added))

    def since(self, earlier: "Offer") -> tuple[Option, ...]:
        """What came to an earlier offer."""
        return self.options[len(earlier.options) :]

    def numbered(self, number: int) -> Button | None:
        """The button with this number."""
        if 1 <= number <= len(self.options):
            return self.options[number - 1].button
        return None

    def labelled(self, text: str) -> Button | None:
        """The one button with this label; the screen's own before those of news."""
        wanted = plain(text) if len(text) <= LABEL_CHARS else ""
        if not wanted:
            return None
        for form in (plain, _without_price):
            found = [
                option.button for option in self.options if form(option.button.label) == wanted
            ]
            if found and len({button.action for button in found}) == 1:
                return found[0]
        return None

    def has(self, action: Action) -> bool:
        """Whether a button does this."""
        return any(option.button.action == action for option in self.options)


# --- What an answer means


@frozen
class LocalFiles:
    """Paths, one or several: the files are still to be looked at."""

    paths: tuple[Path, ...]


@frozen
class NoSuchOption:
    """A number that no option has; the highest is `last`, 0 where there are none."""

    number: str
    last: int


@frozen
class Quit:
    """The person is done."""


Meaning = Press | Say | Attachment | LocalFiles | NoSuchOption | Quit


@frozen(kw_only=True)
class Reader:
    """
    Reads answers.

    `exists` tells whether a file is there, `folder` and `home` are what paths start from.
    """

    folder: Path
    home: Path
    exists: Callable[[Path], bool] = field(repr=False)

    def read(self, typed: str, offer: Offer) -> Meaning:
        """What an answer means, given what is offered."""
        text = typed.strip()
        meaning = _command(text) or self._chosen(text, offer) or _pressed(text, offer)
        if meaning is not None:
            return meaning
        match offer.asked:
            case Asked.TEXT:
                return Say(typed)
            case Asked.NUMBER:
                button = None if _reads_as_number(text) else offer.labelled(text)
                return Say(typed) if button is None else Press(button.action)
            case Asked.FILE:
                return self._file(text, offer)
            case Asked.NOTHING | Asked.CHOICE:
                return self._choice(text, offer) or self._found(text) or Say(typed)

    def path(self, text: str) -> Path:
        """The path that was typed, or that a terminal pasted when a file was dropped on it."""
        if text.lower().startswith("file://"):
            # Pasted addresses may have a bare # or ? in them: that is of the name here.
            return Path("/") / unquote(text[len("file://") :].partition("/")[2])
        whole = Path(text)
        if text == "~" or text.startswith("~/"):
            whole = self.home / text[2:]
        return self.folder / whole

    def _chosen(self, text: str, offer: Offer) -> Meaning | None:
        found = _OPTION.fullmatch(text)
        if found is None:
            return None
        # A file may be called /1 too, but hardly ever is.
        return _numbered(found[1], offer)

    def _choice(self, text: str, offer: Offer) -> Meaning | None:
        button = offer.labelled(text)
        if _NUMBER.fullmatch(text):
            numbered = offer.numbered(int(text))
            if numbered is not None or button is None:
                return _numbered(text, offer)
        return None if button is None else Press(button.action)

    def _file(self, text: str, offer: Offer) -> Meaning:
        if len(text) > PATHS_CHARS:
            return Say(text)
        if _ADDRESS.fullmatch(text):
            return Attachment(reference=text, name=_last_part(text))
        candidates = [self.path(way) for way in _ways_to_read(text)]
        for path in candidates:
            if self.exists(path):
                return LocalFiles((path,))
        several = tuple(self.path(part) for part in _parts(text))
        if len(several) > 1 and all(map(self.exists, several)):
            return LocalFiles(several)
        chosen = self._choice(text, offer)
        if chosen is not None:
            return chosen
        return Say(text) if _OTHER_ADDRESS.fullmatch(text) else LocalFiles((candidates[-1],))

    def _found(self, text: str) -> Meaning | None:
        """A file that nobody asked for, where it is plainly one."""
        marks = ("/", "~/", "./", "../", "file://", *_QUOTES)
        if not text.startswith(marks):
            return None
        for path in (self.path(way) for way in _ways_to_read(text)):
            if self.exists(path):
                return LocalFiles((path,))
        return None


def _command(text: str) -> Meaning | None:
    found = _COMMAND.fullmatch(text)
    if found is None:
        return None
    name = found[1].lower()
    if name in QUIT:
        return Quit()
    if name == "admin":
        # Only the conversation knows for whom there is such a command.
        return Say(text)
    return Press(COMMANDS[name]) if name in COMMANDS else None


def _numbered(number: str, offer: Offer) -> Meaning:
    button = offer.numbered(int(number))
    if button is None:
        return NoSuchOption(number, len(offer.options))
    return Press(button.action)


def _pressed(text: str, offer: Offer) -> Meaning | None:
    action = action_of(text)
    if action is None or not (offer.has(action) or in_vocabulary(action)):
        return None
    return Press(action)


def action_of(text: str) -> Action | None:
    """The action that this callback data is, or None."""
    if ":" not in text or len(text) > 64 or any(char.isspace() for char in text):
        return None
    try:
        return Action.decode(text)
    except ValueError:
        return None


def in_vocabulary(action: Action) -> bool:
    """Whether kiebot's callback data begins so."""
    one, two = action.parts[0], ":".join(action.parts[:2])
    fewest = WAYS.get(two) or WAYS.get(one)
    return fewest is not None and len(action.parts) >= fewest


def _ways_to_read(text: str) -> Sequence[str]:
    """A typed path: as it is, without quotes, without the backslashes of a dropped file."""
    ways = [text]
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        ways.append(text[1:-1])
    if "\\" in text:
        ways.append(re.sub(r"\\(.)", r"\1", text))
    return ways


def _parts(text: str) -> Sequence[str]:
    """The paths of several files that were dropped at once."""
    try:
        return shlex.split(text)
    except ValueError:
        # A quotation mark alone: it is of the name.
        return ()


def _reads_as_number(text: str) -> bool:
    """An amount or a number, perhaps with a unit, perhaps mistyped."""
    return len(text) > LABEL_CHARS or _LIKE_A_NUMBER.fullmatch(text) is not None


def _last_part(address: str) -> str:
    return unquote(urlsplit(address).path).rstrip("/").rpartition("/")[2]


# --- Text


def plain(label: str) -> str:
    """A label as one compares it: letters, digits and what is between them, no emoji, no marks."""
    kept = (
        char if unicodedata.category(char)[0] in "LNP" or char in "+₽%=<>" else " "
        for char in unicodedata.normalize("NFKC", label)
        if char not in "‹›·•✓\ufe0f\u200d"
    )
    return " ".join("".join(kept).casefold().split())


def _without_price(label: str) -> str:
    return plain(parted(label)[0])


def parted(label: str) -> tuple[str, str]:
    """A label and the price at its end (`от 20 ₽`, `+42 ₽`, `скоро`), empty where it has none."""
    name, separator, end = label.rpartition(_SEPARATOR)
    return (name, end) if separator else (label, "")


def printable(text: str) -> str:
    """
    Text that a terminal only shows: no escape codes, no control characters but tab and newline.

    Words of strangers are on the screens (names, prompts), and a terminal obeys what it is sent.
    """
    text = text.replace("\r\n", "\n")
    if text.isprintable():
        return text
    return "".join(char for char in text if char in "\n\t" or not _controls(char))


def _controls(char: str) -> bool:
    # Also the marks that turn the direction of writing, and lone surrogates, which no UTF-8 has.
    return unicodedata.category(char) in {"Cc", "Cs"} or char in "\u202a\u202b\u202c\u202d\u202e"


def lines(screen: Screen, options: Sequence[Option], notes: Sequence[str] = ()) -> list[str]:
    """
    A screen as plain lines: its text, what became of its files, and its options.

    An option is `  1  label`, or `  /1  label` where a number is the answer itself.
    """
    shown = printable(screen.text).rstrip("\n").split("\n") if screen.text.strip() else []
    shown.extend(printable(note) for note in notes)
    widest = max((len(option.key) for option in options), default=0)
    shown.extend(f"  {option.key:>{widest}}  {one_line(option.button.label)}" for option in options)
    return shown


def one_line(label: str) -> str:
    """A label without newlines and escape codes."""
    return " ".join(printable(label).split())
