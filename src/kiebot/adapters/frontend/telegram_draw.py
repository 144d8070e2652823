"""
A screen on its way into a chat: what is edited, what is sent, and what goes in its place where
Telegram refuses it.
"""

import logging
from collections.abc import Sequence

from aiogram.methods import EditMessageCaption, EditMessageText, SendDocument, SendMessage
from aiogram.types import BufferedInputFile, LinkPreviewOptions, Message
from aiogram.types import InlineKeyboardMarkup as Keyboard
from attrs import define, evolve, field, frozen

from kiebot.adapters.frontend.telegram_files import HTML, TelegramMedia, Under
from kiebot.adapters.frontend.telegram_markup import (
    CAPTION_UNITS,
    clean,
    draw,
    markup,
    plain,
    units,
)
from kiebot.adapters.frontend.telegram_send import (
    EDIT_WEIGHT,
    UPLOAD_S,
    TelegramSender,
    UnsendableError,
)
from kiebot.conversation import Conversation
from kiebot.core.dialog.screen import Media, Screen
from kiebot.core.dialog.texts import Texts
from kiebot.core.errors import KiebotError
from kiebot.core.users import UserId

log = logging.getLogger(__name__)

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@frozen(kw_only=True)
class Place:
    """A message of ours that can be turned into the next screen; `is_text`, or what has a file."""

    message_id: int
    is_text: bool = True


@define(kw_only=True)
class Delivery:
    """
    A screen on its way. Where it was interrupted, `Courier.deliver` goes on.

    `onto` is the message to be turned into it, None for a new one. `shown` is the message that has
    the buttons, once it is there.
    """

    user_id: UserId
    screen: Screen
    onto: Place | None = None
    shown: Place | None = None
    albums_done: int = 0
    pieces_done: int = 0
    is_file_done: bool = False
    lost: list[tuple[Media, str]] = field(factory=list)


class Courier:
    """Brings screens into chats."""

    def __init__(self, conversation: Conversation, sender: TelegramSender) -> None:
        self._conversation = conversation
        self._sender = sender
        self._media = TelegramMedia(conversation, sender)

    async def deliver(self, delivery: Delivery) -> None:
        """
        Show all of a screen that is not shown yet.

        Raises:
            FrontendRefusedError, FrontendUnavailableError: As in `TelegramSender.send`.
            StorageError: The person's language cannot be looked up.
        """
        if delivery.shown is not None:
            return
        screen = delivery.screen
        if screen.media:
            if await self._under_the_file(delivery):
                return
            await self._files(delivery)
            screen = evolve(screen, media=())
            if delivery.lost:
                t = await self._conversation.texts(delivery.user_id)
                links = _in_place_of(t, [media for media, _ in delivery.lost])
                screen = evolve(screen, text=f"{screen.text}\n\n{links}")
        elif delivery.onto is not None and not delivery.onto.is_text:
            delivery.shown = await self._recaption(delivery.user_id, screen, delivery.onto)
            return
        await self._text(delivery, screen)

    async def edit(self, user_id: UserId, screen: Screen, onto: Place) -> None:
        """
        Turn a message into a screen without files; nothing where it is gone, or where it does not
        fit there. Errors as in `deliver`.
        """
        drawing = draw(screen)
        if onto.is_text and len(drawing.pieces) == 1:
            await self._edit(user_id, drawing.pieces[0], drawing.keyboard, onto)
        elif not onto.is_text:
            await self._caption(user_id, screen, onto)

    # Files

    async def _under_the_file(self, delivery: Delivery) -> bool:
        """All in one message: the file, the text under it, the buttons."""
        drawing = draw(delivery.screen)
        if drawing.caption is None or delivery.lost or delivery.albums_done:
            return False
        under = Under(caption=drawing.caption, keyboard=drawing.keyboard)
        media = delivery.screen.media[0]
        sent = await self._media.send(delivery.user_id, media, under)
        if isinstance(sent, Message):
            delivery.shown = Place(message_id=sent.message_id, is_text=False)
            return True
        await self._lost(delivery, [(media, sent)])
        delivery.albums_done += 1
        return False

    async def _files(self, delivery: Delivery) -> None:
        albums = draw(delivery.screen).albums
        for album in albums[delivery.albums_done :]:
            if len(album) > 1:
                lost = await self._media.send_album(delivery.user_id, album)
            else:
                sent = await self._media.send(delivery.user_id, album[0])
                lost = [(album[0], sent)] if isinstance(sent, str) else []
            delivery.albums_done += 1
            await self._lost(delivery, lost)

    async def _lost(self, delivery: Delivery, lost: Sequence[tuple[Media, str]]) -> None:
        delivery.lost += lost
        for media, why in lost:
            log.error(
                "a file could be sent in no way: %s",
                why,
                extra={"user_id": delivery.user_id, "file": media.name},
            )
            try:
                await self._conversation.report_not_sent(delivery.user_id, media, why)
            except KiebotError as error:
                log.warning("administrators were not told: %s", error)

    # Words

    async def _text(self, delivery: Delivery, screen: Screen) -> None:
        drawing = draw(screen)
        user_id, last = delivery.user_id, len(drawing.pieces) - 1
        if last and screen.body and not delivery.is_file_done:
            await self._as_file(user_id, screen.body)
            delivery.is_file_done = True
        for number in range(delivery.pieces_done, last + 1):
            piece = drawing.pieces[number]
            keys = drawing.keyboard if number == last else None
            place = None
            if number == 0 and delivery.onto is not None and not delivery.screen.media:
                place = await self._edit(user_id, piece, keys, delivery.onto)
            if place is None:
                place = await self._say(user_id, piece, keys)
            delivery.pieces_done += 1
            if number == last:
                delivery.shown = place

    async def _say(self, user_id: UserId, piece: str, keys: Keyboard | None) -> Place | None:
        """One message; where Telegram will not have it, without what it may not like."""
        forms = ((piece, HTML, keys), (plain(piece), None, keys), (plain(piece), None, None))
        for text, form, keyboard in forms:
            method = SendMessage(
                chat_id=user_id,
                text=text,
                parse_mode=form,
                reply_markup=keyboard,
                link_preview_options=NO_PREVIEW,
            )
            try:
                sent = await self._sender.send(user_id, method)
            except UnsendableError as error:
                # Whatever it was, the next message must not wait for it for ever.
                log.error("a message was refused: %s", error.why, extra={"user_id": user_id})  # noqa: TRY400
            else:
                return Place(message_id=sent.message_id)
        return None

    async def _edit(
        self, user_id: UserId, piece: str, keys: Keyboard | None, onto: Place
    ) -> Place | None:
        """Turn a message into this; None where that message is gone, or is too old."""
        method = EditMessageText(
            chat_id=user_id,
            message_id=onto.message_id,
            text=piece,
            parse_mode=HTML,
            reply_markup=keys,
            link_preview_options=NO_PREVIEW,
        )
        try:
            await self._sender.send(user_id, method, again=True, weight=EDIT_WEIGHT)
        except UnsendableError as error:
            if not error.is_unmodified:
                log.info("sent anew: %s", error.why, extra={"user_id": user_id})
                return None
        return onto

    async def _recaption(self, user_id: UserId, screen: Screen, onto: Place) -> Place | None:
        """Other words under a file that stays; a message of its own where they do not fit there."""
        if await self._caption(user_id, screen, onto):
            return onto
        delivery = Delivery(user_id=user_id, screen=screen)
        await self._text(delivery, screen)
        return delivery.shown

    async def _caption(self, user_id: UserId, screen: Screen, onto: Place) -> bool:
        text = clean(screen.text)
        if units(text) > CAPTION_UNITS:
            return False
        method = EditMessageCaption(
            chat_id=user_id,
            message_id=onto.message_id,
            caption=markup(text, screen.copyable),
            parse_mode=HTML,
            reply_markup=draw(screen).keyboard,
        )
        try:
            await self._sender.send(user_id, method, again=True, weight=EDIT_WEIGHT)
        except UnsendableError as error:
            return error.is_unmodified
        return True

    async def _as_file(self, user_id: UserId, body: str) -> None:
        t = await self._conversation.texts(user_id)
        name = f"{t.telegram_result_file}.txt"
        content = body.encode("utf-8", "replace")
        method = SendDocument(chat_id=user_id, document=BufferedInputFile(content, name))
        try:
            await self._sender.send(user_id, method, timeout_s=UPLOAD_S)
        except UnsendableError as error:
            # The words themselves follow.
            log.warning("a text went without its file: %s", error.why, extra={"user_id": user_id})


def _in_place_of(t: Texts, lost: Sequence[Media]) -> str:
    """What stands in a screen in place of files that could not be sent."""
    links = [media.url for media in lost if media.url.startswith(("https://", "http://"))]
    lines = [t.telegram_links, *links] if links else []
    silent = len(lost) - len(links)
    if silent:
        lines.append(t.telegram_not_loaded(silent))
    return "\n".join(lines)
