"""Amounts of money, as written in files and as typed by people."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiebot.core.money import LARGEST_KOPECKS, ZERO, Money, parse_roubles

amounts = st.integers(min_value=0, max_value=LARGEST_KOPECKS).map(Money)


@pytest.mark.parametrize(
    ("typed", "kopecks"),
    [
        ("100", 10000),
        ("100,50", 10050),
        ("100.50", 10050),
        ("100,5", 10050),
        ("1 000", 100000),
        ("1 000,50", 100050),
        ("12 345 678", 1234567800),
        ("1\u00a0000", 100000),
        ("1\u202f000", 100000),
        ("1000 ₽", 100000),
        ("1000₽", 100000),
        ("100 р", 10000),
        ("100 р.", 10000),
        ("100 руб.", 10000),
        ("100 РУБ", 10000),
        ("100.50 RUB", 10050),
        ("  250 ", 25000),
        ("0", 0),
        ("0,01", 1),
    ],
)
def test_an_amount_is_read_exactly(typed: str, kopecks: int) -> None:
    assert parse_roubles(typed) == Money(kopecks)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "сто",
        "-100",
        "+100",
        "1e3",
        "100,505",
        "100,",
        ",50",
        "1,000,000",
        "1  000",
        "10 00",
        "1000 000",
        "100 $",
        "0x10",
        "١٠٠",
        "１００",
        "inf",
        "nan",
        "1_000",
        "9" * 30,
        "92 233 720 368 547 758,08",
    ],
)
def test_what_is_no_amount_is_refused(typed: str) -> None:
    assert parse_roubles(typed) is None


def test_the_largest_amount_is_read() -> None:
    assert parse_roubles("92233720368547758,07") == Money(LARGEST_KOPECKS)


@given(amounts)
def test_an_amount_typed_either_way_is_the_same(amount: Money) -> None:
    whole, part = divmod(amount.kopecks, 100)

    assert parse_roubles(f"{whole},{part:02}") == amount
    assert parse_roubles(f"{whole:,}.{part:02} ₽".replace(",", " ")) == amount
    assert Money.rub(f"{whole}.{part:02}") == amount


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_none(text: str) -> None:
    amount = parse_roubles(text)

    assert amount is None or 0 <= amount.kopecks <= LARGEST_KOPECKS


@pytest.mark.parametrize(
    "written", ["", "-1", "1.005", "1,50", "NaN", "Infinity", "1e2", "1e999999999", " 1", "1."]
)
def test_roubles_of_a_file_are_whole_kopecks_or_nothing(written: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        Money.rub(written)


@pytest.mark.parametrize("kopecks", [-1, LARGEST_KOPECKS + 1])
def test_money_is_never_negative_nor_too_large_to_store(kopecks: int) -> None:
    with pytest.raises(ValueError, match="kopecks"):
        Money(kopecks)


def test_a_fraction_of_a_kopeck_is_no_money() -> None:
    with pytest.raises(TypeError):
        Money(0.5)  # type: ignore[arg-type]


def test_taking_more_than_there_is_fails() -> None:
    with pytest.raises(ValueError, match="kopecks"):
        Money(1) - Money(2)


@given(amounts)
def test_roubles_are_exact(amount: Money) -> None:
    assert amount.roubles * 100 == amount.kopecks


def test_money_adds_compares_and_says_itself() -> None:
    assert Money.rub("1.50") + Money.rub("0.50") == Money.rub("2")
    assert Money.rub("2") - Money.rub("2") == ZERO
    assert Money.rub("1.99") < Money.rub("2")
    assert Money.rub("3.56").roubles == Decimal("3.56")
    assert str(Money(5)) == "0.05 RUB"
    assert not ZERO
