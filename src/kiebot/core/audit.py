"""
Audit: the rules of the money, judged on what storage really holds.

Storage streams plain facts (sums as they stand, never through the classes that would refuse wrong
ones), part by part; each is judged alone, so that an audit of any size needs no memory.
"""

from collections.abc import Iterator
from enum import StrEnum

from attrs import frozen

from kiebot.core.jobs import OPEN, JobStatus
from kiebot.core.topups import TopUpStatus


class Part(StrEnum):
    """What is looked at, in this order."""

    WALLETS = "wallets"
    JOBS = "jobs"
    TOPUPS = "top-ups"
    ENTRIES = "entries"


@frozen(kw_only=True)
class WalletFact:
    """
    A person's money in kopecks: as the wallet says, as their ledger entries add up, and what their
    open jobs cost. `entries` is how many entries the person has.

    People of whom no rule is broken may be one fact: `many` is how many they are, `entries` are
    those of all, and the sums are such as one of them could have.
    """

    user_id: int
    balance_kop: int | None
    hold_kop: int | None
    ledger_balance_kop: int
    ledger_hold_kop: int
    open_jobs_kop: int
    entries: int
    many: int = 1


@frozen(kw_only=True)
class JobFact:
    """
    A job and how many entries of each kind it has. `foreign` counts its entries that have another
    amount than its price or another person.

    Jobs that break no rule and are alike in all this may be one fact; `many` is how many it is of.
    """

    job_id: str
    status: str
    holds: int
    charges: int
    releases: int
    refunds: int
    foreign: int
    many: int = 1


@frozen(kw_only=True)
class TopUpFact:
    """
    A top-up and how many `topup` entries stand under its ref. `foreign` counts those that have
    another amount or another person.

    Top-ups that break no rule and are alike in all this may be one fact; `many` is how many it is
    of.
    """

    topup_id: str
    status: str
    credits: int
    foreign: int
    many: int = 1


@frozen(kw_only=True)
class StrayFact:
    """
    An entry that no job, top-up or person accounts for, or that says too little: `why` is one of
    `no job`, `no top-up`, `nameless` (a grant or debit without who and why), `repeated ref`.
    """

    ref: str
    why: str


Fact = WalletFact | JobFact | TopUpFact | StrayFact


@frozen
class Problem:
    """A rule that does not hold, and where."""

    rule: str
    detail: str


@frozen(kw_only=True)
class Audit:
    """What an audit found, over how much."""

    problems: tuple[Problem, ...]
    wallets: int
    entries: int
    jobs: int

    @property
    def ok(self) -> bool:
        """Whether every rule holds."""
        return not self.problems


def judge(fact: Fact) -> Iterator[Problem]:
    """The rules that a fact breaks."""
    match fact:
        case WalletFact():
            yield from _wallet(fact)
        case JobFact():
            yield from _job(fact)
        case TopUpFact():
            yield from _topup(fact)
        case StrayFact(ref=ref, why=why):
            yield Problem("every entry is accounted for", f"entry {ref}: {why}")


def _wallet(fact: WalletFact) -> Iterator[Problem]:
    who = f"user {fact.user_id}"
    if fact.balance_kop is None or fact.hold_kop is None:
        yield Problem("who has entries has a wallet", f"{who}: {fact.entries} entries, no wallet")
        return
    if fact.balance_kop < 0 or fact.hold_kop < 0:
        yield Problem(
            "nobody is below zero",
            f"{who}: available {fact.balance_kop}, reserved {fact.hold_kop} kopecks",
        )
    if (fact.balance_kop, fact.hold_kop) != (fact.ledger_balance_kop, fact.ledger_hold_kop):
        yield Problem(
            "a wallet equals the sum of its ledger",
            f"{who}: wallet {fact.balance_kop} + {fact.hold_kop} reserved,"
            f" ledger {fact.ledger_balance_kop} + {fact.ledger_hold_kop} reserved (kopecks)",
        )
    if fact.hold_kop != fact.open_jobs_kop:
        yield Problem(
            "what is reserved is the price of the open jobs",
            f"{who}: reserved {fact.hold_kop}, open jobs {fact.open_jobs_kop} kopecks",
        )


_ENTRIES_OF_A_STATUS = {
    # The columns are holds, charges, releases and refunds.
    JobStatus.DRAFT: (0, 0, 0, 0),
    JobStatus.CANCELLED: (0, 0, 0, 0),
    JobStatus.QUEUED: (1, 0, 0, 0),
    JobStatus.RUNNING: (1, 0, 0, 0),
    JobStatus.SUCCEEDED: (1, 1, 0, 0),
    JobStatus.FAILED: (1, 0, 1, 0),
    JobStatus.REFUNDED: (1, 1, 0, 1),
}


def _job(fact: JobFact) -> Iterator[Problem]:
    who = f"job {fact.job_id} ({fact.status})"
    have = (fact.holds, fact.charges, fact.releases, fact.refunds)
    counts = (
        f"{fact.holds} hold, {fact.charges} charge, {fact.releases} release, {fact.refunds} refund"
    )
    if fact.status not in set(JobStatus):
        yield Problem("a job has a status of its machine", who)
        return
    status = JobStatus(fact.status)
    if fact.holds > 1:
        yield Problem("a job has at most one hold", f"{who}: {counts}")
    if fact.charges + fact.releases > 1:
        yield Problem("a job has at most one of charge and release", f"{who}: {counts}")
    if fact.refunds and not fact.charges:
        yield Problem("a refund only after a charge", f"{who}: {counts}")
    if have != _ENTRIES_OF_A_STATUS[status]:
        rule = (
            "a queued or running job holds its price"
            if status in OPEN
            else "a job that is not open holds nothing, and its entries fit its status"
        )
        yield Problem(rule, f"{who}: {counts}")
    if fact.foreign:
        yield Problem(
            "a job's entries have its price and its person",
            f"{who}: {fact.foreign} do not",
        )


def _topup(fact: TopUpFact) -> Iterator[Problem]:
    who = f"top-up {fact.topup_id} ({fact.status})"
    if fact.status == TopUpStatus.APPROVED:
        if fact.credits != 1 or fact.foreign:
            yield Problem(
                "an approved top-up has exactly one entry of its amount",
                f"{who}: {fact.credits} entries, {fact.foreign} of another amount or person",
            )
    elif fact.credits:
        yield Problem("a top-up that is not approved has no entry", f"{who}: {fact.credits}")
