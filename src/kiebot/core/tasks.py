"""
Tasks: what is asked of KIE, what it answers, and when to ask again.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NewType

from attrs import field, frozen

from kiebot.core.catalog import Model
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


class FailReason(StrEnum):
    """Why a job failed, as a person is told it."""

    REFUSED_CONTENT = "refused_content"  # the model will not make this
    BAD_INPUT = "bad_input"  # KIE does not accept an answer
    UNREADABLE_FILE = "unreadable_file"  # a file of the person's could not be read
    MODEL_FAILED = "model_failed"
    NO_RESULT = "no_result"  # success, but nothing that can be used
    TIMED_OUT = "timed_out"
    NO_ANSWER = "no_answer"  # nobody knows whether KIE took it, and nothing more can be tried
    UNAVAILABLE = "unavailable"  # the operator's account at KIE


@frozen(kw_only=True)
class Failure:
    """
    Why a job failed: `reason` and the parameter concerned are for the person, `detail` for the log.
    """

    reason: FailReason
    param: str | None = None
    detail: str = ""


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

    def pause(self, age: timedelta) -> timedelta:
        """The pause before the next look at a task whose job has this age."""
        seconds = age.total_seconds()
        steps = 1.0 if seconds < 30 else 10 / 3 if seconds < 120 else 10.0
        return timedelta(seconds=self.interval_s * steps)

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
