"""What people in Telegram hear while the database is away: a word, once, and then their answer."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.ru import RU
from kiebot.reception import SILENT_S
from tests.fakes import hasty_loop
from tests.fakes.driver_faults import Outage
from tests.fakes.shop import TERMS
from tests.fakes.telegram_chats import Phone
from tests.fakes.telegram_server import TelegramServer
from tests.fakes.telegram_shop import NearSession, telegram_shop

Story = Callable[[TelegramServer, Outage], Awaitable[None]]


def in_a_shop(path: Path, story: Story) -> None:
    """Tell a story in a loop that nobody's pauses keep waiting, on an SQLite file."""

    async def told() -> None:
        telegram, outage = TelegramServer(), Outage()
        telegram.patience_s = 600
        storage = await SqliteStorage.open(path / "kiebot.db", lease_s=600, driver=outage.driver())
        try:
            async with telegram_shop(telegram, storage, TERMS, session=NearSession(telegram)):
                await story(telegram, outage)
        finally:
            await storage.close()

    hasty_loop.hasten(told())


def times(phone: Phone, words: str) -> int:
    """How many messages of a chat say this."""
    return sum(words in message.text for message in phone.chat())


def test_who_writes_while_the_database_is_away_is_told_once_and_answered_later(
    tmp_path: Path,
) -> None:
    async def story(telegram: TelegramServer, outage: Outage) -> None:
        anna = telegram.person(7, "Аня", language_code="ru")
        anna.types("/start")
        await anna.sees("Баланс")

        outage.lasts = True
        anna.types("/help")
        await anna.sees(RU.takes_longer)
        anna.types("/balance")
        await asyncio.sleep(4 * SILENT_S)
        assert outage.refused > 2
        assert times(anna, RU.takes_longer) == 1

        outage.lasts = False
        await anna.sees("Баланс: 0 ₽")
        assert times(anna, RU.takes_longer) == 1

    in_a_shop(tmp_path, story)


def test_who_presses_while_the_database_is_away_reads_it_over_the_chat(tmp_path: Path) -> None:
    async def story(telegram: TelegramServer, outage: Outage) -> None:
        boris = telegram.person(8, "Boris", language_code="en")
        boris.types("/start")
        await boris.sees("Balance")

        outage.lasts = True
        press = boris.presses("balance:main")
        assert await press.answered() == EN.takes_longer
        assert press.answers[0]["show_alert"]
        outage.lasts = False

        await boris.sees("Balance: 0 ₽")
        assert times(boris, EN.takes_longer) == 0

    in_a_shop(tmp_path, story)


def test_of_an_outage_that_is_short_nobody_hears(tmp_path: Path) -> None:
    async def story(telegram: TelegramServer, outage: Outage) -> None:
        anna = telegram.person(7, "Anna", language_code="en")
        anna.types("/start")
        await anna.sees("Balance")

        outage.lasts = True
        anna.types("/balance")
        while not outage.refused:  # noqa: ASYNC110 - it is a thread that counts
            await asyncio.sleep(0.01)
        outage.lasts = False
        await anna.sees("Balance: 0 ₽")
        await asyncio.sleep(2 * SILENT_S)

        assert times(anna, EN.takes_longer) == 0

    in_a_shop(tmp_path, story)
