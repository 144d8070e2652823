"""
Two roles on a real PostgreSQL: who owns the tables migrates, and who serves cannot do harm.

Whoever gets the bot's password (a leaked setting, a statement smuggled in) can then read and write
rows, and leaves the ledger, the acts and the schema as they are.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from attrs import frozen
from click.testing import CliRunner

from kiebot.adapters.storage import postgres_rights
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.postgres_rights import RIGHTS
from kiebot.cli import main
from kiebot.core.errors import StorageError
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from tests.fakes.postgres import PostgresServer
from tests.fakes.shop import TERMS
from tests.fakes.talk import picture
from tests.fakes.telegram_chats import Phone
from tests.fakes.telegram_server import TelegramServer
from tests.fakes.telegram_shop import TelegramShop, telegram_shop
from tests.fakes.values import ADMIN

ANYA = UserId(7)
PASSWORD = "a-long-password"
SOURCES = Path(postgres_rights.__file__).parent


@frozen
class Roles:
    """A database with its owner, who is no superuser, and a role that serves."""

    folder: Path
    server: PostgresServer
    owner: str
    bot: str
    owner_dsn: str
    bot_dsn: str

    def kiebot(self, *arguments: str) -> tuple[int, str]:
        """A command, as the owner gives it."""
        return kiebot([*arguments, "--database", self.owner_dsn], self.folder)


def kiebot(arguments: Sequence[str], home: Path) -> tuple[int, str]:
    """A command in this process, in a thread: a loop may be running in this one."""
    runner = CliRunner(env={"HOME": str(home), "DATABASE_URL": "", "LOG_LEVEL": "info"})
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(runner.invoke, main, list(arguments)).result()
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    return ran.exit_code, ran.output


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    yield
    for handler in [known for known in root.handlers if known not in handlers]:
        root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def roles(postgres_dsn: str, tmp_path: Path) -> Iterator[Roles]:
    """Not migrated yet, nothing granted yet."""
    server = PostgresServer(postgres_dsn)
    mark = uuid4().hex[:8]
    owner, bot = f"owner_{mark}", f"Bot {mark}"
    for role in (owner, bot):
        server.execute(f"create role \"{role}\" login password '{PASSWORD}'")
    database = urlsplit(postgres_dsn).path[1:]
    server.execute(f'alter database "{database}" owner to "{owner}"')
    yield Roles(tmp_path, server, owner, bot, _as(postgres_dsn, owner), _as(postgres_dsn, bot))
    server.execute(f'alter database "{database}" owner to current_user')
    for role in (bot, owner):
        server.execute(f'drop owned by "{role}" cascade')
        server.execute(f'drop role "{role}"')


def _as(dsn: str, role: str) -> str:
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role.replace(' ', '%20')}:{PASSWORD}@{place}"))


async def test_who_serves_can_sell_and_cannot_do_harm(
    roles: Roles, telegram: TelegramServer
) -> None:
    """Everything that people and administrators do, and then what a thief would try."""
    code, said = roles.kiebot("migrate", "--grant-to", roles.bot)
    assert code == 0, said
    assert f"granted: {roles.bot}" in said

    storage = await PostgresStorage.open(roles.bot_dsn)
    async with telegram_shop(telegram, storage, TERMS) as shop:
        await lives(telegram, shop)
        assert (await shop.kiebot.audit()).problems == ()
    assert await storage.migrate() == []
    await storage.close()

    thief = await asyncpg.connect(roles.bot_dsn)
    done: dict[str, object] = {}
    for statement in HARM:
        try:
            done[statement] = await thief.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            pass
        except asyncpg.PostgresError as error:
            done[statement] = error
    # Of this PostgreSQL says no more than a warning.
    await thief.execute("grant update on ledger to public")
    may_change = await thief.fetchval("select has_table_privilege('ledger', 'update')")
    await thief.close()
    assert done == {}
    assert not may_change


async def lives(telegram: TelegramServer, shop: TelegramShop) -> None:
    """A top-up that is approved, a generation that succeeds and is given back, one that fails."""
    anya = telegram.person(ANYA, "Аня", language_code="ru", username="anya")
    boss = telegram.person(ADMIN, "Босс", language_code="ru")
    for phone in (anya, boss):
        phone.types("/start")
        await phone.sees("Создать")
    anya.forges("topup:500")
    await anya.sees("Переведите ровно 500 ₽")
    anya.sends_photo(picture())
    await boss.sees("Зачислить 500 ₽")
    boss.presses("Зачислить 500 ₽")
    await anya.sees("500 ₽ на балансе")
    made = await buys(anya, "рыжий кот")
    await anya.sees_file("photo")
    await buys(anya, "fail")
    await anya.sees("просто повторить")
    anya.forges("history:ledger")
    await anya.sees("Пополнение")
    anya.forges("history:jobs")
    await anya.sees("Flux 2 Pro")
    kiebot = shop.kiebot
    await kiebot.refund(made, by=str(ADMIN), why="размыто")
    await kiebot.switch_off(ADMIN, "flux-2/pro-text-to-image", "дорого")
    await kiebot.switch_on(ADMIN, "flux-2/pro-text-to-image", "подешевела")
    await kiebot.block(ADMIN, ANYA, "шумит")
    await kiebot.unblock(ADMIN, ANYA, "договорились")
    await telegram.idle()
    assert not await kiebot.all_open_jobs(1)
    assert (await kiebot.wallet(ANYA)).available.kopecks == 500_00


async def buys(phone: Phone, prompt: str) -> JobId:
    """The job, which is confirmed."""
    phone.forges("mmodel:flux-2/pro-text-to-image")
    await phone.sees("5 000 знаков")
    phone.types(prompt)
    offer = await phone.sees("Создать за 30 ₽")
    phone.presses("Создать за 30 ₽")
    (confirm,) = [data for data in offer.data if data.startswith("gen:confirm:")]
    return JobId(confirm.rpartition(":")[2])


HARM = (
    "update ledger set amount_kop = 1",
    "update ledger set user_id = 1 where false",
    "delete from ledger",
    "truncate ledger",
    (
        "insert into ledger overriding system value select * from ledger"
        " on conflict (id) do update set amount_kop = 1"
    ),
    "update acts set why = ''",
    "delete from acts",
    "truncate acts cascade",
    "update outbox set event = '{}'",
    "update outbox set user_id = 1",
    "truncate outbox",
    "update identity set value = 'live'",
    "delete from topup_receipts",
    "delete from users",
    "delete from wallets",
    "delete from jobs",
    "delete from topups",
    "update wallets set user_id = 1",
    "insert into schema_migrations values ('9999', '', now())",
    "update schema_migrations set checksum = ''",
    "delete from schema_migrations",
    "alter table ledger add column more text",
    "alter table ledger disable trigger all",
    "alter table ledger drop constraint ledger_ref_once",
    "alter table ledger owner to current_user",
    "alter table wallets drop constraint wallets_balance_not_below_zero",
    "drop trigger ledger_no_change on ledger",
    "create trigger mine before insert on ledger execute function ledger_is_append_only()",
    "create rule mine as on insert to ledger do instead nothing",
    (
        "create or replace function ledger_is_append_only() returns trigger language plpgsql as"
        " $$ begin return null; end $$"
    ),
    "drop function ledger_is_append_only() cascade",
    "drop table ledger cascade",
    "drop index ledger_of_job",
    "create index mine on ledger (why)",
    "create table mine (id int)",
    "create temporary table ledger (id int)",
    "create view mine as select 1",
    "create function mine() returns int language sql as 'select 1'",
    "create schema mine",
    "drop schema public cascade",
    "set session_replication_role = replica",
    "select setval('ledger_id_seq', 1)",
    "create role mine superuser",
    "alter role current_user superuser",
    "copy ledger to program 'cat'",
    "select pg_read_file('/etc/passwd')",
)
"""What a role that may write anything could try; `ledger` stands for the money."""


def test_the_rights_are_those_of_the_statements() -> None:
    """A new statement needs its right here; a right that no statement needs is none."""
    needed: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES.glob("*.py"):
        if path.name.startswith(("memory", "sqlite", "postgres_rights")):
            continue
        text = re.sub(r'"\s+f?"', "", path.read_text())
        found = re.findall(r"\b(insert into|delete from|update) ([a-z_]+)\b", text)
        found += re.findall(r"insert into ()([a-z_]+)[^\"]* do update set", text)
        for verb, table in found:
            needed[table].add(verb.partition(" ")[0] or "update")
    # By who migrates, whose rights are the owner's.
    needed["schema_migrations"].discard("insert")

    given = {
        table: {right.partition(" ")[0] for right in rights} - {"select"}
        for table, rights in RIGHTS.items()
    }
    assert {table: needed[table] for table in RIGHTS} == given


async def test_every_table_has_its_rights(roles: Roles) -> None:
    """What everybody had in the schema before is taken back, and a second time changes nothing."""
    roles.kiebot("migrate")
    owner = await asyncpg.connect(roles.owner_dsn)
    tables = await owner.fetch("select tablename from pg_tables where schemaname = 'public'")
    await owner.execute(f'grant all on all tables in schema public to "{roles.bot}", public')

    for _ in range(2):
        assert roles.kiebot("migrate", "--grant-to", roles.bot)[0] == 0

    held = await owner.fetch(
        "select table_name, lower(privilege_type) as privilege from"
        " information_schema.role_table_grants where grantee = any($1)",
        [roles.bot, "PUBLIC"],
    )
    await owner.close()
    assert {row["tablename"] for row in tables} == set(RIGHTS)
    assert {
        (row["table_name"], row["privilege"]) for row in held if row["table_name"] in RIGHTS
    } == {
        (table, right) for table, rights in RIGHTS.items() for right in rights if " " not in right
    }


async def test_a_role_that_could_do_more_is_refused(roles: Roles) -> None:
    """Rights that come another way would make the granted ones a pretence."""
    roles.kiebot("migrate")
    server, bot, owner = roles.server, roles.bot, roles.owner

    async def refusal(role: str) -> str:
        code, said = roles.kiebot("migrate", "--grant-to", role)
        assert code == 1, said
        assert "Traceback" not in said
        return said

    assert "there is no role nobody_here" in await refusal("nobody_here")
    assert "it owns tables" in await refusal(owner)
    server.execute(f'grant "{owner}" to "{bot}"')
    assert "it owns tables" in await refusal(bot)
    server.execute(f'revoke "{owner}" from "{bot}"')
    server.execute(f'alter role "{bot}" superuser')
    assert "it is a superuser" in await refusal(bot)
    server.execute(f'alter role "{bot}" nosuperuser createrole')
    assert "it may make roles" in await refusal(bot)
    server.execute(f'alter role "{bot}" nocreaterole')
    assert roles.kiebot("migrate", "--grant-to", bot)[0] == 0
    server.execute("grant pg_write_all_data to " + f'"{bot}"')
    said = await refusal(bot)
    assert "update on ledger" in said
    assert "delete on acts" in said

    storage = await PostgresStorage.open(roles.bot_dsn)
    with pytest.raises(StorageError):
        await storage.grant_to(bot)
    await storage.close()


def test_grant_to_is_for_postgresql_and_for_changing(tmp_path: Path) -> None:
    """In a line, as wrong usage."""
    arguments = ["migrate", "--database", f"sqlite:///{tmp_path}/k.db", "--grant-to", "bot"]

    code, said = kiebot(arguments, tmp_path)
    both, why = kiebot([*arguments, "--check"], tmp_path)

    assert (code, both) == (2, 2), said + why
    assert "knows no roles" in said
    assert "--check only says" in why
