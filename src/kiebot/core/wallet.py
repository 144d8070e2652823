"""
Wallets and the ledger.

The ledger is the truth: money moves only by an entry, entries are never changed or deleted, and
each has a `ref` that is applied once. A wallet is the running total of its entries.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NewType

from attrs import evolve, field, frozen

from kiebot.core.errors import InsufficientFundsError
from kiebot.core.money import ZERO, Money
from kiebot.core.users import UserId

JobId = NewType("JobId", str)
"""A job's id: 16 characters at most, of those that callback data carries."""


class EntryKind(StrEnum):
    """What a ledger entry does; `EFFECTS` says it in numbers."""

    TOPUP = "topup"
    GRANT = "grant"
    DEBIT = "debit"
    HOLD = "hold"
    CHARGE = "charge"
    RELEASE = "release"
    REFUND = "refund"


EFFECTS: dict[EntryKind, tuple[int, int]] = {
    #                   available, held
    EntryKind.TOPUP: (+1, 0),  # an approved top-up: money that came in
    EntryKind.GRANT: (+1, 0),  # given by the operator: never income
    EntryKind.DEBIT: (-1, 0),  # taken back by the operator
    EntryKind.HOLD: (-1, +1),  # a job is confirmed
    EntryKind.CHARGE: (0, -1),  # its result is here
    EntryKind.RELEASE: (+1, -1),  # it failed
    EntryKind.REFUND: (+1, 0),  # a charged job is given back
}
"""What one kopeck of each kind does to the two parts of a wallet."""

OF_A_JOB = frozenset({EntryKind.HOLD, EntryKind.CHARGE, EntryKind.RELEASE, EntryKind.REFUND})
"""The kinds that belong to a job, and always have its price and its person."""

BY_OPERATOR = frozenset({EntryKind.GRANT, EntryKind.DEBIT})
"""The kinds that name who did it and why."""


@frozen(kw_only=True)
class LedgerEntry:
    """
    One movement of money.

    `ref` is the idempotency key, made from the fact it belongs to: `topup:<topup>`, `hold:<job>`,
    `settle:<job>` (charge and release share it, so that one excludes the other), `refund:<job>`,
    `demo:<user>`. `id` is the ledger's own running number, 0 until it was stored.
    """

    ref: str
    user_id: UserId
    kind: EntryKind
    amount: Money = field()
    at: datetime
    job_id: JobId | None = None
    by: str | None = None
    why: str | None = None
    id: int = 0

    @amount.validator
    def _more_than_nothing(self, _: object, amount: Money) -> None:
        if not amount:
            raise ValueError(f"{self.ref}: an entry moves more than nothing")

    def __attrs_post_init__(self) -> None:
        if (self.kind in OF_A_JOB) != (self.job_id is not None):
            raise ValueError(f"{self.ref}: a {self.kind} and a job id go together")
        if self.kind in BY_OPERATOR and not (self.by and self.why):
            raise ValueError(f"{self.ref}: a {self.kind} names who and why")

    def is_same_movement(self, other: "LedgerEntry") -> bool:
        """Whether the other says the same with the same ref; when it was said does not matter."""
        return (self.ref, self.user_id, self.kind, self.amount, self.job_id) == (
            other.ref,
            other.user_id,
            other.kind,
            other.amount,
            other.job_id,
        )


@frozen(kw_only=True)
class Wallet:
    """The money of a person: `available` to spend, and `held` for jobs that are not done."""

    user_id: UserId
    available: Money = ZERO
    held: Money = ZERO


def post(wallet: Wallet, entry: LedgerEntry) -> Wallet:
    """
    The wallet after an entry.

    Raises:
        InsufficientFundsError: A part of the wallet would fall below zero.
    """
    available, held = EFFECTS[entry.kind]
    return evolve(
        wallet,
        available=_moved(wallet.available, available, entry.amount),
        held=_moved(wallet.held, held, entry.amount),
    )


def fold(user_id: UserId, entries: Iterable[LedgerEntry]) -> Wallet:
    """The wallet that these entries of one person add up to."""
    wallet = Wallet(user_id=user_id)
    for entry in entries:
        wallet = post(wallet, entry)
    return wallet


def _moved(part: Money, sign: int, amount: Money) -> Money:
    if sign < 0 and amount > part:
        raise InsufficientFundsError(needed=amount, available=part)
    return part + amount if sign > 0 else part - amount if sign < 0 else part
