"""The tests' Bot API server refuses what Telegram refuses, and hands out updates as it does."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BufferedInputFile,
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    InputMediaPhoto,
    MediaUnion,
    Message,
    MessageEntity,
    Update,
    URLInputFile,
)
from aiohttp import web
from attrs import define, field

from tests.fakes.media import MP3, MP4
from tests.fakes.talk import picture
from tests.fakes.telegram_chats import Phone
from tests.fakes.telegram_faults import FaultKind, Limits
from tests.fakes.telegram_rules import parse_html
from tests.fakes.telegram_server import TelegramServer, telegram_server, telegram_thread

ANNA = 7
BELLA = 8
MEGABYTE = 1 << 20
PNG = picture()


class Session(AiohttpSession):
    """One that closes at once: aiogram's waits for what only TLS has."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def bot_of(telegram: TelegramServer, url: str | None = None, token: str | None = None) -> Bot:
    api = TelegramAPIServer.from_base(url or telegram.url)
    return Bot(token or telegram.token, Session(api=api))


@pytest.fixture
async def bot(telegram: TelegramServer) -> AsyncIterator[Bot]:
    async with bot_of(telegram) as bot:
        yield bot


@pytest.fixture
def anna(telegram: TelegramServer) -> Phone:
    """Somebody who has written to the bot."""
    phone = telegram.person(ANNA)
    phone.starts()
    return phone


def keys(*rows: tuple[tuple[str, str], ...]) -> InlineKeyboardMarkup:
    """A keyboard of labels and callback data."""
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [InlineKeyboardButton(text=text, callback_data=data) for text, data in row]
            for row in rows
        ]
    )


def button(**fields: object) -> InlineKeyboardMarkup:
    """A keyboard of one button."""
    fields = {"text": "Нажми", **fields}
    return InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton.model_construct(None, **fields)]]
    )


def upload(content: bytes = PNG, name: str = "cat.png") -> BufferedInputFile:
    return BufferedInputFile(content, name)


def png_of(width: int, height: int) -> bytes:
    """The head of a picture; nobody looks further."""
    return PNG[:16] + struct.pack(">II", width, height) + PNG[24:]


@define
class Site:
    """Files at addresses, and what was posted there."""

    url: str = ""
    files: dict[str, tuple[bytes, str]] = field(factory=dict)
    statuses: list[int] = field(factory=list)
    posted: list[tuple[str | None, Update]] = field(factory=list)

    async def serve(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token")
            self.posted.append((secret, Update.model_validate(await request.json())))
            return web.Response(status=self.statuses.pop(0) if self.statuses else 200)
        content, mime = self.files[request.path]
        return web.Response(body=content, content_type=mime)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A site on loopback."""
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield site
    await runner.cleanup()


# --- A conversation


async def test_a_press_edits_the_message_in_place(bot: Bot, anna: Phone) -> None:
    sent = await bot.send_message(
        ANNA, "Баланс: <b>30 ₽</b>", parse_mode="HTML", reply_markup=keys((("Создать", "new:1"),))
    )
    seen = await anna.sees("30 ₽", "Создать")
    press = anna.presses("Созд")
    (_, update) = await bot.get_updates()
    query = update.callback_query
    assert query is not None
    await bot.answer_callback_query(query.id, "Минуту")
    await bot.edit_message_text("Готово", chat_id=ANNA, message_id=sent.message_id)
    after = await anna.sees("Готово")

    assert query.data == "new:1"
    assert isinstance(query.message, Message)
    assert query.message.html_text == "Баланс: <b>30 ₽</b>"
    assert seen is after
    assert [version.words.text for version in after.versions] == ["Баланс: 30 ₽", "Готово"]
    assert after.labels == []
    assert await press.answered() == "Минуту"
    assert [message.text for message in anna.chat()] == ["/start", "Готово"]


async def test_only_what_came_since_the_last_act_is_seen(bot: Bot, anna: Phone) -> None:
    await bot.send_message(ANNA, "старое")
    await anna.sees("старое")
    anna.types("дальше")
    await bot.send_message(ANNA, "новое")

    await anna.sees("новое")

    assert [message.text for message in anna.new()] == ["новое"]
    await anna.sees("старое", anywhere=True)


async def test_what_was_there_for_a_moment_is_seen(bot: Bot, anna: Phone) -> None:
    """Progress may be gone before the test looks at it."""
    sent = await bot.send_message(ANNA, "⏳ 0:01")
    await bot.edit_message_text("⏳ 0:02", chat_id=ANNA, message_id=sent.message_id)
    await bot.delete_message(ANNA, sent.message_id)

    await anna.sees("0:01")

    assert anna.came() == "⏳ 0:01\n⏳ 0:02"
    assert anna.new() == []


async def test_an_edit_that_changes_nothing_is_seen_all_the_same(bot: Bot, anna: Phone) -> None:
    """What a person looks at after a press that changes nothing is what was there."""
    sent = await bot.send_message(ANNA, "Меню")
    anna.types("ещё")
    with pytest.raises(TelegramBadRequest, match="message is not modified: specified new message"):
        await bot.edit_message_text("Меню", chat_id=ANNA, message_id=sent.message_id)

    assert len((await anna.sees("Меню")).versions) == 1


async def test_every_kind_of_message_is_what_aiogram_reads(
    telegram: TelegramServer, bot: Bot, anna: Phone
) -> None:
    other = telegram.person(BELLA, "Белла", username="bella")
    said = other.types("привет")
    anna.sends_photo(PNG, "кот")
    anna.sends_document("отчёт.pdf", b"%PDF-1", "application/pdf")
    anna.sends_video(MP4, seconds=3)
    anna.sends_audio(MP3)
    anna.sends_voice(b"OggS")
    anna.sends_animation(b"GIF89a")
    anna.sends_album(PNG, PNG, caption="два")
    anna.forwards(said)
    anna.forwards(said, sender="Скрытный")
    anna.edits(anna.types("было"), "стало")
    for kind in ("sticker", "location", "contact", "dice"):
        anna.sends_other(kind)
    anna.blocks()
    anna.unblocks()

    updates = await bot.get_updates()

    messages = [update.message or update.edited_message for update in updates]
    kinds = [message.content_type for message in messages if message]
    assert " ".join(kinds) == (
        "text text photo document video audio voice animation photo photo text text text text"
        " sticker location contact dice"
    )
    album = [message.media_group_id for message in messages if message and message.media_group_id]
    assert len(album) == 2
    assert len({*album}) == 1
    origins = [message.forward_origin for message in messages if message and message.forward_origin]
    assert [origin.type for origin in origins] == ["user", "hidden_user"]
    members = [update.my_chat_member for update in updates if update.my_chat_member]
    assert [member.new_chat_member.status for member in members] == ["kicked", "member"]


async def test_a_file_is_fetched_by_its_id(telegram: TelegramServer, bot: Bot, anna: Phone) -> None:
    anna.sends_document("a.bin", b"content")
    anna.sends_document("b.bin", b"", size=21 * MEGABYTE)
    anna.sends_photo(PNG)
    _, small, large, photo = [update.message for update in await bot.get_updates()]
    assert small is not None
    assert large is not None
    assert photo is not None
    assert small.document is not None
    assert large.document is not None
    assert photo.photo is not None

    fetched = await bot.download(small.document)
    pictured = await bot.download(photo.photo[-1])

    assert fetched is not None
    assert pictured is not None
    assert (fetched.read(), pictured.read()) == (b"content", PNG)
    with pytest.raises(TelegramBadRequest, match="file is too big"):
        await bot.get_file(large.document.file_id)
    with pytest.raises(TelegramBadRequest, match="wrong file_id"):
        await bot.get_file("AgAD-nothing")
    assert [call.code for call in telegram.called("getFile")] == [200, 200, 400, 400]


async def test_a_forged_press_has_any_data_on_any_message(bot: Bot, anna: Phone) -> None:
    old = await bot.send_message(ANNA, "старое")
    anna.deletes(anna.last)
    await bot.send_message(ANNA, "новое")
    query = anna.forges("admin:topup:approve:1", is_accessible=False)

    update = (await bot.get_updates())[-1]

    assert update.callback_query is not None
    assert update.callback_query.data == "admin:topup:approve:1"
    assert not isinstance(update.callback_query.message, Message)
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("x", chat_id=ANNA, message_id=old.message_id)
    await bot.answer_callback_query(update.callback_query.id)
    assert await query.answered() == ""


async def test_a_press_that_is_never_answered_fails_the_test() -> None:
    async def leave_a_press() -> None:
        async with telegram_server() as telegram, bot_of(telegram) as bot:
            phone = telegram.person(ANNA)
            phone.starts()
            await bot.send_message(ANNA, "Меню", reply_markup=keys((("Да", "yes:1"),)))
            phone.presses("Да")

    with pytest.raises(AssertionError, match="never answered"):
        await leave_a_press()


async def test_a_button_that_is_not_there_cannot_be_pressed(bot: Bot, anna: Phone) -> None:
    await bot.send_message(ANNA, "Меню", reply_markup=keys((("Да", "yes:1"),)))

    with pytest.raises(AssertionError, match="Меню"):
        anna.presses("Нет")


def test_it_serves_from_a_thread() -> None:
    """Stories that drive programs have no loop of their own."""
    with telegram_thread() as thread:
        phone = thread.do(lambda telegram: telegram.person(ANNA))
        thread.do(lambda _: phone.starts())

        async def talk() -> None:
            async with bot_of(thread.telegram) as bot:
                await bot.send_message(ANNA, "Меню")

        asyncio.run(talk())
        assert thread.wait(phone.sees("Меню")).text == "Меню"


# --- What is refused


Sends = Callable[[Bot], Awaitable[object]]

REFUSED: dict[str, tuple[str, Sends]] = {
    "an empty text": (
        "message text is empty",
        lambda bot: bot.send_message(ANNA, ""),
    ),
    "white space": (
        "text must be non-empty",
        lambda bot: bot.send_message(ANNA, " \n "),
    ),
    "a text of tags": (
        "text must be non-empty",
        lambda bot: bot.send_message(ANNA, "<b></b>", parse_mode="HTML"),
    ),
    "a long text": (
        "message is too long",
        lambda bot: bot.send_message(ANNA, "я" * 4097),
    ),
    "a long caption": (
        "message caption is too long",
        lambda bot: bot.send_photo(ANNA, upload(), caption="я" * 1025),
    ),
    "an unknown chat": (
        "chat not found",
        lambda bot: bot.send_message(404, "кто там"),
    ),
    "another parse mode": (
        "unsupported parse_mode",
        lambda bot: bot.send_message(ANNA, "x", parse_mode="BBCode"),
    ),
    "an open tag": (
        "can't parse entities: Can't find end tag corresponding to start tag \"b\"",
        lambda bot: bot.send_message(ANNA, "<b>x", parse_mode="HTML"),
    ),
    "long data": (
        "BUTTON_DATA_INVALID",
        lambda bot: bot.send_message(ANNA, "x", reply_markup=button(callback_data="я" * 33)),
    ),
    "empty data": (
        "Text buttons are unallowed in the inline keyboard",
        lambda bot: bot.send_message(ANNA, "x", reply_markup=button(callback_data="")),
    ),
    "a button without words": (
        "BUTTON_TEXT_INVALID",
        lambda bot: bot.send_message(ANNA, "x", reply_markup=button(text=" ", callback_data="a")),
    ),
    "101 buttons": (
        "reply markup is too long",
        lambda bot: bot.send_message(ANNA, "x", reply_markup=keys(*[(("x", "y"),)] * 101)),
    ),
    "nothing to copy": (
        "BUTTON_COPY_TEXT_INVALID",
        lambda bot: bot.send_message(
            ANNA, "x", reply_markup=button(copy_text=CopyTextButton(text=""))
        ),
    ),
    "much to copy": (
        "BUTTON_COPY_TEXT_INVALID",
        lambda bot: bot.send_message(
            ANNA, "x", reply_markup=button(copy_text=CopyTextButton(text="x" * 257))
        ),
    ),
    "no link": (
        "inline keyboard button URL 'ftp://a.example' is invalid: Unsupported URL protocol",
        lambda bot: bot.send_message(ANNA, "x", reply_markup=button(url="ftp://a.example")),
    ),
    "an entity that ends too late": (
        "ends after the end of the text at UTF-16 offset 6",
        lambda bot: bot.send_message(
            ANNA, "🎥 ab", entities=[MessageEntity(type="bold", offset=3, length=3)]
        ),
    ),
    "half a character": (
        "middle of a UTF-16 symbol",
        lambda bot: bot.send_message(
            ANNA, "🎥", entities=[MessageEntity(type="bold", offset=1, length=1)]
        ),
    ),
    "an unknown reply": (
        "message to be replied not found",
        lambda bot: bot.send_message(ANNA, "x", reply_to_message_id=404),
    ),
    "an unknown message": (
        "message to edit not found",
        lambda bot: bot.edit_message_text("x", chat_id=ANNA, message_id=404),
    ),
    "a message to be deleted that is not there": (
        "message to delete not found",
        lambda bot: bot.delete_message(ANNA, 404),
    ),
    "the person's own message": (
        "message can't be edited",
        lambda bot: bot.edit_message_text("x", chat_id=ANNA, message_id=1),
    ),
    "an unknown press": (
        "query is too old and response timeout expired or query ID is invalid",
        lambda bot: bot.answer_callback_query("404"),
    ),
    "a large photo": (
        "is too big for a photo",
        lambda bot: bot.send_photo(ANNA, upload(PNG + bytes(10 * MEGABYTE))),
    ),
    "a photo that is none": (
        "IMAGE_PROCESS_FAILED",
        lambda bot: bot.send_photo(ANNA, upload(b"<html>" * 20)),
    ),
    "a very large picture": (
        "PHOTO_INVALID_DIMENSIONS",
        lambda bot: bot.send_photo(ANNA, upload(png_of(6000, 4001))),
    ),
    "a narrow picture": (
        "PHOTO_INVALID_DIMENSIONS",
        lambda bot: bot.send_photo(ANNA, upload(png_of(21, 1))),
    ),
    "an empty file": (
        "file must be non-empty",
        lambda bot: bot.send_document(ANNA, upload(b"")),
    ),
    "an unknown file": (
        "wrong file identifier/HTTP URL specified",
        lambda bot: bot.send_photo(ANNA, "AgAD-nothing"),
    ),
    "an address elsewhere": (
        "failed to get HTTP URL content",
        lambda bot: bot.send_photo(ANNA, "https://example.org/cat.png"),
    ),
    "an address where nobody is": (
        "failed to get HTTP URL content",
        lambda bot: bot.send_photo(ANNA, "http://127.0.0.1:1/cat.png"),
    ),
    "an album of one": (
        "an album has 2-10 messages",
        lambda bot: bot.send_media_group(ANNA, album(1)),
    ),
    "an album of eleven": (
        "an album has 2-10 messages",
        lambda bot: bot.send_media_group(ANNA, album(11)),
    ),
    "an album of everything": (
        "can't use the media of the specified type in the album",
        lambda bot: bot.send_media_group(ANNA, [*album(1), InputMediaDocument(media=upload())]),
    ),
    "an unknown action": (
        "wrong parameter action",
        lambda bot: bot.send_chat_action(ANNA, "dance"),
    ),
    "a command in capitals": (
        "BOT_COMMAND_INVALID",
        lambda bot: bot.set_my_commands([BotCommand(command="Start", description="Меню")]),
    ),
    "a command without words": (
        "BOT_COMMAND_DESCRIPTION_INVALID",
        lambda bot: bot.set_my_commands([BotCommand(command="start", description=" ")]),
    ),
    "a language of four letters": (
        "invalid language code",
        lambda bot: bot.set_my_commands([], language_code="ruru"),
    ),
    "a long description": (
        "BOT_DESCRIPTION_INVALID",
        lambda bot: bot.set_my_description("x" * 513),
    ),
    "a webhook without https": (
        "An HTTPS URL must be provided for webhook",
        lambda bot: bot.set_webhook("http://bot.example/hook"),
    ),
    "a secret of strange characters": (
        "secret token contains illegal characters",
        lambda bot: bot.set_webhook("https://bot.example/hook", secret_token="a+b"),
    ),
}


def album(number: int) -> list[MediaUnion]:
    return [InputMediaPhoto(media=upload()) for _ in range(number)]


async def test_telegram_refuses(telegram: TelegramServer, bot: Bot, anna: Phone) -> None:
    """Each in Telegram's words, and nobody sees anything of it."""
    answers = {}
    for what, (_, send) in REFUSED.items():
        with pytest.raises(TelegramBadRequest):
            await send(bot)
        answers[what] = str(telegram.calls[-1].description)

    wrong = {
        what: said
        for what, said in answers.items()
        if not said.startswith("Bad Request: ") or REFUSED[what][0] not in said
    }
    assert wrong == {}
    assert [message.text for message in anna.chat()] == ["/start"]


async def test_what_is_just_allowed_is_taken(bot: Bot, anna: Phone) -> None:
    """Lengths are characters of what is shown, so that 4,096 emoji in bold are a message."""
    await bot.send_message(ANNA, "<b>" + "🎥" * 4096 + "</b>&amp;"[:4], parse_mode="HTML")
    await bot.send_photo(ANNA, upload(), caption="<i>" + "я" * 1024 + "</i>", parse_mode="HTML")
    await bot.send_message(ANNA, "x", reply_markup=keys(*[(("x", "y" * 64),)] * 100))
    await bot.send_photo(ANNA, upload(png_of(5000, 5000)))
    await bot.send_document(ANNA, upload(bytes(50 * MEGABYTE)))
    await bot.send_media_group(ANNA, album(10))

    assert len(anna.chat()) == 1 + 5 + 10


async def test_a_body_over_50_mb_is_too_large(bot: Bot, anna: Phone) -> None:
    with pytest.raises(TelegramEntityTooLarge, match="Request Entity Too Large"):
        await bot.send_document(ANNA, upload(bytes(50 * MEGABYTE + 1)))

    assert len(anna.chat()) == 1


async def test_another_token_is_unauthorized(telegram: TelegramServer) -> None:
    async with bot_of(telegram, token="42:other") as bot:
        with pytest.raises(TelegramUnauthorizedError):
            await bot.get_me()


@pytest.mark.parametrize(
    ("html", "why"),
    [
        ("a < b", 'Unsupported start tag "" at byte offset 2'),
        ("🎥<br>", 'Unsupported start tag "br" at byte offset 4'),
        ("x <b", "Unclosed start tag at byte offset 2"),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ('<a href="x>y</a>', "Unclosed start tag at byte offset 0"),
        ("Tom & Jerry", "unescaped & at byte offset 4"),
        ("&nbsp;", "unescaped & at byte offset 0"),
    ],
)
def test_what_is_no_html_is_refused_in_telegrams_words(html: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"offset|end tag") as refused:
        parse_html(html)

    assert str(refused.value) == why


def test_html_is_shown_with_entities_in_utf_16() -> None:
    words = parse_html(
        '🎥<b>a<i>b</i></b>&lt;&#128512;<a href="https://a.example/?x=1&amp;y=2">z</a>'
        "<code>q</code><blockquote expandable>r</blockquote>"
    )

    assert words.text == "🎥ab<😀zqr"
    assert [(each["type"], each["offset"], each["length"]) for each in words.entities] == [
        ("bold", 2, 2),
        ("italic", 3, 1),
        ("text_link", 7, 1),
        ("code", 8, 1),
        ("expandable_blockquote", 9, 1),
    ]
    assert words.entities[2]["url"] == "https://a.example/?x=1&y=2"


async def test_white_space_around_a_text_goes_and_entities_stay(bot: Bot, anna: Phone) -> None:
    await bot.send_message(ANNA, "\n <b>a</b> b \n", parse_mode="HTML")

    message = await anna.sees("a b")

    assert message.text == "a b"
    assert message.entities("bold") == ["a"]


# --- Edits


async def test_a_caption_and_a_text_are_edited_by_their_own_methods(bot: Bot, anna: Phone) -> None:
    text = await bot.send_message(ANNA, "текст")
    photo = await bot.send_photo(ANNA, upload(), caption="подпись")

    with pytest.raises(TelegramBadRequest, match="there is no text in the message to edit"):
        await bot.edit_message_text("x", chat_id=ANNA, message_id=photo.message_id)
    with pytest.raises(TelegramBadRequest, match="there is no caption in the message to edit"):
        await bot.edit_message_caption(chat_id=ANNA, message_id=text.message_id, caption="x")
    await bot.edit_message_caption(chat_id=ANNA, message_id=photo.message_id, caption="другая")

    assert [message.text for message in anna.chat()[1:]] == ["текст", "другая"]


async def test_a_file_takes_the_place_of_another(bot: Bot, anna: Phone) -> None:
    sent = await bot.send_message(ANNA, "⏳")

    edited = await bot.edit_message_media(
        InputMediaPhoto(media=upload(), caption="готово"),
        chat_id=ANNA,
        message_id=sent.message_id,
        reply_markup=keys((("Ещё", "again:1"),)),
    )

    assert isinstance(edited, Message)
    assert edited.photo
    message = await anna.sees_file("photo")
    assert (message.text, message.content, message.labels) == ("готово", PNG, ["Ещё"])


async def test_a_keyboard_goes_where_an_edit_names_none(bot: Bot, anna: Phone) -> None:
    sent = await bot.send_message(ANNA, "Меню", reply_markup=keys((("Да", "yes:1"),)))

    await bot.edit_message_reply_markup(chat_id=ANNA, message_id=sent.message_id)

    assert anna.last.labels == []
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await bot.edit_message_reply_markup(chat_id=ANNA, message_id=sent.message_id)


async def test_what_is_deleted_cannot_be_edited(bot: Bot, anna: Phone) -> None:
    sent = await bot.send_message(ANNA, "Меню")
    await bot.delete_message(ANNA, sent.message_id)

    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("x", chat_id=ANNA, message_id=sent.message_id)

    assert [message.text for message in anna.chat()] == ["/start"]


async def test_an_old_message_cannot_be_deleted(bot: Bot, anna: Phone) -> None:
    sent = await bot.send_message(ANNA, "Меню")
    anna.last.is_old = True

    with pytest.raises(TelegramBadRequest, match="message can't be deleted for everyone"):
        await bot.delete_message(ANNA, sent.message_id)


# --- Files


async def test_a_file_is_sent_again_by_its_id_as_what_it_is(bot: Bot, anna: Phone) -> None:
    sent = await bot.send_photo(ANNA, upload())
    assert sent.photo
    file_id = sent.photo[-1].file_id

    await bot.send_photo(ANNA, file_id, caption="ещё раз")
    with pytest.raises(TelegramBadRequest, match="can't use file of type Photo as Document"):
        await bot.send_document(ANNA, file_id)

    assert (await anna.sees("ещё раз")).content == PNG


async def test_what_cannot_be_played_is_sent_as_a_document(bot: Bot, anna: Phone) -> None:
    video = await bot.send_video(ANNA, upload(MP4, "a.mp4"))
    audio = await bot.send_audio(ANNA, upload(MP3, "a.mp3"))
    rubbish = await bot.send_video(ANNA, upload(b"no clip", "a.mp4"))

    assert (video.video is None, audio.audio is None, rubbish.video is None) == (
        False,
        False,
        True,
    )
    assert rubbish.document is not None
    assert [message.file.kind for message in anna.chat() if message.file] == [
        "video",
        "audio",
        "document",
    ]


async def test_an_address_is_fetched_within_its_limits(bot: Bot, anna: Phone, site: Site) -> None:
    site.files = {
        "/cat.png": (PNG, "image/png"),
        "/large.png": (PNG + bytes(5 * MEGABYTE), "image/png"),
        "/page.png": (b"<html>", "text/html"),
        "/a.mp4": (MP4, "video/mp4"),
        "/large.mp4": (MP4 + bytes(20 * MEGABYTE), "video/mp4"),
        "/a.wav": (b"RIFF", "audio/wav"),
        "/a.pdf": (b"%PDF-1.4", "application/pdf"),
        "/a.txt": (b"words", "text/plain"),
    }

    await bot.send_photo(ANNA, f"{site.url}/cat.png")
    await bot.send_video(ANNA, f"{site.url}/a.mp4")
    await bot.send_document(ANNA, f"{site.url}/a.pdf")
    await bot.send_photo(ANNA, URLInputFile(f"{site.url}/cat.png"))

    assert [message.content for message in anna.chat()[1:]] == [PNG, MP4, b"%PDF-1.4", PNG]
    for path, kind in (("large.png", "photo"), ("large.mp4", "video"), ("no.png", "photo")):
        with pytest.raises(TelegramBadRequest, match="failed to get HTTP URL content"):
            await getattr(bot, f"send_{kind}")(ANNA, f"{site.url}/{path}")
    for path, kind in (("page.png", "photo"), ("a.wav", "audio"), ("a.txt", "document")):
        with pytest.raises(TelegramBadRequest, match="wrong type of the web page content"):
            await getattr(bot, f"send_{kind}")(ANNA, f"{site.url}/{path}")


async def test_an_album_is_whole_or_not_at_all(bot: Bot, anna: Phone) -> None:
    with pytest.raises(TelegramBadRequest, match="IMAGE_PROCESS_FAILED"):
        await bot.send_media_group(ANNA, [*album(2), InputMediaPhoto(media=upload(b"rubbish"))])
    sent = await bot.send_media_group(ANNA, album(2))

    assert len({message.media_group_id for message in sent}) == 1
    assert [message.content for message in anna.chat()[1:]] == [PNG, PNG]
    with pytest.raises(TelegramBadRequest, match="an album can't have a reply markup"):
        await bot.edit_message_reply_markup(
            chat_id=ANNA, message_id=sent[0].message_id, reply_markup=keys((("x", "y"),))
        )


async def test_messages_are_copied_and_forwarded(
    telegram: TelegramServer, bot: Bot, anna: Phone
) -> None:
    bella = telegram.person(BELLA, "Белла")
    bella.starts()
    receipt = anna.sends_photo(PNG, "чек")

    await bot.copy_message(BELLA, ANNA, receipt.message_id)
    forwarded = await bot.forward_message(BELLA, ANNA, receipt.message_id)

    assert [(message.text, message.content) for message in bella.chat()[1:]] == [("чек", PNG)] * 2
    assert forwarded.forward_origin is not None
    with pytest.raises(TelegramBadRequest, match="message to copy not found"):
        await bot.copy_message(BELLA, ANNA, 404)


# --- People who do not want


async def test_who_blocked_never_wrote_or_left_is_not_written_to(
    telegram: TelegramServer, bot: Bot, anna: Phone
) -> None:
    sent = await bot.send_message(ANNA, "Меню")
    stranger = telegram.person(BELLA)

    with pytest.raises(TelegramForbiddenError, match="bot can't initiate conversation"):
        await bot.send_message(BELLA, "привет")
    anna.blocks()
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.send_message(ANNA, "привет")
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.edit_message_text("x", chat_id=ANNA, message_id=sent.message_id)
    anna.unblocks()
    await bot.send_message(ANNA, "привет")
    anna.leaves()
    with pytest.raises(TelegramForbiddenError, match="user is deactivated"):
        await bot.send_message(ANNA, "привет")

    assert stranger.chat() == []
    assert [message.text for message in anna.chat()] == ["/start", "Меню", "привет"]


async def test_a_late_answer_is_refused_and_counts_as_one(
    telegram: TelegramServer, bot: Bot, anna: Phone
) -> None:
    await bot.send_message(ANNA, "Меню", reply_markup=keys((("Да", "yes:1"),)))
    query = anna.presses("yes:1")
    telegram.expire(query)

    with pytest.raises(TelegramBadRequest, match="query is too old and response timeout expired"):
        await bot.answer_callback_query(query.query_id)

    assert telegram.unanswered() == []


async def test_a_long_notice_is_refused(bot: Bot, anna: Phone) -> None:
    await bot.send_message(ANNA, "Меню", reply_markup=keys((("Да", "yes:1"),)))
    query = anna.presses("Да")

    with pytest.raises(TelegramBadRequest, match="MESSAGE_TOO_LONG"):
        await bot.answer_callback_query(query.query_id, "я" * 201)
    await bot.answer_callback_query(query.query_id, "я" * 200, show_alert=True)

    assert await query.answered() == "я" * 200


# --- The bot itself


async def test_each_person_has_the_menu_of_their_language_and_rights(
    telegram: TelegramServer, bot: Bot, anna: Phone
) -> None:
    english = telegram.person(BELLA, "Bella", language_code="en")
    private = BotCommandScopeAllPrivateChats()

    async def set_menu(*names: str, **more: object) -> None:
        commands = [BotCommand(command=name, description="x") for name in names]
        await bot.set_my_commands(commands, **more)  # type: ignore[arg-type]

    await set_menu("start")
    await set_menu("start", "help", scope=private)
    await set_menu("start", "menu", scope=private, language_code="ru")
    assert (anna.menu(), english.menu()) == (["start", "menu"], ["start", "help"])
    await set_menu("admin", scope=BotCommandScopeChat(chat_id=ANNA))

    assert anna.menu() == ["admin"]
    named = await bot.get_my_commands(scope=private, language_code="ru")
    assert [command.command for command in named] == ["start", "menu"]


async def test_what_the_bot_says_of_itself_is_kept(bot: Bot, anna: Phone) -> None:
    await bot.set_my_description("Продаёт", language_code="ru")
    await bot.set_my_short_description("Коротко")
    await bot.set_chat_menu_button()

    assert (await bot.get_my_description(language_code="ru")).description == "Продаёт"
    assert (await bot.get_my_description()).description == ""
    assert (await bot.get_my_short_description("ru")).short_description == "Коротко"
    assert (await bot.get_me()).username == "kiebot_test_bot"
    assert (await bot.get_chat(ANNA)).first_name == anna.name
    assert await bot.send_chat_action(ANNA, "upload_photo")


async def test_all_that_was_said_is_kept(telegram: TelegramServer, bot: Bot, anna: Phone) -> None:
    """Tests look there for what must never be told."""
    await bot.send_message(ANNA, "тайна")
    await bot.send_document(ANNA, upload(b"secret inside", "name.txt"))
    with pytest.raises(TelegramBadRequest):
        await bot.send_message(404, "не дошло")

    said = telegram.said()

    assert all(word in said for word in ("тайна", "secret inside", "name.txt", "не дошло"))
    assert len(anna.chat()) == 3


# --- getUpdates


async def test_an_update_comes_until_its_offset_confirms_it(bot: Bot, anna: Phone) -> None:
    for word in ("раз", "два", "три"):
        anna.types(word)

    first = await bot.get_updates()
    again = await bot.get_updates(limit=2)
    rest = await bot.get_updates(offset=first[2].update_id)
    gone = await bot.get_updates(offset=first[3].update_id + 1)

    ids = [update.update_id for update in first]
    assert ids == list(range(ids[0], ids[0] + 4))
    assert [update.update_id for update in again] == ids[:2]
    assert [update.update_id for update in rest] == ids[2:]
    assert gone == []


async def test_a_negative_offset_forgets_all_but_the_last(bot: Bot, anna: Phone) -> None:
    anna.types("раз")
    anna.types("два")

    last = await bot.get_updates(offset=-1)

    assert [update.message.text for update in last if update.message] == ["два"]
    assert len(await bot.get_updates()) == 1


async def test_a_poll_waits_for_what_comes(telegram: TelegramServer, bot: Bot) -> None:
    polling = asyncio.ensure_future(bot.get_updates(timeout=50))
    await telegram.until(lambda: bool(telegram.called("getUpdates")), "poll")

    telegram.person(ANNA).starts()

    assert len(await polling) == 1


async def test_a_second_poll_ends_the_first(telegram: TelegramServer, bot: Bot) -> None:
    async with bot_of(telegram, telegram.url_of("second")) as other:
        first = asyncio.ensure_future(bot.get_updates(timeout=50))
        await telegram.until(lambda: bool(telegram.called("getUpdates")), "poll")
        second = asyncio.ensure_future(other.get_updates(timeout=50))

        with pytest.raises(TelegramConflictError, match="terminated by other getUpdates request"):
            await first

        telegram.person(ANNA).starts()
        assert len(await second) == 1
        assert len(telegram.called("getUpdates", by="second")) == 1


async def test_a_webhook_ends_polling(telegram: TelegramServer, bot: Bot) -> None:
    polling = asyncio.ensure_future(bot.get_updates(timeout=50))
    await telegram.until(lambda: bool(telegram.called("getUpdates")), "poll")

    await bot.set_webhook("https://bot.example/hook")

    with pytest.raises(TelegramConflictError, match="terminated by setWebhook request"):
        await polling
    with pytest.raises(TelegramConflictError, match="while webhook is active"):
        await bot.get_updates()
    await bot.delete_webhook()
    assert await bot.get_updates() == []


async def test_only_wanted_kinds_come_from_then_on(bot: Bot, anna: Phone) -> None:
    await bot.get_updates(allowed_updates=["callback_query"])
    anna.types("не нужно")
    await bot.send_message(ANNA, "Меню", reply_markup=keys((("Да", "yes:1"),)))
    query = anna.presses("Да")
    await bot.answer_callback_query(query.query_id)

    kinds = [update.event_type for update in await bot.get_updates()]

    assert kinds == ["message", "callback_query"]


async def test_updates_are_held_copied_and_redelivered(
    telegram: TelegramServer, bot: Bot, anna: Phone
) -> None:
    def texts(updates: list[Update]) -> list[str | None]:
        return [update.message.text for update in updates if update.message]

    start = await bot.get_updates()
    telegram.updates.hold()
    anna.types("раз")
    anna.types("два")
    after = start[0].update_id + 1
    assert await bot.get_updates(offset=after) == []
    telegram.updates.release(reversed)
    telegram.updates.copies = 2
    assert texts(await bot.get_updates(offset=after)) == ["два", "два", "раз", "раз"]
    telegram.updates.copies = 1
    assert await bot.get_updates(offset=after + 2) == []
    telegram.updates.redeliver(after)

    assert texts(await bot.get_updates()) == ["раз"]


# --- Webhooks


async def test_a_webhook_is_posted_to_until_it_takes_it(
    telegram: TelegramServer, bot: Bot, site: Site
) -> None:
    site.statuses = [500, 404]
    telegram.route("https://bot.example", site.url)
    await bot.set_webhook("https://bot.example/hook", secret_token="s3cret")
    info = await bot.get_webhook_info()
    assert (info.url, info.pending_update_count) == ("https://bot.example/hook", 0)

    anna = telegram.person(ANNA)
    anna.starts()
    anna.types("дальше")
    await telegram.idle()

    texts = [update.message.text for _, update in site.posted if update.message]
    assert texts == ["/start", "/start", "/start", "дальше"]
    assert {secret for secret, _ in site.posted} == {"s3cret"}
    info = await bot.get_webhook_info()
    assert info.pending_update_count == 0
    assert info.last_error_message == "Wrong response from the webhook: 404 Not Found"


async def test_instances_behind_one_address_take_turns(
    telegram: TelegramServer, bot: Bot, site: Site
) -> None:
    telegram.route("https://bot.example", f"{site.url}/one", f"{site.url}/two")
    await bot.set_webhook("https://bot.example/hook")
    telegram.updates.copies = 2

    for number in range(1, 11):
        telegram.person(number).starts()
    await telegram.idle()

    posted = telegram.updates.posted
    assert [post.to for post in posted].count(f"{site.url}/one/hook") == 10
    ids = [post.update_id for post in posted]
    assert sorted(ids) == sorted([*{*ids}] * 2)


async def test_what_is_pending_is_told_and_dropped(
    telegram: TelegramServer, bot: Bot, anna: Phone
) -> None:
    anna.types("до")
    await bot.set_webhook("https://bot.example/hook", drop_pending_updates=True)
    assert (await bot.get_webhook_info()).pending_update_count == 0

    anna.types("после")

    assert (await bot.get_webhook_info()).pending_update_count == 1
    await bot.delete_webhook()
    texts = [update.message.text for update in await bot.get_updates() if update.message]
    assert texts == ["после"]
    assert telegram.updates.hook is None


# --- Limits and faults


async def test_too_many_messages_are_refused_for_a_while(
    telegram: TelegramServer, bot: Bot, anna: Phone
) -> None:
    now = [100.0]
    telegram.meter.limits = Limits(clock=lambda: now[0])
    for _ in range(3):
        await bot.send_message(ANNA, "x")

    with pytest.raises(TelegramRetryAfter) as refused:
        await bot.send_message(ANNA, "x")
    assert refused.value.retry_after == 1
    now[0] += 1
    await bot.send_message(ANNA, "x")

    assert telegram.meter.floods == 1
    assert telegram.meter.most_in_a_second() == 3
    assert len(anna.chat()) == 5


async def test_thirty_a_second_in_all(telegram: TelegramServer, bot: Bot) -> None:
    now = [100.0]
    telegram.meter.limits = Limits(clock=lambda: now[0])
    for number in range(1, 32):
        telegram.person(number).starts()
    for number in range(1, 31):
        await bot.send_message(number, "x")

    with pytest.raises(TelegramRetryAfter):
        await bot.send_message(31, "x")
    now[0] += 1
    await bot.send_message(31, "x")

    assert telegram.meter.most_in_a_second() == 30
    assert telegram.meter.most_in_a_second(31) == 1


async def test_without_limits_messages_are_only_counted(
    telegram: TelegramServer, bot: Bot, anna: Phone
) -> None:
    for _ in range(5):
        await bot.send_message(ANNA, "x")

    assert telegram.meter.floods == 0
    assert len(telegram.meter.sent) == len(anna.chat()) - 1


@pytest.mark.parametrize("is_taken", [False, True])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("flood", TelegramRetryAfter),
        ("bad_gateway", ClientDecodeError),
        ("error", TelegramServerError),
        ("forbidden", TelegramForbiddenError),
        ("drop", TelegramNetworkError),
    ],
)
async def test_telegram_goes_wrong_as_asked(
    telegram: TelegramServer,
    bot: Bot,
    anna: Phone,
    kind: FaultKind,
    error: type[Exception],
    is_taken: bool,
) -> None:
    """`is_taken` tells the bot the same, but the person sees the message."""
    bella = telegram.person(BELLA)
    bella.starts()
    fault = telegram.breaks(kind, "sendMessage", chat_id=ANNA, is_taken=is_taken)

    await bot.send_message(BELLA, "другому")
    await bot.send_photo(ANNA, upload())
    with pytest.raises(error):
        await bot.send_message(ANNA, "раз")
    await bot.send_message(ANNA, "два")

    assert fault.hits == 1
    assert [message.text for message in anna.chat()[2:]] == (["раз"] if is_taken else []) + ["два"]


async def test_silence_lasts_until_it_is_healed(
    telegram: TelegramServer, bot: Bot, anna: Phone
) -> None:
    silence = telegram.breaks("hang", times=None)
    sending = asyncio.ensure_future(bot.send_message(ANNA, "раз"))
    await telegram.until(lambda: silence.hits == 1, "silence")
    assert not sending.done()

    telegram.heals(silence)

    with pytest.raises(TelegramNetworkError):
        await sending
    await bot.send_message(ANNA, "два")
    assert [message.text for message in anna.chat()[1:]] == ["два"]


async def test_a_download_breaks_off(telegram: TelegramServer, bot: Bot, anna: Phone) -> None:
    anna.sends_document("a.bin", b"content")
    (_, update) = await bot.get_updates()
    assert update.message
    assert update.message.document
    telegram.breaks("drop", "file", times=2)  # aiohttp asks a second time by itself

    with pytest.raises(aiohttp.ClientError):
        await bot.download(update.message.document)

    fetched = await bot.download(update.message.document)
    assert fetched is not None
    assert fetched.read() == b"content"
