"""
What goes wrong at Telegram costs nobody anything: nothing is lost, nothing comes in the wrong
order, the money is right.

Whole stories, in a loop that leaps over the minutes that Telegram is silent. What may come twice:
a message whose answer was lost after Telegram had taken it, once for each answer that was lost.
What may never be seen: a line of progress, a chat action, the spinner's end on a button, and a
reply that a newer one replaced.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from attrs import define, evolve, frozen

from kiebot.adapters.frontend.telegram_send import Pace
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.core.jobs import JobStatus
from kiebot.core.money import Money
from kiebot.core.topups import TopUp
from kiebot.core.users import UserId
from kiebot.core.wallet import EntryKind, JobId
from tests.fakes.leap import leap
from tests.fakes.shop import TERMS
from tests.fakes.talk import picture
from tests.fakes.telegram_chats import Message, Phone
from tests.fakes.telegram_faults import FaultKind, Limits
from tests.fakes.telegram_server import TelegramServer
from tests.fakes.telegram_shop import NearSession, TelegramShop, loop_clock, telegram_shop
from tests.fakes.values import ADMIN

ANYA = UserId(7)
SECOND = UserId(701)
GRANT_KOP = 100_000
PRICE_KOP = 3000
CUT_KOP = 1600
CUT_MODEL = "recraft/remove-background"
TOPUP_KOP = 50_000
MINUTES_S = 600.0
"""A long outage."""
PATIENCE_S = 2400.0
"""By the loop's clock, which leaps."""

TWO = evolve(TERMS, admins=frozenset({ADMIN, SECOND}))

USED = (
    "getUpdates", "sendMessage", "editMessageText", "editMessageReplyMarkup", "editMessageCaption",
    "deleteMessage", "answerCallbackQuery", "sendChatAction", "sendPhoto", "sendMediaGroup",
    "sendDocument", "getFile", "file",
)  # fmt: skip
"""What a bot that sells asks Telegram for."""


@define
class Street:
    """A shop, a person, two administrators, in Telegram."""

    telegram: TelegramServer
    shop: TelegramShop
    anya: Phone
    boss: Phone
    other: Phone

    async def buys(self, prompt: str) -> None:
        """A picture, from the model to the payment."""
        anya = self.anya
        anya.types("/menu")
        anya.forges("mmodel:flux-2/pro-text-to-image", on=await anya.sees("Создать"))
        await anya.sees("до 5 000 знаков")
        anya.types(prompt)
        await anya.sees("К оплате 30 ₽", "Создать за 30 ₽")
        anya.presses("Создать за 30 ₽")
        await anya.sees("⏳")

    async def cuts_out(self) -> None:
        """A picture without its background."""
        anya = self.anya
        anya.types("/menu")
        anya.forges(f"mmodel:{CUT_MODEL}", on=await anya.sees("Создать"))
        await anya.sees("JPG, PNG")
        anya.sends_photo(picture())
        await anya.sees("К оплате 16 ₽", "Создать за 16 ₽")
        anya.presses("Создать за 16 ₽")
        await anya.sees("⏳")

    async def receives(self, *prompts: str) -> None:
        """Wait until a result of each is there."""
        await self.telegram.until(
            lambda: set(prompts) <= {prompt for prompt, _ in self.results()},
            f"results of {prompts}",
            self.anya,
        )

    def results(self) -> list[tuple[str, Message]]:
        """The results that the person got, in their order: prompt and message."""
        return [
            (message.text.partition("«")[2].partition("»")[0], message)
            for message in self.anya.messages
            if message.is_from_bot and message.file and message.file.kind == "photo"
        ]

    async def tops_up(self) -> None:
        """500 roubles, with two pictures as the receipt; an administrator approves."""
        anya, boss = self.anya, self.boss
        anya.types("/balance")
        anya.forges("topup:500", on=await anya.sees("Баланс"))
        await anya.sees("2200 7000 0000 0000")
        anya.sends_album(picture(), picture(9))
        topup = await self._receipt_is_whole()
        for admin in (boss, self.other):
            await admin.sees("500 ₽", "Зачислить 500 ₽")
        boss.presses("Зачислить 500 ₽")
        await anya.sees("500 ₽ на балансе")
        boss.forges(f"admin:topup:show:{topup.id}")
        await boss.sees("500 ₽", "Босс")

    async def _receipt_is_whole(self) -> TopUp:
        while True:
            topup = await self.shop.kiebot.waiting_topup(ANYA)
            if topup is not None and len(topup.receipt) == 2:
                return topup
            await asyncio.sleep(1)

    async def is_over(self) -> None:
        """Wait until everything is made and told."""
        kiebot = self.shop.kiebot
        while await kiebot.all_open_jobs(1) or await kiebot.untold(1, local=False):  # noqa: ASYNC110
            await asyncio.sleep(1)
        await self.telegram.idle()

    async def adds_up(self, *prices_kop: int, topup_kop: int = 0) -> None:
        """The money is right, and so is every rule of it."""
        wallet = await self.shop.kiebot.wallet(ANYA)
        assert wallet.available.kopecks == GRANT_KOP + topup_kop - sum(prices_kop)
        assert wallet.held.kopecks == 0
        assert (await self.shop.kiebot.audit()).problems == ()

    async def charged(self) -> list[str]:
        """The prompts of what was charged, in that order: that of the news of it."""
        entries = await self.shop.kiebot.ledger(ANYA, 100)
        jobs = [
            await self.shop.kiebot.job(ANYA, JobId(entry.job_id))
            for entry in reversed(entries)
            if entry.kind is EntryKind.CHARGE and entry.job_id
        ]
        return [str(job.params.get("prompt", "")) for job in jobs]


@asynccontextmanager
async def street() -> AsyncIterator[Street]:
    """Everybody has come, and nothing goes wrong yet; in the end every press was answered."""
    telegram = TelegramServer()
    telegram.patience_s = PATIENCE_S
    telegram.meter.limits = Limits(clock=asyncio.get_running_loop().time)
    storage = MemoryStorage(clock=loop_clock)
    near = NearSession(telegram)
    async with telegram_shop(telegram, storage, TWO, session=near, pace=Pace()) as shop:
        people = [
            telegram.person(number, name, language_code="ru")
            for number, name in ((ANYA, "Аня"), (ADMIN, "Босс"), (SECOND, "Шеф"))
        ]
        for phone in people:
            phone.types("/start")
            await phone.sees("Создать")
        await shop.kiebot.grant(ANYA, Money(GRANT_KOP), by="tests", why="a test", ref="g")
        yield Street(telegram, shop, *people)
        telegram.heals()
    assert telegram.unanswered() == []


async def a_day(street: Street) -> None:
    """Pictures at once, a top-up, the original of a result as a file."""
    await street.buys("slow")
    await street.cuts_out()
    await street.buys("рыжий кот")
    await street.buys("белый пёс")
    await street.tops_up()
    await street.receives("slow", "рыжий кот", "белый пёс")
    street.anya.presses("Оригинал")
    await street.anya.sees_file("document")
    await street.is_over()


async def goes_right(street: Street, *, twice: int = 0) -> None:
    """
    At the end of such a day: every result is there, first in the order in which they were charged,
    at most so many of them twice, and the money is right.
    """
    jobs = await street.shop.kiebot.jobs(ANYA, 10)
    assert [job for job in jobs if job.status is JobStatus.FAILED] == []
    prompts = [prompt for prompt, _ in street.results()]
    assert list(dict.fromkeys(prompts)) == await street.charged()
    assert len(prompts) <= 4 + twice, prompts
    await street.adds_up(PRICE_KOP, PRICE_KOP, PRICE_KOP, CUT_KOP, topup_kop=TOPUP_KOP)


def is_calm(caplog: pytest.LogCaptureFixture) -> bool:
    """Nothing was an error of ours."""
    return not [each for each in caplog.records if each.levelno >= logging.ERROR or each.exc_info]


def test_a_day_without_faults(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with street() as day:
            await a_day(day)
            await goes_right(day)
            assert {name.lower() for name in USED} <= {call.name for call in day.telegram.calls}
            assert day.telegram.meter.floods == 0

    leap(story())
    assert is_calm(caplog), caplog.text


@frozen(kw_only=True)
class Trouble:
    """A fault: of which kind, and for how long silence is wanted where it is a flood."""

    kind: FaultKind
    retry_after: int = 3
    is_taken: bool = False

    def __str__(self) -> str:
        more = f"-{self.retry_after}" if self.kind == "flood" else ""
        return f"{self.kind}{more}{'-taken' if self.is_taken else ''}"


TROUBLES = (
    Trouble(kind="flood"),
    Trouble(kind="flood", retry_after=300),
    Trouble(kind="bad_gateway"),
    Trouble(kind="error"),
    Trouble(kind="drop"),
    Trouble(kind="drop", is_taken=True),
    Trouble(kind="hang"),
)


WITH_ALL = ("getUpdates", "sendMessage", "editMessageText", "sendPhoto")
"""What everything depends on meets all of them, the others two."""
MET = [
    (method, trouble)
    for method in USED
    for trouble in (TROUBLES if method in WITH_ALL else (TROUBLES[1], TROUBLES[4]))
]


@pytest.mark.parametrize(("method", "trouble"), MET, ids=str)
def test_what_goes_wrong_twice_is_made_up_for(
    method: str, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    """The first two calls of a method fail, in the middle of a day."""

    async def story() -> None:
        async with street() as day:
            fault = day.telegram.breaks(
                trouble.kind,
                method,
                times=2,
                retry_after=trouble.retry_after,
                is_taken=trouble.is_taken,
            )
            await a_day(day)
            assert fault.hits
            twice = 2 if trouble.is_taken and method == "sendPhoto" else 0
            await goes_right(day, twice=twice)

    leap(story())
    assert is_calm(caplog), caplog.text


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_minutes_of_it_are_sat_out(trouble: Trouble, caplog: pytest.LogCaptureFixture) -> None:
    """Everything goes wrong at once, for ten minutes, in the middle of what is being made."""

    async def story() -> None:
        async with street() as day:
            await day.buys("slow")
            await day.buys("рыжий кот")
            await day.cuts_out()
            await day.buys("белый пёс")
            day.telegram.breaks(
                trouble.kind,
                times=None,
                retry_after=trouble.retry_after,
                is_taken=trouble.is_taken,
            )
            await asyncio.sleep(MINUTES_S)
            day.telegram.heals()
            await day.receives("slow", "рыжий кот", "", "белый пёс")
            await day.tops_up()
            await day.is_over()
            await goes_right(day, twice=10**6 if trouble.is_taken else 0)

    leap(story())
    assert is_calm(caplog), caplog.text


def test_who_blocks_the_bot_finds_the_result_in_the_history(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        async with street() as day:
            anya = day.anya
            await day.buys("рыжий кот")
            anya.blocks()
            await day.is_over()
            assert day.results() == []
            await day.adds_up(PRICE_KOP)

            anya.unblocks()
            anya.types("/history")
            await anya.sees("✅")
            anya.presses("✅")
            await day.receives("рыжий кот")
            await day.is_over()

            await day.adds_up(PRICE_KOP)

    leap(story())
    assert is_calm(caplog), caplog.text


def test_a_chat_that_is_emptied_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    """The person deletes every message as soon as it is there."""

    async def story() -> None:
        async with street() as day:
            anya = day.anya

            def empties() -> None:
                for message in anya.chat():
                    anya.deletes(message)

            offered = anya.last
            empties()
            anya.forges("mmodel:flux-2/pro-text-to-image", on=offered)
            await anya.sees("до 5 000 знаков")
            empties()
            anya.types("рыжий кот")
            offered = await anya.sees("К оплате 30 ₽")
            empties()
            anya.forges("gen:confirm:id1", on=offered)
            await anya.sees("⏳")
            empties()
            await day.receives("рыжий кот")
            await day.is_over()
            await day.adds_up(PRICE_KOP)

    leap(story())
    assert is_calm(caplog), caplog.text


def test_messages_that_telegram_deletes_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """After 48 hours; the result comes all the same, once."""

    async def story() -> None:
        async with street() as day:
            await day.buys("рыжий кот")
            for message in day.anya.messages:
                message.is_old = True
            await day.receives("рыжий кот")
            await day.is_over()
            assert len(day.results()) == 1

    leap(story())
    assert is_calm(caplog), caplog.text


def test_after_a_restart_what_told_the_progress_goes_too() -> None:
    async def story() -> None:
        telegram = TelegramServer()
        telegram.patience_s = PATIENCE_S
        storage = MemoryStorage(clock=loop_clock)
        async with telegram_shop(telegram, storage, TWO, session=NearSession(telegram)) as shop:
            anya = telegram.person(ANYA, "Аня", language_code="ru")
            anya.types("/start")
            await anya.sees("Создать")
            await shop.kiebot.grant(ANYA, Money(GRANT_KOP), by="tests", why="a test", ref="g")
            day = Street(telegram, shop, anya, anya, anya)
            await day.buys("slow")
            work = await anya.sees("⏳")
        async with telegram_shop(
            telegram, storage, TWO, session=NearSession(telegram), prefix="new"
        ) as shop:
            day.shop = shop
            await day.receives("slow")
            await day.is_over()
            await telegram.until(lambda: work.is_deleted, "end of the progress", anya)
            assert len(day.results()) == 1
            await day.adds_up(PRICE_KOP)

    leap(story())
