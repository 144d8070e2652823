"""
What Telegram refuses in a message, and in whose words.

Sources: the Bot API documentation; `fail_query_with_error` and the query handlers in `Client.cpp`
of tdlib/telegram-bot-api; `parse_html` in `MessageEntity.cpp` of tdlib/td. Lengths are characters
(4,096 emoji are taken), offsets of entities are UTF-16 units.

Two rules are stricter than Telegram, which would show something wrong in place of refusing: a bare
`&` in HTML (the documentation wants it replaced), and a button without words (its row is dropped).
"""

import json
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from attrs import define, field, frozen

TEXT_CHARACTERS = 4096
CAPTION_CHARACTERS = 1024
CALLBACK_BYTES = 64
COPY_CHARACTERS = 256
ANSWER_CHARACTERS = 200
BUTTONS = 100
ALBUM = range(2, 11)
COMMANDS = 100
COMMAND = re.compile(r"[a-z0-9_]{1,32}")
DESCRIPTION_CHARACTERS = range(1, 257)


def names(text: str) -> frozenset[str]:
    """A set of words."""
    return frozenset(text.split())


ACTIONS = names(
    "typing upload_photo record_video upload_video record_voice upload_voice record_audio"
    " upload_audio upload_document choose_sticker find_location record_video_note"
    " upload_video_note"
)
ENTITIES = names(
    "mention hashtag cashtag bot_command url email phone_number bold italic underline"
    " strikethrough spoiler blockquote expandable_blockquote code pre text_link text_mention"
    " custom_emoji"
)
JSON_FIELDS = names(
    "reply_markup reply_parameters entities caption_entities media allowed_updates commands scope"
    " menu_button link_preview_options message_ids"
)
"""Parameters that are JSON in themselves."""
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same"
    " as a current content and reply markup of the message"
)
QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"

Json: TypeAlias = dict[str, Any]


class RefusedError(Exception):
    """What Telegram answers in place of doing it."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


def bad(why: str) -> RefusedError:
    """400, as most refusals are."""
    return RefusedError(400, f"Bad Request: {why}")


def forbidden(why: str) -> RefusedError:
    """403: this person does not want to hear of the bot."""
    return RefusedError(403, f"Forbidden: {why}")


# --- Words


def units(text: str) -> int:
    """The length in UTF-16 units, in which entities are counted."""
    return len(text.encode("utf-16-le")) // 2


@frozen
class Words:
    """A text as it is shown, and its entities."""

    text: str = ""
    entities: tuple[Json, ...] = ()

    def stripped(self) -> "Words":
        """Without the white space around it, which Telegram takes away."""
        text = self.text.strip()
        if text == self.text:
            return self
        lost = units(self.text[: len(self.text) - len(self.text.lstrip())])
        end = units(text)
        kept = []
        for entity in self.entities:
            first = max(entity["offset"] - lost, 0)
            last = min(entity["offset"] + entity["length"] - lost, end)
            if last > first:
                kept.append({**entity, "offset": first, "length": last - first})
        return Words(text, tuple(kept))


def words_of(text: str, parse_mode: str | None, entities: object) -> Words:
    """What is shown of a text; what is no HTML or has no right entities is refused."""
    match (parse_mode or "").lower():
        case "":
            words = Words(text, _entities(text, entities))
        case "html":
            try:
                words = parse_html(text)
            except ValueError as exc:
                raise bad(f"can't parse entities: {exc}") from exc
        case "markdown" | "markdownv2":
            # Nothing here needs it, and half of its rules would be worse than none.
            raise bad(f"can't parse entities: the tests' server reads no {parse_mode}")
        case _:
            raise bad("unsupported parse_mode")
    return words.stripped()


def text_of(text: str | None, parse_mode: str | None, entities: object) -> Words:
    """The text of a message."""
    if not text:
        raise bad("message text is empty")
    words = words_of(text, parse_mode, entities)
    if not words.text:
        raise bad("text must be non-empty")
    if len(words.text) > TEXT_CHARACTERS:
        raise bad("message is too long")
    return words


def caption_of(text: str | None, parse_mode: str | None, entities: object) -> Words:
    """The caption of a file, which may be empty."""
    words = words_of(text or "", parse_mode, entities)
    if len(words.text) > CAPTION_CHARACTERS:
        raise bad("message caption is too long")
    return words


def _entities(text: str, given: object) -> tuple[Json, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise bad("can't parse entities: Expected an Array")
    length = units(text)
    kept: list[Json] = []
    for entity in given:
        if not isinstance(entity, dict):
            raise bad("can't parse MessageEntity: Expected an Object")
        kind, first, size = entity.get("type"), entity.get("offset"), entity.get("length")
        if kind not in ENTITIES:
            raise bad("can't parse MessageEntity: Unsupported type specified")
        if not isinstance(first, int) or not isinstance(size, int):
            raise bad("can't parse MessageEntity: Field must be a valid Number")
        needed = {"text_link": "url", "text_mention": "user", "custom_emoji": "custom_emoji_id"}
        if kind in needed and not entity.get(needed[kind]):
            raise bad(f"can't parse MessageEntity: Can't find field \"{needed[kind]}\"")
        if first < 0:
            raise bad(f"receive an entity with incorrect offset {first}")
        if size < 0:
            raise bad(f"receive an entity with incorrect length {size}")
        if first > length:
            raise bad(f"entity begins after the end of the text at UTF-16 offset {first}")
        if first + size > length:
            raise bad(
                f"entity beginning at UTF-16 offset {first} ends after the end of the text at"
                f" UTF-16 offset {first + size}"
            )
        if not _is_whole(text, first) or not _is_whole(text, first + size):
            raise bad("entity begins in a middle of a UTF-16 symbol")
        if kind == "text_link":
            check_url(entity["url"], "entity URL")
        if size:
            kept.append(dict(entity))
    return tuple(kept)


def _is_whole(text: str, offset: int) -> bool:
    """Whether this is between two characters and not inside one."""
    try:
        text.encode("utf-16-le")[: 2 * offset].decode("utf-16-le")
    except UnicodeDecodeError:
        return False
    return True


# --- HTML

_TAGS = {
    "a": "text_link",
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "u": "underline",
    "ins": "underline",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "tg-emoji": "custom_emoji",
    "pre": "pre",
    "code": "code",
    "blockquote": "blockquote",
}
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(lt|gt|amp|quot));")
_ATTRIBUTE = re.compile(
    r"""\s*(?P<name>[^\s=>]*)(?P<rest>\s*=\s*(?:"(?P<two>[^"]*)"|'(?P<one>[^']*)'"""
    r"""|(?P<bare>[A-Za-z0-9.-]*)(?=[\s>])))?""",
    re.VERBOSE,
)


@define
class _Open:
    tag: str
    attributes: dict[str, str]
    begins: int


@define
class _Reader:
    """Reads HTML as `parse_html` does, in characters; offsets in errors are bytes."""

    html: str
    text: list[str] = field(factory=list)
    length: int = 0
    entities: list[Json] = field(factory=list)
    nested: list[_Open] = field(factory=list)

    def read(self) -> Words:
        place = 0
        while place < len(self.html):
            match self.html[place]:
                case "&":
                    found = _REFERENCE.match(self.html, place)
                    if found is None:
                        raise ValueError(f"unescaped & at byte offset {self._bytes(place)}")
                    self._add(_decoded(found))
                    place = found.end()
                case "<" if self.html[place + 1 : place + 2] == "/":
                    place = self._end(place)
                case "<":
                    place = self._begin(place)
                case character:
                    self._add(character)
                    place += 1
        if self.nested:
            tag = self.nested[-1].tag
            raise ValueError(f'Can\'t find end tag corresponding to start tag "{tag}"')
        # Outer before inner, as Telegram lists them.
        self.entities.sort(key=lambda entity: (entity["offset"], -entity["length"]))
        return Words("".join(self.text), tuple(self.entities))

    def _add(self, character: str) -> None:
        self.text.append(character)
        self.length += units(character)

    def _bytes(self, place: int) -> int:
        return len(self.html[:place].encode())

    def _begin(self, place: int) -> int:
        at = self._bytes(place)
        found = re.compile(r"[^\s>]*").match(self.html, place + 1)
        assert found is not None
        tag, here = found[0].lower(), found.end()
        if here == len(self.html):
            raise ValueError(f"Unclosed start tag at byte offset {at}")
        if tag not in _TAGS:
            raise ValueError(f'Unsupported start tag "{tag}" at byte offset {at}')
        attributes = {}
        while True:
            here += len(self.html[here:]) - len(self.html[here:].lstrip())
            if here == len(self.html):
                raise ValueError(f'Unclosed start tag "{tag}" at byte offset {at}')
            if self.html[here] == ">":
                break
            found = _ATTRIBUTE.match(self.html, here)
            assert found is not None
            if not found["name"]:
                raise ValueError(f'Empty attribute name in the tag "{tag}" at byte offset {at}')
            values = (found["two"], found["one"], (found["bare"] or "").lower())
            value = next((value for value in values if value), "")
            attributes[found["name"]] = _REFERENCE.sub(_decoded, value)
            if found["rest"] is None and self.html[found.end() :].lstrip().startswith("="):
                raise ValueError(f"Unclosed start tag at byte offset {at}")
            here = found.end()
        if tag == "span" and attributes.get("class") != "tg-spoiler":
            raise ValueError(f'Tag "span" must have class "tg-spoiler" at byte offset {at}')
        self.nested.append(_Open(tag, attributes, self.length))
        return here + 1

    def _end(self, place: int) -> int:
        at = self._bytes(place)
        if not self.nested:
            raise ValueError(f"Unexpected end tag at byte offset {at}")
        found = re.compile(r"</([^\s>]*)\s*(>?)").match(self.html, place)
        assert found is not None
        if not found[2]:
            raise ValueError(f"Unclosed end tag at byte offset {at}")
        opened = self.nested.pop()
        ended = found[1].lower()
        if ended and ended != opened.tag:
            raise ValueError(
                f'Unmatched end tag at byte offset {at}, expected "</{opened.tag}>",'
                f' found "</{ended}>"'
            )
        if self.length > opened.begins:
            self._close(opened)
        return found.end()

    def _close(self, opened: _Open) -> None:
        entity: Json = {
            "type": _TAGS[opened.tag],
            "offset": opened.begins,
            "length": self.length - opened.begins,
        }
        if opened.tag == "a":
            shown = "".join(self.text).encode("utf-16-le")[2 * opened.begins :]
            entity["url"] = opened.attributes.get("href") or shown.decode("utf-16-le")
            if not _is_url(entity["url"]):
                return
        if opened.tag == "tg-emoji":
            emoji = opened.attributes.get("emoji-id", "")
            if not emoji.isdecimal() or not 0 < int(emoji) < 1 << 63:
                raise ValueError("Invalid custom emoji identifier specified")
            entity["custom_emoji_id"] = emoji
        if opened.tag == "blockquote" and "expandable" in opened.attributes:
            entity["type"] = "expandable_blockquote"
        self.entities.append(entity)


def _decoded(found: re.Match[str]) -> str:
    hexadecimal, decimal, named = found.groups()
    if named:
        return _NAMED[named]
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    if not 0 < code < 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError("Text must be encoded in UTF-8")
    return chr(code)


def parse_html(html: str) -> Words:
    """
    What HTML shows.

    Raises:
        ValueError: It is not what Telegram calls HTML; the words are Telegram's.
    """
    return _Reader(html).read()


# --- Buttons

Keyboard: TypeAlias = tuple[tuple[Json, ...], ...]


def markup_of(given: object) -> tuple[Keyboard, Json | None]:
    """The inline keyboard, and what else was asked for (`force_reply` and the like)."""
    if given is None:
        return (), None
    if not isinstance(given, dict):
        raise bad("object expected as reply markup")
    if not given:
        return (), None
    if "inline_keyboard" not in given:
        if not {"keyboard", "remove_keyboard", "force_reply"} & given.keys():
            raise bad("object expected as reply markup")
        return (), given
    rows = given["inline_keyboard"]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad('field "inline_keyboard" must be of type Array')
    keyboard = tuple(tuple(_button(button) for button in row) for row in rows if row)
    if sum(len(row) for row in keyboard) > BUTTONS:
        raise bad("reply markup is too long")
    return keyboard, None


def _button(button: object) -> Json:
    if not isinstance(button, dict):
        raise bad("can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    if "text" not in button:
        raise bad("can't parse inline keyboard button: Can't find field \"text\"")
    if not isinstance(button["text"], str):
        raise bad('can\'t parse inline keyboard button: Field "text" must be of type String')
    if not button["text"].strip():
        raise bad("BUTTON_TEXT_INVALID")
    if url := button.get("url"):
        check_url(url, "inline keyboard button URL")
    elif data := button.get("callback_data"):
        if len(data.encode()) > CALLBACK_BYTES:
            raise bad("BUTTON_DATA_INVALID")
    elif copied := button.get("copy_text"):
        text = copied.get("text") if isinstance(copied, dict) else None
        if not isinstance(text, str) or not 1 <= len(text) <= COPY_CHARACTERS:
            raise bad("BUTTON_COPY_TEXT_INVALID")
    else:
        raise bad(
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
        )
    return dict(button)


def _is_url(url: str) -> bool:
    host = re.match(r"(?:https?://)?([^/?#@:\s]+)(?::\d+)?(?:[/?#]\S*)?$", url)
    return url.startswith("tg://") or (host is not None and "." in host[1])


def check_url(url: object, what: str) -> None:
    """Refuse what Telegram cannot link to."""
    if not isinstance(url, str) or not url:
        raise bad(f"{what} '' is invalid: URL host is empty")
    if "://" in url and not url.startswith(("http://", "https://", "tg://", "ton://")):
        raise bad(f"{what} '{url}' is invalid: Unsupported URL protocol")
    if not _is_url(url):
        raise bad(f"{what} '{url}' is invalid: Wrong HTTP URL")


# --- Commands


def commands_of(given: object) -> tuple[Json, ...]:
    """The list of commands; Telegram takes at most 100."""
    if not isinstance(given, list):
        raise bad("can't parse commands: Expected an Array of BotCommand")
    if len(given) > COMMANDS:
        raise bad("too much commands specified")
    for command in given:
        if not isinstance(command, dict):
            raise bad("can't parse BotCommand: Expected an Object")
        if not COMMAND.fullmatch(str(command.get("command", "")).removeprefix("/")):
            raise bad("BOT_COMMAND_INVALID")
        if len(str(command.get("description", "")).strip()) not in DESCRIPTION_CHARACTERS:
            raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
    return tuple(dict(command) for command in given)


def scope_of(given: object) -> tuple[str, ...]:
    """Whom commands are for, as a key."""
    match given:
        case None:
            return ("default",)
        case {"type": "chat", "chat_id": chat_id}:
            return ("chat", str(chat_id))
        case {"type": str(kind)} if kind in {
            "default",
            "all_private_chats",
            "all_group_chats",
            "all_chat_administrators",
        }:
            return (kind,)
    raise bad("can't parse BotCommandScope: Unsupported type specified")


def language_of(given: str | None) -> str:
    """A two-letter ISO 639-1 code, or none."""
    if given and not re.fullmatch(r"[a-z]{2}", given):
        raise bad("invalid language code specified")
    return given or ""


# --- Files

MEGABYTE = 1 << 20
PHOTO_BYTES, OTHER_BYTES = 10 * MEGABYTE, 50 * MEGABYTE
"""The most that is uploaded; by address it is 5 and 20 MB, and 20 MB can be fetched."""
PHOTO_LINK_BYTES, OTHER_LINK_BYTES = 5 * MEGABYTE, 20 * MEGABYTE
FETCH_BYTES = 20 * MEGABYTE
PHOTO_SIDES, PHOTO_RATIO = 10_000, 20

LINKED_MIMES = {
    "photo": ("image/",),
    "video": ("video/mp4",),
    "animation": ("image/gif", "video/mp4"),
    "audio": ("audio/mpeg", "audio/mp3", "audio/mp4", "audio/x-m4a", "audio/m4a"),
    "voice": ("audio/ogg",),
    "document": ("image/gif", "application/pdf", "application/zip"),
}
"""What is taken by address. Source: "Sending by URL" in the Bot API documentation."""


def check_upload(kind: str, content: bytes) -> None:
    """Refuse an upload that is too large, or that is no picture where one is needed."""
    if len(content) > OTHER_BYTES:
        raise RefusedError(413, "Request Entity Too Large")
    if not content:
        raise bad("file must be non-empty")
    if kind != "photo":
        return
    if len(content) > PHOTO_BYTES:
        raise bad(
            f"file of size {len(content)} bytes is too big for a photo; the maximum size is"
            f" {PHOTO_BYTES} bytes"
        )
    check_photo(content)


def check_link(kind: str, mime: str, content: bytes) -> None:
    """Refuse what an address gave."""
    if len(content) > (PHOTO_LINK_BYTES if kind == "photo" else OTHER_LINK_BYTES):
        raise bad("failed to get HTTP URL content")
    if not mime.startswith(LINKED_MIMES[kind]):
        raise bad("wrong type of the web page content")
    if kind == "photo":
        check_photo(content)


def check_photo(content: bytes) -> None:
    """Refuse what is no picture, or one that is too long and narrow."""
    size = dimensions(content)
    if size is None or not all(size):
        raise bad("IMAGE_PROCESS_FAILED")
    if sum(size) > PHOTO_SIDES or max(size) > PHOTO_RATIO * min(size):
        raise bad("PHOTO_INVALID_DIMENSIONS")


def dimensions(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, JPEG, GIF, WebP or BMP; None where it is none of them."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR":
        return _pair(">II", content, 16)
    if content[:6] in {b"GIF87a", b"GIF89a"}:
        return _pair("<HH", content, 6)
    if content[:2] == b"BM":
        return _pair("<ii", content, 18)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp(content)
    if content[:3] == b"\xff\xd8\xff":
        return _jpeg(content)
    return None


def _pair(form: str, content: bytes, place: int) -> tuple[int, int] | None:
    if len(content) < place + struct.calcsize(form):
        return None
    width, height = struct.unpack_from(form, content, place)
    return abs(width), abs(height)


def _webp(content: bytes) -> tuple[int, int] | None:
    match content[12:16]:
        case b"VP8X" if len(content) >= 30:
            sides = (
                int.from_bytes(content[24:27], "little"),
                int.from_bytes(content[27:30], "little"),
            )
            return sides[0] + 1, sides[1] + 1
        case b"VP8 ":
            return _pair("<HH", content, 26)
        case b"VP8L" if len(content) >= 25:
            bits = int.from_bytes(content[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _jpeg(content: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            sides = _pair(">HH", content, place + 5)
            return sides and (sides[1], sides[0])
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return None


def loaded(value: str | None) -> Any:
    """A field that is JSON inside a form; None where there is none."""
    if value is None or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as exc:
        raise bad("can't parse JSON object") from exc


def is_on(value: object) -> bool:
    """A boolean of a form."""
    return str(value).lower() in {"true", "1", "yes", "y", "t"}


def visible_commands(
    lists: Mapping[tuple[tuple[str, ...], str], Sequence[Json]], user_id: int, language: str
) -> list[str]:
    """The names in a person's menu, by Telegram's order of scopes and languages."""
    scopes = (("chat", str(user_id)), ("all_private_chats",), ("default",))
    for scope in scopes:
        for code in (language[:2], ""):
            if commands := lists.get((scope, code)):
                return [command["command"] for command in commands]
    return []
