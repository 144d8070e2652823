"""The torture itself: it knows every step that the code can take, and a watcher that sees."""

import asyncio
import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fakes.crash import Diary
from tests.torture import chapters, kills, report
from tests.torture.chapters import Budget, Place, Tally, TooManyProblemsError
from tests.torture.kills import STORIES, Life
from tests.torture.report import Run, Turn
from tests.torture.watcher import open_database, watcher


class Nothing:
    """A chapter that does nothing."""

    name = "nothing"
    does = "Nothing is done."
    checks = "nothing."
    full = "nothing"
    least = ("kill",)
    weight = 1.0
    databases = ("sqlite",)

    async def run(self, place: Place, budget: Budget, rng: random.Random, tally: Tally) -> None:
        """See `Chapter`."""


def test_every_step_that_the_code_can_take_has_its_kill(tmp_path: Path) -> None:
    """A new commit, call of KIE or word to a person needs a story that takes it."""
    for number, story in enumerate(STORIES):
        life = Life(
            folder=tmp_path,
            database=f"sqlite:///{tmp_path / 'kiebot.db'}",
            number=number,
            story=story,
        )
        assert kills.run(life) == 0, "\n".join(Diary(tmp_path).lines("errors"))

    assert set(Diary(tmp_path).lines("steps")) == kills.steps_in_code()


async def test_nobody_waits_for_a_watcher_that_has_ended(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kiebot.db'}"

    async def leave_it() -> None:
        async with watcher() as watching:
            watching.watch(url)
            watching.process.kill()
            await watching.process.wait()
            await watching.leave(url)

    with pytest.raises(RuntimeError, match="the watcher ended"):
        await leave_it()


async def test_the_watcher_sees_what_is_wrong_while_it_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "kiebot.db"
    url = f"sqlite:///{path}"
    async with open_database(url) as storage:
        await storage.migrate()
    async with watcher() as watching:
        watching.watch(url)
        assert (await watching.leave(url)).audits > 0
        assert watching.found == []

        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("pragma foreign_keys = off")
            connection.execute(
                "insert into wallets (user_id, balance_kop, hold_kop) values (1, 500, 0)"
            )
        watching.watch(url)
        await watching.leave(url)

    assert {where for where, _ in watching.found} == {url}
    assert any("a wallet equals the sum of its ledger" in what for _, what in watching.found)


def test_a_part_that_fails_is_a_problem_and_the_fifth_is_the_last() -> None:
    tally = Tally()

    def go_through_ten() -> None:
        for number in range(10):
            with tally.part(f"part {number}"):
                raise AssertionError("money is missing")

    with pytest.raises(TooManyProblemsError):
        go_through_ten()

    assert [found.part for found in tally.problems] == [f"part {n}" for n in range(5)]
    assert "money is missing" in tally.problems[0].what


def test_a_chapter_gets_its_share_of_what_is_left() -> None:
    one, other = Nothing(), Nothing()

    assert chapters.share(one, [other, other], 90.0) == 30.0
    assert chapters.share(other, [], 90.0) == 90.0


def run_of(turn: Turn) -> Run:
    """A run of one chapter."""
    return Run(
        seed=7,
        minutes=30,
        began_at=datetime(2026, 11, 23, tzinfo=UTC),
        seconds=60,
        command=report.command(7, 30, "both"),
        turns=[turn],
        left_out=[],
        was_stopped=False,
        audits={"sqlite": 5},
        entries={"sqlite": 100},
        broken=[],
    )


def test_the_report_says_what_was_found_and_how_to_see_it_again() -> None:
    tally = Tally()
    tally.did("kill", 1000)
    tally.checked("the audit is clean", 999)
    with tally.part("kill 7"):
        raise AssertionError("money is missing")
    run = run_of(Turn(chapter=Nothing(), database="sqlite", seconds=60, end="all", tally=tally))

    said = report.write(run)

    assert not run.is_clean
    assert "1,000 × kill" in said
    assert "nox -s torture -- --minutes 30 --seed 7 --database sqlite --chapter nothing" in said
    assert "in kill 7" in said
    assert "money is missing" in said


@pytest.mark.parametrize(
    ("kills", "left_out", "is_whole", "said"),
    [
        (1, "", True, "| nothing |"),
        (0, "", False, "not one kill in its 60 s"),
        (0, "nobody can be killed here", True, "nobody can be killed here"),
    ],
)
def test_a_chapter_that_did_nothing_has_shown_nothing(
    kills: int, left_out: str, is_whole: bool, said: str
) -> None:
    tally = Tally()
    tally.did("kill", kills)
    tally.checked("the audit is clean")
    if left_out:
        tally.leave_out(left_out)

    run = run_of(Turn(chapter=Nothing(), database="sqlite", seconds=60, end="time", tally=tally))

    assert run.is_clean
    assert run.is_whole is is_whole
    assert said in report.write(run)


async def test_the_budget_is_over_when_somebody_stops_everything() -> None:
    stopping = asyncio.Event()
    budget = Budget(60.0, stopping)
    assert not budget.is_over

    stopping.set()

    assert budget.left_s == 0.0
