"""
What Telegram keeps: files, messages with all their versions, and the people who read them.

A `Phone` is a person's Telegram: it does what a person can do, and shows what a person sees.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from tests.fakes.telegram_rules import Json, Keyboard, Words, dimensions, units

if TYPE_CHECKING:
    from tests.fakes.telegram_methods import Telegram

PATIENCE_S = 30.0
"""When a test gives up; far longer than anything takes on the slowest machine."""

COMMAND = re.compile(r"/[a-zA-Z0-9_]{1,64}(?:@\w+)?(?=\s|$)")

EXTENSIONS = {"photo": "jpg", "video": "mp4", "voice": "oga", "audio": "mp3", "animation": "mp4"}
FOLDERS = {"photo": "photos", "video": "videos", "voice": "voice", "audio": "music"}
MIMES = {
    "photo": "image/jpeg",
    "video": "video/mp4",
    "voice": "audio/ogg",
    "audio": "audio/mpeg",
    "animation": "video/mp4",
}


@frozen(kw_only=True)
class File:
    """A file that Telegram has; `kind` is what it is sent as. `size` may be larger than it is."""

    file_id: str
    kind: str
    name: str
    mime: str
    content: bytes = field(repr=False)
    size: int
    seconds: int = 0

    @property
    def unique_id(self) -> str:
        """The same for the same bytes, whoever sent them and as what."""
        return "u" + hashlib.sha256(self.content).hexdigest()[:14]

    @property
    def path(self) -> str:
        """Where it is fetched."""
        extension = self.name.rpartition(".")[2] if "." in self.name else EXTENSIONS.get(self.kind)
        return f"{FOLDERS.get(self.kind, 'documents')}/{self.file_id}.{extension or 'bin'}"

    def told(self) -> Json:
        """As `File` of the Bot API says it; no address where it is too large to be fetched."""
        return {"file_id": self.file_id, "file_unique_id": self.unique_id, "file_size": self.size}

    def fields(self) -> Json:
        """The field of a message that has it."""
        width, height = dimensions(self.content) or (640, 480)
        size = {"width": width, "height": height}
        name = {"file_name": self.name, "mime_type": self.mime}
        lasts = {"duration": self.seconds}
        match self.kind:
            case "photo":
                # The last size is the picture itself; a small one comes before.
                small = {**self.told(), "file_id": f"{self.file_id}-s", "file_size": 1000}
                small |= {"file_unique_id": f"{self.unique_id}s", "width": 90, "height": 90}
                return {"photo": [small, {**self.told(), **size}]}
            case "video" | "animation":
                return {self.kind: {**self.told(), **size, **name, **lasts}}
            case "audio":
                return {"audio": {**self.told(), **name, **lasts}}
            case "voice":
                return {"voice": {**self.told(), "mime_type": self.mime, **lasts}}
            case _:
                return {"document": {**self.told(), **name}}


@define
class Files:
    """All files, by their ids."""

    _files: dict[str, File] = field(factory=dict)
    _numbers: "count[int]" = field(factory=lambda: count(1))

    def add(
        self,
        kind: str,
        content: bytes,
        *,
        name: str | None = None,
        mime: str | None = None,
        size: int | None = None,
        seconds: int = 0,
    ) -> File:
        """Keep a file under a new id."""
        number = next(self._numbers)
        file = File(
            file_id=f"AgAD-{kind}-{number}",
            kind=kind,
            name=name if name is not None else f"file_{number}.{EXTENSIONS.get(kind, 'bin')}",
            mime=mime or MIMES.get(kind, "application/octet-stream"),
            content=content,
            size=len(content) if size is None else size,
            seconds=seconds,
        )
        self._files[file.file_id] = file
        return file

    def get(self, file_id: str) -> File | None:
        """The file of an id; of a photo's small size the photo itself."""
        return self._files.get(file_id) or self._files.get(file_id.removesuffix("-s"))

    def at(self, path: str) -> File | None:
        """The file of an address."""
        return next((file for file in self._files.values() if file.path == path), None)


@frozen(kw_only=True)
class Version:
    """A message as it was at one time; `at` counts what happened at the server."""

    at: int = 0
    words: Words = field(factory=Words)
    file: File | None = None
    keyboard: Keyboard = ()
    markup: Json | None = None

    def seen(self) -> str:
        """All that can be read on it."""
        names = [self.file.name] if self.file and self.file.kind in {"document", "audio"} else []
        labels = [str(button["text"]) for row in self.keyboard for button in row]
        return "\n".join([*names, self.words.text, *labels])

    def is_as(self, other: "Version") -> bool:
        """Whether nobody would see a difference."""
        return evolve(self, at=0, markup=None) == evolve(other, at=0, markup=None)


@define(eq=False)
class Message:
    """
    A message and all that it was.

    `touched_at` is when the bot last did something to it, an edit that changed nothing as well.
    """

    message_id: int
    chat_id: int
    is_from_bot: bool
    date: int
    versions: list[Version]
    touched_at: int
    album: str | None = None
    origin: Json | None = None
    reply_to: int | None = None
    is_deleted: bool = False
    is_old: bool = False
    """Older than the 48 hours in which it can be deleted."""

    @property
    def now(self) -> Version:
        """As it is."""
        return self.versions[-1]

    @property
    def text(self) -> str:
        """Its text or caption."""
        return self.now.words.text

    @property
    def file(self) -> File | None:
        """What is attached."""
        return self.now.file

    @property
    def content(self) -> bytes:
        """The bytes of what is attached; none where nothing is."""
        return self.now.file.content if self.now.file else b""

    @property
    def buttons(self) -> list[Json]:
        """Every button, in reading order, as the bot gave it."""
        return [button for row in self.now.keyboard for button in row]

    @property
    def labels(self) -> list[str]:
        """The words on the buttons."""
        return [str(button["text"]) for button in self.buttons]

    @property
    def data(self) -> list[str]:
        """The callback data of the buttons that have some."""
        return [button["callback_data"] for button in self.buttons if "callback_data" in button]

    def entities(self, kind: str) -> list[str]:
        """The parts of the text that are shown as this: `code`, `bold`..."""
        text = self.text.encode("utf-16-le")
        return [
            text[2 * found["offset"] : 2 * (found["offset"] + found["length"])].decode("utf-16-le")
            for found in self.now.words.entities
            if found["type"] == kind
        ]

    def seen(self) -> str:
        """All that can be read on it."""
        return self.now.seen()

    def seen_since(self, mark: int) -> list[str]:
        """What could be read on it since then, oldest first."""
        if self.touched_at <= mark:
            return []
        return [version.seen() for version in self.versions[:-1] if version.at > mark] + [
            self.seen()
        ]

    def has(self, *words: str) -> bool:
        """Whether all of these can be read on it, in its text or on its buttons."""
        return _has(self.seen(), words)

    def button(self, what: str) -> Json | None:
        """The button with this callback data, else with this label, else with this in its label."""
        fits: tuple[Callable[[Json], bool], ...] = (
            lambda button: button.get("callback_data") == what,
            lambda button: button["text"] == what,
            lambda button: what in button["text"],
        )
        for is_it in fits:
            for button in self.buttons:
                if is_it(button):
                    return button
        return None

    def told(self, bot: Json, person: Json, replied: "Message | None" = None) -> Json:
        """As `Message` of the Bot API says it."""
        chat = {key: person[key] for key in ("id", "first_name", "username") if key in person}
        now = self.now
        words = "caption" if now.file else "text"
        told: Json = {
            "message_id": self.message_id,
            "from": bot if self.is_from_bot else person,
            "chat": {**chat, "type": "private"},
            "date": self.date,
        }
        if len(self.versions) > 1:
            told["edit_date"] = self.date
        if now.file:
            told |= now.file.fields()
            if now.file.kind == "animation":
                told["document"] = {**now.file.told(), "mime_type": now.file.mime}
        if now.words.text:
            told[words] = now.words.text
            if now.words.entities:
                told["entities" if words == "text" else "caption_entities"] = list(
                    now.words.entities
                )
        if now.keyboard:
            told["reply_markup"] = {"inline_keyboard": [list(row) for row in now.keyboard]}
        if self.album:
            told["media_group_id"] = self.album
        if self.origin:
            told["forward_origin"] = self.origin
        if replied:
            told["reply_to_message"] = replied.told(bot, person)
        return told


@define(eq=False)
class Query:
    """
    A press of a button.

    `tries` are the answers the bot gave, refused ones too; `is_expired` makes Telegram refuse.
    """

    query_id: str
    phone: "Phone"
    message: Message
    data: str
    tries: list[Json] = field(factory=list)
    is_expired: bool = False
    answers: list[Json] = field(factory=list)

    @property
    def notice(self) -> str:
        """The words that came up over the chat."""
        return str(self.answers[0].get("text") or "") if self.answers else ""

    async def answered(self) -> str:
        """Wait for the answer (an attempt, where it came too late); its words, often none."""
        await self.phone.server.until(lambda: bool(self.tries), f"an answer to {self.data}")
        return self.notice


@define(eq=False)
class Phone:
    """
    A person's Telegram.

    What a person does is done at once; `sees` waits for what the bot says. `presses` needs the
    button to be there, so see it first.
    """

    server: "Telegram"
    user_id: int
    name: str
    language_code: str | None
    username: str | None
    messages: list[Message] = field(factory=list)
    """All messages, deleted ones too, in their order."""
    has_started: bool = False
    has_blocked: bool = False
    has_left: bool = False
    mark: int = 0
    """When this person last did something; `sees` looks at what came since."""

    @property
    def user(self) -> Json:
        """As `User` of the Bot API says it."""
        told: Json = {"id": self.user_id, "is_bot": False, "first_name": self.name}
        if self.username:
            told["username"] = self.username
        if self.language_code:
            told["language_code"] = self.language_code
        return told

    # --- What a person does; each returns the message or the press

    def types(self, text: str, *, reply_to: Message | None = None) -> Message:
        """Send words; a command is marked as one."""
        found = COMMAND.match(text)
        entities: tuple[Json, ...] = ()
        if found:
            entities = ({"type": "bot_command", "offset": 0, "length": units(found[0])},)
        return self._sends(words=Words(text, entities), reply_to=reply_to)

    def starts(self, payload: str = "") -> Message:
        """Press "Start"."""
        return self.types(f"/start {payload}".strip())

    def sends_photo(
        self, content: bytes, caption: str = "", *, album: str | None = None, **file: Any
    ) -> Message:
        """Send a picture as a photo."""
        return self._sends_file("photo", content, caption, album, **file)

    def sends_document(
        self,
        name: str,
        content: bytes,
        mime: str | None = None,
        caption: str = "",
        *,
        album: str | None = None,
        **file: Any,
    ) -> Message:
        """Send as a file. `size` may say that it is larger than its bytes."""
        return self._sends_file("document", content, caption, album, name=name, mime=mime, **file)

    def sends_video(self, content: bytes, caption: str = "", **file: Any) -> Message:
        """Send a clip."""
        return self._sends_file("video", content, caption, file.pop("album", None), **file)

    def sends_audio(self, content: bytes, caption: str = "", **file: Any) -> Message:
        """Send music."""
        return self._sends_file("audio", content, caption, file.pop("album", None), **file)

    def sends_voice(self, content: bytes, seconds: int = 1) -> Message:
        """Say something."""
        return self._sends_file("voice", content, "", None, seconds=seconds)

    def sends_animation(self, content: bytes, caption: str = "") -> Message:
        """Send a GIF."""
        return self._sends_file("animation", content, caption, None)

    def sends_album(
        self, *contents: bytes, caption: str = "", kind: str = "photo"
    ) -> list[Message]:
        """Send pictures (or documents, videos) at once; the caption is the first one's."""
        album = self.server.next_album()
        captions = [caption, *[""] * len(contents)]
        return [
            self._sends_file(kind, content, words, album)
            for content, words in zip(contents, captions, strict=False)
        ]

    def sends_other(self, kind: str = "sticker") -> Message:
        """Send what no bot expects: a sticker, a location or a contact."""
        others: dict[str, Json] = {
            "sticker": {
                **self.server.files.add("sticker", b"RIFF", name="s.webp").told(),
                "type": "regular",
                "width": 512,
                "height": 512,
                "is_animated": False,
                "is_video": False,
            },
            "location": {"latitude": 55.75, "longitude": 37.62},
            "contact": {"phone_number": "+70000000000", "first_name": "Кто-то"},
            "dice": {"emoji": "🎲", "value": 3},
        }
        message = self._new(Version(at=self._acts()))
        self.server.tell("message", {**self.told(message), kind: others[kind]})
        return message

    def forwards(self, message: Message, *, sender: "Phone | str | None" = None) -> Message:
        """
        Forward a message, of this or another chat, to the bot.

        `sender` is who wrote it first; a name alone is somebody who hides behind it.
        """
        match sender:
            case str():
                origin: Json = {"type": "hidden_user", "sender_user_name": sender}
            case Phone():
                origin = {"type": "user", "sender_user": sender.user}
            case None:
                by_bot = message.is_from_bot
                user = self.server.bot if by_bot else self.server.phones[message.chat_id].user
                origin = {"type": "user", "sender_user": user}
        origin["date"] = message.date
        return self._sends(words=message.now.words, file=message.file, origin=origin)

    def edits(self, message: Message, text: str) -> None:
        """Write a message of this person's own anew."""
        assert not message.is_from_bot
        version = evolve(message.now, at=self._acts(), words=Words(text))
        message.versions.append(version)
        self.server.tell("edited_message", self.told(message))

    def presses(self, what: str, *, on: Message | None = None) -> Query:
        """Press a button that is there: by callback data or label, the newest that fits."""
        for message in [on] if on else reversed(self.chat()):
            button = message.button(what)
            if button and "callback_data" in button:
                return self.forges(button["callback_data"], on=message)
        raise AssertionError(f"no button {what!r} is there:\n{self.screen()}")

    def forges(self, data: str, *, on: Message | None = None, is_accessible: bool = True) -> Query:
        """
        Press what nobody offered, or a button that is no longer there.

        Where `is_accessible` is false Telegram does not show the bot the message again.
        """
        message = on or next((each for each in reversed(self.chat()) if each.is_from_bot), None)
        assert message is not None, "there is no message to press on"
        self._acts()
        query = Query(self.server.next_query(), self, message, data)
        self.server.queries[query.query_id] = query
        shown = self.told(message)
        if not is_accessible:
            shown = {"chat": shown["chat"], "message_id": message.message_id, "date": 0}
        told = {
            "id": query.query_id,
            "from": self.user,
            "message": shown,
            "chat_instance": str(self.user_id * 7),
            "data": data,
        }
        self.server.tell("callback_query", told)
        return query

    def copies(self, what: str) -> str:
        """Press a button that copies; what is then in the clipboard."""
        for message in reversed(self.chat()):
            button = message.button(what)
            if button and "copy_text" in button:
                return str(button["copy_text"]["text"])
        raise AssertionError(f"no button copies {what!r}:\n{self.screen()}")

    def deletes(self, message: Message) -> None:
        """Delete a message for both; Telegram tells bots nothing of it."""
        self._acts()
        message.is_deleted = True

    def blocks(self) -> None:
        """Block the bot."""
        self._member("member", "kicked")
        self.has_blocked = True

    def unblocks(self) -> None:
        """Let the bot write again."""
        self.has_blocked = False
        self._member("kicked", "member")

    def leaves(self) -> None:
        """The account is deleted."""
        self.has_left = True

    # --- What a person sees

    def chat(self) -> list[Message]:
        """The messages that are there now, oldest first."""
        return [message for message in self.messages if not message.is_deleted]

    def new(self) -> list[Message]:
        """What the bot sent or edited since this person last did something."""
        return [
            message
            for message in self.chat()
            if message.is_from_bot and message.touched_at > self.mark
        ]

    @property
    def last(self) -> Message:
        """The newest message of the bot's."""
        return [message for message in self.chat() if message.is_from_bot][-1]

    async def sees(self, *words: str, anywhere: bool = False) -> Message:
        """
        Wait until one message has all these words, in its text, file name or on its buttons.

        Looks at what the bot sent or edited since this person last did something, also where that
        is no longer there: progress may be gone before it is looked at. `anywhere` looks at the
        whole chat as it is. The newest such message; one that is still so where there is one.
        """
        found: list[Message] = []

        def is_there() -> bool:
            now = self.chat() if anywhere else self.new()
            found[:] = [message for message in now if message.has(*words)]
            if not found and not anywhere:
                found[:] = [
                    message
                    for message in self.messages
                    if message.is_from_bot
                    and any(_has(seen, words) for seen in message.seen_since(self.mark))
                ]
            return bool(found)

        await self.server.until(is_there, f"{words} for {self.name}", self)
        return found[-1]

    async def sees_file(self, kind: str | None = None, *, anywhere: bool = False) -> Message:
        """Wait until a file (`photo`, `video`, `document`...) is there; the newest."""
        found: list[Message] = []

        def is_there() -> bool:
            messages = self.chat() if anywhere else self.new()
            found[:] = [each for each in messages if each.file and kind in {None, each.file.kind}]
            return bool(found)

        await self.server.until(is_there, f"a file ({kind}) for {self.name}", self)
        return found[-1]

    def came(self) -> str:
        """All that could be read since this person last did something, in whichever messages."""
        return "\n".join(
            seen
            for message in self.messages
            if message.is_from_bot
            for seen in message.seen_since(self.mark)
        )

    def screen(self) -> str:
        """The chat as text, for a failing test to say."""
        lines = []
        for message in self.chat():
            who = "bot" if message.is_from_bot else self.name
            kind = f" [{message.file.kind} {message.file.name}]" if message.file else ""
            lines.append(f"#{message.message_id} {who}{kind}: {message.text}")
            lines += ["    " + " | ".join(str(button["text"]) for button in row)
                      for row in message.now.keyboard]  # fmt: skip
        return "\n".join(lines)

    def menu(self) -> list[str]:
        """The commands in this person's menu."""
        return self.server.menu(self)

    # --- Inside

    def told(self, message: Message) -> Json:
        """A message as the bot is told of it."""
        replied = next(
            (each for each in self.messages if each.message_id == message.reply_to), None
        )
        return message.told(self.server.bot, self.user, replied)

    def _acts(self) -> int:
        self.has_started = True
        self.mark = self.server.next_moment()
        return self.mark

    def _new(self, version: Version, **more: Any) -> Message:
        message = Message(
            message_id=self.server.next_message(),
            chat_id=self.user_id,
            is_from_bot=False,
            date=self.server.date(),
            versions=[version],
            touched_at=version.at,
            **more,
        )
        self.messages.append(message)
        return message

    def _sends(
        self,
        *,
        words: Words,
        file: File | None = None,
        album: str | None = None,
        origin: Json | None = None,
        reply_to: Message | None = None,
    ) -> Message:
        message = self._new(
            Version(at=self._acts(), words=words, file=file),
            album=album,
            origin=origin,
            reply_to=reply_to.message_id if reply_to else None,
        )
        self.server.tell("message", self.told(message))
        return message

    def _sends_file(
        self, kind: str, content: bytes, caption: str, album: str | None, **file: Any
    ) -> Message:
        kept = self.server.files.add(kind, content, **file)
        return self._sends(words=Words(caption), file=kept, album=album)

    def _member(self, old: str, new: str) -> None:
        self._acts()
        date = {"until_date": 0}
        self.server.tell(
            "my_chat_member",
            {
                "chat": {"id": self.user_id, "type": "private", "first_name": self.name},
                "from": self.user,
                "date": self.server.date(),
                "old_chat_member": {
                    "user": self.server.bot,
                    "status": old,
                    **(date if old == "kicked" else {}),
                },
                "new_chat_member": {
                    "user": self.server.bot,
                    "status": new,
                    **(date if new == "kicked" else {}),
                },
            },
        )


def _has(seen: str, words: tuple[str, ...]) -> bool:
    return all(wanted in seen for wanted in words)


@define
class Bell:
    """Wakes whoever waits for something to have happened."""

    _waiting: set[asyncio.Future[None]] = field(factory=set)

    def ring(self) -> None:
        """Something happened."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def next(self) -> "asyncio.Future[None]":
        """What the next ring sets, from now on: who waits for it misses none."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    async def wait(self, seconds: float) -> bool:
        """Wait for the next ring; whether it came in time."""
        future = self.next()
        try:
            # `wait_for` would forget that it was cancelled where it rang in the same moment.
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return False
        return True
