"""`kiebot audit`: the bar of a long one."""

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from kiebot.cli.audit import progress
from kiebot.core.audit import Part


async def drawn(*, is_terminal: bool, after_s: float) -> str:
    """What an audit of some parts draws."""
    file = StringIO()
    with progress(Console(file=file, force_terminal=is_terminal, width=100), after_s) as advance:
        for seen, part in enumerate(Part):
            advance(part, seen)
            await asyncio.sleep(0)
    return file.getvalue()


async def test_a_long_audit_shows_a_bar() -> None:
    shown = await drawn(is_terminal=True, after_s=0)

    assert "entries" in shown
    assert "looked at 3" in shown
    assert "━" in shown


@pytest.mark.parametrize(("is_terminal", "after_s"), [(False, 0.0), (True, 60.0)])
async def test_no_bar_where_none_is_wanted(is_terminal: bool, after_s: float) -> None:
    assert await drawn(is_terminal=is_terminal, after_s=after_s) == ""
