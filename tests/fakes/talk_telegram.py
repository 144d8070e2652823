"""Somebody in Telegram, and a conversation that does what it is told (`talk.py`) behind it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from attrs import frozen

from kiebot.adapters.frontend.telegram import TelegramFrontend
from kiebot.adapters.frontend.telegram_send import Pace
from kiebot.conversation import Conversation
from kiebot.core.users import UserId
from tests.fakes.talk import Talk
from tests.fakes.telegram_chats import Phone
from tests.fakes.telegram_server import TelegramServer, TelegramThread, telegram_thread

PERSON = UserId(7)
FAST = Pace(rate=1000, burst=100, chat_rate=1000, chat_burst=100, spare_rate=1000)


@frozen
class TelegramPerson:
    """What a person at a terminal can do, with a phone."""

    thread: TelegramThread
    phone: Phone

    def types(self, text: str) -> None:
        """Send words."""
        self.thread.do(lambda _: self.phone.types(text))

    def presses(self, label: str) -> None:
        """Press a button once it is there."""
        self.thread.wait(self.phone.sees(label, anywhere=True))
        self.thread.do(lambda _: self.phone.presses(label))

    def attaches(self, name: str, content: bytes) -> None:
        """Send a file as a file."""
        self.thread.do(lambda _: self.phone.sends_document(name, content))

    def sees(self, *texts: str) -> str:
        """Wait until all of these are there since the last answer; what is there then."""

        def seen() -> str:
            return "\n".join(message.seen() for message in self.phone.new())

        async def seen_at_last() -> str:
            is_there = lambda: all(wanted in seen() for wanted in texts)  # noqa: E731
            await self.thread.telegram.until(is_there, str(texts), self.phone)
            return seen()

        return self.thread.wait(seen_at_last())


@contextmanager
def somebody() -> Iterator[TelegramPerson]:
    """Somebody who has just come, and sees the menu."""
    with telegram_thread() as thread:
        phone = thread.do(lambda telegram: telegram.person(PERSON, "Anna", language_code="en"))
        serving = thread.do(lambda telegram: asyncio.ensure_future(_serve(telegram)))
        person = TelegramPerson(thread, phone)
        try:
            person.types("/start")
            yield person
        finally:
            thread.wait(_ended(serving))


async def _ended(serving: asyncio.Future[None]) -> None:
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def _serve(telegram: TelegramServer) -> None:
    """Hand on updates as a source does: one at a time, each to its end."""
    talk = Talk(person=PERSON)
    server = TelegramAPIServer.from_base(telegram.url)
    bot = Bot(telegram.token, AiohttpSession(api=server))
    frontend = TelegramFrontend(cast("Conversation", talk), bot, pace=FAST)
    talk.frontend = frontend
    offset = 0
    try:
        while True:
            for update in await bot.get_updates(offset=offset, timeout=20):
                raw = update.model_dump(mode="json", exclude_none=True, by_alias=True)
                await frontend.answer_press(raw)
                await frontend.handle(raw)
                offset = update.update_id + 1
    finally:
        await frontend.close()
