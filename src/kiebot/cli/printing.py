"""
How commands print: tables for people, JSON for programs.

On a terminal a table fits the window; elsewhere its lines are as long as they are, without colours
and without spaces at their ends, so that `grep` and `awk` can read them.
"""

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from decimal import Decimal

    from rich.console import Console
    from rich.table import Table

    from kiebot.core.money import Money

ENDLESS = 10_000
"""Columns where nobody's window limits them."""


def console() -> "Console":
    """Where tables are printed."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, no_color=True, width=ENDLESS, legacy_windows=False)


def table(*columns: str, right: Sequence[str] = (), whole: Sequence[str] = ()) -> "Table":
    """A table without lines; `right` columns are numbers, `whole` ones are what people copy."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column in right or column in whole,
        )
    return made


def show(*things: object) -> None:
    """Print tables and texts; markup in texts is not read."""
    screen = console()
    with screen.capture() as captured:
        for thing in things:
            screen.print(thing, markup=False, soft_wrap=isinstance(thing, str))
    text = captured.get()
    if not sys.stdout.isatty():
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    click.echo(text, nl=False)


def show_json(value: Any) -> None:
    """Print one JSON value."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def roubles(amount: "Money") -> str:
    """An amount as a person reads it: `1 000 ₽`, `12.50 ₽`."""
    whole, part = divmod(amount.kopecks, 100)
    text = f"{whole:,}".replace(",", "\N{NO-BREAK SPACE}")
    return f"{text}.{part:02}\N{NO-BREAK SPACE}₽" if part else f"{text}\N{NO-BREAK SPACE}₽"


def signed_roubles(kopecks: int) -> str:
    """A difference of amounts, which may be below zero: `-12.50 ₽`."""
    from kiebot.core.money import Money

    return ("-" if kopecks < 0 else "") + roubles(Money(abs(kopecks)))


def rub(amount: "Money") -> int | float:
    """An amount in roubles for JSON: the shortest number that is exactly it."""
    return number(amount.roubles)


def number(value: "Decimal") -> int | float:
    """A decimal number for JSON: the shortest number that is exactly it."""
    return int(value) if value == value.to_integral_value() else float(value)


def moment(at: datetime | None) -> str:
    """A moment for people, in UTC."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def iso(at: datetime | None) -> str | None:
    """A moment for programs."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def duration(time: timedelta) -> str:
    """How long, in two units at most: `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    seconds = max(int(time.total_seconds()), 0)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"
