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

from kiebot.core.acts import Act, SwitchedOff
from kiebot.core.audit import Fact, Part
from kiebot.core.billing import Change
from kiebot.core.events import Untold
from kiebot.core.expect import Expect
from kiebot.core.figures import Figures
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.margins import Billed, ModelSums
from kiebot.core.media import MediaKind, SentFile
from kiebot.core.money import Money
from kiebot.core.notices import About, Notice
from kiebot.core.overview import Visitor
from kiebot.core.tasks import Task, TaskId
from kiebot.core.topups import TopUp, TopUpId
from kiebot.core.updates import Update
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind, JobId, LedgerEntry, Wallet


class Lane(Enum):
    """The two kinds of work on jobs; the one does not wait for the other."""

    SUBMIT = "submit"  # what is queued
    CHECK = "check"  # what runs, or has ended and still has a task to ask about


class Users(Protocol):
    """People."""

    async def get(self, user_id: UserId) -> User:
        """NotFoundError where nobody has this id."""

    async def visitor(self, user_id: UserId) -> Visitor:
        """
        All that is to be known of who did something, asked at once; NotFoundError where nobody has
        this id. The wallet is locked as by its own `get`.
        """

    async def add(self, user: User) -> bool:
        """
        Make a person and an empty wallet; False where they are known already, and then a new name
        and nickname are kept and nothing else changes.
        """

    async def speak(self, user_id: UserId, language: Language) -> None:
        """Keep the person's language."""

    async def named(self, nickname: str, limit: int) -> Sequence[User]:
        """
        Who has this nickname, in letters of any case: whoever came last first. Telegram lets a
        nickname go from one person to another, and the first may not have come since.
        """

    async def saw(self, user_id: UserId, at: datetime) -> None:
        """The person did something."""

    async def block(self, user_id: UserId, at: datetime | None) -> bool:
        """
        Nothing is done for the person from now on; None: it is again. False where nothing changes,
        or nobody has this id.
        """

    async def came(self, since: datetime) -> tuple[int, int]:
        """How many people did anything since then, and how many of them are new."""


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

    async def moved(self, since: datetime) -> Mapping[EntryKind, Money]:
        """What was moved since then, by kind; kinds without an entry are not there."""


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

    async def count_open_of(self, user_id: UserId) -> int:
        """How many jobs of a person are queued or running."""

    async def open(self, limit: int) -> Sequence[Job]:
        """Queued and running jobs of everybody, oldest first."""

    async def failed(self, limit: int) -> Sequence[Job]:
        """Failed jobs of everybody, the latest failure first."""

    async def counts(self, since: datetime) -> Mapping[JobStatus, int]:
        """How many jobs confirmed since then have each status; what none has is not there."""

    async def draft_of(self, user_id: UserId) -> Job | None:
        """The draft that a person touched last."""

    async def due(
        self, at: datetime, limit: int, lane: Lane, *, local: bool, beyond: datetime | None = None
    ) -> Sequence[Job]:
        """
        Jobs of a lane whose `next_check_at` has come, the longest due first; of people of the
        terminal (`local`) or of everybody else. Before them those of which it lies after `beyond`
        (`kiebot.core.waits`).
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

    async def take(
        self, name: str, slots: int, at: datetime, until: datetime, beyond: datetime | None = None
    ) -> int | None:
        """
        Take a slot that is free at `at`, until then where it is not given back sooner; None where
        no one of the first `slots` is free. A slot that is taken until after `beyond` is free, too
        (`kiebot.core.waits`).
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

    async def waiting_of(self, user_id: UserId) -> TopUp | None:
        """The one a person was asked a receipt for, else the latest that waits for a decision."""

    async def to_review(self, limit: int) -> Sequence[TopUp]:
        """All that wait for a decision, oldest first."""

    async def with_receipt(self, digest: str, other_than: TopUpId, limit: int) -> Sequence[TopUp]:
        """
        Other ones that have this very file as a receipt, the latest first; those that were approved
        before all others, for their money was credited.
        """


class Acts(Protocol):
    """What administrators did; made by `record` alone, never changed or deleted."""

    async def recent(
        self, limit: int, before: int | None = None, user_id: UserId | None = None
    ) -> Sequence[Act]:
        """
        Newest first; of everybody, or those that concern one person. `before` is the id of the last
        one already seen.
        """


class Switches(Protocol):
    """Models that administrators took off sale, whatever the catalog says of them."""

    async def off(self) -> Sequence[SwitchedOff]:
        """All of them."""

    async def find(self, model_id: str) -> SwitchedOff | None:
        """None where the model is not switched off."""

    async def switch_off(self, switched: SwitchedOff) -> bool:
        """Take a model off sale; False where it was already, and then nothing changes."""

    async def switch_on(self, model_id: str) -> bool:
        """Leave a model to its catalog again; False where it was not switched off."""


class UiState(Protocol):
    """What each person's next typed answer is for."""

    async def get(self, user_id: UserId) -> Expect | None:
        """None where nothing is asked."""


class Inbox(Protocol):
    """
    Updates received from a frontend that sends each until it is acknowledged.

    A person's updates are answered one after the other, by whichever process has taken the person:
    for a while, and longer where it says so in time. An update is waiting until it is answered.
    """

    async def store(self, update_id: int, user_id: UserId, body: str, at: datetime) -> bool:
        """Keep an update; False where it is known already."""

    async def waiting(self, limit: int) -> Sequence[Update]:
        """Updates not answered, in the order of their ids."""

    async def knows(self, update_id: int) -> bool:
        """Whether it was stored before."""

    async def waiting_of(self, user_id: UserId) -> int:
        """How many updates of a person are not answered."""

    async def take(
        self,
        taker: str,
        limit: int,
        at: datetime,
        until: datetime,
        beyond: datetime | None = None,
    ) -> Sequence[Update]:
        """
        Take people of whom an update waits and whom nobody has at `at`, those that wait longest
        first, until then. The oldest waiting update of each. Who is taken until after `beyond` is
        nobody's (`kiebot.core.waits`).
        """

    async def renew(self, taker: str, user_ids: Sequence[UserId], until: datetime) -> set[UserId]:
        """Keep people that were taken until a later moment; those who are this taker's still."""

    async def answered(
        self, update_id: int, at: datetime, taken: tuple[str, UserId] | None = None
    ) -> None:
        """
        It was handled and replied to: nothing is left to do. Again is harmless. `taken` are a taker
        and whom they give back thereby, as by `give_back`.
        """

    async def failed(self, update_id: int) -> None:
        """It could not be handled this time."""

    async def give_back(self, taker: str, user_id: UserId, free_at: datetime | None = None) -> None:
        """
        The person may be taken again from then on, at once where it is None and whatever the clock
        says; nothing where they are another's by now.
        """

    async def free(self) -> None:
        """Whoever was taken may be taken again at once: nobody else takes people here."""

    async def prune(self, before: datetime, limit: int) -> int:
        """Remove some updates that were answered before then; how many."""


class Outbox(Protocol):
    """Events not told yet."""

    async def untold(self, limit: int, *, local: bool) -> Sequence[Untold]:
        """Oldest first; of people of the terminal (`local`) or of everybody else."""

    async def awaiting(
        self, limit: int, after: UserId | None = None, *, local: bool
    ) -> Sequence[UserId]:
        """
        People who were not told something yet, by their ids, those above `after`; of the terminal
        (`local`) or everybody else. Quick, however much one of them was not told.
        """

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
        """
        When administrators were last told of this cause. Of transactions that write, one asks at a
        time: of many who find that nobody was told, the first to tell is the only one.
        """

    async def prune(self, before: datetime, limit: int) -> int:
        """
        Remove some events that were told before then; how many. The latest of each person, and of
        each cause of an alert, stays: there are readers who go on from its number, or ask when.
        """


class SentFiles(Protocol):
    """Results that a frontend keeps, so that they can be shown when their address is gone."""

    async def get(self, address: str, kind: MediaKind) -> SentFile | None:
        """How the file at this address was sent last, when it was to be shown as this kind."""

    async def save(self, address: str, kind: MediaKind, sent: SentFile, at: datetime) -> None:
        """Keep it, in place of what was kept before."""


class Notices(Protocol):
    """Messages that go on telling how far a job is, or what became of a request."""

    async def of_person(self, user_id: UserId) -> Sequence[Notice]:
        """All that a person has."""

    async def of(self, about: About, ref: JobId | TopUpId) -> Sequence[Notice]:
        """All that tell of this job or top-up."""

    async def newest(self, about: About, limit: int) -> Sequence[Notice]:
        """The newest of a kind, the newest first."""

    async def save(self, notice: Notice, at: datetime) -> None:
        """Keep it, in place of what the person had about the same, and of what the message said."""

    async def remove(self, user_id: UserId, message_ids: Sequence[int]) -> None:
        """These messages tell something else now, or are gone."""

    async def prune(self, before: datetime, limit: int) -> int:
        """Remove some that are older; how many."""


class Instances(Protocol):
    """Which instances send to people side by side."""

    async def note(self, name: str, at: datetime, since: datetime) -> int:
        """
        This one does; how many did since then, with it. The others are forgotten, and so is who did
        when the clock was ahead (`kiebot.core.waits`).
        """

    async def leave(self, name: str) -> None:
        """This one does no more; again is harmless."""


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
    def acts(self) -> Acts: ...
    @property
    def switches(self) -> Switches: ...
    @property
    def ui_state(self) -> UiState: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def sent(self) -> SentFiles: ...
    @property
    def notices(self) -> Notices: ...
    @property
    def instances(self) -> Instances: ...

    async def record(self, change: Change) -> None:
        """
        Store a change: jobs and top-ups where they still have the status they were read in, the
        entry and with it the wallet, the events, the acts, the expectation, and the update as done.

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

    async def figures(self) -> Figures:
        """How much of everything there is now; quick, however much is stored."""

    def facts(self, part: Part | None = None) -> AsyncIterator[Fact]:
        """
        Everything an audit judges, or one part of it, in one snapshot: the sums of every wallet,
        job and top-up, as `kiebot.core.audit` defines them. What breaks a rule is a fact of its
        own, and streamed; what breaks none may be told together.
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

    def once(self, lead: Lead | None = None) -> AbstractAsyncContextManager[UnitOfWork]:
        """
        As `begin`, and quicker, for who stores one thing: nothing is locked, each question has its
        own snapshot, and each call that writes is a transaction of its own, which stands when it
        returns. What a decision was made on must therefore be said with it (`JobStep.seen`).

        Raises, where it writes:
            LeadLostError: A lead was given, and another process holds it by now.
        """

    def read(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A snapshot: takes no lock, refuses to write (StorageError)."""

    def glance(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """As `read`, and quicker, for who asks one thing: each question has its own snapshot."""

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
