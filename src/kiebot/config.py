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


_ALIKE = 0.85
"""How much of two names must be the same, as `difflib` counts. Our choice: a slip or two."""

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
class Variable:
    """
    One variable of the environment, and what a person has to know of it.

    `also` are other names, which count where this one is not set; `default` is written as the
    variable would be, None where there is none; `section` is the heading that it stands under.
    """

    name: str
    also: tuple[str, ...]
    section: str
    meaning: str
    takes: str
    default: str | None
    is_secret: bool

    @property
    def names(self) -> tuple[str, ...]:
        """All its names; the first one that is set counts."""
        return (self.name, *self.also)

    def problem(self, name: str, given: str) -> str:
        """The line that says what is wrong; a secret is not repeated."""
        if self.is_secret:
            return f"{name}: what was given (not shown) is wrong, takes {self.takes}"
        given = re.sub(r"(?<=://)\S*@", "***@", given)
        shown = repr(given) if len(given) <= 60 else f"{given[:60]!r}…"
        return f"{name}: given {shown}, takes {self.takes}"


def _setting(
    section: str,
    kind: _Kind[T],
    meaning: str,
    *,
    default: D,
    secret: bool = False,
    also: tuple[str, ...] = (),
) -> T | D:
    """A field of `Settings`; its variable is its name in capitals, or one of `also`."""

    def check(_: object, attribute: "Attribute[Any]", value: Any) -> None:
        if value is not None and not kind.fits(value):
            variable = _variable(attribute)
            raise ConfigError([variable.problem(variable.name, str(value))])

    metadata = {
        "section": section,
        "kind": kind,
        "meaning": meaning,
        "secret": secret,
        "also": also,
    }
    made: Any = field(default=default, repr=not secret, validator=check, metadata=metadata)
    return cast("T | D", made)


def _variable(attribute: "Attribute[Any]") -> Variable:
    metadata = attribute.metadata
    return Variable(
        name=attribute.name.upper(),
        also=metadata["also"],
        section=metadata["section"],
        meaning=metadata["meaning"],
        takes=metadata["kind"].takes,
        default=_written(attribute.default),
        is_secret=metadata["secret"],
    )


def _written(default: object) -> str | None:
    """A default as it would be written into the environment."""
    match default:
        case None | ():
            return None
        case bool():
            return str(int(default))
        case Money():
            return f"{default.roubles:f}"
        case float():
            return f"{default:.15g}"
        case _:
            return str(default)


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


# The headings that settings stand under.
_TELEGRAM = "Telegram"
_STORED = "Database"
_KIE_AI = "kie.ai"
_PEOPLE = "People and their jobs"
_RUNNING = "How it runs"
_TOPUPS = "Top-ups by hand"
_PRICES = "Prices"
_LOG = "Log"


@frozen(kw_only=True)
class Settings:
    """
    Everything that can be set; each field is the variable of its name in capitals.

    Made by hand, a value out of bounds raises `ConfigError` as one from the environment does.
    """

    telegram_bot_token: str | None = _setting(
        _TELEGRAM,
        _BOT_TOKEN,
        "The bot's token from @BotFather. `kiebot serve` needs it.",
        default=None,
        secret=True,
    )

    telegram_api_url: str = _setting(
        _TELEGRAM,
        _url("http", "https"),
        "The Bot API server; a local one works too.",
        default="https://api.telegram.org",
    )

    database_url: DatabaseUrl | None = _setting(
        _STORED,
        _DATABASE,
        "Where the database is. Not set: the SQLite file kiebot.db in the user data folder.",
        default=None,
        secret=True,
    )

    kie_api_token: str | None = _setting(
        _KIE_AI,
        _PRINTABLE_SECRET,
        "The key of your kie.ai account. Whatever really generates needs it.",
        default=None,
        secret=True,
        also=("KIE_API_KEY",),
    )

    kie_api_url: str = _setting(
        _KIE_AI,
        _url("http", "https"),
        "kie.ai's API.",
        default="https://api.kie.ai",
    )

    kie_upload_url: str = _setting(
        _KIE_AI,
        _url("http", "https"),
        "Where input files are uploaded for kie.ai to read.",
        default="https://kieai.redpandaai.co",
    )

    kie_timeout: float = _setting(
        _KIE_AI,
        _fraction("seconds", 0.001, 3600),
        "Seconds for one request to kie.ai.",
        default=30.0,
    )

    kie_poll_interval: float = _setting(
        _KIE_AI,
        _fraction("seconds", 0.001, 3600),
        "Seconds between looks at a task in its first half minute; later steps scale with it.",
        default=3.0,
    )

    job_timeout: float = _setting(
        _KIE_AI,
        _fraction("seconds", 0.001, 2_592_000),
        "Seconds from the confirmation until an unfinished job fails and its money is released.",
        default=3600.0,
    )

    lease_seconds: float = _setting(
        _KIE_AI,
        _fraction("seconds", 0.1, 3600),
        "Of several instances one leads: seconds it may be silent until another takes over.",
        default=15.0,
    )

    kie_tasks_per_10s: int = _setting(
        _KIE_AI,
        _whole(1, 100_000),
        "Tasks that may be made in 10 s: your account's limit at kie.ai.",
        default=20,
    )

    kie_queries_per_s: int = _setting(
        _KIE_AI,
        _whole(1, 100_000),
        "Looks at tasks in one second: your account's limit at kie.ai.",
        default=10,
    )

    kie_submissions_max: int = _setting(
        _KIE_AI,
        _whole(1, 100),
        "How often one job may be submitted when kie.ai's answer is lost; 1: never again.",
        default=2,
    )

    user_jobs_max: int = _setting(
        _PEOPLE,
        _whole(1, 100_000),
        "Open jobs one person may have.",
        default=10,
    )

    topup_min: Money = _setting(
        _PEOPLE,
        _ROUBLES,
        "The smallest top-up, in roubles.",
        default=Money.rub("10"),
    )

    topup_max: Money = _setting(
        _PEOPLE,
        _ROUBLES,
        "The largest top-up, in roubles.",
        default=Money.rub("100000"),
    )

    draft_hours: float = _setting(
        _PEOPLE,
        _fraction("hours", 0.0001, 87_600),
        "Hours after its last answer until an unconfirmed draft is cancelled.",
        default=24.0,
    )

    test_mode: bool = _setting(
        _RUNNING,
        _BOOL,
        "1: a stub in place of kie.ai: no network, no cost, results within a second.",
        default=False,
    )

    bot_mode: BotMode = _setting(
        _RUNNING,
        _choice(BotMode),
        "How updates come from Telegram: `kiebot serve` asks, or Telegram calls WEBHOOK_URL.",
        default=BotMode.POLLING,
    )

    webhook_url: str | None = _setting(
        _RUNNING,
        _url("https"),
        "The public base address. BOT_MODE=webhook needs it; kie.ai's callbacks come here too.",
        default=None,
    )

    webhook_secret: str | None = _setting(
        _RUNNING,
        _SECRET_TOKEN,
        "Telegram's secret token. Not set: derived from the bot token.",
        default=None,
        secret=True,
    )

    kie_callback_secret: str | None = _setting(
        _RUNNING,
        _PRINTABLE_SECRET,
        "The key that signs kie.ai's callbacks. Not set: results are polled for.",
        default=None,
        secret=True,
    )

    port: int = _setting(
        _RUNNING,
        _whole(0, 65535),
        "The HTTP server's port; 0 takes any free one.",
        default=10000,
    )

    host: str = _setting(
        _RUNNING,
        _HOST,
        "The HTTP server's address.",
        default="0.0.0.0",
    )

    payment_card: str | None = _setting(
        _TOPUPS,
        _LINE,
        "The card people send money to. Not set: manual top-up is off.",
        default=None,
    )

    payment_bank: str | None = _setting(
        _TOPUPS,
        _LINE,
        "The card's bank, shown with it.",
        default=None,
    )

    payment_holder: str | None = _setting(
        _TOPUPS,
        _LINE,
        "The card's holder, shown with it.",
        default=None,
    )

    admin_ids: tuple[int, ...] = _setting(
        _TOPUPS,
        _IDS,
        "Telegram ids of those who review top-ups and use /admin.",
        default=(),
    )

    support_contact: str | None = _setting(
        _TOPUPS,
        _LINE,
        "Whom people in need of help write to, shown in /paysupport. Not set: nobody is named.",
        default=None,
    )

    price_multiplier: Decimal = _setting(
        _PRICES,
        _MULTIPLIER,
        "A person pays KIE's price times this.",
        default=Decimal(2),
    )

    catalog_path: Path | None = _setting(
        _PRICES,
        _FILE,
        "A catalog file of your own. Not set: the packaged one.",
        default=None,
    )

    log_level: LogLevel = _setting(
        _LOG,
        _choice(LogLevel),
        "The least serious log line that is written.",
        default=LogLevel.INFO,
    )

    log_format: LogFormat | None = _setting(
        _LOG,
        _choice(LogFormat),
        "How log lines look. Not set: text on a terminal, json elsewhere.",
        default=None,
    )

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
                values[attribute.name] = attribute.metadata["kind"].read(_one_line(text))
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


def variables() -> tuple[Variable, ...]:
    """Every variable there is, each section in one piece."""
    return tuple(_variable(attribute) for attribute in fields(Settings))


def misspelt(dotenv: Path) -> Mapping[str, str]:
    """
    Names in a `.env` file that are no settings and look like one, with the one that may be meant.

    What looks like none is somebody else's, such as compose's. A file that cannot be read has none.
    """
    from difflib import get_close_matches

    known = [name for variable in variables() for name in variable.names]
    found = {}
    for name in _read_dotenv(dotenv, []):
        alike = [] if name in known else get_close_matches(name.upper(), known, 1, _ALIKE)
        if alike:
            found[name] = alike[0]
    return found


def _missing(name: str, needed_by: str) -> str:
    variable = _variable(attrs.fields_dict(Settings)[name])
    return f"{' or '.join(variable.names)}: not set, {needed_by} needs it, takes {variable.takes}"


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
