"""Telegram's limits are kept on every send, and each of its refusals is told apart."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.methods import EditMessageText, SendMessage, TelegramMethod
from aiogram.types import Chat, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from kiebot.adapters.frontend import telegram_send
from kiebot.adapters.frontend.telegram_send import (
    CHATS,
    IDLE_S,
    TRIES,
    Pace,
    TelegramSender,
    UnsendableError,
)
from kiebot.core.errors import FrontendRefusedError, FrontendUnavailableError
from tests.fakes.leap import leap

TOKEN = "42:TEST"
OVERALL = 30
"""Messages that Telegram takes in a second. Source: the bots FAQ."""


class FarSide(BaseSession):
    """Telegram, as an answer in words: notes when what came, and says what it is told to."""

    def __init__(self, *says: tuple[int, str]) -> None:
        super().__init__()
        self.calls: list[tuple[float, int]] = []
        self.silent: set[int] = set()
        self._says = list(says)

    async def make_request(
        self,
        bot: Bot,
        method: TelegramMethod[Any],
        timeout: int | None = None,  # noqa: ASYNC109 - aiogram's
    ) -> Any:
        chat_id = getattr(method, "chat_id", 0)
        self.calls.append((asyncio.get_running_loop().time(), chat_id))
        if chat_id in self.silent:
            await asyncio.sleep(timeout or 10**6)
        if self._says:
            status, content = self._says.pop(0)
            return self.check_response(bot, method, status, content).result
        return Message(
            message_id=len(self.calls),
            date=datetime(2026, 1, 1, tzinfo=UTC),
            chat=Chat(id=chat_id, type="private"),
        )

    async def stream_content(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        yield b""

    async def close(self) -> None:
        """Nothing is open."""

    def times(self, chat_id: int | None = None) -> list[float]:
        return [at for at, chat in self.calls if chat_id in {None, chat}]


def error(code: int, why: str, **parameters: int) -> tuple[int, str]:
    more = ",".join(f'"{name}":{value}' for name, value in parameters.items())
    return code, (
        f'{{"ok":false,"error_code":{code},"description":"{why}","parameters":{{{more}}}}}'
    )


def flood(seconds: int) -> tuple[int, str]:
    return error(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)


def told(chat_id: int = 1) -> SendMessage:
    return SendMessage(chat_id=chat_id, text="x")


def edited(chat_id: int = 1) -> EditMessageText:
    return EditMessageText(chat_id=chat_id, message_id=1, text="x")


def sender_to(far: FarSide, pace: Pace | None = None) -> TelegramSender:
    return TelegramSender(Bot(TOKEN, session=far), pace)


def soon(seconds: float) -> Any:
    """At this moment, or as soon after it as a loop comes round."""
    return pytest.approx(seconds, abs=0.01)


def at_most(times: list[float], most: int) -> bool:
    """Whether in no second there are more than this."""
    return all(sum(start <= at < start + 0.999 for at in times) <= most for start in times)


# --- Pace


def test_a_chat_gets_one_message_a_second_after_a_short_burst() -> None:
    far = FarSide()

    async def story() -> None:
        sender = sender_to(far)
        for _ in range(10):
            await sender.send(1, told())

    leap(story())

    assert far.times() == [soon(at) for at in (0, 0, 0, 1, 2, 3, 4, 5, 6, 7)]


@settings(max_examples=20)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=300))
def test_all_chats_together_get_no_more_than_telegram_takes(chats: list[int]) -> None:
    far = FarSide()

    async def story() -> None:
        sender = sender_to(far)
        await asyncio.gather(*(sender.send(chat, told(chat)) for chat in chats))

    leap(story())

    assert len(far.calls) == len(chats)
    assert at_most(far.times(), OVERALL)


@pytest.mark.parametrize("instances", [1, 2, 3, 7, 20])
def test_instances_together_send_no_more_than_telegram_takes(instances: int) -> None:
    far = FarSide()

    async def story() -> None:
        senders = [sender_to(far) for _ in range(instances)]
        for sender in senders:
            sender.share(instances)
        sending = [
            sender.send(1000 * number + chat, told(1000 * number + chat))
            for number, sender in enumerate(senders)
            for chat in range(40)
        ]
        await asyncio.gather(*sending)

    leap(story())

    assert len(far.calls) == 40 * instances
    assert at_most(far.times(), OVERALL)


def test_one_silent_chat_holds_up_nobody_else() -> None:
    far = FarSide()
    far.silent.add(1)

    async def story() -> None:
        sender = sender_to(far)
        silent = [asyncio.create_task(sender.send(1, told())) for _ in range(50)]
        await asyncio.sleep(1)
        await asyncio.gather(*(sender.send(chat, told(chat)) for chat in range(2, 20)))
        assert not any(task.done() for task in silent)
        for task in silent:
            task.cancel()

    leap(story())

    assert max(at for at, chat in far.calls if chat != 1) < 3


def test_an_album_counts_as_its_files() -> None:
    far = FarSide()

    async def story() -> None:
        sender = sender_to(far)
        await sender.send(1, told(), weight=10)
        await sender.send(1, told())

    leap(story())

    assert far.times()[1] == soon(1)


def test_those_who_speak_in_a_chat_take_turns() -> None:
    order: list[str] = []

    async def speak(sender: TelegramSender, name: str) -> None:
        async with sender.turn(1):
            for part in "ab":
                order.append(f"{name}{part}")
                await asyncio.sleep(5)

    async def story() -> None:
        sender = sender_to(FarSide())
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(speak(sender, str(number)))

    leap(story())

    assert order == ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"]


def test_a_turn_is_not_waited_for_for_ever() -> None:
    async def story() -> None:
        sender = sender_to(FarSide())
        async with sender.turn(1):
            with pytest.raises(FrontendUnavailableError):
                async with sender.turn(1, wait_s=5):
                    pass
        async with sender.turn(1, wait_s=5):
            pass

    leap(story())


# --- 429


def test_a_short_silence_is_waited_for() -> None:
    far = FarSide(flood(3))

    async def story() -> None:
        await sender_to(far).send(1, told())

    leap(story())

    assert far.times() == [soon(0), soon(3)]


def test_a_long_silence_is_kept_and_told() -> None:
    """No call is made before its end, by whoever; other chats go on."""
    far = FarSide(flood(60))

    async def story() -> None:
        sender = sender_to(far)
        with pytest.raises(FrontendUnavailableError) as first:
            await sender.send(1, told())
        assert first.value.retry_s == 60
        await asyncio.sleep(20)
        with pytest.raises(FrontendUnavailableError) as second:
            await sender.send(1, told())
        assert second.value.retry_s == soon(40)
        await sender.send(2, told(2))
        await asyncio.sleep(41)
        await sender.send(1, told())

    leap(story())

    assert far.times(1) == [soon(0), soon(61)]


def test_endless_floods_are_given_up() -> None:
    far = FarSide(*[flood(1)] * 9)

    async def story() -> None:
        with pytest.raises(FrontendUnavailableError):
            await sender_to(far).send(1, told())

    leap(story())

    assert len(far.calls) == TRIES


# --- Other answers

NO_ANSWERS = {
    "a page": (502, "<html>502 Bad Gateway</html>"),
    "an error": error(500, "Internal Server Error"),
    "a restart": error(500, "Internal Server Error: restart"),
    "rubbish": (200, "{"),
    "nothing": (200, ""),
    "a wrong token": error(401, "Unauthorized"),
    "no such method": error(404, "Not Found"),
    "something new": error(418, "I am a teapot"),
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer_is_tried_later(answer: tuple[int, str]) -> None:
    """A message may have arrived: it is not sent twice at once. An edit does no harm twice."""
    once, twice = FarSide(answer), FarSide(answer)

    async def story() -> None:
        with pytest.raises(FrontendUnavailableError) as caught:
            await sender_to(once).send(1, told())
        assert TOKEN not in str(caught.value)
        await sender_to(twice).send(1, edited(), again=True)

    leap(story())

    assert len(once.calls) == 1
    assert len(twice.calls) == 2


@pytest.mark.parametrize(
    "answer",
    [
        error(403, "Forbidden: bot was blocked by the user"),
        error(403, "Forbidden: user is deactivated"),
        error(403, "Forbidden: bot can't initiate conversation with a user"),
        error(400, "Bad Request: chat not found"),
        error(400, "Bad Request: PEER_ID_INVALID"),
        error(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-5),
    ],
    ids=lambda answer: answer[1][40:70],
)
def test_nobody_there_is_told_apart(answer: tuple[int, str]) -> None:
    async def story() -> None:
        with pytest.raises(FrontendRefusedError):
            await sender_to(FarSide(answer)).send(1, told())

    leap(story())


@pytest.mark.parametrize(
    "answer",
    [
        error(400, "Bad Request: can't parse entities"),
        error(400, "Bad Request: message is too long"),
        error(413, "Request Entity Too Large"),
    ],
)
def test_what_is_never_taken_is_told_apart(answer: tuple[int, str]) -> None:
    async def story() -> None:
        with pytest.raises(UnsendableError):
            await sender_to(FarSide(answer)).send(1, told())

    leap(story())


def test_an_edit_that_changes_nothing_is_known() -> None:
    far = FarSide(error(400, "Bad Request: message is not modified: specified new message content"))

    async def story() -> None:
        with pytest.raises(UnsendableError) as caught:
            await sender_to(far).send(1, edited())
        assert caught.value.is_unmodified

    leap(story())


# --- What may be dropped


def spoken(far: FarSide, before: Callable[[TelegramSender], Any]) -> bool:
    async def story() -> bool:
        sender = sender_to(far)
        await before(sender)
        async with sender.turn(2):
            return await sender.spare(1, edited())

    return leap(story())


def test_what_may_be_dropped_goes_where_there_is_room() -> None:
    async def nothing(_: TelegramSender) -> None:
        """Nobody wrote."""

    assert spoken(FarSide(), nothing)


def test_what_may_be_dropped_is_dropped_where_there_is_none() -> None:
    async def everything(sender: TelegramSender) -> None:
        await asyncio.gather(*(sender.send(chat, told(chat)) for chat in range(10, 14)))

    async def the_chat(sender: TelegramSender) -> None:
        for _ in range(3):
            await sender.send(1, told())

    async def a_flood(sender: TelegramSender) -> None:
        with pytest.raises(FrontendUnavailableError):
            await sender.send(1, told())

    assert not spoken(FarSide(), everything)
    assert not spoken(FarSide(), the_chat)
    assert not spoken(FarSide(flood(30)), a_flood)


def test_what_may_be_dropped_never_speaks_between() -> None:
    async def story() -> None:
        sender = sender_to(FarSide())
        async with sender.turn(1):
            assert not await sender.spare(1, edited())
        assert await sender.spare(1, edited())

    leap(story())


def test_a_failure_of_what_may_be_dropped_is_no_error() -> None:
    far = FarSide(error(400, "Bad Request: message to edit not found"))

    async def story() -> None:
        assert not await sender_to(far).attempt(1, edited())

    leap(story())


def test_chats_are_not_remembered_for_ever() -> None:
    """A shop that runs for months meets more people than it has room for."""
    far = FarSide()
    fast = Pace(rate=10**6, burst=10**6)

    async def story() -> int:
        sender = sender_to(far, fast)
        for chat in range(CHATS):
            await sender.send(chat, told(chat))
        await asyncio.sleep(IDLE_S + 1)
        await sender.send(CHATS + 1, told())
        return len(sender._chats)  # noqa: SLF001

    assert leap(story()) == 1
    assert telegram_send.CHATS == CHATS
