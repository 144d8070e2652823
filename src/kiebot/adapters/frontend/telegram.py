"""
TelegramFrontend: the conversation in Telegram, by aiogram.

Updates come from whoever receives and keeps them; here each is read, done, and answered. One
message a screen: a press turns the message it was pressed on into the next screen, a typed answer
gets a new one and the old buttons go. What is shown where is kept in memory alone: when it is
lost, old messages stay as they are, and nothing else.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Generic, TypeVar

from aiogram import Bot, Dispatcher, Router
from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.methods import (
    AnswerCallbackQuery,
    DeleteMessage,
    EditMessageReplyMarkup,
    EditMessageText,
    SendChatAction,
    SetMyCommands,
)
from aiogram.types import (
    BotCommand,
    BotCommandScopeChat,
    CallbackQuery,
    ChatMemberUpdated,
    ErrorEvent,
    Message,
)
from aiogram.types import User as TelegramUser
from attrs import define, evolve, frozen

from kiebot.adapters.frontend.telegram_draw import NO_PREVIEW, Courier, Delivery, Place
from kiebot.adapters.frontend.telegram_files import HTML, TelegramFiles
from kiebot.adapters.frontend.telegram_markup import draw
from kiebot.adapters.frontend.telegram_read import NotUnderstood, attachment, read, writer_of
from kiebot.adapters.frontend.telegram_send import (
    EDIT_WEIGHT,
    Pace,
    TelegramSender,
    UnsendableError,
)
from kiebot.adapters.frontend.telegram_updates import read_update
from kiebot.adapters.frontend.telegram_whole import whole_update
from kiebot.conversation import Conversation
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.menu import message as sentence
from kiebot.core.dialog.ru import RU
from kiebot.core.dialog.screen import Press, Say, Screen
from kiebot.core.dialog.texts import Texts
from kiebot.core.errors import (
    FrontendRefusedError,
    FrontendUnavailableError,
    KiebotError,
    SilencedError,
)
from kiebot.core.language import Language
from kiebot.core.media import MediaKind
from kiebot.core.notices import About, Notice
from kiebot.core.topups import TopUpId
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.kie import InputFile

log = logging.getLogger(__name__)

UPDATES = ("message", "callback_query", "my_chat_member")
"""The kinds of updates that are asked for; all others mean nothing here."""

REPLY_S = 10.0
"""Seconds that an update waits for its reply; after that the reply goes on alone. Our choice."""

REPLY_LATEST_S = 60 * 60.0
"""Seconds after which a reply that nobody was able to take is given up. Our choice."""

PAUSE_S = 30.0
"""The longest pause between two tries of a reply."""

TURN_S = 5.0
"""Seconds that news wait for a reply in the same chat, before they are told later."""

SHOW_S = 300.0
"""Seconds for one screen of news, its files with it; after that it is told later."""

PROGRESS_S = 4.0
"""Seconds between two looks at what is being made; a chat action lasts five."""

CLOSE_S = 2.0
"""Seconds that replies under way have when everything ends."""

DOUBLE_S = 3.0
"""Seconds after which the same button, pressed again for files, is meant. Our choice."""

PEOPLE = 10_000
WATCHED = 500
PRESSES = 10_000
"""How much is remembered of each at most; what was used longest ago is forgotten."""

RUSSIAN = ("ru", "uk", "be", "kk")
"""The languages of Telegram in which Russian is spoken to a person."""

GONE = frozenset({ChatMemberStatus.KICKED, ChatMemberStatus.LEFT})

_ACTIONS = {
    MediaKind.IMAGE: "upload_photo",
    MediaKind.VIDEO: "record_video",
    MediaKind.AUDIO: "record_voice",
    MediaKind.TEXT: "typing",
    MediaKind.DOCUMENT: "upload_document",
}

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A dict that forgets what was used longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """What is remembered of it."""
        if key not in self._kept:
            return None
        self._kept[key] = self._kept.pop(key)
        return self._kept[key]

    def put(self, key: K, value: V) -> None:
        """Remember it."""
        self._kept.pop(key, None)
        self._kept[key] = value
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]

    def pop(self, key: K) -> V | None:
        """Forget it."""
        return self._kept.pop(key, None)

    def keys(self) -> list[K]:
        """All that is remembered."""
        return list(self._kept)

    def items(self) -> list[tuple[K, V]]:
        """All of it."""
        return list(self._kept.items())


@define
class Visitor:
    """
    What is remembered of a person's chat.

    `living` is the message they are led by; `album` the files they sent last together, and the
    message that answers them; `gone` a press whose message was deleted, and `sent` one that sent
    files, with the moment at which they were there, so that a double tap is known; `unfinished`
    news of which a part was shown.
    """

    met_as: tuple[str, str | None, str | None] | None = None
    living: Place | None = None
    album: str | None = None
    album_answer: Place | None = None
    gone: tuple[int, str] | None = None
    sent: tuple[int, str] | None = None
    sent_at: float = 0.0
    unfinished: Delivery | None = None


@frozen
class Watched:
    """What a message that tells how far a job is says now, and whether the job is over."""

    says: str = ""
    is_over: bool = False


@define
class Outcome:
    """What came of an update: the error that its handler raised, if any."""

    is_ours: Callable[[], bool]
    error: Exception | None = None


class TelegramFrontend:
    """
    People in private chats of one bot.

    `bot` is closed by `close`. `admins` get a command of their own in their menu.
    """

    def __init__(
        self,
        conversation: Conversation,
        bot: Bot,
        *,
        admins: Iterable[UserId] = (),
        pace: Pace | None = None,
        reply_s: float = REPLY_S,
    ) -> None:
        self._conversation = conversation
        self._bot = bot
        self._admins = tuple(sorted(admins))
        self._reply_s = reply_s
        self._sender = TelegramSender(bot, pace)
        self._files = TelegramFiles(bot, self._sender)
        self._courier = Courier(conversation, self._sender)
        self._people: Recent[UserId, Visitor] = Recent(PEOPLE)
        self._watched: Recent[tuple[UserId, int], Watched] = Recent(2 * WATCHED)
        self._answered: Recent[str, bool | None] = Recent(PRESSES)
        self._replies: dict[UserId, asyncio.Task[None]] = {}
        self._errands: set[asyncio.Task[bool]] = set()
        self._dispatcher = self._dispatch()

    # The port

    async def handle(
        self, update: Mapping[str, object], is_ours: Callable[[], bool] = lambda: True
    ) -> asyncio.Future[None] | None:
        """See the port."""
        if not update.keys() & set(UPDATES):
            return None
        outcome = Outcome(is_ours)
        try:
            whole = whole_update(update)
            await self._dispatcher.feed_raw_update(self._bot, whole, outcome=outcome)
        except ValueError:
            # Its content is nobody's business, in the log neither.
            log.warning("an update cannot be read", extra={"update_id": update.get("update_id")})
            if (user_id := self._whose(update)) is not None and "my_chat_member" not in update:
                await self._not_understood(user_id, outcome)
        if outcome.error is not None:
            raise outcome.error
        user_id = self._whose(update)
        return None if user_id is None else self._replies.get(user_id)

    async def answer_press(self, update: Mapping[str, object]) -> None:
        """See the port."""
        query = update.get("callback_query")
        number = query.get("id") if isinstance(query, Mapping) else None
        if isinstance(number, str):
            await self._let_go(number)

    async def show(self, user_id: UserId, screen: Screen) -> None:
        """See the port."""
        visitor = self._visitor(user_id)
        delivery = visitor.unfinished
        if delivery is None or delivery.screen != screen:
            delivery = Delivery(user_id=user_id, screen=screen)
        visitor.unfinished = delivery
        try:
            async with asyncio.timeout(SHOW_S), self._sender.turn(user_id, TURN_S):
                await self._courier.deliver(delivery)
                visitor.unfinished = None
                await self._note(delivery)
                if screen.ended is not None:
                    await self._take_away(user_id, screen.ended)
        except TimeoutError:
            raise FrontendUnavailableError("it takes too long") from None
        except FrontendRefusedError:
            visitor.unfinished = None
            raise

    def open(self, reference: str) -> AbstractAsyncContextManager[InputFile]:
        """See the port; 20 MB at most, as Telegram hands out."""
        return self._files.open(reference)

    async def run(self) -> None:
        """Name the commands, then keep progress true, until cancelled."""
        await self.name_commands()
        while True:
            await asyncio.sleep(PROGRESS_S)
            await self.look()

    def share(self, instances: int) -> None:
        """See the port."""
        self._sender.share(instances)

    async def close(self) -> None:
        """See the port."""
        under_way = [*self._replies.values(), *self._errands]
        if under_way:
            await asyncio.wait(under_way, timeout=CLOSE_S)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._bot.session.close()

    # Beside people's answers

    async def name_commands(self) -> None:
        """The menu of commands, in both languages; where it cannot be set, it stays as it was."""
        lists: list[tuple[list[BotCommand], BotCommandScopeChat | None, str | None]] = [
            (_commands(EN), None, None),
            *((_commands(RU), None, code) for code in RUSSIAN),
        ]
        for admin in self._admins:
            chat = BotCommandScopeChat(chat_id=admin)
            lists.append((_commands(EN, is_admin=True), chat, None))
            lists += [(_commands(RU, is_admin=True), chat, code) for code in RUSSIAN]
        for commands, scope, code in lists:
            method = SetMyCommands(commands=commands, scope=scope, language_code=code)
            try:
                await self._sender.ask(method)
            except (KiebotError, UnsendableError) as error:
                # An administrator who never wrote to the bot has no chat yet.
                log.info("commands were not named: %s", error)

    async def look(self) -> None:
        """Bring what is shown of open jobs up to date, as far as Telegram has room for it."""
        try:
            for notice in await self._conversation.notices.of_jobs(WATCHED):
                await self._look_at(notice)
        except KiebotError as error:
            log.debug("progress was not looked up: %s", error)

    async def _look_at(self, notice: Notice) -> None:
        user_id, message_id = notice.user_id, notice.message_id
        watched = self._watched.get((user_id, message_id)) or Watched()
        making = await self._conversation.in_work(user_id, JobId(notice.ref))
        if making is None:
            # The job is over: its news come now, and the next look takes the message away.
            if not watched.is_over:
                self._watched.put((user_id, message_id), evolve(watched, is_over=True))
            elif not self._sender.is_speaking(user_id):
                await self._take_away(user_id, JobId(notice.ref))
            return
        drawing = draw(making.screen)
        says = "".join(drawing.pieces)
        if says != watched.says and notice in await self._conversation.notices.of_person(user_id):
            method = EditMessageText(
                chat_id=user_id,
                message_id=message_id,
                text=says,
                parse_mode=HTML,
                reply_markup=drawing.keyboard,
                link_preview_options=NO_PREVIEW,
            )
            try:
                if await self._sender.spare(user_id, method, EDIT_WEIGHT):
                    self._watched.put((user_id, message_id), Watched(says))
            except UnsendableError as error:
                if not error.is_unmodified:
                    # It was deleted, or is too old.
                    await self._conversation.notices.remove(user_id, [message_id])
                    return
                self._watched.put((user_id, message_id), Watched(says))
        action = SendChatAction(chat_id=user_id, action=_ACTIONS[making.output])
        with suppress(UnsendableError):
            await self._sender.spare(user_id, action, EDIT_WEIGHT)

    # From updates

    def _dispatch(self) -> Dispatcher:
        router = Router(name="kiebot")
        router.message.register(self._on_message)
        router.callback_query.register(self._on_press)
        router.my_chat_member.register(self._on_member)
        router.errors.register(self._on_error)
        dispatcher = Dispatcher(disable_fsm=True)
        dispatcher.include_router(router)
        return dispatcher

    async def _on_error(self, event: ErrorEvent, outcome: Outcome) -> None:
        outcome.error = event.exception

    async def _on_member(self, event: ChatMemberUpdated) -> None:
        if event.chat.type == ChatType.PRIVATE:
            status = event.new_chat_member.status
            log.info("a chat changed", extra={"user_id": event.from_user.id, "status": status})
            if status in GONE:
                notices = await self._conversation.notices.of_person(UserId(event.from_user.id))
                await self._forget(notices)

    async def _on_message(self, message: Message, outcome: Outcome) -> None:
        sender = message.from_user
        if message.chat.type != ChatType.PRIVATE or sender is None or sender.is_bot:
            return
        user_id = UserId(sender.id)
        visitor = self._visitor(user_id)
        album = message.media_group_id
        is_more = album is not None and album == visitor.album
        did = read(message, is_more=is_more)
        if did is None:
            return
        visitor.sent = None
        await self._meet(sender)
        if message.forward_origin and await self._conversation.asks_for_person(user_id):
            did = Say(writer_of(message.forward_origin))
        if isinstance(did, NotUnderstood):
            await self._not_understood(user_id, outcome)
            return
        screen = await self._conversation.handle(user_id, did)
        # The files of an album are answered by one message, which says what all of them led to.
        onto = visitor.album_answer if is_more and not screen.media else None
        delivery = Delivery(user_id=user_id, screen=screen, onto=onto)
        visitor.album = album
        await self._reply(delivery, visitor, outcome)
        visitor.album_answer = delivery.shown

    async def _not_understood(self, user_id: UserId, outcome: Outcome) -> None:
        t = await self._conversation.texts(user_id)
        delivery = Delivery(user_id=user_id, screen=_hint(t))
        await self._reply(delivery, self._visitor(user_id), outcome)

    async def _on_press(self, query: CallbackQuery, outcome: Outcome) -> None:
        self._errand(self._let_go(query.id))
        message = query.message
        if query.from_user.is_bot or (message and message.chat.type != ChatType.PRIVATE):
            return
        user_id = UserId(query.from_user.id)
        visitor = self._visitor(user_id)
        await self._meet(query.from_user)
        data = query.data or ""
        screen = await self._conversation.handle(user_id, Press.of(data))
        pressed = None
        if isinstance(message, Message):
            pressed = Place(message_id=message.message_id, is_text=attachment(message) is None)
            if screen.media and self._is_double_tap(visitor, user_id, (pressed.message_id, data)):
                return
        if pressed is not None and screen.media and _decides(data):
            # The receipt is here already; what was decided is said where it was asked.
            screen = evolve(screen, media=())
            onto: Place | None = pressed
        else:
            onto = pressed if pressed and pressed.is_text and not screen.media else None
        visitor.sent = (pressed.message_id, data) if pressed and screen.media else None
        delivery = Delivery(user_id=user_id, screen=screen, onto=onto)
        await self._reply(delivery, visitor, outcome, pressed, data)

    def _is_double_tap(self, visitor: Visitor, user_id: UserId, press: tuple[int, str]) -> bool:
        """Whether the files that a press asks for are there already, or on their way."""
        if press == visitor.gone:
            return True
        since = asyncio.get_running_loop().time() - visitor.sent_at
        return press == visitor.sent and (user_id in self._replies or since < DOUBLE_S)

    async def _meet(self, person: TelegramUser) -> None:
        """Make a person known, again where their name changed."""
        visitor = self._visitor(UserId(person.id))
        as_now = (person.full_name, person.username, person.language_code)
        if visitor.met_as != as_now:
            language = Language.of_locale(person.language_code)
            await self._conversation.meet(
                UserId(person.id), person.full_name, language, person.username
            )
            visitor.met_as = as_now

    # Replies

    async def _reply(
        self,
        delivery: Delivery,
        visitor: Visitor,
        outcome: Outcome,
        pressed: Place | None = None,
        data: str = "",
    ) -> None:
        """Show a reply; what was not delivered yet of an earlier one is over with."""
        user_id = delivery.user_id
        if not outcome.is_ours():
            # What was read may be what another instance has just stored for the same update.
            raise SilencedError("another instance may serve the person")
        earlier = self._replies.pop(user_id, None)
        if earlier is not None:
            earlier.cancel()
            await asyncio.wait({earlier})

        async def show() -> None:
            await self._courier.deliver(delivery)
            await self._settle(delivery, visitor, pressed, data)

        # In a context of its own: what it notes is no part of what the update asks for.
        until_shown = self._until_shown(user_id, show)
        reply = asyncio.create_task(until_shown, context=contextvars.Context())
        self._replies[user_id] = reply
        reply.add_done_callback(lambda _: self._replied(user_id, reply))
        # The next update of this person, and the place of this one, are not held up for long.
        await asyncio.wait({reply}, timeout=self._reply_s)
        if reply.done() and not reply.cancelled():
            reply.result()

    def _replied(self, user_id: UserId, reply: asyncio.Task[None]) -> None:
        if not reply.cancelled() and (error := reply.exception()) is not None:
            log.info("no reply was given: %s", error, extra={"user_id": user_id})
        if self._replies.get(user_id) is reply:
            del self._replies[user_id]

    async def _until_shown(self, user_id: UserId, show: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        latest, pause = loop.time() + REPLY_LATEST_S, 1.0
        # News in this chat come after what was answered before them.
        async with self._sender.turn(user_id):
            while loop.time() < latest:
                try:
                    await show()
                except FrontendRefusedError as error:
                    log.info("nobody reads the reply: %s", error, extra={"user_id": user_id})
                    return
                except SilencedError:
                    # Whoever serves the person now says where they are: perhaps we ourselves.
                    raise
                except KiebotError as error:
                    retry_s = getattr(error, "retry_s", None) or 0.0
                    log.warning("the reply waits: %s", error, extra={"user_id": user_id})
                    await asyncio.sleep(max(pause, retry_s))
                    pause = min(pause * 2, PAUSE_S)
                except Exception:
                    log.exception("the reply failed", extra={"user_id": user_id})
                    return
                else:
                    return
        log.error("the reply was given up", extra={"user_id": user_id})

    async def _settle(
        self, delivery: Delivery, visitor: Visitor, pressed: Place | None, data: str
    ) -> None:
        """What becomes of the messages before this one."""
        user_id, screen, shown = delivery.user_id, delivery.screen, delivery.shown
        before = visitor.living
        visitor.living = shown
        visitor.sent_at = asyncio.get_running_loop().time()
        if shown is None:
            return
        notices = await self._conversation.notices.of_person(user_id)
        moved_on = {shown.message_id}
        is_new = pressed is None or pressed.message_id != shown.message_id
        if pressed is not None and pressed.is_text and screen.media and is_new:
            moved_on.add(pressed.message_id)
            visitor.gone = (pressed.message_id, data)
            method = DeleteMessage(chat_id=user_id, message_id=pressed.message_id)
            await self._sender.attempt(user_id, method, EDIT_WEIGHT)
        await self._forget([notice for notice in notices if notice.message_id in moved_on])
        if screen.review is not None:
            requests = await self._conversation.notices.of_topup(screen.review)
            here = (user_id, shown.message_id)
            others = [one for one in requests if (one.user_id, one.message_id) != here]
            self._errand(self._review_elsewhere(others))
        await self._note(delivery)
        is_over = (
            before is not None
            and before.is_text
            and before.message_id not in moved_on
            and before.message_id != shown.message_id
            and not any(
                notice.about is About.JOB and notice.message_id == before.message_id
                for notice in notices
            )
        )
        if before is not None and is_over and is_new:
            bare = EditMessageReplyMarkup(chat_id=user_id, message_id=before.message_id)
            await self._sender.attempt(user_id, bare, EDIT_WEIGHT)

    # Messages that go on telling something

    async def _note(self, delivery: Delivery) -> None:
        """Keep which message tells how far a job is, or what became of a request."""
        screen, shown, user_id = delivery.screen, delivery.shown, delivery.user_id
        if shown is None:
            return
        if screen.in_work is not None:
            notice = Notice(
                user_id=user_id,
                message_id=shown.message_id,
                about=About.JOB,
                ref=screen.in_work,
            )
            self._watched.put((user_id, shown.message_id), Watched("".join(draw(screen).pieces)))
            await self._conversation.notices.put(notice)
        elif screen.review is not None:
            notice = Notice(
                user_id=user_id,
                message_id=shown.message_id,
                about=About.TOPUP,
                ref=screen.review,
                has_file=not shown.is_text,
            )
            await self._conversation.notices.put(notice)

    async def _forget(self, notices: Sequence[Notice]) -> None:
        """These messages tell something else now."""
        for notice in notices:
            self._watched.pop((notice.user_id, notice.message_id))
            await self._conversation.notices.remove(notice.user_id, [notice.message_id])

    async def _take_away(self, user_id: UserId, job_id: JobId) -> None:
        """The news are there: the message that told how far it was is needed no more."""
        for notice in await self._conversation.notices.of_person(user_id):
            if (notice.about, notice.ref) == (About.JOB, job_id):
                await self._forget([notice])
                method = DeleteMessage(chat_id=user_id, message_id=notice.message_id)
                await self._sender.attempt(user_id, method, EDIT_WEIGHT)

    async def _review_elsewhere(self, requests: Sequence[Notice]) -> bool:
        """Say in these messages of administrators what one of them decided."""
        for request in requests:
            user_id = request.user_id
            place = Place(message_id=request.message_id, is_text=not request.has_file)
            try:
                screen = await self._conversation.review(user_id, TopUpId(request.ref))
                if screen is not None:
                    async with self._sender.turn(user_id, TURN_S):
                        await self._courier.edit(user_id, evolve(screen, media=()), place)
            except (KiebotError, UnsendableError) as error:
                # Whoever presses there is told what was decided.
                log.info("a request was not brought up to date: %s", error)
        return True

    # Presses

    def _errand(self, errand: Coroutine[Any, Any, bool]) -> None:
        task = asyncio.create_task(errand, context=contextvars.Context())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _let_go(self, query_id: str) -> bool:
        """Answer a press, once; whether that was done."""
        if self._answered.get(query_id):
            return True
        self._answered.put(query_id, True)
        try:
            await self._sender.ask(AnswerCallbackQuery(callback_query_id=query_id))
        except UnsendableError as error:
            # It is too old: the button is free again by itself.
            log.debug("a press was not answered: %s", error.why)
        except KiebotError as error:
            self._answered.pop(query_id)
            log.info("a press was not answered: %s", error)
            return False
        except Exception:
            log.exception("a press was not answered")
            return False
        return True

    @staticmethod
    def _whose(update: Mapping[str, object]) -> UserId | None:
        try:
            known = read_update(update)
        except ValueError:
            return None
        return None if known is None else known.user_id

    def _visitor(self, user_id: UserId) -> Visitor:
        visitor = self._people.get(user_id)
        if visitor is None:
            visitor = Visitor()
            self._people.put(user_id, visitor)
        return visitor


def _hint(t: Texts) -> Screen:
    """To what nobody understands; what was asked stays asked."""
    return sentence(t, t.telegram_not_understood)


def _decides(data: str) -> bool:
    """Whether a press is about a request that the message it was pressed on shows."""
    return data.startswith(("admin:topup:approve:", "admin:topup:amount:", "admin:topup:reject:"))


def _commands(t: Texts, *, is_admin: bool = False) -> list[BotCommand]:
    """The commands, as the help lists them."""
    found = []
    for line in t.commands.splitlines():
        name, _, about = line.partition(" — ")
        found.append(BotCommand(command=name.removeprefix("/"), description=about))
    if is_admin:
        found.append(BotCommand(command="admin", description=t.button_admin))
    return found
