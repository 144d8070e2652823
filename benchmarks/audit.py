"""
`kiebot audit` over a million ledger entries, beside one query that adds them up.

    python -m benchmarks.audit [--rounds 5] [--entries 1000000]
"""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import asyncpg
from attrs import frozen

from benchmarks import fill, measure
from benchmarks.measure import Figure, Page, Row
from benchmarks.shop import Shop

Opened = Callable[[int, int], AbstractAsyncContextManager[Shop]]

SMALL = 1_000

QUERY = (
    "select user_id, sum(case kind when 'hold' then -amount_kop when 'debit' then -amount_kop"
    " when 'charge' then 0 else amount_kop end),"
    " sum(case kind when 'hold' then amount_kop when 'charge' then -amount_kop"
    " when 'release' then -amount_kop else 0 end)"
    " from ledger group by user_id"
)

ABOUT = """
The command as an operator types it, in a process of its own from its start to its end, over
{entries:,} entries of {people:,} people (`benchmarks/fill.py`). The reference is one query over an
open connection that adds up what everybody has by the ledger:

```sql
{query}
```

The audit asks that too, and compares it with the wallets; beyond that it asks of every job whether
its entries fit its status, its price and its person, and of every entry whether something accounts
for it. Memory is the most that the process ever had, beside that over {small:,} entries.
"""

WHY = """
What the reference adds up is one pass over the ledger. The rules need that pass and three more: a
join of every entry with its job, what an entry is accounted for by, and whether a ref stands twice,
which is asked of the entries themselves and not of the index that should forbid it. PostgreSQL
shares the reference and the passes that group by person among its processes, but not one that
groups by job or by ref: there is a group for nearly every row. The start of the command, which is
what it takes over {small:,} entries, is in it, too.
"""


def main() -> None:
    """Measure, and keep it."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    asked = parser.parse_args()
    rows: list[Row] = []
    figures: list[Figure] = []
    for kind, opened in (("PostgreSQL", fill.on_postgres), ("SQLite", fill.on_sqlite)):
        found = asyncio.run(_measure(opened, asked.entries, asked.rounds))
        rows += _rows(kind, asked.entries, found)
        figures += _figures(kind, found)
    about = ABOUT.format(
        entries=asked.entries,
        people=asked.entries // fill.ENTRIES_OF_ONE,
        query=QUERY.replace(" from", "\nfrom").replace(" sum(", "\n  sum("),
        small=SMALL,
    )
    page = Page(
        name="audit",
        title="The audit",
        about=about.strip(),
        rows=tuple(rows),
        figures=tuple(figures),
    )
    measure.keep(page, asked.to)


@frozen
class Took:
    """What a run took: seconds, and MiB at its most (0 where that is not asked)."""

    seconds: float
    peak: float = 0.0


async def _measure(opened: Opened, entries: int, rounds: int) -> dict[str, list[Took]]:
    async with opened(SMALL, 0) as small, opened(entries, 0) as large:
        _audit(small.url, SMALL)  # what is made once, is
        return await measure.in_turn_async(
            {
                "audit": lambda: asyncio.to_thread(_audit, large.url, entries),
                "one query": lambda: _query(large.url),
                "audit, small": lambda: asyncio.to_thread(_audit, small.url, SMALL),
            },
            rounds,
        )


def _rows(kind: str, entries: int, found: Mapping[str, Sequence[Took]]) -> list[Row]:
    def ratios(what: Callable[[Took], float], against: str) -> tuple[float, ...]:
        ours, theirs = found["audit"], found[against]
        return measure.ratios([what(one) for one in ours], [what(one) for one in theirs])

    return [
        Row(
            measured=f"`kiebot audit`, {entries:,} entries, {kind}",
            against="one aggregate query",
            rounds=ratios(lambda took: took.seconds, "one query"),
            goal=measure.at_most(3),
            why=WHY.strip().format(small=SMALL),
        ),
        Row(
            measured=f"its memory, {kind}",
            against=f"itself, {SMALL:,} entries",
            rounds=ratios(lambda took: took.peak, "audit, small"),
            goal=measure.at_most(1.1),
        ),
    ]


def _figures(kind: str, found: Mapping[str, Sequence[Took]]) -> list[Figure]:
    figures = []
    for name, runs in found.items():
        seconds = tuple(took.seconds for took in runs)
        figures.append(Figure(of=f"{kind}, {name}", unit="s", rounds=seconds))
        if all(took.peak for took in runs):
            peaks = tuple(took.peak for took in runs)
            figures.append(Figure(of=f"{kind}, {name}", unit="MiB at its most", rounds=peaks))
    return figures


def _audit(url: str, entries: int) -> Took:
    """Run the command; it must find everything right."""
    command = [sys.executable, "-m", "kiebot", "audit", "--json", "--database", url]
    # With the bytecode of all modules in place, as where it was installed.
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    begun_at = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=compiled) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.read())
        # Besides the end of the process it says what that process alone had taken.
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    lasted = time.perf_counter() - begun_at
    if said["ok"] is not True or said["entries"] < entries:
        raise AssertionError(said)
    return Took(lasted, usage.ru_maxrss / 1024)


async def _query(url: str) -> Took:
    """Ask the one query, and fetch what it found."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        connection = sqlite3.connect(parts.path.removeprefix("/"))
        begun_at = time.perf_counter()
        connection.execute(QUERY).fetchall()
        lasted = time.perf_counter() - begun_at
        connection.close()
        return Took(lasted)
    driver = await asyncpg.connect(url)
    begun_at = time.perf_counter()
    await driver.fetch(QUERY)
    lasted = time.perf_counter() - begun_at
    await driver.close()
    return Took(lasted)


if __name__ == "__main__":
    main()
