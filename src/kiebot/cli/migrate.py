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
@click.option(
    "--grant-to",
    metavar="ROLE",
    help="Then let this role of PostgreSQL serve, and change neither the schema nor the ledger.",
)
@click.pass_context
def migrate(
    ctx: click.Context, database: str | None, *, live: bool, check: bool, grant_to: str | None
) -> None:
    """
    Bring the database to the newest schema.

    A file that is not there is made. `kiebot chat` does this by itself.
    """
    if check and grant_to is not None:
        raise click.UsageError("--check only says; --grant-to changes something")
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
    if grant_to is not None:
        asyncio.run(_grant_to(settings, grant_to))
        click.echo(f"granted: {grant_to} may serve, and change neither the schema nor the ledger")
    click.echo(f"up to date: {settings.database}")


async def _missing(settings: "Settings") -> list[str]:
    from kiebot.compose import open_storage

    async with open_storage(settings) as storage:
        return list(await storage.missing_migrations())


async def _migrate(settings: "Settings") -> list[str]:
    from kiebot.compose import make_storage

    async with make_storage(settings) as storage:
        return list(await storage.migrate())


async def _grant_to(settings: "Settings", role: str) -> None:
    from kiebot.compose import grant_to

    await grant_to(settings, role)
