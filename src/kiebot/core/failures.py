"""
Failures: why a job failed.
"""

from enum import StrEnum

from attrs import frozen


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
