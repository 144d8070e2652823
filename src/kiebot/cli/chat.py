"""`kiebot chat`: the whole product in the terminal."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kiebot.cli.options import LocalUserIdType, database_options, load_settings

if TYPE_CHECKING:
    from kiebot.config import Settings

DEMO_GRANT = "1000"
"""Roubles of toy money for each person of a demo database."""


@click.command()
@database_options
@click.option(
    "--user",
    "user_id",
    type=LocalUserIdType(),
    default=-1,
    show_default=True,
    metavar="ID",
    help="Which person of the terminal: -1, -2, …",
)
@click.option(
    "--lang", type=click.Choice(["ru", "en"]), help="Else your choice, else the locale's."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="kiebot-results",
    show_default=True,
    metavar="DIR",
    help="Where results are saved.",
)
def chat(database: str | None, *, live: bool, user_id: int, lang: str | None, output: Path) -> None:
    """
    Talk to kiebot here, in the terminal.

    With nothing configured it is a demonstration: a stub in place of kie.ai and 1000 ₽ of toy
    money. An answer is an option's number, its label, a command such as /balance, a text, or the
    path or address of a file. From a pipe: one answer a line; the end of the input waits for what
    is being made.
    """
    settings = load_settings(database, live=live, screen=True)
    asyncio.run(_chat(settings, user_id, lang, output))


async def _chat(settings: "Settings", user_id: int, lang: str | None, output: Path) -> None:
    from datetime import UTC, datetime

    from kiebot.compose import compose, terminal
    from kiebot.core.language import Language
    from kiebot.core.money import Money
    from kiebot.core.users import UserId

    person = UserId(user_id)
    frontend = terminal(
        person,
        name=_name(),
        language=None if lang is None else Language(lang),
        output=output,
    )
    async with compose(
        settings,
        frontend=frontend,
        audience=person,
        demo_grant=Money.rub(DEMO_GRANT),
        tz=datetime.now().astimezone().tzinfo or UTC,
    ) as runtime:
        assert runtime.frontend is not None
        async with runtime.working():
            await runtime.frontend.run()


def _name() -> str:
    """How the system calls the person."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
