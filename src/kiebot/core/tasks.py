"""
Tasks: what is asked of KIE, what it answers, when to ask again, and what follows from it.

A job has one task as a rule. It has several where the answer to createTask was lost and the job
was submitted again: all are kept and asked, and the first result counts.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NewType

from attrs import evolve, field, frozen

from kiebot.core.catalog import Model
from kiebot.core.failures import FailReason as FailReason
from kiebot.core.failures import Failure as Failure
from kiebot.core.params import JsonValue
from kiebot.core.wallet import JobId

TaskId = NewType("TaskId", str)
"""KIE's id of a task: opaque text."""


@frozen(kw_only=True)
class TaskRequest:
    """What KIE is to make: a model of the catalog and its wire values, files by address."""

    job_id: JobId
    model: Model
    params: Mapping[str, JsonValue]
    callback_url: str | None = None


@frozen(kw_only=True)
class Result:
    """
    What a task made: files by address, or a text, or both.

    Raises:
        ValueError: Neither is there.
    """

    urls: tuple[str, ...] = ()
    text: str | None = None

    def __attrs_post_init__(self) -> None:
        if not self.urls and not self.text:
            raise ValueError("a result has a file or a text")


@frozen
class TaskPending:
    """Not finished; `state` is KIE's own word for it."""

    state: str = "waiting"


@frozen
class TaskSucceeded:
    """Done. `credits` is what KIE took (`creditsConsumed`), None where it does not say."""

    result: Result
    credits: Decimal | None = None


@frozen
class TaskFailed:
    """It will never be done."""

    failure: Failure
    credits: Decimal | None = None


TaskStatus = TaskPending | TaskSucceeded | TaskFailed

MISSING = "missing"
"""The state of a TaskPending that KIE does not know; seen for a moment right after a create."""

MISSING_FOR = timedelta(minutes=2)
"""
How long on end KIE may say that it does not know a task that it took, before that is believed: its
front says so of every task while it is in trouble. Source: "recordInfo is null" was seen right
after a create by users of KIE; a minute is the longest they allow.
"""

FOLLOWED_FOR = timedelta(hours=24)
"""
How long a task is asked about after its job has ended, for what it cost. KIE keeps its log for
two months; no model works for a day.
"""


class Outcome(StrEnum):
    """How a task ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"  # nobody knows: KIE has no record of it, or it was asked for long enough


@frozen(kw_only=True)
class Task:
    """
    A task that KIE took for a job. `outcome` is None while it may still end; `credits` is what KIE
    took for it, None where it did not say.
    """

    id: TaskId
    job_id: JobId
    outcome: Outcome | None = None
    credits: Decimal | None = None
    created_at: datetime
    updated_at: datetime


def heard(
    task: Task, status: TaskStatus, at: datetime, missing_since: datetime | None = None
) -> Task:
    """
    The task after KIE's answer about it; one that has ended stays as it ended. `missing_since` is
    when KIE began to say that it does not know it, None where it knew it the last time.
    """
    if task.outcome is not None:
        return task
    match status:
        case TaskSucceeded(credits=credits):
            return evolve(task, outcome=Outcome.SUCCEEDED, credits=credits, updated_at=at)
        case TaskFailed(credits=credits):
            return evolve(task, outcome=Outcome.FAILED, credits=credits, updated_at=at)
        case TaskPending(state=state):
            if state != MISSING or missing_since is None or at - missing_since < MISSING_FOR:
                return task
            return evolve(task, outcome=Outcome.LOST, updated_at=at)


def give_up(task: Task, at: datetime) -> Task:
    """The task is not asked about any more; one that has ended stays as it ended."""
    return evolve(task, outcome=Outcome.LOST, updated_at=at) if task.outcome is None else task


def hope(task: Task, at: datetime) -> Task:
    """The task after a callback named it: one that was thought lost may end after all."""
    return evolve(task, outcome=None, updated_at=at) if task.outcome is Outcome.LOST else task


@frozen(kw_only=True)
class Prospects:
    """
    What may still become of an open job, beside the tasks that are known.

    `may_appear`: a task whose create answer was lost may yet be named by a callback. `is_late`:
    the job's deadline is over.
    """

    may_appear: bool
    is_late: bool


def verdict(
    tasks: Sequence[Task], answers: Mapping[TaskId, TaskStatus], prospects: Prospects
) -> Result | Failure | None:
    """
    What becomes of a running job: the first result that is there, the failure of the last task
    when none can still succeed, or None: look again later. `tasks` are as they are after the
    answers.
    """
    failure = Failure(reason=FailReason.NO_ANSWER, detail="KIE has no record of the task")
    for task in tasks:
        match answers.get(task.id):
            case TaskSucceeded(result=result):
                return result
            case TaskFailed(failure=found):
                failure = found
            case _:
                pass
    # Also when it is late: why a task failed is worth more to a person than that time is over.
    if not prospects.may_appear and all(task.outcome is not None for task in tasks):
        return failure
    return Failure(reason=FailReason.TIMED_OUT) if prospects.is_late else None


AGES = (timedelta(seconds=30), timedelta(minutes=2))
"""The ages of a job at which it is looked at less often. Source: as of `Pace`."""


SHARE_OF_LIMIT = 0.8
"""
How much of KIE's limit on looks is planned with. The rest is for callbacks' looks and for the time
that answers take; were all of it used, jobs would queue and the young ones wait behind the old.
"""


@frozen(kw_only=True)
class Pace:
    """
    How often KIE is asked about a task, by the age of its job.

    `interval_s` is the pause in the first half minute; the later pauses keep their ratio to it
    (3 s : 10 s : 30 s).

    Source: "Polling Best Practices" in KIE's Get Task Details page.
    """

    interval_s: float = field(default=3.0)

    @interval_s.validator
    def _positive(self, _: object, value: float) -> None:
        if not value > 0:
            raise ValueError("a pause is longer than nothing")

    def pause(self, age: timedelta, load: float = 1.0) -> timedelta:
        """
        The pause before the next look at a task whose job has this age.

        `load` stretches it where more looks are wanted than KIE's limit allows (see `load`).
        """
        return timedelta(seconds=self.interval_s * self._steps(age) * load)

    def load(self, ages: Sequence[int], queries_per_s: float) -> float:
        """
        How many times more looks are wanted than are allowed; 1 where all can be had.

        `ages` says how many jobs run that are younger than `AGES[0]`, younger than `AGES[1]`, and
        older. Stretching every pause alike keeps the young jobs ahead of the old: in a plain queue
        a job of seconds would wait behind thousands of long ones.
        """
        wanted = sum(
            count / self.pause(age).total_seconds()
            for count, age in zip(ages, (timedelta(0), *AGES), strict=True)
        )
        return max(1.0, wanted / (queries_per_s * SHARE_OF_LIMIT))

    def follow_pause(self) -> timedelta:
        """The pause between looks at a task whose job has ended, which nobody waits for."""
        return timedelta(seconds=self.interval_s * 100)

    def longest(self, load: float = 1.0) -> timedelta:
        """The longest of all pauses here."""
        return max(self.pause(AGES[-1], load), self.follow_pause())

    def _steps(self, age: timedelta) -> float:
        return 1.0 if age < AGES[0] else 10 / 3 if age < AGES[1] else 10.0

    def retry_pause(self, age: timedelta) -> timedelta:
        """
        The pause before the next attempt to submit what KIE did not take.

        It grows with the age of the job: half of it, at least one full window of KIE's rate limit
        (10 s at the usual interval), at most 5 minutes.

        Source of the window: "20 new generation requests per 10 seconds" in KIE's documentation.
        """
        scale = self.interval_s / 3
        seconds = min(max(age.total_seconds() / 2, 10.0 * scale), 300.0 * scale)
        return timedelta(seconds=seconds)


def deadline(confirmed_at: datetime, job_timeout: timedelta, model: Model | None) -> datetime:
    """When an unfinished job fails: JOB_TIMEOUT after the confirmation, or the model's sooner."""
    if model is not None and model.deadline_s is not None:
        job_timeout = min(job_timeout, timedelta(seconds=model.deadline_s))
    return confirmed_at + job_timeout
