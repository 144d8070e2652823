"""
What a chapter of the torture is, and what it is given.

    class Kills:
        name = "kills-at-steps"
        does = "A process is killed at a step that it names itself."
        checks = "The next one finishes everything; the audit is clean."
        least = ("kill",)
        weight = 300.0
        databases = ("sqlite", "postgres")

        async def run(self, place: Place, budget: Budget, rng: Random, tally: Tally) -> None:
            while tally.done["kill"] < 1000 and not budget.is_over:
                with tally.part(f"kill {number}"):
                    async with place.fresh() as url:    # empty, and watched by a second process
                        ...
                    tally.did("kill")
                    tally.checked("audit of the end")

    CHAPTERS: tuple[Chapter, ...] = (Kills(),)

Every module of this folder that has `CHAPTERS` takes part.
"""

import asyncio
import pkgutil
import random
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Protocol

from attrs import define, field, frozen

from kiebot.ports.storage import Storage

DATABASES = ("sqlite", "postgres")

MOST_PROBLEMS = 5
"""A chapter that found so many ends: the next would be the same again."""

GRACE_S = 180.0
"""How long a chapter may take to end after its budget; then it is ended, which is a problem."""


class Place(Protocol):
    """Where a chapter's databases are. Every one of them is audited all the time by the watcher."""

    @property
    def database(self) -> str:
        """Which kind: one of `DATABASES`."""

    @property
    def folder(self) -> Path:
        """A folder of the chapter's own."""

    def fresh(self, *, migrated: bool = True) -> AbstractAsyncContextManager[str]:
        """The DATABASE_URL of a new one without anything in it, for as long as the block lasts."""

    def watched(self, url: str) -> AbstractAsyncContextManager[None]:
        """Have the watcher look at a database that the chapter made itself, in another server."""

    def open(self, url: str) -> AbstractAsyncContextManager[Storage]:
        """A way into one, as a process of its own would have it."""

    async def audited(self, url: str) -> None:
        """Audit once more, here and now; AssertionError names what is wrong."""


@define
class Budget:
    """How long a chapter may go on: until its time is up, or somebody stops everything."""

    seconds: float
    stopping: asyncio.Event
    _until: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._until = time.monotonic() + self.seconds

    @property
    def left_s(self) -> float:
        """Seconds left, none where it is over."""
        return 0.0 if self.stopping.is_set() else max(0.0, self._until - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether nothing more is begun."""
        return self.left_s == 0.0


_PART: ContextVar[str] = ContextVar("part of a chapter", default="")
"""Each task of a chapter may be in a part of its own."""


@frozen
class Found:
    """A rule that did not hold: in which part, and what was seen."""

    part: str
    what: str


@define
class Tally:
    """What a chapter did and checked, how often, and what it found."""

    done: Counter[str] = field(factory=Counter)
    checks: Counter[str] = field(factory=Counter)
    notes: dict[str, str] = field(factory=dict)
    problems: list[Found] = field(factory=list)
    left_out: str = ""

    def did(self, what: str, times: int = 1) -> None:
        """Something was done; `what` is a noun, "kill"."""
        self.done[what] += times

    def checked(self, what: str, times: int = 1) -> None:
        """A rule was seen to hold; `what` is a clause, "every acknowledged operation is there"."""
        self.checks[what] += times

    def note(self, what: str, value: str) -> None:
        """A figure worth reading, "longest time until served again": "1.2 s"."""
        self.notes[what] = value

    def leave_out(self, why: str) -> None:
        """It cannot be done on this machine; `why` is a clause."""
        self.left_out = why

    def problem(self, what: str) -> None:
        """A rule did not hold."""
        self.problems.append(Found(_PART.get(), what))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """
        One part of the chapter, by which it can be found again: what is raised in it is a problem,
        and the chapter goes on with the next.

        Raises:
            TooManyProblemsError: The chapter has found enough.
        """
        before = _PART.set(name)
        try:
            yield
        except Exception as error:
            self.problem("".join(traceback.format_exception(error)))
        finally:
            _PART.reset(before)
        if len(self.problems) >= MOST_PROBLEMS:
            raise TooManyProblemsError(len(self.problems))


class TooManyProblemsError(Exception):
    """A chapter ends early: it has found enough."""


class Chapter(Protocol):
    """
    One way to hurt a kiebot.

    `does` and `checks` are sentences of the report, and `full` says what a whole run does: "1,000
    kills". `least` names what must have been done once (`Tally.done`): a chapter of which that was
    not has shown nothing, whatever it did not find. `weight` is its share of the minutes beside the
    others': the seconds that `full` takes on two cores, or what half an hour has for it where that
    is less. `databases` are those of `DATABASES` that it is run on.
    """

    @property
    def name(self) -> str:
        """As `--chapter` names it: `kills-at-steps`."""

    @property
    def does(self) -> str: ...

    @property
    def checks(self) -> str: ...

    @property
    def full(self) -> str: ...

    @property
    def least(self) -> Sequence[str]: ...

    @property
    def weight(self) -> float: ...

    @property
    def databases(self) -> Sequence[str]: ...

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """
        Go on until the budget is over or the full count is reached.

        Everything random comes of `rng`. What is raised is a problem, and ends the chapter.
        """


def known(package: str = "tests.torture") -> Sequence[Chapter]:
    """The chapters of all modules of the folder, by the modules' names."""
    found: list[Chapter] = []
    for module in sorted(pkgutil.iter_modules(import_module(package).__path__), key=_name):
        if not module.name.startswith("__"):
            found += getattr(import_module(f"{package}.{module.name}"), "CHAPTERS", ())
    return found


def share(chapter: Chapter, after: Sequence[Chapter], seconds: float) -> float:
    """The seconds of those left that a chapter gets: by weight, beside those that come after it."""
    return seconds * chapter.weight / (chapter.weight + sum(other.weight for other in after))


def _name(module: pkgutil.ModuleInfo) -> str:
    return module.name
