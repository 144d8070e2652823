"""Receiving from Telegram: nothing is acknowledged before it is stored, and nothing is lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramNetworkError
from attrs import define, field

from kiebot.adapters.frontend.telegram_updates import (
    NotLeadingError,
    Polling,
    Watch,
    Webhook,
    make_bot,
    read_update,
)
from kiebot.adapters.storage.memory import MemoryLead
from kiebot.core.errors import ConfigError, StorageUnavailableError
from kiebot.core.updates import Update
from kiebot.ports.storage import Lead
from tests.fakes.leap import leap
from tests.fakes.telegram_server import TelegramServer
from tests.fakes.telegram_shop import NearSession


@define
class Store:
    """Where updates are kept; it may be told to fail."""

    kept: list[Update] = field(factory=list)
    failures: int = 0

    async def take_in(self, updates: Sequence[Update], lead: Lead | None) -> None:  # noqa: ARG002
        if self.failures:
            self.failures -= 1
            raise StorageUnavailableError("down")
        self.kept += updates

    @property
    def ids(self) -> list[int]:
        return [update.id for update in self.kept]


@asynccontextmanager
async def polling(
    telegram: TelegramServer, store: Store, *, token: str | None = None
) -> AsyncIterator[tuple[asyncio.Task[None], MemoryLead]]:
    """A leader that asks Telegram."""
    lead = MemoryLead("remote", 1)
    watch = Watch(lead.holds, lambda *_: None)
    bot = make_bot(token or telegram.token, telegram.url, watch)
    running = asyncio.create_task(Polling(bot, store.take_in, hold_s=1).run(lead))
    try:
        yield running, lead
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bot.session.close()


async def test_updates_are_kept_as_they_came(telegram: TelegramServer) -> None:
    store = Store()
    phone = telegram.person(7, "Аня 😀", language_code="ru")

    async with polling(telegram, store):
        phone.types("слово \0 \ud800 <b>")
        await telegram.until(lambda: bool(store.kept), "an update")

    (update,) = store.kept
    assert update.user_id == 7
    assert json.loads(update.body) == telegram.updates.made[0]
    assert update.body.isascii()


async def test_what_could_not_be_stored_is_not_acknowledged(telegram: TelegramServer) -> None:
    store = Store(failures=2)
    phone = telegram.person(7)

    async with polling(telegram, store):
        phone.types("one")
        phone.types("two")
        await telegram.until(lambda: len(store.kept) >= 2, "both updates")
        await telegram.until(lambda: not telegram.updates.waiting, "the acknowledgement")

    assert store.ids == [update["update_id"] for update in telegram.updates.made]


def test_a_database_that_is_back_is_noticed_at_once() -> None:
    """However long it was gone: only Telegram wants to be left alone."""

    async def story() -> None:
        telegram = TelegramServer()
        telegram.patience_s = 600
        store = Store(failures=12)
        lead = MemoryLead("remote", 1)
        bot = Bot(telegram.token, session=NearSession(telegram))
        telegram.person(7).types("one")

        running = asyncio.create_task(Polling(bot, store.take_in).run(lead))
        await telegram.until(lambda: bool(store.kept), "the update")
        # Seconds that the loop leapt over.
        passed_s = asyncio.get_running_loop().time()
        lead.lost.set()
        await running

        assert passed_s < 12

    leap(story())


async def test_a_new_leader_loses_nothing(telegram: TelegramServer) -> None:
    """What the one before stored and did not acknowledge comes again; it is known by its id."""
    store = Store()
    phone = telegram.person(7)
    phone.types("one")
    async with polling(telegram, store) as (running, lead):
        await telegram.until(lambda: len(store.kept) == 1, "the first update")
        lead.lost.set()
        await running
    phone.types("two")

    async with polling(telegram, store):
        await telegram.until(lambda: len(set(store.ids)) == 2, "the second update")

    assert set(store.ids) == {update["update_id"] for update in telegram.updates.made}


async def test_an_id_below_the_ones_before_is_received(telegram: TelegramServer) -> None:
    """After a week of silence Telegram begins anew with any id."""
    store = Store()
    phone = telegram.person(7)
    async with polling(telegram, store):
        phone.types("one")
        await telegram.until(lambda: len(store.kept) == 1, "the first update")
        polls = len(telegram.called("getUpdates"))
        await telegram.until(lambda: len(telegram.called("getUpdates")) > polls + 1, "silence")
        message = telegram.updates.made[0]["message"]
        telegram.updates.waiting.append({"update_id": 5, "message": message})
        telegram.updates.go_on()
        await telegram.until(lambda: len(store.kept) == 2, "the update with a lower id")

    assert store.ids[1] == 5


async def test_a_wrong_token_is_a_setting(telegram: TelegramServer) -> None:
    async with polling(telegram, Store(), token="4200000042:AAE-wrong-000000000") as (running, _):
        with pytest.raises(ConfigError, match="TELEGRAM_BOT_TOKEN"):
            await running


async def test_who_has_lost_the_lead_calls_nobody(telegram: TelegramServer) -> None:
    async with polling(telegram, Store()) as (running, lead):
        await telegram.until(lambda: bool(telegram.called("getUpdates")), "a call")
        lead.lost.set()
        await running
        calls = len(telegram.calls)

    assert len(telegram.calls) == calls


async def test_a_webhook_is_set_with_its_secret(telegram: TelegramServer) -> None:
    telegram.breaks("error", "setWebhook", times=1)
    bot = make_bot(telegram.token, telegram.url, Watch(lambda: True, lambda *_: None))
    webhook = Webhook(bot, "https://bot.example/", "s3cret")

    await webhook.set()
    await bot.session.close()

    assert webhook.is_receiving
    assert telegram.updates.hook is not None
    assert telegram.updates.hook.url == "https://bot.example/telegram/webhook"
    assert telegram.updates.hook.secret == "s3cret"


@pytest.mark.parametrize("looks", [2, 3], ids=["connected", "about to write"])
async def test_who_may_no_longer_call_when_it_comes_to_it_says_nothing(
    telegram: TelegramServer, looks: int
) -> None:
    """A process may be frozen on its way to a call, and another one leads when it wakes up."""
    may = [True] * (looks - 1) + [False] * 9
    bot = make_bot(telegram.token, telegram.url, Watch(lambda: may.pop(0), lambda *_: None))

    with pytest.raises((NotLeadingError, TelegramNetworkError)):
        await bot.send_message(7, "hello")

    assert (len(may), telegram.calls) == (9 - 1, [])
    await bot.session.close()


@pytest.mark.parametrize(
    "raw",
    [None, [], "x", {}, {"update_id": "1"}, {"update_id": True}, {"update_id": -1}, 7,
     {"update_id": 2**63}, {"update_id": 1.5}],
)  # fmt: skip
def test_rubbish_is_no_update(raw: object) -> None:
    with pytest.raises(ValueError, match="not an update"):
        read_update(raw)


@pytest.mark.parametrize(
    "said",
    [
        {"poll": {}},
        {"message": None},
        {"message": {"chat": {"type": "private"}}},
        {"message": {"from": {"id": "7"}, "chat": {"type": "private"}}},
        {"message": {"from": {"id": -7}, "chat": {"type": "private"}}},
        {"message": {"from": {"id": 7}, "chat": {"type": "supergroup"}}},
        {"callback_query": {"from": {"id": 7}, "message": {"chat": {"type": "group"}}}},
    ],
)
def test_what_concerns_nobody_here_is_passed_over(said: dict[str, object]) -> None:
    assert read_update({"update_id": 1, **said}) is None


def test_a_press_without_its_message_is_an_update() -> None:
    """A very old message is not sent along."""
    update = read_update({"update_id": 1, "callback_query": {"id": "9", "from": {"id": 7}}})

    assert update is not None
    assert update.user_id == 7
