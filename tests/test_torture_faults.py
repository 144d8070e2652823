"""The chapters of the torture about faults in one process: a little of each."""

import asyncio
import random
from pathlib import Path

import pytest

from kiebot.core.dialog.en import EN
from tests.fakes import hasty_loop
from tests.fakes.driver_faults import How
from tests.fakes.tale import tell
from tests.torture import clocks, disk, money, shuffled
from tests.torture.watcher import open_database

SEED = 1

CONFIRMS = 9
"""The step of a tale in which the person pays for the first picture."""


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A migrated SQLite file."""
    return _migrated(f"sqlite:///{tmp_path / 'kiebot.db'}")


def _migrated(url: str) -> str:
    async def migrate() -> None:
        async with open_database(url) as storage:
            await storage.migrate()

    asyncio.run(migrate())
    return url


@pytest.mark.parametrize("how", How)
def test_a_call_of_every_step_fails_and_nothing_is_lost(database: str, how: How) -> None:
    for number, fails_at in enumerate((2, 30), 1):
        told = hasty_loop.hasten(tell(database, number, how, fails_at))

        assert told.hits
        assert told.outcome == shuffled.CLEAN, told.hits


def test_calls_fail_on_the_way_to_postgresql_as_well(postgres_dsn: str) -> None:
    database = _migrated(postgres_dsn)

    told = hasty_loop.hasten(tell(database, 1, How.LOST, 12, only=CONFIRMS))

    assert told.hits
    assert told.outcome == shuffled.CLEAN, told.hits


def test_what_is_told_again_and_again_is_done_once(database: str) -> None:
    outcome, copies = hasty_loop.hasten(shuffled.tell_shuffled(database, 1, SEED))

    assert copies > 50
    assert outcome == shuffled.CLEAN


def test_the_clock_jumps_and_everything_ends_once(database: str) -> None:
    told = hasty_loop.hasten(clocks.tell_jumping(database, 1, SEED))

    assert told.jumps > 0
    assert told.jobs == 3


def test_of_two_leaders_only_one_writes_whatever_the_clock_does(database: str) -> None:
    made, changes = asyncio.run(clocks.two_leaders(database, random.Random(SEED), 12))

    assert made > changes > 0


def test_a_disk_that_is_full_for_a_while_costs_nobody_anything(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'small.db'}"
    disk.make_small_pages(url)

    told = hasty_loop.hasten(disk.tell_cramped(_migrated(url), SEED, None))

    assert told.noticed > 0
    assert told.outcome == shuffled.CLEAN


def test_who_is_at_a_terminal_is_told_of_a_full_disk(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'small.db'}"
    disk.make_small_pages(url)

    said = asyncio.run(disk.said_in_the_terminal(_migrated(url), tmp_path))

    assert EN.terminal_failed in said


def test_the_model_of_the_money_is_run_from_a_seed() -> None:
    done = money.run_some("sqlite", None, SEED, 2)

    assert done.problem is None
    assert done.made >= 2
