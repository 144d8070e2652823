"""
What a person's next typed answer is for: the whole dialog state of a person.
"""

from enum import StrEnum

from attrs import frozen

from kiebot.core.acts import Deed
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
    """
    An amount of roubles: to top up; or of an administrator, with a top-up the correction of it,
    with a deed what is to be given or taken.

    `after` is their own question, which a review put aside and which comes back after it.
    """

    topup_id: TopUpId | None = None
    deed: Deed | None = None
    after: "Expect | None" = None


@frozen(kw_only=True)
class Receipt:
    """The receipt of a top-up."""

    topup_id: TopUpId


@frozen(kw_only=True)
class Reason:
    """Why an administrator rejects a top-up, or does a deed. `after` as in `Amount`."""

    topup_id: TopUpId | None = None
    deed: Deed | None = None
    after: "Expect | None" = None


@frozen(kw_only=True)
class Whom:
    """Whom an administrator looks for: an id, a @name, or a message of theirs."""


Expect = Answer | Amount | Receipt | Reason | Whom


def own(expect: Expect | None) -> Expect | None:
    """What was asked of somebody as a person: a review lays its questions over it."""
    match expect:
        case Amount(topup_id=None, deed=None) | Answer() | Receipt():
            return expect
        case Amount(after=after) | Reason(after=after):
            return after
        case Whom() | None:
            return None
