"""What PostgreSQL alone does: its connections, its constraints, its locks."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from attrs import evolve

from kiebot.adapters.storage import postgres
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.core import holds, jobs, topups
from kiebot.core.audit import Problem, judge
from kiebot.core.billing import Change, JobStep, TopUpStep
from kiebot.core.errors import LeadLostError, StorageError, StorageUnavailableError
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.money import Money
from kiebot.core.topups import TopUpStatus
from kiebot.core.users import User
from kiebot.core.wallet import EntryKind
from kiebot.ports.storage import Storage
from tests.fakes.postgres import PostgresServer
from tests.fakes.values import BUYER, NOON, entry, job, topup, wallet

PATIENT_LEASE_S = 600.0


@pytest.fixture(scope="module")
def migrated_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """A database for this whole file: to be emptied is faster than to be made."""
    dsn = postgres_server.create()
    asyncio.run(_migrate(dsn))
    yield dsn
    postgres_server.drop(dsn)


async def _migrate(dsn: str) -> None:
    storage = await PostgresStorage.open(dsn)
    await storage.migrate()
    await storage.close()


@pytest.fixture
async def raw(migrated_dsn: str) -> AsyncIterator[Any]:
    """Somebody else's connection to the database, which is empty."""
    connection = await asyncpg.connect(migrated_dsn)
    await _make_empty(connection)
    yield connection
    await connection.close()


async def _make_empty(connection: Any) -> None:
    tables = await connection.fetchval(
        "select string_agg(quote_ident(tablename), ', ') from pg_tables"
        " where schemaname = 'public' and tablename <> 'schema_migrations'"
    )
    # As a replica the session passes over the triggers that keep the ledger from this.
    await connection.execute("set session_replication_role = replica")
    await connection.execute(f"truncate {tables} restart identity")
    await connection.execute("reset session_replication_role")


@pytest.fixture
async def storage(raw: Any, migrated_dsn: str) -> AsyncIterator[PostgresStorage]:  # noqa: ARG001
    opened = await PostgresStorage.open(migrated_dsn, lease_s=PATIENT_LEASE_S)
    yield opened
    await opened.close()


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


# --- Connecting


def test_an_error_without_words_is_named() -> None:
    """A time-out says nothing of itself, and a log line that says nothing helps nobody."""
    refused = pytest.raises(StorageUnavailableError, match="PostgreSQL: TimeoutError")
    with refused, postgres._translated():  # noqa: SLF001 - else it takes half a minute
        raise TimeoutError


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://anna:s3cret@127.0.0.1:1/kiebot",
        "postgresql://anna:s3cret@no-such-host.invalid/kiebot",
        "postgresql://anna:s3cret@/kiebot?host=/no/such/folder",
        "postgresql://anna:s3#cret@127.0.0.1:s3cret/kiebot",
        "postgresql://anna:pass/s3cret@127.0.0.1:5432/kiebot",
        "mysql://anna:s3cret@127.0.0.1/kiebot",
    ],
)
async def test_what_cannot_be_reached_is_one_line_without_the_password(dsn: str) -> None:
    with pytest.raises(StorageUnavailableError) as refused:
        await PostgresStorage.open(dsn)

    said = str(refused.value)
    assert "\n" not in said
    assert "s3cret" not in said
    if refused.value.__cause__ is not None:
        assert "s3cret" not in str(refused.value.__cause__)


async def test_a_database_that_is_not_there_is_named(migrated_dsn: str) -> None:
    elsewhere = urlunsplit(urlsplit(migrated_dsn)._replace(path="/nosuch"))

    with pytest.raises(StorageUnavailableError, match="nosuch"):
        await PostgresStorage.open(elsewhere)


async def test_a_person_s_transaction_does_not_go_on_in_the_next_one_s(
    migrated_dsn: str, raw: Any
) -> None:
    """The pool resets nothing, so what a transaction leaves is ours to end, however it ends."""
    storage = await PostgresStorage.open(migrated_dsn, pool_max=1)
    await story(storage)

    inside = asyncio.Event()

    async def hang() -> None:
        async with storage.begin() as uow:
            await uow.record(Change(entry=entry(EntryKind.GRANT, 1, "hanging")))
            await uow.wallets.get(BUYER)
            inside.set()
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    await inside.wait()
    hanging.cancel()
    await asyncio.wait([hanging])
    await record(storage, Change(entry=entry(EntryKind.GRANT, 5, "next")))

    assert await raw.fetchval("select balance_kop from wallets") == 47_005
    idle = "select count(*) from pg_stat_activity where state like 'idle in transaction%'"
    assert await raw.fetchval(f"{idle} and datname = current_database()") == 0
    await storage.close()


async def test_a_connection_that_breaks_is_an_error_of_ours_and_replaced(
    storage: PostgresStorage, raw: Any
) -> None:
    await story(storage)

    async def lose_connection() -> None:
        async with storage.begin() as uow:
            await uow.wallets.get(BUYER)
            await raw.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
            await uow.record(Change(entry=entry(EntryKind.GRANT, 1, "lost")))

    with pytest.raises(StorageUnavailableError):
        await lose_connection()

    await record(storage, Change(entry=entry(EntryKind.GRANT, 5, "next")))
    async with storage.read() as uow:
        assert await uow.wallets.get(BUYER) == wallet(47_005, 3000)


async def test_a_storage_whose_server_goes_is_closed_all_the_same(
    migrated_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await PostgresStorage.open(migrated_dsn)
    await storage.ping()
    say_goodbye = asyncpg.Connection.close

    async def go_before_goodbye(connection: Any, **how: Any) -> None:
        # It is gone before it is told goodbye, and too late for anybody to notice.
        monkeypatch.undo()
        PostgresServer(migrated_dsn).execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        await say_goodbye(connection, **how)

    monkeypatch.setattr(asyncpg.Connection, "close", go_before_goodbye)
    await storage.close()

    with pytest.raises(StorageUnavailableError, match="closed"):
        await storage.ping()


async def test_a_frozen_process_does_not_hold_locks_for_ever(raw: Any, migrated_dsn: str) -> None:
    storage = await PostgresStorage.open(migrated_dsn, lease_s=7)

    async with storage.begin():
        found = await raw.fetchval(
            "select count(*) from pg_stat_activity where application_name = 'kiebot'"
            " and datname = current_database()"
        )
    settings = await storage._pool.fetchval("show idle_in_transaction_session_timeout")  # noqa: SLF001

    assert (found, settings) == (1, "7s")
    await storage.close()


async def test_an_audit_wants_a_snapshot(storage: PostgresStorage) -> None:
    async def audit() -> None:
        async with storage.begin() as uow:
            async for _ in uow.facts():
                pass

    with pytest.raises(StorageError, match="snapshot"):
        await audit()


async def test_a_change_is_one_statement(storage: PostgresStorage) -> None:
    """Whatever is in it but a top-up: each statement is a round trip."""
    await story(storage)
    running = evolve(job(JobStatus.QUEUED), submissions=1)
    seen: list[str] = []

    async with storage.begin() as uow:
        driver = uow.connection._driver  # type: ignore[attr-defined] # noqa: SLF001
        with driver.query_logger(lambda query: seen.append(query.query)):
            await uow.record(
                Change(
                    jobs=(JobStep(running, JobStatus.QUEUED),),
                    entry=entry(EntryKind.RELEASE, 3000, "settle:job1"),
                )
            )

    assert len(seen) == 1


# --- What the database refuses, whoever writes it

GOOD = (
    "insert into ledger (user_id, kind, amount_kop, ref, job_id, actor, why, created_at)"
    " values (-1, {kind}, {amount}, {ref}, {job}, {actor}, {why}, now())"
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
        "delete from ledger",
        "delete from ledger where id = 1",
        "truncate ledger",
        "truncate users cascade",
        entry_sql(ref="'topup:topup1'") + " on conflict (ref) do update set amount_kop = 7",
        "merge into ledger using (select 1) as one on id = 1 when matched then delete",
    ],
)
async def test_the_ledger_is_append_only(
    storage: PostgresStorage, raw: Any, statement: str
) -> None:
    await story(storage)
    before = await raw.fetch("select * from ledger order by id")

    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await raw.execute(statement)

    assert await raw.fetch("select * from ledger order by id") == before


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
        entry_sql(ref="'hold:job1'"),
        entry_sql(kind="'hold'", job="'job1'"),
        "update jobs set status = 'lost'",
        "update jobs set params = 'not json'",
        "update jobs set id = 'much too long to be in a button'",
        "update jobs set price_kop = -1",
        "update jobs set user_id = 5",
        "update topups set status = 'lost'",
        "update topups set amount_kop = 0",
        "insert into ui_state values (1, 'not json', now())",
        "insert into wallets values (9, 0, 0)",
    ],
)
async def test_what_may_not_be_is_refused_by_the_database(
    storage: PostgresStorage, raw: Any, statement: str
) -> None:
    await story(storage)

    with pytest.raises((asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)):
        await raw.execute(statement)


async def test_money_that_comes_in_at_the_same_moment_can_be_spent(
    storage: PostgresStorage, raw: Any
) -> None:
    """What the statement saw when it began has too little; what it waited for has enough."""
    await story(storage)
    waiting = (
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    )

    async with storage.begin() as uow:
        await uow.record(Change(entry=entry(EntryKind.GRANT, 100_000, "in")))
        spending = asyncio.create_task(
            record(storage, Change(entry=entry(EntryKind.DEBIT, 100_000, "out")))
        )
        async with asyncio.timeout(30):
            while not await raw.fetchval(waiting):
                assert not spending.done()
    await spending

    async with storage.read() as uow:
        assert await uow.wallets.get(BUYER) == wallet(47_000, 3000)
    assert await problems(storage) == []


async def test_a_wallet_is_not_locked_against_foreign_keys(
    storage: PostgresStorage, raw: Any
) -> None:
    """Who is at work on a job does not keep the person from starting another."""
    await story(storage)

    async with storage.begin() as uow:
        await uow.jobs.get(job().id)
        await uow.wallets.get(BUYER)
        await raw.execute("set lock_timeout = 100")
        await raw.execute("insert into jobs select * from jobs where false")
        await raw.execute("select 1 from jobs for key share")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await raw.execute("update wallets set hold_kop = 0")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await raw.execute("update jobs set price_kop = 0")


# --- What an audit finds where somebody got past all that


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
        (entry_sql(ref="'hold:job1'"), "every entry is accounted for"),
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
    unguarded: Any, unguarded_dsn: str, statement: str, rule: str
) -> None:
    storage = await PostgresStorage.open(unguarded_dsn)
    await story(storage)
    before = await problems(storage)

    await unguarded.execute("set session_replication_role = replica")
    await unguarded.execute(statement)

    found = await problems(storage)
    await storage.close()
    assert before == []
    assert rule in {problem.rule for problem in found}


async def test_an_audit_names_each_of_those_who_are_wrong_alike(
    unguarded: Any, unguarded_dsn: str
) -> None:
    """Those who are right are told as one, and those who are wrong are not."""
    storage = await PostgresStorage.open(unguarded_dsn)
    await story(storage)

    await unguarded.execute(
        "insert into users (id, name, language, created_at)"
        " select n, 'b', 'en', now() from generate_series(101, 105) n;"
        " insert into wallets select n, case when n > 103 then 5 else 0 end, 0"
        " from generate_series(101, 105) n"
    )

    wrong = [problem.detail for problem in await problems(storage)]
    await storage.close()
    assert sorted(wrong) == [
        f"user {number}: wallet 5 + 0 reserved, ledger 0 + 0 reserved (kopecks)"
        for number in (104, 105)
    ]


@pytest.fixture(scope="module")
def unguarded_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """A database that does not refuse what it should."""
    dsn = postgres_server.create()
    asyncio.run(_migrate(dsn))
    asyncio.run(_take_guards_away(dsn))
    yield dsn
    postgres_server.drop(dsn)


async def _take_guards_away(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    constraints = await connection.fetch(
        "select conrelid::regclass as place, conname from pg_constraint"
        " where connamespace = 'public'::regnamespace"
        " and (contype = 'c' or conname = 'ledger_ref_once')"
    )
    for row in constraints:
        await connection.execute(f"alter table {row['place']} drop constraint {row['conname']}")
    await connection.execute("drop index ledger_of_job")
    await connection.close()


@pytest.fixture
async def unguarded(unguarded_dsn: str) -> AsyncIterator[Any]:
    """A connection to it; it is empty."""
    connection = await asyncpg.connect(unguarded_dsn)
    await _make_empty(connection)
    yield connection
    await connection.close()


# --- Leading

LOCK = "select pg_advisory_lock(7039333, hashtext('serve'))"


async def plant_leader(raw: Any, until: str, *, locked: bool) -> None:
    await raw.execute(
        "insert into lead values ('serve', 5, 'somebody', now() + $1::text::interval, $2)",
        until,
        locked,
    )


async def test_a_leader_that_has_fallen_silent_is_succeeded(
    storage: PostgresStorage, raw: Any
) -> None:
    """It is frozen and its lock with it, so nothing but its row tells."""
    await plant_leader(raw, "0.2 seconds", locked=True)
    await raw.execute(LOCK)

    async with storage.lead("serve") as lead:
        assert lead.token == 6
        assert lead.holds()
        assert not await raw.fetchval("select locked from lead")


async def test_a_leader_that_was_killed_is_succeeded_at_once(
    storage: PostgresStorage, raw: Any
) -> None:
    """Its lock is free though its row says that it had it."""
    await plant_leader(raw, "1 day", locked=True)

    async with storage.lead("serve") as lead:
        assert lead.token == 6


async def test_a_free_lock_says_nothing_of_a_leader_that_never_had_it(
    storage: PostgresStorage, raw: Any
) -> None:
    await plant_leader(raw, "1 day", locked=False)
    tokens = []

    async def lead() -> None:
        async with storage.lead("serve") as lead:
            tokens.append(lead.token)

    waiting = asyncio.create_task(lead())
    for _ in range(20):
        await storage.ping()
    assert tokens == []

    await raw.execute("update lead set until = now()")
    await waiting

    assert tokens == [6]


LEAD_UNTIL_KILLED = """
import asyncio, sys
from kiebot.adapters.storage.postgres import PostgresStorage

async def main():
    storage = await PostgresStorage.open(sys.argv[1], lease_s=600)
    async with storage.lead("serve"):
        print("leading", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_who_waits_leads_when_the_leading_process_is_killed(
    storage: PostgresStorage, migrated_dsn: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEAD_UNTIL_KILLED, migrated_dsn, stdout=asyncio.subprocess.PIPE
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


async def test_a_leader_notices_that_another_leads(migrated_dsn: str, raw: Any) -> None:
    storage = await PostgresStorage.open(migrated_dsn, lease_s=0.3)

    async with storage.lead("serve") as lead:
        await raw.execute("update lead set token = token + 1, until = now() + interval '1 day'")
        with pytest.raises(LeadLostError):
            async with storage.begin(lead):
                pass
        await lead.lost.wait()
        assert not lead.holds()

    assert await raw.fetchval("select until > now() from lead")
    await storage.close()


async def test_who_takes_over_waits_for_what_is_being_written(
    storage: PostgresStorage, raw: Any
) -> None:
    """Nothing is stored under a token that has been passed on, not even at the same moment."""
    await story(storage)
    async with storage.lead("serve") as lead:
        async with storage.begin(lead) as uow:
            await raw.execute("set lock_timeout = 50")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await raw.execute("update lead set token = token + 1")
            # A heartbeat waits for nobody.
            await raw.execute("update lead set until = until + interval '1 second'")
            await uow.record(Change(entry=entry(EntryKind.GRANT, 1, "in time")))

        await raw.execute("update lead set token = token + 1")


@pytest.mark.parametrize("leads", [False, True])
async def test_a_process_that_froze_inside_a_statement_holds_nobody_up(
    raw: Any, migrated_dsn: str, leads: bool
) -> None:
    """
    The server waits for the values of a statement that it has read, in a transaction that holds a
    lock: for it that is no idle transaction, and it would wait for ever.
    """
    storage = await PostgresStorage.open(migrated_dsn, lease_s=0.3)
    await plant_leader(raw, "0 seconds", locked=False)
    frozen = await asyncpg.connect(migrated_dsn, server_settings={"application_name": "kiebot"})

    async def freezes() -> None:
        await frozen.execute("begin")
        await frozen.fetch("select token from lead for key share")
        await frozen.prepare("select 1")

    async with asyncio.timeout(60):
        if leads:
            async with storage.lead("serve"):
                await freezes()
                while not frozen.is_closed():
                    await storage.ping()
        else:
            await freezes()
            async with storage.lead("serve") as lead:
                assert lead.token == 6
            assert frozen.is_closed()
    await storage.close()


async def test_a_leader_whose_lock_breaks_asks_its_row_before_it_goes_on(
    storage: PostgresStorage, raw: Any
) -> None:
    async with storage.lead("serve") as lead:
        connected = (
            "select pid from pg_stat_activity"
            " where application_name = 'kiebot lead' and datname = current_database()"
        )
        before = await raw.fetchval(connected)
        await raw.execute("select pg_terminate_backend($1, 10000)", before)
        while await raw.fetchval(connected) in {None, before} or not lead.holds():
            await storage.ping()

        assert await raw.fetchval("select token from lead") == lead.token
        async with storage.begin(lead):
            pass


async def test_a_leader_whose_database_is_gone_knows_that_it_has_lost(
    postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    storage = await PostgresStorage.open(postgres_dsn, lease_s=0.5)
    await storage.migrate()

    async with storage.lead("serve") as lead:
        postgres_server.drop(postgres_dsn)
        await lead.lost.wait()
        assert not lead.holds()

    await storage.close()
