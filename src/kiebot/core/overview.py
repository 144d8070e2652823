"""
Overviews: what an administrator is shown at once, of a person and of a day.
"""

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from kiebot.core.acts import Act
from kiebot.core.jobs import OPEN, Job, JobStatus
from kiebot.core.margins import Report
from kiebot.core.money import ZERO, Money
from kiebot.core.topups import TopUp
from kiebot.core.users import User
from kiebot.core.wallet import EntryKind, LedgerEntry, Wallet


@frozen(kw_only=True)
class Dossier:
    """
    A person: their money, the top-ups that were credited, and the latest of what they did and of
    what was done to them, newest first.
    """

    person: User
    wallet: Wallet
    topped_up: tuple[Money, ...]
    waiting: TopUp | None
    jobs: tuple[Job, ...]
    entries: tuple[LedgerEntry, ...]
    acts: tuple[Act, ...]


@frozen(kw_only=True)
class Review:
    """
    A top-up and what an administrator should know of it.

    `topped_up` are the amounts of the person's other top-ups; `seen` is another top-up with the
    same receipt; `decided_by` is the name of who decided, empty for the console.
    """

    topup: TopUp
    person: User
    topped_up: tuple[Money, ...] = ()
    seen: TopUp | None = None
    decided_by: str = ""


@frozen(kw_only=True)
class Day:
    """
    Numbers since a moment.

    `came` are people who did anything, `new` those who had never come before. `jobs` and `report`
    are about jobs confirmed since then, so that what was earned and what KIE took are of the same
    ones; `moved` is what the ledger moved, by kind.
    """

    since: datetime
    came: int
    new: int
    jobs: Mapping[JobStatus, int]
    moved: Mapping[EntryKind, Money]
    report: Report

    @property
    def open_jobs(self) -> int:
        """Of the jobs, those that are still being made."""
        return sum(self.jobs.get(status, 0) for status in OPEN)

    def of(self, kind: EntryKind) -> Money:
        """What was moved in entries of this kind."""
        return self.moved.get(kind, ZERO)
