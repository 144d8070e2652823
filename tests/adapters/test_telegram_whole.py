"""A Bot API server that says no more than it must."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import ClientDecodeError
from aiogram.methods import GetFile, SendMediaGroup, SendMessage
from aiogram.types import InputMediaPhoto
from aiohttp import web
from attrs import define, field

from kiebot.adapters.frontend.telegram_updates import read_update
from kiebot.adapters.frontend.telegram_whole import ForgivingSession, whole_message
from tests.fakes.served import served
from tests.fakes.telegram_server import TelegramServer

TOKEN = "4200000042:AAE-scarce-0000000000000000000000000000"
PATIENCE_S = 90


@define
class Scarce:
    """Knows four methods, answers with a number, and leaves out of updates whatever it can."""

    url: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(factory=list)
    answers: dict[str, Any] = field(factory=dict)
    updates: list[dict[str, Any]] = field(factory=list)
    _ids: "itertools.count[int]" = field(factory=lambda: itertools.count(1))
    _news: asyncio.Event = field(factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        form = dict(await request.post())
        self.calls.append((method, form))
        self._news.set()
        if method in self.answers:
            return _ok(self.answers[method])
        match method:
            case "getUpdates":
                # It holds nothing, and does not forget what was acknowledged.
                offset = int(str(form.get("offset", 0)))
                return _ok([update for update in self.updates if update["update_id"] >= offset])
            case "sendMessage" | "editMessageText":
                return _ok({"message_id": next(self._ids)})
            case "answerCallbackQuery":
                return _ok(True)
            case _:
                return web.json_response(
                    {"ok": False, "error_code": 404, "description": "Not Found"}, status=404
                )

    def says(self, **update: object) -> None:
        self.updates.append({"update_id": next(self._ids), **update})

    async def sees(self, method: str, words: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._news.clear()
                for called, form in self.calls:
                    if called == method and words in str(form.get("text", "")):
                        return form
                await self._news.wait()


def _ok(result: object) -> web.Response:
    return web.json_response({"ok": True, "result": result})


@pytest.fixture
async def scarce() -> AsyncIterator[Scarce]:
    async with _running() as server:
        yield server


@asynccontextmanager
async def _running() -> AsyncIterator[Scarce]:
    server = Scarce()
    app = web.Application()
    app.router.add_post("/bot{token}/{method}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


@pytest.fixture
async def bot(scarce: Scarce) -> AsyncIterator[Bot]:
    made = Bot(TOKEN, ForgivingSession(api=TelegramAPIServer.from_base(scarce.url)))
    yield made
    await made.session.close()


async def test_people_are_served_through_the_least_that_a_server_must_do(
    tmp_path: Path, telegram: TelegramServer, scarce: Scarce
) -> None:
    person = {"id": 7, "language_code": "ru"}
    async with served(tmp_path, telegram, f"sqlite:///{tmp_path}/kiebot.db") as shop:
        instance = await shop.start(TELEGRAM_API_URL=scarce.url)

        scarce.says(message={"message_id": 1, "from": person, "chat": {"id": 7}, "text": "/start"})
        await scarce.sees("sendMessage", "Баланс")
        scarce.says(
            callback_query={
                "id": "press",
                "from": person,
                "data": "marketing:main",
                "message": {"message_id": 2, "chat": {"id": 7}},
            }
        )
        await scarce.sees("editMessageText", "Что создаём?")
        await instance.handled(2)

        assert [form["callback_query_id"] for name, form in scarce.calls if "answer" in name] == [
            "press"
        ]
        greetings = [form for name, form in scarce.calls if name == "sendMessage"]
        assert len(greetings) == 1, greetings
        instance.terminate()
        assert await instance.ends(10) == 0
        assert "Traceback" not in instance.log


@pytest.mark.parametrize("result", [{}, True, {"message_id": 5}, {"message_id": 5, "chat": []}])
async def test_a_message_that_was_sent_was_sent(scarce: Scarce, bot: Bot, result: object) -> None:
    """Whatever else is said of it: it must not be sent again."""
    scarce.answers["sendMessage"] = result

    sent = await bot(SendMessage(chat_id=7, text="Готово"))

    wanted = result.get("message_id", 0) if isinstance(result, dict) else 0
    assert sent.message_id == wanted


async def test_an_album_that_was_sent_was_sent(scarce: Scarce, bot: Bot) -> None:
    scarce.answers["sendMediaGroup"] = [{"message_id": 5}, {"message_id": 6, "photo": [{}]}]
    photo = InputMediaPhoto(media="https://files.example.org/cat.png")

    sent = await bot(SendMediaGroup(chat_id=7, media=[photo, photo]))

    assert [message.message_id for message in sent] in ([5, 6], [])


async def test_a_file_is_read_without_its_other_name(scarce: Scarce, bot: Bot) -> None:
    scarce.answers["getFile"] = {"file_id": "f", "file_path": "photos/1.jpg"}

    found = await bot(GetFile(file_id="f"))

    assert found.file_path == "photos/1.jpg"


async def test_what_nobody_said_is_not_made_up(scarce: Scarce, bot: Bot) -> None:
    scarce.answers["getFile"] = True

    with pytest.raises(ClientDecodeError):
        await bot(GetFile(file_id="f"))


def test_a_chat_without_a_kind_is_private_where_it_has_the_persons_number() -> None:
    message = {"from": {"id": 7}, "text": "/start"}

    assert read_update({"update_id": 1, "message": {**message, "chat": {"id": 7}}}) is not None
    assert read_update({"update_id": 1, "message": {**message, "chat": {"id": -100}}}) is None


def test_files_are_known_without_their_size() -> None:
    message = whole_message({"photo": [{"file_id": "p"}, "rubbish"], "document": {"file_id": "d"}})

    assert [size["file_unique_id"] for size in message["photo"]] == ["p"]
    assert message["document"]["file_unique_id"] == "d"
