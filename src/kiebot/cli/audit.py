"""`kiebot audit`: is the money right?"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from kiebot.cli.options import database_options, json_option, load_settings
from kiebot.cli.printing import show_json

if TYPE_CHECKING:
    from rich.console import Console

    from kiebot.config import Settings
    from kiebot.core.audit import Audit, Part

    Advance = Callable[[Part, int], None]

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
    settings = load_settings(database, live=live)
    found = asyncio.run(_audit(settings, quiet=as_json))
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
        counted = (
            (found.wallets, "wallet", "wallets"),
            (found.entries, "entry", "entries"),
            (found.jobs, "job", "jobs"),
        )
        seen = ", ".join(f"{many} {one if many == 1 else more}" for many, one, more in counted)
        click.echo(f"{verdict}: {seen} in {settings.database}")
    if not found.ok:
        ctx.exit(1)


async def _audit(settings: "Settings", *, quiet: bool) -> "Audit":
    from kiebot.compose import operate

    async with operate(settings) as kiebot:
        if quiet or not sys.stderr.isatty():
            return await kiebot.audit()
        from rich.console import Console

        with progress(Console(stderr=True)) as advance:
            return await kiebot.audit(advance)


@contextmanager
def progress(console: "Console", after_s: float = SHOW_AFTER_S) -> "Iterator[Advance]":
    """
    A bar in this terminal, a step for each part of the audit, if it takes longer than `after_s`;
    nothing where the console is no terminal. What to call is in `Kiebot.audit`.
    """
    if not console.is_terminal:
        yield lambda *_: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from kiebot.core.audit import Part

    parts = list(Part)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("looked at {task.fields[seen]:,}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(str(parts[0]), total=len(parts), seen=0)
    shown = asyncio.get_running_loop().call_later(after_s, bar.start)

    def advance(part: "Part", seen: int) -> None:
        # Drawing is slower than looking: what was said is drawn ten times a second.
        bar.update(task, description=str(part), completed=parts.index(part), seen=seen)

    try:
        yield advance
    finally:
        shown.cancel()
        bar.stop()
