"""
Pricing: what KIE takes for these answers, and what a person pays.

A price is a row of the model's table and nothing else: there is no default, no fallback, and no
price for answers that no row names. What a row counts is counted in the answers, or measured in
the files they name.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import TypeAlias

from attrs import frozen

from kiebot.core.catalog import Model, PriceRow, Unit
from kiebot.core.errors import PriceMissingError
from kiebot.core.money import Money
from kiebot.core.params import (
    Answers,
    ChoiceParam,
    FileParam,
    FilesParam,
    JsonValue,
    NumberParam,
    Param,
    SwitchParam,
    TextParam,
    is_answered,
    is_one_of,
)

Measures: TypeAlias = Mapping[str, Decimal]
"""How many seconds a file lasts, by its reference; a file that nobody measured is not in it."""

NO_MEASURES: Measures = MappingProxyType({})


@frozen(kw_only=True)
class Quote:
    """What KIE takes, and what a person pays."""

    kie_price: Money
    price: Money


@frozen(kw_only=True)
class Count:
    """How a price comes about: `amount` of what the row's unit counts, in `units` started units."""

    row: PriceRow
    unit: Unit
    amount: Decimal
    units: int


def kie_price(model: Model, answers: Answers, measures: Measures = NO_MEASURES) -> Money:
    """
    What KIE takes for these answers. By units where the row says so: a started one counts whole.

    Raises:
        PriceMissingError: No row fits, or what its units are counted by has no answer or no length.
    """
    row = _row(model, answers)
    if row is None:
        raise PriceMissingError(model.id, sold=_sold(model))
    if row.per is None:
        return row.kie_price
    amount = measured(model, row.per, answers, measures)
    if amount is None:
        raise PriceMissingError(model.id, sold=_sold(model), uncounted=row.per.param)
    return Money(row.kie_price.kopecks * started(row.per, amount))


def price(kie_price: Money, multiplier: Decimal) -> Money:
    """
    What a person pays: half a kopeck goes up. Nothing else in kiebot rounds money.

    Raises:
        ValueError: The multiplier is not above zero, or not a number.
    """
    if not multiplier.is_finite() or multiplier <= 0:
        raise ValueError(f"a price cannot be multiplied by {multiplier}")
    # In whole numbers, because a Decimal context would round a long product by itself.
    over, under = multiplier.as_integer_ratio()
    return Money((2 * kie_price.kopecks * over + under) // (2 * under))


def quote(
    model: Model, answers: Answers, multiplier: Decimal, measures: Measures = NO_MEASURES
) -> Quote:
    """Both prices of these answers; errors as in `kie_price` and `price`."""
    cost = kie_price(model, answers, measures)
    return Quote(kie_price=cost, price=price(cost, multiplier))


def count(model: Model, answers: Answers, measures: Measures = NO_MEASURES) -> Count | None:
    """What was counted for the price of these answers, None where they have none, or a flat one."""
    row = _row(model, answers)
    if row is None or row.per is None:
        return None
    amount = measured(model, row.per, answers, measures)
    if amount is None:
        return None
    return Count(row=row, unit=row.per, amount=amount, units=started(row.per, amount))


def cheapest(model: Model) -> PriceRow:
    """
    The row of the lowest price, of one unit where it counts units: for "from" prices only.

    Raises:
        PriceMissingError: The model has no price at all.
    """
    if not model.prices:
        raise PriceMissingError(model.id)
    return min(model.prices, key=lambda row: row.kie_price)


def lowest(model: Model, multiplier: Decimal) -> Quote:
    """Both prices of the `cheapest` row."""
    cost = cheapest(model).kie_price
    return Quote(kie_price=cost, price=price(cost, multiplier))


def is_flat(model: Model) -> bool:
    """Whether there is one price for all that can be bought."""
    rows = model.prices
    return len({row.kie_price for row in rows}) == 1 and all(row.per is None for row in rows)


def sold_values(
    model: Model, answers: Answers, name: str, values: Iterable[JsonValue]
) -> tuple[JsonValue, ...]:
    """
    Those answers to one question that have a price: beside the other answers, or, where none has
    one beside them, beside other ones. All of them where none has any.
    """
    given = tuple(values)
    beside = tuple(v for v in given if _row(model, {**answers, name: v}) is not None)
    if beside:
        return beside
    elsewhere = tuple(
        value
        for value in given
        if any(is_one_of(value, row.when.get(name, (value,))) for row in model.prices)
    )
    return elsewhere or given


def fits(when: Mapping[str, tuple[JsonValue, ...]], answers: Answers) -> bool:
    """Whether every param that a row asks about has one of its values."""
    return all(is_one_of(_given(answers, name), values) for name, values in when.items())


def measured(model: Model, unit: Unit, answers: Answers, measures: Measures) -> Decimal | None:
    """
    How much of what the unit counts there is: characters of a text, the number itself, files of a
    list, or their seconds together. None where there is nothing to count.
    """
    value = answers.get(unit.param)
    param = next((p for p in model.params if p.name == unit.param), None)
    if param is None:
        return None
    if not is_answered(value):
        return None if unit.default is None else Decimal(unit.default)
    amount = _seconds(value, measures) if unit.in_seconds else _amount(param, value)
    return amount if amount is not None and amount > 0 else None


def is_timed(model: Model, param: FileParam | FilesParam) -> bool:
    """Whether it matters how long these files last: for a limit, or for the price."""
    return param.max_seconds is not None or any(
        row.per is not None and row.per.in_seconds and row.per.param == param.name
        for row in model.prices
    )


def started(unit: Unit, amount: Decimal) -> int:
    """How many units that is; a started one counts whole."""
    whole, rest = divmod(amount, unit.size)
    return int(whole) + (rest > 0)


def _row(model: Model, answers: Answers) -> PriceRow | None:
    return next((row for row in model.prices if fits(row.when, answers)), None)


def _given(answers: Answers, name: str) -> JsonValue:
    value = answers.get(name)
    return value if is_answered(value) else None


def _amount(param: Param, value: JsonValue) -> Decimal | None:
    match param:
        case TextParam():
            return Decimal(len(str(value)))
        case NumberParam() | ChoiceParam():
            return Decimal(str(value))
        case FilesParam():
            return Decimal(len(value)) if isinstance(value, Sequence) else None
        case SwitchParam() | FileParam():
            return None


def _seconds(value: JsonValue, measures: Measures) -> Decimal | None:
    files = [value] if isinstance(value, str) else value
    if not isinstance(files, Sequence):
        return None
    lengths = [measures.get(str(reference)) for reference in files]
    known = [length for length in lengths if length is not None and length.is_finite()]
    return sum(known, Decimal(0)) if len(known) == len(lengths) else None


def _sold(model: Model) -> list[tuple[str, tuple[str, ...]]]:
    sold: dict[str, dict[str, None]] = {}
    for row in model.prices:
        for name, values in row.when.items():
            texts = (_text(value) for value in values if is_answered(value))
            sold.setdefault(name, {}).update(dict.fromkeys(texts))
    return [(name, tuple(values)) for name, values in sold.items()]


def _text(value: JsonValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
