"""Waits: nothing is left alone until a clock that was set back is there again."""

from datetime import timedelta

import pytest

from kiebot.core.tasks import AGES, Pace
from kiebot.core.updates import PAUSES, longest_taken
from kiebot.core.waits import CLOCKS_APART, beyond, is_over, is_recent
from tests.fakes.values import NOON

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("until", "is_it"),
    [
        (NOON - SECOND, True),
        (NOON, True),
        (NOON + SECOND, False),
        (NOON + MINUTE + CLOCKS_APART, False),
        (NOON + MINUTE + CLOCKS_APART + SECOND, True),
        (NOON + HOUR, True),
    ],
)
def test_a_wait_is_over_in_time_or_where_nobody_waits_so_long(until: object, is_it: bool) -> None:
    assert is_over(until, NOON, beyond(NOON, MINUTE)) is is_it  # type: ignore[arg-type]


def test_where_no_longest_wait_is_named_the_clock_is_believed() -> None:
    assert not is_over(NOON + HOUR, NOON)


@pytest.mark.parametrize(
    ("ago", "is_it"),
    [
        (timedelta(0), True),
        (MINUTE, True),
        (HOUR, False),
        # Another machine's clock is a little ahead; and one was set back by hours.
        (-SECOND, True),
        (-HOUR, False),
    ],
)
def test_what_lies_ahead_did_not_just_happen(ago: timedelta, is_it: bool) -> None:
    assert is_recent(NOON - ago, NOON, HOUR) is is_it


def test_a_person_is_left_alone_no_longer_than_their_taker_or_a_failure_says() -> None:
    assert longest_taken(HOUR) == HOUR
    assert longest_taken(SECOND) == max(PAUSES)


@pytest.mark.parametrize("load", [1.0, 40.0])
def test_no_pause_of_a_job_is_longer_than_the_longest(load: float) -> None:
    pace = Pace(interval_s=2.0)

    pauses = [pace.pause(age, load) for age in (timedelta(0), *AGES, 9 * HOUR)]
    pauses += [pace.retry_pause(age) for age in (timedelta(0), HOUR, 9 * HOUR)]

    assert max(*pauses, pace.follow_pause()) == pace.longest(load)
