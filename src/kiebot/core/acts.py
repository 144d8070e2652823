"""
Acts: what administrators did, each a row that says who, when and why.

Acts are never changed or deleted. Where one moved money, the ledger entry of the same change says
the same to the person whose money it is.
"""

from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

from kiebot.core.money import Money
from kiebot.core.users import OPERATOR, UserId

CONSOLE = "console"
"""Who acts with the commands, as acts name them."""


class SubjectKind(StrEnum):
    """What an act is done to."""

    USER = "user"
    JOB = "job"
    TOPUP = "topup"
    MODEL = "model"


class ActKind(StrEnum):
    """What an administrator can do; `SUBJECTS` says to what."""

    APPROVE = "approve"
    CORRECT = "correct"
    REJECT = "reject"
    GRANT = "grant"
    DEBIT = "debit"
    REFUND = "refund"
    BLOCK = "block"
    UNBLOCK = "unblock"
    SWITCH_OFF = "switch_off"
    SWITCH_ON = "switch_on"


SUBJECTS: dict[ActKind, SubjectKind] = {
    ActKind.APPROVE: SubjectKind.TOPUP,
    ActKind.CORRECT: SubjectKind.TOPUP,
    ActKind.REJECT: SubjectKind.TOPUP,
    ActKind.GRANT: SubjectKind.USER,
    ActKind.DEBIT: SubjectKind.USER,
    ActKind.REFUND: SubjectKind.JOB,
    ActKind.BLOCK: SubjectKind.USER,
    ActKind.UNBLOCK: SubjectKind.USER,
    ActKind.SWITCH_OFF: SubjectKind.MODEL,
    ActKind.SWITCH_ON: SubjectKind.MODEL,
}
"""To what each act is done."""

SAYS_WHY = frozenset(ActKind) - {ActKind.APPROVE, ActKind.CORRECT, ActKind.REJECT}
"""Acts that are not done without a reason. A rejection may be: the person asks then."""


@frozen(kw_only=True)
class Act:
    """
    Something that an administrator did.

    `actor` is their id, `console`, or what a program calls itself; `subject` is the id of what it
    was done to, and `user_id` the person concerned (None for a model). `amount` is what was
    credited, given, taken, or named as what really came. `id` is its own running number, 0 until
    it was stored.
    """

    actor: str
    kind: ActKind
    subject: str
    user_id: UserId | None = None
    amount: Money | None = None
    why: str = field(default="")
    at: datetime
    id: int = 0

    def __attrs_post_init__(self) -> None:
        if not self.actor or not self.subject:
            raise ValueError(f"a {self.kind} names who did it, and to what")
        if self.kind in SAYS_WHY and not self.why:
            raise ValueError(f"a {self.kind} says why")

    @property
    def subject_kind(self) -> SubjectKind:
        """What `subject` is an id of."""
        return SUBJECTS[self.kind]


@frozen(kw_only=True)
class Deed:
    """
    An act while its amount and its reason are asked for.

    `id` is its own: whatever is sent twice, it is done once.
    """

    id: str
    kind: ActKind
    subject: str
    amount: Money | None = None


@frozen(kw_only=True)
class SwitchedOff:
    """A model that an administrator took off sale, until one puts it back."""

    model_id: str
    by: str
    why: str
    at: datetime


def actor(by: UserId | str) -> str:
    """
    Who acts, as acts name them: an administrator by their id, the console as what it is.

    The ledger keeps more of the console, its user of the system: `cli:<name>`.
    """
    if by == OPERATOR or (isinstance(by, str) and by.partition(":")[0] == "cli"):
        return CONSOLE
    return str(by)
