"""
Amounts that somebody may try, wherever an amount is taken: none moves money that it does not say.

Top-ups (typed, and in a button), their correction and approval, grants and debits in the chat and
at the console.
"""

import re
from decimal import Decimal

import click
import pytest
from attrs import define
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.cli.options import MoneyType
from kiebot.conversation import Conversation
from kiebot.core.acts import LARGEST_CORRECTION
from kiebot.core.dialog.screen import Press, Say, Screen
from kiebot.core.expect import Amount, Reason
from kiebot.core.media import Attachment
from kiebot.core.money import LARGEST_KOPECKS, parse_roubles
from kiebot.core.topups import TopUp, TopUpStatus
from tests.fakes.clock import FakeClock
from tests.fakes.shop import Shop, stub_shop
from tests.fakes.values import ADMIN, BUYER, wallet

PHOTO = Attachment(reference="tg:photo", name="r.jpg", mime="image/jpeg", digest="d1")

NO_AMOUNTS = (
    *("-100", "−100", "--100", "100-", "-0", "(100)", "+100"),
    *("0", "0,00", "00", "0 ₽"),
    *("9" * 19, "9" * 30, "9" * 4000, "92233720368547758,07", "92233720368547758,08"),
    *("100,505", "0,001", "100,", ",50", "100..5", "100,5,5", "1/2", "½", "²"),
    *("١٠٠", "１００", "१००", "①", "Ⅿ", "百", "1٠0", "100，50"),
    *("1e3", "1E3", "1e999999999", "1e-2", "0x64", "0b1", "0o7", "1_000"),
    *("NaN", "nan", "sNaN", "Infinity", "inf", "-inf", "None", "True", "null"),
    *("1  000", "10 00", "1000 000", "1\t000", "1\n000", "1\u3000000", "1\u200b000"),
    *("1,000,000", "1.000.000", "1'000", "1 000.000", "100\0", "\u202e001", "100 $", "100₽₽"),
    *("", " ", "сто", "all", "100;", "' or 1=1", "%s", "{0}", "<b>100</b>"),
)
"""Nobody can have meant an amount that a shop takes."""


@define
class Counter:
    """A shop with a person of 100 roubles, whose top-up of 500 waits, and an administrator."""

    shop: Shop
    talk: Conversation
    topup: TopUp

    async def says(self, text: str) -> Screen:
        """The administrator types something."""
        return await self.talk.handle(ADMIN, Say(text))

    async def presses(self, data: str, *, as_admin: bool = True) -> Screen:
        """Somebody presses something."""
        return await self.talk.handle(ADMIN if as_admin else BUYER, Press.of(data))

    async def is_untouched(self) -> bool:
        """Nobody's money moved, and the request says what it said."""
        now = await self.shop.kiebot.topup(BUYER, self.topup.id)
        return (
            now == self.topup
            and await self.shop.kiebot.wallet(BUYER) == wallet(100_00)
            and await self.shop.problems() == ()
        )


@pytest.fixture
async def counter() -> Counter:
    clock = FakeClock()
    shop = stub_shop(MemoryStorage(clock=clock), clock)
    await shop.meet(BUYER, roubles=100)
    await shop.meet(ADMIN)
    asked = await shop.kiebot.start_topup(BUYER, "500")
    topup = await shop.kiebot.submit_receipt(BUYER, asked.id, PHOTO)
    return Counter(shop, Conversation(shop.kiebot, clock=clock), topup)


async def test_no_top_up_is_asked_for_with_them(counter: Counter) -> None:
    """Typed where an amount is asked, and in the data of a button."""
    kiebot = counter.shop.kiebot
    for text in NO_AMOUNTS:
        await counter.presses("topup:custom", as_admin=False)
        await counter.talk.handle(BUYER, Say(text))
        assert isinstance(await kiebot.expected(BUYER), Amount), text
        await counter.presses(f"topup:{text}", as_admin=False)
        waiting = await kiebot.waiting_topup(BUYER)
        assert waiting is None or waiting.id == counter.topup.id, text

    assert await counter.is_untouched()


async def test_no_top_up_is_corrected_to_or_approved_with_them(counter: Counter) -> None:
    for text in NO_AMOUNTS:
        await counter.presses(f"admin:topup:amount:{counter.topup.id}")
        await counter.says(text)
        await counter.presses(f"admin:topup:approve:{counter.topup.id}:{text}")

        assert await counter.is_untouched(), text

    await counter.presses(f"admin:topup:approve:{counter.topup.id}:499.99")
    assert await counter.is_untouched()
    await counter.presses(f"admin:topup:approve:{counter.topup.id}:500")
    assert (await counter.shop.kiebot.topup(BUYER, counter.topup.id)).status is TopUpStatus.APPROVED


@pytest.mark.parametrize("act", ["grant", "debit"])
async def test_none_is_given_or_taken_in_the_chat(counter: Counter, act: str) -> None:
    for text in NO_AMOUNTS:
        await counter.presses(f"admin:{act}:{BUYER}")
        await counter.says(text)
        expected = await counter.shop.kiebot.expected(ADMIN)
        assert isinstance(expected, Amount), f"{text!r} was taken for an amount"
        await counter.says("a good reason")

        assert await counter.is_untouched(), text


@pytest.mark.parametrize("text", NO_AMOUNTS)
def test_none_is_an_amount_at_the_console(text: str) -> None:
    with pytest.raises(click.BadParameter):
        MoneyType().convert(text, None, None)


async def test_the_chat_and_the_console_have_the_same_limit(counter: Counter) -> None:
    """A typing mistake is larger."""
    most, more = "100000000", "100000000,01"
    await counter.presses(f"admin:grant:{BUYER}")
    await counter.says(more)
    assert isinstance(await counter.shop.kiebot.expected(ADMIN), Amount)
    with pytest.raises(click.BadParameter):
        MoneyType().convert(more, None, None)

    await counter.says(most)

    assert isinstance(await counter.shop.kiebot.expected(ADMIN), Reason)
    assert MoneyType().convert(most, None, None) == LARGEST_CORRECTION == parse_roubles(most)


DIGITS = "0123456789٠١٢１２²½"
SIGNS = "-−+.,eE_xNaInf ₽рRUB\u00a0\u202f\u2009\u200b\u3000'()"


@settings(max_examples=300)
@given(st.text(alphabet=DIGITS + SIGNS, max_size=24) | st.text(max_size=12))
@example("1 000 000,5 руб.")
def test_what_is_taken_for_an_amount_says_exactly_that(text: str) -> None:
    """Whatever is typed: no digit of another script, no sign, no rounding, no overflow."""
    amount = parse_roubles(text)

    if amount is not None:
        number = re.sub(r"(?:₽|р\.?|руб\.?|rub)$", "", text.strip().lower())
        number = re.sub(r"[ \u00a0\u202f\u2009]", "", number)
        assert re.fullmatch(r"[0-9]+(?:[.,][0-9]{1,2})?", number)
        assert Decimal(number.replace(",", ".")) * 100 == amount.kopecks <= LARGEST_KOPECKS
