"""When KIE is asked, what follows from its answers, and when it is given up."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import product

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from kiebot.adapters.catalog import load_catalog
from kiebot.core.tasks import (
    AGES,
    MISSING,
    MISSING_FOR,
    SHARE_OF_LIMIT,
    FailReason,
    Failure,
    Outcome,
    Pace,
    Prospects,
    Result,
    Task,
    TaskFailed,
    TaskId,
    TaskPending,
    TaskStatus,
    TaskSucceeded,
    deadline,
    give_up,
    heard,
    hope,
    verdict,
)
from kiebot.core.wallet import JobId
from tests.fakes.values import FAILURE, NOON, RESULT

LATER = NOON + timedelta(seconds=30)
FIVE = Decimal(5)


def task(name: str = "task-1", outcome: Outcome | None = None, **fields: object) -> Task:
    plain = Task(id=TaskId(name), job_id=JobId("job1"), created_at=NOON, updated_at=NOON)
    return evolve(plain, outcome=outcome, **fields)  # type: ignore[arg-type]


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


# What becomes of a task


@pytest.mark.parametrize(
    ("status", "after"),
    [
        (TaskSucceeded(RESULT, FIVE), task("task-1", Outcome.SUCCEEDED, credits=FIVE)),
        (TaskSucceeded(RESULT), task("task-1", Outcome.SUCCEEDED)),
        (TaskFailed(FAILURE, Decimal(0)), task("task-1", Outcome.FAILED, credits=Decimal(0))),
        (TaskFailed(FAILURE), task("task-1", Outcome.FAILED)),
    ],
)
def test_a_task_ends_as_kie_says(status: TaskStatus, after: Task) -> None:
    assert heard(task(), status, LATER) == evolve(after, updated_at=LATER)


@pytest.mark.parametrize("state", ["waiting", "generating", "a word nobody knows", MISSING])
def test_a_task_that_runs_is_as_it_was(state: str) -> None:
    assert heard(task(), TaskPending(state), LATER) == task()


def test_a_task_that_kie_does_not_know_for_long_is_lost() -> None:
    """For long on end: one such answer about an old task says little."""
    since = NOON + timedelta(hours=1)
    almost, over = since + MISSING_FOR - timedelta(microseconds=1), since + MISSING_FOR

    assert heard(task(), TaskPending(MISSING), over) == task()
    assert heard(task(), TaskPending(MISSING), almost, since) == task()
    assert heard(task(), TaskPending(MISSING), over, since) == task(
        "task-1", Outcome.LOST, updated_at=over
    )
    assert heard(task(), TaskPending("waiting"), over, since) == task()


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize(
    "status", [TaskSucceeded(RESULT, FIVE), TaskFailed(FAILURE, FIVE), TaskPending(MISSING)]
)
def test_a_task_ends_once(outcome: Outcome, status: TaskStatus) -> None:
    """Two who ask at once must not both tell administrators, nor book a cost anew."""
    ended = task("task-1", outcome, credits=Decimal(1))

    assert heard(ended, status, NOON + timedelta(days=1)) == ended


@pytest.mark.parametrize("outcome", Outcome)
def test_what_has_ended_is_not_given_up(outcome: Outcome) -> None:
    ended = task("task-1", outcome, credits=FIVE)

    assert give_up(ended, LATER) == ended
    assert give_up(task(), LATER) == task("task-1", Outcome.LOST, updated_at=LATER)


def test_only_what_was_thought_lost_is_hoped_for_again() -> None:
    assert hope(task("task-1", Outcome.LOST), LATER) == task(updated_at=LATER)
    for outcome in (None, Outcome.SUCCEEDED, Outcome.FAILED):
        assert hope(task("task-1", outcome), LATER) == task("task-1", outcome)


# What becomes of a job

FIRST, SECOND = Result(text="first"), Result(text="second")
REFUSED = Failure(reason=FailReason.REFUSED_CONTENT)
TIMED_OUT = Failure(reason=FailReason.TIMED_OUT)


def answers(*given: TaskStatus | None) -> tuple[list[Task], dict[TaskId, TaskStatus]]:
    """Tasks as they are after these answers; None: one that was found lost earlier."""
    tasks = []
    said: dict[TaskId, TaskStatus] = {}
    for number, status in enumerate(given):
        if status is None:
            tasks.append(task(f"task-{number}", Outcome.LOST))
        else:
            tasks.append(heard(task(f"task-{number}"), status, LATER))
            said[TaskId(f"task-{number}")] = status
    return tasks, said


KINDS: dict[str, TaskStatus | None] = {
    "succeeded": TaskSucceeded(FIRST),
    "failed": TaskFailed(REFUSED),
    "pending": TaskPending(),
    "lost": None,
}
TASKS = [kinds for count in range(4) for kinds in product(KINDS, repeat=count)]
BOTH = (False, True)


@pytest.mark.parametrize("is_late", BOTH)
@pytest.mark.parametrize("may_appear", BOTH)
@pytest.mark.parametrize("kinds", TASKS, ids="-".join)
def test_what_becomes_of_a_job(kinds: Sequence[str], may_appear: bool, is_late: bool) -> None:
    """The whole table, said in other words than the rule."""
    tasks, said = answers(*(KINDS[kind] for kind in kinds))
    if "succeeded" in kinds:
        wanted: object = FIRST
    elif may_appear or "pending" in kinds:
        wanted = FailReason.TIMED_OUT if is_late else None
    else:
        wanted = FailReason.REFUSED_CONTENT if "failed" in kinds else FailReason.NO_ANSWER

    found = verdict(tasks, said, Prospects(may_appear=may_appear, is_late=is_late))

    assert (found.reason if isinstance(found, Failure) else found) == wanted


def test_of_two_results_the_first_counts() -> None:
    tasks, said = answers(TaskPending(), TaskSucceeded(FIRST), TaskSucceeded(SECOND))

    assert verdict(tasks, said, Prospects(may_appear=True, is_late=True)) == FIRST


def test_of_two_failures_the_last_is_told() -> None:
    tasks, said = answers(TaskFailed(FAILURE), TaskFailed(REFUSED))

    assert verdict(tasks, said, Prospects(may_appear=False, is_late=False)) == REFUSED


def test_silence_ends_nothing_before_the_deadline() -> None:
    silent = [task()]

    assert verdict(silent, {}, Prospects(may_appear=False, is_late=False)) is None
    assert verdict(silent, {}, Prospects(may_appear=False, is_late=True)) == TIMED_OUT


# The pace under load

counts = st.tuples(*(st.integers(0, 20_000) for _ in range(3)))


def test_what_can_be_had_is_not_stretched() -> None:
    assert Pace().load((0, 0, 0), 10) == 1.0
    assert Pace().load((24, 0, 0), 10) == 1.0
    assert Pace().load((0, 0, 240), 10) == 1.0
    assert Pace().load((24, 0, 240), 10) == 2.0


def test_ten_thousand_long_jobs_are_spread_over_what_is_allowed() -> None:
    load = Pace().load((0, 0, 10_000), 10)

    pause = Pace().pause(timedelta(minutes=30), load)
    assert 10_000 / pause.total_seconds() == pytest.approx(10 * SHARE_OF_LIMIT)


@given(ages=counts, limit=st.integers(1, 100), interval=st.floats(0.01, 60))
def test_a_load_is_never_below_one_and_keeps_to_the_limit(
    ages: tuple[int, ...], limit: int, interval: float
) -> None:
    pace = Pace(interval_s=interval)

    load = pace.load(ages, limit)

    assert load >= 1.0
    looks = sum(
        count / pace.pause(age, load).total_seconds()
        for count, age in zip(ages, (timedelta(0), *AGES), strict=True)
    )
    # A pause is whole microseconds.
    assert looks <= limit * SHARE_OF_LIMIT * 1.001 or load == 1.0


@given(ages=counts, more=counts, limit=st.integers(1, 100))
def test_more_jobs_never_lower_the_load(
    ages: tuple[int, ...], more: tuple[int, ...], limit: int
) -> None:
    both = [one + other for one, other in zip(ages, more, strict=True)]

    assert Pace().load(ages, limit) <= Pace().load(both, limit)
    assert Pace().load(ages, limit + 1) <= Pace().load(ages, limit)


@given(one=st.floats(0, 100_000), other=st.floats(0, 100_000), load=st.floats(1, 100_000))
def test_a_stretch_keeps_the_young_ahead_of_the_old(one: float, other: float, load: float) -> None:
    young, old = sorted((one, other))
    pace = Pace()

    stretched = pace.pause(timedelta(seconds=young), load)

    assert stretched <= pace.pause(timedelta(seconds=old), load)
    assert stretched >= pace.pause(timedelta(seconds=young))


def test_what_nobody_waits_for_is_looked_at_seldom() -> None:
    assert Pace().follow_pause() == timedelta(minutes=5)
    assert Pace(interval_s=0.3).follow_pause() == timedelta(seconds=30)
