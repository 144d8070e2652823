"""What SQLite alone does: its file, its constraints, its locks."""

import asyncio
import json
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core import holds, jobs, topups
from kiebot.core.audit import Problem, judge
from kiebot.core.billing import Change, Expecting, JobStep, TopUpStep
from kiebot.core.errors import LeadLostError, StorageError, StorageUnavailableError
from kiebot.core.expect import Answer, AnswerForm
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.money import Money
from kiebot.core.topups import TopUpStatus
from kiebot.core.users import User
from kiebot.core.wallet import EntryKind, JobId, Wallet
from kiebot.ports.storage import Storage
from tests.fakes.values import BUYER, NOON, entry, job, topup, wallet

PATIENT_LEASE_S = 600.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kiebot.db"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SqliteStorage]:
    opened = await SqliteStorage.open(path, lease_s=PATIENT_LEASE_S)
    await opened.migrate()
    yield opened
    await opened.close()


@pytest.fixture
def raw(storage: SqliteStorage, path: Path) -> Iterator[sqlite3.Connection]:  # noqa: ARG001
    """Somebody else's connection to the migrated file, with none of our settings."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


async def record(storage: Storage, change: Change) -> None:
    async with storage.begin() as uow:
        await uow.record(change)


async def story(storage: Storage) -> None:
    """A person with 500 roubles and a job that runs."""
    approved = topup(status=TopUpStatus.APPROVED)
    offer = job(offered_at=NOON)
    async with storage.begin() as uow:
        await uow.users.add(User(id=BUYER, name="a", language=Language.RU, created_at=NOON))
        await uow.record(
            Change(
                topups=(TopUpStep(approved, None),),
                entry=topups.credit(approved, "700", NOON),
                jobs=(JobStep(offer, None),),
            )
        )
        await uow.record(
            Change(
                jobs=(JobStep(jobs.queue(offer, NOON), JobStatus.DRAFT),),
                entry=holds.place(offer.id, BUYER, Money(3000), NOON),
            )
        )


async def problems(storage: Storage) -> list[Problem]:
    async with storage.read() as uow:
        return [problem async for fact in uow.facts() for problem in judge(fact)]


# --- The file


async def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "a" / "b" / "kiebot.db")

    await storage.close()

    assert (tmp_path / "a" / "b" / "kiebot.db").exists()


async def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match="cannot open"):
        await SqliteStorage.open(tmp_path)


async def test_a_file_in_a_file_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageUnavailableError, match="cannot open"):
        await SqliteStorage.open(tmp_path / "file" / "kiebot.db")


async def test_another_file_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "kiebot.db"
    path.write_text("not a database, and long enough to have a header of one" * 100)

    with pytest.raises(StorageUnavailableError, match="not a database"):
        await SqliteStorage.open(path)


async def test_a_file_that_somebody_keeps_to_themselves_is_locked(
    storage: SqliteStorage, raw: sqlite3.Connection, path: Path
) -> None:
    raw.execute("begin immediate")

    with pytest.raises(StorageUnavailableError, match="locked"):
        await SqliteStorage.open(path, patience_s=0.01)

    await storage.ping()


async def test_what_is_committed_survives_a_power_cut(
    storage: SqliteStorage, raw: sqlite3.Connection
) -> None:
    async with storage.write() as connection:
        row = await connection.fetchrow(
            "select synchronous, foreign_keys from pragma_synchronous, pragma_foreign_keys"
        )

    assert row is not None
    assert (row["synchronous"], row["foreign_keys"]) == (2, 1)
    assert raw.execute("pragma journal_mode").fetchone() == ("wal",)


def test_who_stops_waiting_for_a_file_to_open_leaves_no_thread_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes while it is opened: its thread would answer a loop that is closed."""
    mishaps: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", mishaps.append)
    begun, is_over = threading.Event(), threading.Event()

    class Slow(sqlite3.Connection):
        def __init__(self, *args: Any, **settings: Any) -> None:
            begun.set()
            # Who waits for us is not over before we are.
            is_over.wait(0.5)
            super().__init__(*args, **settings)

    async def give_up() -> None:
        opening = asyncio.create_task(SqliteStorage.open(path, driver=Slow))
        await asyncio.to_thread(begun.wait)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    before = set(threading.enumerate())
    asyncio.run(give_up())
    is_over.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)

    assert mishaps == []


async def test_a_closed_storage_says_so(path: Path) -> None:
    storage = await SqliteStorage.open(path)
    await storage.close()

    with pytest.raises(StorageUnavailableError):
        await storage.missing_migrations()


async def test_who_writes_waits_for_another_process(
    storage: SqliteStorage, raw: sqlite3.Connection
) -> None:
    await story(storage)
    raw.execute("begin immediate")

    writing = asyncio.create_task(record(storage, Change(entry=entry(EntryKind.GRANT, 1, "waits"))))
    async with storage.read() as uow:
        before = await uow.wallets.get(BUYER)
    raw.execute("commit")
    await writing

    assert before == wallet(47_000, 3000)
    async with storage.read() as uow:
        assert await uow.wallets.get(BUYER) == wallet(47_001, 3000)


# --- How values are kept


async def test_values_are_bound_by_number_and_not_by_appearance(storage: SqliteStorage) -> None:
    async with storage.write() as connection:
        row = await connection.fetchrow("select $2 as b, $1 as a, $2 as again", "first", "second")

    assert row is not None
    assert (row["a"], row["b"], row["again"]) == ("first", "second", "second")


async def test_text_order_of_moments_is_time_order(
    storage: SqliteStorage, raw: sqlite3.Connection
) -> None:
    moments = [NOON, NOON + timedelta(microseconds=1), NOON + timedelta(seconds=1)]
    await story(storage)
    await record(
        storage,
        Change(
            jobs=tuple(
                JobStep(job(id=JobId(f"j{number}"), updated_at=at), None)
                for number, at in enumerate(moments)
            )
        ),
    )

    stored = raw.execute(
        "select updated_at from jobs where id like 'j_' order by updated_at"
    ).fetchall()

    assert stored == [
        ("2026-11-22T12:00:00.000000+00:00",),
        ("2026-11-22T12:00:00.000001+00:00",),
        ("2026-11-22T12:00:01.000000+00:00",),
    ]


async def test_what_others_may_read_is_there(
    storage: SqliteStorage, raw: sqlite3.Connection
) -> None:
    await story(storage)
    expect = Answer(job_id=JobId("job1"), param="seed", form=AnswerForm.NUMBER)
    await record(storage, Change(expecting=Expecting(user_id=BUYER, expect=expect)))

    (state,) = raw.execute("select state from ui_state where user_id = ?", (BUYER,)).fetchone()
    (params,) = raw.execute("select params from jobs where id = 'job1'").fetchone()

    assert json.loads(state) == {"expects": "number", "for": "seed", "job": "job1", "topup": None}
    assert json.loads(params) == {"prompt": "кот"}
    assert raw.execute("select user_id, balance_kop, hold_kop from wallets").fetchall() == [
        (BUYER, 47_000, 3000)
    ]


# --- What the file refuses, whoever writes it

GOOD = (
    "insert into ledger (user_id, kind, amount_kop, ref, job_id, actor, why, created_at)"
    " values (-1, {kind}, {amount}, {ref}, {job}, {actor}, {why}, 't')"
)


def entry_sql(**values: str) -> str:
    standard = {
        "kind": "'grant'",
        "amount": "1",
        "ref": "'new'",
        "job": "null",
        "actor": "'me'",
        "why": "'so'",
    }
    return GOOD.format(**{**standard, **values})


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger set amount_kop = 1",
        "update ledger set why = 'x' where id = 1",
        "update or replace ledger set ref = 'hold:job1' where id = 1",
        "delete from ledger",
        "delete from ledger where id = 1",
        "insert or replace into ledger select * from ledger where id = 1",
        (
            "replace into ledger (id, user_id, kind, amount_kop, ref, actor, why, created_at)"
            " values (1, -1, 'grant', 7, 'other', 'me', 'so', 't')"
        ),
        (
            "replace into ledger (user_id, kind, amount_kop, ref, actor, why, created_at)"
            " values (-1, 'grant', 7, 'topup:topup1', 'me', 'so', 't')"
        ),
        (
            "replace into ledger (user_id, kind, amount_kop, ref, job_id, created_at)"
            " values (-1, 'hold', 7, 'other', 'job1', 't')"
        ),
        (
            "insert into ledger (user_id, kind, amount_kop, ref, actor, why, created_at)"
            " values (-1, 'grant', 7, 'topup:topup1', 'me', 'so', 't')"
            " on conflict (ref) do update set amount_kop = 7"
        ),
    ],
)
async def test_the_ledger_is_append_only(
    storage: SqliteStorage, raw: sqlite3.Connection, statement: str
) -> None:
    await story(storage)
    before = raw.execute("select * from ledger").fetchall()

    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(statement)

    assert raw.execute("select * from ledger").fetchall() == before


@pytest.mark.parametrize(
    "statement",
    [
        "update wallets set balance_kop = -1",
        "update wallets set hold_kop = -1",
        "update wallets set balance_kop = balance_kop + 9223372036854775807",
        entry_sql(amount="0"),
        entry_sql(amount="-1"),
        entry_sql(kind="'gift'"),
        entry_sql(kind="'hold'"),
        entry_sql(job="'job1'"),
        entry_sql(kind="'refund'", job="'nosuch'"),
        entry_sql(actor="null"),
        entry_sql(why="''"),
        entry_sql(kind="'debit'", why="null"),
        entry_sql(kind="'hold'", job="'job1'"),
        "update jobs set status = 'lost'",
        "update jobs set params = 'not json'",
        "update jobs set result = '{'",
        "update jobs set id = 'much too long to be in a button'",
        "update jobs set price_kop = -1",
        "update jobs set user_id = 5",
        "update topups set status = 'lost'",
        "update topups set receipt = '['",
        "update topups set amount_kop = 0",
        "insert into ui_state values (1, 'not json', 't')",
        "insert into outbox (user_id, kind, event, created_at) values (1, 'x', '', 't')",
        "insert into wallets values (9, 0, 0)",
    ],
)
async def test_what_may_not_be_is_refused_by_the_database(
    storage: SqliteStorage, raw: sqlite3.Connection, statement: str
) -> None:
    await story(storage)
    raw.execute("pragma foreign_keys = on")

    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(statement)


@pytest.mark.parametrize("again", ["read", "glance"])
async def test_a_snapshot_that_would_not_end_is_nobody_else_s(path: Path, again: str) -> None:
    """Whoever read in it would see that moment for ever: news that were told as not told yet."""
    is_refused = False

    class Unending(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            if is_refused and sql == "rollback":
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, parameters)

    storage = await SqliteStorage.open(path, driver=Unending)
    await storage.migrate()
    await story(storage)

    async def balance(kind: str) -> Wallet:
        async with getattr(storage, kind)() as uow:
            found: Wallet = await uow.wallets.get(BUYER)
            return found

    before = await balance("read")
    is_refused = True
    with pytest.raises(StorageError, match="disk I/O error"):
        await balance("read")
    is_refused = False
    await record(storage, Change(entry=entry(EntryKind.GRANT, 1, "meanwhile")))

    after = await balance(again)
    await storage.close()
    assert after.available.kopecks == before.available.kopecks + 1


# --- What an audit finds where somebody got past all that


def free(raw: sqlite3.Connection) -> None:
    """Take away what stands in the way of doing wrong."""
    for (name,) in raw.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        raw.execute(f"drop trigger {name}")
    raw.execute("drop index ledger_of_job")
    raw.execute("pragma ignore_check_constraints = on")


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("update wallets set balance_kop = 1", "a wallet equals the sum of its ledger"),
        ("update wallets set balance_kop = -1", "nobody is below zero"),
        ("delete from wallets", "who has entries has a wallet"),
        ("delete from ledger where kind = 'hold'", "a queued or running job holds its price"),
        (
            "update jobs set status = 'draft'",
            "a job that is not open holds nothing, and its entries fit its status",
        ),
        ("update jobs set price_kop = 1", "a job's entries have its price and its person"),
        ("update jobs set user_id = 7", "a job's entries have its price and its person"),
        ("update jobs set status = 'lost'", "a job has a status of its machine"),
        (
            "update jobs set price_kop = 1",
            "what is reserved is the price of the open jobs",
        ),
        (
            "update topups set amount_kop = 1",
            "an approved top-up has exactly one entry of its amount",
        ),
        (
            "update topups set status = 'rejected'",
            "a top-up that is not approved has no entry",
        ),
        ("delete from topups", "every entry is accounted for"),
        ("delete from jobs", "every entry is accounted for"),
        (entry_sql(why="''"), "every entry is accounted for"),
        (
            entry_sql(kind="'hold'", job="'job1'", amount="3000"),
            "a job has at most one hold",
        ),
        (
            entry_sql(kind="'refund'", job="'job1'", amount="3000"),
            "a refund only after a charge",
        ),
    ],
)
async def test_an_audit_finds_what_is_wrong(
    storage: SqliteStorage, raw: sqlite3.Connection, statement: str, rule: str
) -> None:
    await story(storage)
    assert await problems(storage) == []
    free(raw)

    raw.execute(statement)

    assert rule in {problem.rule for problem in await problems(storage)}


async def test_an_audit_names_each_of_those_who_are_wrong_alike(
    storage: SqliteStorage, raw: sqlite3.Connection
) -> None:
    """Those who are right are told as one, and those who are wrong are not."""
    await story(storage)
    free(raw)
    for number in range(101, 106):
        raw.execute(
            "insert into users (id, name, language, created_at) values (?, 'b', 'en', '')",
            (number,),
        )
        raw.execute("insert into wallets values (?, ?, 0)", (number, 5 * (number > 103)))

    wrong = [problem.detail for problem in await problems(storage)]

    assert wrong == [
        f"user {number}: wallet 5 + 0 reserved, ledger 0 + 0 reserved (kopecks)"
        for number in (104, 105)
    ]


# --- Leading


def plant_leader(raw: sqlite3.Connection, until: timedelta, *, locked: bool) -> None:
    moment = (datetime.now(UTC) + until).isoformat(timespec="microseconds")
    raw.execute("insert into lead values ('serve', 5, 'somebody', ?, ?)", (moment, locked))


async def test_a_leader_that_has_fallen_silent_is_succeeded(
    storage: SqliteStorage, raw: sqlite3.Connection
) -> None:
    """It was frozen, so nothing but its row tells; and its row says when."""
    await story(storage)
    plant_leader(raw, timedelta(seconds=0.2), locked=False)

    async with storage.lead("serve") as lead:
        assert lead.token == 6


async def test_a_leader_that_was_killed_is_succeeded_at_once(
    storage: SqliteStorage, raw: sqlite3.Connection
) -> None:
    """Its lock is free though its row says that it had it."""
    plant_leader(raw, timedelta(days=1), locked=True)

    async with storage.lead("serve") as lead:
        assert lead.token == 6


async def test_a_free_lock_says_nothing_of_a_leader_that_never_had_it(
    storage: SqliteStorage, raw: sqlite3.Connection
) -> None:
    plant_leader(raw, timedelta(days=1), locked=False)
    tokens = []

    async def lead() -> None:
        async with storage.lead("serve") as lead:
            tokens.append(lead.token)

    waiting = asyncio.create_task(lead())
    for _ in range(20):
        await storage.ping()
    assert tokens == []

    raw.execute("update lead set until = ''")
    await waiting

    assert tokens == [6]


LEAD_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from kiebot.adapters.storage.sqlite import SqliteStorage

async def main():
    storage = await SqliteStorage.open(Path(sys.argv[1]), lease_s=600)
    async with storage.lead("serve"):
        print("leading", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_who_waits_leads_when_the_leading_process_is_killed(
    storage: SqliteStorage, path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEAD_UNTIL_KILLED, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"leading\n"
    tokens = []

    async def lead() -> None:
        async with storage.lead("serve") as lead:
            tokens.append(lead.token)

    waiting = asyncio.create_task(lead())
    await storage.ping()
    assert tokens == []
    process.kill()
    await process.communicate()
    await waiting

    assert tokens == [2]


async def test_a_leader_notices_that_another_leads(path: Path, raw: sqlite3.Connection) -> None:
    storage = await SqliteStorage.open(path, lease_s=0.3)

    async with storage.lead("serve") as lead:
        raw.execute("update lead set token = token + 1")
        with pytest.raises(LeadLostError):
            async with storage.begin(lead):
                pass
        await lead.lost.wait()
        assert not lead.holds()

    assert raw.execute("select until > '' from lead").fetchone() == (1,)
    await storage.close()


async def test_a_leader_that_cannot_renew_knows_that_it_has_lost(
    path: Path, raw: sqlite3.Connection
) -> None:
    """Whatever the database does, time is up when it is up."""
    storage = await SqliteStorage.open(path, lease_s=0.3)

    async with storage.lead("serve") as lead:
        raw.execute("begin immediate")
        await lead.lost.wait()
        assert not lead.holds()
        raw.execute("rollback")

    await storage.close()


async def test_an_error_of_the_driver_ends_the_unit_of_work(storage: SqliteStorage) -> None:
    async def go_on() -> None:
        async with storage.write() as connection:
            await connection.fetch(
                "insert into identity (key, value) values ('a', 'b') returning key"
            )
            with pytest.raises(StorageError):
                await connection.fetch("insert into nowhere values (1)")

    with pytest.raises(StorageError):
        await go_on()

    async with storage.write() as connection:
        assert await connection.fetch("select key from identity") == []
