"""
Sending to Telegram: within its limits, each chat in order, every way it can refuse told apart.

One slow chat is waited for by nobody else: what is shared by all is only the pace.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramRetryAfter,
)
from aiogram.methods import TelegramMethod
from aiolimiter import AsyncLimiter
from attrs import define, field, frozen

from kiebot.adapters.frontend.telegram_updates import NotLeadingError
from kiebot.core.errors import FrontendRefusedError, FrontendUnavailableError, SilencedError

log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_S = 15
"""Seconds for a call that carries no file."""

ADDRESS_S = 60
"""Seconds for one with an address: Telegram answers when it has loaded the file. Our choice."""

UPLOAD_S = 180
"""Seconds for one that carries a file: 50 MB at 3 Mbit/s. Our choice."""

TRIES = 3
"""How often a call is made that does no harm when it is made twice."""

PAUSE_S = 0.5
"""Seconds before such a call is made again; doubled each time."""

SLOWEST = 0.5
"""Messages a second that each of very many instances may still send."""

EDIT_WEIGHT = 0.5
"""What an edit counts among the messages of a chat; Telegram does not say."""

IDLE_S = 120.0
"""After so many seconds a chat is forgotten that nothing was sent to."""

CHATS = 2000
"""Chats that are known before those are forgotten."""

_NOBODY = (
    "chat not found",
    "user not found",
    "user is deactivated",
    "bot was blocked",
    "bot can't initiate",
    "peer_id_invalid",
    "input_user_deactivated",
    "user_is_blocked",
)


class UnsendableError(Exception):
    """Telegram will not take this message, however often it is sent; `why` is its word for it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    @property
    def is_unmodified(self) -> bool:
        """An edit that would change nothing."""
        return "not modified" in self.why


@frozen(kw_only=True)
class Pace:
    """
    How fast Telegram is sent to: messages a second, and how many at once after a silence.

    30 a second in all, one a second in a chat, with short bursts ("Bots FAQ"): a rate and its burst
    together are never more than 30 in a second. Who is told to wait longer than `patience_s` is
    told later.
    """

    rate: float = 26
    burst: float = 4
    chat_rate: float = 1
    chat_burst: float = 3
    spare_rate: float = 8
    patience_s: float = 5

    def limiter(self, instances: int = 1) -> AsyncLimiter:
        """The part of one of so many: all of them together are never faster than one alone."""
        burst = max(self.burst / instances, 1)
        rate = max((self.rate + self.burst) / instances - burst, SLOWEST)
        return AsyncLimiter(burst, burst / rate)

    def chat_limiter(self) -> AsyncLimiter:
        return AsyncLimiter(self.chat_burst, self.chat_burst / self.chat_rate)

    def spare_limiter(self) -> AsyncLimiter:
        """For what may be dropped: it must not take the place of what may not."""
        return AsyncLimiter(self.spare_rate, 1)


@define
class _Chat:
    """One chat: who speaks in it, how fast, and until when Telegram wants silence."""

    limiter: AsyncLimiter
    speaking: asyncio.Lock = field(factory=asyncio.Lock)
    quiet_until: float = 0.0
    used_at: float = 0.0


class TelegramSender:
    """The one way in which anything is sent."""

    def __init__(self, bot: Bot, pace: Pace | None = None) -> None:
        self._bot = bot
        self._pace = pace or Pace()
        self._all = self._pace.limiter()
        self._instances = 1
        self._spare = self._pace.spare_limiter()
        self._chats: dict[int, _Chat] = {}

    def share(self, instances: int) -> None:
        """Keep to the part of one of so many that send."""
        if instances != self._instances:
            self._instances = instances
            self._all = self._pace.limiter(instances)

    @asynccontextmanager
    async def turn(self, chat_id: int, wait_s: float | None = None) -> AsyncIterator[None]:
        """
        The right to speak in a chat until the block ends: whole screens, in the order of asking.

        Raises:
            FrontendUnavailableError: Somebody else spoke for longer than `wait_s`.
        """
        speaking = self._chat(chat_id).speaking
        try:
            async with asyncio.timeout(wait_s):
                await speaking.acquire()
        except TimeoutError:
            raise FrontendUnavailableError("what came before is not delivered yet") from None
        try:
            yield
        finally:
            speaking.release()

    def is_speaking(self, chat_id: int) -> bool:
        """Whether somebody has the right to speak there now."""
        return self._chat(chat_id).speaking.locked()

    async def send(
        self,
        chat_id: int,
        method: TelegramMethod[T],
        *,
        again: bool = False,
        timeout_s: int = CALL_S,
        weight: float = 1,
    ) -> T:
        """
        Call a method that shows something in a chat.

        `again`: it does no harm to be called twice, so no answer is no reason to give up at once.
        A method with a file is called once: a file is read once.

        Raises:
            FrontendRefusedError: There is nobody to talk to.
            FrontendUnavailableError: Not now.
            UnsendableError: Not this.
        """
        chat = self._chat(chat_id)
        in_chat = min(weight, self._pace.chat_burst)
        for left in reversed(range(TRIES)):
            await self._keep_quiet(chat)
            await chat.limiter.acquire(in_chat)
            for _ in range(math.ceil(weight)):
                # One by one: a limiter lets those go first who want less, and an album would wait
                # for as long as anybody else has anything to say.
                await self._all.acquire()
            try:
                return await self._call(method, timeout_s)
            except FrontendUnavailableError as error:
                if error.retry_s is not None:
                    chat.quiet_until = _now() + error.retry_s
                    may_again = timeout_s == CALL_S and error.retry_s <= self._pace.patience_s
                else:
                    may_again = again
                if not left or not may_again:
                    raise
                if error.retry_s is None:
                    await asyncio.sleep(PAUSE_S * 2 ** (TRIES - 1 - left))
        raise AssertionError("the last try returns or raises")

    async def ask(self, method: TelegramMethod[T], *, timeout_s: int = CALL_S) -> T:
        """
        Call a method that shows nothing and does no harm to be called twice. Errors as in `send`.
        """
        for left in reversed(range(TRIES)):
            try:
                return await self._call(method, timeout_s)
            except FrontendUnavailableError as error:
                pause = error.retry_s or PAUSE_S * 2 ** (TRIES - 1 - left)
                if not left or pause > self._pace.patience_s:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def attempt(self, chat_id: int, method: TelegramMethod[T], weight: float = 1) -> bool:
        """Call it where that works; whether it did. For what nobody misses."""
        try:
            await self.send(chat_id, method, weight=weight)
        except (FrontendRefusedError, FrontendUnavailableError, UnsendableError) as error:
            log.debug("not done: %s", error, extra={"user_id": chat_id})
            return False
        return True

    async def spare(self, chat_id: int, method: TelegramMethod[T], weight: float = 1) -> bool:
        """
        Call it only where nothing else waits to be sent; whether it was done.

        Raises:
            UnsendableError: Not this, now or later.
        """
        chat = self._chat(chat_id)
        is_free = (
            not chat.speaking.locked()
            and chat.quiet_until <= _now()
            and chat.limiter.has_capacity(weight)
            and self._spare.has_capacity()
            and self._all.has_capacity()
        )
        if not is_free:
            return False
        await self._spare.acquire()
        try:
            await self.send(chat_id, method, weight=weight)
        except (FrontendRefusedError, FrontendUnavailableError) as error:
            log.debug("not done: %s", error, extra={"user_id": chat_id})
            return False
        return True

    async def _call(self, method: TelegramMethod[T], timeout_s: int) -> T:
        try:
            return await self._bot(method, request_timeout=timeout_s)
        except TelegramRetryAfter as error:
            raise FrontendUnavailableError("too many messages", error.retry_after) from None
        except (TelegramForbiddenError, TelegramMigrateToChat) as error:
            raise FrontendRefusedError(error.message) from None
        except TelegramEntityTooLarge as error:
            raise UnsendableError(error.message) from None
        except TelegramBadRequest as error:
            if any(sign in error.message.lower() for sign in _NOBODY):
                raise FrontendRefusedError(error.message) from None
            raise UnsendableError(error.message) from None
        except ClientDecodeError:
            # A proxy's page in place of an answer; its words are not for the log.
            raise FrontendUnavailableError("an answer that is none") from None
        except TelegramAPIError as error:
            raise FrontendUnavailableError(f"{type(error).__name__}: {error.message}") from None
        except NotLeadingError as error:
            raise SilencedError(str(error)) from None
        except AiogramError as error:
            raise FrontendUnavailableError(type(error).__name__) from None

    async def _keep_quiet(self, chat: _Chat) -> None:
        left = chat.quiet_until - _now()
        if left > self._pace.patience_s:
            raise FrontendUnavailableError("Telegram wants silence", left)
        if left > 0:
            await asyncio.sleep(left)

    def _chat(self, chat_id: int) -> _Chat:
        if len(self._chats) >= CHATS and chat_id not in self._chats:
            self._forget()
        chat = self._chats.setdefault(chat_id, _Chat(self._pace.chat_limiter()))
        chat.used_at = _now()
        return chat

    def _forget(self) -> None:
        """Chats that nothing is known of that a new one would not have."""
        now = _now()
        for chat_id, chat in list(self._chats.items()):
            since = now - max(chat.used_at, chat.quiet_until)
            if since > IDLE_S and not chat.speaking.locked():
                del self._chats[chat_id]


def _now() -> float:
    return asyncio.get_running_loop().time()
