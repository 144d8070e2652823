"""
MemoryStorage: everything in the process, for tests and for libraries that keep nothing.

Values are immutable, so that a transaction is a copy of a few dicts that is swapped in at the end,
and a snapshot is the state that stands.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TypeVar

from attrs import Factory, define, evolve, frozen

from kiebot.core.acts import Act, SwitchedOff
from kiebot.core.audit import Fact, JobFact, StrayFact, TopUpFact, WalletFact
from kiebot.core.billing import Change, Expecting, JobStep, TopUpStep
from kiebot.core.errors import (
    DuplicateRefError,
    KiebotError,
    LeadLostError,
    NotFoundError,
    StaleError,
    StorageError,
    WrongDatabaseError,
)
from kiebot.core.events import Alert, Event, Untold
from kiebot.core.expect import Expect
from kiebot.core.figures import Figures
from kiebot.core.jobs import OPEN, Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.margins import Billed, ModelSums
from kiebot.core.media import MediaKind, SentFile
from kiebot.core.money import ZERO, Money
from kiebot.core.notices import About, Notice
from kiebot.core.tasks import Outcome, Task, TaskId
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.updates import Update
from kiebot.core.users import User, UserId, is_local
from kiebot.core.wallet import EFFECTS, OF_A_JOB, EntryKind, JobId, LedgerEntry, Wallet, post
from kiebot.ports.storage import Lane, Lead, UnitOfWork
from kiebot.ports.system import Clock

T = TypeVar("T")

_SETTLEMENTS = frozenset({EntryKind.CHARGE, EntryKind.RELEASE})


class MemoryStorage:
    """A database that ends with its process; another process never sees it."""

    def __init__(self, *, clock: Clock = partial(datetime.now, UTC)) -> None:  # noqa: B008
        self._state = _State()
        self._writing = asyncio.Lock()
        self._clock = clock
        self._leading: dict[str, asyncio.Lock] = {}
        self._tokens: dict[str, int] = {}

    @asynccontextmanager
    async def begin(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        async with self._writing:
            if lead is not None:
                self._check(lead)
            uow = MemoryUnitOfWork(self._state.copy(), self._clock, may_write=True)
            yield uow
            self._state = uow.finish()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        """See the port."""
        # Nobody writes into a state that stands: it is a snapshot.
        yield MemoryUnitOfWork(self._state, self._clock, may_write=False)

    def lead(self, scope: str) -> AbstractAsyncContextManager[Lead]:
        """See the port."""
        return self._lead(scope)

    async def migrate(self) -> Sequence[str]:
        """See the port: there is no schema."""
        return ()

    async def missing_migrations(self) -> Sequence[str]:
        """See the port: there is no schema."""
        return ()

    async def claim(self, facts: Iterable[tuple[str, str]]) -> None:
        """See the port."""
        async with self._writing:
            state = self._state.copy()
            for what, wanted in facts:
                found = state.identity.setdefault(what, wanted)
                if found != wanted:
                    raise WrongDatabaseError(what, found=found, wanted=wanted)
            self._state = state

    async def claimed(self) -> Mapping[str, str]:
        """See the port."""
        return dict(self._state.identity)

    async def ping(self) -> None:
        """See the port."""

    async def close(self) -> None:
        """See the port."""

    @asynccontextmanager
    async def _lead(self, scope: str) -> AsyncIterator[Lead]:
        async with self._leading.setdefault(scope, asyncio.Lock()):
            token = self._tokens[scope] = self._tokens.get(scope, 0) + 1
            lead = MemoryLead(scope, token)
            try:
                yield lead
            finally:
                lead.lost.set()

    def _check(self, lead: Lead) -> None:
        if lead.lost.is_set() or self._tokens.get(lead.scope) != lead.token:
            raise LeadLostError(lead.scope)


class MemoryLead:
    """A lead; within one process it cannot be lost but by giving it back."""

    def __init__(self, scope: str, token: int) -> None:
        self.scope = scope
        self.token = token
        self.lost = asyncio.Event()

    def holds(self) -> bool:
        """See the port."""
        return not self.lost.is_set()


@frozen(kw_only=True)
class _Told:
    """A row of the outbox."""

    event: Event
    created_at: datetime
    told_at: datetime | None = None


@frozen(kw_only=True)
class _Update:
    """A row of the inbox."""

    user_id: UserId
    body: str
    received_at: datetime
    is_done: bool = False
    answered_at: datetime | None = None
    tries: int = 0


@frozen(kw_only=True)
class _Taken:
    """Whose updates a person's are, and until when."""

    taker: str
    until: datetime


@define
class _State:
    """Everything there is. The ledger's and the outbox's keys are running numbers."""

    users: dict[UserId, User] = Factory(dict)
    wallets: dict[UserId, Wallet] = Factory(dict)
    ledger: dict[int, LedgerEntry] = Factory(dict)
    refs: dict[str, int] = Factory(dict)
    jobs: dict[JobId, Job] = Factory(dict)
    tasks: dict[TaskId, Task] = Factory(dict)
    limits: dict[tuple[str, int], datetime] = Factory(dict)
    topups: dict[TopUpId, TopUp] = Factory(dict)
    acts: dict[int, Act] = Factory(dict)
    switched_off: dict[str, SwitchedOff] = Factory(dict)
    expects: dict[UserId, Expect | None] = Factory(dict)
    inbox: dict[int, _Update] = Factory(dict)
    taken: dict[UserId, _Taken] = Factory(dict)
    outbox: dict[int, _Told] = Factory(dict)
    sent: dict[tuple[str, MediaKind], SentFile] = Factory(dict)
    notices: dict[tuple[UserId, int], tuple[Notice, datetime]] = Factory(dict)
    instances: dict[str, datetime] = Factory(dict)
    identity: dict[str, str] = Factory(dict)

    def copy(self) -> "_State":
        """A state to write into."""
        return _State(
            users=dict(self.users),
            wallets=dict(self.wallets),
            ledger=dict(self.ledger),
            refs=dict(self.refs),
            jobs=dict(self.jobs),
            tasks=dict(self.tasks),
            limits=dict(self.limits),
            topups=dict(self.topups),
            acts=dict(self.acts),
            switched_off=dict(self.switched_off),
            expects=dict(self.expects),
            inbox=dict(self.inbox),
            taken=dict(self.taken),
            outbox=dict(self.outbox),
            sent=dict(self.sent),
            notices=dict(self.notices),
            instances=dict(self.instances),
            identity=dict(self.identity),
        )


class MemoryUnitOfWork:
    """The repositories over one state."""

    def __init__(self, state: _State, clock: Clock, *, may_write: bool) -> None:
        self._state = state
        self._clock = clock
        self._may_write = may_write
        self._broken: KiebotError | None = None
        self.users = MemoryUsers(state, self._writable)
        self.wallets = MemoryWallets(state)
        self.ledger = MemoryLedger(state)
        self.jobs = MemoryJobs(state)
        self.tasks = MemoryTasks(state)
        self.limits = MemoryLimits(state, self._writable)
        self.topups = MemoryTopUps(state)
        self.acts = MemoryActs(state)
        self.switches = MemorySwitches(state, self._writable)
        self.ui_state = MemoryUiState(state)
        self.inbox = MemoryInbox(state, self._writable)
        self.outbox = MemoryOutbox(state, self._writable)
        self.sent = MemorySentFiles(state, self._writable)
        self.notices = MemoryNotices(state, self._writable)
        self.instances = MemoryInstances(state, self._writable)

    def finish(self) -> _State:
        """The state to swap in; StorageError where something in it was refused."""
        self._writable()
        return self._state

    async def record(self, change: Change) -> None:
        """See the port."""
        self._writable()
        try:
            for topup in change.topups:
                self._save_topup(topup)
            for job in change.jobs:
                self._save_job(job)
            if change.entry is not None:
                self._post(change.entry)
            for task in change.tasks:
                self._save_task(task)
            for event in change.events:
                self._tell(event)
            for act in change.acts:
                number = len(self._state.acts) + 1
                self._state.acts[number] = evolve(act, id=number)
            if change.expecting is not None:
                self._expect(change.expecting)
            if change.update_id is not None:
                says_more = change != Change(update_id=change.update_id)
                self._finish_update(change.update_id, says_more=says_more)
        except KiebotError as error:
            self._broken = error
            raise

    async def figures(self) -> Figures:
        """See the port."""
        state = self._state
        work = [job for job in state.jobs.values() if job.is_open]
        news = [
            told.created_at
            for told in state.outbox.values()
            if told.told_at is None and not is_local(told.event.user_id)
        ]
        requests = [
            topup.created_at
            for topup in state.topups.values()
            if topup.status is TopUpStatus.MANUAL_REVIEW
        ]
        updates = [u.received_at for u in state.inbox.values() if u.answered_at is None]
        return Figures(
            jobs=Counter(job.status for job in state.jobs.values()),
            oldest_open=min((j.confirmed_at for j in work if j.confirmed_at), default=None),
            held=Money(sum(job.price.kopecks for job in work if job.price is not None)),
            untold=len(news),
            oldest_untold=min(news, default=None),
            topups_waiting=len(requests),
            oldest_topup=min(requests, default=None),
            updates_waiting=len(updates),
            oldest_update=min(updates, default=None),
        )

    async def facts(self) -> AsyncIterator[Fact]:
        """See the port."""
        for fact in _facts(self._state):
            yield fact

    def _writable(self) -> None:
        if not self._may_write:
            raise StorageError("a snapshot is only read")
        if self._broken is not None:
            raise StorageError(
                f"nothing of this is stored, for something in it was refused: {self._broken}"
            ) from self._broken

    def _save_job(self, step: JobStep) -> None:
        job = step.job
        stands = self._state.jobs.get(job.id)
        if (None if stands is None else stands.status) is not step.was:
            raise StaleError("job", job.id)
        self._must_know(job.user_id)
        self._state.jobs[job.id] = job

    def _save_task(self, task: Task) -> None:
        stands = self._state.tasks.get(task.id)
        if stands is not None and stands.job_id != task.job_id:
            raise StaleError("task", task.id)
        if task.job_id not in self._state.jobs:
            raise StorageError(f"task {task.id}: no job {task.job_id}")
        self._state.tasks[task.id] = task

    def _save_topup(self, step: TopUpStep) -> None:
        topup = step.topup
        stands = self._state.topups.get(topup.id)
        if (None if stands is None else stands.status) is not step.was:
            raise StaleError("top-up", topup.id)
        self._must_know(topup.user_id)
        if step.was is None and any(
            other.user_id == topup.user_id and other.status is TopUpStatus.PENDING
            for other in self._state.topups.values()
        ):
            raise StaleError("top-up", topup.id)
        self._state.topups[topup.id] = topup

    def _post(self, entry: LedgerEntry) -> None:
        state = self._state
        if entry.ref in state.refs:
            stands = state.ledger[state.refs[entry.ref]]
            raise DuplicateRefError(entry.ref, same=stands.is_same_movement(entry))
        if entry.user_id not in state.wallets:
            raise NotFoundError("wallet", entry.user_id)
        wallet = post(state.wallets[entry.user_id], entry)
        if entry.job_id is not None:
            self._post_for_job(entry, entry.job_id)
        state.wallets[entry.user_id] = wallet
        number = len(state.ledger) + 1
        state.ledger[number] = evolve(entry, id=number)
        state.refs[entry.ref] = number

    def _post_for_job(self, entry: LedgerEntry, job_id: JobId) -> None:
        if job_id not in self._state.jobs:
            raise StorageError(f"{entry.ref}: no job {job_id}")
        for other in self._state.ledger.values():
            if other.job_id == job_id and _settles_alike(other.kind, entry.kind):
                raise DuplicateRefError(entry.ref, same=False)

    def _tell(self, event: Event) -> None:
        number = max(self._state.outbox, default=0) + 1
        self._state.outbox[number] = _Told(event=event, created_at=self._clock())

    def _expect(self, expecting: Expecting) -> None:
        self._state.expects[expecting.user_id] = expecting.expect

    def _finish_update(self, update_id: int, *, says_more: bool) -> None:
        update = self._state.inbox.get(update_id)
        if update is not None and not update.is_done:
            self._state.inbox[update_id] = evolve(update, is_done=True)
        elif says_more:
            raise StaleError("update", str(update_id))

    def _must_know(self, user_id: UserId) -> None:
        if user_id not in self._state.users:
            raise StorageError(f"no user {user_id}")


class MemoryUsers:
    """See the port."""

    def __init__(self, state: _State, writable: Callable[[], None]) -> None:
        self._state = state
        self._writable = writable

    async def get(self, user_id: UserId) -> User:
        return _found("user", user_id, self._state.users.get(user_id))

    async def add(self, user: User) -> bool:
        self._writable()
        known = self._state.users.get(user.id)
        if known is not None:
            self._state.users[user.id] = evolve(known, name=user.name, nickname=user.nickname)
            return False
        self._state.users[user.id] = user
        self._state.wallets[user.id] = Wallet(user_id=user.id)
        return True

    async def speak(self, user_id: UserId, language: Language) -> None:
        self._writable()
        user = await self.get(user_id)
        self._state.users[user_id] = evolve(user, language=language)

    async def named(self, nickname: str, limit: int) -> Sequence[User]:
        found = [
            user
            for user in self._state.users.values()
            if user.nickname is not None and user.nickname.lower() == nickname.lower()
        ]
        found.sort(key=lambda user: user.id)
        found.sort(key=lambda user: user.seen_at or user.created_at, reverse=True)
        return found[:limit]

    async def saw(self, user_id: UserId, at: datetime) -> None:
        self._writable()
        user = self._state.users.get(user_id)
        if user is not None and (user.seen_at is None or user.seen_at < at):
            self._state.users[user_id] = evolve(user, seen_at=at)

    async def block(self, user_id: UserId, at: datetime | None) -> bool:
        self._writable()
        user = self._state.users.get(user_id)
        if user is None or user.is_blocked == (at is not None):
            return False
        self._state.users[user_id] = evolve(user, blocked_at=at)
        return True

    async def came(self, since: datetime) -> tuple[int, int]:
        came = [u for u in self._state.users.values() if u.seen_at and u.seen_at >= since]
        return (len(came), sum(user.created_at >= since for user in came))


class MemoryWallets:
    """See the port."""

    def __init__(self, state: _State) -> None:
        self._state = state

    async def get(self, user_id: UserId) -> Wallet:
        return _found("wallet", user_id, self._state.wallets.get(user_id))


class MemoryLedger:
    """See the port."""

    def __init__(self, state: _State) -> None:
        self._state = state

    async def of_job(self, job_id: JobId) -> Sequence[LedgerEntry]:
        return [entry for entry in self._state.ledger.values() if entry.job_id == job_id]

    async def by_ref(self, ref: str) -> LedgerEntry | None:
        number = self._state.refs.get(ref)
        return None if number is None else self._state.ledger[number]

    async def recent(
        self, user_id: UserId, limit: int, before: int | None = None
    ) -> Sequence[LedgerEntry]:
        settled = {
            entry.job_id for entry in self._state.ledger.values() if entry.kind in _SETTLEMENTS
        }
        seen = [
            entry
            for entry in self._newest_of(user_id)
            if (before is None or entry.id < before)
            and not (entry.kind is EntryKind.HOLD and entry.job_id in settled)
        ]
        return seen[:limit]

    async def topped_up(self, user_id: UserId) -> Sequence[LedgerEntry]:
        return [entry for entry in self._newest_of(user_id) if entry.kind is EntryKind.TOPUP]

    async def moved(self, since: datetime) -> Mapping[EntryKind, Money]:
        moved: dict[EntryKind, Money] = {}
        for entry in self._state.ledger.values():
            if entry.at >= since:
                moved[entry.kind] = moved.get(entry.kind, ZERO) + entry.amount
        return moved

    def _newest_of(self, user_id: UserId) -> Sequence[LedgerEntry]:
        return [
            entry for entry in reversed(self._state.ledger.values()) if entry.user_id == user_id
        ]


class MemoryJobs:
    """See the port."""

    def __init__(self, state: _State) -> None:
        self._state = state

    async def get(self, job_id: JobId) -> Job:
        return _found("job", job_id, self._state.jobs.get(job_id))

    async def recent(
        self, user_id: UserId, limit: int, before: JobId | None = None
    ) -> Sequence[Job]:
        confirmed = sorted(
            (
                (job.confirmed_at, job.id)
                for job in self._state.jobs.values()
                if job.user_id == user_id and job.confirmed_at is not None
            ),
            reverse=True,
        )
        if before is not None:
            last = self._state.jobs.get(before)
            if last is None or last.confirmed_at is None:
                return []
            confirmed = [key for key in confirmed if key < (last.confirmed_at, last.id)]
        return [self._state.jobs[job_id] for _, job_id in confirmed[:limit]]

    async def open_of(self, user_id: UserId) -> Sequence[Job]:
        return [job for job in self._open() if job.user_id == user_id]

    async def open(self, limit: int) -> Sequence[Job]:
        return self._open()[:limit]

    async def failed(self, limit: int) -> Sequence[Job]:
        failed = [job for job in self._state.jobs.values() if job.status is JobStatus.FAILED]
        return sorted(failed, key=lambda job: (job.updated_at, job.id), reverse=True)[:limit]

    async def counts(self, since: datetime) -> Mapping[JobStatus, int]:
        return Counter(job.status for job in self._confirmed(since))

    async def draft_of(self, user_id: UserId) -> Job | None:
        drafts = [
            job
            for job in self._state.jobs.values()
            if job.user_id == user_id and job.status is JobStatus.DRAFT
        ]
        return max(drafts, key=lambda job: job.updated_at, default=None)

    async def due(self, at: datetime, limit: int, lane: Lane, *, local: bool) -> Sequence[Job]:
        due = sorted(
            (job.next_check_at, job.id)
            for job in self._state.jobs.values()
            if (job.status is JobStatus.QUEUED) == (lane is Lane.SUBMIT)
            and job.next_check_at is not None
            and job.next_check_at <= at
            and is_local(job.user_id) == local
        )
        return [self._state.jobs[job_id] for _, job_id in due[:limit]]

    async def next_due(self, *, local: bool) -> datetime | None:
        return min(
            (
                job.next_check_at
                for job in self._state.jobs.values()
                if job.next_check_at is not None and is_local(job.user_id) == local
            ),
            default=None,
        )

    async def running(self, younger_than: Sequence[datetime]) -> Sequence[int]:
        counts = [0] * (len(younger_than) + 1)
        for job in self._state.jobs.values():
            if job.status is JobStatus.RUNNING and job.confirmed_at is not None:
                confirmed_at = job.confirmed_at
                counts[sum(confirmed_at <= moment for moment in younger_than)] += 1
        return counts

    async def stale_drafts(self, untouched_since: datetime, limit: int) -> Sequence[Job]:
        waiting = {topup.user_id for topup in self._state.topups.values() if topup.is_waiting}
        stale = [
            job
            for job in self._state.jobs.values()
            if job.status is JobStatus.DRAFT
            and job.updated_at <= untouched_since
            and job.user_id not in waiting
        ]
        return sorted(stale, key=lambda job: (job.updated_at, job.id))[:limit]

    async def times(self, model_id: str, limit: int) -> Sequence[float]:
        done = sorted(
            (
                (job.updated_at, job.confirmed_at)
                for job in self._state.jobs.values()
                if job.model_id == model_id
                and job.status is JobStatus.SUCCEEDED
                and job.confirmed_at is not None
            ),
            reverse=True,
        )
        return [(ended - confirmed).total_seconds() for ended, confirmed in done[:limit]]

    async def costs(self, since: datetime | None) -> Sequence[ModelSums]:
        of_model: dict[str, list[Job]] = defaultdict(list)
        for job in self._confirmed(since):
            of_model[job.model_id].append(job)
        return [self._sums(model_id, jobs) for model_id, jobs in of_model.items()]

    async def billed(self, since: datetime | None, alike: int, worst: int) -> Sequence[Billed]:
        taken: dict[JobId, Decimal] = {}
        for task in self._state.tasks.values():
            if task.credits:
                taken[task.job_id] = max(taken.get(task.job_id, task.credits), task.credits)
        same: dict[tuple[str, Money, Decimal], list[Billed]] = defaultdict(list)
        for job in self._confirmed(since):
            if job.id in taken and job.price is not None:
                same[job.model_id, job.price, taken[job.id]].append(
                    Billed(
                        job_id=job.id,
                        model_id=job.model_id,
                        params=job.params,
                        measures=job.measures,
                        price=job.price,
                        credits=taken[job.id],
                    )
                )
        of_model: dict[str, list[Billed]] = defaultdict(list)
        for (model_id, _, _), jobs in same.items():
            of_model[model_id] += jobs[:alike]
        for jobs in of_model.values():
            jobs.sort(key=lambda job: job.credits / (job.price.kopecks + 1), reverse=True)
        return [job for jobs in of_model.values() for job in jobs[:worst]]

    def _confirmed(self, since: datetime | None) -> Sequence[Job]:
        """Latest first."""
        found = [
            (job.confirmed_at, job)
            for job in self._state.jobs.values()
            if job.confirmed_at is not None and (since is None or job.confirmed_at >= since)
        ]
        return [job for _, job in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def _sums(self, model_id: str, jobs: Sequence[Job]) -> ModelSums:
        ids = {job.id for job in jobs}
        tasks = [task for task in self._state.tasks.values() if task.job_id in ids]
        moved = [entry for entry in self._state.ledger.values() if entry.job_id in ids]
        charged = sum((e.amount for e in moved if e.kind is EntryKind.CHARGE), ZERO)
        refunded = sum((e.amount for e in moved if e.kind is EntryKind.REFUND), ZERO)
        return ModelSums(
            model_id=model_id,
            jobs=len(jobs),
            failed=sum(job.status is JobStatus.FAILED for job in jobs),
            refunded=sum(job.status is JobStatus.REFUNDED for job in jobs),
            income=charged - refunded,
            credits=sum((task.credits or Decimal(0) for task in tasks), Decimal(0)),
            untold=sum(
                task.credits is None and task.outcome in {Outcome.SUCCEEDED, Outcome.LOST}
                for task in tasks
            ),
        )

    def _open(self) -> Sequence[Job]:
        jobs = [job for job in self._state.jobs.values() if job.status in OPEN]
        return sorted(jobs, key=lambda job: (job.confirmed_at or job.created_at, job.id))


class MemoryTasks:
    """See the port."""

    def __init__(self, state: _State) -> None:
        self._state = state

    async def of_job(self, job_id: JobId) -> Sequence[Task]:
        found = [task for task in self._state.tasks.values() if task.job_id == job_id]
        return sorted(found, key=lambda task: (task.created_at, task.id))

    async def find(self, task_id: TaskId) -> Task | None:
        return self._state.tasks.get(task_id)


class MemoryLimits:
    """See the port."""

    def __init__(self, state: _State, writable: Callable[[], None]) -> None:
        self._state = state
        self._writable = writable

    async def make(self, name: str, slots: int) -> None:
        self._writable()
        for slot in range(slots):
            self._state.limits.setdefault((name, slot), datetime.min.replace(tzinfo=UTC))

    async def take(self, name: str, slots: int, at: datetime, until: datetime) -> int | None:
        self._writable()
        free = [found for found in self._free_at(name, slots) if found[0] <= at]
        if not free:
            return None
        _, slot = min(free)
        self._state.limits[name, slot] = until
        return slot

    async def free_at(self, name: str, slots: int) -> datetime | None:
        return min((moment for moment, _ in self._free_at(name, slots)), default=None)

    async def give(self, name: str, slot: int, until: datetime, free_at: datetime) -> None:
        self._writable()
        if self._state.limits.get((name, slot)) == until:
            self._state.limits[name, slot] = free_at

    def _free_at(self, name: str, slots: int) -> Sequence[tuple[datetime, int]]:
        return [
            (moment, slot)
            for (limit, slot), moment in self._state.limits.items()
            if limit == name and slot < slots
        ]


class MemoryTopUps:
    """See the port."""

    def __init__(self, state: _State) -> None:
        self._state = state

    async def get(self, topup_id: TopUpId) -> TopUp:
        return _found("top-up", topup_id, self._state.topups.get(topup_id))

    async def pending_of(self, user_id: UserId) -> TopUp | None:
        return self._last(
            lambda topup: topup.user_id == user_id and topup.status is TopUpStatus.PENDING
        )

    async def reviewed_of(self, user_id: UserId) -> TopUp | None:
        return self._last(
            lambda topup: topup.user_id == user_id and topup.status is TopUpStatus.MANUAL_REVIEW
        )

    async def to_review(self, limit: int) -> Sequence[TopUp]:
        waiting = [
            topup
            for topup in self._state.topups.values()
            if topup.status is TopUpStatus.MANUAL_REVIEW
        ]
        return sorted(waiting, key=_by_age)[:limit]

    async def with_receipt(self, digest: str, other_than: TopUpId, limit: int) -> Sequence[TopUp]:
        found = [
            topup
            for topup in self._state.topups.values()
            if topup.id != other_than and any(file.digest == digest for file in topup.receipt)
        ]
        found.sort(key=_by_age, reverse=True)
        found.sort(key=lambda topup: topup.status is not TopUpStatus.APPROVED)
        return found[:limit]

    def _last(self, fits: Callable[[TopUp], bool]) -> TopUp | None:
        return max(filter(fits, self._state.topups.values()), key=_by_age, default=None)


class MemoryActs:
    """See the port."""

    def __init__(self, state: _State) -> None:
        self._state = state

    async def recent(
        self, limit: int, before: int | None = None, user_id: UserId | None = None
    ) -> Sequence[Act]:
        found = [
            act
            for number, act in reversed(self._state.acts.items())
            if (before is None or number < before) and (user_id is None or act.user_id == user_id)
        ]
        return found[:limit]


class MemorySwitches:
    """See the port."""

    def __init__(self, state: _State, writable: Callable[[], None]) -> None:
        self._state = state
        self._writable = writable

    async def off(self) -> Sequence[SwitchedOff]:
        return [switched for _, switched in sorted(self._state.switched_off.items())]

    async def find(self, model_id: str) -> SwitchedOff | None:
        return self._state.switched_off.get(model_id)

    async def switch_off(self, switched: SwitchedOff) -> bool:
        self._writable()
        known = len(self._state.switched_off)
        self._state.switched_off.setdefault(switched.model_id, switched)
        return len(self._state.switched_off) > known

    async def switch_on(self, model_id: str) -> bool:
        self._writable()
        return self._state.switched_off.pop(model_id, None) is not None


class MemoryUiState:
    """See the port."""

    def __init__(self, state: _State) -> None:
        self._state = state

    async def get(self, user_id: UserId) -> Expect | None:
        return self._state.expects.get(user_id)


class MemoryInbox:
    """See the port."""

    def __init__(self, state: _State, writable: Callable[[], None]) -> None:
        self._state = state
        self._writable = writable

    async def store(self, update_id: int, user_id: UserId, body: str, at: datetime) -> bool:
        self._writable()
        if update_id in self._state.inbox:
            return False
        self._state.inbox[update_id] = _Update(user_id=user_id, body=body, received_at=at)
        return True

    async def waiting(self, limit: int) -> Sequence[Update]:
        return self._waiting()[:limit]

    async def knows(self, update_id: int) -> bool:
        return update_id in self._state.inbox

    async def waiting_of(self, user_id: UserId) -> int:
        return sum(update.user_id == user_id for update in self._waiting())

    async def take(self, taker: str, limit: int, at: datetime, until: datetime) -> Sequence[Update]:
        self._writable()
        taken: dict[UserId, Update] = {}
        for update in self._waiting():
            has = self._state.taken.get(update.user_id)
            if update.user_id not in taken and (has is None or has.until <= at):
                taken[update.user_id] = update
        oldest = list(taken.values())[:limit]
        for update in oldest:
            self._state.taken[update.user_id] = _Taken(taker=taker, until=until)
        return oldest

    async def renew(self, taker: str, user_ids: Sequence[UserId], until: datetime) -> set[UserId]:
        self._writable()
        kept = {user_id for user_id in user_ids if self._is_of(taker, user_id)}
        for user_id in kept:
            self._state.taken[user_id] = _Taken(taker=taker, until=until)
        return kept

    async def answered(self, update_id: int, at: datetime) -> None:
        self._writable()
        update = self._state.inbox.get(update_id)
        if update is not None and update.answered_at is None:
            self._state.inbox[update_id] = evolve(update, is_done=True, answered_at=at)

    async def failed(self, update_id: int) -> None:
        self._writable()
        update = self._state.inbox.get(update_id)
        if update is not None:
            self._state.inbox[update_id] = evolve(update, tries=update.tries + 1)

    async def give_back(self, taker: str, user_id: UserId, free_at: datetime) -> None:
        self._writable()
        if self._is_of(taker, user_id):
            self._state.taken[user_id] = _Taken(taker="", until=free_at)

    async def free(self) -> None:
        self._writable()
        self._state.taken.clear()

    async def prune(self, before: datetime, limit: int) -> int:
        self._writable()
        old = [
            update_id
            for update_id, update in self._state.inbox.items()
            if update.answered_at is not None and update.answered_at < before
        ][:limit]
        for update_id in old:
            del self._state.inbox[update_id]
        return len(old)

    def _waiting(self) -> list[Update]:
        return [
            Update(
                id=update_id,
                user_id=update.user_id,
                body=update.body,
                is_done=update.is_done,
                tries=update.tries,
            )
            for update_id, update in sorted(self._state.inbox.items(), key=lambda item: item[0])
            if update.answered_at is None
        ]

    def _is_of(self, taker: str, user_id: UserId) -> bool:
        has = self._state.taken.get(user_id)
        return has is not None and has.taker == taker


class MemoryOutbox:
    """See the port."""

    def __init__(self, state: _State, writable: Callable[[], None]) -> None:
        self._state = state
        self._writable = writable

    async def untold(self, limit: int, *, local: bool) -> Sequence[Untold]:
        return self._where(
            lambda _, told: told.told_at is None and is_local(told.event.user_id) == local, limit
        )

    async def awaiting(
        self, limit: int, after: UserId | None = None, *, local: bool
    ) -> Sequence[UserId]:
        people = {
            told.event.user_id for told in self._state.outbox.values() if told.told_at is None
        }
        return sorted(
            user_id
            for user_id in people
            if is_local(user_id) == local and (after is None or user_id > after)
        )[:limit]

    async def untold_of(
        self, user_id: UserId, limit: int, since: int | None = None
    ) -> Sequence[Untold]:
        return self._where(
            lambda number, told: (
                told.event.user_id == user_id
                and (told.told_at is None or (since is not None and number > since))
            ),
            limit,
        )

    async def last_of(self, user_id: UserId) -> int:
        return max(
            (
                number
                for number, told in self._state.outbox.items()
                if told.event.user_id == user_id
            ),
            default=0,
        )

    async def told(self, event_id: int, at: datetime) -> None:
        self._writable()
        told = self._state.outbox.get(event_id)
        if told is not None and told.told_at is None:
            self._state.outbox[event_id] = evolve(told, told_at=at)

    async def last_alert(self, cause: str) -> datetime | None:
        return max(
            (
                told.created_at
                for told in self._state.outbox.values()
                if isinstance(told.event, Alert) and told.event.cause == cause
            ),
            default=None,
        )

    async def prune(self, before: datetime, limit: int) -> int:
        self._writable()
        last = {told.event.user_id: number for number, told in self._state.outbox.items()}
        causes = {
            told.event.cause: number
            for number, told in self._state.outbox.items()
            if isinstance(told.event, Alert)
        }
        kept = {*last.values(), *causes.values()}
        old = [
            number
            for number, told in self._state.outbox.items()
            if told.told_at is not None and told.told_at < before and number not in kept
        ][:limit]
        for number in old:
            del self._state.outbox[number]
        return len(old)

    def _where(self, fits: Callable[[int, _Told], bool], limit: int) -> Sequence[Untold]:
        found = [
            Untold(id=number, event=told.event)
            for number, told in self._state.outbox.items()
            if fits(number, told)
        ]
        return found[:limit]


class MemorySentFiles:
    """See the port."""

    def __init__(self, state: _State, writable: Callable[[], None]) -> None:
        self._state = state
        self._writable = writable

    async def get(self, address: str, kind: MediaKind) -> SentFile | None:
        return self._state.sent.get((address, kind))

    async def save(self, address: str, kind: MediaKind, sent: SentFile, at: datetime) -> None:  # noqa: ARG002
        self._writable()
        self._state.sent[address, kind] = sent


class MemoryNotices:
    """See the port."""

    def __init__(self, state: _State, writable: Callable[[], None]) -> None:
        self._state = state
        self._writable = writable

    async def of_person(self, user_id: UserId) -> Sequence[Notice]:
        found = [one for one, _ in self._state.notices.values() if one.user_id == user_id]
        return sorted(found, key=lambda one: one.message_id)

    async def of(self, about: About, ref: JobId | TopUpId) -> Sequence[Notice]:
        found = [
            one for one, _ in self._state.notices.values() if (one.about, one.ref) == (about, ref)
        ]
        return sorted(found, key=lambda one: one.user_id)

    async def newest(self, about: About, limit: int) -> Sequence[Notice]:
        kept = [(at, one) for one, at in self._state.notices.values() if one.about is about]
        return [one for _, one in sorted(kept, key=lambda pair: pair[0], reverse=True)[:limit]]

    async def save(self, notice: Notice, at: datetime) -> None:
        self._writable()
        for known in await self.of(notice.about, notice.ref):
            if known.user_id == notice.user_id:
                del self._state.notices[known.user_id, known.message_id]
        self._state.notices[notice.user_id, notice.message_id] = (notice, at)

    async def remove(self, user_id: UserId, message_ids: Sequence[int]) -> None:
        self._writable()
        for message_id in message_ids:
            self._state.notices.pop((user_id, message_id), None)

    async def prune(self, before: datetime, limit: int) -> int:
        self._writable()
        old = [key for key, (_, at) in self._state.notices.items() if at < before][:limit]
        for key in old:
            del self._state.notices[key]
        return len(old)


class MemoryInstances:
    """See the port."""

    def __init__(self, state: _State, writable: Callable[[], None]) -> None:
        self._state = state
        self._writable = writable

    async def note(self, name: str, at: datetime, since: datetime) -> int:
        self._writable()
        known = self._state.instances
        known[name] = at
        for silent in [one for one, seen_at in known.items() if seen_at < since]:
            del known[silent]
        return len(known)

    async def leave(self, name: str) -> None:
        self._writable()
        self._state.instances.pop(name, None)


def _found(what: str, id: object, thing: T | None) -> T:  # noqa: A002 - the attribute's name
    if thing is None:
        raise NotFoundError(what, id)
    return thing


def _by_age(topup: TopUp) -> tuple[datetime, TopUpId]:
    return (topup.created_at, topup.id)


def _settles_alike(one: EntryKind, other: EntryKind) -> bool:
    """Whether a job has at most one of these."""
    return one is other or (one in _SETTLEMENTS and other in _SETTLEMENTS)


def _facts(state: _State) -> Iterable[Fact]:
    entries = list(state.ledger.values())
    for user_id, wallet in state.wallets.items():
        of_user = [entry for entry in entries if entry.user_id == user_id]
        effects = [(EFFECTS[entry.kind], entry.amount.kopecks) for entry in of_user]
        yield WalletFact(
            user_id=user_id,
            balance_kop=wallet.available.kopecks,
            hold_kop=wallet.held.kopecks,
            ledger_balance_kop=sum(available * kopecks for (available, _), kopecks in effects),
            ledger_hold_kop=sum(held * kopecks for (_, held), kopecks in effects),
            open_jobs_kop=sum(
                job.price.kopecks
                for job in state.jobs.values()
                if job.user_id == user_id and job.is_open and job.price is not None
            ),
            entries=len(of_user),
        )
    for job in state.jobs.values():
        of_job = [entry for entry in entries if entry.job_id == job.id]
        yield JobFact(
            job_id=job.id,
            status=job.status,
            holds=sum(entry.kind is EntryKind.HOLD for entry in of_job),
            charges=sum(entry.kind is EntryKind.CHARGE for entry in of_job),
            releases=sum(entry.kind is EntryKind.RELEASE for entry in of_job),
            refunds=sum(entry.kind is EntryKind.REFUND for entry in of_job),
            foreign=sum(
                (entry.user_id, entry.amount) != (job.user_id, job.price) for entry in of_job
            ),
        )
    for topup in state.topups.values():
        credited = [entry for entry in entries if entry.ref == f"topup:{topup.id}"]
        yield TopUpFact(
            topup_id=topup.id,
            status=topup.status,
            credits=len(credited),
            foreign=sum(
                (entry.user_id, entry.amount) != (topup.user_id, topup.amount) for entry in credited
            ),
        )
    for entry in entries:
        if entry.kind in OF_A_JOB and entry.job_id not in state.jobs:
            yield StrayFact(ref=entry.ref, why="no job")
        if (
            entry.kind is EntryKind.TOPUP
            and TopUpId(entry.ref.removeprefix("topup:")) not in state.topups
        ):
            yield StrayFact(ref=entry.ref, why="no top-up")
