"""
Updates of Telegram: asked for, or sent to a webhook; whose they are; and the far side's refusals.

An update is acknowledged when it is stored, and not before: by the next call of `getUpdates`, or by
the status that a webhook is answered with. An update that came twice is stored once.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeAlias, TypeGuard

from aiogram import Bot
from aiogram.client.session.middlewares.base import (
    BaseRequestMiddleware,
    NextRequestMiddlewareType,
)
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import GetUpdates, Response, TelegramMethod
from aiogram.methods.base import TelegramType
from aiohttp import ClientSession, TraceConfig

from kiebot.adapters.frontend.telegram_whole import ForgivingSession
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.ru import RU
from kiebot.core.dialog.texts import Texts
from kiebot.core.errors import ConfigError, KiebotError, StorageError
from kiebot.core.language import Language
from kiebot.core.updates import Update
from kiebot.core.users import UserId
from kiebot.ports.storage import Lead

log = logging.getLogger(__name__)

ALLOWED = ("message", "callback_query", "my_chat_member")
"""What Telegram is to send."""

POLL_S = 25
"""How long Telegram holds a call while nothing happens. Source: `timeout` of getUpdates."""

GRACE_S = 10
"""How much longer we wait for its answer than it holds the call."""

CALL_S = 15
"""Seconds for any other call."""

TEXTS_S = 1.0
"""How long it may take to find out a person's language, for who is asked to wait."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
"""How long to wait after the first failure of several, doubled each time, and at most."""

SHORT_S = 0.3
"""How soon it is asked again at most where Telegram does not hold the call, or repeats itself."""

OFFSET_S = 24 * 60 * 60.0
"""
How long the last offset is kept while nothing comes. Source: after a week without updates their
ids begin anew, at any number ("update_id"), and an offset above it would hide them.
"""

LOOK_S = 0.1
"""How soon it is noticed that we lead again."""

WEBHOOK_PATH = "/telegram/webhook"

CONNECTIONS = 40
"""How many updates Telegram may send at once. Source: `max_connections` of setWebhook."""

LARGEST_ID = 2**52
"""Telegram: an id of a person or chat has at most 52 significant bits, one of an update less."""

TakeIn: TypeAlias = Callable[[Sequence[Update], Lead | None], Awaitable[None]]
"""Stores updates (StorageError, LeadLostError)."""

NoteCall: TypeAlias = Callable[[str, str, float], None]
"""Hears of every call: its method, how it ended (`ok` or the error's class), its seconds."""


class NotLeadingError(AiogramError):
    """Another instance speaks with Telegram now, so nothing was sent."""


class GetRawUpdates(TelegramMethod[list[dict[str, Any]]]):
    """
    `getUpdates`, with its updates as they came.

    What this release does not understand of an update concerns that one alone, and what is stored
    is what Telegram said.
    """

    __returning__ = list[dict[str, Any]]
    __api_method__ = GetUpdates.__api_method__

    offset: int | None = None
    timeout: int | None = None
    allowed_updates: list[str] | None = None


class Watch(BaseRequestMiddleware):
    """Looks at every call of a bot: whether it may be made now, and how it ended."""

    def __init__(self, may_call: Callable[[], bool], note: NoteCall) -> None:
        self._may_call = may_call
        self._note = note

    def look(self, name: str) -> None:
        """
        Refuse a call that may not be made at this moment.

        Raises:
            NotLeadingError: It may not.
        """
        if not self._may_call():
            raise NotLeadingError(f"{name}: another instance leads")

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Response[TelegramType]:
        """Make the call."""
        name = method.__api_method__
        self.look(name)
        began = monotonic()
        outcome = "ok"
        try:
            return await make_request(bot, method)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self._note(name, outcome, monotonic() - began)


class WatchedSession(ForgivingSession):
    """
    A session that looks again right before it writes: to connect, or to come to it among other
    tasks, may have taken long.
    """

    def __init__(self, api: TelegramAPIServer, watch: Watch) -> None:
        super().__init__(api=api)
        self.middleware(watch)
        self._watch = watch
        self._trace = TraceConfig()
        # Each is called before what it is named after, the second in the very step that writes.
        self._trace.on_request_headers_sent.append(self._look)
        self._trace.on_request_chunk_sent.append(self._look)
        self._trace.freeze()

    async def create_session(self) -> ClientSession:
        """See aiogram."""
        session = await super().create_session()
        if self._trace not in session.trace_configs:
            session.trace_configs.append(self._trace)
        return session

    async def _look(self, *_: object) -> None:
        self._watch.look("writing")


def make_bot(token: str, api_url: str, watch: Watch) -> Bot:
    """A bot at a Bot API server. Its session is to be closed."""
    session = WatchedSession(TelegramAPIServer.from_base(api_url), watch)
    return Bot(token, session=session)


def bot_id(token: str) -> str:
    """The id of a token's bot, which Telegram need not be asked for."""
    return token.partition(":")[0]


def read_update(raw: object) -> Update | None:
    """
    An update to be stored; None for what nobody here has to do with.

    Raises:
        ValueError: It is no update.
    """
    if not isinstance(raw, Mapping) or not _is_id(raw.get("update_id")):
        raise ValueError("not an update")
    kind = next((kind for kind in ALLOWED if isinstance(raw.get(kind), Mapping)), None)
    if kind is None:
        return None
    said: Mapping[str, Any] = raw[kind]
    sender = said.get("from")
    user_id = sender.get("id") if isinstance(sender, Mapping) else None
    if not _is_id(user_id) or user_id == 0:
        return None
    message = said.get("message") if kind == "callback_query" else said
    chat = message.get("chat") if isinstance(message, Mapping) else None
    if kind != "my_chat_member" and isinstance(chat, Mapping):
        # A chat with one person has that person's number.
        kind_of_chat = chat.get("type") or ("private" if chat.get("id") == user_id else "group")
        if kind_of_chat != "private":
            return None
    # In ASCII, so that what no database takes stays an escape.
    body = json.dumps(raw, ensure_ascii=True, separators=(",", ":"))
    return Update(id=raw["update_id"], user_id=UserId(user_id), body=body)


class Polling:
    """Asks Telegram for updates while it leads."""

    def __init__(self, bot: Bot, take_in: TakeIn, *, hold_s: int = POLL_S) -> None:
        self._bot = bot
        self._take_in = take_in
        self._hold_s = hold_s
        self._came_at = float("-inf")
        self.is_receiving = False

    async def run(self, lead: Lead) -> None:
        """
        Until the lead is lost, or cancelled.

        Raises:
            ConfigError: Telegram does not know the token.
            LeadLostError: What came was not stored, nor acknowledged.
        """
        offset: int | None = None
        failures = 0
        try:
            while not lead.lost.is_set():
                if not lead.holds():
                    # It is being renewed, or about to be lost.
                    await asyncio.sleep(LOOK_S)
                    continue
                try:
                    offset = await self._receive(offset, lead)
                except (TelegramUnauthorizedError, TelegramNotFound) as error:
                    raise refused_token(error) from None
                except (TimeoutError, AiogramError, StorageError) as error:
                    failures += 1
                    if _is_hooked(error) and await self._unhook() and failures == 1:
                        continue
                    self.is_receiving = self.is_receiving and failures < 3
                    pause_s = _pause(error, failures)
                    log.warning(
                        "no updates: %s", _words(error), extra={"again_in_s": round(pause_s, 1)}
                    )
                    await asyncio.sleep(pause_s)
                else:
                    failures = 0
        finally:
            self.is_receiving = False

    async def _receive(self, offset: int | None, lead: Lead) -> int | None:
        """One call; the offset of the next."""
        # At first Telegram is to answer at once: then it is known that it does.
        hold_s = self._hold_s if self.is_receiving else 0
        asked = GetRawUpdates(offset=offset, timeout=hold_s, allowed_updates=list(ALLOWED))
        began = _now()
        found = await self._bot(asked, request_timeout=hold_s + GRACE_S)
        self.is_receiving = True
        if not found:
            if hold_s and _now() - began < SHORT_S:
                await asyncio.sleep(SHORT_S)
            # All that came is acknowledged, so after a while none is needed any more.
            return offset if _now() - self._came_at < OFFSET_S else None
        self._came_at = _now()
        updates = []
        for raw in found:
            try:
                update = read_update(raw)
            except ValueError:
                log.warning("Telegram sent what is no update")
                continue
            if update is not None:
                updates.append(update)
        if updates:
            # Who was frozen over the call has lost the lead: nothing is stored under it then.
            await self._take_in(updates, lead)
        ids = [raw["update_id"] for raw in found if _is_id(raw.get("update_id"))]
        following = max(ids) + 1 if ids else offset
        if following == offset:
            await asyncio.sleep(SHORT_S)
        return following

    async def _unhook(self) -> bool:
        """Telegram does not answer who asks while a webhook is set; whether it was removed."""
        log.warning("a webhook was set; it is removed, as BOT_MODE is polling")
        try:
            await self._bot.delete_webhook(drop_pending_updates=False, request_timeout=CALL_S)
        except (TimeoutError, AiogramError) as error:
            log.warning("the webhook is not removed: %s", _words(error))
            return False
        return True


class Webhook:
    """Has Telegram send updates to a public address. It is left as it is when this ends."""

    def __init__(self, bot: Bot, address: str, secret: str) -> None:
        self._bot = bot
        self._address = address.rstrip("/") + WEBHOOK_PATH
        self._secret = secret
        self.is_receiving = False

    async def set(self) -> None:
        """
        Tell Telegram, again and again until it hears; what waits there is kept.

        Raises:
            ConfigError: Telegram does not know the token.
        """
        failures = 0
        while not self.is_receiving:
            try:
                await self._bot.set_webhook(
                    self._address,
                    secret_token=self._secret,
                    allowed_updates=list(ALLOWED),
                    max_connections=CONNECTIONS,
                    drop_pending_updates=False,
                    request_timeout=CALL_S,
                )
                self.is_receiving = True
            except (TelegramUnauthorizedError, TelegramNotFound) as error:
                raise refused_token(error) from None
            except (TimeoutError, AiogramError) as error:
                failures += 1
                pause_s = _pause(error, failures)
                log.warning(
                    "the webhook is not set: %s",
                    _words(error),
                    extra={"again_in_s": round(pause_s, 1)},
                )
                await asyncio.sleep(pause_s)


class Bouncer:
    """Says to people that they are too fast, or have to wait."""

    def __init__(self, bot: Bot, texts: Callable[[UserId], Awaitable[Texts]]) -> None:
        self._bot = bot
        self._texts = texts
        self._one_by_one = asyncio.Lock()

    async def turn_away(self, update: Update, is_first: bool) -> None:
        """As well as may be: raises nothing."""
        try:
            words = (await self._texts(update.user_id)).too_fast
            pressed = json.loads(update.body).get("callback_query")
            if pressed is not None:
                await self._bot.answer_callback_query(
                    pressed["id"], text=words, request_timeout=CALL_S
                )
            if is_first:
                await self._bot.send_message(
                    update.user_id, words, parse_mode=None, request_timeout=CALL_S
                )
        except (TimeoutError, AiogramError, KiebotError, LookupError) as error:
            log.debug("not turned away: %s", _words(error), extra={"user_id": update.user_id})

    async def ask_to_wait(self, update: Update) -> None:
        """See `kiebot.reception`; a press is told in an alert, as long as it was not answered."""
        said = json.loads(update.body)
        what = next((said[kind] for kind in ("callback_query", "message") if kind in said), None)
        if what is None:
            return
        words = (await self._texts_of(update.user_id, what)).takes_longer
        try:
            # Many have to wait at once, and Telegram takes only so many messages in a second.
            async with self._one_by_one:
                if what is said.get("callback_query") and await self._is_alerted(what["id"], words):
                    return
                await self._bot.send_message(
                    update.user_id, words, parse_mode=None, request_timeout=CALL_S
                )
        except (TimeoutError, AiogramError, LookupError) as error:
            log.debug("not asked to wait: %s", _words(error), extra={"user_id": update.user_id})

    async def _is_alerted(self, query_id: str, words: str) -> bool:
        try:
            await self._bot.answer_callback_query(
                query_id, text=words, show_alert=True, request_timeout=CALL_S
            )
        except TelegramBadRequest:
            # It was answered when it was stored, or is too old.
            return False
        return True

    async def _texts_of(self, user_id: UserId, what: Mapping[str, Any]) -> Texts:
        """The words for a person; where they are not to be had in time, Telegram's language."""
        try:
            async with asyncio.timeout(TEXTS_S):
                return await self._texts(user_id)
        except (TimeoutError, KiebotError):
            locale = what.get("from", {}).get("language_code")
            return RU if Language.of_locale(locale) is Language.RU else EN


def refused_token(error: AiogramError) -> ConfigError:
    """What is wrong where Telegram does not know the token."""
    why = f"Telegram refuses what was given (not shown): {_words(error)}"
    return ConfigError([f"TELEGRAM_BOT_TOKEN: {why}, takes the bot token as @BotFather gives it"])


def _pause(error: Exception, failures: int) -> float:
    if isinstance(error, TelegramRetryAfter):
        return min(max(float(error.retry_after), FIRST_PAUSE_S), LONGEST_PAUSE_S)
    if isinstance(error, StorageError):
        # It is ours, and people wait for it: it is noticed at once when it is back.
        return FIRST_PAUSE_S
    # Where another one asks, each call of ours ends one of its: there is no hurry.
    doublings = failures + 2 if isinstance(error, TelegramConflictError) else failures - 1
    return min(FIRST_PAUSE_S * 2.0 ** min(doublings, 10), LONGEST_PAUSE_S)


def _is_hooked(error: Exception) -> bool:
    return isinstance(error, TelegramConflictError) and "webhook" in error.message.lower()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _words(error: Exception) -> str:
    """In words for the log; an answer that is no JSON is not repeated there."""
    if isinstance(error, TelegramAPIError | StorageError | KiebotError):
        return str(error)
    return type(error).__name__


def _is_id(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_ID
