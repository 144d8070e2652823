"""
Many jobs of one person at once: all of them want the same wallet.

    python -m benchmarks.hot_wallet [--rounds 5] [--seconds 4]
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import measure, postgres, shop
from benchmarks.measure import Figure, Page, Row
from benchmarks.shop import Shop

CONNECTIONS = 10
"""As many as `kiebot serve` has."""

MANY = 32

ABOUT = """
Whole jobs of one person through `Kiebot`, on PostgreSQL with kiebot's {connections} connections:
one after the other, and {many} at once. The hold and the charge of each lock the same wallet, so
no two of them go on at the same time; what is asked is whether waiting for it costs more than it
must. Any error ends the benchmark, and an audit looks at the wallet at its end.
"""


def main() -> None:
    """Measure, and keep it."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    with postgres.running() as server, postgres.database(server) as dsn:
        asyncio.run(_measure(dsn, asked.rounds, asked.seconds, asked.to))


async def _measure(dsn: str, rounds: int, seconds: float, folder: Path) -> None:
    async with shop.on_postgres(dsn, CONNECTIONS) as kiebot:
        await kiebot.fill(1)
        one, many = "1 at once", f"{MANY} at once"
        subjects = {
            one: postgres.tidied(dsn, _subject(kiebot, 1, seconds)),
            many: postgres.tidied(dsn, _subject(kiebot, MANY, seconds)),
        }
        # Once before it counts: nobody measures a shop that has no rows yet.
        await measure.in_turn_async(subjects, 1)
        found = await measure.in_turn_async(subjects, rounds)
        audit = await kiebot.kiebot.audit()
    row = Row(
        measured=f"one hot wallet, {MANY} at once",
        against="itself, 1 at once",
        rounds=measure.ratios(found[many], found[one]),
        goal=measure.at_least(0.9),
        also={"no error, and the audit is content": audit.ok},
    )
    figures = tuple(
        Figure(of=name, unit="jobs a second", rounds=tuple(values))
        for name, values in found.items()
    )
    about = ABOUT.format(connections=CONNECTIONS, many=MANY).strip()
    page = Page(
        name="hot_wallet", title="One hot wallet", about=about, rows=(row,), figures=figures
    )
    measure.keep(page, folder)


def _subject(kiebot: Shop, at_once: int, seconds: float) -> Callable[[], Awaitable[float]]:
    async def work() -> float:
        return await shop.rate(kiebot.job, at_once, seconds, people=1)

    return work


if __name__ == "__main__":
    main()
