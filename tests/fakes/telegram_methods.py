"""
Telegram without HTTP: what people and the bot did, and what each method of the Bot API does.

It is one bot's Telegram; `telegram_server.py` makes a server of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from attrs import define, evolve, field, frozen

from kiebot.core.media import sniff
from tests.fakes import telegram_rules as rules
from tests.fakes.telegram_chats import PATIENCE_S, Bell, File, Files, Message, Phone, Query, Version
from tests.fakes.telegram_rules import Json, RefusedError, Words, bad, forbidden
from tests.fakes.telegram_updates import LOOPBACK, Updates

DATE = 1_767_268_800
"""When the first message is sent; each later one a second later."""

KINDS = {
    "sendphoto": "photo",
    "sendvideo": "video",
    "sendaudio": "audio",
    "sendvoice": "voice",
    "sendanimation": "animation",
    "senddocument": "document",
}


@define(eq=False)
class Call:
    """
    One request of the bot's.

    `method` is as the bot wrote it, `by` the name in the address, `files` the uploads by field.
    `code` is what it was answered with; None where it was not, or not yet.
    """

    method: str
    params: Json
    files: dict[str, tuple[str, str, bytes]] = field(repr=False)
    by: str
    moment: int
    code: int | None = None
    description: str | None = None

    @property
    def name(self) -> str:
        """The method in small letters: the Bot API takes it in any."""
        return self.method.lower()

    @property
    def chat_id(self) -> int | None:
        """The chat it is about."""
        chat = str(self.params.get("chat_id", ""))
        return int(chat) if chat.lstrip("-").isdecimal() else None


@frozen
class Described:
    """A result that has a description beside."""

    result: object
    description: str


ABOUT = {
    "name": ("name", 64),
    "description": ("description", 512),
    "shortdescription": ("short_description", 120),
}


class Telegram:
    """
    What one bot's Telegram knows.

    `session` fetches addresses; `patience_s` is how long a test waits for something, by its loop.
    """

    session: aiohttp.ClientSession
    patience_s: float = PATIENCE_S

    def __init__(self, token: str, username: str) -> None:
        self.token = token
        self.bot: Json = {
            "id": int(token.partition(":")[0]),
            "is_bot": True,
            "first_name": "kiebot",
            "username": username,
        }
        self.bell = Bell()
        self.updates = Updates(self.bell)
        self.files = Files()
        self.phones: dict[int, Phone] = {}
        self.queries: dict[str, Query] = {}
        self.actions: list[tuple[int, str]] = []
        """Which chat action was shown to whom."""
        self.commands: dict[tuple[tuple[str, ...], str], tuple[Json, ...]] = {}
        self.about: dict[tuple[str, str], str] = {}
        self.menu_button: Json = {"type": "default"}
        self._moments = count(1)
        self._numbers = count(1)
        self._dates = count(DATE)

    # --- People

    def person(
        self,
        user_id: int,
        name: str = "Аня",
        *,
        language_code: str | None = "ru",
        username: str | None = None,
    ) -> Phone:
        """Somebody, who has not written yet; the same one when asked for again."""
        if user_id not in self.phones:
            self.phones[user_id] = Phone(self, user_id, name, language_code, username)
        return self.phones[user_id]

    def tell(self, kind: str, body: Json) -> None:
        """Tell the bot what a person did."""
        self.updates.add(kind, body)

    def menu(self, phone: Phone) -> list[str]:
        """The commands that a person is offered."""
        return rules.visible_commands(self.commands, phone.user_id, phone.language_code or "")

    def unanswered(self) -> list[Query]:
        """Presses that the bot never tried to answer."""
        return [query for query in self.queries.values() if not query.tries]

    async def until(self, is_so: Callable[[], bool], what: str, phone: Phone | None = None) -> None:
        """Wait until this is so; looks whenever something happened."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.patience_s
        while not is_so():
            left = deadline - clock()
            if left <= 0:
                chat = f"\n{phone.screen()}" if phone else ""
                raise AssertionError(f"there is no {what}{chat}")
            await self.bell.wait(left)

    # --- Numbers

    def next_moment(self) -> int:
        """Counts what happens."""
        return next(self._moments)

    def next_message(self) -> int:
        """The id of a new message."""
        return next(self._numbers)

    def next_query(self) -> str:
        """The id of a new press."""
        return str(4382000000000 + next(self._numbers))

    def next_album(self) -> str:
        """The id of a new album."""
        return str(13000000000 + next(self._numbers))

    def date(self) -> int:
        """The time of a new message."""
        return next(self._dates)

    # --- The methods

    async def do(self, call: Call) -> Any:
        """
        What this call does, and its result.

        Raises:
            RefusedError: Telegram does not want to.
        """
        kind = KINDS.get(call.name)
        if kind is not None:
            return await self._send_file(call, kind)
        do = self._methods.get(call.name)
        if do is None:
            raise RefusedError(404, "Not Found: method not found")
        return await do(call)

    @property
    def _methods(self) -> Mapping[str, Callable[[Call], Awaitable[Any]]]:
        return {
            "getme": self._get_me,
            "getupdates": self._get_updates,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._set_webhook,
            "getwebhookinfo": self._get_webhook_info,
            "sendmessage": self._send_message,
            "sendmediagroup": self._send_media_group,
            "copymessage": self._copy_message,
            "forwardmessage": self._copy_message,
            "editmessagetext": self._edit_text,
            "editmessagecaption": self._edit_caption,
            "editmessagemedia": self._edit_media,
            "editmessagereplymarkup": self._edit_markup,
            "deletemessage": self._delete_message,
            "deletemessages": self._delete_messages,
            "answercallbackquery": self._answer_query,
            "sendchataction": self._chat_action,
            "getfile": self._get_file,
            "setmycommands": self._set_commands,
            "getmycommands": self._get_commands,
            "deletemycommands": self._delete_commands,
            "setmyname": self._set_about,
            "getmyname": self._get_about,
            "setmydescription": self._set_about,
            "getmydescription": self._get_about,
            "setmyshortdescription": self._set_about,
            "getmyshortdescription": self._get_about,
            "getchat": self._get_chat,
            "setchatmenubutton": self._set_menu_button,
            "getchatmenubutton": self._get_menu_button,
        }

    # --- Chats

    def _phone(self, call: Call, *, is_writing: bool = True) -> Phone:
        given = call.params.get("chat_id")
        if given is None or given == "":
            raise bad("chat_id is empty")
        phone = self.phones.get(call.chat_id) if call.chat_id is not None else None
        if phone is None:
            raise bad("chat not found")
        if is_writing:
            if not phone.has_started:
                raise forbidden("bot can't initiate conversation with a user")
            if phone.has_left:
                raise forbidden("user is deactivated")
            if phone.has_blocked:
                raise forbidden("bot was blocked by the user")
        return phone

    def _message(self, phone: Phone, call: Call, what: str, key: str = "message_id") -> Message:
        number = str(call.params.get(key) or "")
        if not number.isdecimal():
            raise bad("message identifier is not specified")
        for message in phone.messages:
            if message.message_id == int(number) and not message.is_deleted:
                return message
        raise bad(f"message to {what} not found")

    def _send(
        self, phone: Phone, call: Call, version: Version, *, album: str | None = None
    ) -> Message:
        reply = call.params.get("reply_parameters") or {}
        reply_to = reply.get("message_id", call.params.get("reply_to_message_id"))
        ids = {message.message_id for message in phone.chat()}
        if reply_to is not None and int(reply_to) not in ids:
            if not reply.get("allow_sending_without_reply"):
                raise bad("message to be replied not found")
            reply_to = None
        # A file may have been fetched since the version was made.
        version = evolve(version, at=self.next_moment())
        message = Message(
            message_id=self.next_message(),
            chat_id=phone.user_id,
            is_from_bot=True,
            date=self.date(),
            versions=[version],
            touched_at=version.at,
            album=album,
            reply_to=int(reply_to) if reply_to is not None else None,
        )
        phone.messages.append(message)
        return message

    def _version(self, call: Call, words: Words, file: File | None = None) -> Version:
        keyboard, other = rules.markup_of(call.params.get("reply_markup"))
        return Version(words=words, file=file, keyboard=keyboard, markup=other)

    async def _send_message(self, call: Call) -> Json:
        phone = self._phone(call)
        given = call.params
        words = rules.text_of(given.get("text"), given.get("parse_mode"), given.get("entities"))
        return phone.told(self._send(phone, call, self._version(call, words)))

    async def _send_file(self, call: Call, kind: str) -> Json:
        phone = self._phone(call)
        version = self._version(call, _caption(call.params))
        file = await self._file(call, kind, call.params.get(kind), kind)
        return phone.told(self._send(phone, call, evolve(version, file=file)))

    async def _send_media_group(self, call: Call) -> list[Json]:
        phone = self._phone(call)
        media = call.params.get("media")
        if not isinstance(media, list) or len(media) not in rules.ALBUM:
            raise bad("an album has 2-10 messages")
        if call.params.get("reply_markup"):
            raise bad("an album can't have a reply markup")
        kinds = {item.get("type") for item in media}
        if not (kinds <= {"photo", "video"} or kinds in ({"document"}, {"audio"})):
            raise bad("can't use the media of the specified type in the album")
        versions = []
        for item in media:
            file = await self._file(call, item["type"], item.get("media"), "media")
            versions.append(Version(words=_caption(item), file=file))
        album = self.next_album()
        return [phone.told(self._send(phone, call, version, album=album)) for version in versions]

    async def _copy_message(self, call: Call) -> Json:
        is_forward = call.name == "forwardmessage"
        phone = self._phone(call)
        source = self.phones.get(int(call.params.get("from_chat_id") or 0))
        if source is None:
            raise bad("chat not found")
        message = self._message(source, call, "forward" if is_forward else "copy")
        words, file = message.now.words, message.file
        if not is_forward and file is not None and call.params.get("caption") is not None:
            words = _caption(call.params)
        sent = self._send(phone, call, self._version(call, words, file))
        if not is_forward:
            return {"message_id": sent.message_id}
        user = self.bot if message.is_from_bot else source.user
        sent.origin = {"type": "user", "sender_user": user, "date": message.date}
        return phone.told(sent)

    # --- Edits

    def _edit(self, phone: Phone, message: Message, version: Version) -> Json:
        if version.markup is not None:
            raise bad("inline keyboard expected")
        if message.album and version.keyboard:
            raise bad("an album can't have a reply markup")
        version = evolve(version, at=self.next_moment())
        message.touched_at = version.at
        if version.is_as(message.now):
            raise bad(rules.NOT_MODIFIED)
        message.versions.append(version)
        return phone.told(message)

    def _edited(self, call: Call) -> tuple[Phone, Message]:
        phone = self._phone(call)
        message = self._message(phone, call, "edit")
        if not message.is_from_bot or message.origin:
            raise bad("message can't be edited")
        return phone, message

    async def _edit_text(self, call: Call) -> Json:
        phone, message = self._edited(call)
        if message.file is not None:
            raise bad("there is no text in the message to edit")
        given = call.params
        words = rules.text_of(given.get("text"), given.get("parse_mode"), given.get("entities"))
        return self._edit(phone, message, self._version(call, words))

    async def _edit_caption(self, call: Call) -> Json:
        phone, message = self._edited(call)
        if message.file is None:
            raise bad("there is no caption in the message to edit")
        version = self._version(call, _caption(call.params), message.file)
        return self._edit(phone, message, version)

    async def _edit_media(self, call: Call) -> Json:
        phone, message = self._edited(call)
        media = call.params.get("media")
        if not isinstance(media, dict) or media.get("type") not in KINDS.values():
            raise bad("can't parse InputMedia: Expected an Object")
        version = self._version(call, _caption(media))
        file = await self._file(call, media["type"], media.get("media"), "media")
        return self._edit(phone, message, evolve(version, file=file))

    async def _edit_markup(self, call: Call) -> Json:
        phone, message = self._edited(call)
        version = self._version(call, message.now.words, message.file)
        return self._edit(phone, message, version)

    async def _delete_message(self, call: Call) -> bool:
        phone = self._phone(call, is_writing=False)
        message = self._message(phone, call, "delete")
        if message.is_old:
            raise bad("message can't be deleted for everyone")
        message.is_deleted = True
        return True

    async def _delete_messages(self, call: Call) -> bool:
        phone = self._phone(call, is_writing=False)
        given = call.params.get("message_ids")
        if not isinstance(given, list) or not 1 <= len(given) <= 100:
            raise bad("message identifiers are not specified")
        for message in phone.messages:
            message.is_deleted |= message.message_id in given and not message.is_old
        return True

    async def _answer_query(self, call: Call) -> bool:
        query = self.queries.get(str(call.params.get("callback_query_id", "")))
        if query is not None:
            query.tries.append(call.params)
        if len(str(call.params.get("text") or "")) > rules.ANSWER_CHARACTERS:
            raise bad("MESSAGE_TOO_LONG")
        if query is None or query.is_expired:
            raise bad(rules.QUERY_TOO_OLD)
        query.answers.append(call.params)
        return True

    async def _chat_action(self, call: Call) -> bool:
        phone = self._phone(call)
        action = str(call.params.get("action", ""))
        if action not in rules.ACTIONS:
            raise bad("wrong parameter action in request")
        self.actions.append((phone.user_id, action))
        return True

    # --- Files

    async def _file(self, call: Call, kind: str, given: object, name: str) -> File:
        upload = call.files.get(name)
        if isinstance(given, str) and given.startswith("attach://"):
            upload = call.files.get(given.removeprefix("attach://"))
            given = None
        if upload is not None:
            file_name, mime, content = upload
            rules.check_upload(kind, content)
            return self._keep(kind, content, file_name, mime)
        if not isinstance(given, str) or not given:
            raise bad(f"there is no {kind} in the request")
        if given.startswith(("http://", "https://")):
            return await self._linked(kind, given)
        file = self.files.get(given)
        if file is None:
            raise bad("wrong file identifier/HTTP URL specified")
        if file.kind != kind:
            raise bad(f"can't use file of type {file.kind.title()} as {kind.title()}")
        return file

    def _keep(self, kind: str, content: bytes, name: str, mime: str) -> File:
        """What it is sent as; what cannot be played is a document."""
        head = sniff(content[:64]) or ""
        playable = {
            "video": ("video/mp4",),
            "audio": ("audio/mpeg", "audio/mp4"),
            "voice": ("audio/ogg", "audio/mpeg", "audio/mp4"),
            "animation": ("image/gif", "video/mp4"),
        }
        if kind in playable and head not in playable[kind]:
            kind = "document"
        if kind == "photo":
            return self.files.add(kind, content)
        return self.files.add(kind, content, name=name, mime=mime)

    async def _linked(self, kind: str, url: str) -> File:
        """Telegram fetches an address itself; this server only from loopback."""
        try:
            where = urlsplit(url)
        except ValueError as exc:
            raise bad("wrong HTTP URL specified") from exc
        if where.hostname not in LOOPBACK:
            raise bad("failed to get HTTP URL content")
        most = rules.OTHER_LINK_BYTES + 1
        content = bytearray()
        try:
            async with self.session.get(url, timeout=aiohttp.ClientTimeout(total=20)) as answer:
                if answer.status != 200:
                    raise bad("failed to get HTTP URL content")
                mime = answer.content_type
                async for chunk in answer.content.iter_chunked(1 << 16):
                    content += chunk
                    if len(content) > most:
                        break
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise bad("failed to get HTTP URL content") from exc
        rules.check_link(kind, mime, bytes(content))
        name = where.path.rpartition("/")[2] or "file"
        return self._keep(kind, bytes(content), name, mime)

    async def _get_file(self, call: Call) -> Json:
        file = self.files.get(str(call.params.get("file_id") or ""))
        if file is None:
            raise bad("wrong file_id or the file is temporarily unavailable")
        if file.size > rules.FETCH_BYTES:
            raise bad("file is too big")
        return {**file.told(), "file_path": file.path}

    # --- The bot itself

    async def _get_me(self, _: Call) -> Json:
        flags = ("can_join_groups", "can_read_all_group_messages", "supports_inline_queries")
        return self.bot | dict.fromkeys(flags, False)

    async def _get_updates(self, call: Call) -> list[Json]:
        self.updates.allow(call.params.get("allowed_updates"))
        offset, limit, timeout = (
            int(call.params.get(name) or 0) for name in ("offset", "limit", "timeout")
        )
        return await self.updates.poll(offset, limit, timeout)

    async def _set_webhook(self, call: Call) -> "Described":
        given = {**call.params, "url": ""} if call.name == "deletewebhook" else call.params
        return Described(True, self.updates.set_hook(given))

    async def _get_webhook_info(self, _: Call) -> Json:
        return self.updates.hook_info()

    async def _set_commands(self, call: Call) -> bool:
        key = self._scope(call)
        self.commands[key] = rules.commands_of(call.params.get("commands"))
        return True

    async def _get_commands(self, call: Call) -> list[Json]:
        return [*self.commands.get(self._scope(call), ())]

    async def _delete_commands(self, call: Call) -> bool:
        self.commands.pop(self._scope(call), None)
        return True

    def _scope(self, call: Call) -> tuple[tuple[str, ...], str]:
        scope = rules.scope_of(call.params.get("scope"))
        if scope[0] == "chat" and int(scope[1]) not in self.phones:
            raise bad("chat not found")
        return scope, rules.language_of(call.params.get("language_code"))

    async def _set_about(self, call: Call) -> bool:
        name, most = ABOUT[call.name.removeprefix("setmy")]
        text = str(call.params.get(name) or "")
        if len(text) > most:
            raise bad(f"BOT_{name.upper()}_INVALID")
        self.about[name, rules.language_of(call.params.get("language_code"))] = text
        return True

    async def _get_about(self, call: Call) -> Json:
        name, _ = ABOUT[call.name.removeprefix("getmy")]
        language = rules.language_of(call.params.get("language_code"))
        return {name: self.about.get((name, language)) or self.about.get((name, ""), "")}

    async def _get_chat(self, call: Call) -> Json:
        phone = self._phone(call, is_writing=False)
        if not phone.has_started:
            raise bad("chat not found")
        gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription")
        shown = {"id", "first_name", "username"}
        chat = {key: value for key, value in phone.user.items() if key in shown}
        return {
            **chat,
            "type": "private",
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": dict.fromkeys((*gifts, "gifts_from_channels"), True),
        }

    async def _set_menu_button(self, call: Call) -> bool:
        button = call.params.get("menu_button") or {"type": "default"}
        if button.get("type") not in {"default", "commands", "web_app"}:
            raise bad("can't parse MenuButton: Unsupported type specified")
        self.menu_button = button
        return True

    async def _get_menu_button(self, _: Call) -> Json:
        return self.menu_button


def _caption(given: Mapping[str, Any]) -> Words:
    return rules.caption_of(
        given.get("caption"), given.get("parse_mode"), given.get("caption_entities")
    )
