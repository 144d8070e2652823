"""
A button press, from its arrival to its reply: kiebot against bare aiogram with as many queries.

    python -m benchmarks.press [--rounds 5] [--seconds 3] [--flame] [--to FOLDER]

The loop is open: presses come when they are due, whether those before them were answered or not,
and a press has waited since it was due. The dispatcher is aiogram's, the database a PostgreSQL that
keeps what it committed, and Telegram answers at once, so that what is measured is all ours.
"""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import asyncpg
from aiogram import Bot, Dispatcher, Router
from aiogram.client.session.base import BaseSession
from aiogram.methods import EditMessageText, SendMessage, TelegramMethod
from aiogram.types import CallbackQuery, Message
from attrs import define, field, frozen

from benchmarks import measure, postgres
from kiebot.adapters.catalog import load_catalog
from kiebot.adapters.frontend.telegram import TelegramFrontend
from kiebot.adapters.frontend.telegram_send import Pace
from kiebot.adapters.frontend.telegram_updates import Bouncer, read_update
from kiebot.adapters.kie.stub import StubKieClient
from kiebot.adapters.media.stub import StubMedia
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.app import Kiebot
from kiebot.cli.serve import keep_what_is_loaded
from kiebot.compose import new_id, utc_now
from kiebot.conversation import Conversation
from kiebot.core.terms import PaymentDetails, Terms
from kiebot.reception import Reception

RATES = (100, 200)
"""Presses a second."""

PRESSES = ("menu:main", "balance:main", "history:ledger", "mmodel:flux-2/pro-text-to-image")
"""What is pressed, in turn: three that read, and one that makes a draft."""

PEOPLE = 1_000
"""Who press, in turn."""

FLOOD = 1_000
"""Presses a second of one person alone."""

FLOODER = 10**9

LARGE = 1_000_000
"""Ledger entries of the large database."""

OPEN = 10_000
"""Open jobs of the large database; each who presses has one in both."""

PATIENCE_S = 60.0
"""How long is waited for the last replies."""

POOL = 10
"""Connections: as many as kiebot takes."""

FREE = Pace(rate=1e6, burst=1e6, chat_rate=1e6, chat_burst=1e6, spare_rate=1e6)
"""As if Telegram had no limits: they would be all there is to measure."""

ABOUT = """
A press comes to kiebot's reception, is stored, taken up, handled by aiogram's dispatcher and the
conversation, and answered by a screen; its latency is from the moment at which it was due to the
moment at which the screen is handed to Telegram, which here answers at once. Presses come at random
moments, in an open loop, from {people:,} people in turn. Bare aiogram opens as many transactions
with as many statements, of which as many write, before and after it answers; counted were, with
`begin` and `commit`: {queries}. Both are in one process, which looks for garbage as `kiebot serve`
does: not among what was loaded at its start.
"""

WHY = (
    "Each query of the reference is the cheapest there is: one row by its key. Kiebot's find who it"
    " is, what they may see, and draw it: that is Python, in the same thread, and at a p99 every"
    " millisecond of it counts several times, as others wait for it. The fewer queries there are,"
    " the more that weighs: the reference asks only as often as kiebot does. Of one bot"
    " Telegram takes some 30 messages a second in all: more presses than that nobody sees answered."
)

TERMS = Terms(payment=PaymentDetails(card="2200 7000 0000 0000"))


MAKE = (
    (
        "insert into users (id, name, language, created_at)"
        " select n, 'somebody', 'en', now() from generate_series(1, {people}) n"
    ),
    "insert into wallets (user_id, balance_kop, hold_kop) select id, 0, 0 from users",
    (
        "insert into jobs (id, user_id, model_id, params, status, price_kop, kie_price_kop,"
        " offered_at, confirmed_at, submissions, kie_task_id, next_check_at, created_at,"
        " updated_at)"
        " select 'job' || n, (n - 1) % {people} + 1, 'flux-2/pro-text-to-image',"
        """ '{{"prompt": "a cat", "aspect_ratio": "1:1", "resolution": "1K"}}', 'running',"""
        " 3000, 1500, now(), now(), 1, 'task' || n, now(), now(), now()"
        " from generate_series(1, {jobs}) n"
    ),
    (
        "insert into ledger (user_id, kind, amount_kop, ref, actor, why, created_at)"
        " select (n - 1) % {people} + 1, 'grant', 10000, 'grant:' || n, 'benchmark', 'to be spent',"
        " now() from generate_series(1, {entries}) n"
    ),
    (
        "insert into ledger (user_id, kind, amount_kop, ref, job_id, created_at)"
        " select user_id, 'hold', price_kop, 'hold:' || id, id, now() from jobs"
    ),
    (
        "update wallets set balance_kop = sums.granted - sums.held, hold_kop = sums.held from"
        " (select user_id, coalesce(sum(amount_kop) filter (where kind = 'grant'), 0) as granted,"
        " coalesce(sum(amount_kop) filter (where kind = 'hold'), 0) as held"
        " from ledger group by user_id) sums where sums.user_id = wallets.user_id"
    ),
)
"""A shop's rows, in bulk; the rules of the money hold in them."""

BARE = (
    "create table bare_wallets (user_id bigint primary key, balance bigint not null)",
    "insert into bare_wallets select n, 0 from generate_series(1, {people}) n",
    "create table bare_states (user_id bigint primary key, state text not null)",
)
READ = "select balance from bare_wallets where user_id = $1"
WRITE = (
    "insert into bare_states values ($1, $2) on conflict (user_id) do update set state = $2"
    " returning user_id"
)

Feed = Callable[[dict[str, Any]], Awaitable[None]]
"""Takes a raw update."""


class Telegram(BaseSession):
    """A Bot API server that answers at once; `heard` is told in which chat something is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: Callable[[int], None] = lambda _: None

    async def make_request(
        self,
        bot: Bot,  # noqa: ARG002 - aiogram's signature
        method: TelegramMethod[Any],
        timeout: int | None = None,  # noqa: ARG002, ASYNC109
    ) -> Any:
        """What Telegram would return, as far as anybody reads it."""
        match method:
            case EditMessageText(chat_id=int() as chat):
                self.heard(chat)
            case SendMessage(chat_id=int() as chat):
                self.heard(chat)
                return Message.model_validate(_message(chat))
            case _:
                pass
        return True

    async def stream_content(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        """Nobody loads anything."""
        return
        yield b""

    async def close(self) -> None:
        """Nothing is open."""


@frozen
class Deal:
    """
    A transaction: how many of its statements read, and write; `is_framed` where it has a `begin`
    and a `commit`, as all but single statements have.
    """

    reads: int
    writes: int
    is_framed: bool = True

    @property
    def queries(self) -> int:
        """All that the database is asked."""
        return self.reads + self.writes + 2 * self.is_framed


@frozen
class Toll:
    """What the database is asked for one press, before the reply and after it."""

    before: tuple[Deal, ...]
    after: tuple[Deal, ...]

    @property
    def queries(self) -> int:
        """All of them."""
        return sum(deal.queries for deal in (*self.before, *self.after))


@define
class Counter:
    """Hears of every query of some connections, and makes transactions of them."""

    deals: list[Deal] = field(factory=list)
    _open: dict[int, list[str]] = field(factory=dict)

    def hear(self, connection: int, query: Any) -> None:
        """A query ended; `connection` is any number that is its own."""
        text = query.query.lower()
        if text.startswith("begin"):
            self._open[connection] = []
        elif text.startswith(("commit", "rollback")):
            said = self._open.pop(connection)
            writes = sum(map(_writes, said))
            self.deals.append(Deal(len(said) - writes, writes))
        elif connection in self._open:
            self._open[connection].append(text)
        else:
            writes = _writes(text)
            self.deals.append(Deal(1 - writes, writes, is_framed=False))


@define
class Run:
    """Presses that came in an open loop: seconds from when each was due to its reply."""

    latencies: list[float] = field(factory=list)
    pressed: int = 0

    @property
    def p50(self) -> float:
        """Milliseconds."""
        return measure.quantile(self.latencies, 0.5) * 1000

    @property
    def p99(self) -> float:
        """Milliseconds."""
        return measure.quantile(self.latencies, 0.99) * 1000


@define
class Crowd:
    """Presses buttons, and watches for the replies."""

    telegram: Telegram
    feed: Feed
    _due: dict[int, float] = field(factory=dict)
    _answered: asyncio.Event = field(factory=asyncio.Event)
    _run: Run = field(factory=Run)
    _numbers: Any = field(factory=lambda: itertools.count(1))
    _next: Any = field(factory=lambda: itertools.cycle(range(1, PEOPLE + 1)))

    async def press(self, person: int, data: str, due: float) -> None:
        """One press; it is answered when something is shown in the person's chat."""
        self._due[person] = due
        self._answered.clear()
        await self.feed(_update(next(self._numbers), person, data))

    async def run(self, rate: float, seconds: float, chance: random.Random) -> Run:
        """Press as often, at random moments, and wait for all replies."""
        self.telegram.heard = self._heard
        self._run = run = Run()
        loop = asyncio.get_running_loop()
        presses: set[asyncio.Task[None]] = set()
        began = due = loop.time()
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - loop.time()))
            data = PRESSES[run.pressed % len(PRESSES)]
            task = loop.create_task(self.press(next(self._next), data, due))
            presses.add(task)
            task.add_done_callback(presses.discard)
            run.pressed += 1
            due += chance.expovariate(rate)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*presses)
                await self._answered.wait()
        # Who was not answered by now has waited at least until now.
        for person in list(self._due):
            self._heard(person)
        return run

    async def flood(self) -> None:
        """One person presses, far too fast, until cancelled."""
        loop = asyncio.get_running_loop()
        presses: set[asyncio.Task[None]] = set()
        due = loop.time()
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            update = _update(next(self._numbers), FLOODER, PRESSES[0])
            task = asyncio.ensure_future(self.feed(update))
            presses.add(task)
            task.add_done_callback(presses.discard)
            due += 1 / FLOOD

    def _heard(self, person: int) -> None:
        due = self._due.pop(person, None)
        if due is not None:
            self._run.latencies.append(asyncio.get_running_loop().time() - due)
        if not self._due:
            self._answered.set()


@asynccontextmanager
async def kiebot(storage: PostgresStorage) -> AsyncIterator[Crowd]:
    """A shop as `kiebot serve` puts it together, where updates come by a webhook."""
    telegram = Telegram()
    bot = Bot("42:TEST", session=telegram)
    shop = Kiebot(
        storage,
        StubKieClient(utc_now),
        load_catalog(None),
        TERMS,
        media=StubMedia(),
        clock=utc_now,
        new_id=new_id,
    )
    conversation = Conversation(shop)
    frontend = TelegramFrontend(conversation, bot, pace=FREE)
    reception = Reception(
        shop,
        frontend,
        where=conversation.where,
        went_wrong=conversation.went_wrong,
        turn_away=Bouncer(bot, conversation.texts).turn_away,
        lease_s=15,
    )

    async def feed(raw: dict[str, Any]) -> None:
        update = read_update(raw)
        assert update is not None
        await reception.take_in([update])

    running = asyncio.create_task(reception.run())
    try:
        yield Crowd(telegram, feed)
    finally:
        reception.stop()
        await running
        await reception.close()
        await frontend.close()


@asynccontextmanager
async def bare(pool: Any, tolls: Mapping[str, Toll]) -> AsyncIterator[Crowd]:
    """aiogram alone, that asks the database as much and shows one message."""
    telegram = Telegram()
    bot = Bot("42:TEST", session=telegram)
    router = Router()

    @router.callback_query()
    async def on_press(query: CallbackQuery) -> None:
        toll = tolls[query.data or ""]
        person = query.from_user.id
        await _ask(pool, toll.before, person)
        await bot.edit_message_text("a screen", chat_id=person, message_id=1)
        await query.answer()
        await _ask(pool, toll.after, person)

    dispatcher = Dispatcher(disable_fsm=True)
    dispatcher.include_router(router)
    yield Crowd(telegram, partial(_feed_bare, dispatcher, bot))


async def _feed_bare(dispatcher: Dispatcher, bot: Bot, raw: dict[str, Any]) -> None:
    await dispatcher.feed_raw_update(bot, raw)


async def _ask(pool: Any, deals: Sequence[Deal], person: int) -> None:
    for deal in deals:
        async with pool.acquire() as connection:
            if deal.is_framed:
                await connection.execute("begin" if deal.writes else "begin read only")
            for _ in range(deal.reads):
                await connection.fetchrow(READ, person)
            for _ in range(deal.writes):
                await connection.fetchrow(WRITE, person, "menu")
            if deal.is_framed:
                await connection.execute("commit")


async def tolls_of(dsn: str) -> Mapping[str, Toll]:
    """What kiebot asks the database for each kind of press, where nobody else presses."""
    storage = await PostgresStorage.open(dsn)
    try:
        async with kiebot(storage) as crowd:
            counter = Counter()
            pool = storage._pool  # noqa: SLF001 - nobody else has to know what is asked
            connections = [await pool.acquire() for _ in range(POOL)]
            for number, connection in enumerate(connections):
                connection.add_query_logger(partial(counter.hear, number))
            for connection in connections:
                await pool.release(connection)
            return await _tolls(crowd, counter)
    finally:
        await storage.close()


async def _tolls(crowd: Crowd, counter: Counter) -> Mapping[str, Toll]:
    found = {}
    loop = asyncio.get_running_loop()
    for data in PRESSES * 2:  # the first time somebody is greeted
        counter.deals.clear()
        replied = asyncio.Event()

        def heard(_: int, replied: asyncio.Event = replied) -> None:
            loop.call_soon(replied.set)

        crowd.telegram.heard = heard
        await crowd.press(1, data, loop.time())
        await replied.wait()
        before = tuple(counter.deals)
        await asyncio.sleep(0.3)  # less than the pause after which it looks anew by itself
        found[data] = Toll(before, tuple(counter.deals[len(before) :]))
    return found


def _writes(statement: str) -> int:
    locks = statement.replace("for no key update", "").replace("for update", "")
    return int("insert into " in locks or "update " in locks or "delete " in locks)


def _update(number: int, person: int, data: str) -> dict[str, Any]:
    sender = {"id": person, "is_bot": False, "first_name": "somebody", "language_code": "en"}
    press = {
        "id": str(number),
        "from": sender,
        "chat_instance": "1",
        "data": data,
        "message": _message(person),
    }
    return {"update_id": number, "callback_query": press}


def _message(person: int) -> dict[str, Any]:
    chat = {"id": person, "type": "private", "first_name": "somebody"}
    return {"message_id": 1, "date": int(time.time()), "chat": chat, "text": "a screen"}


def main() -> None:
    """Measure, and keep the page."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of presses, each time")
    asked = parser.parse_args()
    measure.keep(asyncio.run(_measure(asked.rounds, asked.seconds)), asked.to)


async def _measure(rounds: int, seconds: float) -> measure.Page:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(postgres.running())
        small = stack.enter_context(postgres.database(server))
        large = stack.enter_context(postgres.database(server))
        await _fill(small, PEOPLE, PEOPLE, 10 * PEOPLE)
        await _fill(large, OPEN, OPEN, LARGE - OPEN)
        tolls = await tolls_of(small)
        crowds = {
            "kiebot": await _on(stack, small),
            "large": await _on(stack, large),
            "aiogram": await _bare_on(stack, small, tolls),
        }
        chance = random.Random(5)
        for crowd in crowds.values():
            await crowd.run(RATES[0], seconds, chance)  # everybody is greeted, all is prepared
        keep_what_is_loaded()
        found: dict[str, list[Run]] = {}
        subjects: dict[str, Callable[[], Awaitable[Run]]]
        for rate in RATES:
            subjects = {
                f"{name} at {rate}": postgres.tidied(
                    large if name == "large" else small, partial(crowd.run, rate, seconds, chance)
                )
                for name, crowd in crowds.items()
            }
            found |= await measure.in_turn_async(subjects, rounds)

        async def beside_flood() -> Run:
            flood = asyncio.create_task(crowds["kiebot"].flood())
            try:
                return await crowds["kiebot"].run(RATES[0], seconds, chance)
            finally:
                flood.cancel()

        alone = partial(crowds["kiebot"].run, RATES[0], seconds, chance)
        subjects = {
            "alone": postgres.tidied(small, alone),
            "flood": postgres.tidied(small, beside_flood),
        }
        found |= await measure.in_turn_async(subjects, rounds)
    return _page(found, tolls)


async def press_on(seconds: float, when_ready: Callable[[], None]) -> None:
    """Presses as they are measured, and nothing else, for whoever watches this process."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(postgres.running())
        small = stack.enter_context(postgres.database(server))
        await _fill(small, PEOPLE, PEOPLE, 10 * PEOPLE)
        crowd = await _on(stack, small)
        chance = random.Random(5)
        await crowd.run(RATES[0], PEOPLE / RATES[0], chance)  # everybody is greeted
        when_ready()
        await crowd.run(RATES[0], seconds, chance)


def _page(found: Mapping[str, Sequence[Run]], tolls: Mapping[str, Toll]) -> measure.Page:
    p99 = {name: [run.p99 for run in runs] for name, runs in found.items()}
    p50 = {name: [run.p50 for run in runs] for name, runs in found.items()}
    rows = []
    for rate in RATES:
        rows.append(
            measure.Row(
                measured=f"p99 of a press, {rate} a second",
                against="bare aiogram with as many queries",
                rounds=measure.ratios(p99[f"kiebot at {rate}"], p99[f"aiogram at {rate}"]),
                goal=measure.at_most(1.5),
                why=WHY,
            )
        )
        rows.append(
            measure.Row(
                measured=f"p99 of a press, {rate} a second, {LARGE:,} ledger entries and"
                f" {OPEN:,} open jobs",
                against="itself in a small database",
                rounds=measure.ratios(p99[f"large at {rate}"], p99[f"kiebot at {rate}"]),
                goal=measure.at_most(1.5),
            )
        )
    rows.append(
        measure.Row(
            measured=f"p99 of a press, {RATES[0]} a second, while one person presses"
            f" {FLOOD:,} times a second",
            against="itself without that person",
            rounds=measure.ratios(p99["flood"], p99["alone"]),
            goal=measure.at_most(2.0),
        )
    )
    queries = ", ".join(f"`{data}` {toll.queries}" for data, toll in tolls.items())
    return measure.Page(
        name="press",
        title="A button press",
        about=ABOUT.format(people=PEOPLE, queries=queries).strip(),
        rows=tuple(rows),
        figures=tuple(
            measure.Figure(of=f"{which} of {name}", unit="ms", rounds=tuple(figures[name]))
            for name in found
            for which, figures in (("p50", p50), ("p99", p99))
        ),
        pictures={"Where the time of a press goes": "press-flame.svg"},
        packages=("aiohttp", "pydantic"),
    )


async def _fill(dsn: str, people: int, jobs: int, entries: int) -> None:
    storage = await PostgresStorage.open(dsn)
    await storage.migrate()
    await storage.close()
    connection = await asyncpg.connect(dsn)
    for statement in (*MAKE, *BARE):
        await connection.execute(statement.format(people=people, jobs=jobs, entries=entries))
    await connection.close()
    await postgres.vacuum(dsn)


async def _on(stack: AsyncExitStack, dsn: str) -> Crowd:
    storage = await PostgresStorage.open(dsn)
    stack.push_async_callback(storage.close)
    return await stack.enter_async_context(kiebot(storage))


async def _bare_on(stack: AsyncExitStack, dsn: str, tolls: Mapping[str, Toll]) -> Crowd:
    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=POOL, reset=_keep)
    stack.push_async_callback(pool.close)
    return await stack.enter_async_context(bare(pool, tolls))


async def _keep(_: Any) -> None:
    """As kiebot's pool: a connection that comes back is left as it is."""


if __name__ == "__main__":
    main()
