"""
A ledger of a million entries beside one of a thousand: holds, and pages of the history.

    python -m benchmarks.ledger_growth [--rounds 5] [--entries 1000000] [--calls 200]
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmarks import fill, measure
from benchmarks.measure import Figure, Page, Row
from benchmarks.shop import ANSWERS, MODEL, Shop
from kiebot import UserId

SMALL = 1_000
PAGE = 10
"""Entries on a page of the history."""

DEEP = 1_000
"""The page that is looked at far down."""

MEASURED = ("hold", "history page")

ABOUT = """
Two databases of each kind, one with {small:,} ledger entries and one with {large:,}, both of people
with {each} entries each (`benchmarks/fill.py`). Measured is the median of {calls} calls, one after
the other: `Kiebot.confirm`, which holds the price of an offer, and `Kiebot.ledger`, which reads the
newest {page} movements of a person drawn by chance.

In the large ones a person more has {hot:,} jobs: page {deep:,} of their history is compared with
page 1. A page is found by the id of the last entry of the page before it, not by counting.
"""


def main() -> None:
    """Measure, and keep it."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=200)
    asyncio.run(_measure(parser.parse_args()))


async def _measure(asked: argparse.Namespace) -> None:
    rows: list[Row] = []
    figures: list[Figure] = []
    for kind, opened in (("PostgreSQL", fill.on_postgres), ("SQLite", fill.on_sqlite)):
        async with opened(SMALL) as small, opened(asked.entries, DEEP * PAGE) as large:
            found = await measure.in_turn_async(
                {
                    **_subjects("small", small, SMALL, asked.calls),
                    **_subjects("large", large, asked.entries, asked.calls),
                    **await _pages(large, asked.calls),
                },
                asked.rounds,
            )
        rows += _rows(kind, asked.entries, found)
        figures += [
            Figure(of=f"{kind}, {name}", unit="ms", rounds=tuple(values))
            for name, values in found.items()
        ]
    about = ABOUT.format(
        small=SMALL,
        large=asked.entries,
        each=fill.ENTRIES_OF_ONE,
        calls=asked.calls,
        page=PAGE,
        hot=DEEP * PAGE,
        deep=DEEP,
    )
    page = Page(
        name="ledger_growth",
        title="A ledger that grows",
        about=about.strip(),
        rows=tuple(rows),
        figures=tuple(figures),
    )
    measure.keep(page, asked.to)


def _rows(kind: str, entries: int, found: Mapping[str, Sequence[float]]) -> list[Row]:
    goals = {"hold": 1.3, "history page": 1.5}
    rows = [
        Row(
            measured=f"{what}, {entries:,} ledger entries, {kind}",
            against=f"itself, {SMALL:,} entries",
            rounds=measure.ratios(found[f"{what}, large"], found[f"{what}, small"]),
            goal=measure.at_most(goals[what]),
        )
        for what in MEASURED
    ]
    deep = Row(
        measured=f"history page {DEEP:,}, {kind}",
        against="page 1 of the same person",
        rounds=measure.ratios(found[f"page {DEEP}"], found["page 1"]),
        goal=measure.at_most(1.5),
    )
    return [*rows, deep]


def _subjects(
    name: str, kiebot: Shop, entries: int, calls: int
) -> dict[str, Callable[[], Awaitable[float]]]:
    people = entries // fill.ENTRIES_OF_ONE

    def somebody() -> UserId:
        return UserId(fill.FIRST + random.randrange(people))

    async def hold() -> float:
        lasted: list[float] = []
        for _ in range(calls):
            person = somebody()
            drafted = await kiebot.kiebot.draft(person, MODEL, ANSWERS)
            with _clock(lasted):
                await kiebot.kiebot.confirm(person, drafted.job.id)
            await kiebot.finish(drafted.job)
        return statistics.median(lasted)

    async def page() -> float:
        return await _read(kiebot, calls, somebody, None)

    return {f"hold, {name}": hold, f"history page, {name}": page}


async def _pages(kiebot: Shop, calls: int) -> dict[str, Callable[[], Awaitable[float]]]:
    """The first page of the person with many entries, and one that is far down."""
    before: int | None = None
    for _ in range(DEEP - 1):
        found = await kiebot.kiebot.ledger(fill.HOT, PAGE, before)
        before = found[-1].id
    last = before

    async def first() -> float:
        return await _read(kiebot, calls, lambda: fill.HOT, None)

    async def deep() -> float:
        return await _read(kiebot, calls, lambda: fill.HOT, last)

    return {"page 1": first, f"page {DEEP}": deep}


async def _read(
    kiebot: Shop, calls: int, person: Callable[[], UserId], before: int | None
) -> float:
    lasted: list[float] = []
    for _ in range(calls):
        with _clock(lasted):
            found = await kiebot.kiebot.ledger(person(), PAGE, before)
        if len(found) != PAGE:
            raise AssertionError(f"{len(found)} entries on a page")
    return statistics.median(lasted)


@contextmanager
def _clock(lasted: list[float]) -> Iterator[None]:
    """Add how many milliseconds the block takes."""
    begun_at = time.perf_counter()
    yield
    lasted.append((time.perf_counter() - begun_at) * 1000)


if __name__ == "__main__":
    main()
