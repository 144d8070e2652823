"""
Settings: what the environment says, read and checked.

Nothing is connected here and nothing is created. What is wrong is collected and raised once, as
one `ConfigError` with a line for each variable, and no line ever shows a secret.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import attrs
from attrs import Attribute, field, fields, frozen

from kiebot.core.errors import ConfigError
from kiebot.core.money import Money, parse_roubles

T = TypeVar("T")
D = TypeVar("D")


class BotMode(StrEnum):
    """How updates come from Telegram."""

    POLLING = "polling"
    WEBHOOK = "webhook"


class LogLevel(StrEnum):
    """The least serious log line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class LogFormat(StrEnum):
    """How a log line looks."""

    TEXT = "text"
    JSON = "json"


class DatabaseKind(StrEnum):
    """A database kiebot can live in."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


DATABASE_URL_TAKES = (
    "postgresql://user:password@host/database (special characters written as %40),"
    " sqlite:///relative.db or sqlite:////absolute.db"
)


@frozen
class DatabaseUrl:
    """
    Where a database is.

    `str()` is for logs and listings: it never shows a password. `dsn` does.
    """

    kind: DatabaseKind
    _location: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """
        From `postgresql://…`, `postgres://…`, `sqlite:///relative.db` or `sqlite:////absolute.db`.

        A path is taken as it is written (`%20` is no space), but for a leading `~`, which is the
        home folder.

        Raises:
            ValueError: None of these. The message does not repeat the address: it may hold a
                password.
        """
        scheme, _, rest = url.partition("://")
        try:
            match scheme.lower():
                case "sqlite":
                    return cls(DatabaseKind.SQLITE, _sqlite_path(rest))
                case "postgresql" | "postgres":
                    _check_postgres(url)
                    return cls(DatabaseKind.POSTGRES, url)
        except (ValueError, RuntimeError):  # RuntimeError: a `~` without a home
            pass
        # Outside the handler: the first error repeats parts of the address.
        raise ValueError(f"not a database address; takes {DATABASE_URL_TAKES}")

    @classmethod
    def sqlite(cls, path: Path) -> Self:
        """That SQLite file."""
        return cls(DatabaseKind.SQLITE, str(path))

    @property
    def path(self) -> Path:
        """The SQLite file; ValueError where it is PostgreSQL."""
        if self.kind is not DatabaseKind.SQLITE:
            raise ValueError("a PostgreSQL database has no path")
        return Path(self._location)

    @property
    def dsn(self) -> str:
        """The address with its password, for the driver; ValueError where it is SQLite."""
        if self.kind is not DatabaseKind.POSTGRES:
            raise ValueError("an SQLite file has no DSN")
        return self._location

    def __str__(self) -> str:
        if self.kind is DatabaseKind.SQLITE:
            return f"sqlite:///{self._location}"
        parts = urlsplit(self._location)
        login, at, server = parts.netloc.rpartition("@")
        user, colon, password = login.partition(":")
        mask = ":***" if colon and password else ""
        # Passwords may also stand in the query, so only what cannot be one is shown.
        shown = [(key, value) for key, value in parse_qsl(parts.query) if key in _SHOWN_IN_QUERY]
        query = f"?{urlencode(shown, safe='/')}" if shown else ""
        return f"{parts.scheme}://{user}{mask}{at}{server}{parts.path}{query}"


_SHOWN_IN_QUERY = {"host", "port", "sslmode"}


def _sqlite_path(rest: str) -> str:
    """The path in what follows `sqlite://`."""
    host, slash, path = rest.partition("/")
    if host or not slash or not path or path.endswith("/") or set(path) & {"?", "#"}:
        raise ValueError(rest)
    file = Path(path).expanduser()
    # `:memory:` would be gone with the first connection.
    if path.startswith(":") or _is_folder(file):
        raise ValueError(rest)
    return str(file)


def _check_postgres(url: str) -> None:
    """ValueError where the address has parts that cannot be what was meant."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].split(",")
    somewhere = parts.netloc or parts.path.strip("/") or parts.query
    if re.search(r"\s", url) or "#" in url or not somewhere:
        raise ValueError(parts.scheme)
    for host in hosts:
        # A wrong port, or a password whose slash was not escaped.
        _ = urlsplit(f"//{host}").port
    if parts.query:
        parse_qsl(parts.query, strict_parsing=True)
    unquote(parts.path, errors="strict")


def default_database(name: str = "kiebot.db") -> DatabaseUrl:
    """The SQLite file of that name in the platform's user data folder, which may not exist yet."""
    from platformdirs import user_data_path

    return DatabaseUrl.sqlite(user_data_path("kiebot", appauthor=False) / name)


# --- How a variable is read


@frozen(kw_only=True)
class _Kind(Generic[T]):
    """What a variable takes: in words, from text (ValueError), and whether a value is in bounds."""

    takes: str
    parse: Callable[[str], T]
    fits: Callable[[T], bool] = lambda _: True

    def read(self, text: str) -> T:
        value = self.parse(text)
        if not self.fits(value):
            raise ValueError(text)
        return value


@frozen(kw_only=True)
class _Variable:
    """A variable's names (the first one set counts), what it takes, whether it is a secret."""

    names: tuple[str, ...]
    kind: _Kind[Any]
    secret: bool

    def problem(self, name: str, given: str) -> str:
        """The line that says what is wrong; a secret is not repeated."""
        if self.secret:
            return f"{name}: what was given (not shown) is wrong, takes {self.kind.takes}"
        given = re.sub(r"(?<=://)\S*@", "***@", given)
        shown = repr(given) if len(given) <= 60 else f"{given[:60]!r}…"
        return f"{name}: given {shown}, takes {self.kind.takes}"


def _setting(
    kind: _Kind[T], *, default: D, secret: bool = False, also: tuple[str, ...] = ()
) -> T | D:
    """A field of `Settings`; its variable is its name in capitals, or one of `also`."""

    def check(_: object, attribute: "Attribute[Any]", value: Any) -> None:
        variable = _variable(attribute)
        if value is not None and not kind.fits(value):
            raise ConfigError([variable.problem(variable.names[0], str(value))])

    metadata = {"kind": kind, "secret": secret, "also": also}
    made: Any = field(default=default, repr=not secret, validator=check, metadata=metadata)
    return cast("T | D", made)


def _variable(attribute: "Attribute[Any]") -> _Variable:
    metadata = attribute.metadata
    return _Variable(
        names=(attribute.name.upper(), *metadata["also"]),
        kind=metadata["kind"],
        secret=metadata["secret"],
    )


def _text(pattern: str, takes: str) -> _Kind[str]:
    """Text of one line that the pattern describes whole."""
    compiled = re.compile(pattern, re.ASCII)

    def fits(text: str) -> bool:
        return compiled.fullmatch(text) is not None

    return _Kind(takes=takes, parse=str, fits=fits)


def _number(pattern: str, text: str) -> str:
    """The text, if it is written as such a number; Python itself reads `1_0`, `٣` and `nan`."""
    if re.fullmatch(pattern, text, re.ASCII) is None:
        raise ValueError(text)
    return text


def _whole(lowest: int, highest: int) -> _Kind[int]:
    return _Kind(
        takes=f"a whole number from {lowest} to {highest}",
        parse=lambda text: int(_number(r"\d{1,18}", text)),
        fits=lambda value: lowest <= value <= highest,
    )


def _fraction(unit: str, lowest: float, highest: float) -> _Kind[float]:
    return _Kind(
        takes=f"{unit} from {lowest:g} to {highest:.10g}, fractions too",
        parse=lambda text: float(_number(r"\d{1,12}(\.\d{0,12})?|\.\d{1,12}", text)),
        fits=lambda value: lowest <= value <= highest,
    )


def _choice(choices: type[T]) -> _Kind[T]:
    """One of an enumeration's words, in any case."""
    words = [str(choice) for choice in cast("type[StrEnum]", choices)]
    return _Kind(
        takes=" or ".join([", ".join(words[:-1]), words[-1]]),
        parse=lambda text: cast("Callable[[str], T]", choices)(text.lower()),
    )


_TRUTH = {"1": True, "true": True, "yes": True, "on": True}
_TRUTH |= {"0": False, "false": False, "no": False, "off": False}


def _parse_bool(text: str) -> bool:
    value = _TRUTH.get(text.lower())
    if value is None:
        raise ValueError(text)
    return value


def _parse_money(text: str) -> Money:
    money = parse_roubles(text)
    if money is None:
        raise ValueError(text)
    return money


def _parse_ids(text: str) -> tuple[int, ...]:
    """Ids between commas, each kept once, in the order given."""
    ids = (int(_number(r"\d{1,18}", item.strip())) for item in text.split(","))
    return tuple(dict.fromkeys(ids))


def _url(*schemes: str) -> _Kind[str]:
    """The address of a server, without the closing slash."""

    def parse(text: str) -> str:
        return text.rstrip("/")

    def fits(url: str) -> bool:
        try:
            parts = urlsplit(url)
            # Reading a port checks it.
            wrong_port = parts.port == 0
        except ValueError:
            return False
        plain = re.fullmatch(r"[^\s?#@\\]+", url) is not None
        return plain and parts.scheme in schemes and bool(parts.hostname) and not wrong_port

    starts = " or ".join(f"{scheme}://" for scheme in schemes)
    return _Kind(
        takes=f"an address such as {schemes[-1]}://host: {starts}, no user name, no ? or #",
        parse=parse,
        fits=fits,
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


_BOOL = _Kind(takes="1 or 0, true or false, yes or no, on or off", parse=_parse_bool)
_ROUBLES = _Kind(
    takes="roubles from 0.01 to 1000000000 such as 100, 100.50 or 1 000",
    parse=_parse_money,
    fits=lambda money: Money(1) <= money <= Money.rub("1000000000"),
)
_LINE = _text(r"(?s:.{1,200})", "a line of at most 200 characters")
_PRINTABLE_SECRET = _text(r"[!-~]{1,512}", "ASCII characters without spaces, at most 512")
_IDS = _Kind(
    takes="Telegram ids (positive whole numbers) between commas",
    parse=_parse_ids,
    # Telegram: an id has at most 52 significant bits.
    fits=lambda ids: all(0 < id_ < 2**52 for id_ in ids),
)
_MULTIPLIER = _Kind(
    takes="a number above 0, at most 1000, such as 2 or 1.75",
    parse=lambda text: Decimal(_number(r"\d{1,4}(\.\d{1,6})?", text)),
    fits=lambda value: Decimal(0) < value <= 1000,
)
_DATABASE = _Kind(takes=DATABASE_URL_TAKES, parse=DatabaseUrl.parse)
_FILE = _Kind(
    takes="the path of a file that exists",
    parse=lambda text: Path(text).expanduser(),
    fits=_is_file,
)
_BOT_TOKEN = _text(
    r"\d{1,20}:[A-Za-z0-9_-]{1,256}", "a bot token as @BotFather gives it, such as 123456:ABC-DEF"
)
# Telegram, setWebhook: 1 to 256 characters of A-Z, a-z, 0-9, _ and -.
_SECRET_TOKEN = _text(r"[A-Za-z0-9_-]{1,256}", "1 to 256 of the characters A-Z, a-z, 0-9, _ and -")
_HOST = _text(r"[A-Za-z0-9._:-]{1,255}", "a host name or IP address to listen on")


@frozen(kw_only=True)
class Settings:
    """
    Everything that can be set; each field is the variable of its name in capitals.

    Made by hand, a value out of bounds raises `ConfigError` as one from the environment does.
    """

    telegram_bot_token: str | None = _setting(_BOT_TOKEN, default=None, secret=True)
    """The bot's token; `serve` needs it."""

    telegram_api_url: str = _setting(_url("http", "https"), default="https://api.telegram.org")
    """The Bot API server; a local one works too."""

    database_url: DatabaseUrl | None = _setting(_DATABASE, default=None, secret=True)
    """Where the database is, None where that was not said; `database` fills in the default."""

    kie_api_token: str | None = _setting(
        _PRINTABLE_SECRET, default=None, secret=True, also=("KIE_API_KEY",)
    )
    """The key of the operator's kie.ai account, also read from KIE_API_KEY; live KIE needs it."""

    kie_api_url: str = _setting(_url("http", "https"), default="https://api.kie.ai")
    """Where kie.ai's API is."""

    kie_upload_url: str = _setting(_url("http", "https"), default="https://kieai.redpandaai.co")
    """Where input files are uploaded for kie.ai to read."""

    kie_timeout: float = _setting(_fraction("seconds", 0.001, 3600), default=30.0)
    """Seconds for one request to kie.ai."""

    kie_poll_interval: float = _setting(_fraction("seconds", 0.001, 3600), default=3.0)
    """Seconds between looks at a task in its first half minute; the later steps scale with it."""

    job_timeout: float = _setting(_fraction("seconds", 0.001, 2_592_000), default=3600.0)
    """Seconds from the confirmation until an unfinished job fails and its money is released."""

    lease_seconds: float = _setting(_fraction("seconds", 0.1, 3600), default=15.0)
    """How many seconds a silent instance keeps the lead."""

    kie_tasks_per_10s: int = _setting(_whole(1, 100_000), default=20)
    """Tasks that may be created in 10 s: the account's limit at kie.ai."""

    kie_queries_per_s: int = _setting(_whole(1, 100_000), default=10)
    """Looks at tasks in one second: the account's limit at kie.ai."""

    kie_submissions_max: int = _setting(_whole(1, 100), default=2)
    """How often one job may be submitted when the answer is lost; 1: never again."""

    user_jobs_max: int = _setting(_whole(1, 100_000), default=10)
    """Open jobs one person may have."""

    topup_min: Money = _setting(_ROUBLES, default=Money.rub("10"))
    """The smallest top-up."""

    topup_max: Money = _setting(_ROUBLES, default=Money.rub("100000"))
    """The largest top-up."""

    draft_hours: float = _setting(_fraction("hours", 0.0001, 87_600), default=24.0)
    """Hours after its last answer until an unconfirmed draft is cancelled."""

    test_mode: bool = _setting(_BOOL, default=False)
    """The stub in place of kie.ai: no network, no cost, results within a second."""

    bot_mode: BotMode = _setting(_choice(BotMode), default=BotMode.POLLING)
    """How updates come from Telegram."""

    webhook_url: str | None = _setting(_url("https"), default=None)
    """The public base address, which `webhook` needs; also where kie.ai's callbacks go."""

    webhook_secret: str | None = _setting(_SECRET_TOKEN, default=None, secret=True)
    """Telegram's secret token if one was chosen; `telegram_secret` derives one where not."""

    kie_callback_secret: str | None = _setting(_PRINTABLE_SECRET, default=None, secret=True)
    """The key that signs kie.ai's callbacks; without it results are polled for."""

    port: int = _setting(_whole(0, 65535), default=10000)
    """The HTTP server's port; 0 takes any free one."""

    host: str = _setting(_HOST, default="0.0.0.0")
    """The HTTP server's address."""

    payment_card: str | None = _setting(_LINE, default=None)
    """The card people send money to; without one manual top-up is off."""

    payment_bank: str | None = _setting(_LINE, default=None)
    """The card's bank, shown with it."""

    payment_holder: str | None = _setting(_LINE, default=None)
    """The card's holder, shown with it."""

    admin_ids: tuple[int, ...] = _setting(_IDS, default=())
    """Telegram ids of those who review top-ups."""

    price_multiplier: Decimal = _setting(_MULTIPLIER, default=Decimal(2))
    """A person pays KIE's price times this."""

    catalog_path: Path | None = _setting(_FILE, default=None)
    """The operator's own catalog; None is the packaged one."""

    log_level: LogLevel = _setting(_choice(LogLevel), default=LogLevel.INFO)
    """The least serious log line that is written."""

    log_format: LogFormat | None = _setting(_choice(LogFormat), default=None)
    """How log lines look; None is text on a terminal and JSON elsewhere."""

    def __attrs_post_init__(self) -> None:
        problems = _disagreements(self.topup_min, self.topup_max)
        if problems:
            raise ConfigError(problems)

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, dotenv: Path | None = None) -> Self:
        """
        From variables and, where they are silent, from a `.env` file, which need not exist.

        An empty variable is one that is not set. Values in the file are taken as written:
        `${OTHER}` is not replaced.

        Raises:
            ConfigError: Everything that is wrong in the file and in the values, a line each.
        """
        problems: list[str] = []
        file = _read_dotenv(dotenv, problems) if dotenv is not None else {}

        values: dict[str, Any] = {}
        for attribute in fields(cls):
            variable = _variable(attribute)
            found = _find(variable.names, environ, file)
            if found is None:
                continue
            name, text = found
            try:
                values[attribute.name] = variable.kind.read(_one_line(text))
            except (ValueError, RuntimeError):  # RuntimeError: a `~` without a home
                problems.append(variable.problem(name, text))

        defaults = {attribute.name: attribute.default for attribute in fields(cls)}
        known = defaults | values
        problems += _disagreements(known["topup_min"], known["topup_max"])
        if problems:
            raise ConfigError(problems)
        return cls(**values)

    @property
    def database(self) -> DatabaseUrl:
        """Where the database is: as set, else `kiebot.db` in the user data folder."""
        return self.database_url or default_database()

    @property
    def telegram_secret(self) -> str:
        """
        What Telegram sends with each update: `webhook_secret`, else derived from the bot token.

        Derived, it is the same in every instance and after every start.

        Raises:
            ConfigError: Neither is set.
        """
        if self.webhook_secret is not None:
            return self.webhook_secret
        if self.telegram_bot_token is None:
            raise ConfigError([_missing("telegram_bot_token", "the webhook's secret")])
        key = self.telegram_bot_token.encode()
        return hmac.new(key, b"kiebot webhook secret", hashlib.sha256).hexdigest()

    def for_serve(self) -> None:
        """
        Check that all is there that `serve` needs.

        Raises:
            ConfigError: Every variable that is missing, at once.
        """
        problems = []
        if self.telegram_bot_token is None:
            problems.append(_missing("telegram_bot_token", "serve"))
        if not self.test_mode:
            problems += self._missing_for_live()
        if self.bot_mode is BotMode.WEBHOOK and self.webhook_url is None:
            problems.append(_missing("webhook_url", "BOT_MODE=webhook"))
        if problems:
            raise ConfigError(problems)

    def for_live(self) -> None:
        """
        Check that all is there that the real kie.ai needs.

        Raises:
            ConfigError: The key is missing.
        """
        problems = self._missing_for_live()
        if problems:
            raise ConfigError(problems)

    def _missing_for_live(self) -> list[str]:
        return [_missing("kie_api_token", "kie.ai")] if self.kie_api_token is None else []


def _missing(name: str, needed_by: str) -> str:
    variable = _variable(attrs.fields_dict(Settings)[name])
    return (
        f"{' or '.join(variable.names)}: not set, {needed_by} needs it, takes {variable.kind.takes}"
    )


def _disagreements(topup_min: Money, topup_max: Money) -> list[str]:
    """What is wrong with values that are each right."""
    if topup_min <= topup_max:
        return []
    most = f"at most TOPUP_MAX, which is {topup_max.roubles:f}"
    return [f"TOPUP_MIN: given {topup_min.roubles:f}, takes {most}"]


def _find(
    names: tuple[str, ...], environ: Mapping[str, str], file: Mapping[str, str]
) -> tuple[str, str] | None:
    """The first of the names that is set, in the environment before the file, and its value."""
    for source in (environ, file):
        for name in names:
            text = source.get(name, "").strip()
            if text:
                return name, text
    return None


def _one_line(text: str) -> str:
    """The text; ValueError where it holds what no setting can: control or broken characters."""
    if any(not char.isprintable() and not char.isspace() for char in text):
        raise ValueError(text)
    if len(text.splitlines()) > 1:
        raise ValueError(text)
    return text


def _read_dotenv(path: Path, problems: list[str]) -> dict[str, str]:
    """The file's variables; what cannot be read is added to `problems`, without its content."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as exc:
        line = exc.object[: exc.start].count(b"\n") + 1
        problems.append(f"{path}, line {line}: not UTF-8 text")
        return {}
    except IsADirectoryError:
        problems.append(f"{path}: is a folder, takes a file of NAME=value lines")
        return {}
    except OSError as exc:
        problems.append(f"{path}: cannot be read: {exc.strerror}")
        return {}

    if "\0" in text:  # UTF-16 without its mark is valid UTF-8, and all its names are unknown
        line = text[: text.index("\0")].count("\n") + 1
        problems.append(f"{path}, line {line}: not UTF-8 text")
        return {}

    found: dict[str, str] = {}
    for line, name, value in _statements(text):
        if value is None:
            problems.append(f"{path}, line {line}: takes NAME=value, a comment (#) or nothing")
        else:
            found[name] = value
    return found


def _statements(text: str) -> Iterator[tuple[int, str, str | None]]:
    """Each statement's line number, name and value; the value is None where it is broken."""
    from dotenv.parser import parse_stream

    for binding in parse_stream(StringIO(text)):
        if binding.key is None and not binding.error:
            continue  # a comment, or blank lines at the end
        # The parser counts a statement from the blank lines before it.
        statement = binding.original.string
        blank = statement[: len(statement) - len(statement.lstrip())]
        line = binding.original.line + len(re.findall(r"\r\n|\n|\r", blank))
        broken = binding.error or binding.key is None
        yield line, binding.key or "", None if broken else binding.value
