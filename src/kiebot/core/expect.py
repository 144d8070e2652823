"""
What a person's next typed answer is for: the whole dialog state of a person.
"""

from enum import StrEnum

from attrs import frozen

from kiebot.core.topups import TopUpId
from kiebot.core.wallet import JobId


class AnswerForm(StrEnum):
    """How a question of a model is answered."""

    TEXT = "text"
    NUMBER = "number"
    FILE = "file"
    CHOICE = "choice"  # by a button; its label may be typed


@frozen(kw_only=True)
class Answer:
    """An answer to a question of a draft."""

    job_id: JobId
    param: str
    form: AnswerForm


@frozen(kw_only=True)
class Amount:
    """An amount of roubles: to top up, or (with a top-up) an administrator's correction of it."""

    topup_id: TopUpId | None = None


@frozen(kw_only=True)
class Receipt:
    """The receipt of a top-up."""

    topup_id: TopUpId


@frozen(kw_only=True)
class Reason:
    """Why an administrator rejects a top-up."""

    topup_id: TopUpId


Expect = Answer | Amount | Receipt | Reason
