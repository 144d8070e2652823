"""
Logs: lines as text or JSON, with secrets struck out.

Lines of structlog and of the standard library's `logging` go the same way; structlog is loaded with
the first of them, as many a command has nothing to log. What is struck: the values of fields that
are secret by name (tokens, keys, cards, and what people typed), the secrets handed to `configure`
wherever they stand, and whatever looks like a bot token, a bearer token, the login of an address or
a card number. Of an exception that may quote what it was given, only its kind is written.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from kiebot.core.errors import KiebotError

if TYPE_CHECKING:
    from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

Format = Literal["text", "json"]

STRUCK = "***"

SHORTEST_SECRET = 4
"""A secret shorter than this would strike half of every line."""

_SECRET_FIELDS = re.compile(
    r"token|secret|passw|card|authorization|cookie|credential|dsn|(?:^|_)key$"
    r"|^(?:prompt|words|said|answers?|params|text|given|receipt)$",
    re.IGNORECASE,
)
_NO_SECRETS = frozenset({"token"})
"""Fields of our own that only sound secret: the number of a lead."""

_PATTERNS = (
    # A bot token, also inside an address of the Bot API.
    (re.compile(r"(?<!\d)\d{6,20}:[A-Za-z0-9_-]{30,}"), STRUCK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {STRUCK}"),
    (re.compile(r"(?<=://)[^\s/@]+(?=@)"), STRUCK),
    (re.compile(r"(?i)\b((?:key|token|secret|password|signature)=)[^\s&\"']+"), rf"\1{STRUCK}"),
)
_DIGITS = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-])")

_PLAIN_ERRORS = (
    KiebotError,
    OSError,
    RuntimeError,
    TypeError,
    AttributeError,
    NameError,
    AssertionError,
    ArithmeticError,
)
"""Exceptions whose words are ours or the interpreter's. Others quote what somebody typed."""

_WITHHELD = "(its words are not logged)"

_SEPARATED = re.compile(r"\d(?:[ -]?\d){7,}")
"""A secret that is written with and without separators, such as a card number."""

_NOISY = ("asyncio", "aiosqlite", "aiogram.event")
"""Loggers of others that have nothing to say to an operator below a warning."""

_REPEATING = "asyncpg.pool"
"""It warns, traceback and all, of each connection it cannot make; our own line says it once."""


def configure(
    *,
    level: str,
    form: Format | None = None,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
    path: Path | None = None,
) -> None:
    """
    Send log lines of at least this level to a stream (standard error) or to the end of a file.

    `form` None is text on a terminal and in a file, JSON elsewhere. Again replaces what was said
    before.
    """
    handler = _FileHandler(path) if path else logging.StreamHandler(stream or sys.stderr)
    is_terminal = path is None and (stream or sys.stderr).isatty()
    if form is None:
        form = "text" if is_terminal or path else "json"
    handler.setFormatter(_Formatter(form, Strike(secrets), colors=is_terminal))
    root = logging.getLogger()
    for earlier in [known for known in root.handlers if getattr(known, "is_of_kiebot", False)]:
        root.removeHandler(earlier)
        earlier.close()
    handler.is_of_kiebot = True  # type: ignore[union-attr]
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.getLogger(_REPEATING).setLevel(max(root.level, logging.ERROR))
    logging.getLogger("aiohttp.server").addFilter(_is_our_trouble)
    # A log that cannot be written is no reason to disturb a person.
    logging.raiseExceptions = False
    if "structlog" in sys.modules:
        _configure_structlog()


class _Formatter(logging.Formatter):
    """Writes a line as `form` has it, without secrets."""

    def __init__(self, form: Format, strike: "Strike", *, colors: bool) -> None:
        super().__init__()
        self._form: Format = form
        self._strike = strike
        self._colors = colors
        self._structlog: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        if self._structlog is None:
            self._structlog = self._load()
        return self._structlog.format(record)

    def _load(self) -> logging.Formatter:
        import structlog

        if not structlog.is_configured():
            _configure_structlog()
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_traceback),
                self._strike,
                _renderer(self._form, colors=self._colors),
            ],
        )


def _configure_structlog() -> None:
    import structlog

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _shared() -> "list[Processor]":
    """What is done to every line, whichever way it comes."""
    import structlog

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


class Strike:
    """Strikes secrets out of a line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one may be the beginning of another.
        known = sorted({s for s in secrets if len(s) >= SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(_pattern, known))) if known else None

    def __call__(self, _: "WrappedLogger", __: str, event: "EventDict") -> "EventDict":
        return {name: self._field(name, value) for name, value in event.items()}

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(STRUCK, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return _DIGITS.sub(lambda found: STRUCK if _is_card(found[0]) else found[0], text)

    def _field(self, name: str, value: Any) -> Any:
        if _SECRET_FIELDS.search(name) and not (name in _NO_SECRETS and isinstance(value, int)):
            return STRUCK
        return self._value(value)

    def _value(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case None | bool() | int() | float():
                return value
            case Mapping():
                return {str(name): self._field(str(name), item) for name, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._value(item) for item in value]
            case _:
                return self.text(str(value))


class _FileHandler(logging.FileHandler):
    """Opens its file, in a folder that may not exist yet, with the first line."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._path = path

    def _open(self) -> Any:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


def _pattern(secret: str) -> str:
    """What finds a secret, a number also with other separators."""
    if not _SEPARATED.fullmatch(secret):
        return re.escape(secret)
    return r"(?<!\d)" + "[ -]?".join(re.sub(r"\D", "", secret)) + r"(?!\d)"


def _is_our_trouble(record: logging.LogRecord) -> bool:
    """Not where somebody sent what is no HTTP: they were told, and it is quoted in the error."""
    error = record.exc_info[1] if record.exc_info else None
    return not 400 <= getattr(error, "code", 500) < 500


def _traceback(exc_info: "ExcInfo") -> str:
    """An exception and what it came of, the last one last."""
    return "\n".join(_lines(exc_info[1], set()))


def _lines(error: BaseException, known: set[int]) -> list[str]:
    known.add(id(error))
    lines = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in known:
        lines += [*_lines(cause, known), ""]
    for one in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        lines += [*_lines(one, known), ""]
    if error.__traceback__ is not None:
        lines.append("Traceback (most recent call last):")
        lines += "".join(traceback.format_tb(error.__traceback__)).rstrip().splitlines()
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    words = str(error) if isinstance(error, _PLAIN_ERRORS) else _WITHHELD
    lines.append(f"{kind}: {words}" if words else kind)
    return lines


def _renderer(form: Format, *, colors: bool) -> "Processor":
    import structlog

    if form == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback
    )


def _is_card(text: str) -> bool:
    """The Luhn check of card numbers (ISO/IEC 7812)."""
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
