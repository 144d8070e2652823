"""
Events: what a person is to be told later.

An event holds whom to tell and everything its screen needs, so that telling it says what was true
when it happened. It is stored in the same transaction as the fact it tells.
"""

from decimal import Decimal
from typing import ClassVar

from attrs import frozen

from kiebot.core.media import Attachment, MediaKind
from kiebot.core.money import Money
from kiebot.core.tasks import FailReason, Result
from kiebot.core.topups import TopUpId
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId


@frozen(kw_only=True)
class JobSucceeded:
    """The result is here and the price was charged. `summary` is the prompt, if there is one."""

    user_id: UserId
    job_id: JobId
    model_id: str
    title: str
    output: MediaKind
    summary: str
    price: Money
    result: Result


@frozen(kw_only=True)
class JobFailed:
    """No result will come and the price was released."""

    user_id: UserId
    job_id: JobId
    model_id: str
    title: str
    price: Money
    reason: FailReason
    param: str | None = None


@frozen(kw_only=True)
class JobRefunded:
    """The operator gave the price back."""

    user_id: UserId
    job_id: JobId
    title: str
    price: Money
    why: str


@frozen(kw_only=True)
class TopUpToReview:
    """For an administrator: a receipt is here. `seen_in` is another top-up with the same file."""

    user_id: UserId
    topup_id: TopUpId
    amount: Money
    person_id: UserId
    person_name: str
    receipt: tuple[Attachment, ...]
    seen_in: TopUpId | None = None


@frozen(kw_only=True)
class ReceiptJoined:
    """
    For an administrator: one more file of a receipt that they were shown. `number` counts the files
    from 1; `seen_in` as above.
    """

    user_id: UserId
    topup_id: TopUpId
    file: Attachment
    number: int
    seen_in: TopUpId | None = None


@frozen(kw_only=True)
class TopUpApproved:
    """The money is in the wallet; `requested` is what the person had named."""

    user_id: UserId
    topup_id: TopUpId
    amount: Money
    requested: Money


@frozen(kw_only=True)
class TopUpRejected:
    """The money did not come; `why` may be empty."""

    user_id: UserId
    topup_id: TopUpId
    amount: Money
    why: str


@frozen(kw_only=True)
class OperatorAlert:
    """For an administrator: KIE refuses the operator. `code` is KIE's."""

    user_id: UserId
    code: int
    detail: str

    @property
    def cause(self) -> str:
        """Told once in an hour."""
        return f"kie:{self.code}"


@frozen(kw_only=True)
class LowCredits:
    """For an administrator: KIE's `credits` run low; from `enough` on they would not."""

    user_id: UserId
    credits: Decimal
    enough: Decimal

    cause: ClassVar[str] = "kie:credits"


@frozen(kw_only=True)
class FileNotSent:
    """
    For an administrator: a frontend could send the file of a result in no way, and gave its address
    in its place. `why` is the frontend's own word for it.
    """

    user_id: UserId
    person_id: UserId
    name: str
    why: str

    cause: ClassVar[str] = "frontend:file"


Alert = OperatorAlert | LowCredits | FileNotSent
"""What is not told again too soon: `cause` says what it is about."""


@frozen(kw_only=True)
class LateSuccess:
    """
    For an administrator: KIE finished a task of a job that had failed, and was paid for it.
    `credits` is None where KIE does not say how much.
    """

    user_id: UserId
    job_id: JobId
    title: str
    credits: Decimal | None


Event = (
    JobSucceeded
    | JobFailed
    | JobRefunded
    | TopUpToReview
    | ReceiptJoined
    | TopUpApproved
    | TopUpRejected
    | OperatorAlert
    | LowCredits
    | FileNotSent
    | LateSuccess
)


@frozen(kw_only=True)
class Untold:
    """An event in the outbox, and its number there."""

    id: int
    event: Event
