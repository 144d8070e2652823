"""`kiebot audit`: is the money right?"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from kiebot.cli.options import database_options, json_option, load_settings
from kiebot.cli.printing import show_json

if TYPE_CHECKING:
    from kiebot.config import Settings
    from kiebot.core.audit import Audit

SHOW_AFTER_S = 1.0
"""A shorter audit shows no progress."""


@click.command()
@database_options
@json_option
@click.pass_context
def audit(ctx: click.Context, database: str | None, *, live: bool, as_json: bool) -> None:
    """
    Recompute every wallet and check every rule of money.

    The ledger is what is right. Prints what is wrong, a line each, and ends with exit 1.
    """
    found = asyncio.run(_audit(load_settings(database, live=live)))
    if as_json:
        problems = [{"rule": p.rule, "detail": p.detail} for p in found.problems]
        show_json(
            {
                "ok": found.ok,
                "problems": problems,
                "wallets": found.wallets,
                "entries": found.entries,
                "jobs": found.jobs,
            }
        )
    else:
        for problem in found.problems:
            click.echo(f"{problem.rule}: {problem.detail}")
        verdict = "ok" if found.ok else f"{len(found.problems)} wrong"
        click.echo(
            f"{verdict}: {found.wallets} wallets, {found.entries} entries, {found.jobs} jobs"
        )
    if not found.ok:
        ctx.exit(1)


async def _audit(settings: "Settings") -> "Audit":
    from kiebot.compose import operate

    async with operate(settings) as kiebot:
        with _progress() as advance:
            return await kiebot.audit(advance)


@contextmanager
def _progress() -> Iterator[Callable[[], None]]:
    """What to call for each thing looked at; shown on a terminal, where it takes long."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    bar = Progress(
        SpinnerColumn(),
        TextColumn("looked at {task.completed:,.0f} wallets, jobs and top-ups"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("audit", total=None)
    started_at = time.monotonic()
    count = 0

    def advance() -> None:
        nonlocal count
        count += 1
        # Drawing is slower than looking.
        if count % 256 == 0 and time.monotonic() - started_at > SHOW_AFTER_S:
            bar.start()
            bar.update(task, completed=count)

    try:
        yield advance
    finally:
        bar.stop()
