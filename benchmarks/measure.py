"""
What every benchmark shares: rounds in which everything takes its turn, and a file that keeps them.

A machine is never as quiet twice, so one figure alone says little. A benchmark measures itself and
what it is compared with in turn, some rounds long, and its row is the median of the ratios of the
rounds, with the lowest and the highest. It writes `docs/performance/<name>.json`, from which
`benchmarks.report` makes `docs/performance.md`:

    asked = measure.arguments(__doc__).parse_args()
    found = measure.in_turn({"kiebot": kiebot, "pgbench": pgbench}, asked.rounds)
    row = measure.Row(measured="a job", against="pgbench",
                      rounds=measure.ratios(found["kiebot"], found["pgbench"]),
                      goal=measure.at_least(0.5))
    measure.keep(measure.Page(name="job", title="A job", about="...", rows=(row,)), asked.to)
"""

import argparse
import os
import platform
import shlex
import sqlite3
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from attrs import evolve, frozen
from cattrs.preconf.json import make_converter

from benchmarks import postgres

T = TypeVar("T")

FOLDER = Path(__file__).parents[1] / "docs" / "performance"
"""Where what was measured is kept."""

ROUNDS = 5
"""How often everything takes its turn; fewer are no measurement."""

PACKAGES = ("asyncpg", "aiosqlite", "aiogram")
"""Packages whose versions are kept, with those that a benchmark names."""

_STARTED = time.monotonic()
_LOAD = os.getloadavg()[0]
_JSON = make_converter()


class Sense(StrEnum):
    """On which side of a number a goal lies."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@frozen(kw_only=True)
class Goal:
    """What is to be reached."""

    sense: Sense
    number: float


def at_least(number: float) -> Goal:
    """A goal for what is to be large."""
    return Goal(sense=Sense.AT_LEAST, number=number)


def at_most(number: float) -> Goal:
    """A goal for what is to be small."""
    return Goal(sense=Sense.AT_MOST, number=number)


@frozen(kw_only=True)
class Row:
    """
    A row of the table: what was measured against what, once a round; `goal` is None where it is
    only to be written down.

    `unit` is × for a ratio. `why` says what stands in the way; it is shown where the goal is
    missed. `also` are conditions besides the number ("no error"), each with whether it held.
    """

    measured: str
    against: str
    rounds: tuple[float, ...]
    goal: Goal | None = None
    unit: str = "×"
    why: str = ""
    also: Mapping[str, bool] = {}

    @property
    def median(self) -> float:
        """The middle of the rounds: the number of the row."""
        return statistics.median(self.rounds)

    @property
    def is_reached(self) -> bool:
        """Whether the number is on the right side of the goal, and all conditions held."""
        if not all(self.also.values()):
            return False
        match self.goal:
            case None:
                return True
            case Goal(sense=Sense.AT_LEAST, number=number):
                return self.median >= number
            case Goal(number=number):
                return self.median <= number


@frozen(kw_only=True)
class Figure:
    """What the rows were made of, for those who want to know: a figure a round."""

    of: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.rounds)


@frozen(kw_only=True)
class Plot:
    """A curve or more: points (x, y) by what they are of. `log` makes the x axis logarithmic."""

    name: str
    title: str
    x: str
    y: str
    curves: Mapping[str, tuple[tuple[float, float], ...]]
    log: bool = False


@frozen(kw_only=True)
class Run:
    """When, where and with what it was measured; `load` is the machine's, before it began."""

    at: datetime
    command: str
    took_s: float
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    load: float


@frozen(kw_only=True)
class Page:
    """
    A benchmark: its rows, and what is said of them.

    `about` says what was done, in Markdown. `pictures` are files in the same folder, by what they
    show (a flame graph). `packages` are those whose versions matter, besides `PACKAGES`. `run` is
    filled in by `keep`.
    """

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    figures: tuple[Figure, ...] = ()
    plots: tuple[Plot, ...] = ()
    pictures: Mapping[str, str] = {}
    packages: tuple[str, ...] = ()
    run: Run | None = None


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The options of every benchmark; `doc` is its module's, and its first line the description."""
    lines = (doc or "").strip().splitlines()
    parser = argparse.ArgumentParser(description=lines[0] if lines else None)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--to", type=Path, default=FOLDER, help="the folder that keeps the figures")
    return parser


def in_turn(subjects: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each came to, a value a round; who is first in a round changes with the rounds."""
    found: dict[str, list[T]] = {name: [] for name in subjects}
    for number in range(rounds):
        for name in _turned(subjects, number):
            value = subjects[name]()
            found[name].append(value)
            _say(number, name, value)
    return found


async def in_turn_async(
    subjects: Mapping[str, Callable[[], Awaitable[T]]], rounds: int
) -> dict[str, list[T]]:
    """As `in_turn`, in one event loop."""
    found: dict[str, list[T]] = {name: [] for name in subjects}
    for number in range(rounds):
        for name in _turned(subjects, number):
            value = await subjects[name]()
            found[name].append(value)
            _say(number, name, value)
    return found


def ratios(measured: Sequence[float], against: Sequence[float]) -> tuple[float, ...]:
    """One to the other, round by round."""
    return tuple(one / other for one, other in zip(measured, against, strict=True))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies, 0.99 for p99; of one value or more."""
    if not values:
        raise ValueError("a quantile of nothing")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def keep(page: Page, folder: Path = FOLDER) -> Path:
    """Add when and where it was measured, write the page's file, and print its rows."""
    run = Run(
        at=datetime.now(UTC).replace(microsecond=0),
        command=_command(),
        took_s=round(time.monotonic() - _STARTED, 1),
        machine=machine(),
        versions=versions(page.packages),
        load=round(_LOAD, 2),
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{page.name}.json"
    kept = _JSON.dumps(evolve(page, run=run), indent=1, ensure_ascii=False)
    path.write_text(kept + "\n", encoding="utf-8")
    for row in page.rows:
        print(f"{row.measured}, against {row.against}: {said(row)}")
    return path


def load(path: Path) -> Page:
    """A page that was kept."""
    return _JSON.loads(path.read_text(encoding="utf-8"), Page)


def said(row: Row) -> str:
    """The number of a row in words: with its goal, and the lowest and highest of the rounds."""
    goal = "no goal" if row.goal is None else goal_said(row)
    reached = "reached" if row.is_reached else "missed"
    spread = f"{number(min(row.rounds))} to {number(max(row.rounds))}"
    return f"{number(row.median)} {row.unit} ({spread}); {goal}, {reached}"


def goal_said(row: Row) -> str:
    """The goal of a row in words."""
    parts = [] if row.goal is None else [f"{row.goal.sense} {row.goal.number:g} {row.unit}"]
    return ", ".join((*parts, *row.also))


def number(value: float) -> str:
    """With three digits that count, or all those before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def machine() -> Mapping[str, str]:
    """What this runs on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.1f} GiB",
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(packages: Sequence[str] = ()) -> Mapping[str, str]:
    """Of what takes part, by name."""
    return {
        "Python": platform.python_version(),
        "PostgreSQL": postgres.version(),
        "SQLite": sqlite3.sqlite_version,
        **{name: metadata.version(name) for name in (*PACKAGES, *packages)},
    }


def _turned(subjects: Mapping[str, T], number: int) -> list[str]:
    names = list(subjects)
    first = number % len(names)
    return [*names[first:], *names[:first]]


def _say(round_number: int, name: str, value: object) -> None:
    text = number(value) if isinstance(value, float) else ""
    print(f"round {round_number + 1}: {name} {text}".rstrip(), file=sys.stderr, flush=True)


def _command() -> str:
    """How this process was started, as one would type it again."""
    spec = sys.modules["__main__"].__spec__
    module = sys.argv[0] if spec is None else spec.name
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
