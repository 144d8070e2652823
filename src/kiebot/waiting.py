"""Waiting for several things of a process at once, and ending what is waited for no longer."""

import asyncio
from collections.abc import Iterable
from typing import Any


async def first(
    events: Iterable[asyncio.Event],
    tasks: Iterable[asyncio.Future[Any]] = (),
    *,
    within_s: float | None = None,
) -> None:
    """Wait until one of the events is set, one of the tasks is done, or the time is over."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait([*waits, *tasks], timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(waits)


async def cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """End them all; how each ended, or had ended, is nobody's business any more."""
    ended = list(tasks)
    for task in ended:
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)
