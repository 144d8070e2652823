"""
What Telegram always says and nobody here needs, where a Bot API server leaves it out.

A press without its `chat_instance` is a press, and a message that was sent was sent, whatever of
the answer can be read: it must be neither lost nor sent once more.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.exceptions import ClientDecodeError
from aiogram.methods import Response, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import File, Message

_FILES = ("document", "audio", "video", "voice", "video_note", "animation", "sticker")
_OF_A_FILE = {
    "width": 0,
    "height": 0,
    "length": 0,
    "duration": 0,
    "type": "regular",
    "is_animated": False,
    "is_video": False,
}
NOBODY = {"id": 0, "type": "private"}


def whole_update(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The update, with all that its reader insists on."""
    update = dict(raw)
    query = update.get("callback_query")
    if isinstance(query, Mapping):
        query = {"chat_instance": "", **query}
        if isinstance(query.get("from"), Mapping):
            query["from"] = _user(query["from"])
        if isinstance(query.get("message"), Mapping):
            query["message"] = whole_message(query["message"])
        update["callback_query"] = query
    if isinstance(update.get("message"), Mapping):
        update["message"] = whole_message(update["message"])
    return update


def whole_message(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The message; without a date it is of now, without a kind of chat it is private."""
    message = {"message_id": 0, "date": int(time.time()), "chat": NOBODY, **raw}
    if isinstance(message["chat"], Mapping):
        message["chat"] = {"type": "private", **message["chat"]}
    if isinstance(message.get("from"), Mapping):
        message["from"] = _user(message["from"])
    for kind in _FILES:
        if isinstance(message.get(kind), Mapping):
            message[kind] = _file(message[kind])
    if isinstance(message.get("photo"), list):
        message["photo"] = [_file(size) for size in message["photo"] if isinstance(size, Mapping)]
    return message


class ForgivingSession(AiohttpSession):
    """A session to which what was done is done, also where the answer is not all there."""

    def check_response(
        self, bot: Bot, method: TelegramMethod[TelegramType], status_code: int, content: str
    ) -> Response[TelegramType]:
        """
        The answer; what cannot be read of it is left out.

        Raises:
            AiogramError: It was not done; ClientDecodeError: nobody knows.
        """
        try:
            return super().check_response(bot, method, status_code, content)
        except ClientDecodeError as error:
            if not isinstance(error.data, Mapping) or error.data.get("ok") is not True:
                raise
            refused = error
        for result in _readings(method, refused.data.get("result")):
            try:
                answer = json.dumps({"ok": True, "result": result})
                return super().check_response(bot, method, status_code, answer)
            except ClientDecodeError:
                continue
        raise refused


def _readings(method: TelegramMethod[Any], result: Any) -> list[Any]:
    """What an answer may be taken for, the fullest first."""
    returned = method.__returning__
    said = result if isinstance(result, Mapping) else {}
    if returned is Message:
        return [whole_message(said), whole_message({k: said[k] for k in said if k == "message_id"})]
    if returned is File:
        return [_file(said)]
    if returned == list[Message] and isinstance(result, list):
        whole = [whole_message(one) for one in result if isinstance(one, Mapping)]
        return [whole, []]
    # What was edited, deleted or set; what was asked for cannot be made up.
    return [True]


def _user(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {"is_bot": False, "first_name": "", **raw}


def _file(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {**_OF_A_FILE, "file_unique_id": raw.get("file_id", ""), **raw}
