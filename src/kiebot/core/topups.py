"""
Top-ups: money a person says they sent, with a receipt that an administrator reviews.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NewType

from attrs import evolve, frozen

from kiebot.core.errors import IllegalTransitionError
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.users import UserId
from kiebot.core.wallet import EntryKind, LedgerEntry

TopUpId = NewType("TopUpId", str)
"""A top-up's id: 16 characters at most, of those that callback data carries."""


class TopUpStatus(StrEnum):
    """Where a top-up is in its machine."""

    PENDING = "pending"  # an amount was named; the receipt is awaited
    MANUAL_REVIEW = "manual_review"  # the receipt is here; an administrator decides
    APPROVED = "approved"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


TRANSITIONS: dict[TopUpStatus, frozenset[TopUpStatus]] = {
    TopUpStatus.PENDING: frozenset({TopUpStatus.MANUAL_REVIEW, TopUpStatus.CANCELLED}),
    TopUpStatus.MANUAL_REVIEW: frozenset({TopUpStatus.APPROVED, TopUpStatus.REJECTED}),
    TopUpStatus.APPROVED: frozenset(),
    TopUpStatus.REJECTED: frozenset(),
    TopUpStatus.CANCELLED: frozenset(),
}
"""Every step there is."""


@frozen(kw_only=True)
class TopUp:
    """
    A request to credit money.

    `requested` is what the person named, `amount` what is credited if it is approved: the same
    until an administrator corrects it. `why` is the reason of a rejection.
    """

    id: TopUpId
    user_id: UserId
    amount: Money
    requested: Money
    status: TopUpStatus = TopUpStatus.PENDING
    receipt: tuple[Attachment, ...] = ()
    created_at: datetime
    reviewed_by: UserId | None = None
    reviewed_at: datetime | None = None
    why: str | None = None

    @property
    def is_corrected(self) -> bool:
        """Whether an administrator named another amount than the person did."""
        return self.amount != self.requested

    @property
    def is_waiting(self) -> bool:
        """Whether something is still to happen to it."""
        return bool(TRANSITIONS[self.status])


def cancel(topup: TopUp) -> TopUp:
    """The person no longer wants it, or named another amount."""
    return _enter(topup, TopUpStatus.CANCELLED)


def add_receipt(topup: TopUp, receipt: Attachment) -> TopUp:
    """The receipt, or one more file of it while nobody has decided."""
    if topup.status is TopUpStatus.PENDING:
        topup = _enter(topup, TopUpStatus.MANUAL_REVIEW)
    elif topup.status is not TopUpStatus.MANUAL_REVIEW:
        raise IllegalTransitionError("top-up", topup.status, TopUpStatus.MANUAL_REVIEW)
    if any(receipt.reference == known.reference for known in topup.receipt):
        return topup
    return evolve(topup, receipt=(*topup.receipt, receipt))


def correct(topup: TopUp, amount: Money) -> TopUp:
    """An administrator names the amount that really came."""
    if topup.status is not TopUpStatus.MANUAL_REVIEW:
        raise IllegalTransitionError("top-up", topup.status, "corrected")
    return evolve(topup, amount=amount)


def approve(topup: TopUp, by: UserId, at: datetime) -> TopUp:
    """The money came."""
    return evolve(_enter(topup, TopUpStatus.APPROVED), reviewed_by=by, reviewed_at=at)


def reject(topup: TopUp, by: UserId, why: str, at: datetime) -> TopUp:
    """It did not."""
    decided = _enter(topup, TopUpStatus.REJECTED)
    return evolve(decided, reviewed_by=by, reviewed_at=at, why=why)


def seen_before(topup: TopUp, others: Iterable[TopUp]) -> TopUp | None:
    """
    Which of the other top-ups with the same receipt is to be warned of: one whose money was
    credited, else one that came before; the latest of them. None: this one showed it first.
    """
    suspect = [
        other
        for other in others
        if other.status is TopUpStatus.APPROVED
        or (other.created_at, other.id) < (topup.created_at, topup.id)
    ]
    return max(
        suspect,
        key=lambda other: (other.status is TopUpStatus.APPROVED, other.created_at, other.id),
        default=None,
    )


def credit(topup: TopUp, by: str, at: datetime) -> LedgerEntry:
    """The entry that an approved top-up makes."""
    if topup.status is not TopUpStatus.APPROVED:
        raise IllegalTransitionError("top-up", topup.status, "credited")
    return LedgerEntry(
        ref=f"topup:{topup.id}",
        user_id=topup.user_id,
        kind=EntryKind.TOPUP,
        amount=topup.amount,
        by=by,
        at=at,
    )


def _enter(topup: TopUp, to: TopUpStatus) -> TopUp:
    if to not in TRANSITIONS[topup.status]:
        raise IllegalTransitionError("top-up", topup.status, to)
    return evolve(topup, status=to)
