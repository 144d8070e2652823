"""
What several commands take: which database, and values that are read strictly.

Which database a command uses is one rule: `--database`, else DATABASE_URL, else `kiebot.db` with
`--live` and `demo.db` without, in the platform's user data folder.
"""

import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from kiebot.config import Settings
    from kiebot.core.money import Money

Command = TypeVar("Command", bound=Callable[..., Any])

MINUS = "\N{MINUS SIGN}"

LARGEST_USER_ID = 2**63 - 1

DOTENV = Path(".env")
"""The file of settings, in the folder in which kiebot is started."""


class WithNegatives(click.Command):
    """A command whose arguments may be negative: `-1` is a person, not an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Hide the sign from click; the types below know it."""
        hidden = [re.sub(r"^-(?=[\d.,])", MINUS, arg) for arg in args]
        return super().parse_args(ctx, hidden)


class UserIdType(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5
    """A person's id; negative for people of the terminal."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """As it is written, in ASCII digits."""
        if isinstance(value, int):
            return value
        text = str(value).replace(MINUS, "-")
        if re.fullmatch(r"-?\d{1,19}", text, re.ASCII) and abs(int(text)) <= LARGEST_USER_ID:
            return int(text)
        raise click.BadParameter(
            f"{_quoted(value)} is no user id; give a whole number,"
            " negative for people of the terminal, such as -1",
            ctx,
            param,
        )


class LocalUserIdType(UserIdType):
    """The id of a person of the terminal."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Below zero."""
        user_id = super().convert(value, param, ctx)
        if user_id >= 0:
            self.fail(f"{user_id} is no id of the terminal; those are negative: -1, -2", param, ctx)
        return user_id


class MoneyType(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5
    """Roubles, above zero."""

    name = "roubles"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Money":
        """Read exactly; nothing is rounded."""
        from kiebot.core.acts import LARGEST_CORRECTION
        from kiebot.core.money import Money, parse_roubles

        if isinstance(value, Money):
            return value
        amount = parse_roubles(str(value))
        if amount is None or not Money(1) <= amount <= LARGEST_CORRECTION:
            self.fail(
                f"{_quoted(value)} is no amount; give roubles such as 100, 100,50 or 1 000,"
                f" from 0.01 to {LARGEST_CORRECTION.roubles:f}",
                param,
                ctx,
            )
        return amount


class RateType(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5
    """Roubles per US dollar."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Read exactly; what cannot be meant as a rate is refused."""
        from kiebot.compose import read_rate

        if isinstance(value, Decimal):
            return value
        try:
            return read_rate(str(value))
        except ValueError as error:
            self.fail(f"{_quoted(value)} is no rate; give {error}", param, ctx)


class SinceType(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5
    """From when on: a number of days back from now, or a day, in UTC."""

    name = "since"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """`7` or `2026-11-01`."""
        from kiebot.compose import utc_now

        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        if re.fullmatch(r"\d{1,5}", text, re.ASCII) and int(text) > 0:
            return utc_now() - timedelta(days=int(text))
        try:
            # The pattern, because more than days are ISO 8601: 20261101, 2026-W44-7.
            day = re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII)
            return datetime.fromisoformat(day[0] if day else "").replace(tzinfo=UTC)
        except ValueError:
            self.fail(
                f"{_quoted(value)} is neither a number of days, such as 30, nor a day, such as"
                " 2026-11-01",
                param,
                ctx,
            )


class LineType(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5
    """Some words, kept for ever: what a movement of money is for."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """One line that is not empty."""
        text = str(value).strip()
        if not 1 <= len(text) <= 500 or not text.isprintable():
            self.fail("give a reason in words, one line of at most 500 characters", param, ctx)
        return text


class IdType(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5
    """The id of a top-up or job. Screens may show it in capitals; it is kept in small letters."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's
        """As it is kept."""
        return str(value).strip().lower()


def database_options(command: Command) -> Command:
    """`--database` and `--live`."""
    command = click.option(
        "--live", is_flag=True, help="Without an address: kiebot.db, where live sales are."
    )(command)
    return click.option(
        "--database",
        metavar="URL",
        help="postgresql://… or sqlite:///relative.db, sqlite:////absolute.db. Else DATABASE_URL,"
        " else demo.db in the user data folder.",
    )(command)


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="For programs.")(command)


def read_settings() -> "Settings":
    """
    The settings of the environment and of `.env`.

    Raises:
        ConfigError: Whatever is wrong in them.
    """
    from kiebot.config import Settings

    return Settings.from_env(os.environ, dotenv=DOTENV)


def load_settings(database: str | None, *, live: bool = False, screen: bool = False) -> "Settings":
    """
    The settings of the environment and of `.env`, for this database; logging is set up.

    With `screen` a terminal is kept free of log lines.

    Raises:
        ConfigError: Whatever is wrong in them.
    """
    from kiebot.compose import configure_logs

    settings = choose_database(read_settings(), database, live=live)
    configure_logs(settings, quiet=True, to_file=screen and sys.stderr.isatty())
    return settings


def choose_database(settings: "Settings", database: str | None, *, live: bool) -> "Settings":
    """The settings with the database and the KIE that this command is to use."""
    from attrs import evolve

    from kiebot.config import DatabaseUrl, default_database
    from kiebot.core.errors import ConfigError

    if live and settings.test_mode:
        raise ConfigError(["TEST_MODE: given 1, and --live is its opposite: leave one of them out"])
    if database is not None:
        try:
            url = DatabaseUrl.parse(database)
        except ValueError as error:
            raise click.UsageError(f"--database: {error}") from None
    else:
        url = settings.database_url or default_database("kiebot.db" if live else "demo.db")
    return evolve(settings, database_url=url, test_mode=not live)


def _quoted(value: object) -> str:
    text = str(value).replace(MINUS, "-")
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
