"""Putting a kiebot together: what the settings choose, what is handed in, and what is refused."""

import asyncio
import re
import threading
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from kiebot.adapters.kie.stub import StubKieClient
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.adapters.storage.postgres import PostgresStorage
from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.compose import (
    compose,
    load_catalog,
    make_storage,
    new_id,
    open_storage,
    operate,
    role_of,
    terms,
    utc_now,
)
from kiebot.config import DatabaseUrl, Settings
from kiebot.conversation import Conversation
from kiebot.core.dialog.screen import Screen
from kiebot.core.errors import (
    CatalogError,
    ConfigError,
    InsufficientFundsError,
    NotFoundError,
    StorageUnavailableError,
    WrongDatabaseError,
)
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.money import Money
from kiebot.core.terms import PaymentDetails, Terms
from kiebot.core.users import UserId
from tests.fakes.clock import FakeClock

MODEL = "flux-2/pro-text-to-image"
ANNA = UserId(42)
CAT = {"prompt": "a red cat"}


@define
class Paper:
    """A frontend that keeps what it is shown."""

    conversation: Conversation
    shown: list[tuple[UserId, Screen]] = field(factory=list)
    something: asyncio.Event = field(factory=asyncio.Event)

    async def show(self, user_id: UserId, screen: Screen) -> None:
        self.shown.append((user_id, screen))
        self.something.set()

    def open(self, reference: str) -> Any:
        raise NotImplementedError(reference)

    async def run(self) -> None:
        await self.something.wait()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    if request.param == "sqlite":
        return DatabaseUrl.sqlite(tmp_path / "folder" / "shop.db")
    return DatabaseUrl.parse(request.getfixturevalue("postgres_dsn"))


@pytest.fixture
def demo(url: DatabaseUrl) -> Settings:
    return Settings(database_url=url, test_mode=True)


@pytest.fixture
def live(url: DatabaseUrl) -> Settings:
    return Settings(database_url=url, kie_api_token="key")


# --- What the settings choose


async def test_the_address_chooses_the_database(demo: Settings) -> None:
    kinds = {"sqlite": SqliteStorage, "postgres": PostgresStorage}

    async with compose(demo), open_storage(demo) as storage:
        assert isinstance(storage, kinds[demo.database.kind])
        assert await storage.missing_migrations() == []
        assert await role_of(storage) == "demo"


async def test_asking_what_a_database_is_leaves_it_what_it_is(demo: Settings) -> None:
    """Right after `kiebot migrate`, and after being asked, it can still become either."""
    async with make_storage(demo) as storage:
        await storage.migrate()
        assert [await role_of(storage) for _ in range(2)] == [None, None]
        await storage.claim([("kind", "live")])
        assert await role_of(storage) == "live"


async def test_operating_on_a_database_that_is_there(demo: Settings) -> None:
    async with compose(demo):
        pass

    async with operate(demo) as kiebot:
        with pytest.raises(NotFoundError):
            await kiebot.user(ANNA)


async def test_terms_come_from_the_settings() -> None:
    settings = Settings(
        price_multiplier=Decimal(3),
        user_jobs_max=4,
        kie_submissions_max=1,
        job_timeout=60.0,
        kie_timeout=5.0,
        draft_hours=2.0,
        topup_min=Money.rub("50"),
        topup_max=Money.rub("60"),
        payment_card="2200",
        payment_bank="Bank",
        admin_ids=(7, 8),
        kie_poll_interval=1.5,
    )

    found = terms(settings)

    assert found == Terms(
        price_multiplier=Decimal(3),
        user_jobs_max=4,
        submissions_max=1,
        job_timeout=timedelta(minutes=1),
        call_timeout=timedelta(seconds=5),
        draft_age=timedelta(hours=2),
        topup_min=Money.rub("50"),
        topup_max=Money.rub("60"),
        payment=PaymentDetails(card="2200", bank="Bank", holder=""),
        admins=frozenset({UserId(7), UserId(8)}),
        pace=found.pace,
        creates_per_10s=20,
        queries_per_s=10,
        watches_credits=True,
    )
    assert found.pace.interval_s == 1.5


def test_the_stub_is_looked_at_sooner_unless_the_pace_was_set() -> None:
    usual, set_ = Settings(), Settings(kie_poll_interval=1.0)

    paces = [
        terms(s, is_stub=stub).pace.interval_s for s in (usual, set_) for stub in (True, False)
    ]

    assert paces == [0.2, 3.0, 1.0, 1.0]


def test_toy_money_is_for_demo_databases_only() -> None:
    grant = Money.rub("1000")

    assert terms(Settings(test_mode=True), demo_grant=grant).demo_grant == grant
    assert terms(Settings(), demo_grant=grant).demo_grant is None
    assert terms(Settings(test_mode=True)).demo_grant is None


async def test_the_operators_catalog_is_sold_from(tmp_path: Path) -> None:
    file = tmp_path / "catalog.json"
    file.write_text("{}")

    with pytest.raises(CatalogError):
        async with compose(Settings(test_mode=True, catalog_path=file), storage=MemoryStorage()):
            pass


def test_an_id_can_be_read_out_and_is_never_the_same() -> None:
    ids = {new_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(re.fullmatch(r"[0-9a-hjkmnp-tv-z]{12}", made) for made in ids)


# --- Demo and live


async def test_a_demo_database_is_not_used_live(demo: Settings, live: Settings) -> None:
    """And this is told before anything that is missing for live use."""
    async with compose(demo):
        pass

    with pytest.raises(WrongDatabaseError) as caught:
        async with compose(live):
            pass

    assert (caught.value.found, caught.value.wanted) == ("demo", "live")


async def test_a_live_database_is_not_used_for_a_demonstration(
    demo: Settings, live: Settings
) -> None:
    async with compose(live, kie=StubKieClient(FakeClock())):
        pass

    with pytest.raises(WrongDatabaseError):
        async with compose(demo):
            pass


async def test_no_file_is_made_for_who_could_not_sell(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"

    with pytest.raises(ConfigError, match="KIE_API_TOKEN"):
        async with compose(Settings(database_url=DatabaseUrl.sqlite(path))):
            pass

    assert not path.exists()


async def test_commands_do_not_make_a_database(tmp_path: Path) -> None:
    settings = Settings(database_url=DatabaseUrl.sqlite(tmp_path / "shop.db"), test_mode=True)

    with pytest.raises(StorageUnavailableError, match="kiebot migrate"):
        async with operate(settings):
            pass

    assert not settings.database.path.exists()


# --- What is handed in


async def test_parts_can_be_handed_in() -> None:
    clock = FakeClock()
    storage, kie, catalog = MemoryStorage(clock=clock), StubKieClient(clock), load_catalog(None)

    async with compose(
        Settings(),
        storage=storage,
        kie=kie,
        catalog=catalog,
        clock=clock,
        new_id=lambda: "job1",
        frontend=Paper,
    ) as runtime:
        await runtime.kiebot.greet(ANNA, "Anna", Language.EN)
        await runtime.kiebot.grant(ANNA, Money.rub("30"), by="tests", why="a test", ref="gift")
        job = await runtime.kiebot.order(ANNA, MODEL, CAT)
        await runtime.worker.step()
        clock.advance(5)
        await runtime.worker.step()

        assert (job.id, job.confirmed_at) == ("job1", FakeClock().now)
        assert [made for made, _ in kie.created] == ["job1"]
        assert runtime.kiebot.catalog is catalog
        assert isinstance(runtime.frontend, Paper)
        assert [user_id for user_id, _ in runtime.frontend.shown] == [ANNA]
        assert (await runtime.kiebot.job(ANNA, job.id)).status is JobStatus.SUCCEEDED


async def test_what_was_handed_in_is_not_closed(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "shop.db")

    async with compose(Settings(test_mode=True), storage=storage):
        pass

    await storage.ping()
    await storage.close()


async def test_what_was_opened_is_closed(tmp_path: Path) -> None:
    """Each connection of SQLite has a thread, which would keep the process from ending."""
    settings = Settings(database_url=DatabaseUrl.sqlite(tmp_path / "shop.db"), test_mode=True)
    before = set(threading.enumerate())

    async with compose(settings) as runtime, runtime.working():
        await runtime.kiebot.ping()
        during = set(threading.enumerate()) - before

    # The loop's own threads end with the loop.
    left = [thread for thread in during if not thread.name.startswith("asyncio_")]
    assert left
    for thread in left:
        # Its last act is to say that it is done; then it still has to end.
        await asyncio.to_thread(thread.join, 30)
        assert not thread.is_alive()


# --- Working


async def test_a_frontend_is_told_while_it_works(demo: Settings) -> None:
    async with compose(demo, frontend=Paper) as runtime, runtime.working():
        await runtime.kiebot.greet(ANNA, "Anna", Language.EN)
        await runtime.kiebot.grant(ANNA, Money.rub("30"), by="tests", why="a test")
        await runtime.kiebot.order(ANNA, MODEL, CAT)
        assert runtime.frontend is not None
        async with asyncio.timeout(30):
            await runtime.frontend.run()

    assert isinstance(runtime.frontend, Paper)
    ((user_id, screen),) = runtime.frontend.shown
    assert user_id == ANNA
    assert len(screen.media) == 1


async def test_nobody_leaves_before_they_were_told_what_another_of_theirs_was(
    demo: Settings,
) -> None:
    """A script in a pipe, while the person has a chat open: it prints the results, too."""
    me = UserId(-1)
    async with (
        compose(demo, frontend=Paper, audience=me) as chat,
        compose(demo, frontend=Paper, audience=me) as pipe,
    ):
        await pipe.kiebot.greet(me, "Anna", Language.EN)
        await pipe.kiebot.grant(me, Money.rub("30"), by="tests", why="a test")
        await pipe.worker.tell()
        await pipe.kiebot.order(me, MODEL, CAT)
        assert isinstance(chat.frontend, Paper)
        assert isinstance(pipe.frontend, Paper)
        async with asyncio.timeout(30), chat.working():
            await chat.frontend.run()
        await chat.worker.tell()

        assert await chat.conversation.is_idle(me)
        assert not await pipe.conversation.is_idle(me)

        await pipe.worker.tell()
        assert len(pipe.frontend.shown) == 1
        assert await pipe.conversation.is_idle(me)


async def test_without_a_frontend_what_is_untold_stays_so(demo: Settings) -> None:
    async with compose(demo) as runtime, runtime.working():
        shop = runtime.kiebot
        await shop.greet(ANNA, "Anna", Language.EN)
        await shop.grant(ANNA, Money.rub("30"), by="tests", why="a test")
        job = await shop.order(ANNA, MODEL, CAT)
        async with asyncio.timeout(30):
            statuses = [now.status async for now in shop.follow(ANNA, job.id)]
        (untold,) = await shop.untold(10, local=False)

    assert statuses[-1] is JobStatus.SUCCEEDED
    assert untold.event.user_id == ANNA


async def test_a_file_of_the_machine_is_not_read_without_a_frontend(demo: Settings) -> None:
    """Whoever embeds kiebot may hand on what people send; a path is then no address."""
    model = "recraft/remove-background"
    async with compose(demo) as runtime, runtime.working():
        shop = runtime.kiebot
        await shop.greet(ANNA, "Anna", Language.EN)
        await shop.grant(ANNA, Money.rub("100"), by="tests", why="a test")
        job = await shop.order(ANNA, model, {"image": "file:///etc/passwd"})
        async with asyncio.timeout(30):
            statuses = [now.status async for now in shop.follow(ANNA, job.id)]

    assert statuses[-1] is JobStatus.FAILED


async def test_an_error_of_the_block_is_itself(demo: Settings) -> None:
    """Not inside a group of errors, which `except InsufficientFundsError` would not catch."""

    async def order_without_money() -> None:
        async with compose(demo) as runtime, runtime.working():
            await runtime.kiebot.greet(ANNA, "Anna", Language.EN)
            await runtime.kiebot.order(ANNA, MODEL, CAT)

    with pytest.raises(InsufficientFundsError):
        await order_without_money()


async def test_an_error_of_the_work_ends_the_block() -> None:
    class BrokenError(RuntimeError):
        pass

    is_broken = asyncio.Event()

    def clock() -> datetime:
        if is_broken.is_set():
            raise BrokenError
        return utc_now()

    async def work() -> None:
        async with (
            compose(Settings(test_mode=True), storage=MemoryStorage(), clock=clock) as runtime,
            runtime.working(),
        ):
            is_broken.set()
            async with asyncio.timeout(30):
                await asyncio.sleep(60)

    with pytest.raises(BrokenError):
        await work()
