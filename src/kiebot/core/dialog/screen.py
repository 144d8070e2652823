"""
Screens: what a person sees, and what a person does.

A screen carries its own state: a button holds its whole action, `expects` says what the next typed
answer is for, and the answers so far are in the draft job.
"""

from typing import Self

from attrs import field, frozen

from kiebot.core.expect import Expect
from kiebot.core.media import Attachment, MediaKind
from kiebot.core.topups import TopUpId
from kiebot.core.wallet import JobId

CALLBACK_BYTES = 64
"""The most that a button can carry. Source: `callback_data` in Telegram's Bot API."""


@frozen
class Action:
    """
    What a button does: a name and its arguments, encoded as in `gen:confirm:<job>`.

    Raises:
        ValueError: It has an empty part or one with a colon, or is longer than a button carries.
    """

    parts: tuple[str, ...] = field()

    @parts.validator
    def _fit(self, _: object, parts: tuple[str, ...]) -> None:
        if not parts or not all(parts) or any(":" in part for part in parts):
            raise ValueError(f"not an action: {parts}")
        if len(":".join(parts).encode()) > CALLBACK_BYTES:
            raise ValueError(f"no button carries {':'.join(parts)}")

    @classmethod
    def of(cls, *parts: object) -> Self:
        """From its parts."""
        return cls(tuple(str(part) for part in parts))

    @classmethod
    def decode(cls, data: str) -> Self:
        """From callback data; ValueError where it is none."""
        return cls(tuple(data.split(":")))

    def encode(self) -> str:
        """As callback data."""
        return ":".join(self.parts)


@frozen
class Button:
    """
    A label and what pressing it does.

    `minor` marks what is not an answer to the screen's question, such as a way back: the terminal
    sets it apart.
    """

    label: str
    action: Action
    minor: bool = field(default=False, kw_only=True)


@frozen(kw_only=True)
class Media:
    """A file to be shown: a result by address, or what a person attached by reference."""

    url: str
    kind: MediaKind
    name: str
    """A file name without extension, for saving it."""


@frozen(kw_only=True)
class Screen:
    """
    One thought, and what can be done about it.

    `text` is plain text (markup is the frontend's business); `copyable` are parts of it that a
    person will want to copy, such as a card number. `media` are shown with the text as caption.
    `body` is the part of the text that is a result itself. `in_work` is the open job whose progress
    belongs here, `ended` one whose end this tells, `review` a top-up that an administrator sees.
    """

    text: str
    buttons: tuple[tuple[Button, ...], ...] = ()
    expects: Expect | None = None
    media: tuple[Media, ...] = ()
    copyable: tuple[str, ...] = ()
    body: str = ""
    in_work: JobId | None = None
    ended: JobId | None = None
    review: TopUpId | None = None

    @property
    def actions(self) -> tuple[Button, ...]:
        """Every button, in reading order."""
        return tuple(button for row in self.buttons for button in row)


@frozen
class Press:
    """A button, or a command, which is a button that is always there."""

    action: Action

    @classmethod
    def of(cls, data: str) -> Self:
        """From callback data as it came, rubbish too: that is answered as any old button."""
        try:
            return cls(Action.decode(data))
        except ValueError:
            return cls(Action.of("unknown"))


@frozen
class Say:
    """A typed text."""

    text: str


@frozen
class Attach:
    """
    A file, and the words that came with it.

    `is_more`: it is one of several that were sent together, and not the first.
    """

    file: Attachment
    words: str = field(default="", kw_only=True)
    is_more: bool = field(default=False, kw_only=True)


Did = Press | Say | Attach

COMMANDS: dict[str, Action] = {
    "start": Action.of("menu", "main"),
    "menu": Action.of("menu", "main"),
    "marketing": Action.of("marketing", "main"),
    "balance": Action.of("balance", "main"),
    "history": Action.of("history", "jobs"),
    "jobs": Action.of("history", "open"),
    "help": Action.of("help", "main"),
    "cancel": Action.of("cancel", "main"),
    "language": Action.of("lang", "main"),
    "paysupport": Action.of("paysupport", "main"),
    "admin": Action.of("admin", "main"),
}
"""What each command presses."""
