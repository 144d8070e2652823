"""
Holds: money set aside for one job.

A hold is folded from the ledger entries of its job, so it cannot disagree with the ledger. It is
settled once: charged if the result came, released if it did not.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from attrs import frozen

from kiebot.core.errors import IllegalTransitionError
from kiebot.core.money import Money
from kiebot.core.users import UserId
from kiebot.core.wallet import EntryKind, JobId, LedgerEntry


class HoldStatus(StrEnum):
    """Where a hold is in its machine."""

    HELD = "held"
    CHARGED = "charged"
    RELEASED = "released"


TRANSITIONS: dict[HoldStatus, frozenset[HoldStatus]] = {
    HoldStatus.HELD: frozenset({HoldStatus.CHARGED, HoldStatus.RELEASED}),
    HoldStatus.CHARGED: frozenset(),
    HoldStatus.RELEASED: frozenset(),
}
"""Every step there is."""


@frozen(kw_only=True)
class Hold:
    """Money of a person, set aside for a job."""

    job_id: JobId
    user_id: UserId
    amount: Money
    status: HoldStatus = HoldStatus.HELD


def place(job_id: JobId, user_id: UserId, amount: Money, at: datetime) -> LedgerEntry:
    """The entry that sets money aside."""
    return LedgerEntry(
        ref=f"hold:{job_id}",
        user_id=user_id,
        kind=EntryKind.HOLD,
        amount=amount,
        job_id=job_id,
        at=at,
    )


def of(entries: Iterable[LedgerEntry]) -> Hold | None:
    """The hold that the entries of one job describe; None where nothing was ever held."""
    hold: Hold | None = None
    for entry in entries:
        match entry.kind:
            case EntryKind.HOLD if entry.job_id is not None:
                hold = Hold(job_id=entry.job_id, user_id=entry.user_id, amount=entry.amount)
            case EntryKind.CHARGE if hold is not None:
                hold = _enter(hold, HoldStatus.CHARGED)
            case EntryKind.RELEASE if hold is not None:
                hold = _enter(hold, HoldStatus.RELEASED)
            case _:
                pass
    return hold


def charge(hold: Hold, at: datetime) -> LedgerEntry:
    """The entry that makes the hold a payment."""
    _enter(hold, HoldStatus.CHARGED)
    return _settle(hold, EntryKind.CHARGE, at)


def release(hold: Hold, at: datetime) -> LedgerEntry:
    """The entry that gives the hold back."""
    _enter(hold, HoldStatus.RELEASED)
    return _settle(hold, EntryKind.RELEASE, at)


def refund(hold: Hold, by: str, why: str, at: datetime) -> LedgerEntry:
    """The entry that gives a payment back."""
    if hold.status is not HoldStatus.CHARGED:
        raise IllegalTransitionError("hold", hold.status, "refunded")
    return LedgerEntry(
        ref=f"refund:{hold.job_id}",
        user_id=hold.user_id,
        kind=EntryKind.REFUND,
        amount=hold.amount,
        job_id=hold.job_id,
        by=by,
        why=why,
        at=at,
    )


def _settle(hold: Hold, kind: EntryKind, at: datetime) -> LedgerEntry:
    # One ref for charge and release: the ledger's unique key alone keeps them apart.
    return LedgerEntry(
        ref=f"settle:{hold.job_id}",
        user_id=hold.user_id,
        kind=kind,
        amount=hold.amount,
        job_id=hold.job_id,
        at=at,
    )


def _enter(hold: Hold, to: HoldStatus) -> Hold:
    if to not in TRANSITIONS[hold.status]:
        raise IllegalTransitionError("hold", hold.status, to)
    return Hold(job_id=hold.job_id, user_id=hold.user_id, amount=hold.amount, status=to)
