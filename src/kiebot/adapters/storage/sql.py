"""
The repositories over SQL that PostgreSQL and SQLite both read.

What a database does its own way is behind `Connection`: how a `get` locks, and how the steps of a
change are run in one go.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

from attrs import frozen

from kiebot.adapters.storage import rows
from kiebot.adapters.storage.rows import (
    ACT,
    ENTRY,
    JOB,
    NOTICE,
    SENT,
    SWITCHED_OFF,
    TASK,
    TOPUP,
    UPDATE,
    USER,
    VISITOR,
    WALLET,
    Row,
)
from kiebot.core import waits
from kiebot.core.acts import Act, SwitchedOff
from kiebot.core.audit import Fact, judge
from kiebot.core.audit import Part as AuditPart
from kiebot.core.billing import Change, Expecting, JobStep, TopUpStep
from kiebot.core.errors import (
    DuplicateRefError,
    KiebotError,
    NotFoundError,
    StaleError,
    StorageError,
)
from kiebot.core.events import Event, Untold
from kiebot.core.expect import Expect
from kiebot.core.figures import Figures
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.margins import Billed, ModelSums
from kiebot.core.media import MediaKind, SentFile
from kiebot.core.money import LARGEST_KOPECKS, Money
from kiebot.core.notices import About, Notice
from kiebot.core.overview import Visitor
from kiebot.core.tasks import Task, TaskId
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.updates import Update
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind, JobId, LedgerEntry, Wallet, post
from kiebot.ports.storage import Lane
from kiebot.ports.system import Clock

R = TypeVar("R")

utc_now: Clock = partial(datetime.now, UTC)
"""The clock of who has none to hand in."""

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(9999, 1, 1, tzinfo=UTC)

_LANES = {
    Lane.SUBMIT: "status = 'queued'",
    Lane.CHECK: "status <> 'queued'",
}
"""As the partial indexes of each lane say it."""


@frozen
class UpdateDone:
    """The part of a change that says which update it handles."""

    update_id: int


Part = JobStep | TopUpStep | LedgerEntry | Task | UpdateDone


@frozen
class Step:
    """
    A statement that returns the one row it wrote.

    `part` is what of a change is refused where it wrote none; None where that is no harm.
    """

    statement: str
    values: tuple[object, ...]
    part: Part | None = None


class Connection(Protocol):
    """A connection inside a transaction. An error of the driver leaves it as a StorageError."""

    @property
    def locking(self) -> str:
        """What a `select` by `get` ends in, so that its row stays as it is until the end."""

    def skipping(self, table: str) -> str:
        """What a `select` inside a statement that writes ends in, to pass over what is locked."""

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        """All rows; `$1` is the first value."""

    async def fetchrow(self, query: str, *values: object) -> Row | None:
        """The first row."""

    async def survey(self, query: str) -> Sequence[Row]:
        """All rows, which are few, of a query that looks at everything and takes its time."""

    def stream(self, query: str) -> AsyncIterator[Row]:
        """All rows of such a query, not all in memory."""

    async def store(
        self, topups: Sequence[Step], jobs: Sequence[Step], entry: LedgerEntry | None,
        others: Sequence[Step],
    ) -> Part | None:  # fmt: skip
        """
        Run all steps and post the entry, with as few round trips as there can be; the first part
        that was refused, or None.

        Jobs and top-ups are written before the wallet is locked: that is everybody's order.
        An entry is refused, and nothing moves, where its ref stands or the wallet has too little.
        """

    async def write(self, *steps: Step) -> Sequence[bool]:
        """Run steps of which none is refused, in one round trip; whether each wrote."""

    async def queue_up(self, what: str) -> None:
        """Where this transaction writes: wait until no other one of this name is open."""

    def give_up(self, error: BaseException) -> None:
        """Nothing of this transaction is to be stored."""


class SqlUsers:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, user_id: UserId) -> User:
        row = await self._connection.fetchrow(f"select {USER} from users where id = $1", user_id)
        if row is None:
            raise NotFoundError("user", user_id)
        return rows.user(row)

    async def visitor(self, user_id: UserId) -> Visitor:
        locking = self._connection.locking and f"{self._connection.locking} of wallets"
        found = await self._connection.fetch(
            f"select {VISITOR} from users join wallets on wallets.user_id = users.id"
            f" left join switched_off on true where users.id = $1{locking}",
            user_id,
        )
        if not found:
            raise NotFoundError("user", user_id)
        return rows.visitor(found)

    async def add(self, user: User) -> bool:
        is_new = await self._connection.fetchrow(
            f"insert into users ({USER}) values ($1, $2, $3, $4, $5, $6, $7)"
            " on conflict (id) do nothing returning id",
            *rows.user_row(user),
        )
        if is_new is not None:
            await self._connection.fetchrow(
                "insert into wallets (user_id, balance_kop, hold_kop) values ($1, 0, 0)"
                " returning user_id",
                user.id,
            )
            return True
        await self._connection.fetchrow(
            "update users set name = $2, nickname = $3 where id = $1"
            " and (name <> $2 or coalesce(nickname, '') <> coalesce($3, '')) returning id",
            user.id,
            rows.text(user.name),
            rows.text(user.nickname),
        )
        return False

    async def speak(self, user_id: UserId, language: Language) -> None:
        row = await self._connection.fetchrow(
            "update users set language = $2 where id = $1 returning id", user_id, str(language)
        )
        if row is None:
            raise NotFoundError("user", user_id)

    async def named(self, nickname: str, limit: int) -> Sequence[User]:
        found = await self._connection.fetch(
            f"select {USER} from users where lower(nickname) = lower($1)"
            " order by coalesce(seen_at, created_at) desc, id limit $2",
            rows.text(nickname),
            limit,
        )
        return [rows.user(row) for row in found]

    async def saw(self, user_id: UserId, at: datetime) -> None:
        await self._connection.fetchrow(
            "update users set seen_at = $2"
            " where id = $1 and (seen_at is null or seen_at < $2) returning id",
            user_id,
            at,
        )

    async def block(self, user_id: UserId, at: datetime | None) -> bool:
        if at is None:
            row = await self._connection.fetchrow(
                "update users set blocked_at = null"
                " where id = $1 and blocked_at is not null returning id",
                user_id,
            )
        else:
            row = await self._connection.fetchrow(
                "update users set blocked_at = $2"
                " where id = $1 and blocked_at is null returning id",
                user_id,
                at,
            )
        return row is not None

    async def came(self, since: datetime) -> tuple[int, int]:
        seen = await self._connection.fetchrow(
            "select count(*) as people from users where seen_at >= $1", since
        )
        new = await self._connection.fetchrow(
            "select count(*) as people from users where created_at >= $1 and seen_at >= $1", since
        )
        return (_people(seen), _people(new))


def _people(row: Row | None) -> int:
    return 0 if row is None else int(row["people"])


class SqlWallets:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, user_id: UserId) -> Wallet:
        row = await self._connection.fetchrow(
            f"select {WALLET} from wallets where user_id = $1{self._connection.locking}", user_id
        )
        if row is None:
            raise NotFoundError("wallet", user_id)
        return rows.wallet(row)


class SqlLedger:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def of_job(self, job_id: JobId) -> Sequence[LedgerEntry]:
        found = await self._connection.fetch(
            f"select {ENTRY} from ledger where job_id = $1", job_id
        )
        # They are few, and in the order of no index.
        return sorted((rows.entry(row) for row in found), key=lambda entry: entry.id or 0)

    async def by_ref(self, ref: str) -> LedgerEntry | None:
        row = await self._connection.fetchrow(f"select {ENTRY} from ledger where ref = $1", ref)
        return None if row is None else rows.entry(row)

    async def recent(
        self, user_id: UserId, limit: int, before: int | None = None
    ) -> Sequence[LedgerEntry]:
        found = await self._connection.fetch(
            f"select {ENTRY} from ledger"
            " where user_id = $1 and id < $2"
            " and not (kind = 'hold' and exists ("
            "   select 1 from ledger settled where settled.job_id = ledger.job_id"
            "   and settled.kind in ('charge', 'release')))"
            " order by id desc limit $3",
            user_id,
            LARGEST_KOPECKS if before is None else before,
            limit,
        )
        return [rows.entry(row) for row in found]

    async def topped_up(self, user_id: UserId) -> Sequence[LedgerEntry]:
        found = await self._connection.fetch(
            f"select {ENTRY} from ledger where user_id = $1 and kind = 'topup' order by id desc",
            user_id,
        )
        return [rows.entry(row) for row in found]

    async def moved(self, since: datetime) -> Mapping[EntryKind, Money]:
        found = await self._connection.fetch(
            "select kind, sum(amount_kop) as amount_kop from ledger where created_at >= $1"
            " group by kind",
            since,
        )
        # PostgreSQL adds up 64-bit integers to a numeric.
        return {EntryKind(row["kind"]): Money(int(row["amount_kop"])) for row in found}


class SqlJobs:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, job_id: JobId) -> Job:
        row = await self._connection.fetchrow(
            f"select {JOB} from jobs where id = $1{self._connection.locking}", job_id
        )
        if row is None:
            raise NotFoundError("job", job_id)
        return rows.job(row)

    async def recent(
        self, user_id: UserId, limit: int, before: JobId | None = None
    ) -> Sequence[Job]:
        if before is None:
            return await self._jobs(
                f"select {JOB} from jobs where user_id = $1 and confirmed_at is not null"
                " order by confirmed_at desc, id desc limit $2",
                user_id,
                limit,
            )
        return await self._jobs(
            f"select {JOB} from jobs where user_id = $1 and confirmed_at is not null"
            " and (confirmed_at, id) < (select confirmed_at, id from jobs where id = $3)"
            " order by confirmed_at desc, id desc limit $2",
            user_id,
            limit,
            before,
        )

    async def open_of(self, user_id: UserId) -> Sequence[Job]:
        return await self._jobs(
            f"select {JOB} from jobs where user_id = $1 and status in ('queued', 'running')"
            " order by confirmed_at, id",
            user_id,
        )

    async def count_open_of(self, user_id: UserId) -> int:
        row = await self._connection.fetchrow(
            "select count(*) as jobs from jobs"
            " where user_id = $1 and status in ('queued', 'running')",
            user_id,
        )
        return 0 if row is None else int(row["jobs"])

    async def open(self, limit: int) -> Sequence[Job]:
        return await self._jobs(
            f"select {JOB} from jobs where status in ('queued', 'running')"
            " order by confirmed_at, id limit $1",
            limit,
        )

    async def failed(self, limit: int) -> Sequence[Job]:
        return await self._jobs(
            f"select {JOB} from jobs where status = 'failed'"
            " order by updated_at desc, id desc limit $1",
            limit,
        )

    async def counts(self, since: datetime) -> Mapping[JobStatus, int]:
        found = await self._connection.fetch(
            "select status, count(*) as jobs from jobs where confirmed_at >= $1 group by status",
            since,
        )
        return {JobStatus(row["status"]): int(row["jobs"]) for row in found}

    async def draft_of(self, user_id: UserId) -> Job | None:
        found = await self._jobs(
            f"select {JOB} from jobs where user_id = $1 and status = 'draft'"
            " order by updated_at desc, id limit 1",
            user_id,
        )
        return found[0] if found else None

    async def due(
        self, at: datetime, limit: int, lane: Lane, *, local: bool, beyond: datetime | None = None
    ) -> Sequence[Job]:
        # Each part by the lane's index, which one condition with `or` would read as a whole.
        some = f"select {JOB} from jobs where {_LANES[lane]} and (user_id < 0) = $2"
        found = await self._jobs(
            f"select * from ({some} and next_check_at > $4"
            " order by next_check_at, id limit $3) as astray"
            f" union all select * from ({some} and next_check_at <= $1"
            " order by next_check_at, id limit $3) as due",
            at,
            local,
            limit,
            beyond or FAR_AHEAD,
        )
        return found[:limit]

    async def next_due(self, *, local: bool) -> datetime | None:
        moments = []
        for lane in Lane:
            row = await self._connection.fetchrow(
                "select next_check_at from jobs"
                f" where {_LANES[lane]} and next_check_at is not null and (user_id < 0) = $1"
                " order by next_check_at limit 1",
                local,
            )
            if row is not None:
                moments.append(rows.moment(row["next_check_at"]))
        return min(moments, default=None)

    async def running(self, younger_than: Sequence[datetime]) -> Sequence[int]:
        columns = [
            f"coalesce(sum(case when confirmed_at > ${number} then 1 else 0 end), 0)"
            f" as count_{number}"
            for number in range(1, len(younger_than) + 1)
        ]
        row = await self._connection.fetchrow(
            f"select {', '.join([*columns, 'count(*) as everything'])} from jobs"
            # The first condition is that of the index, in its own words.
            " where status in ('queued', 'running') and status = 'running'",
            *younger_than,
        )
        assert row is not None
        sums = [int(row[f"count_{number}"]) for number in range(1, len(columns) + 1)]
        sums.append(int(row["everything"]))
        return [after - before for before, after in pairwise([0, *sums])]

    async def stale_drafts(self, untouched_since: datetime, limit: int) -> Sequence[Job]:
        return await self._jobs(
            f"select {JOB} from jobs where status = 'draft' and updated_at <= $1"
            " and not exists (select 1 from topups where topups.user_id = jobs.user_id"
            "   and topups.status in ('pending', 'manual_review'))"
            " order by updated_at, id limit $2",
            untouched_since,
            limit,
        )

    async def times(self, model_id: str, limit: int) -> Sequence[float]:
        found = await self._connection.fetch(
            "select confirmed_at, updated_at from jobs where model_id = $1 and status = 'succeeded'"
            " and confirmed_at is not null order by updated_at desc limit $2",
            model_id,
            limit,
        )
        return [
            (rows.moment(row["updated_at"]) - rows.moment(row["confirmed_at"])).total_seconds()
            for row in found
        ]

    async def costs(self, since: datetime | None) -> Sequence[ModelSums]:
        found = await self._connection.fetch(COSTS, since or LONG_AGO)
        return [rows.model_sums(row) for row in found]

    async def billed(self, since: datetime | None, alike: int, worst: int) -> Sequence[Billed]:
        found = await self._connection.fetch(BILLED, since or LONG_AGO, alike, worst)
        return [rows.billed(row) for row in found]

    async def _jobs(self, query: str, *values: object) -> Sequence[Job]:
        return [rows.job(row) for row in await self._connection.fetch(query, *values)]


class SqlTasks:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def of_job(self, job_id: JobId) -> Sequence[Task]:
        found = await self._connection.fetch(
            f"select {TASK} from tasks where job_id = $1 order by created_at, id", job_id
        )
        return [rows.task(row) for row in found]

    async def find(self, task_id: TaskId) -> Task | None:
        row = await self._connection.fetchrow(f"select {TASK} from tasks where id = $1", task_id)
        return None if row is None else rows.task(row)


class SqlLimits:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def make(self, name: str, slots: int) -> None:
        for slot in range(slots):
            await self._connection.fetch(
                "insert into limits (name, slot, free_at) values ($1, $2, $3)"
                " on conflict (name, slot) do nothing returning slot",
                name,
                slot,
                LONG_AGO,
            )

    async def take(
        self, name: str, slots: int, at: datetime, until: datetime, beyond: datetime | None = None
    ) -> int | None:
        row = await self._connection.fetchrow(
            "update limits set free_at = $4 where name = $1 and slot = ("
            "  select slot from limits"
            "  where name = $1 and slot < $2 and (free_at <= $3 or free_at > $5)"
            f"  order by free_at, slot limit 1{self._connection.locking})"
            " and (free_at <= $3 or free_at > $5) returning slot",
            name,
            slots,
            at,
            until,
            beyond,
        )
        return None if row is None else int(row["slot"])

    async def free_at(self, name: str, slots: int) -> datetime | None:
        row = await self._connection.fetchrow(
            "select min(free_at) as free_at from limits where name = $1 and slot < $2", name, slots
        )
        return None if row is None or row["free_at"] is None else rows.moment(row["free_at"])

    async def give(self, name: str, slot: int, until: datetime, free_at: datetime) -> None:
        await self._connection.fetch(
            "update limits set free_at = $4"
            " where name = $1 and slot = $2 and free_at = $3 returning slot",
            name,
            slot,
            until,
            free_at,
        )


class SqlTopUps:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, topup_id: TopUpId) -> TopUp:
        found = await self._topups(
            f"select {TOPUP} from topups where id = $1{self._connection.locking}", topup_id
        )
        if not found:
            raise NotFoundError("top-up", topup_id)
        return found[0]

    async def pending_of(self, user_id: UserId) -> TopUp | None:
        found = await self._topups(
            f"select {TOPUP} from topups where user_id = $1 and status = 'pending'", user_id
        )
        return found[0] if found else None

    async def reviewed_of(self, user_id: UserId) -> TopUp | None:
        found = await self._topups(
            f"select {TOPUP} from topups where user_id = $1 and status = 'manual_review'"
            " order by created_at desc, id desc limit 1",
            user_id,
        )
        return found[0] if found else None

    async def waiting_of(self, user_id: UserId) -> TopUp | None:
        # In the words of an index; they are few.
        found = await self._topups(
            f"select {TOPUP} from topups"
            " where user_id = $1 and status in ('pending', 'manual_review')",
            user_id,
        )
        return max(
            found,
            key=lambda one: (one.status is TopUpStatus.PENDING, one.created_at, one.id),
            default=None,
        )

    async def to_review(self, limit: int) -> Sequence[TopUp]:
        return await self._topups(
            f"select {TOPUP} from topups where status = 'manual_review'"
            " order by created_at, id limit $1",
            limit,
        )

    async def with_receipt(self, digest: str, other_than: TopUpId, limit: int) -> Sequence[TopUp]:
        return await self._topups(
            f"select {TOPUP} from topups where id <> $2"
            " and id in (select topup_id from topup_receipts where digest = $1)"
            " order by case status when 'approved' then 0 else 1 end, created_at desc, id desc"
            " limit $3",
            digest,
            other_than,
            limit,
        )

    async def _topups(self, query: str, *values: object) -> Sequence[TopUp]:
        return [rows.topup(row) for row in await self._connection.fetch(query, *values)]


class SqlActs:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def recent(
        self, limit: int, before: int | None = None, user_id: UserId | None = None
    ) -> Sequence[Act]:
        last = LARGEST_KOPECKS if before is None else before
        if user_id is None:
            found = await self._connection.fetch(
                f"select {ACT} from acts where id < $1 order by id desc limit $2", last, limit
            )
        else:
            found = await self._connection.fetch(
                f"select {ACT} from acts where user_id = $3 and id < $1 order by id desc limit $2",
                last,
                limit,
                user_id,
            )
        return [rows.act(row) for row in found]


class SqlSwitches:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def off(self) -> Sequence[SwitchedOff]:
        found = await self._connection.fetch(
            f"select {SWITCHED_OFF} from switched_off order by model_id"
        )
        return [rows.switched_off(row) for row in found]

    async def find(self, model_id: str) -> SwitchedOff | None:
        row = await self._connection.fetchrow(
            f"select {SWITCHED_OFF} from switched_off where model_id = $1", model_id
        )
        return None if row is None else rows.switched_off(row)

    async def switch_off(self, switched: SwitchedOff) -> bool:
        row = await self._connection.fetchrow(
            f"insert into switched_off ({SWITCHED_OFF}) values ($1, $2, $3, $4)"
            " on conflict (model_id) do nothing returning model_id",
            *rows.switched_off_row(switched),
        )
        return row is not None

    async def switch_on(self, model_id: str) -> bool:
        row = await self._connection.fetchrow(
            "delete from switched_off where model_id = $1 returning model_id", model_id
        )
        return row is not None


class SqlUiState:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, user_id: UserId) -> Expect | None:
        row = await self._connection.fetchrow(
            "select state from ui_state where user_id = $1", user_id
        )
        return None if row is None else rows.expect(row["state"])


class SqlInbox:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def store(self, update_id: int, user_id: UserId, body: str, at: datetime) -> bool:
        stored, _ = await self._connection.write(
            Step(
                "insert into inbox (update_id, user_id, body, received_at) values ($1, $2, $3, $4)"
                " on conflict (update_id) do nothing returning update_id",
                (update_id, user_id, rows.text(body), at),
            ),
            Step(
                "insert into inbox_people (user_id, taker, taken_until) values ($1, '', $2)"
                " on conflict (user_id) do nothing returning user_id",
                (user_id, LONG_AGO),
            ),
        )
        return stored

    async def waiting(self, limit: int) -> Sequence[Update]:
        found = await self._connection.fetch(
            f"select {UPDATE} from inbox where answered_at is null order by update_id limit $1",
            limit,
        )
        return [rows.update(row) for row in found]

    async def knows(self, update_id: int) -> bool:
        row = await self._connection.fetchrow(
            "select update_id from inbox where update_id = $1", update_id
        )
        return row is not None

    async def waiting_of(self, user_id: UserId) -> int:
        row = await self._connection.fetchrow(
            "select count(*) as updates from inbox where user_id = $1 and answered_at is null",
            user_id,
        )
        return 0 if row is None else int(row["updates"])

    async def take(
        self,
        taker: str,
        limit: int,
        at: datetime,
        until: datetime,
        beyond: datetime | None = None,
    ) -> Sequence[Update]:
        # Whom another process is taking right now is left to it. The lock is on the person: an
        # older update of theirs may be stored while a newer one is being handled.
        locking = self._connection.skipping("person")
        taken = await self._connection.fetch(
            "update inbox_people set taker = $1, taken_until = $4 where user_id in ("
            " select person.user_id from inbox waiting"
            " join inbox_people person on person.user_id = waiting.user_id"
            " where waiting.answered_at is null"
            " and (person.taken_until <= $3 or person.taken_until > $5)"
            " and not exists (select 1 from inbox older where older.user_id = waiting.user_id"
            "   and older.answered_at is null and older.update_id < waiting.update_id)"
            f" order by waiting.update_id limit $2{locking})"
            " and (taken_until <= $3 or taken_until > $5) returning user_id",
            taker,
            limit,
            at,
            until,
            beyond,
        )
        if not taken:
            return []
        people = [row["user_id"] for row in taken]
        found = await self._connection.fetch(
            f"select {UPDATE} from inbox where update_id in ("
            " select min(update_id) from inbox where answered_at is null"
            f" and user_id in ({_places(people)}) group by user_id)",
            *people,
        )
        updates = sorted((rows.update(row) for row in found), key=lambda update: update.id)
        for user_id in set(people) - {update.user_id for update in updates}:
            # Answered since we looked.
            await self.give_back(taker, user_id)
        return updates

    async def renew(self, taker: str, user_ids: Sequence[UserId], until: datetime) -> set[UserId]:
        if not user_ids:
            return set()
        kept = await self._connection.fetch(
            "update inbox_people set taken_until = $2"
            f" where taker = $1 and user_id in ({_places(user_ids, first=3)}) returning user_id",
            taker,
            until,
            *user_ids,
        )
        return {UserId(row["user_id"]) for row in kept}

    async def answered(
        self, update_id: int, at: datetime, taken: tuple[str, UserId] | None = None
    ) -> None:
        answered = Step(
            "update inbox set answered_at = $2, done_at = coalesce(done_at, $2)"
            " where update_id = $1 and answered_at is null returning update_id",
            (update_id, at),
        )
        given_back = () if taken is None else (_give_back(*taken),)
        await self._connection.write(answered, *given_back)

    async def failed(self, update_id: int) -> None:
        await self._connection.fetch(
            "update inbox set tries = tries + 1 where update_id = $1 returning update_id",
            update_id,
        )

    async def give_back(self, taker: str, user_id: UserId, free_at: datetime | None = None) -> None:
        await self._connection.write(_give_back(taker, user_id, free_at))

    async def free(self) -> None:
        await self._connection.fetch(
            "update inbox_people set taker = '', taken_until = $1 where taken_until > $1"
            " returning user_id",
            LONG_AGO,
        )

    async def prune(self, before: datetime, limit: int) -> int:
        gone = await self._connection.fetch(
            "delete from inbox where update_id in ("
            " select update_id from inbox where answered_at < $1 order by answered_at limit $2)"
            " returning update_id",
            before,
            limit,
        )
        return len(gone)


def _give_back(taker: str, user_id: UserId, free_at: datetime | None = None) -> Step:
    return Step(
        "update inbox_people set taker = '', taken_until = $3"
        " where user_id = $2 and taker = $1 returning user_id",
        (taker, user_id, free_at or LONG_AGO),
    )


class SqlOutbox:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def untold(self, limit: int, *, local: bool) -> Sequence[Untold]:
        found = await self._connection.fetch(
            "select id, event from outbox where told_at is null and (user_id < 0) = $2"
            " order by id limit $1",
            limit,
            local,
        )
        return [rows.untold(row) for row in found]

    async def awaiting(
        self, limit: int, after: UserId | None = None, *, local: bool
    ) -> Sequence[UserId]:
        # From person to person by the index, and not from event to event. The ids of people of the
        # terminal are those below 0; no id is the largest or the smallest there is.
        first, last = (-(2**63) + 1, -1) if local else (0, 2**63 - 1)
        found = await self._connection.fetch(
            "with recursive people (user_id, number) as ("
            " select (select user_id from outbox where told_at is null"
            "   and user_id between $1 and $2 order by user_id limit 1), 1"
            " union all"
            " select (select user_id from outbox where told_at is null"
            "   and user_id > people.user_id and user_id <= $2 order by user_id limit 1),"
            " number + 1 from people where number < $3 and people.user_id is not null)"
            " select user_id from people where user_id is not null",
            first if after is None else max(first, after + 1),
            last,
            limit,
        )
        return [UserId(row["user_id"]) for row in found]

    async def untold_of(
        self, user_id: UserId, limit: int, since: int | None = None
    ) -> Sequence[Untold]:
        if since is None:
            found = await self._connection.fetch(
                "select id, event from outbox where user_id = $1 and told_at is null"
                " order by id limit $2",
                user_id,
                limit,
            )
        else:
            found = await self._connection.fetch(
                "select id, event from outbox where user_id = $1 and told_at is null"
                " union all"
                " select id, event from outbox"
                " where user_id = $1 and told_at is not null and id > $3"
                " order by id limit $2",
                user_id,
                limit,
                since,
            )
        return [rows.untold(row) for row in found]

    async def last_of(self, user_id: UserId) -> int:
        row = await self._connection.fetchrow(
            "select coalesce(max(id), 0) as id from ("
            " select max(id) as id from outbox where user_id = $1 and told_at is null"
            " union all"
            " select max(id) as id from outbox where user_id = $1 and told_at is not null"
            ") as last",
            user_id,
        )
        return 0 if row is None else int(row["id"])

    async def told(self, event_id: int, at: datetime) -> None:
        await self._connection.fetchrow(
            "update outbox set told_at = $2 where id = $1 and told_at is null returning id",
            event_id,
            at,
        )

    async def last_alert(self, cause: str) -> datetime | None:
        # A row that is not there yet cannot be locked.
        await self._connection.queue_up(f"alert {cause}")
        row = await self._connection.fetchrow(
            "select created_at from outbox where cause = $1 order by created_at desc limit 1",
            cause,
        )
        return None if row is None else rows.moment(row["created_at"])

    async def prune(self, before: datetime, limit: int) -> int:
        gone = await self._connection.fetch(
            "delete from outbox where id in ("
            " select id from outbox old where told_at < $1 and ("
            "   exists (select 1 from outbox later where later.told_at is not null"
            "     and later.user_id = old.user_id and later.id > old.id)"
            "   or exists (select 1 from outbox later where later.told_at is null"
            "     and later.user_id = old.user_id and later.id > old.id))"
            " and (cause is null or exists (select 1 from outbox later"
            "   where later.cause = old.cause and later.created_at > old.created_at))"
            " order by told_at limit $2) returning id",
            before,
            limit,
        )
        return len(gone)


class SqlSentFiles:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, address: str, kind: MediaKind) -> SentFile | None:
        row = await self._connection.fetchrow(
            f"select {SENT} from sent where address = $1 and kind = $2",
            rows.address_key(address),
            str(kind),
        )
        return None if row is None else rows.sent_file(row)

    async def save(self, address: str, kind: MediaKind, sent: SentFile, at: datetime) -> None:
        await self._connection.fetchrow(
            "insert into sent (address, kind, file_id, sent_as, sent_at)"
            " values ($1, $2, $3, $4, $5)"
            " on conflict (address, kind) do update set file_id = excluded.file_id,"
            " sent_as = excluded.sent_as, sent_at = excluded.sent_at returning kind",
            rows.address_key(address),
            str(kind),
            rows.text(sent.file_id),
            str(sent.kind),
            at,
        )


class SqlNotices:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def of_person(self, user_id: UserId) -> Sequence[Notice]:
        found = await self._connection.fetch(
            f"select {NOTICE} from notices where user_id = $1 order by message_id", user_id
        )
        return [rows.notice(row) for row in found]

    async def of(self, about: About, ref: JobId | TopUpId) -> Sequence[Notice]:
        found = await self._connection.fetch(
            f"select {NOTICE} from notices where about = $1 and ref = $2 order by user_id",
            str(about),
            ref,
        )
        return [rows.notice(row) for row in found]

    async def newest(self, about: About, limit: int) -> Sequence[Notice]:
        found = await self._connection.fetch(
            f"select {NOTICE} from notices where about = $1 order by shown_at desc limit $2",
            str(about),
            limit,
        )
        return [rows.notice(row) for row in found]

    async def save(self, notice: Notice, at: datetime) -> None:
        await self._connection.fetch(
            "delete from notices where about = $1 and ref = $2 and user_id = $3"
            " returning message_id",
            str(notice.about),
            notice.ref,
            notice.user_id,
        )
        await self._connection.fetch(
            "insert into notices (user_id, message_id, about, ref, has_file, shown_at)"
            " values ($1, $2, $3, $4, $5, $6)"
            " on conflict (user_id, message_id) do update set about = excluded.about,"
            " ref = excluded.ref, has_file = excluded.has_file, shown_at = excluded.shown_at"
            " returning message_id",
            notice.user_id,
            notice.message_id,
            str(notice.about),
            notice.ref,
            notice.has_file,
            at,
        )

    async def remove(self, user_id: UserId, message_ids: Sequence[int]) -> None:
        if message_ids:
            await self._connection.fetch(
                "delete from notices where user_id = $1"
                f" and message_id in ({_places(message_ids, first=2)}) returning message_id",
                user_id,
                *message_ids,
            )

    async def prune(self, before: datetime, limit: int) -> int:
        gone = await self._connection.fetch(
            "delete from notices where (user_id, message_id) in ("
            " select user_id, message_id from notices where shown_at < $1 limit $2)"
            " returning message_id",
            before,
            limit,
        )
        return len(gone)


class SqlInstances:
    """See the port."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def note(self, name: str, at: datetime, since: datetime) -> int:
        await self._connection.fetch(
            "insert into instances (name, seen_at) values ($1, $2)"
            " on conflict (name) do update set seen_at = excluded.seen_at returning name",
            name,
            at,
        )
        await self._connection.fetch(
            "delete from instances where seen_at < $1 or seen_at > $2 returning name",
            since,
            waits.beyond(at, timedelta(0)),
        )
        row = await self._connection.fetchrow("select count(*) as instances from instances")
        return 1 if row is None else int(row["instances"])

    async def leave(self, name: str) -> None:
        await self._connection.fetch("delete from instances where name = $1 returning name", name)


# --- The unit of work


class _Repository(Generic[R]):
    """One of the repositories of a unit of work, made when it is used: most need few of them."""

    def __init__(self, kind: Callable[[Connection], R]) -> None:
        self._kind = kind

    def __get__(self, uow: "SqlUnitOfWork", _: object = None) -> R:
        return self._kind(uow.connection)


class SqlUnitOfWork:
    """The repositories inside one transaction."""

    users = _Repository(SqlUsers)
    wallets = _Repository(SqlWallets)
    ledger = _Repository(SqlLedger)
    jobs = _Repository(SqlJobs)
    tasks = _Repository(SqlTasks)
    limits = _Repository(SqlLimits)
    topups = _Repository(SqlTopUps)
    acts = _Repository(SqlActs)
    switches = _Repository(SqlSwitches)
    ui_state = _Repository(SqlUiState)
    inbox = _Repository(SqlInbox)
    outbox = _Repository(SqlOutbox)
    sent = _Repository(SqlSentFiles)
    notices = _Repository(SqlNotices)
    instances = _Repository(SqlInstances)

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self.connection = connection
        self._clock = clock

    async def record(self, change: Change) -> None:
        """See the port."""
        at = self._clock()
        others = [_save_task(task) for task in change.tasks]
        others += [_tell(event, at) for event in change.events]
        others += [_note(act) for act in change.acts]
        if change.expecting is not None:
            others.append(_expect(change.expecting, at))
        if change.update_id is not None:
            says_more = change != Change(update_id=change.update_id)
            others.append(_finish(change.update_id, at, says_more=says_more))
        refused = await self.connection.store(
            [step for topup in change.topups for step in _save_topup(topup)],
            [_save_job(job) for job in change.jobs],
            change.entry,
            others,
        )
        if refused is not None:
            error = await self._why_refused(refused)
            self.connection.give_up(error)
            raise error

    async def _why_refused(self, part: Part) -> KiebotError:
        match part:
            case JobStep(job=job):
                return StaleError("job", job.id)
            case TopUpStep(topup=topup):
                return StaleError("top-up", topup.id)
            case Task(id=task_id):
                return StaleError("task", task_id)
            case UpdateDone(update_id=update_id):
                return StaleError("update", str(update_id))
            case LedgerEntry():
                return await self._why_not_posted(part)

    async def _why_not_posted(self, entry: LedgerEntry) -> KiebotError:
        stands = await self.ledger.by_ref(entry.ref)
        if stands is not None:
            return DuplicateRefError(entry.ref, same=stands.is_same_movement(entry))
        try:
            post(await self.wallets.get(entry.user_id), entry)
        except KiebotError as error:
            return error
        # The job has such an entry already, under another ref.
        return DuplicateRefError(entry.ref, same=False)

    async def figures(self) -> Figures:
        """See the port."""
        ask = self.connection.fetchrow
        counted = await self.connection.fetch(
            # Each part in the words of an index.
            "select status, count(*) as jobs from jobs"
            " where status in ('succeeded', 'failed', 'refunded', 'cancelled') group by status"
            " union all select status, count(*) as jobs from jobs"
            " where status in ('queued', 'running') group by status"
            " union all select status, count(*) as jobs from jobs"
            " where status = 'draft' group by status"
        )
        work = await ask(
            "select min(confirmed_at) as oldest, coalesce(sum(price_kop), 0) as held"
            " from jobs where status in ('queued', 'running')"
        )
        news = await ask(
            "select count(*) as many, min(created_at) as oldest"
            " from outbox where told_at is null and user_id >= 0"
        )
        requests = await ask(
            "select count(*) as many, min(created_at) as oldest"
            " from topups where status = 'manual_review'"
        )
        updates = await ask(
            "select count(*) as many, min(received_at) as oldest"
            " from inbox where answered_at is null"
        )
        return rows.figures(counted, work, news, requests, updates)

    async def facts(self, part: AuditPart | None = None) -> AsyncIterator[Fact]:
        """See the port."""
        for each in AuditPart if part is None else (part,):
            audited = _AUDITED[each]
            # Few, however much is stored: all are read before anything else is asked.
            alike = [audited.fact(row) for row in await self.connection.survey(audited.alike)]
            right = [fact for fact in alike if not any(judge(fact))]
            for fact in right:
                yield fact
            if len(right) < len(alike):
                # Whoever is meant by it is named.
                async for row in self.connection.stream(audited.each):
                    fact = audited.fact(row)
                    if any(judge(fact)):
                        yield fact


# --- The steps of a change


def _save_job(step: JobStep) -> Step:
    values = rows.job_row(step.job)
    if step.was is None:
        return Step(
            f"insert into jobs ({JOB}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
            " $13, $14, $15, $16, $17, $18, $19) on conflict do nothing returning id",
            values,
            step,
        )
    # `id`, `user_id`, `model_id` and `created_at` of a job never change.
    update = (
        "update jobs set params = $3, status = $4, price_kop = $5, kie_price_kop = $6,"
        " offered_at = $7, confirmed_at = $8, submissions = $9, kie_task_id = $10,"
        " next_check_at = $11, result = $12, error = $13, error_detail = $14, replaced_by = $15,"
        " updated_at = $16, measures = $17"
        " where id = $1 and status = $2"
    )
    values = (step.job.id, str(step.was), *values[3:16], *values[17:])
    if step.seen is None:
        return Step(f"{update} returning id", values, step)
    # As `Job.is_as` has it.
    seen = (step.seen.submissions, rows.text(step.seen.kie_task_id) or "", step.seen.updated_at)
    return Step(
        f"{update} and submissions = $18 and coalesce(kie_task_id, '') = $19 and updated_at = $20"
        " returning id",
        (*values, *seen),
        step,
    )


def _save_topup(step: TopUpStep) -> list[Step]:
    values = rows.topup_row(step.topup)
    if step.was is None:
        # A person who has a pending one already is a conflict as well.
        saved = Step(
            f"insert into topups ({TOPUP}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
            " on conflict do nothing returning id",
            values,
            step,
        )
    else:
        saved = Step(
            "update topups set amount_kop = $3, status = $4, receipt = $5, reviewed_by = $6,"
            " reviewed_at = $7, why = $8"
            " where id = $1 and status = $2 returning id",
            (step.topup.id, str(step.was), values[2], *values[4:6], *values[7:]),
            step,
        )
    digests = {file.digest for file in step.topup.receipt if file.digest is not None}
    receipts = [
        Step(
            "insert into topup_receipts (digest, topup_id) values ($1, $2)"
            " on conflict do nothing returning topup_id",
            (digest, step.topup.id),
        )
        for digest in sorted(digests)
    ]
    return [saved, *receipts]


def _save_task(task: Task) -> Step:
    # What belongs to another job stays with it.
    return Step(
        f"insert into tasks ({TASK}) values ($1, $2, $3, $4, $5, $6)"
        " on conflict (id) do update set outcome = excluded.outcome,"
        " microcredits = excluded.microcredits, updated_at = excluded.updated_at"
        " where tasks.job_id = excluded.job_id returning id",
        rows.task_row(task),
        task,
    )


def _tell(event: Event, at: datetime) -> Step:
    return Step(
        "insert into outbox (user_id, kind, event, cause, created_at) values ($1, $2, $3, $4, $5)"
        " returning id",
        (*rows.event_row(event), at),
    )


def _note(act: Act) -> Step:
    return Step(
        "insert into acts"
        " (actor, act, subject, user_id, amount_kop, why, created_at, subject_kind)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8) returning id",
        rows.act_row(act),
    )


def _expect(expecting: Expecting, at: datetime) -> Step:
    return Step(
        "insert into ui_state (user_id, state, updated_at) values ($1, $2, $3)"
        " on conflict (user_id) do update"
        " set state = excluded.state, updated_at = excluded.updated_at"
        " returning user_id",
        (expecting.user_id, rows.dump_expect(expecting.expect), at),
    )


def _places(values: Sequence[object], first: int = 1) -> str:
    """Placeholders for a list of values, numbered from `first` on."""
    return ", ".join(f"${number}" for number in range(first, first + len(values)))


def _finish(update_id: int, at: datetime, *, says_more: bool) -> Step:
    # What an update did is stored once: whoever comes second, having read it as waiting, is
    # refused. Saying only that it is done is harmless.
    return Step(
        "update inbox set done_at = $2 where update_id = $1 and done_at is null"
        " returning update_id",
        (update_id, at),
        UpdateDone(update_id) if says_more else None,
    )


# --- What was sold, and what KIE took for it; each is one pass

COSTS = """
select jobs.model_id as model_id,
  count(*) as jobs,
  count(case when jobs.status = 'failed' then 1 end) as failed,
  count(case when jobs.status = 'refunded' then 1 end) as refunded,
  coalesce(sum(moved.income_kop), 0) as income_kop,
  coalesce(sum(taken.microcredits), 0) as microcredits,
  coalesce(sum(taken.untold), 0) as untold
from jobs
left join (
  select job_id, sum(case kind when 'charge' then amount_kop else -amount_kop end) as income_kop
  from ledger where kind in ('charge', 'refund') group by job_id
) moved on moved.job_id = jobs.id
left join (
  select job_id,
    sum(microcredits) as microcredits,
    count(case when microcredits is null and outcome in ('succeeded', 'lost') then 1 end) as untold
  from tasks group by job_id
) taken on taken.job_id = jobs.id
where jobs.confirmed_at >= $1
group by jobs.model_id
"""

# The answers are fetched at the end, so that only few of them are carried through the sorting.
BILLED = """
select jobs.id as id, jobs.model_id as model_id, jobs.params as params,
  jobs.measures as measures, jobs.price_kop as price_kop, worst.microcredits as microcredits
from (
  select latest.id, latest.microcredits,
    row_number() over (
      partition by latest.model_id
      order by 1.0 * latest.microcredits / (latest.price_kop + 1) desc, latest.place
    ) as place
  from (
    select jobs.id, jobs.model_id, jobs.price_kop, taken.microcredits,
      row_number() over (
        partition by jobs.model_id, jobs.price_kop, taken.microcredits
        order by jobs.confirmed_at desc
      ) as place
    from jobs
    join (
      select job_id, max(microcredits) as microcredits
      from tasks where microcredits > 0 group by job_id
    ) taken on taken.job_id = jobs.id
    where jobs.confirmed_at >= $1 and jobs.price_kop is not null
  ) latest
  where latest.place <= $2
) worst
join jobs on jobs.id = worst.id
where worst.place <= $3
"""

# --- What an audit judges; it says what stands, right or wrong

# Entries, added up before they are joined with anything.
WALLET_FACTS = """
with moved as (
  select user_id,
    cast(sum(case kind
      when 'topup' then amount_kop when 'grant' then amount_kop when 'debit' then -amount_kop
      when 'hold' then -amount_kop when 'release' then amount_kop when 'refund' then amount_kop
      else 0 end) as bigint) as balance_kop,
    cast(sum(case kind
      when 'hold' then amount_kop when 'charge' then -amount_kop when 'release' then -amount_kop
      else 0 end) as bigint) as hold_kop,
    count(*) as entries
  from ledger group by user_id
), work as (
  select user_id, cast(sum(price_kop) as bigint) as price_kop
  from jobs where status in ('queued', 'running') group by user_id
)
select who.user_id as user_id, 1 as many,
  wallets.balance_kop as balance_kop,
  wallets.hold_kop as hold_kop,
  coalesce(moved.balance_kop, 0) as ledger_balance_kop,
  coalesce(moved.hold_kop, 0) as ledger_hold_kop,
  coalesce(work.price_kop, 0) as open_jobs_kop,
  coalesce(moved.entries, 0) as entries
from (
  select user_id from wallets union select user_id from moved union select user_id from work
) who
left join wallets on wallets.user_id = who.user_id
left join moved on moved.user_id = who.user_id
left join work on work.user_id = who.user_id
"""

# What is judged is how the sums differ from each other and from nothing: that is the same in all of
# a group, and so in the least of each sum.
ALIKE_WALLET_FACTS = f"""
select min(user_id) as user_id, count(*) as many,
  min(balance_kop) as balance_kop,
  min(hold_kop) as hold_kop,
  min(ledger_balance_kop) as ledger_balance_kop,
  min(ledger_hold_kop) as ledger_hold_kop,
  min(open_jobs_kop) as open_jobs_kop,
  cast(sum(entries) as bigint) as entries
from ({WALLET_FACTS}) facts
group by balance_kop - ledger_balance_kop, hold_kop - ledger_hold_kop, hold_kop - open_jobs_kop,
  balance_kop < 0, hold_kop < 0, balance_kop is null
"""

JOB_FACTS = """
select jobs.id as job_id, jobs.status as status, 1 as many,
  count(case when ledger.kind = 'hold' then 1 end) as holds,
  count(case when ledger.kind = 'charge' then 1 end) as charges,
  count(case when ledger.kind = 'release' then 1 end) as releases,
  count(case when ledger.kind = 'refund' then 1 end) as refunds,
  count(case when ledger.user_id <> jobs.user_id
    or ledger.amount_kop <> coalesce(jobs.price_kop, 0) then 1 end) as others
from jobs left join ledger on ledger.job_id = jobs.id
group by jobs.id, jobs.status
"""

ALIKE_JOB_FACTS = f"""
select min(job_id) as job_id, status, count(*) as many, holds, charges, releases, refunds, others
from ({JOB_FACTS}) facts
group by status, holds, charges, releases, refunds, others
"""

TOPUP_FACTS = """
select topups.id as topup_id, topups.status as status, 1 as many,
  count(ledger.id) as credits,
  count(case when ledger.user_id <> topups.user_id
    or ledger.amount_kop <> topups.amount_kop then 1 end) as others
from topups left join ledger on ledger.ref = 'topup:' || topups.id and ledger.kind = 'topup'
group by topups.id, topups.status
"""

ALIKE_TOPUP_FACTS = f"""
select min(topup_id) as topup_id, status, count(*) as many, credits, others
from ({TOPUP_FACTS}) facts
group by status, credits, others
"""

STRAY_FACTS = """
select ref, 'no job' as why from ledger
where kind in ('hold', 'charge', 'release', 'refund')
  and not exists (select 1 from jobs where jobs.id = ledger.job_id)
union all
select ref, 'no top-up' as why from ledger
where kind = 'topup'
  and not exists (
    select 1 from topups
    where topups.id = substr(ledger.ref, 7) and 'topup:' || topups.id = ledger.ref
  )
union all
select ref, 'nameless' as why from ledger
where kind in ('grant', 'debit') and (coalesce(actor, '') = '' or coalesce(why, '') = '')
union all
select ref, 'repeated ref' as why from ledger group by ref having count(*) > 1
"""

ALIKE_STRAY_FACTS = f"select min(ref) as ref, why from ({STRAY_FACTS}) facts group by why"


@frozen
class _Audited:
    """
    A part of an audit: what each fact is, and, in one pass, the facts of those that are alike in
    what is judged of them.
    """

    fact: Callable[[Row], Fact]
    each: str
    alike: str


_AUDITED = {
    AuditPart.WALLETS: _Audited(rows.wallet_fact, WALLET_FACTS, ALIKE_WALLET_FACTS),
    AuditPart.JOBS: _Audited(rows.job_fact, JOB_FACTS, ALIKE_JOB_FACTS),
    AuditPart.TOPUPS: _Audited(rows.topup_fact, TOPUP_FACTS, ALIKE_TOPUP_FACTS),
    AuditPart.ENTRIES: _Audited(rows.stray_fact, STRAY_FACTS, ALIKE_STRAY_FACTS),
}


def not_usable(error: BaseException) -> StorageError:
    """What is raised where a unit of work goes on after something in it was refused."""
    return StorageError(f"nothing of this is stored, for something in it was refused: {error}")
