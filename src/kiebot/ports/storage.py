"""
Storage: what is kept, and the one way in which it changes.

Everything is read through a unit of work and written by `UnitOfWork.record`, which stores a
`Change` whole or not at all. A unit of work of `begin` locks the job, top-up or wallet that a `get`
returns until the block ends; whoever locks several takes the job or top-up first, then the wallet.

Driver errors leave as StorageError (StorageUnavailableError where the database cannot be reached).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import Enum
from typing import Protocol

from kiebot.core.audit import Fact
from kiebot.core.billing import Change
from kiebot.core.events import Untold
from kiebot.core.expect import Expect
from kiebot.core.jobs import Job
from kiebot.core.language import Language
from kiebot.core.margins import Billed, ModelSums
from kiebot.core.tasks import Task, TaskId
from kiebot.core.topups import TopUp, TopUpId
from kiebot.core.users import User, UserId
from kiebot.core.wallet import JobId, LedgerEntry, Wallet


class Lane(Enum):
    """The two kinds of work on jobs; the one does not wait for the other."""

    SUBMIT = "submit"  # what is queued
    CHECK = "check"  # what runs, or has ended and still has a task to ask about


class Users(Protocol):
    """People."""

    async def get(self, user_id: UserId) -> User:
        """NotFoundError where nobody has this id."""

    async def add(self, user: User) -> bool:
        """
        Make a person and an empty wallet; False where they are known already, and then a new name
        is kept and nothing else changes.
        """

    async def speak(self, user_id: UserId, language: Language) -> None:
        """Keep the person's language."""


class Wallets(Protocol):
    """Running totals; they change by `record` alone."""

    async def get(self, user_id: UserId) -> Wallet:
        """NotFoundError where nobody has this id."""


class Ledger(Protocol):
    """Entries, newest first where nothing else is said."""

    async def of_job(self, job_id: JobId) -> Sequence[LedgerEntry]:
        """In the order they were made."""

    async def by_ref(self, ref: str) -> LedgerEntry | None:
        """The entry of this ref."""

    async def recent(
        self, user_id: UserId, limit: int, before: int | None = None
    ) -> Sequence[LedgerEntry]:
        """
        What a person sees as their movements: every entry but those that a later one of the same
        job settles, so that a hold and its charge or release are one line. `before` is the id of
        the last entry already seen.
        """

    async def topped_up(self, user_id: UserId) -> Sequence[LedgerEntry]:
        """The top-ups of a person."""


class Jobs(Protocol):
    """Jobs. A draft is no part of anybody's history."""

    async def get(self, job_id: JobId) -> Job:
        """NotFoundError where there is none."""

    async def recent(
        self, user_id: UserId, limit: int, before: JobId | None = None
    ) -> Sequence[Job]:
        """Confirmed jobs of a person, newest confirmation first; `before` is the last seen."""

    async def open_of(self, user_id: UserId) -> Sequence[Job]:
        """Queued and running jobs of a person, oldest first."""

    async def open(self, limit: int) -> Sequence[Job]:
        """Queued and running jobs of everybody, oldest first."""

    async def draft_of(self, user_id: UserId) -> Job | None:
        """The draft that a person touched last."""

    async def due(self, at: datetime, limit: int, lane: Lane, *, local: bool) -> Sequence[Job]:
        """
        Jobs of a lane whose `next_check_at` has come, the longest due first; of people of the
        terminal (`local`) or of everybody else.
        """

    async def next_due(self, *, local: bool) -> datetime | None:
        """When the next job of any lane is due."""

    async def running(self, younger_than: Sequence[datetime]) -> Sequence[int]:
        """
        How many jobs run that were confirmed after the first moment, between it and the next, and
        so on; the last number is of those older than all. The moments are newest first.
        """

    async def stale_drafts(self, untouched_since: datetime, limit: int) -> Sequence[Job]:
        """Drafts to be cancelled: untouched, and no top-up of their person waits."""

    async def times(self, model_id: str, limit: int) -> Sequence[float]:
        """Seconds from confirmation to result of the latest succeeded jobs of a model."""

    async def costs(self, since: datetime | None) -> Sequence[ModelSums]:
        """What was sold of each model in jobs confirmed since then, in any order."""

    async def billed(self, since: datetime | None, alike: int, worst: int) -> Sequence[Billed]:
        """
        Jobs confirmed since then of which KIE said what it took, in any order: of those of one
        model, price and credits the `alike` latest, and of these the `worst` of each model, by
        credits for the price. So no loss is missed, however many jobs there are.
        """


class Tasks(Protocol):
    """Tasks that KIE took; they change by `record` alone, and never change their job."""

    async def of_job(self, job_id: JobId) -> Sequence[Task]:
        """Oldest first."""

    async def find(self, task_id: TaskId) -> Task | None:
        """The task of this id, whosever it is."""


class Limits(Protocol):
    """
    How many calls an account may make at KIE in a while, shared by all who use this database.

    A limit has as many slots as calls are allowed. Who calls takes a slot, and gives it back with
    the moment from which it may be taken again.
    """

    async def make(self, name: str, slots: int) -> None:
        """See that the limit has this many slots; again is harmless."""

    async def take(self, name: str, slots: int, at: datetime, until: datetime) -> int | None:
        """
        Take a slot that is free at `at`, until then where it is not given back sooner; None where
        no one of the first `slots` is free.
        """

    async def free_at(self, name: str, slots: int) -> datetime | None:
        """When the next of the first `slots` is free; None where there is none."""

    async def give(self, name: str, slot: int, until: datetime, free_at: datetime) -> None:
        """
        The call is over: the slot that was taken until `until` may be taken again from `free_at`
        on. Nothing happens where somebody else has taken it since.
        """


class TopUps(Protocol):
    """Top-ups."""

    async def get(self, topup_id: TopUpId) -> TopUp:
        """NotFoundError where there is none."""

    async def pending_of(self, user_id: UserId) -> TopUp | None:
        """The one a person was asked a receipt for."""

    async def reviewed_of(self, user_id: UserId) -> TopUp | None:
        """The latest that waits for a decision."""

    async def to_review(self, limit: int) -> Sequence[TopUp]:
        """All that wait for a decision, oldest first."""

    async def with_receipt(self, digest: str, other_than: TopUpId) -> TopUp | None:
        """The latest other one that has this very file as a receipt."""


class UiState(Protocol):
    """What each person's next typed answer is for."""

    async def get(self, user_id: UserId) -> Expect | None:
        """None where nothing is asked."""


class Inbox(Protocol):
    """Updates received from a frontend that sends each until it is acknowledged."""

    async def store(self, update_id: int, user_id: UserId, body: str, at: datetime) -> bool:
        """Keep an update; False where it is known already."""

    async def waiting(self, limit: int) -> Sequence[tuple[int, UserId, str]]:
        """Updates not done, in the order of their ids."""


class Outbox(Protocol):
    """Events not told yet."""

    async def untold(self, limit: int, *, local: bool) -> Sequence[Untold]:
        """Oldest first; of people of the terminal (`local`) or of everybody else."""

    async def untold_of(
        self, user_id: UserId, limit: int, since: int | None = None
    ) -> Sequence[Untold]:
        """
        Of one person, oldest first; with `since` also those of a higher number that were told.
        """

    async def last_of(self, user_id: UserId) -> int:
        """The highest number among a person's events, told or not; 0 where there is none."""

    async def told(self, event_id: int, at: datetime) -> None:
        """It was shown; again is harmless."""

    async def last_alert(self, cause: str) -> datetime | None:
        """When administrators were last told of this cause."""


class UnitOfWork(Protocol):
    """The repositories inside one transaction."""

    @property
    def users(self) -> Users: ...
    @property
    def wallets(self) -> Wallets: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def tasks(self) -> Tasks: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def topups(self) -> TopUps: ...
    @property
    def ui_state(self) -> UiState: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def outbox(self) -> Outbox: ...

    async def record(self, change: Change) -> None:
        """
        Store a change: jobs and top-ups where they still have the status they were read in, the
        entry and with it the wallet, the events, the expectation, and the update as done.

        Whatever is raised here ends the unit of work: nothing of it is stored.

        Raises:
            StaleError: A job or top-up is no longer as it was read, or a new one's id is taken, or
                a task is another job's, or
                the person has a pending top-up already, or the update was done already (a change
                that says nothing but that an update is done is harmless).
            DuplicateRefError: The entry's ref stands in the ledger.
            InsufficientFundsError: A part of the wallet would fall below zero.
            NotFoundError: The entry's person has no wallet.
        """

    def facts(self) -> AsyncIterator[Fact]:
        """
        Everything an audit judges, in one snapshot: the sums of every wallet, job and top-up, as
        `kiebot.core.audit` defines them, streamed.
        """


class Lead(Protocol):
    """
    The right to work for everybody of a scope, held by one process at a time.

    `lost` is set when it is gone; what is then recorded under its token is refused.
    """

    @property
    def scope(self) -> str: ...
    @property
    def token(self) -> int: ...
    @property
    def lost(self) -> asyncio.Event: ...

    def holds(self) -> bool:
        """Whether it is ours still, by our own monotonic clock: ask before each outside call."""


class Storage(Protocol):
    """A database."""

    def begin(self, lead: Lead | None = None) -> AbstractAsyncContextManager[UnitOfWork]:
        """
        One transaction: committed when the block ends, rolled back when it raises.

        Raises:
            LeadLostError: A lead was given, and another process holds it by now.
        """

    def read(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A snapshot: takes no lock, refuses to write (StorageError)."""

    def lead(self, scope: str) -> AbstractAsyncContextManager[Lead]:
        """Wait until this process leads this scope; given back when the block ends."""

    async def migrate(self) -> Sequence[str]:
        """
        Bring the schema to the newest version; the names of what was applied. Two at once are safe.

        Raises:
            SchemaAheadError: A newer kiebot made it, or an applied migration was changed.
        """

    async def missing_migrations(self) -> Sequence[str]:
        """The names of what `migrate` would apply; SchemaAheadError as there."""

    async def claim(self, facts: Iterable[tuple[str, str]]) -> None:
        """
        Make the database what it is used as, at its first use: ("kind", "demo" or "live"),
        ("bot", a bot's id).

        Raises:
            WrongDatabaseError: It is something else already.
        """

    async def claimed(self) -> Mapping[str, str]:
        """What the database is used as, by what was claimed; empty where it never was used."""

    async def ping(self) -> None:
        """StorageError where the database does not answer."""

    async def close(self) -> None:
        """Give everything back."""
