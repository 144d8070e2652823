"""When KIE is asked, and when it is given up."""

from datetime import timedelta

import pytest
from attrs import evolve

from kiebot.adapters.catalog import load_catalog
from kiebot.core.tasks import Pace, Result, deadline
from tests.fakes.values import NOON


@pytest.mark.parametrize(
    ("age", "pause"), [(0, 3), (29.9, 3), (30, 10), (119, 10), (120, 30), (3000, 30)]
)
def test_the_pace_follows_the_age_of_the_job(age: float, pause: float) -> None:
    assert Pace().pause(timedelta(seconds=age)) == timedelta(seconds=pause)


@pytest.mark.parametrize(("age", "pause"), [(0, 0.3), (45, 1), (500, 3)])
def test_the_interval_scales_every_step(age: float, pause: float) -> None:
    assert Pace(interval_s=0.3).pause(timedelta(seconds=age)) == timedelta(seconds=pause)


@pytest.mark.parametrize(("age", "pause"), [(0, 10), (60, 30), (400, 200), (90000, 300)])
def test_attempts_to_submit_grow_apart(age: float, pause: float) -> None:
    assert Pace().retry_pause(timedelta(seconds=age)) == timedelta(seconds=pause)


def test_a_pause_is_longer_than_nothing() -> None:
    with pytest.raises(ValueError, match="longer than nothing"):
        Pace(interval_s=0)


def test_a_models_own_deadline_may_only_be_shorter() -> None:
    model = load_catalog(None).on_sale[0]
    hour = timedelta(hours=1)

    assert deadline(NOON, hour, None) == NOON + hour
    assert deadline(NOON, hour, evolve(model, deadline_s=600)) == NOON + timedelta(minutes=10)
    assert deadline(NOON, hour, evolve(model, deadline_s=9000)) == NOON + hour


def test_a_result_has_a_file_or_a_text() -> None:
    with pytest.raises(ValueError, match="a file or a text"):
        Result()
