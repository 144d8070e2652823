"""
Files of Telegram: those that people attached, and the ways in which results get to them.

The ways, the first that works: the copy that Telegram keeps, the address (Telegram loads it), an
upload as what it is, an upload as a document. A file is streamed and never whole in memory.
Sources of the sizes: "Sending files" and `getFile` in the Bot API documentation.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from pathlib import PurePosixPath
from typing import TypeAlias, TypeVar

import aiohttp
from aiogram import Bot
from aiogram.methods import (
    GetFile,
    SendAudio,
    SendDocument,
    SendMediaGroup,
    SendPhoto,
    SendVideo,
    TelegramMethod,
)
from aiogram.types import InlineKeyboardMarkup as Keyboard
from aiogram.types import InputFile as TelegramFile
from aiogram.types import (
    InputMediaAudio,
    InputMediaDocument,
    InputMediaPhoto,
    InputMediaVideo,
    Message,
)
from attrs import field, frozen

from kiebot.adapters.frontend.telegram_read import file_id_of, sent_file
from kiebot.adapters.frontend.telegram_send import (
    ADDRESS_S,
    UPLOAD_S,
    TelegramSender,
    UnsendableError,
)
from kiebot.conversation import Conversation
from kiebot.core.dialog.screen import Media
from kiebot.core.errors import (
    FrontendUnavailableError,
    KiebotError,
    MediaError,
    MediaTrouble,
)
from kiebot.core.media import EXTENSIONS, SNIFF_BYTES, MediaKind, SentFile, kind_of, sniff
from kiebot.ports.kie import InputFile

log = logging.getLogger(__name__)

_Sent = TypeVar("_Sent")

MB = 1024 * 1024

GET_BYTES = 20 * MB
PHOTO_BYTES = 10 * MB
UPLOAD_BYTES = 50 * MB
GET_S = 120
"""Seconds for a file of a person to be read. Our choice."""

CHUNK_BYTES = 64 * 1024

HTML = "HTML"

_NATURAL = {
    "image/jpeg": MediaKind.IMAGE,
    "image/png": MediaKind.IMAGE,
    "image/webp": MediaKind.IMAGE,
    "video/mp4": MediaKind.VIDEO,
    "audio/mpeg": MediaKind.AUDIO,
    "audio/mp4": MediaKind.AUDIO,
}
"""What Telegram shows or plays; all else is a document to it."""

_FROM_ADDRESS = (".pdf", ".zip", ".gif")
"""Documents that Telegram loads from an address: no others."""

Item: TypeAlias = InputMediaPhoto | InputMediaVideo | InputMediaAudio | InputMediaDocument


class TelegramFiles:
    """Reads what people attached."""

    def __init__(self, bot: Bot, sender: TelegramSender) -> None:
        self._bot = bot
        self._sender = sender

    @asynccontextmanager
    async def open(self, reference: str) -> AsyncIterator[InputFile]:
        """Read a file by its `telegram:` reference (MediaError)."""
        file_id = file_id_of(reference)
        if not file_id:
            raise MediaError(reference, "no file of Telegram")
        try:
            found = await self._sender.ask(GetFile(file_id=file_id))
        except UnsendableError as error:
            if "too big" in error.why:
                raise _too_large(reference, GET_BYTES) from None
            raise MediaError(reference, error.why) from None
        except KiebotError as error:
            raise MediaError(reference, str(error), MediaTrouble.NOT_NOW) from None
        if not found.file_path:
            raise MediaError(reference, "Telegram does not say where it is")
        if (found.file_size or 0) > GET_BYTES:
            raise _too_large(reference, GET_BYTES)
        # The address has the token in it: it stays out of every message.
        chunks = self._bot.session.stream_content(
            self._bot.session.api.file_url(self._bot.token, found.file_path),
            timeout=GET_S,
            chunk_size=CHUNK_BYTES,
            raise_for_status=True,
        )
        async with aclosing(_guarded(reference, chunks)) as stream:
            head = b""
            async for chunk in stream:
                head += chunk
                if len(head) >= SNIFF_BYTES:
                    break
            yield _Attached(
                name=PurePosixPath(found.file_path).name,
                mime=sniff(head[:SNIFF_BYTES]),
                size=found.file_size,
                head=head,
                rest=stream,
            )


@frozen(kw_only=True)
class _Attached:
    """A file of a person, being read."""

    name: str
    mime: str | None
    size: int | None
    head: bytes = field(repr=False)
    rest: AsyncGenerator[bytes, None] = field(repr=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its content, once; MediaError where reading fails."""
        if self.head:
            yield self.head
        async for chunk in self.rest:
            yield chunk


async def _guarded(
    reference: str, chunks: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """The same, with errors of ours, and not without end."""
    read = 0
    try:
        async with aclosing(chunks) as stream:
            async for chunk in stream:
                read += len(chunk)
                if read > GET_BYTES:
                    raise _too_large(reference, GET_BYTES)
                yield chunk
    except TimeoutError:
        raise MediaError(reference, "it takes too long", MediaTrouble.NOT_NOW) from None
    except aiohttp.ClientResponseError as error:
        trouble = MediaTrouble.NOT_NOW if error.status >= 500 else MediaTrouble.GONE
        raise MediaError(reference, f"HTTP {error.status}", trouble) from None
    except aiohttp.ClientError as error:
        raise MediaError(reference, type(error).__name__, MediaTrouble.NOT_NOW) from None


class Upload(TelegramFile):
    """A file on its way to Telegram. `trouble` is what went wrong at its source, if anything."""

    def __init__(self, file: InputFile, name: str, most_bytes: int) -> None:
        extension = EXTENSIONS.get(file.mime or "")
        super().__init__(filename=f"{name}.{extension}" if extension else name)
        self._file = file
        self._most = most_bytes
        self.trouble: MediaError | None = None

    async def read(self, bot: Bot) -> AsyncGenerator[bytes, None]:  # noqa: ARG002 - aiogram's
        """Its content; an error breaks the request off."""
        sent = 0
        try:
            async for chunk in self._file.chunks():
                sent += len(chunk)
                if sent > self._most:
                    raise _too_large(self._file.name, self._most)
                yield chunk
        except MediaError as error:
            self.trouble = error
            raise


@frozen(kw_only=True)
class Under:
    """What stands under a file."""

    caption: str | None = None
    keyboard: Keyboard | None = None


NOTHING = Under()


class TelegramMedia:
    """Gets results to people, in whatever way works."""

    def __init__(self, conversation: Conversation, sender: TelegramSender) -> None:
        self._conversation = conversation
        self._sender = sender

    async def send(self, chat_id: int, media: Media, under: Under = NOTHING) -> Message | str:
        """
        Send one file; where no way works, why not.

        Raises:
            FrontendRefusedError, FrontendUnavailableError: As in `TelegramSender.send`.
        """
        why = "there is no way to it"
        for way in (self._kept, self._by_address, self._uploaded, self._as_document):
            try:
                message = await way(chat_id, media, under)
            except UnsendableError as error:
                why = error.why
            except MediaError as error:
                why = f"{error.trouble}: {error.why}"
            else:
                if message is not None:
                    await self._remember(media, message)
                    return message
                continue
            log.info(
                "a file cannot go %s: %s", way.__name__.strip("_"), why, extra={"user_id": chat_id}
            )
        return why

    async def send_album(self, chat_id: int, album: Sequence[Media]) -> list[tuple[Media, str]]:
        """
        Send several files together, or else one by one; those for which no way worked, and why.

        Raises:
            FrontendRefusedError, FrontendUnavailableError: As in `TelegramSender.send`.
        """
        for way in (self._together_by_address, self._together_uploaded):
            try:
                messages = await way(chat_id, album)
            except (UnsendableError, MediaError) as error:
                # Not the error itself: it names the file.
                log.info(
                    "an album cannot go %s: %s",
                    way.__name__.strip("_"),
                    error.why,
                    extra={"user_id": chat_id},
                )
                continue
            if messages is not None:
                for media, message in zip(album, messages, strict=False):
                    await self._remember(media, message)
                return []
        lost = []
        for media in album:
            sent = await self.send(chat_id, media)
            if isinstance(sent, str):
                lost.append((media, sent))
        return lost

    # One file

    async def _kept(self, chat_id: int, media: Media, under: Under) -> Message | None:
        own = file_id_of(media.url)
        if own is None:
            kept = await self._copy_of(media)
            if kept is None:
                return None
            method = _method(chat_id, kept.kind, kept.file_id, under)
            return await self._sender.send(chat_id, method)
        # A file can be sent again only as what it is, and the reference does not say that.
        kinds = dict.fromkeys([_shown(media.kind), *_SENT_AS])
        refused: UnsendableError | None = None
        for kind in kinds:
            try:
                return await self._sender.send(chat_id, _method(chat_id, kind, own, under))
            except UnsendableError as error:
                refused = error
        assert refused is not None
        raise refused

    async def _by_address(self, chat_id: int, media: Media, under: Under) -> Message | None:
        if not _is_address(media.url):
            return None
        kind = _shown(media.kind)
        if kind is MediaKind.DOCUMENT and not _path(media.url).endswith(_FROM_ADDRESS):
            return None
        method = _method(chat_id, kind, media.url, under)
        return await self._sender.send(chat_id, method, timeout_s=ADDRESS_S)

    async def _uploaded(self, chat_id: int, media: Media, under: Under) -> Message | None:
        if file_id_of(media.url) is not None:
            return None
        async with self._open(media) as (file, kind):
            return await self._upload(chat_id, media, kind, file, under)

    async def _as_document(self, chat_id: int, media: Media, under: Under) -> Message | None:
        if file_id_of(media.url) is not None:
            return None
        async with self._open(media) as (file, _):
            return await self._upload(chat_id, media, MediaKind.DOCUMENT, file, under)

    async def _upload(
        self, chat_id: int, media: Media, kind: MediaKind, file: InputFile, under: Under
    ) -> Message:
        upload = _upload_of(media, kind, file)
        method = _method(chat_id, kind, upload, under)
        return await self._carry(chat_id, method, [upload])

    # Several

    async def _together_by_address(
        self, chat_id: int, album: Sequence[Media]
    ) -> list[Message] | None:
        items: list[Item] = []
        for media in album:
            kind = _shown(media.kind)
            kept = await self._copy_of(media)
            if kept is not None and kept.kind is kind:
                items.append(_item(kind, kept.file_id))
            elif kind is MediaKind.DOCUMENT or not _is_address(media.url):
                return None
            else:
                items.append(_item(kind, media.url))
        method = SendMediaGroup(chat_id=chat_id, media=list(items))
        return await self._sender.send(chat_id, method, timeout_s=ADDRESS_S, weight=len(items))

    async def _together_uploaded(
        self, chat_id: int, album: Sequence[Media]
    ) -> list[Message] | None:
        if any(file_id_of(media.url) is not None for media in album):
            return None
        async with AsyncExitStack() as stack:
            items: list[Item] = []
            uploads: list[Upload] = []
            for media in album:
                file, kind = await stack.enter_async_context(self._open(media))
                if kind is not _shown(media.kind):
                    return None
                uploads.append(_upload_of(media, kind, file))
                items.append(_item(kind, uploads[-1]))
            method = SendMediaGroup(chat_id=chat_id, media=list(items))
            return await self._carry(chat_id, method, uploads, weight=len(items))

    # Parts of both

    async def _carry(
        self,
        chat_id: int,
        method: TelegramMethod[_Sent],
        uploads: Sequence[Upload],
        weight: float = 1,
    ) -> _Sent:
        try:
            return await self._sender.send(chat_id, method, timeout_s=UPLOAD_S, weight=weight)
        except (FrontendUnavailableError, UnsendableError):
            # A source that breaks off looks as if Telegram had.
            trouble = next((upload.trouble for upload in uploads if upload.trouble), None)
            if trouble is not None:
                raise trouble from None
            raise

    @asynccontextmanager
    async def _open(self, media: Media) -> AsyncIterator[tuple[InputFile, MediaKind]]:
        opened: AbstractAsyncContextManager[InputFile] = self._conversation.open_media(media)
        async with opened as file:
            if kind_of(file.mime) is MediaKind.TEXT and _shown(media.kind) in _SEEN_OR_HEARD:
                raise MediaError(media.url, "a page in place of the file")
            yield file, _as_sent(media.kind, file.mime)

    async def _copy_of(self, media: Media) -> SentFile | None:
        own = file_id_of(media.url)
        if own is not None:
            return SentFile(file_id=own, kind=_shown(media.kind))
        try:
            return await self._conversation.sent_as(media)
        except KiebotError as error:
            log.warning("no copy was looked up: %s", error)
            return None

    async def _remember(self, media: Media, message: Message) -> None:
        sent = sent_file(message)
        if sent is None or file_id_of(media.url) is not None:
            return
        try:
            await self._conversation.remember_sent(media, sent)
        except KiebotError as error:
            # The person has the file; the next time it takes the long way again.
            log.warning("a sent file was not noted: %s", error)


_SENT_AS = (MediaKind.DOCUMENT, MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO)
_SEEN_OR_HEARD = frozenset({MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO})


def _too_large(reference: str, most: int) -> MediaError:
    return MediaError(reference, "it is too large", MediaTrouble.TOO_LARGE, most)


def _shown(kind: MediaKind) -> MediaKind:
    """As what Telegram can show a file of this kind."""
    return kind if kind in _SEEN_OR_HEARD else MediaKind.DOCUMENT


def _as_sent(wanted: MediaKind, mime: str | None) -> MediaKind:
    """As what a file goes by its content; what nobody knows is what it was to be."""
    shown = _shown(wanted)
    if shown is MediaKind.DOCUMENT or mime is None:
        return shown
    return _NATURAL.get(mime, MediaKind.DOCUMENT)


def _is_address(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _path(url: str) -> str:
    return url.partition("?")[0].partition("#")[0].lower()


def _upload_of(media: Media, kind: MediaKind, file: InputFile) -> Upload:
    most = PHOTO_BYTES if kind is MediaKind.IMAGE else UPLOAD_BYTES
    if file.size is not None and file.size > most:
        raise _too_large(media.url, most)
    return Upload(file, media.name, most)


def _method(
    chat_id: int, kind: MediaKind, file: str | TelegramFile, under: Under
) -> TelegramMethod[Message]:
    caption, keys = under.caption, under.keyboard
    form = None if caption is None else HTML
    match kind:
        case MediaKind.IMAGE:
            return SendPhoto(
                chat_id=chat_id, photo=file, caption=caption, parse_mode=form, reply_markup=keys
            )
        case MediaKind.VIDEO:
            return SendVideo(
                chat_id=chat_id,
                video=file,
                caption=caption,
                parse_mode=form,
                reply_markup=keys,
                supports_streaming=True,
            )
        case MediaKind.AUDIO:
            return SendAudio(
                chat_id=chat_id, audio=file, caption=caption, parse_mode=form, reply_markup=keys
            )
        case MediaKind.TEXT | MediaKind.DOCUMENT:
            return SendDocument(
                chat_id=chat_id,
                document=file,
                caption=caption,
                parse_mode=form,
                reply_markup=keys,
                # A picture that was asked for as a file stays one.
                disable_content_type_detection=True,
            )


def _item(kind: MediaKind, file: str | TelegramFile) -> Item:
    match kind:
        case MediaKind.IMAGE:
            return InputMediaPhoto(media=file)
        case MediaKind.VIDEO:
            return InputMediaVideo(media=file, supports_streaming=True)
        case MediaKind.AUDIO:
            return InputMediaAudio(media=file)
        case MediaKind.TEXT | MediaKind.DOCUMENT:
            return InputMediaDocument(media=file)
