"""`kiebot doctor`: is everything there that the settings lead to?"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from kiebot.cli.options import DOTENV, choose_database, database_options, json_option, read_settings
from kiebot.cli.printing import show_json

if TYPE_CHECKING:
    from decimal import Decimal

    from kiebot.compose import Standing
    from kiebot.config import Settings

PATIENCE_S = 10.0
"""A service that has not answered by then is told as not answering."""

WIDTH = len("telegram")
"""Characters of the longest name of a check."""


class Check(NamedTuple):
    """One thing looked at: how it is, or what to do about it. `warns`: right now, but not long."""

    name: str
    ok: bool
    detail: str
    warns: bool = False

    @property
    def mark(self) -> str:
        """What its line begins with."""
        if not self.ok:
            return "✗"
        return "!" if self.warns else "✓"


@click.command()
@database_options
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="kiebot-results",
    show_default=True,
    metavar="DIR",
    help="The folder of results to look at.",
)
@json_option
@click.pass_context
def doctor(
    ctx: click.Context, database: str | None, *, live: bool, output: Path, as_json: bool
) -> None:
    """
    Check the configuration and what it leads to, a line each.

    Nothing is changed, and no secret is printed. Exit 1 when something is wrong; what is marked
    with ! works, but not for long.
    """
    checks = asyncio.run(_examine(database, output, live=live, quiet=as_json))
    if as_json:
        show_json({"ok": all(c.ok for c in checks), "checks": [c._asdict() for c in checks]})
    if not all(check.ok for check in checks):
        ctx.exit(1)


async def _examine(database: str | None, output: Path, *, live: bool, quiet: bool) -> list[Check]:
    """All checks; each is said as soon as it is known, as others wait for an answer."""
    checks = []
    async for check in _checks(database, output, live=live):
        checks.append(check)
        if not quiet:
            click.echo(f"{check.mark} {check.name:<{WIDTH}}  {check.detail}")
    return checks


async def _checks(database: str | None, output: Path, *, live: bool) -> AsyncIterator[Check]:
    from kiebot.compose import configure_logs
    from kiebot.core.errors import ConfigError

    try:
        settings = choose_database(read_settings(), database, live=live)
    except ConfigError as error:
        for problem in error.problems:
            yield Check("settings", ok=False, detail=problem)
        return
    configure_logs(settings, quiet=True)
    yield _settings()
    for check in _misspelt():
        yield check
    yield _catalog(settings)
    for look in (_database, _kie, _telegram):
        for check in await look(settings):
            yield check
    yield _output(output)
    for check in _rest(settings):
        yield check


def _settings() -> Check:
    where = "the environment and .env" if DOTENV.exists() else "the environment"
    return Check("settings", ok=True, detail=f"from {where}")


def _misspelt() -> Iterator[Check]:
    """Names in `.env` that mean nothing, and are nearly one that does."""
    from kiebot.config import misspelt

    for name, meant in misspelt(DOTENV).items():
        detail = f"{DOTENV}: {name} is no setting and means nothing; is {meant} meant?"
        yield Check("settings", ok=True, detail=detail, warns=True)


def _catalog(settings: "Settings") -> Check:
    from kiebot.compose import load_catalog
    from kiebot.core.errors import CatalogError

    try:
        catalog = load_catalog(settings.catalog_path)
    except CatalogError as error:
        return Check("catalog", ok=False, detail=f"{_line(error)}; CATALOG_PATH names the file")
    which = settings.catalog_path or "packaged"
    detail = f"{which}: {len(catalog.models)} models, {len(catalog.on_sale)} on sale"
    if catalog.problems:
        advice = f"{len(catalog.problems)} wrong entries: see `kiebot models check {which}`"
        return Check("catalog", ok=False, detail=f"{detail}, {advice}")
    return Check("catalog", ok=True, detail=detail)


async def _database(settings: "Settings") -> list[Check]:
    from kiebot.compose import bot_of, check_schema, is_there, open_storage, role_of
    from kiebot.core.errors import SchemaBehindError, StorageError

    url = settings.database
    if not is_there(url):
        return [Check("database", ok=True, detail=f"{url}: not there yet, its first use makes it")]
    try:
        async with asyncio.timeout(PATIENCE_S), open_storage(settings) as storage:
            await check_schema(storage)
            await storage.ping()
            role = await role_of(storage)
            bot = await bot_of(storage)
    except SchemaBehindError as error:
        missing = ", ".join(error.missing)
        return [Check("database", ok=False, detail=f"{url}: lacks {missing}: run `kiebot migrate`")]
    except StorageError as error:
        return [Check("database", ok=False, detail=f"{url}: {_line(error)}")]
    except TimeoutError:
        return [Check("database", ok=False, detail=f"{url}: no answer in {PATIENCE_S:.0f} s")]
    ours = (settings.telegram_bot_token or "").partition(":")[0]
    if ours and bot not in {None, ours}:
        detail = f"{url}: is the database of bot {bot}, not of yours: use another one"
        return [Check("database", ok=False, detail=detail)]
    wanted = "demo" if settings.test_mode else "live"
    if role not in {None, wanted} and settings.test_mode:
        # The address alone does not say what is meant; `chat` would refuse it without --live.
        return [Check("database", ok=True, detail=f"{url}: answers, live (`chat` needs --live)")]
    if role not in {None, wanted}:
        detail = f"{url}: is a {role} database, not {wanted}: use another one"
        return [Check("database", ok=False, detail=detail)]
    return [Check("database", ok=True, detail=f"{url}: answers, {role or 'not used yet'}")]


async def _kie(settings: "Settings") -> list[Check]:
    from kiebot.compose import check_kie, generating, reading
    from kiebot.core.errors import ConfigError, KiebotError

    try:
        check_kie(settings)
    except ConfigError as error:
        return [Check("kie.ai", ok=False, detail=problem) for problem in error.problems]
    try:
        async with (
            asyncio.timeout(PATIENCE_S),
            reading(settings) as media,
            generating(settings, media) as kie,
        ):
            credits_left = await kie.credits()
    except (KiebotError, TimeoutError) as error:
        detail = _line(error) or f"no answer in {PATIENCE_S:.0f} s"
        return [Check("kie.ai", ok=False, detail=detail)]
    if not settings.test_mode:
        return [_credits(settings, credits_left)]
    detail = "the stub in its place: no network, no cost"
    if settings.kie_api_token is not None:
        detail += " (KIE_API_TOKEN is for --live)"
    return [Check("kie.ai", ok=True, detail=detail)]


def _credits(settings: "Settings", left: "Decimal") -> Check:
    """Whether what is left at KIE lasts for a while."""
    from kiebot.compose import load_catalog
    from kiebot.core import stock
    from kiebot.core.errors import CatalogError

    try:
        wanted = stock.enough(load_catalog(settings.catalog_path))
    except CatalogError:
        wanted = stock.FEW  # what is wrong with the catalog has its own line
    match stock.judge(left, wanted):
        case "none":
            detail = "answers, no credits left: every job fails until you top up at kie.ai"
            return Check("kie.ai", ok=False, detail=detail)
        case "low":
            detail = f"answers, {left:f} credits left, {wanted:f} would be enough: top up at kie.ai"
            return Check("kie.ai", ok=True, detail=detail, warns=True)
        case "enough":
            return Check("kie.ai", ok=True, detail=f"answers, {left:f} credits left")


async def _telegram(settings: "Settings") -> list[Check]:
    """Whether the bot answers, and whether its updates go where BOT_MODE wants them."""
    from kiebot.compose import look_at_bot
    from kiebot.config import BotMode
    from kiebot.core.errors import ConfigError, KiebotError

    if settings.telegram_bot_token is None:
        return []
    hook: list[Check] = []
    is_webhook = settings.bot_mode is BotMode.WEBHOOK
    if is_webhook and settings.webhook_url is None:
        detail = "WEBHOOK_URL: not set, BOT_MODE=webhook needs it"
        hook = [Check("webhook", ok=False, detail=detail)]
    try:
        bot = await look_at_bot(settings, round(PATIENCE_S))
    except ConfigError as error:
        return [Check("telegram", ok=False, detail=_line(error)), *hook]
    except KiebotError as error:
        detail = f"no answer from TELEGRAM_API_URL: {_line(error)}"
        return [Check("telegram", ok=False, detail=detail), *hook]
    wanted = settings.webhook_url if is_webhook else None
    answers = Check("telegram", ok=True, detail=f"answers, @{bot.username}")
    return [answers, *(hook or [_webhook(bot, wanted)])]


def _webhook(bot: "Standing", wanted: str | None) -> Check:
    """Where Telegram sends updates; `kiebot serve` mends it, so nothing here is a failure."""
    if wanted is None and not bot.webhook:
        return Check("webhook", ok=True, detail="none, as BOT_MODE=polling wants it")
    is_right = wanted is not None and bot.is_at(wanted)
    if is_right and bot.trouble and bot.waiting:
        detail = f"set to {bot.host}, {bot.waiting} waiting, Telegram says: {bot.trouble}"
        return Check("webhook", ok=True, detail=detail, warns=True)
    if is_right:
        return Check("webhook", ok=True, detail=f"set to {bot.host}")
    if wanted is None:
        detail = f"set to {bot.host}, and BOT_MODE is polling: `kiebot serve` removes it"
    elif bot.webhook:
        detail = f"set to {bot.host}, not to WEBHOOK_URL: `kiebot serve` changes it"
    else:
        detail = "none yet: `kiebot serve` sets it"
    return Check("webhook", ok=True, detail=detail, warns=True)


def _output(folder: Path) -> Check:
    """Whether results can be saved; the folder is not made."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return Check("results", ok=False, detail=f"{place} is no folder: choose another --output")
    if not os.access(place, os.W_OK | os.X_OK):
        return Check(
            "results", ok=False, detail=f"{place} cannot be written: choose another --output"
        )
    made = "" if folder.exists() else ", made with the first result"
    return Check("results", ok=True, detail=f"{folder}{made}")


def _rest(settings: "Settings") -> Iterator[Check]:
    """What is no mistake, but good to know."""
    card = "set" if settings.payment_card else "off: PAYMENT_CARD is not set"
    yield Check("top-ups", ok=True, detail=card)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
