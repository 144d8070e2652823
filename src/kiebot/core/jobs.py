"""
Jobs: one generation a person asked for.

A draft takes answers until its confirmation was shown; from then on it is an offer and never
changes: whatever changes it makes a new draft and cancels this one (`replace`).
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from attrs import evolve, field, frozen

from kiebot.core.errors import IllegalTransitionError
from kiebot.core.money import Money
from kiebot.core.params import JsonValue
from kiebot.core.tasks import Failure, Result, TaskId
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId


class JobStatus(StrEnum):
    """Where a job is in its machine."""

    DRAFT = "draft"  # priced and shown; no money is moved
    QUEUED = "queued"  # confirmed; its price is held
    RUNNING = "running"  # KIE took it; its price is held
    SUCCEEDED = "succeeded"  # the result is here; the price is charged
    FAILED = "failed"  # no result will come; the price is released
    REFUNDED = "refunded"  # charged once, given back by the operator
    CANCELLED = "cancelled"  # never confirmed


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.DRAFT: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED}),
    JobStatus.SUCCEEDED: frozenset({JobStatus.REFUNDED}),
    JobStatus.FAILED: frozenset(),
    JobStatus.REFUNDED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}
"""Every step there is."""

OPEN = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})
"""The statuses in which work is to be done and the price is held."""


@frozen(kw_only=True)
class Job:
    """
    A generation.

    `params` are the answers so far, as wire values of KIE; a file is the reference that the
    frontend opens. `measures` says how many seconds a file of them lasts, by its reference, where
    that was measured. `price` is None while no row of the price table fits the answers.
    `offered_at` is when the confirmation was shown. `submissions` counts the calls of createTask
    that may have made a task; `kie_task_id` is the task that was known first. `next_check_at` is
    when it is to be worked on again: also after it has ended, while a task of it still runs.
    `replaced_by` is the draft that took this one's place.
    """

    id: JobId
    user_id: UserId
    model_id: str
    params: Mapping[str, JsonValue] = field(factory=dict)
    measures: Mapping[str, Decimal] = field(factory=dict)
    status: JobStatus = JobStatus.DRAFT
    price: Money | None = None
    kie_price: Money | None = None
    offered_at: datetime | None = None
    confirmed_at: datetime | None = None
    submissions: int = 0
    kie_task_id: TaskId | None = None
    next_check_at: datetime | None = None
    result: Result | None = None
    failure: Failure | None = None
    replaced_by: JobId | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether work is still to be done for it."""
        return self.status in OPEN

    def is_as(self, seen: "Job") -> bool:
        """Whether nobody stored anything of this job since it was seen so."""
        return (self.status, self.submissions, self.kie_task_id, self.updated_at) == (
            seen.status,
            seen.submissions,
            seen.kie_task_id,
            seen.updated_at,
        )

    @property
    def is_offer(self) -> bool:
        """Whether it is a draft whose confirmation was shown."""
        return self.status is JobStatus.DRAFT and self.offered_at is not None


def answer(
    job: Job,
    params: Mapping[str, JsonValue],
    *,
    price: Money | None,
    kie_price: Money | None,
    at: datetime,
) -> Job:
    """A draft with other answers; an offer takes none (IllegalTransitionError)."""
    _expect(job, JobStatus.DRAFT)
    if job.offered_at is not None:
        raise IllegalTransitionError("job", "offer", "draft")
    return evolve(job, params=params, price=price, kie_price=kie_price, updated_at=at)


def offer(job: Job, at: datetime) -> Job:
    """The draft becomes an offer: its confirmation is shown, its price is fixed."""
    _expect(job, JobStatus.DRAFT)
    if job.price is None:
        raise IllegalTransitionError("job", "draft without a price", "offer")
    return evolve(job, offered_at=job.offered_at or at, updated_at=at)


def cancel(job: Job, at: datetime, replaced_by: JobId | None = None) -> Job:
    """The draft is dropped, or replaced by another with the same answers."""
    return evolve(_enter(job, JobStatus.CANCELLED, at), replaced_by=replaced_by)


def queue(job: Job, at: datetime) -> Job:
    """The person confirmed the offer."""
    if not job.is_offer:
        raise IllegalTransitionError("job", job.status, JobStatus.QUEUED)
    return evolve(_enter(job, JobStatus.QUEUED, at), confirmed_at=at, next_check_at=at)


def count_submission(job: Job, next_check_at: datetime, at: datetime) -> Job:
    """One more createTask is about to be called; until `next_check_at` nobody else does."""
    _expect(job, JobStatus.QUEUED)
    return evolve(job, submissions=job.submissions + 1, next_check_at=next_check_at, updated_at=at)


def take_submission_back(job: Job, next_check_at: datetime, at: datetime) -> Job:
    """KIE certainly did not take it: the call does not count."""
    _expect(job, JobStatus.QUEUED)
    return evolve(job, submissions=job.submissions - 1, next_check_at=next_check_at, updated_at=at)


def start(job: Job, task_id: TaskId, next_check_at: datetime, at: datetime) -> Job:
    """KIE took it."""
    return evolve(
        _enter(job, JobStatus.RUNNING, at), kie_task_id=task_id, next_check_at=next_check_at
    )


def wait(job: Job, next_check_at: datetime, at: datetime) -> Job:
    """Nothing new; look again later."""
    if not job.is_open:
        raise IllegalTransitionError("job", job.status, "waiting")
    return evolve(job, next_check_at=next_check_at, updated_at=at)


def succeed(job: Job, result: Result, at: datetime, follow_at: datetime | None = None) -> Job:
    """The result is here. `follow_at`: another task of it still runs; ask then what it cost."""
    return evolve(_enter(job, JobStatus.SUCCEEDED, at), result=result, next_check_at=follow_at)


def fail(job: Job, failure: Failure, at: datetime, follow_at: datetime | None = None) -> Job:
    """No result will come. `follow_at` as in `succeed`."""
    return evolve(_enter(job, JobStatus.FAILED, at), failure=failure, next_check_at=follow_at)


def follow(job: Job, follow_at: datetime | None) -> Job:
    """A job that has ended: when to ask again what its tasks cost; None: nothing is left to ask."""
    if job.is_open or job.confirmed_at is None:
        raise IllegalTransitionError("job", job.status, "followed")
    return evolve(job, next_check_at=follow_at)


def refund(job: Job, at: datetime) -> Job:
    """The operator gives the charge back."""
    return _enter(job, JobStatus.REFUNDED, at)


def _enter(job: Job, to: JobStatus, at: datetime) -> Job:
    if to not in TRANSITIONS[job.status]:
        raise IllegalTransitionError("job", job.status, to)
    return evolve(job, status=to, updated_at=at)


def _expect(job: Job, status: JobStatus) -> None:
    if job.status is not status:
        raise IllegalTransitionError("job", job.status, status)
