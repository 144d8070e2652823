"""
A whole Telegram deployment in the test's process: all of `kiebot serve` but its HTTP server.

    async with telegram_shop(telegram, SqliteStorage..., terms) as shop:
        phone = telegram.person(7, "Аня", language_code="ru")
        phone.types("/start")
        ...

With `session=NearSession(telegram)` nothing is a socket, so that it runs in a loop that leaps
(`leap.py`) over the minutes that Telegram is silent.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.base import BaseSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramNetworkError
from aiogram.methods import TelegramMethod
from aiogram.types import InputFile
from attrs import frozen

from kiebot.adapters.frontend.telegram import TelegramFrontend
from kiebot.adapters.frontend.telegram_send import Pace
from kiebot.adapters.frontend.telegram_updates import Bouncer, Polling, Watch
from kiebot.adapters.kie.stub import StubKieClient
from kiebot.adapters.media.stub import StubMedia
from kiebot.app import Kiebot
from kiebot.conversation import Conversation
from kiebot.core.terms import Terms
from kiebot.ports.storage import Storage
from kiebot.reception import Reception
from kiebot.service import Service
from kiebot.worker import Worker
from tests.fakes import telegram_rules as rules
from tests.fakes.clock import START
from tests.fakes.shop import CATALOG
from tests.fakes.telegram_methods import Call
from tests.fakes.telegram_server import Answer, TelegramServer

FAST = Pace(rate=1000, burst=100, chat_rate=1000, chat_burst=100, spare_rate=1000)
LEASE_S = 600.0
"""Longer than a test waits: who is served again only when a lease ends is not served."""


@frozen(kw_only=True)
class TelegramShop:
    """The parts of a deployment, open to the test."""

    kiebot: Kiebot
    storage: Storage
    frontend: TelegramFrontend
    service: Service


def loop_clock() -> datetime:
    """A clock that goes as the loop's does."""
    return START + timedelta(seconds=asyncio.get_running_loop().time())


@asynccontextmanager
async def telegram_shop(
    telegram: TelegramServer,
    storage: Storage,
    terms: Terms,
    *,
    session: BaseSession | None = None,
    pace: Pace = FAST,
    clock: Callable[[], datetime] = loop_clock,
    prefix: str = "id",
) -> AsyncIterator[TelegramShop]:
    """Serve while the block runs, by polling. What is in hand then is finished."""
    numbers = iter(range(1, 10**6))
    kiebot = Kiebot(
        storage,
        StubKieClient(clock),
        CATALOG,
        terms,
        media=StubMedia(),
        clock=clock,
        new_id=lambda: f"{prefix}{next(numbers)}",
    )
    conversation = Conversation(kiebot, clock=clock)
    session = session or AiohttpSession(api=TelegramAPIServer.from_base(telegram.url))
    session.middleware(Watch(lambda: service.may_speak(), lambda *_: None))
    bot = Bot(telegram.token, session=session)
    frontend = TelegramFrontend(conversation, bot, admins=terms.admins, pace=pace)
    kiebot.open_with(frontend.open)
    reception = Reception(
        kiebot,
        frontend,
        where=conversation.where,
        went_wrong=conversation.went_wrong,
        turn_away=Bouncer(bot, conversation.texts).turn_away,
        lease_s=LEASE_S,
    )
    service = Service(
        kiebot,
        storage,
        Worker(kiebot, frontend, conversation.news, audience=None),
        reception,
        frontend,
        facts=[("kind", "demo"), ("bot", str(telegram.bot["id"]))],
        asking=Polling(bot, reception.take_in),
    )
    running = asyncio.create_task(service.run())
    try:
        yield TelegramShop(kiebot=kiebot, storage=storage, frontend=frontend, service=service)
        assert not running.done(), running.exception()
    finally:
        service.stop()
        await running


class NearSession(BaseSession):
    """Telegram in the same loop: what `AiohttpSession` would send and get, without a socket."""

    def __init__(self, telegram: TelegramServer) -> None:
        super().__init__()
        self._telegram = telegram

    async def make_request(
        self,
        bot: Bot,
        method: TelegramMethod[Any],
        timeout: int | None = None,  # noqa: ASYNC109 - aiogram's
    ) -> Any:
        """Make a call, as over HTTP."""
        call = await self._call(bot, method)
        self._telegram.calls.append(call)
        self._telegram.bell.ring()
        try:
            answer = await self._in_time(self._telegram.take(call), timeout)
        except TimeoutError:
            raise TelegramNetworkError(method, "Request timeout error") from None
        if answer is None:
            raise TelegramNetworkError(method, "ServerDisconnectedError: Server disconnected")
        return self.check_response(bot, method, answer.status, answer.body).result

    async def stream_content(
        self,
        url: str,
        headers: dict[str, Any] | None = None,  # noqa: ARG002 - aiogram's
        timeout: int = 30,  # noqa: ASYNC109 - aiogram's
        chunk_size: int = 65536,  # noqa: ARG002
        raise_for_status: bool = True,  # noqa: ARG002
    ) -> AsyncGenerator[bytes, None]:
        """Read a file."""
        path = url.partition(f"/file/bot{self._telegram.token}/")[2]
        call = Call("file", {"path": path}, {}, "", self._telegram.next_moment())
        self._telegram.calls.append(call)
        found = await self._in_time(self._telegram.fetch(call), timeout)
        if found is None or isinstance(found, Answer):
            raise aiohttp.ServerDisconnectedError
        yield found

    async def close(self) -> None:
        """Nothing is open."""

    async def _in_time(self, answer: Any, seconds: float | None) -> Any:
        async with asyncio.timeout(seconds):
            return await answer

    async def _call(self, bot: Bot, method: TelegramMethod[Any]) -> Call:
        uploads: dict[str, InputFile] = {}
        params: rules.Json = {}
        for key, value in method.model_dump(warnings=False).items():
            sent = self.prepare_value(value, bot=bot, files=uploads)
            if sent:
                params[key] = rules.loaded(sent) if key in rules.JSON_FIELDS else sent
        files = {}
        for key, upload in uploads.items():
            content = b"".join([chunk async for chunk in upload.read(bot)])
            files[key] = (upload.filename or key, "application/octet-stream", content)
        return Call(method.__api_method__, params, files, "", self._telegram.next_moment())
