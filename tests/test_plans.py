"""
How the databases answer a press: by an index, always, and sorted already.

Real people press what they press, and the queries are those that the drivers were asked; then the
databases say how they would go about each, in tables that are large enough to matter.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg

from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.conversation import Conversation
from kiebot.core.dialog.screen import Did, Press, Say, Screen
from kiebot.core.language import Language
from kiebot.core.updates import Update
from kiebot.core.users import UserId
from kiebot.inbox import PRESENT
from kiebot.ports.storage import Storage
from tests.fakes.clock import FakeClock
from tests.fakes.shop import stub_shop

ANYA = UserId(5_000)
MANY = 2_000
"""Rows in each table, and more in some: PostgreSQL then minds how it comes to one."""

WHOLE = {"switched_off"}
"""Read as a whole, by their key: never more rows than the catalog has models."""

HEAD = "inbox_oldest"
"""An index of what waits alone, read from its head on until enough is found."""

TAKING = "update inbox_people set taker = $1"
"""Which people of those who wait come next: PostgreSQL may sort these few, as it likes."""

FILL = f"""
insert into users (id, name, language, created_at)
  select n, 'somebody', 'en', now() from generate_series(1, {MANY}) n;
insert into wallets select id, 1000, 0 from users;
insert into ui_state select id, '{{}}', now() from users;
insert into jobs (id, user_id, model_id, params, status, price_kop, submissions, confirmed_at,
    created_at, updated_at)
  select 'j' || n, 1 + n % {MANY // 50}, 'm' || n % 9, '{{}}',
    (array['succeeded', 'failed', 'draft', 'cancelled', 'running'])[1 + n % 5], 100, 1,
    case when n % 5 in (2, 3) then null else now() - n * interval '1 s' end, now(),
    now() - n * interval '1 s'
  from generate_series(1, 2 * {MANY}) n;
insert into ledger (user_id, kind, amount_kop, ref, job_id, created_at)
  select user_id, 'hold', 100, 'hold:' || id, id, now() from jobs where confirmed_at is not null;
insert into ledger (user_id, kind, amount_kop, ref, job_id, created_at)
  select user_id, 'charge', 100, 'charge:' || id, id, now() from jobs where status = 'succeeded';
insert into tasks (id, job_id, created_at, updated_at)
  select 't' || id, id, now(), now() from jobs where confirmed_at is not null;
insert into topups (id, user_id, amount_kop, requested_kop, status, receipt, created_at)
  select 'p' || id, id, 100, 100, (array['pending', 'manual_review', 'approved'])[1 + id % 3], '[]',
    now() from users;
insert into outbox (user_id, kind, event, created_at, told_at)
  select id, 'x', '{{}}', now(), case when id % 9 = 0 then null else now() end from users;
insert into inbox (update_id, user_id, body, received_at, done_at, answered_at)
  select id, id, '', now(), now(), case when id % 99 = 0 then null else now() end from users;
insert into inbox_people select n, '', '2000-01-01' from generate_series(1, 10 * {MANY}) n;
insert into switched_off select 'm' || lpad(n::text, 5, '0'), '7', 'why', now()
  from generate_series(1, {MANY}) n;
insert into notices (user_id, message_id, about, ref, has_file, shown_at)
  select id, 1, 'job', 'j' || id, false, now() from users;
analyze;
"""


async def press_everything(storage: Storage) -> None:
    """A person's way through the shop, each press as an update that is received and answered."""
    clock = FakeClock()
    shop = stub_shop(storage, clock)
    conversation = Conversation(shop.kiebot, clock=clock)
    await conversation.meet(ANYA, "Аня", Language.RU)
    await shop.meet(ANYA, roubles=1000)
    numbers = iter(range(1_000_000, 2_000_000))

    async def does(did: Did) -> Screen:
        update = Update(id=next(numbers), user_id=ANYA, body="{}")
        await shop.kiebot.inbox.receive([update])
        taken = await shop.kiebot.inbox.take("me", 32, PRESENT)
        assert update.id in {one.id for one in taken}
        with shop.kiebot.inbox.handling(update):
            screen = await conversation.handle(ANYA, did)
        await shop.kiebot.inbox.answered("me", update)
        return screen

    async def presses(screen: Screen, start: str) -> Screen:
        (button, *_) = [b for b in screen.actions if b.action.encode().startswith(start)]
        return await does(Press(button.action))

    for data in ("menu:main", "marketing:main", "mcat:visuals", "balance:main", "topup:main"):
        await does(Press.of(data))
    for prompt in ("рыжий кот", "серый кот", "кот"):
        await does(Press.of("mmodel:flux-2/pro-text-to-image"))
        offer = await does(Say(prompt))
        if prompt == "кот":
            await presses(offer, "gen:cancel")
        else:
            setting = await presses(offer, "mopen")
            await presses(await presses(setting, "mparam"), "gen:confirm")
    while jobs := await shop.kiebot.open_jobs(ANYA):
        clock.advance(5)
        for job in jobs:
            await shop.kiebot.advance(job.id, None)
    for where in ("history:jobs", "history:ledger"):
        await does(Press.of(where))
    shown = await presses(await does(Press.of("history:jobs")), "history:job:")
    await presses(await presses(shown, "gen:again"), "gen:cancel")
    await presses(await does(Press.of("topup:500")), "topup:cancel")
    await does(Press.of("lang:en"))


def is_of_data(query: str) -> bool:
    return query.split(maxsplit=1)[0].lower() in {"select", "insert", "update", "delete", "with"}


# --- PostgreSQL


def wrong_nodes(plan: dict[str, Any], of: str = "") -> Iterator[str]:
    """The parts of a plan that read a table from end to end, or sort."""
    table = plan.get("Relation Name", of)
    kind = plan["Node Type"]
    if kind in {"Seq Scan", "Sort", "Incremental Sort"} and table not in WHOLE:
        yield f"{kind} {table}".strip()
    for part in plan.get("Plans", []):
        yield from wrong_nodes(part)


async def test_postgres_finds_what_a_press_needs_by_an_index(postgres_dsn: str) -> None:
    storage = await PostgresStorage.open(postgres_dsn, pool_min=1, pool_max=1)
    asked: dict[str, Sequence[object]] = {}
    try:
        await storage.migrate()
        async with storage._pool.acquire() as driver:  # noqa: SLF001 - to hear what it is asked
            await driver.execute(FILL)
            driver.add_query_logger(lambda said: asked.setdefault(said.query, said.args or ()))
        await press_everything(storage)
    finally:
        await storage.close()

    wrong = {}
    raw = await asyncpg.connect(postgres_dsn)
    try:
        for query, values in filter(lambda said: is_of_data(said[0]), asked.items()):
            (plan,) = json.loads(await raw.fetchval(f"explain (format json) {query}", *values))
            nodes = [*wrong_nodes(plan["Plan"])]
            if query.startswith(TAKING):
                nodes = [node for node in nodes if node != "Sort"]
            wrong[query] = nodes
    finally:
        await raw.close()

    assert len(wrong) > 25
    assert [(query, nodes) for query, nodes in wrong.items() if nodes] == []


# --- SQLite


async def test_sqlite_finds_what_a_press_needs_by_an_index(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "kiebot.db")
    asked: set[str] = set()
    try:
        await storage.migrate()
        async with storage.snapshot() as reader:
            await reader.fetch("select 1")
        for thread in (storage._writer, *storage._idle):  # noqa: SLF001 - to hear what is asked
            await thread.call(sqlite3.Connection.set_trace_callback, asked.add)
        await press_everything(storage)
    finally:
        await storage.close()

    wrong = {}
    raw = sqlite3.connect(tmp_path / "kiebot.db")
    for query in filter(is_of_data, asked):
        steps = [row[3] for row in raw.execute(f"explain query plan {query}")]
        wrong[query] = [step for step in steps if is_wrong(step)]
    raw.close()

    assert len(wrong) > 25
    assert [(query, steps) for query, steps in wrong.items() if steps] == []


def is_wrong(step: str) -> bool:
    """Whether a step of a plan reads a table from end to end, or sorts."""
    what, table, *rest = step.split()
    reads_all = what == "SCAN" and table not in WHOLE and rest[-1:] != [HEAD]
    return reads_all or "TEMP B-TREE" in step
