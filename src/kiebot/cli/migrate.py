"""`kiebot migrate`: the schema of the database."""

import asyncio
from typing import TYPE_CHECKING

import click

from kiebot.cli.options import database_options, load_settings

if TYPE_CHECKING:
    from kiebot.config import Settings


@click.command()
@database_options
@click.option("--check", is_flag=True, help="Only say; exit 1 when migrations are missing.")
@click.pass_context
def migrate(ctx: click.Context, database: str | None, *, live: bool, check: bool) -> None:
    """
    Bring the database to the newest schema.

    A file that is not there is made. `kiebot chat` does this by itself.
    """
    settings = load_settings(database, live=live)
    if check:
        missing = asyncio.run(_missing(settings))
        for name in missing:
            click.echo(f"missing: {name}")
        if missing:
            ctx.exit(1)
        click.echo(f"up to date: {settings.database}")
        return
    applied = asyncio.run(_migrate(settings))
    for name in applied:
        click.echo(f"applied: {name}")
    click.echo(f"up to date: {settings.database}")


async def _missing(settings: "Settings") -> list[str]:
    from kiebot.compose import open_storage

    async with open_storage(settings) as storage:
        return list(await storage.missing_migrations())


async def _migrate(settings: "Settings") -> list[str]:
    from kiebot.compose import make_storage

    async with make_storage(settings) as storage:
        return list(await storage.migrate())
