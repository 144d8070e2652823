"""What KIE takes, and what a person pays."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiebot.core.catalog import Model, PriceRow, Unit
from kiebot.core.errors import PriceMissingError
from kiebot.core.language import Localized
from kiebot.core.media import MediaKind
from kiebot.core.money import Money
from kiebot.core.params import (
    Choice,
    ChoiceParam,
    FileParam,
    FilesParam,
    JsonValue,
    NumberParam,
    Param,
    SwitchParam,
    TextParam,
)
from kiebot.core.pricing import (
    Count,
    Quote,
    count,
    is_flat,
    kie_price,
    lowest,
    price,
    quote,
    sold_values,
)

LABEL = Localized(ru="Вопрос", en="Question")
TWICE = Decimal(2)

TEXT = TextParam(name="text", label=LABEL, max_length=5000)
SECONDS = NumberParam(name="seconds", label=LABEL, lowest=Decimal("0.5"), highest=22)
IMAGES = FilesParam(name="images", label=LABEL, media=MediaKind.IMAGE)
VOICE = FileParam(name="voice", label=LABEL, media=MediaKind.AUDIO)
CLIPS = FilesParam(name="clips", label=LABEL, media=MediaKind.VIDEO)
SOUND = SwitchParam(name="sound", label=LABEL)


def choice(name: str, *values: str | int) -> ChoiceParam:
    choices = tuple(Choice(value=v, label=LABEL) for v in values)
    return ChoiceParam(
        name=name,
        label=LABEL,
        choices=choices,
        wire="string" if isinstance(values[0], str) else "integer",
    )


def row(roubles: str, **fields: Any) -> PriceRow:
    return PriceRow(kie_price=Money.rub(roubles), source="a list", date="2026-11-22", **fields)


def model(*prices: PriceRow, params: tuple[Param, ...] = ()) -> Model:
    return Model(
        id="shop/model",
        key="shop/model",
        title="Model",
        vendor="Shop",
        category="visuals",
        output=MediaKind.IMAGE,
        description=LABEL,
        family="jobs",
        api_model="shop/model",
        params_in="input",
        params=params,
        prices=prices,
    )


# The price a person pays


@pytest.mark.parametrize(
    ("kie", "multiplier", "expected"),
    [
        ("15.00", "2", "30.00"),
        ("0.01", "2", "0.02"),
        ("0.01", "1.5", "0.02"),
        ("0.01", "1.49", "0.01"),
        ("3.33", "1.5", "5.00"),
        ("3.35", "1.1", "3.69"),
        ("0.01", "0.5", "0.01"),
        ("0.01", "0.4999", "0.00"),
        ("10.00", "1", "10.00"),
        ("10.00", "0.333", "3.33"),
        ("92233720368547758.07", "1", "92233720368547758.07"),
    ],
)
def test_half_a_kopeck_goes_up(kie: str, multiplier: str, expected: str) -> None:
    assert price(Money.rub(kie), Decimal(multiplier)) == Money.rub(expected)


@pytest.mark.parametrize("multiplier", ["0", "-1", "NaN", "Infinity"])
def test_a_multiplier_is_above_zero(multiplier: str) -> None:
    with pytest.raises(ValueError, match="multiplied"):
        price(Money(100), Decimal(multiplier))


@given(
    st.integers(min_value=1, max_value=10**12),
    st.decimals(min_value="0.0001", max_value=100, places=4),
)
def test_a_price_is_never_more_than_half_a_kopeck_off(kopecks: int, multiplier: Decimal) -> None:
    exact = kopecks * multiplier

    rounded = price(Money(kopecks), multiplier).kopecks

    assert Decimal("-0.5") < rounded - exact <= Decimal("0.5")


@given(st.integers(min_value=0, max_value=10**15))
def test_twice_is_exactly_twice(kopecks: int) -> None:
    assert price(Money(kopecks), TWICE) == Money(2 * kopecks)


def test_a_price_too_large_for_money_is_an_error() -> None:
    with pytest.raises(ValueError, match="kopecks"):
        price(Money.rub("92233720368547758.07"), TWICE)


# The row that fits


def test_a_flat_price_stands_for_every_answer() -> None:
    flat = model(row("15.00"))

    assert kie_price(flat, {}) == kie_price(flat, {"anything": 1}) == Money.rub("15.00")
    assert is_flat(flat)


TABLE = model(
    row("2.00", when={"resolution": ("480p", "720p"), "sound": (False,)}),
    row("3.00", when={"resolution": ("480p", "720p"), "sound": (True,)}),
    row("5.00", when={"resolution": ("1080p",), "sound": (False, None)}),
    params=(choice("resolution", "480p", "720p", "1080p", "4k"), SOUND),
)


@pytest.mark.parametrize(
    ("answers", "roubles"),
    [
        ({"resolution": "480p", "sound": False}, "2.00"),
        ({"resolution": "720p", "sound": True}, "3.00"),
        ({"resolution": "1080p", "sound": False}, "5.00"),
        ({"resolution": "1080p"}, "5.00"),
    ],
)
def test_the_row_with_these_values_is_the_price(
    answers: dict[str, JsonValue], roubles: str
) -> None:
    assert kie_price(TABLE, answers) == Money.rub(roubles)
    assert quote(TABLE, answers, TWICE) == Quote(
        kie_price=Money.rub(roubles), price=price(Money.rub(roubles), TWICE)
    )


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"resolution": "4k", "sound": False},
        {"resolution": "1080p", "sound": True},
        {"resolution": "480p"},
        {"resolution": "480p", "sound": 0},
        {"resolution": "480P", "sound": False},
    ],
)
def test_without_a_row_there_is_no_price(answers: dict[str, JsonValue]) -> None:
    """Not the nearest, not the dearest: a guessed price is somebody's loss."""
    with pytest.raises(PriceMissingError) as caught:
        quote(TABLE, answers, TWICE)

    assert caught.value.model_id == "shop/model"
    assert caught.value.sold == (
        ("resolution", ("480p", "720p", "1080p")),
        ("sound", ("false", "true")),
    )


def test_a_model_without_prices_has_none() -> None:
    with pytest.raises(PriceMissingError):
        kie_price(model(), {})
    with pytest.raises(PriceMissingError):
        lowest(model(), TWICE)


# Prices by unit


def by(unit: Unit, *params: Param) -> Model:
    return model(row("1.50", per=unit), params=params)


@pytest.mark.parametrize(
    ("characters", "roubles"), [(1, "1.50"), (999, "1.50"), (1000, "1.50"), (1001, "3.00")]
)
def test_a_started_thousand_characters_counts_whole(characters: int, roubles: str) -> None:
    spoken = by(Unit(param="text", size=1000), TEXT)

    assert kie_price(spoken, {"text": "я" * characters}) == Money.rub(roubles)


@pytest.mark.parametrize(("seconds", "roubles"), [(0.5, "1.50"), (1, "1.50"), (1.1, "3.00")])
def test_a_started_second_counts_whole(seconds: float, roubles: str) -> None:
    assert kie_price(by(Unit(param="seconds"), SECONDS), {"seconds": seconds}) == Money.rub(roubles)


def test_a_choice_of_seconds_counts_by_its_value_and_not_by_its_letters() -> None:
    clip = by(Unit(param="duration"), choice("duration", "5", "10"))

    assert kie_price(clip, {"duration": "10"}) == Money.rub("15.00")


def test_files_count_one_by_one() -> None:
    edit = by(Unit(param="images"), IMAGES)

    assert kie_price(edit, {"images": ["https://a.example/1", "https://a.example/2"]}) == (
        Money.rub("3.00")
    )


MINUTE = Unit(param="voice", size=60, in_seconds=True)


@pytest.mark.parametrize(
    ("seconds", "roubles"),
    [("0.01", "1.50"), ("60", "1.50"), ("60.001", "3.00"), ("120", "3.00"), ("3600", "90.00")],
)
def test_a_started_minute_of_a_recording_counts_whole(seconds: str, roubles: str) -> None:
    spoken = by(MINUTE, VOICE)

    found = kie_price(spoken, {"voice": "file:///a.mp3"}, {"file:///a.mp3": Decimal(seconds)})

    assert found == Money.rub(roubles)


def test_clips_are_counted_together() -> None:
    """Two halves of a second are one second, as KIE bills what it makes of both."""
    model = by(Unit(param="clips", in_seconds=True), CLIPS)
    lengths = {"file:a": Decimal("0.5"), "file:b": Decimal("1.5")}

    assert kie_price(model, {"clips": ["file:a", "file:b"]}, lengths) == Money.rub("3.00")


@pytest.mark.parametrize(
    "measures", [{}, {"file:other": Decimal(5)}, {"file:a": Decimal(0)}, {"file:a": Decimal("NaN")}]
)
def test_what_nobody_measured_has_no_price_and_says_so(measures: dict[str, Decimal]) -> None:
    with pytest.raises(PriceMissingError, match="voice cannot be counted") as caught:
        kie_price(by(MINUTE, VOICE), {"voice": "file:a"}, measures)

    assert caught.value.uncounted == "voice"


def test_one_of_several_that_nobody_measured_has_no_price() -> None:
    model = by(Unit(param="clips", in_seconds=True), CLIPS)

    with pytest.raises(PriceMissingError):
        kie_price(model, {"clips": ["file:a", "file:b"]}, {"file:a": Decimal(5)})


def test_where_there_is_no_answer_a_default_counts() -> None:
    """It is what KIE then takes; an answer beats it."""
    images = NumberParam(name="count", label=LABEL, lowest=1, highest=6, whole=True)
    model = by(Unit(param="count", default=2), images)

    assert kie_price(model, {}) == Money.rub("3.00")
    assert kie_price(model, {"count": None}) == Money.rub("3.00")
    assert kie_price(model, {"count": 1}) == Money.rub("1.50")


def test_what_was_counted_is_told() -> None:
    spoken = by(MINUTE, VOICE)

    counted = count(spoken, {"voice": "file:a"}, {"file:a": Decimal("90.5")})

    assert counted == Count(row=spoken.prices[0], unit=MINUTE, amount=Decimal("90.5"), units=2)
    assert count(spoken, {"voice": "file:a"}) is None
    assert count(model(row("1.00")), {}) is None


def test_units_are_multiplied_before_anything_is_rounded() -> None:
    clip = model(row("0.01", per=Unit(param="duration")), params=(choice("duration", "5", "10"),))

    assert quote(clip, {"duration": "5"}, Decimal("1.1")).price == Money(6)


@pytest.mark.parametrize("answers", [{}, {"seconds": 0}, {"seconds": -3}])
def test_nothing_to_count_is_no_price(answers: dict[str, JsonValue]) -> None:
    with pytest.raises(PriceMissingError):
        kie_price(by(Unit(param="seconds"), SECONDS), answers)


def test_a_from_price_is_the_cheapest_row() -> None:
    assert lowest(TABLE, TWICE) == Quote(kie_price=Money.rub("2.00"), price=Money.rub("4.00"))
    assert not is_flat(TABLE)
    assert not is_flat(by(Unit(param="seconds"), SECONDS))


def test_one_price_for_all_that_can_be_bought_is_flat() -> None:
    """Answers that are not sold do not turn 360 into "from 360"."""
    assert is_flat(model(row("2.00", when={"resolution": ("720p",)}), params=TABLE.params))


# What a screen offers


def test_a_value_without_a_price_is_not_offered() -> None:
    values = ("480p", "720p", "1080p", "4k")

    assert sold_values(TABLE, {"sound": False}, "resolution", values) == ("480p", "720p", "1080p")
    assert sold_values(TABLE, {"sound": True}, "resolution", values) == ("480p", "720p")


def test_where_nothing_fits_beside_the_other_answers_all_that_may_ever_is_offered() -> None:
    """From 1080p with sound, which has no price, both ways out are open."""
    answers: dict[str, JsonValue] = {"resolution": "4k", "sound": True}

    assert sold_values(TABLE, answers, "sound", (True, False)) == (True, False)
    assert sold_values(TABLE, answers, "resolution", ("480p", "4k")) == ("480p",)


def test_a_question_that_no_row_asks_about_offers_everything() -> None:
    assert sold_values(TABLE, {"resolution": "4k"}, "style", ("a", "b")) == ("a", "b")
